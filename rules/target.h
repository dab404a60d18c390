/*
 * Targets: the parts of a request that rules look at, one row each, and the values found there.
 *
 * A rule selects targets; a value says by which selectors it is selected. Both are bits of one
 * 64-bit word: the plain targets first, then each named one (`header:x-api-key`) in the order
 * in which rules mention it. A value is collected once, whatever the number of rules that look
 * at it.
 */
#ifndef SALLYPORT_RULES_TARGET_H
#define SALLYPORT_RULES_TARGET_H

#include "gateway/http/body.h"

enum target {
    TARGET_METHOD,
    TARGET_HOST,
    TARGET_PATH,
    TARGET_QUERY,
    TARGET_ARGS,
    TARGET_ARG_NAMES,
    TARGET_HEADERS,
    TARGET_USER_AGENT,
    TARGET_REFERER,
    TARGET_COOKIES,
    TARGET_BODY,
    TARGET_COUNT
};

/*
 * Values of one class are scanned with one database. What a client fills in at will is one
 * class, because the same patterns look at nearly all of it, and one database stays in the
 * cache; the other fields, of which there are many in a request, have one of the few patterns
 * that look at them.
 */
enum value_class { CLASS_INPUT, CLASS_FIELD, CLASS_COUNT };

enum {
    SELECTORS_MAX = 64,
    NAMED_MAX = SELECTORS_MAX - TARGET_COUNT,
    TARGET_NAME_MAX = 128, /* bytes of X in `header:X` */
};

struct target_row {
    const char *name;
    const char
        *named; /* how one of them is selected by name: "header" for `header:x`; or NULL */
    const char
        *label; /* in findings; with the value's own name behind a colon when it has one */
    enum value_class class;
    bool body; /* may stand in the body */
    const char *help;
};

extern const struct target_row targets[TARGET_COUNT];

struct selectors {
    struct {
        enum target target;
        struct span name;
    } named[NAMED_MAX];
    unsigned count;
};

/*
 * Adds to `*bits` what `text` selects; `all` is every plain target. ERR_UNKNOWN: no such
 * target; ERR_SYNTAX: a name is missing or too long; ERR_LIMIT: too many different names.
 * `text` must live as long as the selectors.
 */
MUST_USE enum err selectors_add(struct selectors *selectors, struct span text, uint64_t *bits);
/* Whether a value of `class` may be selected by one of `bits`. */
bool selectors_reach(const struct selectors *selectors, uint64_t bits, enum value_class class);
/* Whether one of `bits` may select something in a body. */
bool selectors_reach_body(const struct selectors *selectors, uint64_t bits);

struct value {
    struct span text, name; /* name: of the argument, field or cookie; else empty */
    uint64_t selects;
    enum target target;
    bool mixed; /* text and binary data, as in uploads */
};

struct values {
    struct value *items;
    unsigned count;
};

/* Which values to collect, and with what means. */
struct intake {
    const struct selectors *selectors;
    uint64_t wanted; /* selectors */
    unsigned limit;  /* of arguments, and of cookies */
    struct arena *arena;
};

/*
 * The values of a request's head that are wanted; empty ones are left out. ERR_LIMIT: more
 * arguments or cookies than the limit (all are looked at, or none).
 */
MUST_USE enum err values_of_head(struct values *values, const struct intake *intake,
                                 const struct request *req);
/* The same of its body, which has been read, and of its trailer fields. ERR_MEMORY. */
MUST_USE enum err values_of_body(struct values *values, const struct intake *intake,
                                 const struct request *req, const struct body *body);

/* Whether the body is labelled as an urlencoded form. */
bool body_is_form(const struct request *req);

#endif
