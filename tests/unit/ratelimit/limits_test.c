/* The limits stage: keys, several limits, refusals, inheritance, and what is refused at load.
 */
#include "ratelimit/limits.h"

#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static uint64_t now_ns;

static void configure(const char *yaml)
{
    kit_open(&kit, &limits_stage);
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
        { "[\"5/min per user\"]", "client.ip, site or route" },
        { "[{rate: 5/min, per: country}]", "client.ip, site or route" },
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
               TEST(none_is_idle));
}
