/* Faults on demand: each kind does to a stage what it says. Without them there is nothing to
 * test. */
#include "tests/unit/chain/bench.h"

#ifdef SALLYPORT_FAULTS

static void ask_for(const char *fault)
{
    assert_int_equal(fields_init(&req.fields, &arena, 2), OK);
    assert_int_equal(
        fields_add(&req.fields, &arena, SPAN("X-Sallyport-Fault"), span_text(fault)), OK);
}

static void test_others_are_left_alone(void **state)
{
    (void)state;
    static const char *const faults[] = { "",
                                          "stage=two",
                                          "stage=two;phase=request_body;kind=error",
                                          "stage=other;phase=request_head;kind=error",
                                          ";;=;",
                                          "kind=kill" };
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        tear_down(NULL);
        set_up(NULL);
        ask_for(faults[i]);
        start(PHASE_REQUEST_HEAD);
        expect_done(ACTION_PASS, REASON_NONE);
        assert_int_equal(scripts[1].asked, 1);
    }
}

static void test_error(void **state)
{
    (void)state;
    ask_for("stage=two; phase=request_head; kind=error");
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_DENY, REASON_STAGE_FAILED);
    assert_int_equal(scripts[1].asked, 0);
}

static void test_deadline(void **state)
{
    (void)state;
    ask_for("stage=two;phase=request_head;kind=deadline");
    start(PHASE_REQUEST_HEAD);
    turn();
    assert_int_equal(done_count, 0);
    assert_int_equal(worker.slabs.in_use, 1);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_DEADLINE);
    assert_int_equal(worker.slabs.in_use, 0);
}

static void test_late(void **state)
{
    (void)state;
    ask_for("stage=two;phase=request_head;kind=late");
    start(PHASE_REQUEST_HEAD);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_DEADLINE);
    assert_int_equal(worker.slabs.in_use, 1); /* it runs on */
    txn_abort(&txn);
    pass_ms(200);
    turn();
    assert_int_equal(done_count, 1);
    assert_int_equal(worker.slabs.in_use, 0);
}

static void test_bodies_of_answers_can_wait(void **state)
{
    (void)state;
    ask_for("stage=two;phase=response_body;kind=deadline");
    start(PHASE_RESPONSE_BODY);
    assert_int_equal(done_count, 0);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_DEADLINE);
}

static int signal_of(const char *fault)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        ask_for(fault);
        start(PHASE_REQUEST_HEAD);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_ends_of_the_worker(void **state)
{
    (void)state;
    assert_int_equal(signal_of("stage=one;phase=request_head;kind=kill"), SIGKILL);
    assert_int_equal(signal_of("stage=one;phase=request_head;kind=abort"), SIGABRT);
    assert_int_equal(signal_of("stage=one;phase=request_head;kind=error"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_others_are_left_alone),
        BENCH_TEST(test_error),
        BENCH_TEST(test_deadline),
        BENCH_TEST(test_late),
        BENCH_TEST(test_bodies_of_answers_can_wait),
        BENCH_TEST(test_ends_of_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_a_release_has_none(void **state)
{
    (void)state;
    start(PHASE_REQUEST_HEAD);
    expect_done(ACTION_PASS, REASON_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = { BENCH_TEST(test_a_release_has_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
