/* Rosters: all records of a value are shown, and nothing but all of them. */
#include "gateway/audit/roster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/audit/chain.h"

static struct roster roster;
static char bytes[ROSTER_BUCKET_MAX * ROSTER_ENTRY];

static void add(uint64_t seq, unsigned client, unsigned rule)
{
    char line[512];
    int len = snprintf(line, sizeof(line),
                       "{\"@timestamp\":\"2027-01-14T09:12:41.503Z\",\"client\":{\"ip\":"
                       "\"198.51.100.%u\"},\"sallyport\":{\"action\":\"block\",\"matches\":["
                       "{\"rule\":\"%u\"},{\"rule\":\"%u\"},{\"rule\":\"%u\"}]}}",
                       client, rule, rule, rule + 1);
    roster_add(&roster, seq, span_of(line, (size_t)len));
}

static uint64_t client_tag(unsigned client)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "198.51.100.%u", client);
    return block_tag(KEY_CLIENT, span_of(text, (size_t)len));
}

static unsigned count_of(const struct roster_proof *proof, uint64_t tag)
{
    unsigned count = 0;
    size_t at = 0;
    uint32_t number, before = 0;
    while (roster_next(proof, tag, &at, &number)) {
        assert_true(count == 0 || number > before);
        before = number;
        count++;
    }
    return count;
}

static void test_each_value_is_proven(void **state)
{
    uint8_t root[ROSTER_HASH];
    struct roster_proof proof;
    (void)state;
    roster_begin(&roster, 100);
    for (unsigned n = 0; n < 1000; n++)
        add(100 + n, n % 50, 942000 + n % 3);
    assert_int_equal(roster.count, 4 * 1000); /* a rule that matched twice counts once */
    assert_true(roster_root(&roster, 100, 1099, root));
    for (unsigned client = 0; client < 60; client++) {
        roster_prove(&roster, client_tag(client), bytes, &proof);
        assert_true(roster_check(root, client_tag(client), &proof));
        assert_int_equal(count_of(&proof, client_tag(client)), client < 50 ? 20 : 0);
    }
    uint64_t rule = block_tag(KEY_RULE, SPAN("942001"));
    roster_prove(&roster, rule, bytes, &proof);
    assert_true(roster_check(root, rule, &proof));
    assert_int_equal(count_of(&proof, rule), 334 + 333);
}

static void test_nothing_else_is(void **state)
{
    uint8_t root[ROSTER_HASH];
    struct roster_proof proof;
    uint64_t tag = client_tag(3);
    (void)state;
    roster_begin(&roster, 1);
    for (unsigned n = 0; n < 100; n++)
        add(1 + n, n % 10, 1);
    assert_true(roster_root(&roster, 1, 100, root));
    roster_prove(&roster, tag, bytes, &proof);
    assert_true(roster_check(root, tag, &proof));
    size_t len = proof.entries.len;
    /* One less, one more, another order, another bucket, another way. */
    proof.entries.len = len - ROSTER_ENTRY;
    assert_false(roster_check(root, tag, &proof));
    proof.entries.len = len - 1;
    assert_false(roster_check(root, tag, &proof));
    proof.entries.len = len + ROSTER_ENTRY;
    memset(bytes + len, 0, ROSTER_ENTRY);
    assert_false(roster_check(root, tag, &proof));
    proof.entries.len = len;
    assert_true(roster_check(root, tag, &proof));
    assert_false(roster_check(root, tag ^ (uint64_t)1 << 63, &proof));
    assert_false(roster_check(root, tag ^ (uint64_t)1 << 54, &proof));
    bytes[9]++;
    assert_false(roster_check(root, tag, &proof));
    bytes[9]--;
    for (int level = 0; level < ROSTER_LEVELS; level++) {
        proof.path[level][31] ^= 1;
        assert_false(roster_check(root, tag, &proof));
        proof.path[level][31] ^= 1;
    }
    root[0] ^= 1;
    assert_false(roster_check(root, tag, &proof));
}

static void test_only_of_these_records(void **state)
{
    uint8_t root[ROSTER_HASH];
    (void)state;
    roster_begin(&roster, 5);
    assert_false(roster_root(&roster, 5, 4, root)); /* none */
    add(5, 1, 1);
    add(6, 1, 1);
    assert_true(roster_root(&roster, 5, 6, root));
    assert_false(roster_root(&roster, 4, 6, root));
    assert_false(roster_root(&roster, 5, 5, root));
    assert_false(roster_root(&roster, 5, 7, root));
    add(8, 1, 1); /* 7 was passed over */
    assert_false(roster_root(&roster, 5, 6, root));
    add(7, 1, 1);
    assert_false(roster_root(&roster, 5, 7, root));
    roster_begin(&roster, 8);
    add(8, 1, 1);
    assert_true(roster_root(&roster, 8, 8, root));
}

/* ROSTER_RECORDS_MAX, and one more. */
static void test_limit_of_records(void **state)
{
    uint8_t root[ROSTER_HASH];
    (void)state;
    roster_begin(&roster, 1);
    for (unsigned n = 0; n < ROSTER_RECORDS_MAX; n++)
        roster_add(&roster, 1 + n, SPAN("{}"));
    assert_true(roster_root(&roster, 1, ROSTER_RECORDS_MAX, root));
    roster_add(&roster, 1 + ROSTER_RECORDS_MAX, SPAN("{}"));
    assert_false(roster_root(&roster, 1, 1 + ROSTER_RECORDS_MAX, root));
}

static void add_rules(uint64_t seq, unsigned count, unsigned from)
{
    static char line[64 * 1024];
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += (size_t)snprintf(line + len, sizeof(line) - len, "{\"rule\":\"%u\"}", from + i);
    roster_add(&roster, seq, span_of(line, len));
}

/* ROSTER_ENTRIES_MAX, and one more. */
static void test_limit_of_entries(void **state)
{
    enum { RULES = 256 };
    uint8_t root[ROSTER_HASH];
    uint64_t seq = 1;
    (void)state;
    roster_begin(&roster, seq);
    for (; seq <= ROSTER_ENTRIES_MAX / RULES; seq++)
        add_rules(seq, RULES, (unsigned)seq * RULES);
    assert_int_equal(roster.count, ROSTER_ENTRIES_MAX);
    assert_true(roster_root(&roster, 1, seq - 1, root));
    add_rules(seq, 1, 1);
    assert_false(roster_root(&roster, 1, seq, root));
}

/* ROSTER_BUCKET_MAX, and one more: records have three rules whose tags share a bucket. */
static void test_limit_of_a_bucket(void **state)
{
    enum { EACH = 4 };
    char line[EACH * 40];
    size_t len = 0;
    unsigned found = 0;
    uint8_t root[ROSTER_HASH];
    uint64_t seq = 1;
    (void)state;
    for (unsigned rule = 1; found < EACH; rule++) {
        char text[16];
        int digits = snprintf(text, sizeof(text), "%u", rule);
        if (block_tag(KEY_RULE, span_of(text, (size_t)digits)) >> 54 != 0)
            continue;
        len += (size_t)snprintf(line + len, sizeof(line) - len, "{\"rule\":\"%s\"}", text);
        found++;
    }
    roster_begin(&roster, seq);
    for (; seq <= ROSTER_BUCKET_MAX / EACH; seq++)
        roster_add(&roster, seq, span_of(line, len));
    assert_true(roster_root(&roster, 1, seq - 1, root));
    roster_add(&roster, seq, span_of(line, len));
    assert_false(roster_root(&roster, 1, seq, root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_value_is_proven),  cmocka_unit_test(test_nothing_else_is),
        cmocka_unit_test(test_only_of_these_records), cmocka_unit_test(test_limit_of_records),
        cmocka_unit_test(test_limit_of_entries),      cmocka_unit_test(test_limit_of_a_bucket),
    };
    return chain_init() == OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
