/* Stashed input: see stash.h. */
#include "gateway/net/stash.h"

#include <stdlib.h>

bool stash_keep(struct stash *stash, struct slab_pool *pool, struct span input)
{
    INVARIANT(stash->p == NULL);
    if (input.len == 0)
        return true;
    if (input.len <= SLAB_BYTES) {
        stash->p = slab_get(pool);
    } else if (slab_charge(pool, input.len)) {
        stash->p = malloc(input.len);
        if (stash->p == NULL)
            slab_discharge(pool, input.len);
    }
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
    if (stash->len > SLAB_BYTES) {
        slab_discharge(pool, stash->len);
        free(stash->p);
    } else {
        slab_put(pool, stash->p);
    }
    *stash = (struct stash){ 0 };
}
