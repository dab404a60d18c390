/*
 * A hash table from byte keys to pointers, of fixed capacity, made once and read often (host
 * names, option names, users). Keys are not copied. Siphash under a random key, open
 * addressing, at most half full.
 */
#ifndef SALLYPORT_TABLE_H
#define SALLYPORT_TABLE_H

#include "gateway/base/arena.h"
#include "gateway/base/siphash.h"

struct table_slot {
    struct span key;
    uint64_t hash;
    void *value;
};

struct table {
    struct table_slot *slots;
    size_t mask, count, capacity;
    struct siphash_key seed;
};

MUST_USE enum err table_init(struct table *table, struct arena *arena, size_t capacity);
MUST_USE enum err table_put(struct table *table, struct span key,
                            void *value);                    /* ERR_DUPLICATE, ERR_LIMIT */
void *table_get(const struct table *table, struct span key); /* NULL: not there */

#endif
