/* The stack of free blocks. The first bytes of a free block point to the next. */
#include "gateway/base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/poison.h"

void slab_pool_init(struct slab_pool *pool, size_t keep, size_t limit)
{
    *pool = (struct slab_pool){ .keep = keep, .limit = limit };
}

void slab_share_init(struct slab_pool *share, struct slab_pool *from, size_t limit)
{
    *share = (struct slab_pool){ .from = from, .limit = limit };
}

/* ---- counting ---- */

static bool charge(struct slab_pool *pool, size_t blocks)
{
    if (pool->in_use > pool->limit || blocks > pool->limit - pool->in_use)
        return false;
    if (pool->from != NULL && !charge(pool->from, blocks)) /* two levels: no depth of input */
        return false;
    pool->in_use += blocks;
    return true;
}

static void discharge(struct slab_pool *pool, size_t blocks)
{
    for (; pool != NULL; pool = pool->from) {
        INVARIANT(pool->in_use >= blocks);
        pool->in_use -= blocks;
    }
}

static size_t blocks_of(size_t bytes)
{
    return bytes / SLAB_BYTES + (bytes % SLAB_BYTES != 0);
}

bool slab_charge(struct slab_pool *pool, size_t bytes)
{
    return charge(pool, blocks_of(bytes));
}

void slab_discharge(struct slab_pool *pool, size_t bytes)
{
    discharge(pool, blocks_of(bytes));
}

/* ---- blocks ---- */

static struct slab_pool *owner_of(struct slab_pool *pool)
{
    while (pool->from != NULL)
        pool = pool->from;
    return pool;
}

static void *pop(struct slab_pool *pool)
{
    void *slab = pool->free;
    UNPOISON(slab, SLAB_BYTES);
    memcpy(&pool->free, slab, sizeof(void *));
    pool->free_count--;
    return slab;
}

void slab_pool_close(struct slab_pool *pool)
{
    INVARIANT(pool->in_use == 0);
    while (pool->free != NULL)
        free(pop(pool));
    INVARIANT(pool->free_count == 0);
}

void *slab_get(struct slab_pool *pool)
{
    struct slab_pool *owner = owner_of(pool);

    if (!charge(pool, 1))
        return NULL;
    void *slab = owner->free != NULL ? pop(owner) : malloc(SLAB_BYTES);
    if (slab == NULL)
        discharge(pool, 1);
    return slab;
}

void slab_put(struct slab_pool *pool, void *slab)
{
    if (slab == NULL)
        return;
    discharge(pool, 1);
    pool = owner_of(pool);
    if (pool->free_count >= pool->keep) {
        free(slab);
        return;
    }
    memcpy(slab, &pool->free, sizeof(void *));
    POISON(slab, SLAB_BYTES);
    pool->free = slab;
    pool->free_count++;
}
