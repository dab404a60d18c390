/*
 * A body held in memory for inspection: one run of bytes, bounded per body and per worker.
 * Small ones live in the transaction's arena; larger ones are malloc'd and counted in
 * worker->held_bytes.
 */
#ifndef SALLYPORT_HELD_H
#define SALLYPORT_HELD_H

#include "gateway/base/arena.h"
#include "gateway/net/worker.h"

enum { HELD_IN_ARENA_MAX = 4096 };

struct held {
    struct worker *worker;
    struct arena *arena;
    char *p;
    size_t len, size;
    size_t limit;      /* of this body */
    size_t worker_max; /* of all held bodies together */
    size_t counted;    /* in worker->held_bytes */
};

/* `expected` is a hint: the Content-Length, or 0. */
void held_begin(struct held *held, struct worker *worker, struct arena *arena, size_t limit,
                size_t worker_max, uint64_t expected);
/* ERR_LIMIT: over its own limit. ERR_MEMORY: over the worker's, or none left. */
MUST_USE enum err held_add(struct held *held, struct span bytes);
void held_free(struct held *held);

static inline struct span held_span(const struct held *held)
{
    return span_of(held->p != NULL ? held->p : "", held->len);
}

#endif
