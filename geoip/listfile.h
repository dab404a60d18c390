/*
 * Files of addresses, as feeds write them, to the entries of a list. A file is taken whole or
 * not at all: one malformed line, and nothing of it is used.
 *
 *   plain   an address or prefix a line; behind `#` or `;` why (FireHOL's netset, Spamhaus
 * DROP) csv     with a line of column names, or `prefix,reason,expires,source` json    strings,
 * or objects with the address under any usual name, in arrays at any depth (published ranges of
 * crawlers and clouds); one value a line, too (DROP as JSON)
 *
 * Host bits behind a prefix are cleared. An expiry is seconds since 1970, a date
 * (2027-01-31T12:00:00Z), or a Go duration from now (3h20m1.5s), as CrowdSec writes them.
 */
#ifndef SALLYPORT_LISTFILE_H
#define SALLYPORT_LISTFILE_H

#include "gateway/base/addrlist.h"

enum {
    LISTFILE_BYTES_MAX = 128 * 1024 * 1024,
    LISTFILE_DEPTH_MAX = 16,   /* of JSON */
    LISTFILE_COLUMNS_MAX = 64, /* of CSV */
};

enum listfile_format { LISTFILE_AUTO, LISTFILE_PLAIN, LISTFILE_CSV, LISTFILE_JSON };

struct listfile_how {
    enum listfile_format format; /* AUTO: by the first bytes */
    uint32_t now_s;              /* from which durations count */
    struct span source, reason;  /* of entries that name none */
    uint32_t expires_s;          /* the same; 0: never */
};

struct listfile_problem {
    const char *why; /* a constant */
    unsigned line;   /* 0: not about one */
};

/* Spans of the entries are in `text`, or in the arena where something had to be unescaped. */
MUST_USE enum err listfile_read(struct span text, const struct listfile_how *how,
                                struct arena *arena, struct addrlist_entries *out,
                                struct listfile_problem *problem);

/* When an entry ends; false: none of the three forms. Overlong futures end at UINT32_MAX. */
MUST_USE bool listfile_expiry(struct span text, uint32_t now_s, uint32_t *expires_s);

#endif
