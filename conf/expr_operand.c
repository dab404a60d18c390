/*
 * The operands of expressions: names with their arguments, texts, numbers, parentheses.
 */
#include <stdarg.h>
#include <stdio.h>

#include "conf/expr_parser.h"
#include "conf/source.h"
#include "conf/suggest.h"

enum { MESSAGE_MAX = 256 };

/* At `len` bytes from `from`; the end of the text is reported at its last character. */
void expr_fail(struct parser *p, enum diag_code code, size_t from, size_t len, struct span hint,
               const char *message)
{
    if (p->failed)
        return;
    p->failed = true;
    if (from >= p->text.len && p->text.len > 0) {
        from = p->text.len - 1;
        while (from > 0 && ((unsigned char)p->text.p[from] & 0xc0) == 0x80)
            from--;
        len = p->text.len - from;
    }
    diag_add(p->diags, SEVERITY_ERROR, code, place_inside(p->place, p->text, from, len),
             span_text(message), hint);
}

void expr_fail_format(struct parser *p, enum diag_code code, const struct expr_node *at,
                      const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    INVARIANT(len >= 0);
    expr_fail(p, code, at->from, at->len, SPAN(""), message);
}

void expr_fail_token(struct parser *p, const char *message)
{
    expr_fail(p, DIAG_EXPR_SYNTAX, p->token.from, p->token.len, SPAN(""), message);
}

void expr_advance(struct parser *p)
{
    p->token = token_next(p->text, p->token.from + p->token.len);
    if (p->token.kind == TOKEN_BAD)
        expr_fail(p, DIAG_EXPR_SYNTAX, p->token.from, p->token.len, span_text(p->token.hint),
                  p->token.why);
}

bool expr_expect(struct parser *p, enum token_kind kind, const char *message)
{
    if (p->token.kind != kind) {
        expr_fail_token(p, message);
        return false;
    }
    expr_advance(p);
    return !p->failed;
}

struct expr_node *expr_new(struct parser *p, enum expr_op op, enum expr_type type, size_t from,
                           size_t len)
{
    struct expr_node *node = NULL;
    if (p->nodes < EXPR_NODES_MAX)
        node = arena_new(p->arena, struct expr_node);
    if (node == NULL) {
        expr_fail(p, DIAG_EXPR_LIMIT, from, len, SPAN("split it into several rules"),
                  "the expression has too many parts");
        return NULL;
    }
    p->nodes++;
    node->op = op;
    node->type = type;
    node->from = from;
    node->len = len;
    return node;
}

/* One escape at `*i`, which moves behind it; -1: unknown. */
static int escape(struct span raw, size_t *i)
{
    static const char from[] = "nrt\\\"'", to[] = "\n\r\t\\\"'";
    char c = *i + 1 < raw.len ? raw.p[*i + 1] : '\0';
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found != NULL) {
        *i += 2;
        return (unsigned char)to[found - from];
    }
    int high = c == 'x' && *i + 3 < raw.len ? hex_value(raw.p[*i + 2]) : -1;
    int low = high >= 0 ? hex_value(raw.p[*i + 3]) : -1;
    if (low < 0)
        return -1;
    *i += 4;
    return high * 16 + low;
}

static bool decode(struct parser *p, const struct token *token, struct span *out)
{
    struct span raw = token->text;
    struct text t = text_growing(p->arena, raw.len + 1);
    for (size_t i = 0; i < raw.len;) {
        if (raw.p[i] != '\\') {
            text_char(&t, raw.p[i++]);
            continue;
        }
        size_t at = i;
        int c = escape(raw, &i);
        if (c < 0) {
            expr_fail(p, DIAG_EXPR_SYNTAX, token->from + 1 + at, 2,
                      SPAN("write \\\\ for a backslash; matches takes patterns as they are"),
                      "unknown escape");
            return false;
        }
        text_char(&t, (char)c);
    }
    if (t.overflow) {
        expr_fail(p, DIAG_EXPR_LIMIT, token->from, token->len, SPAN(""), "out of memory");
        return false;
    }
    *out = text_span(&t);
    return true;
}

static bool number_of(struct parser *p, const struct token *token, int64_t *value)
{
    bool negative = span_starts(token->text, SPAN("-"));
    uint64_t magnitude;
    if (!span_uint(span_sub(token->text, negative ? 1 : 0, token->text.len), &magnitude) ||
        magnitude > INT64_MAX) {
        expr_fail(p, DIAG_EXPR_SYNTAX, token->from, token->len,
                  SPAN("addresses stand in quotes"), "this is not a whole number");
        return false;
    }
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* A text or number of a literal. */
bool expr_literal(struct parser *p, struct expr_value *value)
{
    const struct token *token = &p->token;
    if (token->kind == TOKEN_STRING) {
        value->type = EXPR_TEXT;
        return decode(p, token, &value->text);
    }
    value->type = EXPR_NUMBER;
    return number_of(p, token, &value->number);
}

static bool is_reserved(const struct token *token)
{
    static const char *const words[] = { "and",       "or",       "not",
                                         "in",        "contains", "starts_with",
                                         "ends_with", "iequals",  "matches" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (token_is(token, words[i]))
            return true;
    }
    return false;
}

static bool usable(struct parser *p, const struct token *token, const struct expr_name *name)
{
    const char *why =
        p->scope->unusable != NULL ? p->scope->unusable(p->scope, name->id) : NULL;
    if (why != NULL)
        expr_fail(p, DIAG_EXPR_NAME, token->from, token->len, SPAN(""), why);
    return why == NULL;
}

static const struct expr_name *find_name(struct parser *p, const struct token *token)
{
    struct suggestion near = suggest_for(token->text);
    struct text hint = text_growing(p->arena, 32);
    for (const struct expr_name *name = p->scope->names; name->name != NULL; name++) {
        if (span_equal(token->text, span_text(name->name)))
            return usable(p, token, name) ? name : NULL;
        suggest_consider(&near, span_text(name->name));
    }
    suggest_write(&hint, &near);
    if (hint.len == 0)
        text_lit(&hint, "texts stand in quotes");
    char message[MESSAGE_MAX];
    struct text t = text_fixed(message, sizeof(message));
    text_lit(&t, "there is no name \"");
    text_add(&t, span_sub(token->text, 0, 80));
    text_lit(&t, "\"");
    const char *text = text_cstring(&t);
    expr_fail(p, DIAG_EXPR_NAME, token->from, token->len, text_span(&hint),
              text != NULL ? text : "there is no such name");
    return NULL;
}

/* ("text") behind a name. */
static void parse_argument(struct parser *p, struct expr_node *node)
{
    bool open = p->token.kind == TOKEN_OPEN;
    if (!node->name->argument) {
        if (open)
            expr_fail_token(p, "this name takes no argument");
        return;
    }
    if (!open) {
        expr_fail_format(p, DIAG_EXPR_SYNTAX, node, "this name takes an argument: %s(\"name\")",
                         node->name->name);
        return;
    }
    expr_advance(p);
    if (p->failed)
        return;
    if (p->token.kind != TOKEN_STRING) {
        expr_fail_token(p, "the argument must be a text in quotes");
        return;
    }
    if (!decode(p, &p->token, &node->argument))
        return;
    expr_advance(p);
    node->len = p->token.from + p->token.len - node->from;
    (void)expr_expect(p, TOKEN_CLOSE, "expected ) after the argument");
}

static struct expr_node *parse_name(struct parser *p)
{
    struct token token = p->token;
    const struct expr_name *name = find_name(p, &token);
    if (name == NULL)
        return NULL;
    struct expr_node *node = expr_new(p, OP_NAME, name->type, token.from, token.len);
    if (node == NULL)
        return NULL;
    node->name = name;
    node->next_name = p->names;
    p->names = node;
    expr_advance(p);
    if (!p->failed)
        parse_argument(p, node);
    return node;
}

static struct expr_node *parse_constant(struct parser *p)
{
    struct expr_node *node = expr_new(p, OP_CONSTANT, EXPR_BOOL, p->token.from, p->token.len);
    if (node == NULL)
        return NULL;
    if (p->token.kind == TOKEN_WORD)
        node->constant =
            (struct expr_value){ .type = EXPR_BOOL, .number = token_is(&p->token, "true") };
    else if (!expr_literal(p, &node->constant))
        return NULL;
    node->type = node->constant.type;
    expr_advance(p);
    return node;
}

bool expr_enter(struct parser *p)
{
    if (++p->depth <= EXPR_DEPTH_MAX)
        return true;
    expr_fail(p, DIAG_EXPR_LIMIT, p->token.from, p->token.len,
              SPAN("split it into several rules"), "the expression is nested too deeply");
    return false;
}

static struct expr_node *parse_group(struct parser *p)
{
    if (!expr_enter(p))
        return NULL;
    expr_advance(p);
    struct expr_node *node = p->failed ? NULL : expr_whole(p);
    if (!p->failed)
        (void)expr_expect(p, TOKEN_CLOSE, "expected a closing parenthesis");
    p->depth--;
    return node;
}

struct expr_node *expr_operand(struct parser *p)
{
    if (p->token.kind == TOKEN_OPEN)
        return parse_group(p);
    if (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_NUMBER ||
        token_is(&p->token, "true") || token_is(&p->token, "false"))
        return parse_constant(p);
    if (p->token.kind == TOKEN_WORD && !is_reserved(&p->token))
        return parse_name(p);
    if (p->token.kind == TOKEN_LIST)
        expr_fail_token(p, "a list can only stand after in");
    else
        expr_fail_token(p, "expected a name, a text, a number or a parenthesis");
    return NULL;
}
