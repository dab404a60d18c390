/*
 * Between the files that match a link (match.c) and see to what follows (matched.c).
 */
#ifndef SALLYPORT_RULES_MATCH_H
#define SALLYPORT_RULES_MATCH_H

#include "rules/engine/run.h"

/* A value as one target shows it. */
struct shown {
    const struct sec_link *link;
    enum variable var;
    bool count; /* the value is a number of values */
    struct sec_value *value;
    struct span text; /* after transformations */
    unsigned step;    /* multiMatch: which of the path */
};

/* Where in `text` something was found; TX:0 and so on. */
struct found {
    bool yes, located;
    size_t offset, len;
    struct regex_captures captures;
    char room[16]; /* of captures that are no part of the value */
};

/* The link matched there. False: out of memory. */
MUST_USE bool sec_on_match(struct sec_run *run, const struct shown *shown,
                           const struct found *found);

#endif
