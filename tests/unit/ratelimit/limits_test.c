/* The limits stage: keys, several limits, refusals, inheritance, and what is refused at load.
 */
#include "ratelimit/limits.h"

#include "gateway/chain/scope.h"
#include "ratelimit/limit.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static uint64_t now_ns;
static struct expr_scope scope;

static void configure(const char *yaml)
{
    kit_open(&kit, &limits_stage);
    scope = scope_make(&kit.config);
    kit.schema.scope = &scope;
    now_ns = UINT64_C(1000) * 1000 * 1000 * 1000;
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
}

static struct verdict ask_from(const char *client)
{
    kit_begin(&kit);
    kit.worker.loop.clock.mono_ns = now_ns;
    kit_client(&kit, client);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

/* How many of `tries` pass. */
static unsigned admitted(const char *client, unsigned tries)
{
    unsigned count = 0;
    while (tries-- > 0)
        count += ask_from(client).action == ACTION_PASS;
    return count;
}

static void pass_time(uint64_t ms)
{
    now_ns += ms * 1000 * 1000;
}

static void limits_each_client_alone(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 3}]");
    assert_int_equal(admitted("192.0.2.1", 10), 3);
    assert_int_equal(admitted("192.0.2.2", 10), 3);
    pass_time(999);
    assert_int_equal(admitted("192.0.2.1", 10), 0);
    pass_time(1);
    assert_int_equal(admitted("192.0.2.1", 10), 1);
    kit_close(&kit);
}

static void the_burst_is_the_count_unless_given(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        unsigned burst;
    } rows[] = {
        { "[5/min]", 5 },
        { "5/min", 5 },
        { "[\"5/min per client.ip burst 2\"]", 2 },
        { "[{rate: 5/min, burst: 7}]", 7 },
        { "{rules: [{rate: 5/min, burst: 7, cost: 2}]}", 3 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i].yaml);
        assert_int_equal(admitted("192.0.2.1", 20), rows[i].burst);
        kit_close(&kit);
    }
}

static void an_ipv6_network_is_one_client(void **state)
{
    (void)state;
    configure("[{rate: 1/min, burst: 2}]");
    assert_int_equal(admitted("2001:db8:0:1::1", 1), 1);
    assert_int_equal(admitted("2001:db8:0:1:ffff::2", 1), 1);
    assert_int_equal(admitted("2001:db8:0:1:1:2:3:4", 1), 0);
    assert_int_equal(admitted("2001:db8:0:2::1", 1), 1);
    /* The first eight bytes of both are the same. */
    assert_int_equal(admitted("10.0.0.1", 2), 2);
    assert_int_equal(admitted("a00:1::", 2), 2);
    /* One client has one spelling. */
    assert_int_equal(admitted("::ffff:10.0.0.1", 1), 0);
    kit_close(&kit);
}

static void constants_count_all_clients_together(void **state)
{
    (void)state;
    static const char *const spellings[] = { "[{rate: 4/min, per: site}]",
                                             "[\"4/min per route\"]" };
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
        configure(spellings[i]);
        assert_int_equal(admitted("192.0.2.1", 3), 3);
        assert_int_equal(admitted("2001:db8::1", 3), 1);
        kit_close(&kit);
    }
}

/* A refusal by one limit does not use up the other. */
static void refused_requests_are_charged_to_none(void **state)
{
    (void)state;
    configure("[{rate: 10/hour, burst: 10, name: hourly}, {rate: 1/s, burst: 1, name: fast}]");
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(admitted("192.0.2.1", 5), 1);
        assert_text(kit.txn.facts.limit, "fast");
        pass_time(1000);
    }
    assert_int_equal(admitted("192.0.2.1", 5), 1);
    assert_text(kit.txn.facts.limit, "hourly");
    kit_close(&kit);
}

static void tells_when_to_come_back(void **state)
{
    (void)state;
    configure("[{rate: 5/min, burst: 1, name: login}]");
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    assert_text(kit.txn.facts.limit, "");
    pass_time(1500);
    struct verdict verdict = ask_from("192.0.2.1");
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_RATE_LIMIT);
    assert_text(kit_reply_field(&verdict, "Retry-After"), "11"); /* 10.5, rounded up */
    assert_text(kit_reply_field(&verdict, "RateLimit"), "\"login\";r=0;t=11");
    assert_text(kit_reply_field(&verdict, "RateLimit-Policy"), "\"login\";q=5;w=60");
    assert_text(kit.txn.facts.limit, "login");
    pass_time(10499);
    verdict = ask_from("192.0.2.1");
    assert_text(kit_reply_field(&verdict, "Retry-After"), "1"); /* never 0 */
    pass_time(1);
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    kit_close(&kit);

    configure("[{rate: 5/500ms, burst: 4, cost: 3}]");
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    verdict = ask_from("192.0.2.1");
    assert_text(kit_reply_field(&verdict, "RateLimit"), "\"5-per-500ms\";r=1;t=1");
    assert_text(kit_reply_field(&verdict, "RateLimit-Policy"), "\"5-per-500ms\";q=5");
    kit_close(&kit);
}

static void a_limit_is_named_by_its_rate(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *field;
    } rows[] = {
        { "[1/min]", "\"1-per-min\";q=1;w=60" },
        { "[1/10s]", "\"1-per-10s\";q=1;w=10" },
        { "[1/day]", "\"1-per-day\";q=1;w=86400" },
        { "[1/90min]", "\"1-per-90min\";q=1;w=5400" },
        { "[1/2h]", "\"1-per-2h\";q=1;w=7200" },
        { "[{rate: 1/s, name: n}]", "\"n\";q=1;w=1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i].yaml);
        assert_int_equal(admitted("192.0.2.1", 1), 1);
        struct verdict verdict = ask_from("192.0.2.1");
        assert_span(kit_reply_field(&verdict, "RateLimit-Policy"), span_text(rows[i].field));
        kit_close(&kit);
    }
}

/* The same memory under a new configuration: a reload forgives nothing. */
static void a_reload_forgives_nothing(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 3}]");
    assert_int_equal(admitted("192.0.2.1", 10), 3);
    assert_true(kit_configure(&kit, "[{rate: 60/min, burst: 3}]", NULL));
    assert_int_equal(admitted("192.0.2.1", 10), 0);
    /* Nor does another rate under the same name; and another site's limit is another one. */
    assert_true(kit_configure(&kit, "[{rate: 60/min, burst: 3, name: n}]", NULL));
    assert_int_equal(admitted("192.0.2.1", 10), 3);
    assert_true(kit_configure(&kit, "[{rate: 60/min, burst: 4, name: n}]", NULL));
    assert_int_equal(admitted("192.0.2.1", 10), 1);
    kit.setup.site = "blog";
    assert_true(kit_configure(&kit, "[{rate: 60/min, burst: 3, name: n}]", NULL));
    assert_int_equal(admitted("192.0.2.1", 10), 3);
    kit_close(&kit);
}

/* One configuration serves all that inherit it; a limit of the defaults belongs to no site. */
static void heirs_share_a_counter(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        unsigned in_next_route, in_next_site;
    } rows[] = {
        { "[{rate: 60/min, burst: 3}]", 0, 0 },
        { "[{rate: 60/min, burst: 3, per: site}]", 0, 3 },
        { "[{rate: 60/min, burst: 3, per: route}]", 3, 3 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &limits_stage);
        kit.setup.site = kit.setup.route = NULL;
        assert_true(kit_configure(&kit, rows[i].yaml, NULL));
        kit.route.name = "/a";
        assert_int_equal(admitted("192.0.2.1", 9), 3);
        kit.route.name = "/b";
        assert_int_equal(admitted("192.0.2.1", 9), rows[i].in_next_route);
        kit.site.name = "blog";
        assert_int_equal(admitted("192.0.2.1", 9), rows[i].in_next_site);
        kit_close(&kit);
    }
}

/* The same words on two routes are two limits. */
static void a_rule_of_its_own_has_a_counter_of_its_own(void **state)
{
    (void)state;
    configure("[5/min]");
    kit.setup.route = "/login";
    assert_true(kit_configure(&kit, "[5/min]", NULL));
    assert_int_equal(admitted("192.0.2.1", 9), 5);
    kit.setup.route = "/signup";
    assert_true(kit_configure(&kit, "[5/min]", NULL));
    assert_int_equal(admitted("192.0.2.1", 9), 5);
    kit_close(&kit);
}

static void complains_of_what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "[\"5/min per nobody\"]", "a limit counts by client.ip" },
        { "[{rate: 5/min, per: \"header:\"}]", "a limit counts by client.ip" },
        { "[{rate: 5/min, per: site+route+host+path+method}]", "at most four" },
        { "[{rate: 5/min, cost: 6, costs: []}]", "cost is above burst" },
        { "[{rate: 5/min, store: exact}]", "needs a store" },
        { "[{rate: 5/min, quota: 5}]", "one of rate, quota" },
        { "[{name: n}]", "one of rate, quota" },
        { "[{quota: 5, zone: Mars/Olympus}]", "no such time zone" },
        { "[{quota: 5, window: week, anchor: 8}]", "a week begins" },
        { "[{rate: 5/min, debt: 8}]", "set response_cost" },
        { "[{concurrency: 5, response_cost: X}]", "to a rate or a quota" },
        { "[{rate: 1/day, response_cost: X, debt: 1000000000}]", "take decades" },
        { "[{rate: \"5/min per site\", per: client.ip}]", "two different things" },
        { "[{rate: \"5/min burst 3\", burst: 4}]", "two different bursts" },
        { "[{rate: 5/min, cost: 6}]", "cost is above burst" },
        { "[{rate: 5/min, name: \"a\\\"b\"}]", "a name has" },
        { "[5/min, 5/min]", "limit 2: another limit here has the same name" },
        { "[{rate: 1/day, burst: 1000000000}]", "takes decades" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &limits_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void bounds_the_number_of_limits(void **state)
{
    (void)state;
    char yaml[256] = "[";
    for (unsigned i = 1; i <= 17; i++) {
        struct text text = text_fixed(yaml, sizeof(yaml) - 1);
        for (unsigned k = 0; k < i; k++) {
            text_add(&text, k == 0 ? SPAN("[") : SPAN(", "));
            text_uint(&text, k + 1);
            text_lit(&text, "/min");
        }
        text_lit(&text, "]");
        yaml[text.len] = '\0';
        kit_open(&kit, &limits_stage);
        assert_int_equal(kit_configure(&kit, yaml, NULL), i <= 16);
        kit_close(&kit);
    }
}

static struct verdict ask_with(const char *name, const char *value)
{
    kit_begin(&kit);
    kit.worker.loop.clock.mono_ns = now_ns;
    if (name != NULL)
        kit_field(&kit, name, value);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static unsigned admitted_with(const char *name, const char *value, unsigned tries)
{
    unsigned count = 0;
    while (tries-- > 0)
        count += ask_with(name, value).action == ACTION_PASS;
    return count;
}

static void counts_by_header_and_cookie(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\"}]");
    assert_int_equal(admitted_with("X-Tenant", "a", 5), 2);
    assert_int_equal(admitted_with("x-tenant", "a", 5), 0);
    assert_int_equal(admitted_with("X-Tenant", "b", 5), 2);
    /* What is longer than a key may be is told apart all the same. */
    assert_int_equal(admitted_with("X-Tenant", "0123456789012345678901234567890123456789a", 5),
                     2);
    assert_int_equal(admitted_with("X-Tenant", "0123456789012345678901234567890123456789b", 5),
                     2);
    kit_close(&kit);

    configure("[{rate: 60/min, burst: 2, per: \"cookie:sid\"}]");
    assert_int_equal(admitted_with("Cookie", "x=1; sid=a", 5), 2);
    assert_int_equal(admitted_with("Cookie", "sid=a; y=2", 5), 0);
    assert_int_equal(admitted_with("Cookie", "sid=b", 5), 2);
    kit_close(&kit);
}

/* Written twice, the backend may read the other one: it counts as missing. */
static void what_is_written_twice_is_missing(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\"}]");
    unsigned passed = 0;
    for (unsigned i = 0; i < 5; i++) {
        char fresh[8] = "t0";
        fresh[1] = (char)('0' + i);
        kit_begin(&kit);
        kit.worker.loop.clock.mono_ns = now_ns;
        kit_field(&kit, "X-Tenant", fresh);
        kit_field(&kit, "X-Tenant", "victim");
        passed += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
    }
    assert_int_equal(passed, 2);
    kit_close(&kit);

    configure("[{rate: 60/min, burst: 2, per: \"query:id\"}]");
    passed = 0;
    for (unsigned i = 0; i < 5; i++) {
        char query[16] = "id=0&id=v";
        query[3] = (char)('0' + i);
        kit_begin(&kit);
        kit.worker.loop.clock.mono_ns = now_ns;
        kit.req.query = span_text(query);
        kit.req.has_query = true;
        passed += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
    }
    assert_int_equal(passed, 2);
    kit_close(&kit);
}

static void what_is_missing_is_configured(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\", on_missing: skip}]");
    assert_int_equal(admitted("192.0.2.1", 5), 5);
    kit_close(&kit);
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\", on_missing: bucket}]");
    assert_int_equal(admitted("192.0.2.1", 5), 2);
    assert_int_equal(admitted("192.0.2.2", 5), 0);
    kit_close(&kit);
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\"}]");
    assert_int_equal(admitted("192.0.2.1", 5), 2);
    assert_int_equal(admitted("192.0.2.2", 5), 2);
    kit_close(&kit);
    configure("[{rate: 60/min, burst: 2, per: \"header:X-Tenant\", on_missing: reject}]");
    struct verdict verdict = ask_from("192.0.2.1");
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_LIMIT_KEY);
    kit_close(&kit);
}

static void several_properties_are_one_key(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: \"header:A+header:B\", on_missing: bucket}]");
    static const struct {
        const char *a, *b;
        unsigned admitted;
    } rows[] = {
        { "x", "y", 2 }, { "x", "y", 0 }, { "xy", NULL, 2 }, { NULL, "xy", 2 }, { "y", "x", 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned passed = 0;
        for (unsigned k = 0; k < 4; k++) {
            kit_begin(&kit);
            kit.worker.loop.clock.mono_ns = now_ns;
            if (rows[i].a != NULL)
                kit_field(&kit, "A", rows[i].a);
            if (rows[i].b != NULL)
                kit_field(&kit, "B", rows[i].b);
            passed += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
        }
        assert_int_equal(passed, rows[i].admitted);
    }
    kit_close(&kit);
}

/* 256 networks of one line, each within its limit, are together held to 4 and 16 times it. */
static void wider_networks_are_counted_too(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        unsigned in_56, in_48;
    } rows[] = {
        { "[{rate: 60/min, burst: 2}]", 8, 32 },
        { "[{rate: 60/min, burst: 2, networks: false}]", 64, 256 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i].yaml);
        unsigned in_56 = 0, in_48 = 0;
        char address[40];
        for (unsigned net = 0; net < 32; net++) {
            struct text text = text_fixed(address, sizeof(address) - 1);
            text_format(&text, "2001:db8:1:%x::1", net);
            address[text.len] = '\0';
            in_56 += admitted(address, 3);
        }
        for (unsigned net = 0; net < 128; net++) {
            struct text text = text_fixed(address, sizeof(address) - 1);
            text_format(&text, "2001:db8:2:%x::1", net << 9);
            address[text.len] = '\0';
            in_48 += admitted(address, 3);
        }
        assert_int_equal(in_56, rows[i].in_56);
        assert_int_equal(in_48, rows[i].in_48);
        kit_close(&kit);
    }
}

static void the_refusing_network_is_told(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 1, name: n}]");
    for (unsigned net = 0; net < 5; net++) {
        char address[40];
        struct text text = text_fixed(address, sizeof(address) - 1);
        text_format(&text, "2001:db8:1:%x::1", net);
        address[text.len] = '\0';
        struct verdict verdict = ask_from(address);
        if (net < 4)
            continue;
        assert_text(kit.txn.facts.limit, "n-net56");
        assert_text(kit_reply_field(&verdict, "RateLimit-Policy"), "\"n-net56\";q=240;w=60");
    }
    kit_close(&kit);
}

static void requests_have_prices(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 10, costs: [{when: 'path == \"/dear\"', cost: 5}, "
              "{when: 'path == \"/free\"', cost: 0}]}]");
    unsigned passed = 0;
    for (unsigned i = 0; i < 5; i++) {
        kit_begin(&kit);
        kit.worker.loop.clock.mono_ns = now_ns;
        kit.req.path = kit.req.path_plain = SPAN("/free");
        assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
        kit_begin(&kit);
        kit.worker.loop.clock.mono_ns = now_ns;
        kit.req.path = kit.req.path_plain = SPAN("/dear");
        passed += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
    }
    assert_int_equal(passed, 2);
    assert_int_equal(admitted("192.0.2.1", 3), 0);
    kit_close(&kit);

    configure("[{rate: 60/min, burst: 1, when: 'path == \"/login\"'}]");
    assert_int_equal(admitted("192.0.2.1", 5), 5);
    kit_close(&kit);
}

/* Who does not slow down stays out; who does comes back. */
static void refusals_may_cost(void **state)
{
    (void)state;
    configure("[{rate: 1/s, burst: 3, penalty: 1}]");
    assert_int_equal(admitted("192.0.2.1", 3), 3);
    for (unsigned i = 0; i < 20; i++) {
        pass_time(500);
        assert_int_equal(admitted("192.0.2.1", 1), 0);
    }
    /* The debt is a full burst at the most. */
    pass_time(1000);
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    kit_close(&kit);
}

static void a_shadow_refuses_nothing(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "[{rate: 60/min, burst: 2, name: s, shadow: true}, {rate: 60/min, burst: 4, name: r}]",
        "[{rate: 60/min, burst: 4, name: r}, {rate: 60/min, burst: 2, name: s, action: log}]",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i]);
        assert_int_equal(admitted("192.0.2.1", 2), 2);
        assert_text(kit.txn.facts.limit_shadow, "");
        assert_int_equal(admitted("192.0.2.1", 2), 2);
        assert_text(kit.txn.facts.limit_shadow, "s");
        assert_int_equal(admitted("192.0.2.1", 2), 0);
        assert_text(kit.txn.facts.limit, "r");
        kit_close(&kit);
    }
}

static void over_the_limit_may_be_cut(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 1, action: close}]");
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    struct verdict verdict = ask_from("192.0.2.1");
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_true(verdict.reply->cut);
    kit_close(&kit);
}

static void older_fields_can_be_had(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *name, *value;
    } rows[] = {
        { "{rules: [{rate: 5/min, burst: 1}], fields: legacy}", "RateLimit-Limit", "5" },
        { "{rules: [{rate: 5/min, burst: 1}], fields: legacy}", "RateLimit-Reset", "12" },
        { "{rules: [{rate: 5/min, burst: 1}], fields: github}", "X-RateLimit-Remaining", "0" },
        { "{rules: [{rate: 5/min, burst: 1}], fields: github}", "X-RateLimit-Reset", "1012" },
        { "{rules: [{rate: 5/min, burst: 1}], fields: none}", "Retry-After", "12" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i].yaml);
        kit.worker.loop.clock.wall_us = UINT64_C(1000) * 1000 * 1000;
        assert_int_equal(admitted("192.0.2.1", 1), 1);
        struct verdict verdict = ask_from("192.0.2.1");
        assert_span(kit_reply_field(&verdict, rows[i].name), span_text(rows[i].value));
        assert_int_equal(kit_reply_field(&verdict, "RateLimit").len, 0);
        kit_close(&kit);
    }
}

static struct verdict post(const char *form)
{
    kit_begin(&kit);
    kit.worker.loop.clock.mono_ns = now_ns;
    kit_field(&kit, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.action, ACTION_PASS);
    kit.body = span_text(form);
    return kit_run(&kit, PHASE_REQUEST_BODY);
}

static void form_fields_are_counted_with_the_body(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: \"field:user\", on_missing: bucket}]");
    assert_true(limits_stage.wants_body(kit.instance.conf));
    assert_int_equal(post("user=a&p=1").action, ACTION_PASS);
    assert_int_equal(post("p=2&user=%61").action, ACTION_PASS);
    assert_int_equal(post("user=a&p=3").action, ACTION_DENY);
    assert_int_equal(post("user=b").action, ACTION_PASS);
    /* A second one evades nothing: both of these have no user, and nor has the third. */
    assert_int_equal(post("user=x1&user=a").action, ACTION_PASS);
    assert_int_equal(post("user=x2&user=a").action, ACTION_PASS);
    assert_int_equal(post("user=x3&user=a").action, ACTION_DENY);
    kit_close(&kit);
}

static void users_are_counted_after_authentication(void **state)
{
    (void)state;
    configure("[{rate: 60/min, burst: 2, per: user}]");
    assert_true(limits_stage.idle(kit.instance.conf));
    assert_false(subject_limits_stage.idle(kit.instance.conf));
    assert_int_equal(admitted("192.0.2.1", 5), 5); /* nobody has been authenticated yet */
    kit.instance.type = &subject_limits_stage;
    static const struct {
        const char *user, *client;
        unsigned admitted;
    } rows[] = {
        { "ann", "192.0.2.1", 2 }, { "ann", "192.0.2.2", 0 }, { "bob", "192.0.2.2", 2 },
        { "", "192.0.2.1", 2 },    { "", "192.0.2.2", 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned passed = 0;
        for (unsigned k = 0; k < 4; k++) {
            kit_begin(&kit);
            kit.worker.loop.clock.mono_ns = now_ns;
            kit_client(&kit, rows[i].client);
            kit.txn.facts.user = span_text(rows[i].user);
            passed += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
        }
        assert_int_equal(passed, rows[i].admitted);
    }
    kit.instance.type = &limits_stage;
    kit_close(&kit);
}

static void set_wall(uint64_t s)
{
    kit.worker.loop.clock.wall_us = s * 1000000;
}

static unsigned admitted_at(uint64_t s, unsigned tries)
{
    unsigned count = 0;
    while (tries-- > 0) {
        kit_begin(&kit);
        kit.worker.loop.clock.mono_ns = now_ns;
        set_wall(s);
        count += kit_run(&kit, PHASE_REQUEST_HEAD).action == ACTION_PASS;
    }
    return count;
}

/* 2026-11-21 14:00:00 UTC */
enum { AFTERNOON = 1795269600, MIDNIGHT = AFTERNOON + 10 * 3600 };

static void quotas_hold_for_a_window(void **state)
{
    (void)state;
    configure("[{quota: 10, window: day, per: site, name: q}]");
    assert_int_equal(admitted_at(AFTERNOON, 4), 4);
    assert_int_equal(admitted_at(MIDNIGHT - 1, 20), 6);
    struct verdict verdict = kit.verdict;
    assert_text(kit_reply_field(&verdict, "RateLimit"), "\"q\";r=0;t=1");
    assert_text(kit_reply_field(&verdict, "RateLimit-Policy"), "\"q\";q=10;w=86400");
    assert_int_equal(admitted_at(MIDNIGHT, 20), 10);
    /* A raise counts at once, and so does a cut. */
    assert_true(kit_configure(&kit, "[{quota: 12, window: day, per: site, name: q}]", NULL));
    assert_int_equal(admitted_at(MIDNIGHT, 20), 2);
    assert_true(kit_configure(&kit, "[{quota: 5, window: day, per: site, name: q}]", NULL));
    assert_int_equal(admitted_at(MIDNIGHT, 20), 0);
    assert_int_equal(admitted_at(MIDNIGHT + 86400, 20), 5);
    kit_close(&kit);
}

static void quotas_know_their_zone(void **state)
{
    (void)state;
    configure("[{quota: 3, zone: America/New_York}]");
    assert_int_equal(admitted_at(MIDNIGHT, 9), 3);
    assert_int_equal(admitted_at(MIDNIGHT + 5 * 3600 - 1, 9), 0);
    assert_int_equal(admitted_at(MIDNIGHT + 5 * 3600, 9), 3);
    kit_close(&kit);
}

/* A clock that was wrong, or is put right, neither locks anybody out nor gives a quota twice.
 */
static void quotas_bear_a_clock_that_is_set(void **state)
{
    (void)state;
    configure("[{quota: 3, per: site}]");
    assert_int_equal(admitted_at(MIDNIGHT + 400 * 86400, 9), 3);
    assert_int_equal(admitted_at(AFTERNOON, 9), 3);
    assert_int_equal(admitted_at(MIDNIGHT, 2), 2);
    assert_int_equal(admitted_at(MIDNIGHT - 2, 9), 1);
    assert_int_equal(admitted_at(MIDNIGHT - 1, 9), 0);
    assert_int_equal(admitted_at(MIDNIGHT, 9), 0);
    assert_int_equal(admitted_at(MIDNIGHT + 86400, 9), 3);
    kit_close(&kit);
}

/* What answers cost is owed, and keeps out for as long as it takes. */
static void debts_are_worked_off(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        uint64_t charged, until_s; /* from when on one passes again */
    } rows[] = {
        { "[{rate: 60/min, burst: 5, response_cost: X-Cost}]", 20, 17 },
        { "[{rate: 60/min, burst: 5, response_cost: X-Cost}]", 1000, 51 },
        { "[{rate: 60/min, burst: 5, response_cost: X-Cost, debt: 7}]", 1000, 8 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        configure(rows[i].yaml);
        const struct rate_limits *conf = kit.instance.conf;
        const struct limit *limit = &conf->limits[0];
        assert_int_equal(admitted("192.0.2.1", 1), 1);
        const struct limit_later *later = kit.txn.facts.limit_later;
        assert_int_equal(later->count, 1);
        tats_charge(&conf->table, later->items[0].key, limit->gcra.most_ns, now_ns,
                    rows[i].charged * limit->gcra.interval_ns);
        struct verdict verdict = ask_from("192.0.2.1");
        assert_int_equal(verdict.action, ACTION_DENY);
        struct span after = kit_reply_field(&verdict, "Retry-After");
        uint64_t seconds;
        assert_true(span_uint(after, &seconds));
        assert_int_equal(seconds, rows[i].until_s);
        pass_time((rows[i].until_s - 1) * 1000 + 999);
        assert_int_equal(admitted("192.0.2.1", 1), 0);
        pass_time(1);
        assert_int_equal(admitted("192.0.2.1", 2), 1);
        kit_close(&kit);
    }
}

static void a_refusal_uses_no_quota(void **state)
{
    (void)state;
    configure("[{quota: 5, name: q}, {rate: 1/s, burst: 1, name: r}]");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(admitted_at(AFTERNOON, 3), 1);
        pass_time(1000);
    }
    assert_int_equal(admitted_at(AFTERNOON, 3), 0);
    assert_text(kit.txn.facts.limit, "q");
    kit_close(&kit);
}

static void slots_are_held_and_given_back(void **state)
{
    (void)state;
    configure("[{concurrency: 1, per: site}]");
    kit_attach(&kit);
    assert_int_equal(admitted("192.0.2.1", 1), 1);
    struct txn other; /* while that one is under way */
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    txn_init(&other, &kit.worker, &arena, &kit.req);
    struct slots_held *held = kit.worker.locals[0];
    const struct rate_limits *conf = kit.instance.conf;
    struct limit_item item = { .limit = conf->limits, .now = now_ns, .key = { 1, 99 } };
    assert_true(slots_free(conf, &item, 1));
    assert_int_equal(slots_take(held, conf, &item, 1, &other), OK);
    assert_false(slots_free(conf, &item, 1));
    assert_int_equal(slots_take(held, conf, &item, 1, &other), ERR_LIMIT);
    /* Renewed it stays; the request's end gives it back. */
    item.now += (uint64_t)1900 * 1000000;
    kit.worker.loop.clock.mono_ns = item.now;
    held->renew.fire(&held->renew);
    item.now += (uint64_t)1900 * 1000000;
    assert_false(slots_free(conf, &item, 1));
    arena_reset(&arena);
    assert_true(slots_free(conf, &item, 1));
    /* What nobody renews is free after two seconds. */
    assert_int_equal(slots_take(held, conf, &item, 1, &kit.txn), OK);
    item.now += (uint64_t)1999 * 1000000;
    assert_false(slots_free(conf, &item, 1));
    item.now += (uint64_t)1000000;
    assert_true(slots_free(conf, &item, 1));
    kit_close(&kit);
}

static void none_is_idle(void **state)
{
    (void)state;
    configure("[]");
    assert_true(limits_stage.idle(kit.instance.conf));
    kit_close(&kit);
    configure("[5/min]");
    assert_false(limits_stage.idle(kit.instance.conf));
    kit_close(&kit);
}

int main(void)
{
    return RUN(TEST(limits_each_client_alone), TEST(the_burst_is_the_count_unless_given),
               TEST(an_ipv6_network_is_one_client), TEST(constants_count_all_clients_together),
               TEST(refused_requests_are_charged_to_none), TEST(tells_when_to_come_back),
               TEST(a_limit_is_named_by_its_rate), TEST(a_reload_forgives_nothing),
               TEST(heirs_share_a_counter), TEST(a_rule_of_its_own_has_a_counter_of_its_own),
               TEST(complains_of_what_cannot_be), TEST(bounds_the_number_of_limits),
               TEST(counts_by_header_and_cookie), TEST(what_is_written_twice_is_missing),
               TEST(what_is_missing_is_configured), TEST(several_properties_are_one_key),
               TEST(wider_networks_are_counted_too), TEST(the_refusing_network_is_told),
               TEST(requests_have_prices), TEST(refusals_may_cost),
               TEST(a_shadow_refuses_nothing), TEST(over_the_limit_may_be_cut),
               TEST(older_fields_can_be_had), TEST(form_fields_are_counted_with_the_body),
               TEST(users_are_counted_after_authentication), TEST(quotas_hold_for_a_window),
               TEST(quotas_know_their_zone), TEST(a_refusal_uses_no_quota),
               TEST(quotas_bear_a_clock_that_is_set), TEST(debts_are_worked_off),
               TEST(slots_are_held_and_given_back), TEST(none_is_idle));
}
