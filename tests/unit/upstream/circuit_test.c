/* Circuit breakers: when they open, whom they let through, when they close. */
#include "gateway/upstream/circuit.h"

#include "tests/unit/check.h"

enum { SECOND = 1000, WINDOW = 10 * SECOND, OPEN = 5 * SECOND, REQUESTS = 10, TRIALS = 2 };

static const struct circuit_conf conf = { .threshold = 50,
                                          .requests = REQUESTS,
                                          .trials = TRIALS,
                                          .window = { .ms = WINDOW },
                                          .open = { .ms = OPEN },
                                          .bad_from = 500,
                                          .bad_to = 599 };
static const uint64_t begin_ms = 1000 * SECOND;

static void many(struct circuit *circuit, uint64_t now_ms, unsigned count,
                 enum circuit_outcome outcome)
{
    for (unsigned i = 0; i < count; i++) {
        struct circuit_pass pass = { .conf = NULL };
        assert_true(circuit_enter(&conf, circuit, now_ms, &pass));
        assert_false(pass.trial);
        circuit_leave(&pass, now_ms, outcome);
        assert_null(pass.circuit);
        circuit_leave(&pass, now_ms, CIRCUIT_BAD); /* once is enough */
    }
}

static bool lets_through(struct circuit *circuit, uint64_t now_ms, struct circuit_pass *pass)
{
    *pass = (struct circuit_pass){ .conf = NULL };
    return circuit_enter(&conf, circuit, now_ms, pass);
}

static void opened(struct circuit *circuit)
{
    *circuit = (struct circuit){ .key = 1 };
    many(circuit, begin_ms, REQUESTS, CIRCUIT_BAD);
    assert_int_equal(circuit->state, CIRCUIT_OPEN);
    assert_int_equal(circuit->opened, 1);
}

static void off_or_missing_it_is_no_matter(void **state)
{
    struct circuit_conf off = conf;
    struct circuit circuit = { .key = 1, .state = CIRCUIT_OPEN, .since_ms = begin_ms };
    struct circuit_pass pass = { .conf = NULL };

    (void)state;
    off.threshold = 0;
    assert_true(circuit_enter(&off, &circuit, begin_ms, &pass));
    assert_true(circuit_enter(&conf, NULL, begin_ms, &pass));
    assert_null(pass.circuit);
    circuit_leave(&pass, begin_ms, CIRCUIT_BAD);
}

static void opens_at_the_threshold_and_not_before(void **state)
{
    struct circuit circuit = { .key = 1 };

    (void)state;
    many(&circuit, begin_ms, REQUESTS - 1, CIRCUIT_BAD); /* too few to say */
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);

    circuit = (struct circuit){ .key = 1 };
    many(&circuit, begin_ms, 10, CIRCUIT_GOOD);
    many(&circuit, begin_ms, 100, CIRCUIT_NOTHING);
    many(&circuit, begin_ms, 9, CIRCUIT_BAD); /* 9 of 19 */
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
    many(&circuit, begin_ms, 1, CIRCUIT_BAD); /* 10 of 20 */
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
}

static void what_is_older_than_the_window_is_forgotten(void **state)
{
    struct circuit circuit = { .key = 1 };

    (void)state;
    many(&circuit, begin_ms, REQUESTS - 1, CIRCUIT_BAD);
    many(&circuit, begin_ms + WINDOW, REQUESTS - 1, CIRCUIT_BAD);
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
    many(&circuit, begin_ms + WINDOW + WINDOW / 2, 1, CIRCUIT_BAD);
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
}

static void open_refuses_until_its_time_is_over(void **state)
{
    struct circuit circuit;
    struct circuit_pass pass;

    (void)state;
    opened(&circuit);
    assert_false(lets_through(&circuit, begin_ms, &pass));
    assert_null(pass.circuit);
    assert_false(lets_through(&circuit, begin_ms + OPEN - 1, &pass));
    assert_int_equal(circuit.refused, 2);
    assert_int_equal(circuit_wait_s(&conf, &circuit, begin_ms), OPEN / SECOND);
    assert_int_equal(circuit_wait_s(&conf, &circuit, begin_ms + OPEN - 1), 1);
    assert_int_equal(circuit_wait_s(&conf, &circuit, begin_ms + 2 * OPEN), 1);
    assert_true(lets_through(&circuit, begin_ms + OPEN, &pass));
    assert_true(pass.trial);
}

static void trials_close_it(void **state)
{
    struct circuit circuit;
    struct circuit_pass first, second, third;
    uint64_t now = begin_ms + OPEN;

    (void)state;
    opened(&circuit);
    assert_true(lets_through(&circuit, now, &first));
    assert_true(lets_through(&circuit, now, &second));
    assert_false(lets_through(&circuit, now, &third)); /* no more than these */
    circuit_leave(&first, now, CIRCUIT_NOTHING);       /* its client has gone */
    assert_true(lets_through(&circuit, now, &third));
    circuit_leave(&second, now, CIRCUIT_GOOD);
    assert_int_equal(circuit.state, CIRCUIT_TRIAL);
    circuit_leave(&third, now, CIRCUIT_GOOD);
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
    many(&circuit, now, REQUESTS - 1, CIRCUIT_BAD); /* what was before is forgotten */
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
}

static void a_trial_that_fails_opens_it_again(void **state)
{
    struct circuit circuit;
    struct circuit_pass first, second, third;
    uint64_t now = begin_ms + OPEN;

    (void)state;
    opened(&circuit);
    assert_true(lets_through(&circuit, now, &first));
    assert_true(lets_through(&circuit, now, &second));
    circuit_leave(&first, now, CIRCUIT_BAD);
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
    assert_int_equal(circuit.opened, 2);
    circuit_leave(&second, now, CIRCUIT_GOOD); /* too late */
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
    assert_false(lets_through(&circuit, now + OPEN - 1, &third));
    assert_true(lets_through(&circuit, now + OPEN, &third));
}

static void trials_that_never_end_are_not_waited_for(void **state)
{
    struct circuit circuit;
    struct circuit_pass lost;
    uint64_t now = begin_ms + OPEN;

    (void)state;
    opened(&circuit);
    for (unsigned i = 0; i < TRIALS; i++)
        assert_true(lets_through(&circuit, now, &lost)); /* and their workers die */
    assert_false(lets_through(&circuit, now + OPEN - 1, &lost));
    assert_true(lets_through(&circuit, now + OPEN, &lost));
}

static void what_was_begun_before_says_nothing(void **state)
{
    struct circuit circuit = { .key = 1 };
    struct circuit_pass late;

    (void)state;
    assert_true(lets_through(&circuit, begin_ms, &late));
    many(&circuit, begin_ms, REQUESTS, CIRCUIT_BAD);
    circuit_leave(&late, begin_ms, CIRCUIT_BAD);
    assert_int_equal(circuit.opened, 1);
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
}

static void answers_and_errors_are_told_apart(void **state)
{
    struct circuit circuit = { .key = 1 };
    struct circuit_pass pass;

    (void)state;
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_true(lets_through(&circuit, begin_ms, &pass));
        circuit_failed(&pass, begin_ms, ERR_BUSY);
        assert_true(lets_through(&circuit, begin_ms, &pass));
        circuit_answered(&pass, begin_ms, i % 2 == 0 ? 499 : 600);
    }
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(circuit.state, CIRCUIT_CLOSED);
        assert_true(lets_through(&circuit, begin_ms, &pass));
        if (i % 2 == 0)
            circuit_failed(&pass, begin_ms, ERR_TIMEOUT);
        else
            circuit_answered(&pass, begin_ms, i % 4 == 1 ? 500 : 599);
    }
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_or_missing_it_is_no_matter),
        cmocka_unit_test(opens_at_the_threshold_and_not_before),
        cmocka_unit_test(what_is_older_than_the_window_is_forgotten),
        cmocka_unit_test(open_refuses_until_its_time_is_over),
        cmocka_unit_test(trials_close_it),
        cmocka_unit_test(a_trial_that_fails_opens_it_again),
        cmocka_unit_test(trials_that_never_end_are_not_waited_for),
        cmocka_unit_test(what_was_begun_before_says_nothing),
        cmocka_unit_test(answers_and_errors_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
