/*
 * The expression language of `when:` and `unless:`. Typed, without loops or effects, bounded:
 *
 *     path == "/xmlrpc.php" and client.ip not in @office
 *     method in ["POST", "PUT"] and (field("x-api-version") != "2" or not query("debug") == "")
 *
 * or, and, not; == != < <= > >=; in, not in (a list literal, @name, or a prefix "10.0.0.0/8"
 * for addresses); contains, starts_with, ends_with, matches (a regular expression), iequals,
 * which ignores ASCII case; other texts compare their bytes. Types: text, number, boolean,
 * address; mismatched ones are errors at their column, found at load. Texts stand in " or ' and
 * know the escapes \n \r \t \\ \" \' \xHH; what follows matches is taken as it is.
 *
 * What the names mean lies above: a scope tells name and type, a callback answers values at run
 * time.
 */
#ifndef SALLYPORT_EXPR_H
#define SALLYPORT_EXPR_H

#include "conf/diag.h"
#include "gateway/base/addr.h"

enum { EXPR_NODES_MAX = 256, EXPR_DEPTH_MAX = 32, EXPR_BYTES_MAX = 4096, EXPR_LIST_MAX = 1024 };

enum expr_type { EXPR_TEXT, EXPR_NUMBER, EXPR_BOOL, EXPR_ADDR };

struct expr_value {
    enum expr_type type;
    bool missing; /* compares unequal to everything, false as a boolean */
    struct span text;
    int64_t number; /* EXPR_NUMBER and EXPR_BOOL */
    struct addr addr;
};

/* A variable: plain (`path`) or with one text argument (`field("host")`). */
struct expr_name {
    const char *name;
    enum expr_type type;
    bool argument;
    int id; /* the caller's own */
    const char *help;
};

struct expr_scope {
    const struct expr_name *names; /* ends with a NULL name */
    /* @name to an id, or -1. NULL: there are no lists. */
    int (*list)(void *owner, struct span name);
    /* Compiles a regular expression to an id, or -1 with `*why` (constant or in the arena). */
    int (*pattern)(void *owner, struct span pattern, struct arena *arena, struct span *why);
    /* Why this name cannot be used here, or NULL. NULL: all can. */
    const char *(*unusable)(const struct expr_scope *scope, int id);
    bool answers; /* for `unusable`: it is evaluated where there is an answer */
    void *owner;
};

/* How an expression reaches the request at run time. */
struct expr_source {
    struct expr_value (*value)(void *ctx, int id, struct span argument);
    bool (*in_list)(void *ctx, int list, const struct expr_value *value);
    bool (*matches)(void *ctx, int pattern, struct span text);
    void *ctx;
};

/*
 * NULL after one error in `diags`. `place` is where the text's first character stands; the
 * error has its own column when the text stands there verbatim or the place has no source, and
 * else that of `place`. An argument is always a constant, so callers may resolve it by pointer.
 */
struct expr *expr_parse(struct span text, struct place place, const struct expr_scope *scope,
                        struct arena *arena, struct diags *diags);
bool expr_eval(const struct expr *expr, const struct expr_source *source);
/* The expression as it was written. */
struct span expr_text(const struct expr *expr);
/* Each variable that stands in it: to know what a rule needs before a body is read. */
void expr_each_name(const struct expr *expr,
                    void (*use)(void *ctx, int id, struct span argument), void *ctx);

#endif
