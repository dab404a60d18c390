/*
 * Folding: rules of two tokens and of three, tried where the tokens that are settled end; after
 * most of them all is tried again from the first token on.
 *
 * Why a value can be told before its end. A rule changes its first token, or drops or changes
 * what is behind it. So tokens t0..tk stay what they are if the rules of two and of three among
 * them were tried in vain; if tk is of those that no rule changes, whatever follows (is_firm);
 * and if no rule of three is for tk-1, tk and any third (no_third). One more could: five tokens
 * in certain orders become one or two, see fold_five. Where a token was changed in place and
 * what is before it was not tried again, nothing is told early (`loose`).
 */
#include "rules/sql_fold.h"

#include "rules/sql_list.h"
#include "rules/sql_tokens.h"
#include "rules/sql_words.h"

enum {
    TOKENS = SQL_FINGERPRINT_MAX,
    PHRASES = 8, /* made of one value, before libinjection is asked instead */
};

#define SET(type) (UINT32_C(1) << SQL_##type)

struct fold {
    struct sql_reader reader;
    unsigned count; /* of tokens */
    unsigned left;  /* where rules are tried */
    bool more;      /* there may be tokens behind them */
    bool loose;
    bool never;
    unsigned phrase_count;
    struct sql_token comment; /* the last that was read, or of no type */
    struct sql_token tokens[TOKENS + 2];
    char phrases[PHRASES][SQL_TOKEN_BYTES];
};

/* ---- what tokens are ------------------------------------------------------------------------
 */

static inline bool is_of(const struct sql_token *token, uint32_t set)
{
    return (set >> token->type & 1) != 0;
}

/* `word` in upper case. */
static bool is_text(const struct sql_token *token, struct span word)
{
    return span_equal_nocase(span_of(token->text, token->len), word);
}

static bool is_unary(const struct sql_token *token)
{
    const char *p = token->text;
    if (token->type != SQL_OPERATOR)
        return false;
    if (token->len == 1)
        return *p == '+' || *p == '-' || *p == '!' || *p == '~';
    return (token->len == 2 && p[0] == '!' && p[1] == '!') || is_text(token, SPAN("NOT"));
}

static bool is_arithmetic(const struct sql_token *token)
{
    return token->type == SQL_OPERATOR && token->len == 1 && *token->text != '\0' &&
           strchr("*/-+%", *token->text) != NULL;
}

static bool is_called(const struct sql_token *token)
{
    return token->calls && sql_word_calls(span_of(token->text, token->len));
}

static bool has_underscore(const struct sql_token *token)
{
    return memchr(token->text, '_', strnlen(token->text, token->len)) != NULL;
}

/* ---- what no fingerprint begins with --------------------------------------------------------
 */

/* For each type a set of types: no rule of three begins with the two. */
static uint32_t no_third[SQL_TYPE_COUNT];

/* For each type what may stand behind it for it to be told by these two. */
static uint32_t telling[SQL_TYPE_COUNT];

/* Rules of three, by their first tokens; see fold_three. */
static const uint32_t has_third[SQL_TYPE_COUNT] = {
    [SQL_NUMBER] = SET(OPERATOR) | SET(COMMA),
    [SQL_NAME] = SET(OPERATOR) | SET(COMMA) | SET(DOT),
    [SQL_VARIABLE] = SET(OPERATOR) | SET(COMMA),
    [SQL_STRING] = SET(OPERATOR) | SET(COMMA),
    [SQL_OPERATOR] = ~SET(OPEN),
    [SQL_LOGIC] = ~UINT32_C(0),
    [SQL_EXPRESSION] = SET(OPERATOR) | SET(DOT),
    [SQL_GROUP] = SET(OPERATOR),
    [SQL_KEYWORD] = SET(OPERATOR),
    [SQL_COMMA] = SET(OPERATOR),
    [SQL_FUNCTION] = SET(OPEN),
};

/* Five tokens that are made fewer begin so, and the third of them by the second; see fold_five.
 */
static const uint32_t begins_five[SQL_TYPE_COUNT] = {
    [SQL_NUMBER] = SET(OPERATOR) | SET(COMMA) | SET(CLOSE),
    [SQL_NAME] = SET(OPERATOR) | SET(CLOSE),
};
static const uint32_t goes_on_five[SQL_TYPE_COUNT] = {
    [SQL_OPERATOR] = SET(OPEN),
    [SQL_COMMA] = SET(OPEN),
    [SQL_CLOSE] = SET(COMMA) | SET(OPERATOR),
};

/* No rule changes it as the first of two or three, or drops it. */
static bool is_firm(const struct sql_token *token)
{
    const uint32_t signs = SET(NUMBER) | SET(STRING) | SET(LOGIC) | SET(OPEN) | SET(CLOSE) |
                           SET(BRACE_END) | SET(DOT) | SET(COLON) | SET(SEMICOLON) |
                           SET(OTHER) | SET(COLLATE);
    const uint32_t phrased =
        SET(UNION) | SET(GROUP) | SET(EXPRESSION) | SET(FUNCTION) | SET(BATCH) | SET(KEYWORD);
    if (is_of(token, signs))
        return true;
    if (is_of(token, phrased))
        return !token->opens;
    if (token->type == SQL_OPERATOR) /* words are, too, of which LIKE may change */
        return (unsigned)((*token->text | 0x20) - 'a') >= 26;
    return token->type == SQL_NAME && !token->opens && !token->calls;
}

/* Whether a fingerprint may begin as the tokens that are settled do: three of them or more. */
static bool may_be_listed(const struct fold *fold)
{
    const struct sql_token *t = fold->tokens;
    unsigned a = t[0].type, b = t[1].type, c = t[2].type;
    if ((begins_five[a] >> b & 1) != 0 && (goes_on_five[b] >> c & 1) != 0)
        return true;
    return sql_may_begin_with_three(a, b, c) &&
           (fold->left < 2 || sql_may_begin_with_four(a, b, c, t[3].type));
}

/* After the rules of two were tried in vain: whether the tokens up to these two stay what they
 * are, and no fingerprint begins with them. */
static inline bool is_told(const struct fold *fold)
{
    const struct sql_token *last = &fold->tokens[fold->left + 1];
    if (fold->left == 0)
        return (telling[fold->tokens[0].type] >> last->type & 1) != 0 && is_firm(last) &&
               !fold->loose;
    return (no_third[last[-1].type] >> last->type & 1) != 0 && is_firm(last) && !fold->loose &&
           !may_be_listed(fold);
}

/* ---- rules of two ---------------------------------------------------------------------------
 */

static bool drop(struct fold *fold, unsigned count)
{
    fold->count -= count;
    return true;
}

static bool drop_from_first(struct fold *fold, unsigned count)
{
    fold->left = 0;
    return drop(fold, count);
}

static bool drop_and_step_back(struct fold *fold)
{
    if (fold->left > 0)
        fold->left--;
    return drop(fold, 1);
}

/* Two words that are a phrase are one token. */
static bool join(struct fold *fold, struct sql_token *a, const struct sql_token *b)
{
    const uint32_t words = SET(KEYWORD) | SET(NAME) | SET(OPERATOR) | SET(UNION) |
                           SET(FUNCTION) | SET(EXPRESSION) | SET(BATCH) | SET(CAST);
    size_t len = (size_t)a->len + b->len + 1;
    if (!a->opens || !b->closes || !is_of(a, words) || !is_of(b, words | SET(LOGIC)) ||
        len > SQL_TOKEN_BYTES)
        return false;
    if (fold->phrase_count == PHRASES) {
        fold->reader.odd = true;
        return false;
    }
    char *phrase = fold->phrases[fold->phrase_count];
    memcpy(phrase, a->text, a->len);
    phrase[a->len] = ' ';
    memcpy(phrase + a->len + 1, b->text, b->len);
    char type = sql_word_find(span_of(phrase, len)).type;
    if (type == '\0')
        return false;
    fold->phrase_count++;
    const char *letter = memchr(sql_letters, type, sizeof(sql_letters));
    *a = (struct sql_token){
        .text = phrase,
        .len = (uint8_t)len,
        .type = (uint8_t)(letter - sql_letters),
        .opens = true,
        .closes = true,
    };
    fold->loose |= fold->left > 1;
    return true;
}

/* IN is an operator before a parenthesis, and else a name. */
static bool settle_in(struct fold *fold, struct sql_token *a, const struct sql_token *b)
{
    if (a->type != SQL_KEYWORD || (!is_text(a, SPAN("IN")) && !is_text(a, SPAN("NOT IN"))))
        return false;
    a->type = b->type == SQL_OPEN ? SQL_OPERATOR : SQL_NAME;
    fold->loose |= fold->left > 0;
    return true;
}

/* What changes a token and drops none; the same two are tried again. */
static bool retype(struct fold *fold, struct sql_token *a, struct sql_token *b)
{
    if (a->type == SQL_SEMICOLON && b->type == SQL_FUNCTION && b->len > 1 &&
        (b->text[0] | 0x20) == 'i' && (b->text[1] | 0x20) == 'f') {
        b->type = SQL_BATCH;
        fold->loose = true;
        return true;
    }
    if (b->type == SQL_OPEN && is_of(a, SET(NAME) | SET(VARIABLE)) && is_called(a)) {
        a->type = SQL_FUNCTION;
        fold->loose |= fold->left > 0;
        return true;
    }
    return settle_in(fold, a, b);
}

/* What changes a token, after which the rules of three are tried. */
static bool is_settled(struct fold *fold, struct sql_token *a, struct sql_token *b)
{
    if (a->type == SQL_OPERATOR && (is_text(a, SPAN("LIKE")) || is_text(a, SPAN("NOT LIKE")))) {
        if (b->type == SQL_OPEN) {
            a->type = SQL_FUNCTION;
            fold->loose = true;
        }
        return true;
    }
    if (a->type == SQL_COLLATE && b->type == SQL_NAME) {
        if (has_underscore(b)) {
            b->type = SQL_CAST;
            fold->left = 0;
            fold->loose = true;
        }
        return true;
    }
    return false;
}

/* Of what is left of the rules of two. */
static bool fold_rest(struct fold *fold, struct sql_token *a, const struct sql_token *b)
{
    const uint32_t casted = SET(NAME) | SET(NUMBER) | SET(CAST) | SET(OPEN) | SET(FUNCTION) |
                            SET(VARIABLE) | SET(STRING);
    if (a->type == SQL_CAST && is_of(b, casted)) {
        *a = *b;
        return drop_from_first(fold, 1);
    }
    if (a->type == SQL_BACKSLASH && is_arithmetic(b)) {
        a->type = SQL_NUMBER;
        return drop_from_first(fold, 0);
    }
    if (a->type == SQL_BACKSLASH) {
        *a = *b;
        return drop_from_first(fold, 1);
    }
    if (a->type == b->type && is_of(a, SET(OPEN) | SET(CLOSE)))
        return drop_from_first(fold, 1);
    if (a->type == SQL_BRACE && b->type == SQL_NAME) {
        fold->reader.odd |= b->len == 0; /* {``: as bad as a comment between slashes */
        return drop_from_first(fold, 2);
    }
    return b->type == SQL_BRACE_END && drop_from_first(fold, 1);
}

/* For each type what has to be behind it for any of them but join. */
static const uint32_t has_second[SQL_TYPE_COUNT] = {
    [SQL_STRING] = SET(STRING),
    [SQL_SEMICOLON] = SET(SEMICOLON) | SET(FUNCTION),
    [SQL_OPERATOR] = SET(OPERATOR) | SET(CAST) | SET(OPEN),
    [SQL_LOGIC] = SET(OPERATOR) | SET(CAST),
    [SQL_OPEN] = SET(OPERATOR) | SET(OPEN),
    [SQL_CLOSE] = SET(CLOSE),
    [SQL_NAME] = SET(OPEN),
    [SQL_VARIABLE] = SET(OPEN),
    [SQL_KEYWORD] = ~UINT32_C(0),
    [SQL_CAST] = ~UINT32_C(0),
    [SQL_COLLATE] = SET(NAME),
    [SQL_BACKSLASH] = ~UINT32_C(0),
    [SQL_BRACE] = SET(NAME),
};

/* False: none of them holds. */
static bool fold_two(struct fold *fold)
{
    struct sql_token *a = &fold->tokens[fold->left], *b = a + 1;
    if (((has_second[a->type] | SET(BRACE_END)) >> b->type & 1) == 0 &&
        !(a->opens && b->closes))
        return false;
    if (a->type == b->type && is_of(a, SET(STRING) | SET(SEMICOLON))) {
        fold->loose |= fold->left > 0;
        return drop(fold, 1);
    }
    if (is_of(a, SET(OPERATOR) | SET(LOGIC)) && (b->type == SQL_CAST || is_unary(b)))
        return drop_from_first(fold, 1);
    if (a->type == SQL_OPEN && is_unary(b))
        return drop_and_step_back(fold);
    if (join(fold, a, b))
        return drop_and_step_back(fold);
    if (retype(fold, a, b))
        return true;
    return !is_settled(fold, a, b) && fold_rest(fold, a, b);
}

/* ---- rules of three -------------------------------------------------------------------------
 */

/* What is an expression becomes its first token. */
static bool is_expression(const struct sql_token *t)
{
    const uint32_t plain = SET(NAME) | SET(NUMBER), named = plain | SET(VARIABLE),
                   values = named | SET(STRING);
    const struct sql_token *a = &t[0], *b = &t[1], *c = &t[2];
    if (b->type == SQL_COMMA)
        return is_of(a, values) && is_of(c, values);
    if (b->type == SQL_DOT)
        return a->type == SQL_NAME && c->type == SQL_NAME;
    if (b->type == SQL_OPERATOR) {
        if ((is_of(a, plain) && is_of(c, plain)) ||
            (a->type == SQL_VARIABLE && is_of(c, named)))
            return true;
        if (is_of(a, values) && c->type == SQL_CAST)
            return b->len == 2 && b->text[0] == ':' && b->text[1] == ':';
    }
    return false;
}

/* Two operators with something between. */
static bool is_joined(const struct sql_token *t)
{
    return t[0].type == t[2].type &&
           (t[0].type == SQL_LOGIC || (t[0].type == SQL_OPERATOR && t[1].type != SQL_OPEN));
}

/* The second goes, and the third takes its place. */
static bool is_prefixed(const struct sql_token *t)
{
    const uint32_t values = SET(NUMBER) | SET(NAME) | SET(VARIABLE) | SET(STRING),
                   words = SET(EXPRESSION) | SET(GROUP);
    const struct sql_token *a = &t[0], *c = &t[2];
    if (t[1].type == SQL_DOT)
        return a->type == SQL_EXPRESSION && c->type == SQL_NAME;
    if (!is_unary(&t[1]))
        return false;
    if (is_of(a, words | SET(COMMA)) && c->type == SQL_OPEN)
        return true;
    if (is_of(a, words | SET(KEYWORD)))
        return is_of(c, values | SET(FUNCTION));
    return a->type == SQL_COMMA && c->type == SQL_FUNCTION;
}

/* `, -1`: the comma goes, too. */
static bool is_signed_item(const struct sql_token *t)
{
    const uint32_t values = SET(NUMBER) | SET(NAME) | SET(VARIABLE) | SET(STRING);
    return t[0].type == SQL_COMMA && is_unary(&t[1]) && is_of(&t[2], values);
}

/* False: none of them holds, and the first token is settled. */
static bool fold_three(struct fold *fold)
{
    struct sql_token *t = &fold->tokens[fold->left];
    if ((has_third[t[0].type] >> t[1].type & 1) == 0)
        return false;
    if (is_expression(t) || is_joined(t))
        return drop_from_first(fold, 2);
    if (is_prefixed(t)) {
        t[1] = t[2];
        return drop_from_first(fold, 1);
    }
    if (is_signed_item(t)) {
        t[1] = t[2];
        return drop_from_first(fold, 3);
    }
    if (t[0].type == SQL_FUNCTION && t[1].type == SQL_OPEN && t[2].type != SQL_CLOSE &&
        is_text(&t[0], SPAN("USER"))) {
        t[0].type = SQL_NAME;
        fold->loose = true;
    }
    return false;
}

/* ---- all of them ----------------------------------------------------------------------------
 */

/* What is in parentheses behind a value goes, where five tokens are nothing but that. */
static void fold_five(struct fold *fold)
{
    static const char shapes[][TOKENS + 1] = {
        "1o(1)", "1,(1)", "no(n)", "no(1)", "1),(1", "n)o(n",
    };
    const struct sql_token *t = fold->tokens;
    char types[TOKENS];
    if (fold->count < TOKENS || (begins_five[t[0].type] >> t[1].type & 1) == 0)
        return;
    for (size_t i = 0; i < TOKENS; i++)
        types[i] = sql_letters[t[i].type];
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        if (memcmp(types, shapes[i], TOKENS) != 0)
            continue;
        if (fold->count > TOKENS)
            fold->tokens[1] = fold->tokens[TOKENS];
        fold->count = fold->count > TOKENS ? 2 : 1;
        fold->left = 0;
        return;
    }
}

/* Until there are `wanted` tokens to try rules on; false: there are not. */
static bool read_more(struct fold *fold, unsigned wanted)
{
    while (fold->more && fold->count <= TOKENS && fold->count - fold->left < wanted) {
        struct sql_token *token = &fold->tokens[fold->count];
        fold->more = sql_read(&fold->reader, token);
        if (!fold->more)
            break;
        bool comment = token->type == SQL_COMMENT;
        fold->comment.type = SQL_NONE;
        if (comment)
            fold->comment = *token;
        fold->count += !comment;
    }
    return fold->count - fold->left >= wanted;
}

static inline bool read_tokens(struct fold *fold, unsigned wanted)
{
    return fold->count - fold->left >= wanted || read_more(fold, wanted);
}

/* What values begin with that counts for nothing; false: there is nothing else. */
static bool read_first(struct fold *fold, char quote)
{
    struct sql_token *token = &fold->tokens[0];
    if (quote != '\0') {
        sql_read_quoted(&fold->reader, quote, token);
        return true;
    }
    do {
        if (!sql_read(&fold->reader, token))
            return false;
    } while (is_of(token, SET(COMMENT) | SET(OPEN) | SET(CAST)) || is_unary(token));
    return true;
}

static void fold_all(struct fold *fold)
{
    for (;;) {
        fold_five(fold);
        if (!fold->more || fold->left >= TOKENS || fold->reader.odd)
            break;
        if (!read_tokens(fold, 2)) {
            fold->left = fold->count;
            continue;
        }
        if (fold_two(fold))
            continue;
        if (is_told(fold)) {
            fold->never = true;
            return;
        }
        if (!read_tokens(fold, 3))
            fold->left = fold->count;
        else if (!fold_three(fold))
            fold->left++;
    }
    if (fold->count < TOKENS && fold->comment.type == SQL_COMMENT)
        fold->tokens[fold->count++] = fold->comment;
    if (fold->count > TOKENS)
        fold->count = TOKENS;
}

/* ---- what libinjection fires on -------------------------------------------------------------
 */

/* A value of few tokens, of which libinjection asks for more than its fingerprint. */
static bool is_short(const struct fold *fold)
{
    static const char both[][3] = { "s&n", "n&1", "1&1", "1&v", "1&s" };
    const struct sql_token *t = fold->tokens;
    if (fold->count == 2) {
        if (t[1].type == SQL_UNION)
            return fold->reader.count == 2;
        return t[1].type == SQL_COMMENT &&
               (*t[1].text == '#' || (t[0].type == SQL_NAME && *t[1].text != '/'));
    }
    if (fold->count != 3)
        return false;
    char types[3] = { sql_letters[t[0].type], sql_letters[t[1].type], sql_letters[t[2].type] };
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        if (memcmp(types, both[i], sizeof(types)) == 0)
            return fold->reader.count == 3;
    }
    return t[1].type == SQL_KEYWORD &&
           (t[1].len < 5 || !span_starts_nocase(span_of(t[1].text, t[1].len), SPAN("INTO")));
}

/* A comment with it at the end is worse than its fingerprint. */
static bool has_password(const struct fold *fold, struct span value)
{
    return fold->tokens[fold->count - 1].type == SQL_COMMENT &&
           span_find(value, SPAN("sp_password")) >= 0;
}

/* ---- folding --------------------------------------------------------------------------------
 */

static void note(const struct fold *fold, struct sql_folded *folded)
{
    folded->again = fold->reader.again;
    folded->whole = !fold->never && !fold->reader.odd;
    for (unsigned i = 0; folded->whole && i < fold->count; i++)
        folded->types[i] = sql_letters[fold->tokens[i].type];
}

bool sql_fold(struct span value, struct sql_context context, struct sql_folded *folded)
{
    UNCLEARED struct fold fold;
    sql_reader_init(&fold.reader, value, context.mysql);
    fold.count = 1;
    fold.left = fold.phrase_count = 0;
    fold.more = true;
    fold.loose = fold.never = false;
    fold.comment.type = SQL_NONE;
    if (read_first(&fold, context.quote))
        fold_all(&fold);
    else
        fold.count = 0;
    *folded = (struct sql_folded){ 0 };
    note(&fold, folded);
    if (fold.never || fold.reader.odd)
        return !fold.never;
    uint8_t types[TOKENS];
    for (unsigned i = 0; i < fold.count; i++)
        types[i] = fold.tokens[i].type;
    return sql_is_listed(types, fold.count) && (!is_short(&fold) || has_password(&fold, value));
}

bool sql_fold_prepare(void)
{
    if (!sql_words_ready || !sql_list_prepare() || !sql_reader_fits())
        return false;
    for (unsigned type = 0; type < SQL_TYPE_COUNT; type++) {
        no_third[type] = ~has_third[type];
        telling[type] = ~(has_third[type] | begins_five[type] | sql_list.second[type]);
    }
    return sql_word_find(SPAN("IN")).opens; /* as is_firm has it */
}
