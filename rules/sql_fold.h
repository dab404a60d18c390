/*
 * A value's fingerprint in one context, as libinjection makes it: its tokens, of which some are
 * joined and some dropped, until five are left; and their types.
 *
 * Most values are harmless, and most of these can be told soon: once tokens that nothing behind
 * them can change begin as no fingerprint of the list does, none of the rest is read.
 */
#ifndef SALLYPORT_RULES_SQL_FOLD_H
#define SALLYPORT_RULES_SQL_FOLD_H

#include "gateway/base/span.h"
#include "rules/sql_list.h"

/* How a value is read: as it stands, or as what stands behind a quote. */
struct sql_context {
    char quote; /* '\0': none */
    bool mysql;
};

struct sql_folded {
    char types[SQL_FINGERPRINT_MAX + 1]; /* the fingerprint, if `whole` */
    bool whole; /* false: it was not needed for the answer, or is not to be had here */
    bool again; /* MySQL reads the value in another way */
};

/*
 * False: libinjection does not fire on a value in this context. The value has no comment
 * between slashes: libinjection fires on some of these wherever they are, so what stands before
 * one tells nothing.
 */
bool sql_fold(struct span value, struct sql_context context, struct sql_folded *folded);

/* At load, once the words are ready. False: sql_fold is not to be used. */
bool sql_fold_prepare(void);

#endif
