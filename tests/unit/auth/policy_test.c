/* Policies: first match, default deny, every predicate, and paths that could be read two ways.
 */
#include "auth/policy.h"

#include <stdlib.h>
#include <time.h>

#include "gateway/chain/scope.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static struct clock now;
static struct identity ann;

static void open_with(const char *yaml)
{
    kit_open(&kit, &policy_stage);
    static struct expr_scope scope;
    scope = scope_make(&kit.config);
    kit.schema.scope = &scope;
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_attach(&kit);
}

static void begin(const char *user)
{
    kit_begin(&kit);
    kit.txn.clock = &now;
    kit.req.path_plain = kit.req.path;
    if (user == NULL)
        return;
    kit.txn.facts.user = ann.user = span_text(user);
    kit.txn.facts.auth = SPAN("jwt");
    kit.txn.facts.identity = &ann;
}

static void path(const char *whole, const char *plain)
{
    kit.req.path = kit.req.path_wire = span_text(whole);
    kit.req.path_plain = span_text(plain);
}

static struct verdict run(void)
{
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static int set_up(void **state)
{
    static const struct span groups[] = { SPAN_INIT("staff"), SPAN_INIT("ops") };
    static const struct claim claims[] = { { SPAN_INIT("plan"), SPAN_INIT("gold") },
                                           { SPAN_INIT("scope"), SPAN_INIT("read") },
                                           { SPAN_INIT("scope"), SPAN_INIT("write") } };
    (void)state;
    setenv("TZ", "UTC", 1);
    /* Tuesday, 15 January 2030, 10:30 */
    now.wall_us = UINT64_C(1894703400) * 1000000;
    ann = (struct identity){
        .groups = groups, .group_count = 2, .claims = claims, .claim_count = 3
    };
    return 0;
}

static void what_is_not_named_is_refused(void **state)
{
    (void)state;
    open_with("[{users: [ann]}]");
    begin("ann");
    assert_int_equal(run().action, ACTION_PASS);
    begin("bob");
    struct verdict verdict = run();
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_AUTH_REFUSED);
    assert_string_equal(kit.txn.facts.auth_detail, "policy-default");
    begin(NULL);
    verdict = run();
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_POLICY);
    kit_close(&kit);
}

static void the_first_that_matches_decides(void **state)
{
    (void)state;
    open_with("[{name: not-ann, do: deny, users: [ann]}, {groups: [staff]}, "
              "{do: deny}, {users: [eve]}]");
    begin("ann");
    assert_int_equal(run().action, ACTION_DENY);
    assert_string_equal(kit.txn.facts.auth_detail, "policy-not-ann");
    begin("bob");
    assert_int_equal(run().action, ACTION_PASS);
    begin("eve");
    kit.txn.facts.identity = NULL;
    assert_int_equal(run().action, ACTION_DENY);
    assert_string_equal(kit.txn.facts.auth_detail, "policy-3");
    kit_close(&kit);
}

/* Each for somebody in staff and ops, on plan gold, at GET /a/b from 192.0.2.1. */
static void each_predicate(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool passes;
    } rows[] = {
        { "[{users: [bob, ann]}]", true },
        { "[{users: [Ann]}]", false },
        { "[{users: [\"\"]}]", false },
        { "[{groups: [admins, ops]}]", true },
        { "[{groups: [op, ops2, OPS]}]", false },
        { "[{claims: {plan: [silver, gold]}}]", true },
        { "[{claims: {plan: silver}}]", false },
        { "[{claims: {scope: write}}]", true },
        { "[{claims: {scope: write, plan: gold}}]", true },
        { "[{claims: {scope: write, none: gold}}]", false },
        { "[{auth: [basic, jwt]}]", true },
        { "[{auth: [basic]}]", false },
        { "[{methods: [POST, GET]}]", true },
        { "[{methods: [POST, get]}]", false },
        { "[{paths: [/a/b]}]", true },
        { "[{paths: [/a/**]}]", true },
        { "[{paths: [\"/a/*\"]}]", true },
        { "[{paths: [/a]}]", false },
        { "[{paths: [/a/b/c, /A/b]}]", false },
        { "[{ips: [192.0.2.0/24]}]", true },
        { "[{ips: [192.0.3.0/24, \"2001:db8::/32\"]}]", false },
        { "[{days: [tue]}]", true },
        { "[{days: [mon, wed]}]", false },
        { "[{hours: \"10:30-10:31\"}]", true },
        { "[{hours: \"08:00-10:30\"}]", false },
        { "[{hours: \"22:00-11:00\"}]", true },
        { "[{hours: \"22:00-06:00\"}]", false },
        { "[{days: [tue], hours: \"08:00-18:00\"}]", true },
        { "[{when: \"user == 'ann' and group('ops') and claim('plan') == 'gold'\"}]", true },
        { "[{when: \"header('x-admin') == '1'\"}]", false },
        { "[{users: [ann], paths: [/other]}]", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with(rows[i].rule);
        begin("ann");
        path("/a/b", "/a/b");
        if ((run().action == ACTION_PASS) != rows[i].passes)
            fail_msg("%s", rows[i].rule);
        kit_close(&kit);
    }
}

/* Who matches has to have proved enough, and gets no easier rule instead. */
static void what_must_have_been_proved(void **state)
{
    (void)state;
    static const struct {
        uint64_t ago_s;
        bool mfa, known, passes;
        const char *detail;
    } rows[] = {
        { 0, true, true, true, NULL },
        { 600, true, true, true, NULL },
        { 601, true, true, false, "policy-recent" },
        { 0, true, false, false, "policy-recent" },
        { 0, false, true, false, "policy-mfa" },
    };
    open_with("[{users: [ann], require: [mfa, recent(10m)]}, {users: [ann]}]");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin("ann");
        ann.mfa = rows[i].mfa;
        ann.proved_s = rows[i].known ? now.wall_us / 1000000 - rows[i].ago_s : 0;
        assert_int_equal(run().action == ACTION_PASS, rows[i].passes);
        if (!rows[i].passes)
            assert_string_equal(kit.txn.facts.auth_detail, rows[i].detail);
    }
    begin("ann");
    ann.mfa = true;
    ann.proved_s = now.wall_us / 1000000 + 3600;
    assert_int_equal(run().action, ACTION_DENY);
    begin("ann");
    kit.txn.facts.identity = NULL; /* basic: nothing else is known */
    assert_int_equal(run().action, ACTION_DENY);
    kit_close(&kit);
}

/* To some backends `;` and `%2F` are something else: no spelling passes. */
static void a_path_of_two_readings_never_gains(void **state)
{
    (void)state;
    static const struct {
        const char *whole, *plain;
        bool open,
            closed; /* whether allow of /public lets it in, deny of /admin keeps it out */
    } rows[] = {
        { "/public/x", "/public/x", true, false },
        { "/admin/x", "/admin/x", false, true },
        { "/public;v=1/x", "/public/x", false, false },
        { "/public/x;v=1", "/public/x;v=1", true, false },
        { "/admin;/x", "/admin/x", false, true },
        { "/public%2Fx", "/public/x", false, false },
        { "/admin%2Fx", "/admin/x", false, true },
        { "//admin/x", "/admin/x", false, true },
        { "/publicx", "/publicx", false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_with("[{paths: [/public/**]}]");
        begin("ann");
        path(rows[i].whole, rows[i].plain);
        assert_int_equal(run().action == ACTION_PASS, rows[i].open);
        kit_close(&kit);
        open_with("[{do: deny, paths: [/admin/**]}, {}]");
        begin("ann");
        path(rows[i].whole, rows[i].plain);
        assert_int_equal(run().action == ACTION_DENY, rows[i].closed);
        kit_close(&kit);
    }
}

/* oauth2-proxy's and others' ways around: none of these is asked at all. */
static void no_field_and_no_query_opens_anything(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } rows[] = {
        { "User-Agent", "kube-probe/1.0" },       { "User-Agent", "" },
        { "X-Forwarded-Uri", "/public/x" },       { "X-Original-URL", "/public/x" },
        { "X-Forwarded-Prefix", "/public" },      { "X-HTTP-Method-Override", "GET" },
        { "X-Authenticated-User", "ann" },        { "X-Remote-Groups", "staff" },
        { "Forwarded", "for=192.0.2.1;host=ok" }, { "X-Forwarded-For", "192.0.2.1" },
    };
    open_with("[{paths: [/public/**]}, {users: [ann], groups: [staff]}]");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        begin(NULL);
        path("/admin", "/admin");
        kit.req.query = SPAN("path=/public/x&user=ann");
        kit_field(&kit, rows[i].name, rows[i].value);
        assert_int_equal(run().action, ACTION_DENY);
    }
    kit_close(&kit);
}

/* More arguments than are read: whether the condition holds is not known. */
static void what_cannot_be_decided_is_refused(void **state)
{
    (void)state;
    struct text query;
    open_with("[{do: deny, when: \"arg('evil') == '1'\"}, {}]");
    begin("ann");
    assert_int_equal(run().action, ACTION_PASS);
    begin("ann");
    query = text_growing(&kit.txn_arena, 8192);
    for (unsigned i = 0; i <= SCOPE_PARAMS_MAX; i++)
        text_lit(&query, "a=1&");
    kit.req.query = text_span(&query);
    assert_int_equal(run().action, ACTION_DENY);
    assert_string_equal(kit.txn.facts.auth_detail, "policy-undecided");
    kit_close(&kit);
}

static void complains_at_load(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *part;
    } rows[] = {
        { "[{name: \"a b\"}]", "rule 1: a name" },
        { "[{}, {paths: [public]}]", "rule 2: a path" },
        { "[{days: [monday]}]", "days" },
        { "[{hours: \"8-18\"}]", "hours" },
        { "[{hours: \"08:00-24:01\"}]", "hours" },
        { "[{hours: \"08:60-18:00\"}]", "hours" },
        { "[{hours: \"08:00-08:00\"}]", "hours" },
        { "[{require: [totp]}]", "require" },
        { "[{require: [\"recent(10)\"]}]", "require" },
        { "[{require: [\"recent(0m)\"]}]", "require" },
        { "[{require: [\"recent(99999999999999999999d)\"]}]", "require" },
        { "[{do: deny, require: [mfa]}]", "requires nothing" },
        { "[{do: maybe}]", "" },
        { "[{user: ann}]", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &policy_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].part) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_not_named_is_refused, set_up),
        cmocka_unit_test_setup(the_first_that_matches_decides, set_up),
        cmocka_unit_test_setup(each_predicate, set_up),
        cmocka_unit_test_setup(what_must_have_been_proved, set_up),
        cmocka_unit_test_setup(a_path_of_two_readings_never_gains, set_up),
        cmocka_unit_test_setup(no_field_and_no_query_opens_anything, set_up),
        cmocka_unit_test_setup(what_cannot_be_decided_is_refused, set_up),
        cmocka_unit_test_setup(complains_at_load, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
