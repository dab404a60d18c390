/* What one client may take of a worker's slabs. */
#include "gateway/net/share.h"

#include <stdlib.h>

#include "gateway/base/arena.h"
#include "gateway/net/stash.h"

#include "tests/unit/check.h"

enum { ALL = 64, SHARE = 8 };

static struct worker *worker_new(void)
{
    struct worker *worker = calloc(1, sizeof *worker);

    assert_non_null(worker);
    slab_pool_init(&worker->slabs, 2, ALL);
    worker->share_slabs = SHARE;
    return worker;
}

static void worker_free(struct worker *worker)
{
    slab_pool_close(&worker->slabs);
    free(worker);
}

static struct client_share *of(struct worker *worker, const char *text)
{
    struct addr addr;

    assert_true(addr_parse(span_text(text), &addr));
    return client_share_of(worker, &addr);
}

/* Another row than that of `share`: the key is all zeros, so it is always the same one. */
static struct client_share *another(struct worker *worker, const struct client_share *share)
{
    static const char *const names[] = { "192.0.2.2", "192.0.2.3", "192.0.2.4" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct client_share *found = of(worker, names[i]);
        if (found != share)
            return found;
    }
    fail();
    return NULL;
}

static void one_client_takes_its_share_and_no_more(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1"), *other = another(worker, one);
    void *taken[SHARE];

    (void)state;
    for (size_t i = 0; i < SHARE; i++) {
        assert_int_equal(client_share_spent(worker, one), i >= SHARE - SHARE / 4);
        taken[i] = slab_get(client_slabs(worker, one));
        assert_non_null(taken[i]);
    }
    assert_null(slab_get(client_slabs(worker, one)));
    assert_int_equal(worker->slabs.in_use, SHARE);

    void *its = slab_get(client_slabs(worker, other));
    assert_non_null(its);
    assert_false(client_share_spent(worker, other));
    slab_put(client_slabs(worker, other), its);

    for (size_t i = 0; i < SHARE; i++)
        slab_put(client_slabs(worker, one), taken[i]);
    assert_int_equal(worker->slabs.in_use, 0);
    assert_int_equal(one->slabs.in_use, 0);
    worker_free(worker);
}

static void a_network_of_ipv6_is_one_client(void **state)
{
    struct worker *worker = worker_new();

    (void)state;
    assert_ptr_equal(of(worker, "2001:db8::1"), of(worker, "2001:db8::ffff:1"));
    assert_ptr_not_equal(of(worker, "2001:db8:0:1::1"), of(worker, "2001:db8:0:2::1"));
    struct addr unix_socket = { .family = ADDR_UNIX };
    assert_null(client_share_of(worker, &unix_socket));
    assert_ptr_equal(client_slabs(worker, NULL), &worker->slabs);
    worker_free(worker);
}

/* What is too large for a block counts as the blocks that it would fill. */
static void large_memory_counts(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1");
    struct slab_pool *pool = client_slabs(worker, one);
    static char large[SLAB_BYTES * 3 + 1];
    struct stash stash = { 0 }, second = { 0 }, third = { 0 };
    struct arena arena;

    (void)state;
    assert_true(stash_keep(&stash, pool, span_of(large, sizeof large)));
    assert_int_equal(one->slabs.in_use, 4);
    assert_true(stash_keep(&second, pool, span_of(large, sizeof large)));
    assert_false(stash_keep(&third, pool, span_of(large, 1)));
    stash_free(&second, pool);

    arena_init(&arena, NULL, 0, pool, sizeof large * 4);
    assert_non_null(arena_alloc(&arena, sizeof large));
    assert_int_equal(one->slabs.in_use, 8);
    assert_null(arena_alloc(&arena, 100));
    assert_true(arena.exhausted);
    arena_reset(&arena);
    stash_free(&stash, pool);
    assert_int_equal(worker->slabs.in_use, 0);
    worker_free(worker);
}

/* The worker's own limit holds for all shares together. */
static void shares_end_at_the_whole(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1");

    (void)state;
    worker->slabs.limit = 2;
    void *first = slab_get(&worker->slabs), *second = slab_get(client_slabs(worker, one));
    assert_non_null(first);
    assert_non_null(second);
    assert_null(slab_get(client_slabs(worker, one)));
    assert_int_equal(one->slabs.in_use, 1);
    slab_put(&worker->slabs, first);
    slab_put(client_slabs(worker, one), second);
    worker_free(worker);
}

/* ---- offences ---- */

static void after_ms(struct worker *worker, uint64_t ms)
{
    worker->loop.clock.mono_ns += ms * 1000000;
}

static bool is_barred(struct worker *worker, const char *text)
{
    struct addr addr;

    assert_true(addr_parse(span_text(text), &addr));
    return client_barred(worker, &addr);
}

static void offend(struct worker *worker, const char *text)
{
    struct addr addr;

    assert_true(addr_parse(span_text(text), &addr));
    client_offended(worker, &addr);
}

static void whoever_offends_too_often_opens_no_connections(void **state)
{
    struct worker *worker = worker_new();

    (void)state;
    after_ms(worker, 5000);
    client_offended(worker, &(struct addr){ .family = ADDR_UNIX });
    for (unsigned i = 0; i < OFFENCES_FREE; i++) {
        offend(worker, "192.0.2.1");
        assert_false(is_barred(worker, "192.0.2.1"));
    }
    offend(worker, "192.0.2.1");
    assert_true(is_barred(worker, "192.0.2.1"));
    assert_false(client_barred(worker, &(struct addr){ .family = ADDR_UNIX }));

    after_ms(worker, OFFENCE_MS);
    assert_false(is_barred(worker, "192.0.2.1"));
    offend(worker, "192.0.2.1");
    assert_true(is_barred(worker, "192.0.2.1"));
    worker_free(worker);
}

/* However many rows a botnet, or one host with a /48, has filled. */
static void nobody_is_barred_for_another_one(void **state)
{
    struct worker *worker = worker_new();
    unsigned met = 0;

    (void)state;
    for (unsigned i = 0; i < CLIENT_SHARES; i++) {
        struct addr addr = { .family = ADDR_V4,
                             .bytes = { 10, (uint8_t)(i >> 8), (uint8_t)i } };
        for (unsigned n = 0; n <= OFFENCES_FREE; n++)
            client_offended(worker, &addr);
    }
    for (unsigned i = 0; i < CLIENT_SHARES; i++) {
        struct addr addr = { .family = ADDR_V4,
                             .bytes = { 11, (uint8_t)(i >> 8), (uint8_t)i } };
        assert_false(client_barred(worker, &addr));
        met += client_share_of(worker, &addr)->calm_ms > 0;
    }
    assert_true(met > CLIENT_SHARES / 4); /* else nothing was proved */
    worker_free(worker);
}

/* However many connections were open at once. */
static void no_bar_lasts(void **state)
{
    struct worker *worker = worker_new();

    (void)state;
    for (unsigned i = 0; i < 10000; i++)
        offend(worker, "192.0.2.1");
    assert_true(is_barred(worker, "192.0.2.1"));
    after_ms(worker, OFFENCES_FREE * OFFENCE_MS - 1);
    assert_true(is_barred(worker, "192.0.2.1"));
    after_ms(worker, 1);
    assert_false(is_barred(worker, "192.0.2.1"));
    worker_free(worker);
}

/* ---- time ---- */

static void spend(struct client_share *share, uint64_t ns)
{
    share->turn_ns += ns;
}

static void who_is_alone_has_all_the_time(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1");
    uint64_t began_ns;

    (void)state;
    worker->loop.clock.mono_ns = 5000000000u;
    for (size_t i = 0; i < 100; i++) {
        assert_true(client_turn_enter(worker, one, &began_ns));
        assert_int_equal(began_ns, 0); /* and no clock is read */
        spend(one, TURN_NS);
        client_turn_leave(one, began_ns);
    }
    assert_false(worker_contended(worker));
    assert_true(client_turn_enter(worker, NULL, &began_ns));
    worker_free(worker);
}

static void among_several_each_has_its_turn(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1"), *other = another(worker, one);
    uint64_t began_ns;

    (void)state;
    worker->loop.clock.mono_ns = 5000000000u;
    worker->loop.turns = 7;
    assert_true(client_turn_enter(worker, one, &began_ns));
    assert_true(client_turn_enter(worker, other, &began_ns));
    client_turn_leave(other, began_ns);
    assert_true(worker_contended(worker));
    assert_true(client_turn_enter(worker, one, &began_ns));
    assert_true(began_ns > 0);
    client_turn_leave(one, began_ns);
    spend(one, TURN_NS - one->turn_ns - 1);
    assert_true(client_turn_enter(worker, one, &began_ns));
    spend(one, 1);
    assert_false(client_turn_enter(worker, one, &began_ns));
    other->turn_ns = 0; /* however slow the machine was */
    assert_true(client_turn_enter(worker, other, &began_ns));
    worker->loop.turns++;
    assert_true(client_turn_enter(worker, one, &began_ns));

    worker->loop.clock.mono_ns += (uint64_t)CONTENDED_MS * 1000000u;
    worker->last_share = one;
    spend(one, TURN_NS);
    assert_true(client_turn_enter(worker, one, &began_ns)); /* nobody else was there */
    worker_free(worker);
}

/* What could not be divided took the time of several turns. */
static void who_overran_leaves_a_turn_to_the_others(void **state)
{
    struct worker *worker = worker_new();
    struct client_share *one = of(worker, "192.0.2.1"), *other = another(worker, one);
    uint64_t began_ns;

    (void)state;
    worker->loop.clock.mono_ns = 5000000000u;
    worker->loop.turns = 7;
    assert_true(client_turn_enter(worker, one, &began_ns));
    assert_true(client_turn_enter(worker, other, &began_ns));
    for (uint64_t spent = OVERRUN_NS - 1; spent <= OVERRUN_NS; spent++) {
        worker->loop.turns += 2;
        assert_true(client_turn_enter(worker, one, &began_ns));
        one->turn_ns = spent;
        worker->loop.turns++;
        assert_int_equal(client_turn_enter(worker, one, &began_ns), spent < OVERRUN_NS);
        other->turn_ns = 0;
        assert_true(client_turn_enter(worker, other, &began_ns));
        worker->loop.turns++;
        assert_true(client_turn_enter(worker, one, &began_ns)); /* one turn, no more */
    }
    worker_free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_takes_its_share_and_no_more),
        cmocka_unit_test(a_network_of_ipv6_is_one_client),
        cmocka_unit_test(large_memory_counts),
        cmocka_unit_test(shares_end_at_the_whole),
        cmocka_unit_test(whoever_offends_too_often_opens_no_connections),
        cmocka_unit_test(nobody_is_barred_for_another_one),
        cmocka_unit_test(no_bar_lasts),
        cmocka_unit_test(who_is_alone_has_all_the_time),
        cmocka_unit_test(among_several_each_has_its_turn),
        cmocka_unit_test(who_overran_leaves_a_turn_to_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
