/*
 * Evaluation: a walk over a tree whose types were checked at load. It cannot fail, does no
 * allocation, and visits each node at most once. What is missing in a request equals nothing,
 * so that a rule that wants a value does not match a request without one.
 */
#include "conf/expr_tree.h"

typedef bool op_fn(const struct expr_node *node, const struct expr_source *source);

static bool eval(const struct expr_node *node, const struct expr_source *source);

static struct expr_value value_of(const struct expr_node *node,
                                  const struct expr_source *source)
{
    if (node->op == OP_CONSTANT)
        return node->constant;
    if (node->op != OP_NAME)
        return (struct expr_value){ .type = EXPR_BOOL, .number = eval(node, source) };
    struct expr_value value = source->value(source->ctx, node->name->id, node->argument);
    value.missing = value.missing || value.type != node->type;
    return value;
}

static bool same(const struct expr_value *a, const struct expr_value *b)
{
    if (a->missing || b->missing)
        return false;
    switch (a->type) {
    case EXPR_TEXT:
        return span_equal(a->text, b->text);
    case EXPR_NUMBER:
        return a->number == b->number;
    case EXPR_BOOL:
        return (a->number != 0) == (b->number != 0);
    case EXPR_ADDR:
        return addr_equal(&a->addr, &b->addr);
    }
    return false;
}

static bool eval_value(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value value = value_of(node, source);
    return !value.missing && value.number != 0;
}

static bool eval_not(const struct expr_node *node, const struct expr_source *source)
{
    return !eval(node->left, source);
}

static bool eval_and(const struct expr_node *node, const struct expr_source *source)
{
    return eval(node->left, source) && eval(node->right, source);
}

static bool eval_or(const struct expr_node *node, const struct expr_source *source)
{
    return eval(node->left, source) || eval(node->right, source);
}

static bool eval_equality(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value left = value_of(node->left, source);
    struct expr_value right = value_of(node->right, source);
    return same(&left, &right) == (node->op == OP_EQUAL);
}

static bool eval_order(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value left = value_of(node->left, source);
    struct expr_value right = value_of(node->right, source);
    if (left.missing || right.missing)
        return false;
    if (node->op == OP_LESS)
        return left.number < right.number;
    if (node->op == OP_LESS_EQUAL)
        return left.number <= right.number;
    if (node->op == OP_GREATER)
        return left.number > right.number;
    return left.number >= right.number;
}

static bool eval_text(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value left = value_of(node->left, source);
    struct expr_value right = value_of(node->right, source);
    if (left.missing || right.missing)
        return false;
    if (node->op == OP_CONTAINS)
        return span_find(left.text, right.text) >= 0;
    if (node->op == OP_STARTS_WITH)
        return span_starts(left.text, right.text);
    if (node->op == OP_ENDS_WITH)
        return span_ends(left.text, right.text);
    return span_equal_nocase(left.text, right.text);
}

static bool eval_matches(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value value = value_of(node->left, source);
    return !value.missing && source->matches(source->ctx, node->id, value.text);
}

static bool eval_in_list(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value value = value_of(node->left, source);
    return !value.missing && source->in_list(source->ctx, node->id, &value);
}

static bool eval_in_set(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value value = value_of(node->left, source);
    for (size_t i = 0; i < node->set.count; i++) {
        if (same(&value, &node->set.items[i]))
            return true;
    }
    return false;
}

static bool eval_in_cidrs(const struct expr_node *node, const struct expr_source *source)
{
    struct expr_value value = value_of(node->left, source);
    return !value.missing && cidrs_contain(&node->cidrs, &value.addr);
}

static op_fn *const ops[OP_COUNT] = {
    [OP_CONSTANT] = eval_value,
    [OP_NAME] = eval_value,
    [OP_NOT] = eval_not,
    [OP_AND] = eval_and,
    [OP_OR] = eval_or,
    [OP_EQUAL] = eval_equality,
    [OP_UNEQUAL] = eval_equality,
    [OP_LESS] = eval_order,
    [OP_LESS_EQUAL] = eval_order,
    [OP_GREATER] = eval_order,
    [OP_GREATER_EQUAL] = eval_order,
    [OP_CONTAINS] = eval_text,
    [OP_STARTS_WITH] = eval_text,
    [OP_ENDS_WITH] = eval_text,
    [OP_IEQUALS] = eval_text,
    [OP_MATCHES] = eval_matches,
    [OP_IN_LIST] = eval_in_list,
    [OP_IN_SET] = eval_in_set,
    [OP_IN_CIDRS] = eval_in_cidrs,
};

static bool eval(const struct expr_node *node, const struct expr_source *source)
{
    return ops[node->op](node, source);
}

bool expr_eval(const struct expr *expr, const struct expr_source *source)
{
    return eval(expr->root, source);
}
