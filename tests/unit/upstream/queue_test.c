/* The queue of requests that wait: clients take turns, whoever has many waits behind who has
 * few. */
#include "gateway/upstream/queue.h"

#include <stdlib.h>

#include "tests/unit/check.h"

enum { LIMIT = 8, MANY = 16 };

static struct wait_queue queue;
static struct waiter waiters[MANY];

static int set_up(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof queue);
    memset(waiters, 0, sizeof waiters);
    return 0;
}

/* NULL: nobody had to go. */
static struct waiter *enter(unsigned i, uint64_t client)
{
    struct waiter *displaced;

    waiters[i].client = client;
    assert_true(queue_enter(&queue, &waiters[i], LIMIT, &displaced));
    return displaced;
}

static bool is_refused(unsigned i, uint64_t client, uint64_t limit)
{
    struct waiter *displaced;

    waiters[i].client = client;
    return !queue_enter(&queue, &waiters[i], limit, &displaced);
}

static unsigned serve(void)
{
    struct waiter *first = queue.first;

    assert_non_null(first);
    queue_serve(&queue, first);
    return (unsigned)(first - waiters);
}

static void first_come_first_served(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_null(enter(i, 7));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(serve(), i);
    assert_null(queue.first);
    assert_null(queue.last);
    assert_int_equal(queue.count, 0);
}

static void clients_take_turns(void **state)
{
    static const unsigned order[] = { 0, 5, 1, 6, 2, 3, 4 };

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        enter(i, 1);
    for (unsigned i = 5; i < 7; i++)
        enter(i, 2);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        assert_int_equal(serve(), order[i]);
}

/* Who asks again after each answer does not overtake who asked for several things at once. */
static void who_was_served_comes_behind_those_who_wait(void **state)
{
    (void)state;
    enter(0, 1);
    enter(1, 1);
    enter(2, 2);
    assert_int_equal(serve(), 0);
    assert_int_equal(serve(), 2);
    enter(2, 2);
    assert_int_equal(serve(), 1);
    assert_int_equal(serve(), 2);
}

static void a_full_queue_has_room_for_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LIMIT; i++)
        assert_null(enter(i, 1));
    assert_true(is_refused(LIMIT, 1, LIMIT));
    assert_ptr_equal(enter(LIMIT + 1, 2), &waiters[LIMIT - 1]);
    assert_int_equal(queue.count, LIMIT);
    assert_ptr_equal(enter(LIMIT + 2, 3), &waiters[LIMIT - 2]);
    assert_int_equal(serve(), 0);
    assert_int_equal(serve(), LIMIT + 1);
    assert_int_equal(serve(), LIMIT + 2);
    assert_int_equal(serve(), 1);
}

/* As many clients as places: nobody is shut out for somebody who came later. */
static void equals_do_not_displace_each_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LIMIT; i++)
        enter(i, i + 1);
    assert_true(is_refused(LIMIT, LIMIT + 1, LIMIT));
    assert_int_equal(serve(), 0);
}

static void no_queue_at_all(void **state)
{
    (void)state;
    assert_true(is_refused(0, 1, 0));
    assert_int_equal(queue.count, 0);
}

/* Coming and going is no way to the end of the line, nor to its head. */
static void who_leaves_gives_the_turn_back(void **state)
{
    (void)state;
    enter(0, 1);
    for (unsigned i = 0; i < 100; i++) {
        enter(1, 1);
        queue_leave(&queue, &waiters[1]);
    }
    enter(2, 2);
    enter(3, 2);
    enter(1, 1);
    queue_leave(&queue, &waiters[0]);
    assert_int_equal(serve(), 2);
    assert_int_equal(serve(), 3);
    assert_int_equal(serve(), 1);
    assert_int_equal(queue.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(first_come_first_served, set_up),
        cmocka_unit_test_setup(clients_take_turns, set_up),
        cmocka_unit_test_setup(who_was_served_comes_behind_those_who_wait, set_up),
        cmocka_unit_test_setup(a_full_queue_has_room_for_others, set_up),
        cmocka_unit_test_setup(equals_do_not_displace_each_other, set_up),
        cmocka_unit_test_setup(no_queue_at_all, set_up),
        cmocka_unit_test_setup(who_leaves_gives_the_turn_back, set_up),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
