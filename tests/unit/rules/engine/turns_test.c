/*
 * A long value is looked at in turns: others may run between two steps of it, and what comes
 * of it is the same as of one look.
 */
#include "tests/unit/rules/engine/kit.h"

#include <stdio.h>
#include <stdlib.h>

enum { LONG = 40 * 1024, SLICE = 1024, STEPS = 3 };

static const char rules[] =
    "SecRule ARGS \"@rx union\\s+select\" \"id:1,phase:2,pass,log,t:none,t:urlDecodeUni\"\n"
    "SecRule ARGS \"@rx (?i)<script\" "
    "\"id:2,phase:2,pass,log,t:none,t:htmlEntityDecode,t:lowercase\"\n"
    "SecRule ARGS \"@rx etc/passwd\" \"id:3,phase:2,pass,log,t:none,t:cmdLine\"\n"
    "SecRule ARGS \"@detectSQLi\" \"id:4,phase:2,pass,log,t:none,t:urlDecodeUni\"\n"
    "SecRule ARGS \"@rx aGVsbG8\" \"id:5,phase:2,pass,log,t:none,t:base64Decode\"\n"
    "SecRule ARGS \"@validateByteRange 1-255\" \"id:6,phase:2,pass,log,t:none\"\n";

/* Text that each transformation changes, with what rule 1, 2 and 3 look for at its end. */
static const char *long_value(void)
{
    static char line[LONG + 64];
    static const char filler[] = "a%2541 &lt;b&gt; C\\:\\\\d \"quoted\" 'x' + ";
    static const char end[] = " union+select &lt;script etc\"/passwd";
    size_t at = 0;
    memcpy(line, "ARGS_GET:q=", 11);
    for (at = 11; at + sizeof(filler) + sizeof(end) < LONG; at += sizeof(filler) - 1)
        memcpy(line + at, filler, sizeof(filler) - 1);
    memcpy(line + at, end, sizeof(end));
    return line;
}

/* Phases up to that of the body, one call after the other; how often it gave way. */
static unsigned run_on(struct sec_run *run, uint64_t slice, uint64_t *most)
{
    unsigned pauses = 0;
    for (unsigned phase = SEC_REQUEST_HEADERS; phase <= SEC_REQUEST_BODY; phase++) {
        enum sec_end end = SEC_PAUSE;
        while (end == SEC_PAUSE) {
            uint64_t before = run->work;
            end = sec_run_phase(run, (enum sec_phase)phase, slice);
            assert_true(end == SEC_PAUSE || end == SEC_DONE);
            pauses += end == SEC_PAUSE;
            if (run->work - before > *most)
                *most = run->work - before;
        }
    }
    return pauses;
}

static void test_turns_and_one_look_are_alike(void **state)
{
    struct bench bench;
    struct arena accounts;
    uint64_t most = 0, most_sliced = 0;
    (void)state;
    arena_init(&accounts, NULL, 0, NULL, (size_t)1 << 22);
    bench_load(&bench, rules);

    bench_begin(&bench, long_value());
    assert_int_equal(run_on(&bench.run, UINT64_MAX, &most), 0);
    struct span whole = bench_account(&bench, &accounts);
    uint64_t work = bench.run.work;
    struct sec_counts counts = bench.run.counts;
    assert_int_equal(bench.run.match_count, 3);

    bench_begin(&bench, long_value());
    unsigned pauses = run_on(&bench.run, SLICE, &most_sliced);
    assert_true(pauses > 8);
    assert_true(most_sliced < STEPS * (LONG + SLICE) && most_sliced < most / 4);
    assert_span(bench_account(&bench, &accounts), whole);
    assert_int_equal(bench.run.work, work);
    assert_memory_equal(&bench.run.counts, &counts, sizeof(counts));
    for (unsigned i = 0; i < RUN_ROOMS_MAX; i++)
        assert_false(bench.local.rooms[i].lent);
    bench_unload(&bench);
    arena_reset(&accounts);
}

/* A rule that finds something in many values gives way between two of them, also in the middle
 * of a chain; each value counts once, and what it set stands. */
static void test_a_link_gives_way(void **state)
{
    enum { MANY = 200, ONE = 1024 /* work of a value, at most */ };
    static const char many_rules[] =
        "SecRule ARGS \"@rx (?i)attack(\\d+)\" "
        "\"id:1,phase:2,pass,log,capture,t:none,setvar:tx.n=+1,setvar:tx.last=%{tx.1},chain\"\n"
        "SecRule MATCHED_VARS \"@rx attack\" \"t:none,setvar:tx.again=+1\"\n";
    static char lines[MANY * 32];
    struct bench bench;
    struct arena accounts;
    uint64_t most = 0, most_sliced = 0;
    size_t at = 0;
    (void)state;
    arena_init(&accounts, NULL, 0, NULL, (size_t)1 << 22);
    bench_load(&bench, many_rules);
    for (unsigned i = 0; i < MANY; i++)
        at += (size_t)snprintf(lines + at, sizeof(lines) - at, "ARGS_GET:a%u=attack%u\n", i, i);

    bench_begin(&bench, lines);
    assert_int_equal(run_on(&bench.run, UINT64_MAX, &most), 0);
    struct span whole = bench_account(&bench, &accounts);
    uint64_t work = bench.run.work;
    assert_span(sec_run_tx(&bench.run, SPAN("n")), SPAN("200"));
    assert_span(sec_run_tx(&bench.run, SPAN("last")), SPAN("199"));

    bench_begin(&bench, lines);
    assert_true(run_on(&bench.run, SLICE, &most_sliced) > MANY / 4);
    assert_true(most_sliced < SLICE + ONE && most_sliced < most / 4);
    assert_span(bench_account(&bench, &accounts), whole);
    assert_int_equal(bench.run.work, work);
    assert_span(sec_run_tx(&bench.run, SPAN("again")), SPAN("200"));
    bench_unload(&bench);
    arena_reset(&accounts);
}

/* Elsewhere, with another local, it comes to the same; nothing goes where a slice has no end.
 */
static void test_away_and_one_look_are_alike(void **state)
{
    struct bench bench;
    struct arena accounts;
    struct sec_local local;
    struct sec_away *away;
    static const bool stop = false;
    uint64_t most = 0;
    unsigned times = 0;
    (void)state;
    arena_init(&accounts, NULL, 0, NULL, (size_t)1 << 22);
    bench_load(&bench, rules);
    assert_int_equal(sec_local_attach(&local, bench.plan), OK);
    away = sec_away_new(bench.plan);
    assert_non_null(away);

    bench_begin(&bench, long_value());
    bench.run.offered = away;
    assert_int_equal(run_on(&bench.run, UINT64_MAX, &most), 0);
    assert_ptr_equal(bench.run.offered, away);
    struct span whole = bench_account(&bench, &accounts);
    uint64_t work = bench.run.work;
    struct sec_counts counts = bench.run.counts;

    for (unsigned again = 0; again < 2; again++) {
        bench_begin(&bench, long_value());
        bench.run.offered = away;
        enum sec_end end = sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, LONG);
        assert_int_equal(end, SEC_DONE);
        while ((end = sec_run_phase(&bench.run, SEC_REQUEST_BODY, LONG)) != SEC_DONE) {
            assert_true(end == SEC_AWAY || end == SEC_PAUSE);
            times += end == SEC_AWAY;
            if (end == SEC_AWAY)
                sec_away_look(away, &local, &stop);
        }
        assert_span(bench_account(&bench, &accounts), whole);
        assert_int_equal(bench.run.work, work);
        assert_memory_equal(&bench.run.counts, &counts, sizeof(counts));
        assert_false(bench.local.rooms[0].lent);
    }
    assert_int_equal(times, 2);
    sec_away_free(away);
    sec_local_detach(&local);
    bench_unload(&bench);
    arena_reset(&accounts);
}

/* The budget ends it there at the same work as here. */
static void test_away_keeps_to_the_budget(void **state)
{
    struct bench bench;
    struct sec_local local;
    static const bool stop = false;
    uint64_t work[2];
    (void)state;
    bench_load(&bench, rules);
    assert_int_equal(sec_local_attach(&local, bench.plan), OK);
    struct sec_away *away = sec_away_new(bench.plan);
    for (unsigned i = 0; i < 2; i++) {
        bench_begin(&bench, long_value());
        bench.run.budget = (uint64_t)3 * LONG;
        bench.run.offered = i == 0 ? NULL : away;
        enum sec_end end = sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, SLICE);
        assert_int_equal(end, SEC_DONE);
        while ((end = sec_run_phase(&bench.run, SEC_REQUEST_BODY, SLICE)) != SEC_SPENT) {
            assert_int_equal(end, i == 0 ? SEC_PAUSE : SEC_AWAY);
            if (end == SEC_AWAY)
                sec_away_look(away, &local, &stop);
        }
        work[i] = bench.run.work;
    }
    assert_int_equal(work[0], work[1]);
    sec_away_free(away);
    sec_local_detach(&local);
    bench_unload(&bench);
}

/* The transaction goes while its value is looked at: that ends soon, and touches nothing of it.
 */
static void test_away_outlives_the_transaction(void **state)
{
    struct bench bench;
    struct sec_local local;
    static const bool stop = true;
    (void)state;
    bench_load(&bench, rules);
    assert_int_equal(sec_local_attach(&local, bench.plan), OK);
    struct sec_away *away = sec_away_new(bench.plan);
    bench_begin(&bench, long_value());
    bench.run.offered = away;
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, LONG), SEC_DONE);
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_BODY, LONG), SEC_AWAY);
    assert_int_equal(sec_run_phase(&bench.run, SEC_LOGGING, UINT64_MAX), SEC_DONE);
    assert_null(bench.run.away);
    arena_reset(&bench.arena);
    memset(&bench.run, 0x5a, sizeof(bench.run));
    sec_away_look(away, &local, &stop);
    sec_away_free(away);
    sec_local_detach(&local);
    bench_unload(&bench);
}

/* The next phase may begin while one is under way: it was given up. */
static void test_given_up(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, rules);
    bench_begin(&bench, long_value());
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, SLICE), SEC_DONE);
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_BODY, SLICE), SEC_PAUSE);
    assert_true(bench.local.rooms[0].lent);
    assert_int_equal(sec_run_phase(&bench.run, SEC_LOGGING, UINT64_MAX), SEC_DONE);
    assert_false(bench.local.rooms[0].lent);
    bench_unload(&bench);
}

/* One transaction more than there are rooms: turn and turn about, each as if it were alone. */
static void test_many_at_once(void **state)
{
    enum { RUNS = RUN_ROOMS_MAX + 1 };
    static struct sec_run runs[RUNS];
    struct arena arenas[RUNS];
    struct bench bench;
    struct span text = span_text(long_value() + 11);
    unsigned left = RUNS, most_lent = 0;
    (void)state;
    bench_load(&bench, rules);
    for (unsigned i = 0; i < RUNS; i++) {
        arena_init(&arenas[i], NULL, 0, NULL, (size_t)1 << 24);
        assert_int_equal(sec_run_init(&runs[i], bench.plan, &bench.local, &arenas[i]), OK);
        assert_int_equal(sec_values_add(&runs[i].values, VAR_ARGS_GET, SPAN("q"), text), OK);
        assert_int_equal(sec_run_phase(&runs[i], SEC_REQUEST_HEADERS, SLICE), SEC_DONE);
    }
    for (bool over[RUNS] = { false }; left > 0;) {
        unsigned lent = 0;
        for (unsigned i = 0; i < RUNS; i++) {
            if (over[i])
                continue;
            over[i] = sec_run_phase(&runs[i], SEC_REQUEST_BODY, SLICE) == SEC_DONE;
            left -= over[i];
        }
        for (unsigned i = 0; i < RUN_ROOMS_MAX; i++)
            lent += bench.local.rooms[i].lent;
        most_lent = lent > most_lent ? lent : most_lent;
    }
    assert_int_equal(most_lent, RUN_ROOMS_MAX);
    for (unsigned i = 0; i < RUNS; i++) {
        assert_int_equal(runs[i].match_count, 3);
        assert_int_equal(runs[i].work, runs[0].work);
        arena_reset(&arenas[i]);
    }
    bench_unload(&bench);
}

/* The client is gone: its room is there for the next. */
static void test_an_abandoned_value_gives_its_room_back(void **state)
{
    struct bench bench;
    (void)state;
    bench_load(&bench, rules);
    bench_begin(&bench, long_value());
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, SLICE), SEC_DONE);
    assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_BODY, SLICE), SEC_PAUSE);
    assert_true(bench.local.rooms[0].lent);
    arena_reset(&bench.arena);
    assert_false(bench.local.rooms[0].lent);
    bench_unload(&bench);
}

/* The budget ends it at the same work, whatever the slices. */
static void test_budget(void **state)
{
    struct bench bench;
    static const uint64_t slices[] = { UINT64_MAX, SLICE, 50000 };
    uint64_t work = 0;
    (void)state;
    bench_load(&bench, rules);
    for (size_t i = 0; i < ARRAY_LEN(slices); i++) {
        bench_begin(&bench, long_value());
        bench.run.budget = (uint64_t)3 * LONG;
        enum sec_end end = SEC_PAUSE;
        assert_int_equal(sec_run_phase(&bench.run, SEC_REQUEST_HEADERS, slices[i]), SEC_DONE);
        while (end == SEC_PAUSE)
            end = sec_run_phase(&bench.run, SEC_REQUEST_BODY, slices[i]);
        assert_int_equal(end, SEC_SPENT);
        assert_true(i == 0 || bench.run.work == work);
        work = bench.run.work;
        assert_false(bench.local.rooms[0].lent);
    }
    bench_unload(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_and_one_look_are_alike),
        cmocka_unit_test(test_a_link_gives_way),
        cmocka_unit_test(test_away_and_one_look_are_alike),
        cmocka_unit_test(test_away_keeps_to_the_budget),
        cmocka_unit_test(test_away_outlives_the_transaction),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_an_abandoned_value_gives_its_room_back),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
