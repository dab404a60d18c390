/* Stashed input: see stash.h. */
#include "gateway/net/stash.h"

#include <stdlib.h>

bool stash_keep(struct stash *stash, struct slab_pool *pool, struct span input)
{
    INVARIANT(stash->p == NULL);
    if (input.len == 0)
        return true;
    stash->p = input.len > SLAB_BYTES ? malloc(input.len) : slab_get(pool);
    if (stash->p == NULL)
        return false;
    memcpy(stash->p, input.p, input.len);
    stash->len = input.len;
    return true;
}

void stash_free(struct stash *stash, struct slab_pool *pool)
{
    if (stash->p == NULL)
        return;
    if (stash->len > SLAB_BYTES)
        free(stash->p);
    else
        slab_put(pool, stash->p);
    *stash = (struct stash){ 0 };
}
