/* The stage as a whole, with a clock of our own: reasons, thresholds, and answers over time. */
#include "auth/bots/bots.h"

#include "auth/bots/stage.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

enum { NOW = 1800000000 };

static struct kit kit;
static struct clock now;
static uint32_t asn;

static void geo_lookup(struct worker *worker, const struct addr *addr, struct geo *geo,
                       struct arena *names)
{
    (void)worker;
    (void)addr;
    (void)names;
    *geo = (struct geo){ .country = "XX", .asn = asn };
}

static void open_with(const char *yaml)
{
    static struct cidr office = { .bits = 24 }, exits = { .bits = 32 };
    kit_open(&kit, &bots_stage);
    kit_list(&kit, "scanners", SPAN(""));
    kit_list(&kit, "exits", SPAN(""));
    assert_true(addr_parse(SPAN("198.51.100.0"), &office.addr));
    assert_true(addr_parse(SPAN("203.0.113.9"), &exits.addr));
    kit.config.lists[0].ips = (struct cidrs){ &office, 1 };
    kit.config.lists[1].ips = (struct cidrs){ &exits, 1 };
    kit.config.geo_lookup = geo_lookup;
    asn = 0;
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_attach(&kit);
    now.wall_us = (uint64_t)NOW * 1000000;
}

static void begin(const char *client, const char *path)
{
    kit_begin(&kit);
    kit.txn.clock = &now;
    kit_client(&kit, client);
    kit.req.path = kit.req.path_plain = kit.req.path_wire = span_text(path);
    kit_field(&kit, "Accept", "text/html");
    kit_field(&kit, "User-Agent", "Reader");
}

static const struct bots_told *told(void)
{
    assert_non_null(kit.txn.facts.bots);
    return kit.txn.facts.bots;
}

static struct verdict get(const char *client, const char *path)
{
    begin(client, path);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

/* ---- reasons that the surroundings give ---- */

static void only_reason_is(const char *slug, int32_t weight)
{
    assert_int_equal(told()->score, weight);
    assert_int_equal(told()->reason_count, 1);
    assert_span(told()->reasons[0].name, span_text(slug));
}

static void lists_and_networks(void **state)
{
    (void)state;
    open_with("{mode: score, lists: [scanners], tor: [exits]}");
    assert_int_equal(get("192.0.2.1", "/").action, ACTION_PASS);
    assert_int_equal(told()->score, 0);
    assert_int_equal(get("198.51.100.7", "/").action, ACTION_PASS);
    only_reason_is("listed", 40);
    assert_true(told()->noted);
    assert_int_equal(get("203.0.113.9", "/").action, ACTION_PASS);
    only_reason_is("tor", 20);
    assert_false(told()->noted);
    asn = 16509;
    assert_int_equal(get("192.0.2.1", "/").action, ACTION_PASS);
    only_reason_is("datacentre", 20);
    asn = 16508;
    assert_int_equal(get("192.0.2.1", "/").action, ACTION_PASS);
    assert_int_equal(told()->reason_count, 0);
    kit_close(&kit);
}

static void thresholds_and_modes(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        enum action action;
        enum reason reason;
    } rows[] = {
        { "{mode: score, lists: [scanners]}", ACTION_PASS, REASON_NONE },
        { "{mode: challenge, lists: [scanners]}", ACTION_REPLY, REASON_BOT_CHALLENGE },
        { "{mode: challenge, lists: [scanners], threshold: 41}", ACTION_PASS, REASON_NONE },
        { "{mode: block, lists: [scanners]}", ACTION_REPLY, REASON_BOT_CHALLENGE },
        { "{mode: block, lists: [scanners], threshold: {block: 40}}", ACTION_DENY,
          REASON_BOT_SCORE },
        { "{mode: block, lists: [scanners], threshold: {block: 41}, weights: {listed: 41}}",
          ACTION_DENY, REASON_BOT_SCORE },
        { "{mode: challenge, attack: on}", ACTION_REPLY, REASON_BOT_CHALLENGE },
        { "{mode: challenge, attack: on, exempt: [/x]}", ACTION_PASS, REASON_NONE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with(rows[i].yaml);
        struct verdict verdict = get("198.51.100.7", "/x");
        assert_int_equal(verdict.action, rows[i].action);
        assert_int_equal(verdict.reason, rows[i].reason);
        kit_close(&kit);
    }
}

static void what_is_no_configuration(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{mode: score, lists: [nobody]}",
        "{mode: score, verify: [nobody]}",
        "{mode: score, weights: {nothing: 1}}",
        "{mode: score, secret: short}",
        "{mode: score, honeypots: [x]}",
        "{mode: score, datacentres: [ASx]}",
        "{mode: score, crawlers: {a: {agent: a}}}",
        "{mode: score, crawlers: {a: {agent: a, domains: [.com]}}}",
        "{mode: score, crawlers: {a: {agent: a, domains: [\"a b\"]}}}",
        "{mode: score, crawlers: {0123456789012345678901234567890x: {agent: a, domains: [a]}}}",
        "{mode: challenge, difficulty: 25}",
        "{mode: challenge, clearance: 2d}",
        "detect",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &bots_stage);
        assert_false(kit_configure(&kit, rows[i], NULL));
        kit_close(&kit);
    }
}

static void the_allowed_are_not_looked_at(void **state)
{
    (void)state;
    open_with("{mode: block, lists: [scanners], threshold: {block: 1}}");
    begin("198.51.100.7", "/");
    kit.txn.facts.allowed = true;
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    assert_null(kit.txn.facts.bots);
    kit_close(&kit);
}

/* ---- answers over time ---- */

static struct span between(struct span text, struct span before, char end)
{
    ssize_t at = span_find(text, before);
    assert_true(at >= 0);
    struct span rest = span_sub(text, (size_t)at + before.len, text.len), found;
    assert_true(span_cut(&rest, end, &found));
    return found;
}

static char body[4096], cookie[256];

/* A challenge, answered into `body`. */
static void ask_and_prove(const char *client, const char *path)
{
    struct verdict verdict = get(client, path);
    assert_int_equal(verdict.reason, REASON_BOT_CHALLENGE);
    struct span token = between(verdict.reply->body, SPAN("name=\"token\" value=\""), '"');
    for (unsigned i = 0;; i++) {
        char digits[24];
        struct text proof = text_fixed(digits, sizeof(digits));
        text_uint(&proof, i);
        if (!challenge_proved(challenge_seed(token), 4, text_span(&proof)))
            continue;
        struct text out = text_fixed(body, sizeof(body) - 1);
        text_lit(&out, "token=");
        text_add(&out, token);
        text_lit(&out, "&proof=");
        text_add(&out, text_span(&proof));
        body[out.len] = '\0';
        return;
    }
}

static struct verdict send_answer(const char *client)
{
    begin(client, BOTS_ANSWER);
    kit.req.method_id = METHOD_POST;
    kit.body = span_text(body);
    return kit_run(&kit, PHASE_PAGE);
}

static void keep_cookie(const struct verdict *verdict)
{
    struct span line = kit_reply_field(verdict, "Set-Cookie"), pair;
    assert_true(span_cut(&line, ';', &pair));
    assert_true(pair.len < sizeof(cookie));
    memcpy(cookie, pair.p, pair.len);
    cookie[pair.len] = '\0';
}

static struct verdict get_with_cookie(const char *client)
{
    begin(client, "/");
    kit_field(&kit, "Cookie", cookie);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static void later(uint64_t seconds)
{
    now.wall_us += seconds * 1000000;
}

static void an_answer_and_what_follows(void **state)
{
    (void)state;
    open_with("{mode: challenge, threshold: 0, difficulty: 4, clearance: 30m}");
    ask_and_prove("192.0.2.1", "/where");
    struct verdict verdict = send_answer("192.0.2.1");
    assert_int_equal(verdict.reason, REASON_BOT_PASSED);
    assert_text(kit_reply_field(&verdict, "Location"), "/where");
    keep_cookie(&verdict);
    assert_int_equal(get_with_cookie("192.0.2.1").action, ACTION_PASS);
    assert_true(told()->cleared && !told()->noted);
    later(30 * 60 - 1);
    assert_int_equal(get_with_cookie("192.0.2.99").action, ACTION_PASS);
    later(1);
    assert_int_equal(get_with_cookie("192.0.2.1").reason, REASON_BOT_CHALLENGE);
    kit_close(&kit);
}

static void answers_that_come_late_or_twice(void **state)
{
    (void)state;
    open_with("{mode: challenge, threshold: 0, difficulty: 4}");
    ask_and_prove("192.0.2.1", "/where");
    later(CHALLENGE_S); /* is asked anew, there */
    struct verdict verdict = send_answer("192.0.2.1");
    assert_int_equal(verdict.action, ACTION_REPLY);
    assert_text(kit_reply_field(&verdict, "Location"), "/where");
    assert_int_equal(kit_reply_field(&verdict, "Set-Cookie").len, 0);
    assert_string_equal(told()->outcome, "expired");

    ask_and_prove("192.0.2.1", "/");
    later(CHALLENGE_S - 1);
    assert_int_equal(send_answer("192.0.2.1").reason, REASON_BOT_PASSED);
    assert_int_equal(send_answer("192.0.2.1").reason, REASON_BOT_ANSWER);
    assert_string_equal(told()->outcome, "replayed");
    /* Which is a reason from then on. */
    (void)get("192.0.2.1", "/");
    only_reason_is("answer-wrong", 40);
    kit_close(&kit);
}

static void who_never_answers_is_suspicious(void **state)
{
    (void)state;
    open_with("{mode: challenge, threshold: 0, difficulty: 4}");
    for (unsigned i = 0; i < ASKED_MANY; i++) {
        assert_int_equal(get("192.0.2.1", "/").reason, REASON_BOT_CHALLENGE);
        assert_int_equal(told()->score, 0);
    }
    (void)get("192.0.2.1", "/");
    only_reason_is("unanswered", 15);
    /* One right answer, and it is over. */
    ask_and_prove("192.0.2.1", "/");
    assert_int_equal(send_answer("192.0.2.1").reason, REASON_BOT_PASSED);
    (void)get("192.0.2.1", "/");
    assert_int_equal(told()->score, 0);
    kit_close(&kit);
}

/* Another start, or another secret: nothing from before is worth anything. */
static void a_secret_makes_clearances_of_one_node_good_on_another(void **state)
{
    (void)state;
    static const char with[] = "{mode: challenge, threshold: 0, difficulty: 4, secret: "
                               "0123456789012345678901234567890123456789}";
    open_with(with);
    ask_and_prove("192.0.2.1", "/");
    struct verdict verdict = send_answer("192.0.2.1");
    keep_cookie(&verdict);
    kit_close(&kit);
    open_with(with); /* its memory is new, too */
    assert_int_equal(get_with_cookie("192.0.2.1").action, ACTION_PASS);
    kit_close(&kit);
    open_with("{mode: challenge, threshold: 0, difficulty: 4}");
    assert_int_equal(get_with_cookie("192.0.2.1").reason, REASON_BOT_CHALLENGE);
    kit_close(&kit);
}

int main(void)
{
    return RUN(TEST(lists_and_networks), TEST(thresholds_and_modes),
               TEST(what_is_no_configuration), TEST(the_allowed_are_not_looked_at),
               TEST(an_answer_and_what_follows), TEST(answers_that_come_late_or_twice),
               TEST(who_never_answers_is_suspicious),
               TEST(a_secret_makes_clearances_of_one_node_good_on_another));
}
