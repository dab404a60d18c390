/*
 * Tokens of JSON (RFC 8259) for readers that build no document: lists and decisions of other
 * servers. Strings without escapes are spans of the text itself.
 */
#ifndef SALLYPORT_JSONREAD_H
#define SALLYPORT_JSONREAD_H

#include "gateway/base/arena.h"

struct jsonread {
    struct span text;
    const char *p; /* where it is */
    struct arena *arena;
    enum err err;    /* of the first problem */
    const char *why; /* a constant; NULL: none */
};

enum jsonread_token {
    JSONREAD_STRING,
    JSONREAD_OBJECT, /* its bracket has been taken, and so below */
    JSONREAD_ARRAY,
    JSONREAD_WORD /* a number, true, false or null */
};

void jsonread_begin(struct jsonread *in, struct span text, struct arena *arena);
/* Answers false, for the caller to pass on. */
bool jsonread_fail(struct jsonread *in, enum err err, const char *why);
unsigned jsonread_line(const struct jsonread *in);
/* White space is passed over; true: nothing stands behind it. */
MUST_USE bool jsonread_at_end(struct jsonread *in);
/* Behind white space: whether `c` stands there, which is taken then. */
MUST_USE bool jsonread_take(struct jsonread *in, char c);
/* What comes next: a string or word whole. */
MUST_USE bool jsonread_next(struct jsonread *in, enum jsonread_token *token,
                            struct span *value);
/* A key and its colon. */
MUST_USE bool jsonread_key(struct jsonread *in, struct span *key);
/* What an object or array that has begun holds, up to and with its end; `depth` levels more may
 * begin. */
MUST_USE bool jsonread_skip(struct jsonread *in, enum jsonread_token token, unsigned depth);

#endif
