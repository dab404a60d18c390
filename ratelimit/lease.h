/*
 * Leases: tokens of a shared limit that the store has given a worker in advance, for keys that
 * come often. A worker asks for about as many as it used of late, gets at most a part of what
 * is left, and may spend them without asking for LEASE_MS; what is not spent by then is lost.
 *
 * So never more is let through than the store gave, which is what the limit allows. Only in
 * time can it come closer: what passes in a stretch of time was given in it, or at most
 * LEASE_MS before. In any stretch at most rate * LEASE_MS, and never more than a burst, pass
 * beyond the limit; since the beginning, none.
 */
#ifndef SALLYPORT_RATELIMIT_LEASE_H
#define SALLYPORT_RATELIMIT_LEASE_H

#include "gateway/store/cells.h"

enum {
    LEASES_MAX = 8192, /* keys of one worker; one more takes another's place */
    LEASE_MS = 250,
    LEASE_HEAT_MS = 100, /* over which use is counted, and for which is asked */
    LEASE_HOT = 2,       /* uses in that time from which on a key is leased: 20 in a second */
    LEASE_PART = 4,      /* at most so big a part of what is left */
    LEASE_PAUSE_MS = 10, /* after a refusal: tokens gather, and one question brings several */
    LEASE_TOKENS_MAX = 1 << 20,
};

struct lease {
    struct cell_key key;
    uint64_t units, until_ns; /* what may be spent, and how long */
    uint64_t pause_ns;        /* refused before */
    uint64_t window;          /* of `uses`, in LEASE_HEAT_MS since the start of the clock */
    uint32_t uses, before;    /* in this window and in the one before */
};

struct leases {
    struct lease items[LEASES_MAX];
};

/* The place of a key; what another one had there is lost. */
struct lease *lease_of(struct leases *leases, struct cell_key key, uint64_t now_ns);
void lease_use(struct lease *lease);
/* How many tokens are to be asked for beside the one that is needed now; 0: it is not hot. */
unsigned lease_wants(const struct lease *lease);
MUST_USE bool lease_take(struct lease *lease, uint64_t units, uint64_t now_ns);
/* What was taken and is not needed. */
void lease_return(struct lease *lease, uint64_t units);
void lease_put(struct lease *lease, uint64_t units, uint64_t now_ns);
/* Refused just now; a bucket that holds `tolerance_ns` is asked before it has run over. */
void lease_refused(struct lease *lease, uint64_t tolerance_ns, uint64_t now_ns);
/* How long it still is to be refused without asking; 0: not at all. */
uint64_t lease_pause_ns(const struct lease *lease, uint64_t now_ns);

#endif
