/*
 * Expressions to trees: recursive descent with a bound on depth and nodes, and every type
 * checked here, so that evaluation cannot fail. The first error ends the parse: what follows a
 * misunderstanding is rarely a second mistake.
 */
#include "conf/expr_parser.h"

static const char *const type_words[] = {
    [EXPR_TEXT] = "text",
    [EXPR_NUMBER] = "a number",
    [EXPR_BOOL] = "true or false",
    [EXPR_ADDR] = "an address",
};

/* The token behind the next one, for `not in`. */
static struct token peek(const struct parser *p)
{
    return token_next(p->text, p->token.from + p->token.len);
}

static struct expr_node *new_parent(struct parser *p, enum expr_op op, struct expr_node *left,
                                    struct expr_node *right)
{
    size_t end = right != NULL ? right->from + right->len : left->from + left->len;
    struct expr_node *node = expr_new(p, op, EXPR_BOOL, left->from, end - left->from);
    if (node != NULL) {
        node->left = left;
        node->right = right;
    }
    return node;
}

/* A quoted text where the other side is an address is one, too. */
static void adapt(struct parser *p, struct expr_node *node, enum expr_type wanted)
{
    if (wanted != EXPR_ADDR || node->op != OP_CONSTANT || node->type != EXPR_TEXT)
        return;
    if (!addr_parse(node->constant.text, &node->constant.addr)) {
        expr_fail(p, DIAG_EXPR_TYPE, node->from, node->len, SPAN("for a prefix, write in"),
                  "this text is not an address");
        return;
    }
    node->type = node->constant.type = EXPR_ADDR;
}

static bool want_type(struct parser *p, const struct expr_node *node, enum expr_type type)
{
    if (node->type == type)
        return true;
    expr_fail_format(p, DIAG_EXPR_TYPE, node, "this is %s, but %s is needed here",
                     type_words[node->type], type_words[type]);
    return false;
}

/* The item of a set: of the left side's type. */
static bool set_item(struct parser *p, struct expr_node *node)
{
    struct expr_value value = { .type = EXPR_TEXT };
    struct expr_node at = { .from = p->token.from, .len = p->token.len };
    if (p->items++ >= EXPR_LIST_MAX) {
        expr_fail(p, DIAG_EXPR_LIMIT, at.from, at.len, SPAN("use a list under lists:"),
                  "there are too many items");
        return false;
    }
    if (p->token.kind != TOKEN_STRING && p->token.kind != TOKEN_NUMBER) {
        expr_fail_token(p, "expected a text or a number");
        return false;
    }
    if (!expr_literal(p, &value))
        return false;
    if (node->op == OP_IN_CIDRS) {
        if (value.type == EXPR_TEXT &&
            cidr_parse(value.text, false, &node->cidrs.items[node->cidrs.count])) {
            node->cidrs.count++;
            expr_advance(p);
            return !p->failed;
        }
        expr_fail_format(p, DIAG_EXPR_TYPE, &at, "this is not an address or prefix");
        return false;
    }
    at.type = value.type;
    if (!want_type(p, &at, node->left->type))
        return false;
    node->set.items[node->set.count++] = value;
    expr_advance(p);
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
    expr_fail_token(p, "out of memory");
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
    if (!expr_expect(p, TOKEN_BRACKET_OPEN, "expected a list in brackets, or @name"))
        return;
    for (;;) {
        if (!set_item(p, node))
            return;
        if (p->token.kind != TOKEN_COMMA)
            break;
        expr_advance(p);
        if (p->failed)
            return;
    }
    (void)expr_expect(p, TOKEN_BRACKET_CLOSE, "expected a comma or ]");
}

static void parse_list(struct parser *p, struct expr_node *node)
{
    struct token token = p->token;
    node->op = OP_IN_LIST;
    node->id = p->scope->list != NULL ? p->scope->list(p->scope->owner, token.text) : -1;
    if (node->id < 0)
        expr_fail(p, DIAG_EXPR_LIST, token.from, token.len,
                  SPAN("lists are defined under lists:"), "there is no such list");
    else
        expr_advance(p);
}

static struct expr_node *parse_in(struct parser *p, struct expr_node *left)
{
    expr_advance(p);
    if (p->failed)
        return NULL;
    if (left->type == EXPR_BOOL) {
        expr_fail_format(p, DIAG_EXPR_TYPE, left,
                         "this is true or false: it cannot be in a list");
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
        expr_fail_token(p, "expected a pattern in quotes after matches");
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
        expr_fail(p, DIAG_EXPR_PATTERN, p->token.from, p->token.len, SPAN(""),
                  message != NULL ? message : "this pattern cannot be used");
        return NULL;
    }
    expr_advance(p);
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
        expr_fail_format(p, DIAG_EXPR_TYPE, right, "%s cannot be compared with %s",
                         type_words[left->type], type_words[right->type]);
}

static struct expr_node *parse_operator(struct parser *p, int op, struct expr_node *left)
{
    expr_advance(p);
    if (p->failed)
        return NULL;
    if (operators[op].op == OP_MATCHES)
        return parse_matches(p, left);
    struct expr_node *right = expr_operand(p);
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
    struct expr_node *left = expr_operand(p);
    if (p->failed)
        return NULL;
    if (token_is(&p->token, "in"))
        return parse_in(p, left);
    if (token_is(&p->token, "not")) {
        struct token next = peek(p);
        if (!token_is(&next, "in")) {
            expr_fail_token(p, "expected \"not in\" here, or \"and not\"");
            return NULL;
        }
        expr_advance(p);
        return negated(p, parse_in(p, left));
    }
    int op = find_operator(&p->token);
    return op < 0 ? left : parse_operator(p, op, left);
}

static struct expr_node *parse_not(struct parser *p)
{
    if (!token_is(&p->token, "not"))
        return parse_comparison(p);
    if (!expr_enter(p))
        return NULL;
    expr_advance(p);
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
        expr_advance(p);
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

struct expr_node *expr_whole(struct parser *p)
{
    return parse_chain(p, "or", OP_OR, parse_and);
}

static void check_end(struct parser *p, const struct expr_node *root)
{
    if (p->token.kind == TOKEN_END)
        (void)want_type(p, root, EXPR_BOOL);
    else if (find_operator(&p->token) >= 0)
        expr_fail_token(p, "comparisons do not chain: join them with and");
    else
        expr_fail_token(p, "expected and, or, a comparison, or the end");
}

struct expr *expr_parse(struct span text, struct place place, const struct expr_scope *scope,
                        struct arena *arena, struct diags *diags)
{
    struct parser p = { .place = place, .scope = scope, .arena = arena, .diags = diags };
    struct expr *expr = arena_new(arena, struct expr);
    p.text = arena_copy(arena, text);
    if (expr == NULL || p.text.p == NULL || text.len > EXPR_BYTES_MAX) {
        expr_fail(&p, DIAG_EXPR_LIMIT, 0, 1, SPAN("split it into several rules"),
                  "the expression is too long");
        return NULL;
    }
    expr_advance(&p);
    struct expr_node *root = p.failed ? NULL : expr_whole(&p);
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
