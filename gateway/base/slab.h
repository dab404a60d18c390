/*
 * Fixed blocks from a per-worker stack, last in first out, so that the hottest block is used
 * first. Blocks are SLAB_BYTES long. A pool holds back at most `keep` free blocks; the rest go
 * back to the C library. `limit` caps the blocks in use: over it slab_get answers NULL.
 *
 * A pool may be a share of another: it hands out the other's blocks, up to a limit of its own.
 */
#ifndef SALLYPORT_SLAB_H
#define SALLYPORT_SLAB_H

#include "gateway/base/base.h"

enum { SLAB_BYTES = 16 * 1024 };

struct slab_pool {
    struct slab_pool *from; /* NULL: blocks are its own */
    void *free;
    size_t free_count, keep;
    size_t in_use, limit;
};

void slab_pool_init(struct slab_pool *pool, size_t keep, size_t limit);
/* `from` outlives it and owns its blocks; it needs no close. */
void slab_share_init(struct slab_pool *share, struct slab_pool *from, size_t limit);
void slab_pool_close(struct slab_pool *pool); /* frees the free blocks; none may be in use */
void *slab_get(struct slab_pool *pool);       /* NULL at the limit or out of memory */
void slab_put(struct slab_pool *pool, void *slab); /* NULL is allowed */

/* Counts memory from elsewhere as if it were blocks; false: over the limit, nothing is counted.
 */
MUST_USE bool slab_charge(struct slab_pool *pool, size_t bytes);
void slab_discharge(struct slab_pool *pool, size_t bytes);

#endif
