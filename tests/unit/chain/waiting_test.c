/* The chain when stages wait: every order in which an answer, a deadline and an abort can come.
 */
#include "gateway/net/share.h"
#include "tests/unit/chain/bench.h"

static void test_an_answer_later(void **state)
{
    (void)state;
    waits(1);
    scripts[1].then = deny(REASON_AUTH_REFUSED);
    start(PHASE_REQUEST_HEAD);
    assert_int_equal(done_count, 0);
    turn();
    assert_int_equal(done_count, 0);
    assert_ptr_equal(op_arena(&ops[1].op), &arena);
    finish(&ops[1], taken);
    assert_int_equal(done_count, 0); /* never on the stack of who answers */
    assert_int_equal(scripts[1].resumed, 0);
    turn();
    expect_done(ACTION_DENY, REASON_AUTH_REFUSED);
    assert_int_equal(scripts[1].asked, 1);
    assert_ptr_equal(scripts[1].answer, taken);
    assert_int_equal(ops[1].released, 1);
    assert_int_equal(ops[1].abandoned, 0);
    assert_null(op_arena(&ops[1].op));
    assert_int_equal(txn.trail_count, 2);
    assert_int_equal(txn.trail[1].resumes, 1);
    pass_ms(1000);
    turn();
    assert_int_equal(done_count, 1);
}

static void test_an_answer_before_the_wait(void **state)
{
    (void)state;
    waits(0);
    op_finish(&ops[0].op, &worker, ERR_CONNECT, NULL);
    start(PHASE_REQUEST_HEAD);
    assert_int_equal(done_count, 0);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(scripts[0].error, ERR_CONNECT);
    assert_int_equal(ops[0].released, 1);
}

static void test_the_deadline_then_a_late_answer(void **state)
{
    (void)state;
    waits(1);
    start(PHASE_REQUEST_HEAD);
    pass_ms(DEADLINE_MS - 1);
    turn();
    assert_int_equal(done_count, 0);
    pass_ms(1 + LOOP_TICK_MS);
    assert_int_equal(done_count, 0); /* posted, not run from the timer */
    assert_int_equal(ops[1].abandoned, 1);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_DEADLINE);
    assert_int_equal(scripts[1].resumed, 0);
    expect_entry(1, "two", "fail", "stage-deadline", true);
    assert_null(op_arena(&ops[1].op));
    finish(&ops[1], taken);
    turn();
    assert_int_equal(done_count, 1);
    assert_int_equal(scripts[1].resumed, 0);
    assert_int_equal(ops[1].released, 1);
}

static void test_fail_open_by_configuration(void **state)
{
    (void)state;
    waits(1);
    commons[1].on_error = ON_ERROR_PASS;
    start(PHASE_REQUEST_HEAD);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(scripts[2].asked, 1);
    expect_entry(1, "two", "fail", "stage-deadline", false);
}

static void test_an_answer_in_the_turn_of_the_deadline_counts(void **state)
{
    (void)state;
    waits(0);
    start(PHASE_REQUEST_HEAD);
    finish(&ops[0], taken);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(ops[0].abandoned, 0);
    assert_int_equal(scripts[0].resumed, 1);
}

static void test_the_deadline_is_for_all_waiting_of_a_stage(void **state)
{
    (void)state;
    struct op chain_of_ops[4];
    waits(0);
    scripts[0].again = true;
    scripts[0].ops = chain_of_ops;
    for (size_t i = 0; i < ARRAY_LEN(chain_of_ops); i++)
        op_init(&chain_of_ops[i]);
    scripts[0].op = &chain_of_ops[0];
    start(PHASE_REQUEST_HEAD);
    pass_ms(20);
    op_finish(&chain_of_ops[0], &worker, OK, NULL);
    turn();
    pass_ms(20);
    op_finish(&chain_of_ops[1], &worker, OK, NULL);
    turn();
    assert_int_equal(scripts[0].resumed, 2);
    assert_int_equal(done_count, 0);
    pass_ms(10 + LOOP_TICK_MS);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_DEADLINE);
}

static void test_the_deadline_is_for_the_whole_transaction(void **state)
{
    (void)state;
    waits(0);
    start(PHASE_REQUEST_HEAD);
    pass_ms(40);
    finish(&ops[0], NULL);
    turn();
    assert_int_equal(done_count, 1);
    scripts[0].op = &ops[3].op;
    start(PHASE_REQUEST_BODY);
    pass_ms(10 + LOOP_TICK_MS);
    turn();
    assert_int_equal(done_count, 2);
    assert_int_equal(done_verdict.reason, REASON_STAGE_DEADLINE);
    /* Other stages have theirs whole. */
    scripts[0].first = pass();
    waits(1);
    start(PHASE_RESPONSE_HEAD);
    pass_ms(40);
    finish(&ops[1], NULL);
    turn();
    assert_int_equal(done_verdict.action, ACTION_PASS);
}

static void test_the_client_leaves_then_the_answer(void **state)
{
    (void)state;
    waits(1);
    start(PHASE_REQUEST_HEAD);
    txn_abort(&txn);
    txn_abort(&txn);
    assert_int_equal(ops[1].abandoned, 1);
    assert_int_equal(ops[1].released, 0);
    assert_null(op_arena(&ops[1].op));
    finish(&ops[1], taken);
    assert_int_equal(ops[1].released, 1);
    pass_ms(1000);
    turn();
    assert_int_equal(done_count, 0);
    assert_int_equal(scripts[1].resumed, 0);
}

static void test_the_client_leaves_between_answer_and_wake(void **state)
{
    (void)state;
    waits(1);
    start(PHASE_REQUEST_HEAD);
    finish(&ops[1], taken);
    txn_abort(&txn);
    assert_int_equal(ops[1].released, 1);
    assert_int_equal(ops[1].abandoned, 0);
    turn();
    assert_int_equal(done_count, 0);
}

static void test_the_client_leaves_between_deadline_and_wake(void **state)
{
    (void)state;
    waits(1);
    start(PHASE_REQUEST_HEAD);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    txn_abort(&txn);
    assert_int_equal(ops[1].abandoned, 1);
    turn();
    assert_int_equal(done_count, 0);
}

/* A local answer ends a phase and starts another: nothing of the old one may reach into it. */
static void test_a_cancelled_phase_leaves_nothing(void **state)
{
    (void)state;
    waits(0);
    start(PHASE_REQUEST_HEAD);
    pass_ms(DEADLINE_MS / 2);
    txn_cancel_phase(&txn);
    assert_int_equal(ops[0].abandoned, 1);
    scripts[0].op = &ops[2].op;
    start(PHASE_RESPONSE_HEAD);
    pass_ms(DEADLINE_MS - 2); /* beyond the first deadline, not beyond its own */
    turn();
    assert_int_equal(done_count, 0);
    finish(&ops[0], taken);
    turn();
    assert_int_equal(done_count, 0);
    finish(&ops[2], taken);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);

    /* Between deadline and wake. */
    scripts[2].first = (struct verdict){ .action = ACTION_WAIT };
    scripts[0].first = pass();
    scripts[2].op = &ops[3].op;
    start(PHASE_RESPONSE_HEAD);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    txn_cancel_phase(&txn);
    scripts[2].op = &ops[4].op;
    stages[2].local = 7; /* with a whole deadline */
    start(PHASE_RESPONSE_HEAD);
    turn();
    finish(&ops[4], taken);
    turn();
    assert_int_equal(done_count, 2);
    assert_int_equal(done_verdict.action, ACTION_PASS);

    /* A phase that is cancelled while nothing follows it. */
    stages[2].local = 8;
    scripts[2].op = &ops[5].op;
    start(PHASE_RESPONSE_HEAD);
    txn_cancel_phase(&txn);
    pass_ms(DEADLINE_MS + LOOP_TICK_MS);
    turn();
    assert_int_equal(done_count, 2);
}

static struct task killer;
static void run_killer(struct task *task)
{
    (void)task;
    txn_abort(&txn);
}

static void test_aborted_by_another_task_of_the_same_turn(void **state)
{
    (void)state;
    killer = (struct task){ .run = run_killer };
    waits(1);
    start(PHASE_REQUEST_HEAD);
    loop_post(&worker.loop, &killer);
    finish(&ops[1], taken);
    turn();
    turn();
    assert_int_equal(done_count, 0);
    assert_int_equal(scripts[1].resumed, 0);
    assert_int_equal(ops[1].released, 1);
}

static void test_a_stuck_stage(void **state)
{
    (void)state;
    static struct op endless[RESUMES_MAX + 2];
    waits(1);
    commons[1].deadline.ms = 60000;
    scripts[1].again = true;
    scripts[1].ops = endless;
    for (size_t i = 0; i < ARRAY_LEN(endless); i++) {
        op_init(&endless[i]);
        op_finish(&endless[i], &worker, OK, NULL);
    }
    scripts[1].op = &endless[0];
    start(PHASE_REQUEST_HEAD);
    for (unsigned i = 0; i < RESUMES_MAX - 1; i++)
        turn();
    assert_int_equal(done_count, 0);
    turn();
    expect_done(ACTION_DENY, REASON_STAGE_STUCK);
    assert_int_equal(scripts[1].resumed, RESUMES_MAX);
}

static void test_two_waiting_stages_in_order(void **state)
{
    (void)state;
    waits(0);
    waits(2);
    start(PHASE_REQUEST_HEAD);
    assert_int_equal(scripts[1].asked, 0);
    pass_ms(DEADLINE_MS - 10);
    finish(&ops[0], NULL);
    turn();
    assert_int_equal(scripts[1].asked, 1);
    assert_int_equal(scripts[2].asked, 1);
    assert_int_equal(done_count, 0);
    pass_ms(DEADLINE_MS - 10); /* the second one's own deadline */
    turn();
    assert_int_equal(done_count, 0);
    finish(&ops[2], NULL);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);
    assert_int_equal(txn.trail_count, 3);
    assert_int_equal(txn.trail[0].resumes, 1);
    assert_int_equal(txn.trail[1].resumes, 0);
    assert_int_equal(txn.trail[2].resumes, 1);
}

static void on_done_reset(struct txn *of, struct verdict verdict)
{
    done_count++;
    done_verdict = verdict;
    txn_abort(of);
    arena_reset(&arena);
    memset(of, 0xee, sizeof(*of));
}

static void test_done_may_end_the_transaction(void **state)
{
    (void)state;
    waits(1);
    chain_start(&txn, PHASE_REQUEST_HEAD, SPAN(""), on_done_reset);
    finish(&ops[1], NULL);
    turn();
    expect_done(ACTION_PASS, REASON_NONE);
    txn_init(&txn, &worker, &arena, &req);
    txn.route = &route;
    scripts[1].first = pass();
    chain_start(&txn, PHASE_REQUEST_HEAD, SPAN(""), on_done_reset);
    assert_int_equal(done_count, 2);
    txn_init(&txn, &worker, &arena, &req);
}

/* ---- behind the events of a turn ---- */

enum { EVENT_NS = 30 * 1000 * 1000 };

/* The chain is begun by the first of two events; the second takes a while, and may let the
 * client go. */
static struct watch two[2];
static bool leaves;

static void start_it(struct watch *watch, uint32_t events)
{
    (void)watch, (void)events;
    start(PHASE_REQUEST_HEAD);
    assert_int_equal(done_count, 0);
    assert_true(txn.run.waiting);
}

static void take_time(struct watch *watch, uint32_t events)
{
    (void)watch, (void)events;
    assert_int_equal(done_count, 0);
    for (uint64_t began = clock_mono_ns(); clock_mono_ns() - began < EVENT_NS;) {
    }
    if (leaves)
        txn_abort(&txn);
}

static void turn_with_two_events(void)
{
    int pipes[2][2];
    two[0].on_event = start_it;
    two[1].on_event = take_time;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        assert_int_equal(loop_add(&worker.loop, &two[i], pipes[i][0], EPOLLIN), OK);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    loop_turn(&worker.loop, 0);
    for (unsigned i = 0; i < 2; i++) {
        loop_remove(&worker.loop, &two[i]);
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
}

static void test_other_events_come_first(void **state)
{
    struct stream *stream = (struct stream *)(void *)&txn; /* only told apart from others */
    (void)state;
    leaves = false;
    txn.stream = stream;
    worker.current = NULL;
    waits(1);
    scripts[1].behind = true;
    scripts[1].then = deny(REASON_AUTH_REFUSED);
    turn_with_two_events();
    expect_done(ACTION_DENY, REASON_AUTH_REFUSED);
    assert_int_equal(scripts[1].resumed, 1);
    assert_int_equal(scripts[1].error, OK);
    assert_ptr_equal(scripts[1].current, stream); /* a crash would be its */
    expect_entry(1, "two", "deny", "auth-refused", true);
    assert_int_equal(txn.trail[1].resumes, 0);
    assert_true(txn.trail[1].us < EVENT_NS / 1000);
}

static void test_the_client_leaves_in_the_turn(void **state)
{
    (void)state;
    leaves = true;
    waits(1);
    scripts[1].behind = true;
    turn_with_two_events();
    assert_int_equal(done_count, 0);
    assert_int_equal(scripts[1].resumed, 0);
}

/* Among several clients each has its time of a turn, and what waits behind the events is of it.
 */
static void test_its_client_has_had_its_time(void **state)
{
    struct addr one, other;
    (void)state;
    assert_true(addr_parse(SPAN("192.0.2.1"), &one));
    assert_true(addr_parse(SPAN("198.51.100.1"), &other));
    worker.share_slabs = 8;
    struct client_share *share = client_share_of(&worker, &one);
    uint64_t began_ns;
    assert_true(client_turn_enter(&worker, share, &began_ns));
    assert_true(client_turn_enter(&worker, client_share_of(&worker, &other), &began_ns));
    assert_true(worker_contended(&worker));
    arena_init(&arena, NULL, 0, &share->slabs, 1024 * 1024);
    leaves = false;
    waits(1);
    scripts[1].behind = true;
    share->turn = worker.loop.turns + 1;
    share->turn_ns = TURN_NS;
    turn_with_two_events();
    assert_int_equal(scripts[1].resumed, 0);
    loop_turn(&worker.loop, 0);
    assert_int_equal(scripts[1].resumed, 1);
    expect_done(ACTION_PASS, REASON_NONE);
    assert_true(share->turn_ns > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_an_answer_later),
        BENCH_TEST(test_an_answer_before_the_wait),
        BENCH_TEST(test_the_deadline_then_a_late_answer),
        BENCH_TEST(test_fail_open_by_configuration),
        BENCH_TEST(test_an_answer_in_the_turn_of_the_deadline_counts),
        BENCH_TEST(test_the_deadline_is_for_all_waiting_of_a_stage),
        BENCH_TEST(test_the_deadline_is_for_the_whole_transaction),
        BENCH_TEST(test_the_client_leaves_then_the_answer),
        BENCH_TEST(test_the_client_leaves_between_answer_and_wake),
        BENCH_TEST(test_the_client_leaves_between_deadline_and_wake),
        BENCH_TEST(test_a_cancelled_phase_leaves_nothing),
        BENCH_TEST(test_aborted_by_another_task_of_the_same_turn),
        BENCH_TEST(test_a_stuck_stage),
        BENCH_TEST(test_two_waiting_stages_in_order),
        BENCH_TEST(test_done_may_end_the_transaction),
        BENCH_TEST(test_other_events_come_first),
        BENCH_TEST(test_the_client_leaves_in_the_turn),
        BENCH_TEST(test_its_client_has_had_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
