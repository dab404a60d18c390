/* Worker slots, and the table of requests that kill workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/store/slots.h"

static struct slots slots;

static int clear(void **state)
{
    (void)state;
    memset(&slots, 0, sizeof(slots));
    return 0;
}

static void test_claim_all(void **state)
{
    (void)state;
    int32_t self = getpid();
    unsigned slot;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        assert_int_equal(slot_claim(&slots, self, 3, &slot), OK);
        assert_int_equal(slot, i);
    }
    assert_int_equal(slot_claim(&slots, self, 3, &slot), ERR_BUSY);

    slots.workers[5].counters.requests = 7;
    slots.workers[5].counters.connections_open = 7;
    slots.workers[5].death_fingerprint = 7;
    slot_release(&slots, 5);
    assert_int_equal(slot_claim(&slots, self, 4, &slot), OK);
    assert_int_equal(slot, 5);
    assert_int_equal(slots.workers[5].generation, 4);
    assert_int_equal(slots.workers[5].death_fingerprint, 0);
    assert_int_equal(slots.workers[5].counters.connections_open, 0);
    assert_int_equal(slots.workers[5].counters.requests, 7); /* totals outlive the worker */
}

/* The slot of a process that is gone is free, whoever forgot to release it. */
static void test_claim_of_the_dead(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    unsigned slot;
    assert_int_equal(slot_claim(&slots, child, 1, &slot), OK);
    assert_int_equal(slot_claim(&slots, getpid(), 1, &slot), OK);
    assert_int_equal(slot, 0);
}

static void test_second_death_refuses(void **state)
{
    (void)state;
    assert_false(deaths_refuse(&slots, 11, 1000));
    assert_false(deaths_add(&slots, 11, 1000));
    assert_false(deaths_refuse(&slots, 11, 1000));
    assert_int_equal(slots.deaths_refused, 0);
    assert_true(deaths_add(&slots, 11, 1001));
    assert_true(deaths_refuse(&slots, 11, 1001));
    assert_false(deaths_refuse(&slots, 12, 1001));
    assert_int_equal(slots.deaths_refused, 1);
}

static void test_no_fingerprint(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_false(deaths_add(&slots, 0, 1000));
    assert_false(deaths_refuse(&slots, 0, 1000));
    assert_false(deaths_add(&slots, 1, 1000));
    assert_true(deaths_add(&slots, 1, 1000));
    assert_false(deaths_refuse(&slots, 0, 1000)); /* free entries are no match */
}

static void test_lifetime(void **state)
{
    (void)state;
    assert_false(deaths_add(&slots, 11, 1000));
    assert_true(deaths_add(&slots, 11, 1000));
    assert_true(deaths_refuse(&slots, 11, 1000 + DEATH_LIFETIME_S));
    assert_false(deaths_refuse(&slots, 11, 1000 + DEATH_LIFETIME_S + 1));
    /* Counted anew from there. */
    assert_false(deaths_add(&slots, 11, 1000 + DEATH_LIFETIME_S + 1));
    /* A clock that went back does not refuse for ever. */
    assert_false(deaths_refuse(&slots, 11, 500));
}

static void test_oldest_makes_room(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < DEATHS_MAX; i++) {
        (void)deaths_add(&slots, 100 + i, 1000 + i);
        (void)deaths_add(&slots, 100 + i, 1000 + i);
    }
    assert_int_equal(slots.deaths_refused, DEATHS_MAX);
    assert_false(deaths_add(&slots, 1, 2000));
    assert_false(deaths_refuse(&slots, 100, 2000));
    assert_true(deaths_refuse(&slots, 101, 2000));
    assert_int_equal(slots.deaths_refused, DEATHS_MAX - 1);
}

static void test_fingerprint(void **state)
{
    (void)state;
    uint8_t a[BOOT_KEY_BYTES] = { 1 }, b[BOOT_KEY_BYTES] = { 2 };
    uint64_t one = death_fingerprint(a, SPAN("GET / HTTP/1.1\r\n\r\n"));
    assert_true(one != 0);
    assert_true(one == death_fingerprint(a, SPAN("GET / HTTP/1.1\r\n\r\n")));
    assert_true(one != death_fingerprint(a, SPAN("GET /a HTTP/1.1\r\n\r\n")));
    assert_true(one != death_fingerprint(b, SPAN("GET / HTTP/1.1\r\n\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_claim_all, clear),
        cmocka_unit_test_setup(test_claim_of_the_dead, clear),
        cmocka_unit_test_setup(test_second_death_refuses, clear),
        cmocka_unit_test_setup(test_no_fingerprint, clear),
        cmocka_unit_test_setup(test_lifetime, clear),
        cmocka_unit_test_setup(test_oldest_makes_room, clear),
        cmocka_unit_test_setup(test_fingerprint, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
