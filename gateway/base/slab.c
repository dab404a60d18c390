/* The stack of free blocks. The first bytes of a free block point to the next. */
#include "gateway/base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/base/poison.h"

void slab_pool_init(struct slab_pool *pool, size_t keep, size_t limit)
{
    *pool = (struct slab_pool){ .keep = keep, .limit = limit };
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
    if (pool->in_use >= pool->limit)
        return NULL;
    void *slab = pool->free != NULL ? pop(pool) : malloc(SLAB_BYTES);
    if (slab != NULL)
        pool->in_use++;
    return slab;
}

void slab_put(struct slab_pool *pool, void *slab)
{
    if (slab == NULL)
        return;
    INVARIANT(pool->in_use > 0);
    pool->in_use--;
    if (pool->free_count >= pool->keep) {
        free(slab);
        return;
    }
    memcpy(slab, &pool->free, sizeof(void *));
    POISON(slab, SLAB_BYTES);
    pool->free = slab;
    pool->free_count++;
}
