/* Held bodies: bounded alone and together, and whole however they come. */
#include "gateway/held.h"

#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static struct plane plane;
static struct arena arena;
static struct held held;
static char bytes[MIB];
static const struct addr nobody; /* without a share */

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    arena_init(&arena, NULL, 0, NULL, MIB);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 3);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    held_free(&held);
    held_free(&held); /* idempotent */
    assert_int_equal(plane.worker.held_bytes, 0);
    arena_reset(&arena);
    plane_close(&plane);
    return 0;
}

static void begin(size_t limit, size_t worker_max, uint64_t expected)
{
    held_free(&held);
    held = (struct held){
        .worker = &plane.worker, .arena = &arena, .limit = limit, .worker_max = worker_max
    };
    held_begin(&held, &nobody, expected);
}

static void a_body_is_whole_however_it_comes(void **state)
{
    static const size_t steps[] = { 1, 7, 4096, 16 * KIB, 100 * KIB };
    static const uint64_t hints[] = { 0, 1, 4096, 4097, 200000, UINT64_MAX };

    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        for (size_t h = 0; h < ARRAY_LEN(hints); h++) {
            begin(MIB, 4 * MIB, hints[h]);
            for (size_t at = 0; at < 120 * KIB; at += steps[s])
                assert_int_equal(held_add(&held, span_of(bytes + at, steps[s])), OK);
            assert_span(held_span(&held), span_of(bytes, held.len));
            assert_true(held.len >= 120 * KIB);
            assert_true(plane.worker.held_bytes >= held.len);
        }
    }
}

static void small_ones_live_in_the_arena(void **state)
{
    (void)state;
    begin(MIB, 0, 5);
    assert_int_equal(held_add(&held, SPAN("hello")), OK);
    assert_text(held_span(&held), "hello");
    assert_int_equal(plane.worker.held_bytes, 0);
    /* The length was a lie: it moves, and is counted. */
    assert_int_equal(held_add(&held, SPAN("!")), ERR_MEMORY);
    begin(MIB, MIB, 5);
    assert_int_equal(held_add(&held, SPAN("hello")), OK);
    assert_int_equal(held_add(&held, SPAN("!")), OK);
    assert_text(held_span(&held), "hello!");
    assert_true(plane.worker.held_bytes > 0);
}

static void nothing_is_held_as_nothing(void **state)
{
    (void)state;
    begin(10, 10, 0);
    assert_int_equal(held_span(&held).len, 0);
    assert_non_null(held_span(&held).p);
    held_free(&held);
    assert_non_null(held_span(&held).p);
}

static void the_limit_is_exact(void **state)
{
    static const size_t limits[] = { 0, 1, 4096, 16 * KIB, 16 * KIB + 1, 100000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        for (int at_once = 0; at_once < 2; at_once++) {
            begin(limits[i], MIB, UINT64_MAX);
            size_t step = at_once && limits[i] > 0 ? limits[i] : 1;
            for (size_t at = 0; at < limits[i]; at += step)
                assert_int_equal(held_add(&held, span_of(bytes + at, step)), OK);
            assert_int_equal(held_add(&held, span_of(bytes, 1)), ERR_LIMIT);
            assert_int_equal(held.len, limits[i]);
            assert_true(held.counted <= limits[i]);
        }
    }
    begin(10, MIB, 0);
    assert_int_equal(held_add(&held, span_of(bytes, SIZE_MAX)), ERR_LIMIT);
}

/* A declared length reserves nothing: a thousand clients may each announce a gigabyte. */
static void memory_follows_what_has_come(void **state)
{
    (void)state;
    begin(1024 * MIB, 2048ull * MIB, 1024 * MIB);
    assert_int_equal(plane.worker.held_bytes, 0);
    assert_int_equal(held_add(&held, SPAN("x")), OK);
    assert_true(plane.worker.held_bytes <= 16 * KIB);
}

static void all_bodies_together_are_bounded(void **state)
{
    struct held second;

    (void)state;
    begin(MIB, 64 * KIB, 0);
    second = (struct held){
        .worker = &plane.worker, .arena = &arena, .limit = MIB, .worker_max = 64 * KIB
    };
    held_begin(&second, &nobody, 0);
    assert_int_equal(held_add(&held, span_of(bytes, 40 * KIB)), OK);
    assert_int_equal(held_add(&second, span_of(bytes, 20 * KIB)), OK);
    assert_int_equal(held_add(&second, span_of(bytes, 40 * KIB)), ERR_MEMORY);
    assert_span(held_span(&second), span_of(bytes, 20 * KIB)); /* what it has, it keeps */
    assert_true(plane.worker.held_bytes <= 64 * KIB);
    held_free(&held);
    assert_int_equal(held_add(&second, span_of(bytes + 20 * KIB, 20 * KIB)), OK);
    assert_span(held_span(&second), span_of(bytes, 40 * KIB));
    held_free(&second);
}

/* A quarter is one client's, or one body of the largest size; the rest is for others. */
static void one_client_has_a_share(void **state)
{
    struct held all[9];
    struct addr one, other;
    size_t count = 0;

    (void)state;
    assert_true(addr_parse(SPAN("192.0.2.1"), &one) && addr_parse(SPAN("192.0.2.2"), &other));
    for (size_t limit = 16 * KIB; limit <= 128 * KIB; limit *= 8) {
        size_t fit = limit > 64 * KIB ? 1 : 4; /* of 256 KiB a quarter; or one of the largest */
        for (count = 0; count <= fit; count++) {
            all[count] = (struct held){ .worker = &plane.worker,
                                        .arena = &arena,
                                        .limit = limit,
                                        .worker_max = 256 * KIB };
            held_begin(&all[count], &one, 0);
            assert_int_equal(held_add(&all[count], span_of(bytes, limit)),
                             count < fit ? OK : ERR_BUSY);
        }
        held = (struct held){
            .worker = &plane.worker, .arena = &arena, .limit = limit, .worker_max = 256 * KIB
        };
        held_begin(&held, &other, 0);
        assert_int_equal(held_add(&held, span_of(bytes, limit)), OK);
        /* What goes makes room. */
        held_free(&all[0]);
        held_free(&all[fit]);
        all[fit] = (struct held){
            .worker = &plane.worker, .arena = &arena, .limit = limit, .worker_max = 256 * KIB
        };
        held_begin(&all[fit], &one, 0);
        assert_int_equal(held_add(&all[fit], span_of(bytes, limit)), OK);
        for (size_t i = 1; i <= fit; i++)
            held_free(&all[i]);
        held_free(&held);
    }
    for (size_t i = 0; i < CLIENT_SHARES; i++)
        assert_int_equal(plane.worker.shares[i].held, 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(CASE(one_client_has_a_share), CASE(a_body_is_whole_however_it_comes),
               CASE(small_ones_live_in_the_arena), CASE(nothing_is_held_as_nothing),
               CASE(the_limit_is_exact), CASE(memory_follows_what_has_come),
               CASE(all_bodies_together_are_bounded));
}
