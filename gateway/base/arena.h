/*
 * Memory of one lifetime: bump allocation, freed all at once, with a ceiling.
 *
 * The first chunk is lent by the owner (a transaction embeds one), so a usual request touches
 * no allocator. Further chunks are slabs of the pool (or from malloc where `pool` is NULL); one
 * larger than a slab is malloc'd. At the ceiling an allocation answers NULL, and `exhausted`
 * stays set until the reset. Memory is not zeroed except by arena_zero.
 */
#ifndef SALLYPORT_ARENA_H
#define SALLYPORT_ARENA_H

#include "gateway/base/poison.h"
#include "gateway/base/slab.h"
#include "gateway/base/span.h"

struct arena_chunk;
struct arena_deferred;

struct arena {
    char *next, *end;
    struct arena_chunk *chunks;
    struct arena_deferred *deferred;
    struct slab_pool *pool;
    char *first;
    size_t first_size;
    size_t used;    /* bytes taken in further chunks */
    size_t ceiling; /* of `used` */
    bool exhausted;
};

/* `first` outlives the arena; it may be NULL with size 0. */
void arena_init(struct arena *arena, void *first, size_t first_size, struct slab_pool *pool,
                size_t ceiling);
/* Runs what was deferred, newest first, frees further chunks, and starts again. */
void arena_reset(struct arena *arena);

void *arena_alloc_slow(struct arena *arena, size_t size);

/* 16-byte aligned; NULL at the ceiling. No bytes at all still have an address of their own. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    /* A size of 0, or one so large that the sum wrapped, is 0 here and takes the slow way. */
    if (__builtin_expect(rounded - 1 >= (size_t)(arena->end - arena->next), 0))
        return arena_alloc_slow(arena, size);
    void *p = arena->next;
    arena->next += rounded;
    UNPOISON(p, size);
    return p;
}

void *arena_zero(struct arena *arena, size_t count, size_t size); /* overflow answers NULL */
/* One whose size the compiler knows. */
static inline void *arena_zero_one(struct arena *arena, size_t size)
{
    void *p = arena_alloc(arena, size);
    if (p != NULL)
        memset(p, 0, size);
    return p;
}
#define arena_new(arena, type) ((type *)arena_zero_one((arena), sizeof(type)))
#define arena_array(arena, type, count) ((type *)arena_zero((arena), (count), sizeof(type)))

/* A copy; on exhaustion an empty span with NULL pointer. A copied empty span has a pointer. */
struct span arena_copy(struct arena *arena, struct span s);
char *arena_cstring(struct arena *arena, struct span s); /* NUL added; NULL on exhaustion */

/* Calls fn(ptr) at the reset. False on exhaustion: then the caller releases at once. */
MUST_USE bool arena_defer(struct arena *arena, void (*fn)(void *), void *ptr);

#endif
