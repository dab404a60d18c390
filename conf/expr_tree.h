/*
 * An expression after parsing. Private to conf.
 */
#ifndef SALLYPORT_EXPR_TREE_H
#define SALLYPORT_EXPR_TREE_H

#include "conf/expr.h"

enum expr_op {
    OP_CONSTANT,
    OP_NAME,
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_EQUAL,
    OP_UNEQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_CONTAINS,
    OP_STARTS_WITH,
    OP_ENDS_WITH,
    OP_IEQUALS,
    OP_MATCHES,  /* `id` is the pattern */
    OP_IN_LIST,  /* `id` is the list */
    OP_IN_SET,   /* `set` */
    OP_IN_CIDRS, /* `cidrs` */
    OP_COUNT
};

struct expr_set {
    struct expr_value *items;
    size_t count;
};

struct expr_node {
    enum expr_op op;
    enum expr_type type; /* of the result */
    struct expr_node *left, *right;
    struct expr_value constant;
    const struct expr_name *name;
    struct span argument;
    int id;
    struct expr_set set;
    struct cidrs cidrs;
    struct expr_node *next_name;
    size_t from, len; /* in the text */
};

struct expr {
    struct span text;
    struct expr_node *root;
    struct expr_node *names;
};

#endif
