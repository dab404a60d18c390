/*
 * Bytes that wait: of a request's body until the flow wants them, of an answer until the client
 * does. In slabs of the worker, first in, first out. A zeroed struct is an empty pile.
 */
#ifndef SALLYPORT_HTTP2_PILE_H
#define SALLYPORT_HTTP2_PILE_H

#include "gateway/base/slab.h"
#include "gateway/base/span.h"

struct pile_slab;

struct pile {
    struct pile_slab *first, *last;
    size_t len;
};

/* False: no memory; what was added before stays. */
MUST_USE bool pile_add(struct pile *pile, struct slab_pool *pool, struct span bytes);
/* The bytes of the first slab; empty when there are none. */
struct span pile_front(const struct pile *pile);
/* Takes `len` bytes off, no more than the front has. */
void pile_take(struct pile *pile, struct slab_pool *pool, size_t len);
void pile_free(struct pile *pile, struct slab_pool *pool);

#endif
