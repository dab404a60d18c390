/* The slow half of the arena: further chunks, the ceiling, what is deferred to the reset. */
#include "gateway/base/arena.h"

#include <stdlib.h>

/* A further chunk; its memory follows, 16-byte aligned as malloc aligns the chunk. */
struct arena_chunk {
    struct arena_chunk *older;
    struct slab_pool *pool; /* where the chunk is counted, and goes back to; or NULL */
    size_t size;            /* with this head */
    size_t unused;          /* keeps the memory behind aligned */
};

_Static_assert(sizeof(struct arena_chunk) % 16 == 0, "memory of a chunk is 16-byte aligned");

struct arena_deferred {
    struct arena_deferred *older;
    void (*fn)(void *);
    void *ptr;
};

void arena_init(struct arena *arena, void *first, size_t first_size, struct slab_pool *pool,
                size_t ceiling)
{
    INVARIANT(first != NULL || first_size == 0);
    *arena = (struct arena){
        .first = first, .first_size = first_size, .pool = pool, .ceiling = ceiling
    };
    arena_reset(arena);
}

static void *memory_of(struct slab_pool *pool, size_t size)
{
    if (pool == NULL)
        return malloc(size);
    if (size == SLAB_BYTES)
        return slab_get(pool);
    if (!slab_charge(pool, size))
        return NULL;
    void *memory = malloc(size);
    if (memory == NULL)
        slab_discharge(pool, size);
    return memory;
}

static void chunk_free(struct arena_chunk *chunk)
{
    struct slab_pool *pool = chunk->pool;

    if (pool != NULL && chunk->size == SLAB_BYTES) {
        slab_put(pool, chunk);
        return;
    }
    if (pool != NULL)
        slab_discharge(pool, chunk->size);
    free(chunk);
}

static void release_chunks(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->older;
        UNPOISON(chunk, chunk->size);
        chunk_free(chunk);
    }
}

void arena_reset(struct arena *arena)
{
    while (arena->deferred != NULL) {
        struct arena_deferred deferred = *arena->deferred;
        arena->deferred = deferred.older;
        deferred.fn(deferred.ptr);
    }
    release_chunks(arena);

    /* The first chunk is lent without a promise of alignment; what we give out is aligned. */
    size_t skew = (size_t)(-(uintptr_t)arena->first & 15);
    if (skew > arena->first_size)
        skew = arena->first_size;
    arena->next = skew == 0 ? arena->first : arena->first + skew;
    arena->end = arena->first_size == 0 ? arena->next : arena->first + arena->first_size;
    arena->used = 0;
    arena->exhausted = false;
}

static struct arena_chunk *chunk_new(struct arena *arena, size_t size)
{
    if (size > arena->ceiling - arena->used)
        return NULL;
    struct arena_chunk *chunk = memory_of(arena->pool, size);
    if (chunk == NULL)
        return NULL;
    *chunk = (struct arena_chunk){ .older = arena->chunks, .pool = arena->pool, .size = size };
    arena->chunks = chunk;
    arena->used += size;
    POISON(chunk + 1, size - sizeof(*chunk));
    return chunk;
}

void *arena_alloc_slow(struct arena *arena, size_t size)
{
    size_t rounded, whole;
    if (size == 0)
        return arena_alloc(arena, 1);
    if (__builtin_add_overflow(size, 15u, &rounded) ||
        __builtin_add_overflow(rounded &= ~(size_t)15, sizeof(struct arena_chunk), &whole)) {
        arena->exhausted = true;
        return NULL;
    }

    bool own = whole > SLAB_BYTES;
    struct arena_chunk *chunk = chunk_new(arena, own ? whole : SLAB_BYTES);
    if (chunk == NULL) {
        arena->exhausted = true;
        return NULL;
    }
    char *p = (char *)(chunk + 1);
    UNPOISON(p, size);
    /* A chunk of its own is full at once: what is left of the one before stays in use. */
    if (!own) {
        arena->next = p + rounded;
        arena->end = (char *)chunk + SLAB_BYTES;
    }
    return p;
}

void *arena_zero(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        arena->exhausted = true;
        return NULL;
    }
    void *p = arena_alloc(arena, total);
    return p == NULL ? NULL : memset(p, 0, total);
}

struct span arena_copy(struct arena *arena, struct span s)
{
    char *p = arena_alloc(arena, s.len);
    if (p == NULL)
        return span_of(NULL, 0);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    return span_of(p, s.len);
}

char *arena_cstring(struct arena *arena, struct span s)
{
    size_t size;
    if (__builtin_add_overflow(s.len, 1u, &size)) {
        arena->exhausted = true;
        return NULL;
    }
    char *p = arena_alloc(arena, size);
    if (p == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return p;
}

bool arena_defer(struct arena *arena, void (*fn)(void *), void *ptr)
{
    struct arena_deferred *deferred = arena_alloc(arena, sizeof(*deferred));
    if (deferred == NULL)
        return false;
    *deferred = (struct arena_deferred){ .older = arena->deferred, .fn = fn, .ptr = ptr };
    arena->deferred = deferred;
    return true;
}
