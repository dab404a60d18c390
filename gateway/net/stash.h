/*
 * Input that nobody has taken yet: half a head, a pipelined request, a body while its reader
 * waits. In a slab of the pool, or malloc'd and counted there when it is larger than one. A
 * zeroed struct is an empty stash.
 */
#ifndef SALLYPORT_STASH_H
#define SALLYPORT_STASH_H

#include "gateway/base/slab.h"
#include "gateway/base/span.h"

struct stash {
    char *p; /* NULL: empty */
    size_t len;
};

/* Copies `input` into an empty stash; false: no memory. */
MUST_USE bool stash_keep(struct stash *stash, struct slab_pool *pool, struct span input);
void stash_free(struct stash *stash, struct slab_pool *pool);

#endif
