/*
 * The last good sets of lists that come from other servers, in memory that the master holds: a
 * server that is down when a configuration is loaded, or when the steward was killed, empties
 * no list. Written by the steward alone, read by it and by a generation that loads.
 *
 * There are two places for each list, used in turn: who is killed in the middle of a write has
 * spoiled the older one. What is read is copied first and then checked.
 */
#ifndef SALLYPORT_FEEDKEPT_H
#define SALLYPORT_FEEDKEPT_H

#include "gateway/base/addrlist.h"

enum {
    FEEDS_MAX = 16,             /* lists with a URL */
    FEEDS_KEPT = FEEDS_MAX + 2, /* and those of a CrowdSec */
    FEED_NAME_BYTES = 256,
    FEED_ETAG_BYTES = 257,
    FEED_HASH_BYTES = 32,
    FEED_BYTES_MAX = 64 * 1024 * 1024, /* of a block; longer ones are not taken */
    FEEDS_LAYOUT = 2,
};

/* What is known of a set besides its addresses. */
struct feed_facts {
    uint8_t source[FEED_HASH_BYTES]; /* of the URL that it came from */
    uint8_t how[FEED_HASH_BYTES];    /* of the settings that it was read and judged by */
    char etag[FEED_ETAG_BYTES];      /* empty: none */
};

struct feed_bank {
    uint64_t turn;                   /* the higher one is the later one */
    uint64_t len;                    /* 0: nothing is here */
    uint64_t fetched_s;              /* wall clock, when its server was last heard of it */
    uint8_t digest[FEED_HASH_BYTES]; /* of name, facts and bytes */
    struct feed_facts facts;
    _Alignas(64) char bytes[FEED_BYTES_MAX];
};

struct feed_slot {
    char name[FEED_NAME_BYTES]; /* empty: free */
    struct feed_bank banks[2];
};

struct feeds_kept {
    struct feed_slot slots[FEEDS_KEPT];
};

struct feed_known {
    struct feed_facts facts;
    uint64_t fetched_s;
    struct span block; /* in the arena */
};

/*
 * The last good set of the list, without what stands in `without`. False: there is none, or it
 * is damaged.
 */
MUST_USE bool feed_recall(const struct feeds_kept *kept, const char *name,
                          const struct cidrs *without, uint32_t now_s, struct arena *arena,
                          struct feed_known *out);
/* False: there is no room. `in_use` tells whether a list of that name is configured. */
MUST_USE bool feed_keep(struct feeds_kept *kept, const char *name,
                        const struct feed_known *known,
                        bool (*in_use)(void *ctx, const char *name), void *ctx);
/* Its server has said that it still holds. */
void feed_confirm(struct feeds_kept *kept, const char *name, uint64_t fetched_s);

#endif
