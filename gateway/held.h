/*
 * A body held in memory for inspection: one run of bytes, bounded per body, per client and per
 * worker. Small ones live in the transaction's arena; larger ones are malloc'd and counted in
 * worker->held_bytes.
 *
 * One client may hold a quarter of what the worker holds, or one body of the largest size: who
 * sends many slow bodies at once keeps nobody else's out.
 */
#ifndef SALLYPORT_HELD_H
#define SALLYPORT_HELD_H

#include "gateway/base/addr.h"
#include "gateway/base/arena.h"
#include "gateway/net/share.h"

enum { HELD_IN_ARENA_MAX = 4096, HELD_SHARE = 4 };

struct held {
    struct worker *worker;
    struct arena *arena;
    char *p;
    size_t len, size;
    size_t limit;               /* of this body */
    size_t worker_max;          /* of all held bodies together */
    size_t counted;             /* in worker->held_bytes */
    struct client_share *share; /* the client's part of that; NULL: not counted */
};

/* The caller sets worker, arena, limit and worker_max before. `client` may be no network
 * address: then it has no share. `expected` is a hint: the Content-Length, or 0. */
void held_begin(struct held *held, const struct addr *client, uint64_t expected);
/* ERR_LIMIT: over its own limit. ERR_BUSY: over the client's share. ERR_MEMORY: over the
 * worker's, or none left. */
MUST_USE enum err held_add(struct held *held, struct span bytes);
void held_free(struct held *held);

/* What its client may hold in all, and where that is counted; NULL: it is not. */
size_t held_share_max(const struct held *held);
static inline size_t *held_share_count(const struct held *held)
{
    return held->share != NULL ? &held->share->held : NULL;
}

static inline struct span held_span(const struct held *held)
{
    return span_of(held->p != NULL ? held->p : "", held->len);
}

#endif
