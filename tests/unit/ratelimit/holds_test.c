/* What is held of a key's slots, and what the store is told of it beside questions on their
 * way. */
#include "ratelimit/holds.h"

#include <stdlib.h>

#include "tests/unit/check.h"

static struct worker *worker;
static struct holds *holds;
static const char name[EXACT_NAME_BYTES] = "sixteen letters";

static int set_up(void **state)
{
    (void)state;
    worker = calloc(1, sizeof(*worker));
    holds = calloc(1, sizeof(*holds));
    assert_true(worker != NULL && holds != NULL);
    assert_int_equal(loop_init(&worker->loop), OK);
    holds_open(holds, NULL, worker);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_close(&worker->loop);
    free(holds);
    free(worker);
    return 0;
}

static void assert_told(struct hold *hold, uint64_t held, uint64_t given_back, bool whole)
{
    struct hold_word word = hold_tell(hold);
    assert_int_equal(word.held, held);
    assert_int_equal(word.given_back, given_back);
    assert_int_equal(word.whole, whole);
}

static void what_is_held_ends_with_the_request(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 16);
    struct hold *hold = hold_use(holds, 0, name, 3);
    assert_ptr_equal(hold_use(holds, 0, name, 3), hold);
    hold_leave(hold);
    hold_take(hold, &arena);
    hold_take(hold, &arena);
    assert_told(hold, 2, 0, true);
    hold_landed(hold);
    arena_reset(&arena);
    assert_told(hold, 0, 2, true);
    hold_landed(hold);
    assert_told(hold, 0, 0, true); /* what was given back is told once */
    hold_landed(hold);
    assert_int_equal(holds->count, 1);
    hold_leave(hold);
    assert_int_equal(holds->count, 0);
    assert_null(holds->first);
}

/* Beside a question that may be granted nobody knows the whole. */
static void the_whole_is_told_when_it_is_known(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 16);
    struct hold *hold = hold_use(holds, 0, name, 3);
    hold_take(hold, &arena);
    assert_told(hold, 1, 0, true);
    assert_told(hold, 1, 0, false);
    hold_take(hold, NULL); /* granted to who is gone: given back at once */
    hold_landed(hold);
    assert_told(hold, 1, 1, false);
    hold_landed(hold);
    hold_landed(hold);
    assert_told(hold, 1, 0, true);
    hold_landed(hold);
    hold_leave(hold); /* held still */
    assert_int_equal(holds->count, 1);
    arena_reset(&arena);
    assert_int_equal(holds->count, 0);
}

static void keys_are_bounded(void **state)
{
    (void)state;
    struct exact_item items[3] = { { .slots = true, .tolerance = 1 }, { .tolerance = 9 } };
    struct hold *first = hold_use(holds, 0, name, 1);
    for (uint64_t i = 1; i < HOLDS_MAX - 1; i++) {
        char other[EXACT_NAME_BYTES] = { 0 };
        memcpy(other, &i, sizeof(i));
        assert_non_null(hold_use(holds, 0, other, 1));
    }
    items[2] = (struct exact_item){ .slots = true, .tolerance = 1 };
    memcpy(items[0].name, "an other of them", EXACT_NAME_BYTES);
    memcpy(items[2].name, "one more of them", EXACT_NAME_BYTES);
    /* One fits, two do not; and of a question all or none. */
    assert_false(holds_use(holds, 0, items, 3));
    assert_int_equal(holds->count, HOLDS_MAX - 1);
    assert_true(holds_use(holds, 0, items, 2));
    assert_null(items[1].hold);
    holds_landed(items, 0);
    holds_leave(items, 2);
    hold_leave(first);
    assert_int_equal(holds->count, HOLDS_MAX - 2);
    while (holds->first != NULL)
        hold_leave(holds->first);
    assert_int_equal(holds->count, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_held_ends_with_the_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_whole_is_told_when_it_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
