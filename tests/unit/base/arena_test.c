/* Arenas and the slabs below them: alignment, ceilings, what comes back at the reset. */
#include "tests/unit/check.h"

#include "gateway/base/arena.h"

static void first_chunk_comes_first(void **state)
{
    (void)state;
    _Alignas(16) char first[64];
    struct arena arena;
    arena_init(&arena, first, sizeof(first), NULL, 0);
    assert_ptr_equal(arena_alloc(&arena, 1), first);
    assert_ptr_equal(arena_alloc(&arena, 48), first + 16);
    assert_false(arena.exhausted);
    assert_null(arena_alloc(&arena, 1)); /* the ceiling is of further chunks */
    assert_true(arena.exhausted);
    arena_reset(&arena);
    assert_false(arena.exhausted);
    assert_ptr_equal(arena_alloc(&arena, 64), first);
    arena_reset(&arena);

    arena_init(&arena, first + 1, sizeof(first) - 1, NULL, 0);
    assert_ptr_equal(arena_alloc(&arena, 48), first + 16); /* aligned in any case */
    assert_null(arena_alloc(&arena, 1));
    arena_init(&arena, first + 1, 3, NULL, 0); /* shorter than the way to alignment */
    assert_null(arena_alloc(&arena, 1));
}

static void ceiling_holds(void **state)
{
    (void)state;
    struct slab_pool pool;
    struct arena arena;
    slab_pool_init(&pool, 8, 8);
    arena_init(&arena, NULL, 0, &pool, 2 * SLAB_BYTES);
    size_t got = 0;
    while (arena_alloc(&arena, 1024) != NULL)
        got += 1024;
    assert_true(arena.exhausted);
    assert_true(got > 2 * SLAB_BYTES - 4 * 1024 && got < 2 * SLAB_BYTES);
    assert_int_equal(pool.in_use, 2);
    arena_reset(&arena);
    assert_int_equal(pool.in_use, 0);
    assert_int_equal(pool.free_count, 2);

    assert_null(arena_alloc(&arena, 2 * SLAB_BYTES)); /* with its head, one byte too large */
    assert_true(arena.exhausted);
    assert_non_null(arena_alloc(&arena, 2 * SLAB_BYTES - 32));
    assert_int_equal(pool.in_use, 2); /* larger than a slab: only counted there */
    assert_int_equal(pool.free_count, 2);
    arena_reset(&arena);
    slab_pool_close(&pool);
}

static void large_leaves_the_rest_in_use(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    char *small = arena_alloc(&arena, 16);
    char *large = arena_alloc(&arena, 100000);
    assert_non_null(large);
    memset(large, 'x', 100000);
    assert_ptr_equal(arena_alloc(&arena, 16), small + 16);
    arena_reset(&arena);
}

static void absurd_sizes(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, SIZE_MAX);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc(&arena, SIZE_MAX - 40));
    assert_null(arena_zero(&arena, SIZE_MAX / 2, 3));
    assert_true(arena.exhausted);
    arena_reset(&arena);

    char *none = arena_alloc(&arena, 0), *other = arena_alloc(&arena, 0);
    assert_non_null(none);
    assert_ptr_equal(other, none + 16);
    assert_int_equal(arena.used, SLAB_BYTES); /* not a chunk for each */
    arena_reset(&arena);
}

static void copies(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, SLAB_BYTES);
    char original[] = "abc";
    struct span copy = arena_copy(&arena, span_text(original));
    original[0] = 'x';
    assert_text(copy, "abc");
    assert_non_null(arena_copy(&arena, span_of(NULL, 0)).p);
    assert_string_equal(arena_cstring(&arena, SPAN("abc")), "abc");
    assert_string_equal(arena_cstring(&arena, span_of(NULL, 0)), "");
    unsigned char *zero = arena_zero(&arena, 10, 10);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    while (arena_alloc(&arena, 16) != NULL)
        continue;
    assert_null(arena_copy(&arena, SPAN("abc")).p);
    assert_null(arena_cstring(&arena, SPAN("abc")));
    arena_reset(&arena);
}

static char order[8];

static void note(void *ptr)
{
    order[strlen(order)] = *(char *)ptr;
}

static void deferred_runs_newest_first(void **state)
{
    (void)state;
    struct arena arena;
    char a = 'a', b = 'b';
    arena_init(&arena, NULL, 0, NULL, SLAB_BYTES);
    assert_true(arena_defer(&arena, note, &a));
    assert_true(arena_defer(&arena, note, &b));
    arena_reset(&arena);
    assert_string_equal(order, "ba");
    arena_reset(&arena);
    assert_string_equal(order, "ba"); /* once */

    arena_init(&arena, NULL, 0, NULL, 0);
    assert_false(arena_defer(&arena, note, &a));
}

static void slabs_are_last_in_first_out(void **state)
{
    (void)state;
    struct slab_pool pool;
    slab_pool_init(&pool, 2, 3);
    void *slabs[3];
    for (size_t i = 0; i < 3; i++) {
        slabs[i] = slab_get(&pool);
        memset(slabs[i], 0xee, SLAB_BYTES);
    }
    assert_null(slab_get(&pool));
    slab_put(&pool, NULL);
    slab_put(&pool, slabs[0]);
    slab_put(&pool, slabs[1]);
    slab_put(&pool, slabs[2]); /* one more than is kept */
    assert_int_equal(pool.free_count, 2);
    assert_ptr_equal(slab_get(&pool), slabs[1]);
    assert_ptr_equal(slab_get(&pool), slabs[0]);
    slab_put(&pool, slabs[0]);
    slab_put(&pool, slabs[1]);
    slab_pool_close(&pool);
    assert_null(pool.free);
}

int main(void)
{
    return RUN(TEST(first_chunk_comes_first), TEST(ceiling_holds),
               TEST(large_leaves_the_rest_in_use), TEST(absurd_sizes), TEST(copies),
               TEST(deferred_runs_newest_first), TEST(slabs_are_last_in_first_out));
}
