/*
 * Expressions to trees: recursive descent with a bound on depth and nodes, and every type
 * checked here, so that evaluation cannot fail. The first error ends the parse: what follows a
 * misunderstanding is rarely a second mistake.
 */
#include <stdarg.h>
#include <stdio.h>

#include "conf/expr_lex.h"
#include "conf/expr_tree.h"
#include "conf/source.h"
#include "conf/suggest.h"

enum { MESSAGE_MAX = 256 };

struct parser {
    struct span text;
    struct place place;
    const struct expr_scope *scope;
    struct arena *arena;
    struct diags *diags;
    struct token token; /* the next one */
    unsigned nodes, depth, items;
    bool failed;
    struct expr_node *names;
};

static const char *const type_words[] = {
    [EXPR_TEXT] = "text",
    [EXPR_NUMBER] = "a number",
    [EXPR_BOOL] = "true or false",
    [EXPR_ADDR] = "an address",
};

static struct expr_node *parse_or(struct parser *p);

/* At `len` bytes from `from`; the end of the text is reported at its last character. */
static void fail(struct parser *p, enum diag_code code, size_t from, size_t len,
                 struct span hint, const char *message)
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

static void fail_format(struct parser *p, enum diag_code code, const struct expr_node *at,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

static void fail_format(struct parser *p, enum diag_code code, const struct expr_node *at,
                        const char *format, ...)
{
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    INVARIANT(len >= 0);
    fail(p, code, at->from, at->len, SPAN(""), message);
}

static void fail_token(struct parser *p, const char *message)
{
    fail(p, DIAG_EXPR_SYNTAX, p->token.from, p->token.len, SPAN(""), message);
}

static void advance(struct parser *p)
{
    p->token = token_next(p->text, p->token.from + p->token.len);
    if (p->token.kind == TOKEN_BAD)
        fail(p, DIAG_EXPR_SYNTAX, p->token.from, p->token.len, span_text(p->token.hint),
             p->token.why);
}

/* The token behind the next one, for `not in`. */
static struct token peek(const struct parser *p)
{
    return token_next(p->text, p->token.from + p->token.len);
}

static bool expect(struct parser *p, enum token_kind kind, const char *message)
{
    if (p->token.kind != kind) {
        fail_token(p, message);
        return false;
    }
    advance(p);
    return !p->failed;
}

static struct expr_node *new_node(struct parser *p, enum expr_op op, enum expr_type type,
                                  size_t from, size_t len)
{
    struct expr_node *node = NULL;
    if (p->nodes < EXPR_NODES_MAX)
        node = arena_new(p->arena, struct expr_node);
    if (node == NULL) {
        fail(p, DIAG_EXPR_LIMIT, from, len, SPAN("split it into several rules"),
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

static struct expr_node *new_parent(struct parser *p, enum expr_op op, struct expr_node *left,
                                    struct expr_node *right)
{
    size_t end = right != NULL ? right->from + right->len : left->from + left->len;
    struct expr_node *node = new_node(p, op, EXPR_BOOL, left->from, end - left->from);
    if (node != NULL) {
        node->left = left;
        node->right = right;
    }
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
            fail(p, DIAG_EXPR_SYNTAX, token->from + 1 + at, 2,
                 SPAN("write \\\\ for a backslash; matches takes patterns as they are"),
                 "unknown escape");
            return false;
        }
        text_char(&t, (char)c);
    }
    if (t.overflow) {
        fail(p, DIAG_EXPR_LIMIT, token->from, token->len, SPAN(""), "out of memory");
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
        fail(p, DIAG_EXPR_SYNTAX, token->from, token->len, SPAN("addresses stand in quotes"),
             "this is not a whole number");
        return false;
    }
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* A text or number of a literal. */
static bool literal(struct parser *p, struct expr_value *value)
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

static const struct expr_name *find_name(struct parser *p, const struct token *token)
{
    struct suggestion near = suggest_for(token->text);
    struct text hint = text_growing(p->arena, 32);
    for (const struct expr_name *name = p->scope->names; name->name != NULL; name++) {
        if (span_equal(token->text, span_text(name->name)))
            return name;
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
    fail(p, DIAG_EXPR_NAME, token->from, token->len, text_span(&hint),
         text != NULL ? text : "there is no such name");
    return NULL;
}

/* ("text") behind a name. */
static void parse_argument(struct parser *p, struct expr_node *node)
{
    bool open = p->token.kind == TOKEN_OPEN;
    if (!node->name->argument) {
        if (open)
            fail_token(p, "this name takes no argument");
        return;
    }
    if (!open) {
        fail_format(p, DIAG_EXPR_SYNTAX, node, "this name takes an argument: %s(\"name\")",
                    node->name->name);
        return;
    }
    advance(p);
    if (p->failed)
        return;
    if (p->token.kind != TOKEN_STRING) {
        fail_token(p, "the argument must be a text in quotes");
        return;
    }
    if (!decode(p, &p->token, &node->argument))
        return;
    advance(p);
    node->len = p->token.from + p->token.len - node->from;
    (void)expect(p, TOKEN_CLOSE, "expected ) after the argument");
}

static struct expr_node *parse_name(struct parser *p)
{
    struct token token = p->token;
    const struct expr_name *name = find_name(p, &token);
    if (name == NULL)
        return NULL;
    struct expr_node *node = new_node(p, OP_NAME, name->type, token.from, token.len);
    if (node == NULL)
        return NULL;
    node->name = name;
    node->next_name = p->names;
    p->names = node;
    advance(p);
    if (!p->failed)
        parse_argument(p, node);
    return node;
}

static struct expr_node *parse_constant(struct parser *p)
{
    struct expr_node *node = new_node(p, OP_CONSTANT, EXPR_BOOL, p->token.from, p->token.len);
    if (node == NULL)
        return NULL;
    if (p->token.kind == TOKEN_WORD)
        node->constant =
            (struct expr_value){ .type = EXPR_BOOL, .number = token_is(&p->token, "true") };
    else if (!literal(p, &node->constant))
        return NULL;
    node->type = node->constant.type;
    advance(p);
    return node;
}

static bool enter(struct parser *p)
{
    if (++p->depth <= EXPR_DEPTH_MAX)
        return true;
    fail(p, DIAG_EXPR_LIMIT, p->token.from, p->token.len, SPAN("split it into several rules"),
         "the expression is nested too deeply");
    return false;
}

static struct expr_node *parse_group(struct parser *p)
{
    if (!enter(p))
        return NULL;
    advance(p);
    struct expr_node *node = p->failed ? NULL : parse_or(p);
    if (!p->failed)
        (void)expect(p, TOKEN_CLOSE, "expected a closing parenthesis");
    p->depth--;
    return node;
}

static struct expr_node *parse_operand(struct parser *p)
{
    if (p->token.kind == TOKEN_OPEN)
        return parse_group(p);
    if (p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_NUMBER ||
        token_is(&p->token, "true") || token_is(&p->token, "false"))
        return parse_constant(p);
    if (p->token.kind == TOKEN_WORD && !is_reserved(&p->token))
        return parse_name(p);
    if (p->token.kind == TOKEN_LIST)
        fail_token(p, "a list can only stand after in");
    else
        fail_token(p, "expected a name, a text, a number or a parenthesis");
    return NULL;
}

/* A quoted text where the other side is an address is one, too. */
static void adapt(struct parser *p, struct expr_node *node, enum expr_type wanted)
{
    if (wanted != EXPR_ADDR || node->op != OP_CONSTANT || node->type != EXPR_TEXT)
        return;
    if (!addr_parse(node->constant.text, &node->constant.addr)) {
        fail(p, DIAG_EXPR_TYPE, node->from, node->len, SPAN("for a prefix, write in"),
             "this text is not an address");
        return;
    }
    node->type = node->constant.type = EXPR_ADDR;
}

static bool want_type(struct parser *p, const struct expr_node *node, enum expr_type type)
{
    if (node->type == type)
        return true;
    fail_format(p, DIAG_EXPR_TYPE, node, "this is %s, but %s is needed here",
                type_words[node->type], type_words[type]);
    return false;
}

/* The item of a set: of the left side's type. */
static bool set_item(struct parser *p, struct expr_node *node)
{
    struct expr_value value = { .type = EXPR_TEXT };
    struct expr_node at = { .from = p->token.from, .len = p->token.len };
    if (p->items++ >= EXPR_LIST_MAX) {
        fail(p, DIAG_EXPR_LIMIT, at.from, at.len, SPAN("use a list under lists:"),
             "there are too many items");
        return false;
    }
    if (p->token.kind != TOKEN_STRING && p->token.kind != TOKEN_NUMBER) {
        fail_token(p, "expected a text or a number");
        return false;
    }
    if (!literal(p, &value))
        return false;
    if (node->op == OP_IN_CIDRS) {
        if (value.type == EXPR_TEXT &&
            cidr_parse(value.text, false, &node->cidrs.items[node->cidrs.count])) {
            node->cidrs.count++;
            advance(p);
            return !p->failed;
        }
        fail_format(p, DIAG_EXPR_TYPE, &at, "this is not an address or prefix");
        return false;
    }
    at.type = value.type;
    if (!want_type(p, &at, node->left->type))
        return false;
    node->set.items[node->set.count++] = value;
    advance(p);
    return !p->failed;
}

/* As many as there are commas from here on: room for every item that can follow. */
static size_t items_at_most(const struct parser *p)
{
    size_t count = 1;
    for (size_t i = p->token.from; i < p->text.len && count < EXPR_LIST_MAX; i++) {
        if (p->text.p[i] == ',')
            count++;
    }
    return count;
}

static bool reserve_items(struct parser *p, struct expr_node *node, size_t count)
{
    if (node->op == OP_IN_CIDRS)
        node->cidrs.items = arena_array(p->arena, struct cidr, count);
    else
        node->set.items = arena_array(p->arena, struct expr_value, count);
    if (node->cidrs.items != NULL || node->set.items != NULL)
        return true;
    fail_token(p, "out of memory");
    return false;
}

static void parse_set(struct parser *p, struct expr_node *node)
{
    node->op = node->left->type == EXPR_ADDR ? OP_IN_CIDRS : OP_IN_SET;
    bool single = p->token.kind == TOKEN_STRING && node->op == OP_IN_CIDRS;
    if (!reserve_items(p, node, single ? 1 : items_at_most(p)))
        return;
    if (single) {
        (void)set_item(p, node);
        return;
    }
    if (!expect(p, TOKEN_BRACKET_OPEN, "expected a list in brackets, or @name"))
        return;
    for (;;) {
        if (!set_item(p, node))
            return;
        if (p->token.kind != TOKEN_COMMA)
            break;
        advance(p);
        if (p->failed)
            return;
    }
    (void)expect(p, TOKEN_BRACKET_CLOSE, "expected a comma or ]");
}

static void parse_list(struct parser *p, struct expr_node *node)
{
    struct token token = p->token;
    node->op = OP_IN_LIST;
    node->id = p->scope->list != NULL ? p->scope->list(p->scope->owner, token.text) : -1;
    if (node->id < 0)
        fail(p, DIAG_EXPR_LIST, token.from, token.len, SPAN("lists are defined under lists:"),
             "there is no such list");
    else
        advance(p);
}

static struct expr_node *parse_in(struct parser *p, struct expr_node *left)
{
    advance(p);
    if (p->failed)
        return NULL;
    if (left->type == EXPR_BOOL) {
        fail_format(p, DIAG_EXPR_TYPE, left, "this is true or false: it cannot be in a list");
        return NULL;
    }
    struct expr_node *node = new_parent(p, OP_IN_SET, left, NULL);
    if (node == NULL)
        return NULL;
    if (p->token.kind == TOKEN_LIST)
        parse_list(p, node);
    else
        parse_set(p, node);
    return node;
}

static struct expr_node *parse_matches(struct parser *p, struct expr_node *left)
{
    struct span why = SPAN("this pattern cannot be used");
    if (!want_type(p, left, EXPR_TEXT))
        return NULL;
    if (p->token.kind != TOKEN_STRING) {
        fail_token(p, "expected a pattern in quotes after matches");
        return NULL;
    }
    struct expr_node *node = new_parent(p, OP_MATCHES, left, NULL);
    if (node == NULL)
        return NULL;
    node->id = -1;
    if (p->scope->pattern != NULL)
        node->id = p->scope->pattern(p->scope->owner, p->token.text, p->arena, &why);
    if (node->id < 0) {
        struct text t = text_growing(p->arena, 64);
        text_add(&t, why);
        const char *message = text_cstring(&t);
        fail(p, DIAG_EXPR_PATTERN, p->token.from, p->token.len, SPAN(""),
             message != NULL ? message : "this pattern cannot be used");
        return NULL;
    }
    advance(p);
    return node;
}

static const struct {
    const char *word;
    enum expr_op op;
    bool numbers; /* orders numbers; the words compare text */
} operators[] = {
    { "==", OP_EQUAL, false },
    { "!=", OP_UNEQUAL, false },
    { "<", OP_LESS, true },
    { "<=", OP_LESS_EQUAL, true },
    { ">", OP_GREATER, true },
    { ">=", OP_GREATER_EQUAL, true },
    { "contains", OP_CONTAINS, false },
    { "starts_with", OP_STARTS_WITH, false },
    { "ends_with", OP_ENDS_WITH, false },
    { "iequals", OP_IEQUALS, false },
    { "matches", OP_MATCHES, false },
};

static int find_operator(const struct token *token)
{
    if (token->kind != TOKEN_COMPARISON && token->kind != TOKEN_WORD)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (span_equal(token->text, span_text(operators[i].word)))
            return (int)i;
    }
    return -1;
}

static void check_sides(struct parser *p, int op, struct expr_node *left,
                        struct expr_node *right)
{
    bool equality = operators[op].op == OP_EQUAL || operators[op].op == OP_UNEQUAL;
    if (!equality) {
        enum expr_type type = operators[op].numbers ? EXPR_NUMBER : EXPR_TEXT;
        (void)(want_type(p, left, type) && want_type(p, right, type));
        return;
    }
    adapt(p, left, right->type);
    adapt(p, right, left->type);
    if (!p->failed && left->type != right->type)
        fail_format(p, DIAG_EXPR_TYPE, right, "%s cannot be compared with %s",
                    type_words[left->type], type_words[right->type]);
}

static struct expr_node *parse_operator(struct parser *p, int op, struct expr_node *left)
{
    advance(p);
    if (p->failed)
        return NULL;
    if (operators[op].op == OP_MATCHES)
        return parse_matches(p, left);
    struct expr_node *right = parse_operand(p);
    if (p->failed)
        return NULL;
    check_sides(p, op, left, right);
    return p->failed ? NULL : new_parent(p, operators[op].op, left, right);
}

static struct expr_node *negated(struct parser *p, struct expr_node *node)
{
    return p->failed || node == NULL ? NULL : new_parent(p, OP_NOT, node, NULL);
}

static struct expr_node *parse_comparison(struct parser *p)
{
    struct expr_node *left = parse_operand(p);
    if (p->failed)
        return NULL;
    if (token_is(&p->token, "in"))
        return parse_in(p, left);
    if (token_is(&p->token, "not")) {
        struct token next = peek(p);
        if (!token_is(&next, "in")) {
            fail_token(p, "expected \"not in\" here, or \"and not\"");
            return NULL;
        }
        advance(p);
        return negated(p, parse_in(p, left));
    }
    int op = find_operator(&p->token);
    return op < 0 ? left : parse_operator(p, op, left);
}

static struct expr_node *parse_not(struct parser *p)
{
    if (!token_is(&p->token, "not"))
        return parse_comparison(p);
    if (!enter(p))
        return NULL;
    advance(p);
    struct expr_node *node = p->failed ? NULL : parse_not(p);
    p->depth--;
    if (p->failed || !want_type(p, node, EXPR_BOOL))
        return NULL;
    return negated(p, node);
}

static struct expr_node *parse_chain(struct parser *p, const char *word, enum expr_op op,
                                     struct expr_node *(*part)(struct parser *p))
{
    struct expr_node *node = part(p);
    while (!p->failed && token_is(&p->token, word)) {
        if (!want_type(p, node, EXPR_BOOL))
            break;
        advance(p);
        struct expr_node *right = p->failed ? NULL : part(p);
        if (p->failed || !want_type(p, right, EXPR_BOOL))
            break;
        node = new_parent(p, op, node, right);
    }
    return p->failed ? NULL : node;
}

static struct expr_node *parse_and(struct parser *p)
{
    return parse_chain(p, "and", OP_AND, parse_not);
}

static struct expr_node *parse_or(struct parser *p)
{
    return parse_chain(p, "or", OP_OR, parse_and);
}

static void check_end(struct parser *p, const struct expr_node *root)
{
    if (p->token.kind == TOKEN_END)
        (void)want_type(p, root, EXPR_BOOL);
    else if (find_operator(&p->token) >= 0)
        fail_token(p, "comparisons do not chain: join them with and");
    else
        fail_token(p, "expected and, or, a comparison, or the end");
}

struct expr *expr_parse(struct span text, struct place place, const struct expr_scope *scope,
                        struct arena *arena, struct diags *diags)
{
    struct parser p = { .place = place, .scope = scope, .arena = arena, .diags = diags };
    struct expr *expr = arena_new(arena, struct expr);
    p.text = arena_copy(arena, text);
    if (expr == NULL || p.text.p == NULL || text.len > EXPR_BYTES_MAX) {
        fail(&p, DIAG_EXPR_LIMIT, 0, 1, SPAN("split it into several rules"),
             "the expression is too long");
        return NULL;
    }
    advance(&p);
    struct expr_node *root = p.failed ? NULL : parse_or(&p);
    if (!p.failed)
        check_end(&p, root);
    if (p.failed)
        return NULL;
    *expr = (struct expr){ p.text, root, p.names };
    return expr;
}

struct span expr_text(const struct expr *expr)
{
    return expr->text;
}

void expr_each_name(const struct expr *expr,
                    void (*use)(void *ctx, int id, struct span argument), void *ctx)
{
    for (const struct expr_node *node = expr->names; node != NULL; node = node->next_name)
        use(ctx, node->name->id, node->argument);
}
