/* The chain when nothing waits: verdicts and modes, exemptions, the trail, misuse, connections,
 * workers. */
#include "tests/unit/chain/bench.h"

/* ---- verdicts and modes ---- */

static void test_all_pass(void **state)
{
    (void)state;
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(txn.trail_count, 3);
    expect_entry(0, "one", "pass", NULL, true);
    expect_entry(2, "three", "pass", NULL, true);
    assert_string_equal(txn.trail[0].phase, "request_head");
    assert_int_equal(txn.decided, ACTION_PASS);
    start(PHASE_REQUEST_BODY);
    assert_int_equal(done_count, 2);
    assert_int_equal(txn.trail_count, 6);
    assert_int_equal(*(unsigned *)(void *)txn.state, 2); /* one state for all phases */
}

static void test_an_empty_chain_passes(void **state)
{
    (void)state;
    route.chain_count[PHASE_REQUEST_HEAD] = 0;
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(txn.trail_count, 0);
    assert_null(txn.state);
}

/* What a stage says, under which mode and error policy, and what comes of it. */
static void test_settling(void **state)
{
    (void)state;
    static const struct reply reply = { .status = 302 };
    static const struct {
        struct verdict said;
        enum mode mode;
        enum on_error on_error;
        enum action action;
        enum reason reason; /* of the outcome; of the record when it passes */
        const char *entry, *slug;
        bool enforced, detected;
    } cases[] = {
        { { ACTION_DENY, REASON_RULE, NULL },
          MODE_BLOCK,
          ON_ERROR_DENY,
          ACTION_DENY,
          REASON_RULE,
          "deny",
          "rule",
          true,
          false },
        { { ACTION_DENY, REASON_RULE, NULL },
          MODE_DETECT,
          ON_ERROR_DENY,
          ACTION_PASS,
          REASON_RULE,
          "deny",
          "rule",
          false,
          true },
        { { ACTION_REPLY, REASON_REDIRECT, &reply },
          MODE_BLOCK,
          ON_ERROR_DENY,
          ACTION_REPLY,
          REASON_REDIRECT,
          "reply",
          "redirect",
          true,
          false },
        { { ACTION_REPLY, REASON_REDIRECT, &reply },
          MODE_DETECT,
          ON_ERROR_DENY,
          ACTION_PASS,
          REASON_REDIRECT,
          "reply",
          "redirect",
          false,
          true },
        { { ACTION_FAIL, REASON_AUTH_BUSY, NULL },
          MODE_BLOCK,
          ON_ERROR_DENY,
          ACTION_DENY,
          REASON_AUTH_BUSY,
          "fail",
          "auth-busy",
          true,
          false },
        { { ACTION_FAIL, REASON_NONE, NULL },
          MODE_BLOCK,
          ON_ERROR_DENY,
          ACTION_DENY,
          REASON_STAGE_FAILED,
          "fail",
          "stage-failed",
          true,
          false },
        { { ACTION_FAIL, REASON_NONE, NULL },
          MODE_BLOCK,
          ON_ERROR_PASS,
          ACTION_PASS,
          REASON_NONE,
          "fail",
          "stage-failed",
          false,
          false },
        { { ACTION_FAIL, REASON_NONE, NULL },
          MODE_DETECT,
          ON_ERROR_DENY,
          ACTION_PASS,
          REASON_STAGE_FAILED,
          "fail",
          "stage-failed",
          false,
          true },
        { { ACTION_FAIL, REASON_NONE, NULL },
          MODE_DETECT,
          ON_ERROR_PASS,
          ACTION_PASS,
          REASON_NONE,
          "fail",
          "stage-failed",
          false,
          false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tear_down(NULL);
        set_up(NULL);
        scripts[1].first = cases[i].said;
        stages[1].mode = cases[i].mode;
        commons[1].on_error = (int)cases[i].on_error;
        start(PHASE_REQUEST_HEAD);
        bool stops = cases[i].action != ACTION_PASS;
        expect_done(cases[i].action, stops ? cases[i].reason : REASON_NONE);
        assert_ptr_equal(done_verdict.reply, stops ? cases[i].said.reply : NULL);
        expect_entry(1, "two", cases[i].entry, cases[i].slug, cases[i].enforced);
        assert_int_equal(txn.trail_count, stops ? 2 : 3);
        assert_int_equal(scripts[2].asked, stops ? 0 : 1);
        assert_int_equal(txn.reason, cases[i].reason);
        assert_int_equal(txn.decided, cases[i].action);
        assert_int_equal(txn.detected, cases[i].detected);
    }
}

static void test_a_denial_after_a_detection_is_the_reason(void **state)
{
    (void)state;
    scripts[0].first = deny(REASON_RULE);
    stages[0].mode = MODE_DETECT;
    scripts[1].first = deny(REASON_RATE_LIMIT);
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_DENY, REASON_RATE_LIMIT);
    assert_true(txn.detected);
    assert_int_equal(txn.reason, REASON_RATE_LIMIT);
}

static void test_unless(void **state)
{
    (void)state;
    config.arena = &arena;
    commons[0].unless = expression("path == \"/x\"");
    commons[1].unless = expression("path == \"/y\"");
    scripts[0].first = deny(REASON_RULE);
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(scripts[0].asked, 0);
    assert_int_equal(scripts[1].asked, 1);
    assert_int_equal(txn.trail_count, 2); /* an exempt stage leaves no entry */
    expect_entry(0, "two", "pass", NULL, true);
}

/* An exemption that could not be judged is none. */
static void test_unless_undecided_is_no_exemption(void **state)
{
    (void)state;
    static char path[64];
    config.arena = &arena;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '!';
    req.path = span_of(path, sizeof(path));
    commons[0].unless = expression("not (path matches \"^(a+)+$\")");
    scripts[0].first = deny(REASON_RULE);
    start(PHASE_REQUEST_HEAD);
    assert_true(txn.undecided);
    expect_done(ACTION_DENY, REASON_RULE);
}

static void test_out_of_memory_is_no_pass(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, NULL, 0);
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_DENY, REASON_MEMORY); /* no state */
}

static struct verdict allocate_and_pass(struct call *c)
{
    return arena_alloc(c->txn->arena, 4 * 1024 * 1024) == NULL ? pass() : deny(REASON_RULE);
}

static void test_a_stage_that_ran_out_of_memory_cannot_pass(void **state)
{
    (void)state;
    static const struct stage_type careless = {
        .name = "careless", .on = { [PHASE_REQUEST_HEAD] = allocate_and_pass }
    };
    stages[1].type = &careless;
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_DENY, REASON_MEMORY);
    expect_entry(1, "careless", "fail", "memory", true);
}

static void test_windows_share_an_entry(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        if (i == 50) {
            scripts[1].first = deny(REASON_RULE);
            stages[1].mode = MODE_DETECT;
        } else {
            scripts[1].first = pass();
        }
        start(PHASE_RESPONSE_BODY);
    }
    assert_int_equal(done_count, 100);
    assert_int_equal(txn.trail_count, 3);
    expect_entry(1, "two", "deny", "rule", false);
}

static void test_the_trail_is_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TRAIL_MAX; i++)
        start(PHASE_REQUEST_HEAD);
    assert_int_equal(txn.trail_count, TRAIL_MAX);
    assert_int_equal(done_count, TRAIL_MAX);
}

/* ---- misuse ends the process ---- */

static struct verdict wait_by_hand(struct call *c)
{
    (void)c;
    return (struct verdict){ .action = ACTION_WAIT };
}

static struct verdict wait_and_pass(struct call *c)
{
    (void)wait_for(c, &ops[0].op, resume_script);
    return pass();
}

static struct verdict deny_without_reason(struct call *c)
{
    (void)c;
    return deny(REASON_NONE);
}

static struct verdict set_a_foreign_fact(struct call *c)
{
    fact_set_limit(c, SPAN("x"));
    return pass();
}

static struct verdict abort_under_way(struct call *c)
{
    txn_abort(c->txn);
    return pass();
}

static bool ends_the_process(stage_fn *fn, enum phase phase)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct stage_type type = { .name = "bad" };
        type.on[phase] = fn;
        stages[0].type = &type;
        assert_non_null(freopen("/dev/null", "w", stderr));
        (void)signal(SIGABRT, SIG_DFL);
        start(phase);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void test_misuse_is_fatal(void **state)
{
    (void)state;
    assert_true(ends_the_process(wait_by_hand, PHASE_REQUEST_HEAD));
    assert_true(ends_the_process(wait_and_pass, PHASE_REQUEST_HEAD));
    assert_true(ends_the_process(deny_without_reason, PHASE_REQUEST_HEAD));
    assert_true(ends_the_process(set_a_foreign_fact, PHASE_REQUEST_HEAD));
    assert_true(ends_the_process(abort_under_way, PHASE_REQUEST_HEAD));
    assert_false(ends_the_process(run_script, PHASE_RESPONSE_BODY));
}

/* ---- facts, findings, connections, workers ---- */

static struct verdict set_user(struct call *c)
{
    fact_set_user(c, SPAN("alice"));
    return pass();
}

static void test_facts_and_findings(void **state)
{
    (void)state;
    static const struct stage_type basic = { .name = "basic",
                                             .on = { [PHASE_REQUEST_HEAD] = set_user } };
    stages[0].type = &basic;
    start(PHASE_REQUEST_HEAD);
    assert_true(span_equal(txn.facts.user, SPAN("alice")));
    struct finding finding = { .rule = SPAN("1") };
    for (unsigned i = 0; i < FINDINGS_MAX + 3; i++)
        txn_find(&txn, &finding);
    assert_int_equal(txn.finding_count, FINDINGS_MAX);
    assert_int_equal(txn.findings_dropped, 3);
    /* Each rule has a place, whatever others fill the record with. */
    static char names[FINDINGS_MAX][8];
    for (unsigned i = 0; i < FINDINGS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "%u", i + 2);
        finding.rule = span_text(names[i]);
        txn_find(&txn, &finding);
        txn_find(&txn, &finding);
    }
    assert_int_equal(txn.finding_count, FINDINGS_MAX);
    assert_int_equal(txn.findings_dropped, 3 + 2 * FINDINGS_MAX);
    for (unsigned i = 0; i < FINDINGS_MAX; i++)
        assert_true(
            span_equal(txn.findings[i].rule, i == 0 ? SPAN("1") : span_text(names[i - 1])));
    /* What decides takes the place of the last; what comes after it does not take its. */
    finding = (struct finding){ .rule = SPAN("949110"), .decides = true };
    txn_find(&txn, &finding);
    finding = (struct finding){ .rule = SPAN("980130") };
    txn_find(&txn, &finding);
    assert_true(span_equal(txn.findings[FINDINGS_MAX - 1].rule, SPAN("949110")));
    assert_true(span_equal(txn.findings[0].rule, SPAN("1")));
    assert_int_equal(txn_id(&txn).len, 36);
}

static void test_connections(void **state)
{
    (void)state;
    struct addr peer = { .bytes = { 192, 0, 2, 1 }, .family = ADDR_V4 };
    config.connect = stages;
    config.connect_count = STAGES;
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).action, ACTION_PASS);
    scripts[1].first = deny(REASON_ADDRESS_DENIED);
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).reason,
                     REASON_ADDRESS_DENIED);
    stages[1].mode = MODE_DETECT;
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).action, ACTION_PASS);
    stages[1].mode = MODE_BLOCK;
    config.arena = &arena;
    commons[1].unless = expression("client.ip in [\"192.0.2.0/24\"]");
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).action, ACTION_PASS);
    commons[1].unless = expression("path == \"/x\"");
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).action, ACTION_DENY);
    commons[1].unless = NULL;
    scripts[1].first = (fail)(REASON_NONE); /* the macro of cmocka has the same name */
    assert_int_equal(chain_connect(&config, &worker, &peer, NULL).reason, REASON_STAGE_FAILED);
}

static unsigned attached, detached;
static enum err attach_count(void *local, const void *conf, struct worker *of)
{
    assert_ptr_equal(of, &worker);
    assert_int_equal((uintptr_t)local % 64, 0);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(((char *)local)[i], 0);
    memset(local, 'x', 100);
    attached++;
    return conf == &scripts[2] ? ERR_OPEN : OK;
}

static void detach_count(void *local)
{
    assert_int_equal(((char *)local)[99], 'x');
    detached++;
}

static void test_attach_and_detach(void **state)
{
    (void)state;
    static const struct stage_type local = {
        .name = "local", .local_size = 100, .attach = attach_count, .detach = detach_count
    };
    stages[0].type = stages[1].type = stages[2].type = &local;
    config.instances = stages;
    config.instance_count = 2;
    attached = detached = 0;
    assert_int_equal(chain_attach(&worker, &config), OK);
    assert_int_equal(attached, 2);
    chain_detach(&worker, &config);
    chain_detach(&worker, &config);
    assert_int_equal(detached, 2);
    config.instance_count = 3;
    assert_int_equal(chain_attach(&worker, &config), ERR_OPEN);
    assert_int_equal(attached, 5);
    assert_int_equal(detached, 4);
    assert_null(worker.locals);
}

static void test_reasons(void **state)
{
    (void)state;
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_row *row = reason_row((enum reason)i);
        assert_in_range(row->status, 200, 599);
        assert_true(strlen(row->slug) > 0 && strlen(row->title) > 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(row->slug, reason_row((enum reason)k)->slug);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_all_pass),
        BENCH_TEST(test_an_empty_chain_passes),
        BENCH_TEST(test_settling),
        BENCH_TEST(test_a_denial_after_a_detection_is_the_reason),
        BENCH_TEST(test_unless),
        BENCH_TEST(test_unless_undecided_is_no_exemption),
        BENCH_TEST(test_out_of_memory_is_no_pass),
        BENCH_TEST(test_a_stage_that_ran_out_of_memory_cannot_pass),
        BENCH_TEST(test_windows_share_an_entry),
        BENCH_TEST(test_the_trail_is_bounded),
        BENCH_TEST(test_misuse_is_fatal),
        BENCH_TEST(test_facts_and_findings),
        BENCH_TEST(test_connections),
        BENCH_TEST(test_attach_and_detach),
        BENCH_TEST(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
