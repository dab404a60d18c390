/*
 * What the parts of the expression parser share. Private to conf.
 */
#ifndef SALLYPORT_EXPR_PARSER_H
#define SALLYPORT_EXPR_PARSER_H

#include "conf/expr_lex.h"
#include "conf/expr_tree.h"

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

/* Only the first one is reported. */
void expr_fail(struct parser *p, enum diag_code code, size_t from, size_t len, struct span hint,
               const char *message);
void expr_fail_format(struct parser *p, enum diag_code code, const struct expr_node *at,
                      const char *format, ...) __attribute__((format(printf, 4, 5)));
void expr_fail_token(struct parser *p, const char *message);

void expr_advance(struct parser *p);
bool expr_expect(struct parser *p, enum token_kind kind, const char *message);
/* One level deeper: false at the limit. */
bool expr_enter(struct parser *p);

struct expr_node *expr_new(struct parser *p, enum expr_op op, enum expr_type type, size_t from,
                           size_t len);
/* A text or number of a literal. */
bool expr_literal(struct parser *p, struct expr_value *value);
struct expr_node *expr_operand(struct parser *p);
/* The whole grammar, for parentheses. */
struct expr_node *expr_whole(struct parser *p);

#endif
