/* How often somebody may guess, and that things which are good once are. */
#include "auth/lockout.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/check.h"

enum { NOW = 1800000000 };

static struct lockout lockout;
static void *memory;
static struct addr here, there;

static int set_up(void **state)
{
    (void)state;
    static const uint8_t boot_key[32] = "a key of this boot, for tests ..";
    memory = aligned_alloc(64, (lockout_bytes() + 63) & ~(size_t)63);
    if (memory == NULL || !addr_parse(SPAN("192.0.2.1"), &here) ||
        !addr_parse(SPAN("198.51.100.7"), &there))
        return -1;
    memset(memory, 0, lockout_bytes());
    lockout_over(&lockout, memory, boot_key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static uint64_t try_as(const char *user, const struct addr *client, uint64_t now_s, bool known)
{
    struct attempt attempt = { span_text(user), client, known, now_s, SPAN_INIT("") };
    uint64_t wait_s = lockout_begin(&lockout, &attempt);
    if (wait_s == 0)
        lockout_wrong(&lockout, &attempt);
    return wait_s;
}

static void pauses_double_up_to_a_limit(void **state)
{
    (void)state;
    uint64_t now_s = NOW, longest = 0;
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++)
        assert_int_equal(try_as("ann", &here, now_s, true), 0);
    for (unsigned i = 0; i < 14; i++) {
        uint64_t wait_s = try_as("ann", &here, now_s, true);
        assert_int_equal(wait_s, i < 10 ? 1u << i : LOCKOUT_PAUSE_MAX_S);
        assert_int_equal(try_as("ann", &here, now_s + wait_s - 1, true), 1);
        now_s += wait_s;
        longest = wait_s;
        assert_int_equal(try_as("ann", &here, now_s, true), 0);
    }
    assert_int_equal(longest, LOCKOUT_PAUSE_MAX_S);
    now_s += LOCKOUT_FORGET_S + 1;
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++)
        assert_int_equal(try_as("ann", &here, now_s, true), 0);
}

static void a_right_one_clears_the_account_there(void **state)
{
    (void)state;
    struct attempt attempt = { SPAN("ann"), &here, false, NOW, SPAN("") };
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < LOCKOUT_PAIR_FREE - 1; i++)
            assert_int_equal(lockout_begin(&lockout, &attempt), 0);
        if (lockout_begin(&lockout, &attempt) != 0)
            break; /* the address has its own count, which one account does not clear */
        lockout_right(&lockout, &attempt);
        assert_true(round < 5);
    }
    attempt.now_s += LOCKOUT_FORGET_S + 1;
    assert_int_equal(lockout_begin(&lockout, &attempt), 0);
}

static void what_was_not_decided_is_not_counted(void **state)
{
    (void)state;
    struct attempt attempt = { SPAN("ann"), &here, false, NOW, SPAN("") };
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(lockout_begin(&lockout, &attempt), 0);
        lockout_undone(&lockout, &attempt);
    }
}

static void a_thousand_at_once_are_a_thousand(void **state)
{
    (void)state;
    struct attempt attempt = { SPAN("ann"), &here, false, NOW, SPAN("") };
    unsigned passed = 0;
    for (unsigned i = 0; i < 1000; i++)
        passed += lockout_begin(&lockout, &attempt) == 0; /* none of them is decided yet */
    assert_int_equal(passed, LOCKOUT_PAIR_FREE);
}

static void an_address_is_a_whole_64(void **state)
{
    (void)state;
    struct addr client;
    unsigned passed = 0;
    for (unsigned i = 0; i < 200; i++) {
        char text[64], name[16];
        snprintf(text, sizeof(text), "2001:db8:7:1::%x", i + 1);
        snprintf(name, sizeof(name), "u%u", i % 3); /* few accounts: no spread */
        assert_true(addr_parse(span_text(text), &client));
        passed += try_as(name, &client, NOW, true) == 0;
    }
    assert_int_equal(passed, 3 * LOCKOUT_PAIR_FREE);
    assert_true(addr_parse(SPAN("2001:db8:7:2::1"), &client));
    assert_int_equal(try_as("u0", &client, NOW, true), 0);
}

/* Zitadel's lock (CVE-2025-64102) was either open to guesses or shut by whoever guessed. */
static void an_account_waits_but_not_for_its_own_browser(void **state)
{
    (void)state;
    struct addr client;
    for (unsigned i = 0; i < LOCKOUT_ACCOUNT_FREE + 10; i++) { /* from many addresses */
        char text[32];
        snprintf(text, sizeof(text), "203.0.%u.%u", i / 200, i % 200 + 1);
        assert_true(addr_parse(span_text(text), &client));
        (void)try_as("ann", &client, NOW + i * 61, false);
    }
    uint64_t now_s = NOW + (LOCKOUT_ACCOUNT_FREE + 9) * 61;
    uint64_t wait_s = try_as("ann", &here, now_s, false);
    assert_true(wait_s > 0 && wait_s <= LOCKOUT_ACCOUNT_PAUSE_MAX_S);
    assert_int_equal(try_as("ann", &here, now_s, true), 0);
    assert_int_equal(try_as("bob", &there, now_s, false), 0);
}

/* An attacker behind the same address does not keep the owner out, nor does he get more tries.
 */
static void a_known_browser_has_a_count_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        (void)try_as("ann", &here, NOW, false);
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++)
        assert_int_equal(try_as("ann", &here, NOW, true), 0);
    assert_int_equal(try_as("ann", &here, NOW, true), 1);
}

static void who_tries_many_accounts_is_shut_out(void **state)
{
    (void)state;
    unsigned tried = 0;
    for (; tried < 200; tried++) {
        char name[16];
        snprintf(name, sizeof(name), "user%u", tried);
        if (try_as(name, &here, NOW, false) != 0)
            break;
    }
    assert_true(tried >= LOCKOUT_SPREAD_MAX && tried <= LOCKOUT_ADDRESS_FREE);
    /* Also for a right password, and until it is over. */
    assert_true(try_as("somebody", &here, NOW + 60, false) > 1);
    assert_int_equal(try_as("somebody", &there, NOW + 60, false), 0);
    assert_int_equal(try_as("neighbour", &here, NOW + 60, true), 0);
    assert_int_equal(try_as("somebody", &here, NOW + LOCKOUT_SHUT_S + 1, false), 0);
}

/* CVE-2024-21500: to start over does not begin the count anew. */
static void second_factors_are_the_accounts(void **state)
{
    (void)state;
    struct attempt attempt = { SPAN("ann"), &here, true, NOW, SPAN("") };
    for (unsigned i = 0; i < LOCKOUT_SECOND_FREE; i++) {
        assert_int_equal(lockout_second_begin(&lockout, SPAN("ann"), NOW), 0);
        assert_int_equal(lockout_begin(&lockout, &attempt), 0);
        lockout_right(&lockout, &attempt); /* the password again, from the start */
    }
    assert_int_equal(lockout_second_begin(&lockout, SPAN("ann"), NOW), 1);
    assert_int_equal(lockout_second_begin(&lockout, SPAN("bob"), NOW), 0);
    lockout_second_right(&lockout, SPAN("ann"));
    assert_int_equal(lockout_second_begin(&lockout, SPAN("ann"), NOW), 0);
}

static void codes_are_good_once(void **state)
{
    (void)state;
    uint64_t step = NOW / 30;
    assert_true(lockout_take_step(&lockout, SPAN("ann"), 7, step));
    assert_false(lockout_take_step(&lockout, SPAN("ann"), 7, step));
    assert_false(lockout_take_step(&lockout, SPAN("ann"), 7, step - 1));
    assert_true(lockout_take_step(&lockout, SPAN("ann"), 7, step + 1));
    assert_true(lockout_take_step(&lockout, SPAN("bob"), 7, step));
    assert_true(lockout_take_step(&lockout, SPAN("ann"), 8, step)); /* another telephone */
    assert_int_equal(lockout_step(&lockout, SPAN("ann"), 7), step + 1);
    assert_false(lockout_code_taken(&lockout, SPAN("ann"), 7, "abcd", 4));
    assert_true(lockout_take_code(&lockout, SPAN("ann"), 7, "abcd", 4, step));
    assert_false(lockout_take_code(&lockout, SPAN("ann"), 7, "abcd", 4, step + 100));
    assert_true(lockout_code_taken(&lockout, SPAN("ann"), 7, "abcd", 4));
    assert_true(lockout_take_code(&lockout, SPAN("ann"), 7, "abce", 4, step));
}

/* From as many addresses as there are accounts: only the fingerprint is the same. */
static uint64_t try_with(const char *ja4, unsigned i, uint64_t now_s, bool known, bool right)
{
    char user[32], address[32];
    struct addr client;
    snprintf(user, sizeof(user), "user%u", i);
    snprintf(address, sizeof(address), "203.0.%u.%u", i / 250 % 250, i % 250);
    assert_true(addr_parse(span_text(address), &client));
    struct attempt attempt = { span_text(user), &client, known, now_s, span_text(ja4) };
    uint64_t wait_s = lockout_begin(&lockout, &attempt);
    if (wait_s == 0 && right)
        lockout_right(&lockout, &attempt);
    else if (wait_s == 0)
        lockout_wrong(&lockout, &attempt);
    return wait_s;
}

static void a_tool_with_many_addresses_is_slowed(void **state)
{
    (void)state;
    unsigned passed = 0;
    for (unsigned i = 0; i < LOCKOUT_TOOL_WRONG; i++)
        assert_int_equal(try_with("t13d1516h2_8daaf6152771_02713d6af862", i, NOW, false, false),
                         0);
    for (unsigned second = 0; second < 5; second++)
        for (unsigned i = 0; i < 100; i++)
            passed += try_with("t13d1516h2_8daaf6152771_02713d6af862", 1000 + 100 * second + i,
                               NOW + second, false, false) == 0;
    assert_int_equal(passed, 5);
    /* Not others, not who is known, not who has none, and not for ever. */
    assert_int_equal(try_with("another", 9000, NOW + 4, false, false), 0);
    assert_int_equal(
        try_with("t13d1516h2_8daaf6152771_02713d6af862", 9001, NOW + 4, true, false), 0);
    assert_int_equal(try_with("", 9002, NOW + 4, false, false), 0);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(try_with("t13d1516h2_8daaf6152771_02713d6af862", 9100 + i,
                                  NOW + LOCKOUT_SPREAD_S + 1, false, false),
                         0);
}

static void a_browser_of_many_is_no_tool(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(try_with("t13d1516h2", i, NOW + i / 2, false, i % 8 == 0), 0);
}

static void without_counting_beforehand(void **state)
{
    (void)state;
    struct attempt attempt = { SPAN_INIT("ann"), &here, false, NOW, SPAN_INIT("") };
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++) {
        assert_int_equal(lockout_look(&lockout, &attempt), 0);
        lockout_failed(&lockout, &attempt);
    }
    assert_true(lockout_look(&lockout, &attempt) > 0);
    assert_false(lockout_was_here(&lockout, &attempt));
    attempt.client = &there;
    lockout_proved(&lockout, &attempt);
    assert_true(lockout_was_here(&lockout, &attempt));
    attempt.now_s += LOCKOUT_HOME_S;
    assert_true(lockout_was_here(&lockout, &attempt));
    attempt.now_s += 60;
    assert_false(lockout_was_here(&lockout, &attempt));
    /* Guesses from everywhere are nothing to who was here. */
    attempt.now_s = NOW;
    for (unsigned i = 0; i < 100; i++) {
        char address[32];
        struct addr client;
        snprintf(address, sizeof(address), "203.0.113.%u", i);
        assert_true(addr_parse(span_text(address), &client));
        struct attempt guess = { SPAN_INIT("ann"), &client, false, NOW, SPAN_INIT("") };
        if (lockout_look(&lockout, &guess) == 0)
            lockout_failed(&lockout, &guess);
    }
    attempt.known = true;
    assert_int_equal(lockout_look(&lockout, &attempt), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(pauses_double_up_to_a_limit),
        CASE(a_right_one_clears_the_account_there),
        CASE(what_was_not_decided_is_not_counted),
        CASE(a_thousand_at_once_are_a_thousand),
        CASE(an_address_is_a_whole_64),
        CASE(an_account_waits_but_not_for_its_own_browser),
        CASE(a_known_browser_has_a_count_of_its_own),
        CASE(who_tries_many_accounts_is_shut_out),
        CASE(a_tool_with_many_addresses_is_slowed),
        CASE(a_browser_of_many_is_no_tool),
        CASE(without_counting_beforehand),
        CASE(second_factors_are_the_accounts),
        CASE(codes_are_good_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
