/*
 * SecLang's operators: one row each, found by name.
 *
 * An operator is compiled once, at load, into something read-only, and evaluated on one value
 * at a time by a pure function: no allocation, no state. The semantics are those of
 * mod_security2 2.9; where this is stricter, the row's file says so. Two kinds are not
 * evaluated here: regular expressions (rules/regex.h, or the plan) and lookups in the geo
 * database, which the rules get by callback.
 */
#ifndef SALLYPORT_RULES_OPERATOR_H
#define SALLYPORT_RULES_OPERATOR_H

#include "gateway/base/text.h"

struct regex_local; /* rules/regex.h */

enum operator_kind {
    OPERATOR_EVAL,    /* compile (where there is one) and eval */
    OPERATOR_REGEX,   /* rx, rxGlobal: the caller compiles and matches the argument */
    OPERATOR_GEO,     /* geoLookup: the caller looks the address up, and fills GEO */
    OPERATOR_REFUSED, /* `refusal` says why */
};

/* What an operator is compiled from. */
struct operator_source {
    struct span argument; /* without the white space around it */
    struct span folder;   /* of the rule file, for relative paths; empty: the working one */
    struct arena *arena;  /* lives as long as the rules */
    struct text *why;     /* gets the reason of a failure */
    uint64_t *hash;       /* files that are read are mixed in; NULL: nobody asks */
};

struct operator_call {
    const void *prepared; /* by compile; NULL where the row has none */
    struct span value;
    struct span argument;            /* expanded where it holds macros, else as written */
    const struct regex_local *regex; /* the worker's; needed where the row says so */
};

/* Set when eval answers true. */
struct operator_match {
    size_t offset, len;   /* of what matched, in the value: all of it where no part is it */
    struct span captured; /* for TX:0 under `capture`; p NULL: the operator captures nothing */
    char room[16];        /* may hold what `captured` points at */
};

struct operator_row {
    const char *name;
    enum operator_kind kind;
    bool macros;      /* the argument may hold macros */
    bool argument;    /* there has to be one */
    bool needs_regex; /* eval uses call->regex */
    /* NULL: nothing to prepare. Has no macros to meet: those are not compiled. */
    bool (*compile)(const struct operator_source *source, const void **prepared);
    bool (*eval)(const struct operator_call *call, struct operator_match *match);
    void (*release)(const void *prepared); /* NULL: all of it is the arena's */
    /* It says no of every value that has none of these traits (rules/transform.h). NULL: of
     * none can that be said. */
    uint32_t (*wants)(const void *prepared);
    const char *refusal;
};

extern const struct operator_row operators[]; /* ends with a NULL name */

/* Without case, as mod_security2 takes them. NULL: there is none of that name. */
const struct operator_row *operator_find(struct span name);

#endif
