/* What a worker may spend without asking: heat, expiry, return, and the bound in time. */
#include "ratelimit/lease.h"

#include "tests/unit/check.h"

#define MS UINT64_C(1000000)

static struct leases leases;
static const struct cell_key key = { 7, 9 }, other = { 7 + LEASES_MAX, 9 };

static void only_keys_that_come_often_are_leased(void **state)
{
    (void)state;
    memset(&leases, 0, sizeof(leases));
    struct lease *lease = lease_of(&leases, key, 1000 * MS);
    assert_int_equal(lease_wants(lease), 0);
    lease_use(lease);
    assert_int_equal(lease_wants(lease), 0);
    lease_use(lease);
    assert_int_equal(lease_wants(lease), LEASE_HOT);
    for (unsigned i = 0; i < 30; i++)
        lease_use(lease);
    /* In the next window, as many as in the last one; in the one after, none. */
    assert_int_equal(lease_wants(lease_of(&leases, key, (1000 + LEASE_HEAT_MS) * MS)), 32);
    assert_int_equal(lease_wants(lease_of(&leases, key, (1000 + 2 * LEASE_HEAT_MS) * MS)), 0);
    /* A pause in which nobody came is not hot, either. */
    for (unsigned i = 0; i < 30; i++)
        lease_use(lease);
    assert_int_equal(lease_wants(lease_of(&leases, key, 9000 * MS)), 0);
}

static void what_is_not_spent_in_time_is_lost(void **state)
{
    (void)state;
    memset(&leases, 0, sizeof(leases));
    struct lease *lease = lease_of(&leases, key, 1000 * MS);
    assert_false(lease_take(lease, 1, 1000 * MS));
    lease_put(lease, 100, 1000 * MS);
    assert_true(lease_take(lease, 60, 1001 * MS));
    assert_false(lease_take(lease, 41, 1001 * MS));
    lease_return(lease, 60);
    assert_true(lease_take(lease, 50, (1000 + LEASE_MS) * MS - 1));
    assert_false(lease_take(lease, 1, (1000 + LEASE_MS) * MS));
    /* What comes to an old one ends with it; what comes after it has time of its own. */
    lease_put(lease, 10, 2000 * MS);
    lease_put(lease, 10, (2000 + LEASE_MS - 1) * MS);
    assert_false(lease_take(lease, 1, (2000 + LEASE_MS) * MS));
    lease_put(lease, 10, (2000 + LEASE_MS) * MS);
    assert_true(lease_take(lease, 10, (2000 + 2 * LEASE_MS - 1) * MS));
    assert_false(lease_take(lease, 1, (2000 + 2 * LEASE_MS - 1) * MS));
}

static void another_key_takes_the_place(void **state)
{
    (void)state;
    memset(&leases, 0, sizeof(leases));
    lease_put(lease_of(&leases, key, 0), 100, 0);
    assert_false(lease_take(lease_of(&leases, other, 1), 1, 1));
    assert_false(lease_take(lease_of(&leases, key, 2), 1, 2));
}

static void refusals_pause(void **state)
{
    (void)state;
    memset(&leases, 0, sizeof(leases));
    struct lease *lease = lease_of(&leases, key, 1000 * MS);
    assert_int_equal(lease_pause_ns(lease, 1000 * MS), 0);
    lease_refused(lease, 1000 * MS, 1000 * MS);
    assert_int_equal(lease_pause_ns(lease, 1000 * MS), LEASE_PAUSE_MS * MS);
    assert_int_equal(lease_pause_ns(lease, (1000 + LEASE_PAUSE_MS) * MS), 0);
    /* A small bucket does not run over meanwhile. */
    lease_refused(lease, 4 * MS, 2000 * MS);
    assert_int_equal(lease_pause_ns(lease, 2000 * MS), MS);
}

int main(void)
{
    return RUN(TEST(only_keys_that_come_often_are_leased),
               TEST(what_is_not_spent_in_time_is_lost), TEST(another_key_takes_the_place),
               TEST(refusals_pause));
}
