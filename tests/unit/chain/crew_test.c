/* The crew: work is done beside the loop, answers arrive on it, and what is dropped costs
 * nothing. */
#include "gateway/chain/crew.h"

#include <unistd.h>

#include "gateway/net/worker.h"
#include "tests/unit/check.h"

enum { MANY = 32, ROUNDS = 8 };

static struct worker worker;
static struct crew *crew;

struct job {
    struct errand errand;
    bool *held; /* atomic: the thread is kept while it is true; NULL: it is not */
    bool begun; /* atomic */
    bool did;
    unsigned released;
};

static void work(struct errand *errand, unsigned hand)
{
    struct job *job = CONTAINER(errand, struct job, errand);
    assert_true(hand < 2);
    __atomic_store_n(&job->begun, true, __ATOMIC_RELAXED);
    while (job->held != NULL && __atomic_load_n(job->held, __ATOMIC_RELAXED))
        usleep(100);
    job->did = !errand_called_off(errand);
    errand->value = job;
    errand->error = ERR_RANGE;
}

static void released(struct op *op)
{
    CONTAINER(op, struct job, errand.op)->released++;
}

static void send(struct job *job, bool *held)
{
    *job = (struct job){ .errand = { .run = work, .op.release = released }, .held = held };
    crew_send(crew, &job->errand);
}

static void turn_until(const bool *what)
{
    for (unsigned i = 0; !*what && i < 2000; i++)
        loop_turn(&worker.loop, 10);
    assert_true(*what);
}

static void wait_until_begun(const struct job *job)
{
    for (unsigned i = 0; !__atomic_load_n(&job->begun, __ATOMIC_RELAXED) && i < 200000; i++)
        usleep(100);
    assert_true(job->begun);
}

/* As the chain does when the transaction goes. */
static void abandon(struct job *job)
{
    assert_false(job->errand.op.finished);
    job->errand.op.abandoned = true;
    job->errand.op.abandon(&job->errand.op);
}

static void open_crew(unsigned threads)
{
    struct crew_kind kind = {
        .what = "tests", .threads = threads, .capacity = MANY, .nice = 5
    };
    assert_int_equal(loop_init(&worker.loop), OK);
    assert_int_equal(crew_open(&crew, &worker, &kind), OK);
}

static void close_crew(void)
{
    crew_close(crew);
    loop_close(&worker.loop);
}

/* As many as it holds, again and again, by one thread and by two. */
static void answers_on_the_loop(void **state)
{
    struct job jobs[MANY];
    (void)state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        if (round % ROUNDS == 0)
            open_crew(1 + round / ROUNDS);
        for (unsigned i = 0; i < MANY; i++)
            send(&jobs[i], NULL);
        for (unsigned i = 0; i < MANY; i++) {
            turn_until(&jobs[i].errand.op.finished);
            assert_true(jobs[i].did);
            assert_int_equal(jobs[i].errand.op.error, ERR_RANGE);
            assert_ptr_equal(jobs[i].errand.op.value, &jobs[i]);
            assert_int_equal(jobs[i].released, 0); /* whoever takes the answer does that */
        }
        if (round % ROUNDS == ROUNDS - 1)
            close_crew();
    }
}

static void in_their_order(void **state)
{
    struct job jobs[MANY];
    bool held = true;
    (void)state;
    open_crew(1);
    for (unsigned i = 0; i < MANY; i++)
        send(&jobs[i], i == 0 ? &held : NULL);
    wait_until_begun(&jobs[0]);
    assert_false(jobs[1].begun);
    __atomic_store_n(&held, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < MANY; i++) {
        turn_until(&jobs[i].errand.op.finished);
        for (unsigned j = 0; j < i; j++)
            assert_true(jobs[j].errand.op.finished);
    }
    close_crew();
}

/* Nobody waits for the thread; it sees that nobody waits for it, and hands it back all the
 * same. */
static void abandoned(void **state)
{
    struct job first, second;
    bool held = true;
    (void)state;
    open_crew(1);
    send(&first, &held);
    send(&second, NULL);
    wait_until_begun(&first);
    abandon(&first);
    abandon(&second);
    assert_int_equal(first.released, 0);
    __atomic_store_n(&held, false, __ATOMIC_RELAXED);
    turn_until(&first.errand.op.finished);
    turn_until(&second.errand.op.finished);
    assert_int_equal(first.released, 1);
    assert_int_equal(second.released, 1);
    assert_false(first.did);
    assert_false(second.did);
    close_crew();
}

/* What is being run is waited for, the rest never begins. */
static void closed_with_work_left(void **state)
{
    struct job jobs[MANY];
    bool held = true;
    (void)state;
    open_crew(1);
    for (unsigned i = 0; i < MANY; i++)
        send(&jobs[i], &held);
    wait_until_begun(&jobs[0]);
    abandon(&jobs[0]);
    __atomic_store_n(&held, false, __ATOMIC_RELAXED);
    close_crew();
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(jobs[i].released, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_on_the_loop),
        cmocka_unit_test(in_their_order),
        cmocka_unit_test(abandoned),
        cmocka_unit_test(closed_with_work_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
