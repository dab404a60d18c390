/*
 * The words of the expression language. A character that other languages use for what is a word
 * here gets the word as a hint.
 */
#include "conf/expr_lex.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool starts_word(char c)
{
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_';
}

static bool in_word(char c)
{
    return starts_word(c) || is_digit(c) || c == '.';
}

static bool in_list_name(char c)
{
    return in_word(c) || c == '-';
}

static size_t run(struct span rest, size_t from, bool (*in)(char c))
{
    while (from < rest.len && in(rest.p[from]))
        from++;
    return from;
}

static struct token bad(size_t at, size_t len, const char *why, const char *hint)
{
    return (
        struct token){ .kind = TOKEN_BAD, .from = at, .len = len, .why = why, .hint = hint };
}

static struct token good(enum token_kind kind, struct span rest, size_t at, size_t len)
{
    return (
        struct token){ .kind = kind, .text = span_sub(rest, 0, len), .from = at, .len = len };
}

static struct token string_token(struct span rest, size_t at)
{
    char quote = rest.p[0];
    for (size_t i = 1; i < rest.len; i++) {
        if (rest.p[i] == '\\') {
            i++;
        } else if (rest.p[i] == quote) {
            struct token token = good(TOKEN_STRING, rest, at, i + 1);
            token.text = span_sub(rest, 1, i - 1);
            return token;
        }
    }
    return bad(at, 1, "this quote is never closed", "");
}

static struct token list_token(struct span rest, size_t at)
{
    size_t len = run(rest, 1, in_list_name);
    if (len == 1)
        return bad(at, 1, "the name of a list must follow the @", "");
    struct token token = good(TOKEN_LIST, rest, at, len);
    token.text = span_sub(rest, 1, len - 1);
    return token;
}

/* Longer ones first. */
static const struct {
    struct span text;
    enum token_kind kind;
    const char *why, *hint;
} signs[] = {
    { SPAN_INIT("=="), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT("!="), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT("<="), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT(">="), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT("=~"), TOKEN_BAD, "there is no =~", "write matches" },
    { SPAN_INIT("&&"), TOKEN_BAD, "there is no &&", "write and" },
    { SPAN_INIT("||"), TOKEN_BAD, "there is no ||", "write or" },
    { SPAN_INIT("<"), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT(">"), TOKEN_COMPARISON, NULL, NULL },
    { SPAN_INIT("("), TOKEN_OPEN, NULL, NULL },
    { SPAN_INIT(")"), TOKEN_CLOSE, NULL, NULL },
    { SPAN_INIT("["), TOKEN_BRACKET_OPEN, NULL, NULL },
    { SPAN_INIT("]"), TOKEN_BRACKET_CLOSE, NULL, NULL },
    { SPAN_INIT(","), TOKEN_COMMA, NULL, NULL },
    { SPAN_INIT("="), TOKEN_BAD, "a single = does not compare", "write ==" },
    { SPAN_INIT("!"), TOKEN_BAD, "there is no !", "write not" },
    { SPAN_INIT("~"), TOKEN_BAD, "there is no ~", "write matches" },
};

static struct token sign_token(struct span rest, size_t at)
{
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (!span_starts(rest, signs[i].text))
            continue;
        if (signs[i].kind == TOKEN_BAD)
            return bad(at, signs[i].text.len, signs[i].why, signs[i].hint);
        return good(signs[i].kind, rest, at, signs[i].text.len);
    }
    return bad(at, 1, "this character has no meaning here", "texts stand in quotes");
}

struct token token_next(struct span text, size_t at)
{
    at = run(text, at, is_space);
    struct span rest = span_sub(text, at, text.len);
    if (rest.len == 0)
        return (struct token){ .kind = TOKEN_END, .from = text.len };

    char c = rest.p[0];
    if (c == '"' || c == '\'')
        return string_token(rest, at);
    if (c == '@')
        return list_token(rest, at);
    if (starts_word(c))
        return good(TOKEN_WORD, rest, at, run(rest, 1, in_word));
    if (is_digit(c) || (c == '-' && rest.len > 1 && is_digit(rest.p[1])))
        return good(TOKEN_NUMBER, rest, at, run(rest, 1, in_word));
    return sign_token(rest, at);
}

bool token_is(const struct token *token, const char *word)
{
    return token->kind == TOKEN_WORD && span_equal(token->text, span_text(word));
}
