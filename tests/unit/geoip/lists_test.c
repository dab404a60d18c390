/* The allow and deny stages: who gets in, what lists say, and what is refused at load. */
#include "geoip/lists.h"

#include "geoip/listfile.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;

static struct span block_of(const char *text)
{
    struct addrlist_entries entries;
    struct listfile_problem problem;
    struct listfile_how how = { .now_s = 1000 };
    struct span block;
    assert_int_equal(
        listfile_read(span_text(text), &how, &kit.config_arena, &entries, &problem), OK);
    assert_int_equal(
        addrlist_build(entries.items, entries.count, 1000, &kit.config_arena, &block), OK);
    return block;
}

static void open_with_lists(const struct stage_type *type)
{
    kit_open(&kit, type);
    kit_list(&kit, "office", block_of("192.0.2.0/24\n2001:db8::/32"));
    kit_list(&kit, "abusers", block_of("198.51.100.0/24\n192.0.2.66"));
}

static enum reason ask_from(const char *client)
{
    kit_begin(&kit);
    kit_client(&kit, client);
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_true(verdict.action == ACTION_PASS || verdict.action == ACTION_DENY);
    return verdict.action == ACTION_PASS ? REASON_NONE : verdict.reason;
}

static void allow_lets_in_its_own_and_nobody_else(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        "{lists: [office], ips: [203.0.113.7]}",
        "[office, 203.0.113.7]",
        "{lists: [203.0.113.7, office]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        open_with_lists(&allow_stage);
        assert_true(kit_configure(&kit, spellings[i], NULL));
        assert_false(allow_stage.idle(kit.instance.conf));
        assert_int_equal(ask_from("192.0.2.1"), REASON_NONE);
        assert_true(kit.txn.facts.allowed);
        assert_int_equal(ask_from("203.0.113.7"), REASON_NONE);
        assert_int_equal(ask_from("2001:db8:1::1"), REASON_NONE);
        assert_int_equal(ask_from("203.0.113.8"), REASON_ADDRESS_NOT_ALLOWED);
        assert_false(kit.txn.facts.allowed);
        assert_int_equal(ask_from("2001:db9::1"), REASON_ADDRESS_NOT_ALLOWED);
        kit_close(&kit);
    }
}

/* The same lists, of a peer of whom nothing else is known. */
static void deny_judges_connections(void **state)
{
    static const struct {
        const char *peer;
        enum action action;
        const char *list;
    } rows[] = {
        { "198.51.100.9", ACTION_DENY, "abusers" },
        { "203.0.113.7", ACTION_DENY, "" },
        { "192.0.2.66", ACTION_PASS, "" }, /* excepted */
        { "203.0.113.8", ACTION_PASS, "" },
    };

    (void)state;
    open_with_lists(&deny_stage);
    assert_true(
        kit_configure(&kit, "{lists: [abusers], ips: [203.0.113.7], except: [office]}", NULL));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr peer;
        assert_true(addr_parse(span_text(rows[i].peer), &peer));
        struct call c = { .worker = &kit.worker, .peer = &peer, .conf = kit.instance.conf };
        assert_int_equal(deny_stage.on[PHASE_CONNECT](&c).action, rows[i].action);
        assert_span(c.denied_by.list, span_text(rows[i].list));
    }
    kit_close(&kit);
}

static void an_address_of_no_family_is_not_allowed(void **state)
{
    (void)state;
    open_with_lists(&allow_stage);
    assert_true(kit_configure(&kit, "[0.0.0.0/0, \"::/0\"]", NULL));
    kit_begin(&kit);
    kit.txn.client = (struct addr){ .family = ADDR_UNIX };
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_DENY);
    kit_close(&kit);
}

static void deny_refuses_but_for_exceptions(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    assert_true(kit_configure(
        &kit, "{lists: [abusers], ips: [203.0.113.0/24], except: [office]}", NULL));
    assert_int_equal(ask_from("198.51.100.7"), REASON_ADDRESS_DENIED);
    assert_text(kit.txn.facts.denied_by, "abusers");
    assert_int_equal(ask_from("203.0.113.9"), REASON_ADDRESS_DENIED);
    assert_text(kit.txn.facts.denied_by, "");
    assert_int_equal(ask_from("192.0.2.66"), REASON_NONE); /* on both */
    assert_int_equal(ask_from("8.8.8.8"), REASON_NONE);
    kit_close(&kit);
}

static void why_is_told(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    kit_list(&kit, "feed",
             block_of("prefix,reason,source,expires\n8.8.0.0/16,wide,a,\n"
                      "8.8.8.0/24,\"a \"\"scan\"\"\",b,4000000000\n8.8.8.8,gone,c,1001\n"));
    assert_true(kit_configure(&kit, "[feed]", NULL));
    kit.worker.loop.clock.wall_us = UINT64_C(2000) * 1000000;
    assert_int_equal(ask_from("8.8.8.8"), REASON_ADDRESS_DENIED);
    assert_int_equal(kit.txn.list_hit_count, 1);
    const struct list_hit *hit = &kit.txn.list_hits[0];
    assert_text(hit->list, "feed");
    assert_text(hit->what.reason, "a \"scan\"");
    assert_text(hit->what.source, "b");
    assert_int_equal(hit->what.prefix.bits, 24);
    assert_int_equal(hit->what.expires_s, 4000000000u);
    kit_close(&kit);
}

static uint64_t state_of_chance = 0x2545f4914f6cdd1du;

static uint32_t chance(void)
{
    state_of_chance ^= state_of_chance >> 12;
    state_of_chance ^= state_of_chance << 25;
    state_of_chance ^= state_of_chance >> 27;
    return (uint32_t)(state_of_chance * 0x2545f4914f6cdd1du >> 32);
}

static struct cidr random_prefix(void)
{
    struct cidr cidr = { .addr = { .family = ADDR_V4,
                                   .bytes = { 9, (uint8_t)(chance() % 3) } } };
    cidr.addr.bytes[2] = (uint8_t)chance();
    cidr.addr.bytes[3] = (uint8_t)(chance() % 8);
    cidr.bits = (uint8_t)(9 + chance() % 24);
    addr_mask(&cidr.addr, cidr.bits);
    return cidr;
}

static struct span random_list(struct cidrs *naive, size_t count)
{
    struct addrlist_entry *entries =
        arena_array(&kit.config_arena, struct addrlist_entry, count);
    struct span block;
    naive->items = arena_array(&kit.config_arena, struct cidr, count);
    for (naive->count = 0; naive->count < count; naive->count++) {
        naive->items[naive->count] = random_prefix();
        entries[naive->count].cidr = naive->items[naive->count];
    }
    assert_int_equal(addrlist_build(entries, count, 0, &kit.config_arena, &block), OK);
    return block;
}

/* However specific what denies: whoever is excepted, passes. */
static void exceptions_win_as_in_a_naive_set(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct cidrs denied, excepted;
        kit_open(&kit, &deny_stage);
        kit_list(&kit, "denied", random_list(&denied, 1 + chance() % 40));
        kit_list(&kit, "excepted", random_list(&excepted, 1 + chance() % 20));
        assert_true(kit_configure(&kit, "{lists: [denied], except: [excepted]}", NULL));
        for (unsigned i = 0; i < 300; i++) {
            struct addr addr = random_prefix().addr;
            addr.bytes[3] = (uint8_t)(addr.bytes[3] + chance() % 2);
            kit_begin(&kit);
            kit.txn.client = addr;
            bool refused = kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_DENY;
            assert_int_equal(refused,
                             cidrs_contain(&denied, &addr) && !cidrs_contain(&excepted, &addr));
        }
        kit_close(&kit);
    }
}

static void who_is_allowed_is_not_denied(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    assert_true(kit_configure(&kit, "[abusers]", NULL));
    kit_begin(&kit);
    kit_client(&kit, "198.51.100.7");
    kit.txn.facts.allowed = true;
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    kit_close(&kit);
}

static void a_site_adds_to_what_it_inherits(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    assert_true(kit_configure(&kit, "{lists: [abusers], except: [192.0.2.66]}", NULL));
    const void *parent = kit.instance.conf;
    assert_true(kit_configure(&kit, "[203.0.113.0/24]", parent));
    assert_int_equal(ask_from("198.51.100.7"), REASON_ADDRESS_DENIED);
    assert_int_equal(ask_from("203.0.113.7"), REASON_ADDRESS_DENIED);
    assert_int_equal(ask_from("192.0.2.66"), REASON_NONE);
    kit_close(&kit);
}

static void lists_change_while_we_run(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    assert_true(kit_configure(&kit, "[abusers]", NULL));
    assert_int_equal(ask_from("198.51.100.7"), REASON_ADDRESS_DENIED);
    snapshot_initial(&kit.snapshots, 1, block_of("8.8.8.8"));
    assert_int_equal(ask_from("198.51.100.7"), REASON_NONE);
    assert_int_equal(ask_from("8.8.8.8"), REASON_ADDRESS_DENIED);
    snapshot_initial(&kit.snapshots, 1, block_of(""));
    assert_int_equal(ask_from("8.8.8.8"), REASON_NONE);
    kit_close(&kit);
}

/* A list that is not there (which the loader prevents) must not let anybody by. */
static void a_missing_block_fails_closed(void **state)
{
    (void)state;
    open_with_lists(&deny_stage);
    kit_list(&kit, "lost", span_of(NULL, 0));
    assert_true(kit_configure(&kit, "[lost, abusers]", NULL));
    assert_int_equal(ask_from("198.51.100.7"), REASON_ADDRESS_DENIED);
    assert_int_equal(ask_from("8.8.8.8"), REASON_STAGE_FAILED);
    kit_close(&kit);
    open_with_lists(&allow_stage);
    kit_list(&kit, "lost", span_of(NULL, 0));
    assert_true(kit_configure(&kit, "[lost]", NULL));
    assert_int_equal(ask_from("8.8.8.8"), REASON_ADDRESS_NOT_ALLOWED);
    kit_close(&kit);
}

static void complains_of_unknown_names(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "[offcie]", "lists are: office, abusers" },
        { "{lists: [office], except: [nobody]}", "nobody" },
        { "[192.0.2.7/24]", "write 192.0.2.0/24" },
        { "[192.0.2.0/33]", "neither an address nor a list" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with_lists(&deny_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void nothing_configured_is_idle(void **state)
{
    (void)state;
    static const struct stage_type *const types[] = { &allow_stage, &deny_stage };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        open_with_lists(types[i]);
        assert_true(kit_configure(&kit, "[]", NULL));
        assert_true(types[i]->idle(kit.instance.conf));
        kit_close(&kit);
    }
}

int main(void)
{
    return RUN(TEST(allow_lets_in_its_own_and_nobody_else), TEST(deny_judges_connections),
               TEST(an_address_of_no_family_is_not_allowed),
               TEST(deny_refuses_but_for_exceptions), TEST(why_is_told),
               TEST(exceptions_win_as_in_a_naive_set), TEST(who_is_allowed_is_not_denied),
               TEST(a_site_adds_to_what_it_inherits), TEST(lists_change_while_we_run),
               TEST(a_missing_block_fails_closed), TEST(complains_of_unknown_names),
               TEST(nothing_configured_is_idle));
}
