/* Bans in shared memory: nets, scores and their half-life, longer and longer bans, the ring. */
#include "gateway/store/bans.h"

#include <stdlib.h>

#include "tests/unit/check.h"

static struct bans bans;
static void *memory;
static const uint8_t boot_key[32] = "the same in all of these tests";

static int set_up(void **state)
{
    (void)state;
    memory = aligned_alloc(64, (bans_bytes() + 63) & ~(size_t)63);
    assert_non_null(memory);
    memset(memory, 0, bans_bytes());
    bans_over(&bans, memory, boot_key);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static struct addr address(const char *text)
{
    struct addr addr;
    assert_true(addr_parse(span_text(text), &addr));
    return addr;
}

static struct cidr net(const char *text)
{
    struct cidr cidr;
    assert_true(cidr_parse(span_text(text), false, &cidr));
    return cidr;
}

enum { NOW = 1795269600 };

static const struct ban_policy policy = {
    .threshold = 50, .half_s = 600, .first_s = 60, .longest_s = 3600, .factor = 6
};

static uint64_t offend(const char *from, uint32_t points, uint64_t now)
{
    struct addr addr = address(from);
    uint8_t level;
    uint64_t until = bans_offend(&bans, &addr, &policy, points, now, &level);
    return until > 0 ? until - now : 0;
}

static uint64_t left(const char *from, uint64_t now)
{
    struct addr addr = address(from);
    uint64_t until = bans_until(&bans, &addr, now);
    return until > 0 ? until - now : 0;
}

static void holds_for_a_net(void **state)
{
    (void)state;
    static const struct {
        const char *net, *in, *out;
    } rows[] = {
        { "192.0.2.1/32", "192.0.2.1", "192.0.2.2" },
        { "198.51.100.0/24", "198.51.100.255", "198.51.101.0" },
        { "2001:db8:0:1::/64", "2001:db8:0:1:ffff::1", "2001:db8:0:2::1" },
        { "2001:db8:5::/48", "2001:db8:5:ffff::1", "2001:db8:6::1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cidr cidr = net(rows[i].net);
        assert_true(bans_set(&bans, &cidr, NOW + 10, NOW));
        assert_false(bans_set(&bans, &cidr, NOW + 10, NOW));
        assert_int_equal(left(rows[i].in, NOW), 10);
        assert_int_equal(left(rows[i].in, NOW + 9), 1);
        assert_int_equal(left(rows[i].in, NOW + 10), 0);
        assert_int_equal(left(rows[i].out, NOW), 0);
        assert_true(bans_set(&bans, &cidr, 0, NOW));
        assert_int_equal(left(rows[i].in, NOW), 0);
    }
    static const char *const bad[] = { "10.0.0.0/8", "192.0.2.0/25", "::/0", "2001:db8::/32" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cidr cidr = net(bad[i]);
        assert_false(ban_net_ok(&cidr));
    }
}

static void bans_at_the_threshold(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(offend("192.0.2.1", 10, NOW), 0);
    assert_int_equal(offend("192.0.2.1", 9, NOW), 0);
    assert_int_equal(left("192.0.2.1", NOW), 0);
    assert_int_equal(offend("192.0.2.1", 1, NOW), 60);
    assert_int_equal(left("192.0.2.1", NOW), 60);
    assert_int_equal(left("192.0.2.2", NOW), 0);
}

static void scores_halve(void **state)
{
    (void)state;
    struct addr addr = address("192.0.2.1");
    uint32_t points;
    uint8_t level;
    assert_int_equal(offend("192.0.2.1", 48, NOW), 0);
    static const struct {
        unsigned later, points;
    } rows[] = { { 0, 48 }, { 300, 36 }, { 600, 24 }, { 1200, 12 }, { 60000, 0 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bans_score(&bans, &addr, 600, NOW + rows[i].later, &points, &level);
        assert_int_equal(points, rows[i].points);
    }
    /* A clock that was set back gives nothing and takes nothing. */
    bans_score(&bans, &addr, 600, NOW - 1000, &points, &level);
    assert_int_equal(points, 48);
    assert_int_equal(offend("192.0.2.1", 25, NOW + 600), 0);
    assert_int_equal(offend("192.0.2.1", 1, NOW + 600), 60);
}

static void bans_grow_and_are_forgotten(void **state)
{
    (void)state;
    uint64_t now = NOW;
    static const unsigned lengths[] = { 60, 360, 2160, 3600, 3600 };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++, now += 4000)
        assert_int_equal(offend("192.0.2.1", 50, now), lengths[i]);
    now += BAN_LEVEL_MEMORY_S + 1;
    assert_int_equal(offend("192.0.2.1", 50, now), 60);
    struct addr addr = address("192.0.2.1");
    bans_forget(&bans, &addr);
    assert_int_equal(offend("192.0.2.1", 50, now), 60);
    assert_int_equal(offend("192.0.2.1", UINT32_MAX, now), 360);
}

/* A shorter ban does not shorten a longer one. */
static void the_longer_ban_stays(void **state)
{
    (void)state;
    struct cidr cidr = net("192.0.2.1/32");
    assert_true(bans_set(&bans, &cidr, NOW + 9999, NOW));
    assert_int_equal(offend("192.0.2.1", 50, NOW), 60);
    assert_int_equal(left("192.0.2.1", NOW), 9999);
}

static void log_one(uint64_t at, enum ban_event_kind kind)
{
    struct ban_event event = { .at_s = at, .net = net("192.0.2.1/32"), .kind = (uint8_t)kind };
    bans_log(&bans, &event);
}

static void the_ring_keeps_the_last(void **state)
{
    (void)state;
    struct ban_event event;
    uint64_t cursor = 0, other = 0;
    assert_false(bans_next(&bans, &cursor, &event));
    for (unsigned i = 0; i < BAN_EVENTS + 5; i++)
        log_one(i, BAN_OFFENCE);
    for (unsigned i = 5; i < BAN_EVENTS + 5; i++) {
        assert_true(bans_next(&bans, &cursor, &event));
        assert_int_equal(event.at_s, i);
    }
    assert_false(bans_next(&bans, &cursor, &event));
    cursor = UINT64_MAX; /* of another boot */
    assert_false(bans_next(&bans, &cursor, &event));
    /* Each goes to one caller; offences to none. */
    log_one(1, BAN_SET);
    log_one(2, BAN_OFFENCE);
    log_one(3, BAN_LIFTED);
    cursor = 0;
    assert_true(bans_claim(&bans, &cursor, &event));
    assert_int_equal(event.at_s, 1);
    assert_true(bans_claim(&bans, &other, &event));
    assert_int_equal(event.at_s, 3);
    assert_false(bans_claim(&bans, &cursor, &event));
    assert_false(bans_claim(&bans, &other, &event));
}

static void what_is_forged_is_skipped(void **state)
{
    (void)state;
    struct ban_event event = { .net = net("192.0.2.1/32"), .kind = 9 };
    uint64_t cursor = 0;
    bans_log(&bans, &event);
    event.kind = BAN_SET;
    event.cause = CAUSE_COUNT;
    bans_log(&bans, &event);
    event.cause = CAUSE_RULE;
    event.net.bits = 200;
    bans_log(&bans, &event);
    event.net.bits = 32;
    memset(event.reason, 'x', sizeof(event.reason));
    bans_log(&bans, &event);
    assert_true(bans_next(&bans, &cursor, &event));
    assert_int_equal(strlen(event.reason), sizeof(event.reason) - 1);
    assert_false(bans_next(&bans, &cursor, &event));
}

static void some_are_never_banned(void **state)
{
    (void)state;
    struct cidr never[] = { net("192.0.2.0/24"), net("2001:db8::/32") };
    struct cidr in = net("192.0.2.7/32"), around = net("192.0.2.0/24"),
                out = net("10.0.0.1/32");
    assert_false(bans_never(&bans, &in));
    bans_never_set(&bans, never, 2);
    assert_true(bans_never(&bans, &in));
    assert_true(bans_never(&bans, &around));
    assert_false(bans_never(&bans, &out));
}

/* One hears of other nodes' bans; when it is gone another one does, whatever stands there. */
static void one_leads(void **state)
{
    (void)state;
    assert_true(bans_lead(&bans, 1, 1000));
    assert_false(bans_lead(&bans, 2, 1000));
    assert_true(bans_lead(&bans, 1, 1200));
    assert_false(bans_lead(&bans, 2, 1200 + BAN_LEAD_MS));
    assert_true(bans_lead(&bans, 2, 1201 + BAN_LEAD_MS));
    assert_false(bans_lead(&bans, 1, 1202 + BAN_LEAD_MS));
    assert_true(bans_lead(&bans, 2, 5000));
    assert_true(bans_lead(&bans, 3, 1000)); /* a time that is still to come is forged */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(holds_for_a_net, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bans_at_the_threshold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scores_halve, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bans_grow_and_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_longer_ban_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ring_keeps_the_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_forged_is_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(some_are_never_banned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_leads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
