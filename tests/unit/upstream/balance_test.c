/* The choice of a server: shares, hashes, cookies, backups, slow start. */
#include "gateway/upstream/balance.h"

#include <stdlib.h>

#include "gateway/chain/config.h"
#include "gateway/chain/txn.h"
#include "gateway/upstream/pool.h"
#include "tests/unit/check.h"

enum { SERVERS = 5, ROUNDS = 20000, NOW_MS = 1000000 };

static struct config config;
static struct worker worker;
static struct upstream conf;
static struct upstream_server servers[SERVERS];
static struct server_local locals[SERVERS];
static struct upstream_local local;
static struct arena arena;
static struct request req;
static struct txn txn;

static int open_one(void **state)
{
    static const char *const labels[SERVERS] = { "http://a:1", "http://b:1", "http://c:1",
                                                 "http://d:1", "http://e:1" };

    (void)state;
    memset(&conf, 0, sizeof conf);
    memset(locals, 0, sizeof locals);
    memset(&req, 0, sizeof req);
    worker.config = &config;
    worker.upstreams = &local;
    worker.loop.clock.mono_ns = (uint64_t)NOW_MS * 1000000;
    for (size_t i = 0; i < SERVERS; i++) {
        servers[i] = (struct upstream_server){ .weight = 1, .label = span_text(labels[i]) };
        locals[i].conf = &servers[i];
        locals[i].upstream = &local;
    }
    conf.servers = servers;
    conf.server_count = SERVERS;
    local = (struct upstream_local){ .conf = &conf, .worker = &worker, .servers = locals };
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    txn = (struct txn){ .worker = &worker, .arena = &arena, .config = &config, .req = &req };
    txn.client = (struct addr){ .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } };
    return 0;
}

static int close_one(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static unsigned index_of(const struct server_local *server)
{
    assert_non_null(server);
    return (unsigned)(server - locals);
}

static unsigned choose(uint64_t tried, const struct pick *pick)
{
    return index_of(balance_choose(&local, tried, pick));
}

static void field(const char *name, const char *value)
{
    assert_int_equal(fields_add(&req.fields, &arena, span_text(name), span_text(value)), OK);
}

static void test_hash_stays_and_moves_little(void **state)
{
    static unsigned before[ROUNDS];
    unsigned moved = 0, counts[SERVERS] = { 0 };

    (void)state;
    conf.balance = BALANCE_HASH;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pick pick = { .hash = (uint64_t)i * 0x9e3779b97f4a7c15 };
        before[i] = choose(0, &pick);
        counts[before[i]]++;
        assert_int_equal(choose(0, &pick), before[i]);
    }
    for (unsigned i = 0; i < SERVERS; i++)
        assert_in_range(counts[i], ROUNDS / SERVERS * 9 / 10, ROUNDS / SERVERS * 11 / 10);
    for (unsigned i = 0; i < ROUNDS; i++) { /* one goes: only its own keys move */
        struct pick pick = { .hash = (uint64_t)i * 0x9e3779b97f4a7c15 };
        unsigned now = choose(1u << 2, &pick);
        assert_true(now != 2);
        moved += now != before[i];
    }
    assert_int_equal(moved, counts[2]);
}

static void test_hash_by_weight(void **state)
{
    unsigned heavy = 0;

    (void)state;
    conf.balance = BALANCE_HASH;
    servers[3].weight = 4; /* of 8 */
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pick pick = { .hash = (uint64_t)i * 0x9e3779b97f4a7c15 };
        heavy += choose(0, &pick) == 3;
    }
    assert_in_range(heavy, ROUNDS * 47 / 100, ROUNDS * 53 / 100);
}

static void test_hash_keys(void **state)
{
    struct hash_key key;
    struct pick one = { 0 }, other = { 0 };

    (void)state;
    assert_true(hash_key_parse(SPAN("client.ip"), &key) && key.by == HASH_CLIENT);
    assert_true(hash_key_parse(SPAN("header:X-Tenant"), &key) && key.by == HASH_HEADER);
    assert_span(key.name, SPAN("X-Tenant"));
    assert_true(hash_key_parse(SPAN("cookie:id"), &key) && key.by == HASH_COOKIE);
    assert_false(hash_key_parse(SPAN("header:"), &key));
    assert_false(hash_key_parse(SPAN("user"), &key));
    assert_false(hash_key_parse(SPAN(""), &key));

    conf.balance = BALANCE_HASH;
    conf.hash = (struct hash_key){ HASH_COOKIE, SPAN("id") };
    balance_pick(&conf, &txn, &one);
    txn.client.bytes[3] = 2;
    balance_pick(&conf, &txn, &other); /* by the address */
    assert_true(one.hash != other.hash);
    field("Cookie", "a=b; id=7; id=8");
    balance_pick(&conf, &txn, &one);
    txn.client.bytes[3] = 1;
    balance_pick(&conf, &txn, &other);
    assert_true(one.hash == other.hash);
}

static void test_backups_and_ejected(void **state)
{
    const struct pick none = { 0 };

    (void)state;
    servers[3].backup = servers[4].backup = true;
    for (int way = BALANCE_ROUND_ROBIN; way <= BALANCE_HASH; way++) {
        conf.balance = way;
        if (way != BALANCE_HASH)
            balance_attach(&local);
        for (unsigned i = 0; i < 50; i++)
            assert_true(choose(0, &none) < 3);
        for (unsigned i = 0; i < 3; i++)
            locals[i].ejected_until_ms = NOW_MS + 1;
        for (unsigned i = 0; i < 50; i++)
            assert_true(choose(0, &none) >= 3);
        assert_true(choose(0x18, &none) < 3); /* better than none */
        assert_null(balance_choose(&local, 0x1f, &none));
        for (unsigned i = 0; i < 3; i++)
            locals[i].ejected_until_ms = 0;
    }
}

static void test_two_choices(void **state)
{
    const struct pick none = { 0 };
    unsigned counts[SERVERS] = { 0 };

    (void)state;
    conf.balance = BALANCE_TWO_CHOICES;
    balance_attach(&local);
    for (unsigned i = 0; i < 5000; i++) {
        unsigned at = choose(0, &none);
        locals[at].active++;
        counts[at]++;
    }
    for (unsigned i = 0; i < SERVERS; i++) /* far closer than chance alone */
        assert_in_range(counts[i], 990, 1010);
    assert_int_equal(choose(0x1e, &none), 0);
    locals[0].active = 1 << 30;
    for (unsigned i = 0; i < 100; i++)
        assert_true(choose(0, &none) != 0);
}

static void test_slow_start(void **state)
{
    const struct pick none = { 0 };
    unsigned cold = 0, warm = 0;

    (void)state;
    conf.slow_start.ms = 10000;
    conf.server_count = 2;
    locals[0].ejected_until_ms = NOW_MS - 1000;
    for (unsigned i = 0; i < 1100; i++)
        cold += choose(0, &none) == 0;
    assert_in_range(cold, 99, 101); /* a tenth of the other's */
    locals[0].ejected_until_ms = NOW_MS - 10000;
    for (unsigned i = 0; i < 1000; i++)
        warm += choose(0, &none) == 0;
    assert_in_range(warm, 499, 501);
}

static void test_sticky(void **state)
{
    char buffer[256];
    struct text out = text_fixed(buffer, sizeof buffer);
    struct pick pick = { 0 };

    (void)state;
    conf.sticky_cookie = SPAN("route");
    conf.sticky_secret = SPAN("of all nodes");
    conf.sticky_age.ms = 60000;
    req.scheme = SPAN("https");
    balance_attach(&local);
    balance_pick(&conf, &txn, &pick);
    assert_int_equal(pick.stuck, 0);
    assert_true(balance_cookie(&locals[3], &pick, &txn, &out));
    struct span cookie = text_span(&out);
    assert_true(span_starts(cookie, SPAN("route=")));
    assert_true(
        span_ends(cookie, SPAN("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60")));
    assert_true(span_find(cookie, SPAN("http:")) < 0);

    char *value = arena_cstring(&arena, span_sub(cookie, 0, 6 + SERVER_TOKEN_BYTES));
    field("Cookie", value);
    balance_pick(&conf, &txn, &pick);
    assert_int_equal(pick.stuck, 4);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(choose(0, &pick), 3);
    assert_false(balance_cookie(&locals[3], &pick, &txn, &out)); /* it has it */
    assert_true(balance_cookie(&locals[1], &pick, &txn, &out));
    assert_true(choose(1u << 3, &pick) != 3);
    locals[3].ejected_until_ms = NOW_MS + 1;
    assert_true(choose(0, &pick) != 3);
    locals[3].ejected_until_ms = 0;

    char mine[SERVER_TOKEN_BYTES];
    memcpy(mine, locals[3].token, sizeof mine);
    balance_attach(&local); /* on another node with the same secret */
    assert_memory_equal(mine, locals[3].token, sizeof mine);
    conf.sticky_secret = SPAN("another");
    balance_attach(&local);
    assert_memory_not_equal(mine, locals[3].token, sizeof mine);
    balance_pick(&conf, &txn, &pick);
    assert_int_equal(pick.stuck, 0); /* a forged or old one binds nobody */
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)
    const struct CMUnitTest tests[] = {
        ROW(test_hash_stays_and_moves_little),
        ROW(test_hash_by_weight),
        ROW(test_hash_keys),
        ROW(test_backups_and_ejected),
        ROW(test_two_choices),
        ROW(test_slow_start),
        ROW(test_sticky),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
