/* The event loop: timers on a clock of our own, tasks, and events over pipes. */
#include "gateway/net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { HORIZON = (LOOP_SLOTS - 1) * LOOP_TICK_MS };

static struct loop loop;
static uint64_t start_ms;

static int open_loop(void **state)
{
    (void)state;
    assert_int_equal(loop_init(&loop), OK);
    start_ms = clock_ms(&loop.clock);
    return 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_close(&loop);
    return 0;
}

struct probe {
    struct timer timer;
    unsigned fired;
    uint64_t fired_ms;
    void (*then)(struct probe *probe);
    struct probe *other;
};

static void note(struct timer *timer)
{
    struct probe *probe = CONTAINER(timer, struct probe, timer);
    probe->fired++;
    probe->fired_ms = clock_ms(&loop.clock);
    if (probe->then != NULL)
        probe->then(probe);
}

static struct probe probe_new(void)
{
    return (struct probe){ .timer = { .fire = note } };
}

/* Lets `ms` pass in steps that are no multiple of the tick. */
static void pass(uint64_t ms)
{
    uint64_t end = clock_ms(&loop.clock) + ms;
    for (uint64_t now = clock_ms(&loop.clock); now < end;) {
        now = now + 5 < end ? now + 5 : end;
        loop_advance(&loop, now);
    }
}

static void test_fires_in_time(void **state)
{
    (void)state;
    static const uint64_t delays[] = {
        0, 1, 15, 16, 17, 100, 32000, HORIZON, HORIZON + 1, HORIZON + 17, 60000, 200000
    };
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        struct probe probe = probe_new();
        uint64_t set_ms = clock_ms(&loop.clock);
        timer_set(&loop, &probe.timer, delays[i]);
        pass(delays[i] + LOOP_TICK_MS + 5);
        assert_int_equal(probe.fired, 1);
        assert_in_range(probe.fired_ms, set_ms + delays[i],
                        set_ms + delays[i] + LOOP_TICK_MS + 5);
        pass(70000);
        assert_int_equal(probe.fired, 1);
        assert_int_equal(loop.timers, 0);
    }
}

static void test_later_is_one_store(void **state)
{
    (void)state;
    struct probe probe = probe_new();
    timer_set(&loop, &probe.timer, 100);
    uint64_t stood = probe.timer.queued_ms;
    for (int i = 0; i < 50; i++) {
        pass(20);
        timer_set(&loop, &probe.timer, 100);
        if (i == 0)
            assert_int_equal(probe.timer.queued_ms, stood);
    }
    assert_int_equal(probe.fired, 0);
    assert_int_equal(loop.timers, 1);
    pass(100 + LOOP_TICK_MS + 5);
    assert_int_equal(probe.fired, 1);
}

static void test_sooner_is_moved(void **state)
{
    (void)state;
    struct probe probe = probe_new();
    timer_set(&loop, &probe.timer, 60000);
    timer_set(&loop, &probe.timer, 50);
    assert_int_equal(loop.timers, 1);
    pass(50 + LOOP_TICK_MS + 5);
    assert_int_equal(probe.fired, 1);
}

static void test_clear_and_remove(void **state)
{
    (void)state;
    struct probe cleared = probe_new();
    struct probe removed = probe_new();
    struct probe again = probe_new();
    timer_set(&loop, &cleared.timer, 50);
    timer_set(&loop, &removed.timer, 50);
    timer_set(&loop, &again.timer, 50);
    timer_clear(&cleared.timer);
    timer_remove(&loop, &removed.timer);
    assert_null(removed.timer.next);
    timer_remove(&loop, &removed.timer);
    timer_clear(&again.timer);
    timer_set(&loop, &again.timer, 60);
    assert_int_equal(loop.timers, 2);
    pass(200);
    assert_int_equal(cleared.fired, 0);
    assert_int_equal(removed.fired, 0);
    assert_int_equal(again.fired, 1);
    assert_int_equal(loop.timers, 0);
}

static void set_self(struct probe *probe)
{
    if (probe->fired < 10)
        timer_set(&loop, &probe->timer, 0);
}

static void remove_other(struct probe *probe)
{
    timer_remove(&loop, &probe->other->timer);
    timer_remove(&loop, &probe->timer);
}

static void clear_other(struct probe *probe)
{
    timer_clear(&probe->other->timer);
}

static void set_other(struct probe *probe)
{
    timer_set(&loop, &probe->other->timer, 40);
}

static void test_fire_may_do_anything(void **state)
{
    (void)state;
    struct probe self = probe_new();
    self.then = set_self;
    timer_set(&loop, &self.timer, 10);
    pass(1000);
    assert_int_equal(self.fired, 10);

    static void (*const acts[])(struct probe *) = { remove_other, clear_other, set_other };
    static const unsigned fired_later[] = { 0, 0, 1 };
    for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
        struct probe other = probe_new();
        struct probe actor = probe_new();
        actor.then = acts[i];
        actor.other = &other;
        timer_set(&loop, &actor.timer, 10);
        timer_set(&loop, &other.timer, 10); /* the same slot, behind the actor */
        pass(10 + LOOP_TICK_MS);
        assert_int_equal(actor.fired, 1);
        assert_int_equal(other.fired, 0);
        pass(100);
        assert_int_equal(other.fired, fired_later[i]);
        assert_int_equal(loop.timers, 0);
    }
}

static void test_a_timer_that_sets_itself_at_once_ends(void **state)
{
    (void)state;
    struct probe self = probe_new();
    self.then = set_self;
    timer_set(&loop, &self.timer, 0);
    loop_advance(&loop, start_ms + 3600000);
    assert_in_range(self.fired, 1, 2);
    timer_remove(&loop, &self.timer);
}

static void test_long_sleep_fires_all(void **state)
{
    (void)state;
    static struct probe probes[500];
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        probes[i] = probe_new();
        timer_set(&loop, &probes[i].timer, i * 150);
    }
    loop_advance(&loop, start_ms + 3600000);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        assert_int_equal(probes[i].fired, 1);
    assert_int_equal(loop.timers, 0);
}

/* Random sets, clears and removes against the plain reading of the rules. */
static void test_against_a_model(void **state)
{
    (void)state;
    static struct probe probes[64];
    static uint64_t due[64];
    srandom(7);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        probes[i] = probe_new();
    for (int step = 0; step < 40000; step++) {
        uint64_t now = clock_ms(&loop.clock);
        size_t i = (size_t)random() % ARRAY_LEN(probes);
        uint64_t in = (uint64_t)random() % (random() % 4 == 0 ? 90000 : 300);
        switch (random() % 8) {
        case 0:
            timer_clear(&probes[i].timer);
            due[i] = 0;
            break;
        case 1:
            timer_remove(&loop, &probes[i].timer);
            due[i] = 0;
            break;
        default:
            timer_set(&loop, &probes[i].timer, in);
            due[i] = now + in;
        }
        loop_advance(&loop, now + (uint64_t)random() % (random() % 100 == 0 ? 5000 : 20));
        now = clock_ms(&loop.clock);
        for (size_t k = 0; k < ARRAY_LEN(probes); k++) {
            if (probes[k].fired > 0) {
                assert_int_not_equal(due[k], 0);
                assert_true(due[k] <= now);
                due[k] = 0;
                probes[k].fired = 0;
            }
            assert_true(due[k] == 0 || due[k] + LOOP_TICK_MS > now);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        timer_remove(&loop, &probes[i].timer);
    assert_int_equal(loop.timers, 0);
}

/* Five thousand connections with an hour to go, set at different times: about one wake a
 * second. */
static void test_idle_connections_do_not_wake_the_loop(void **state)
{
    (void)state;
    static struct probe probes[5000];
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        probes[i] = probe_new();
        timer_set(&loop, &probes[i].timer, 3600000);
        pass(7);
    }
    size_t slots = 0;
    for (size_t i = 0; i < LOOP_SLOTS; i++)
        slots += loop.wheel[i].next != &loop.wheel[i];
    assert_in_range(slots, 1, 40);
    for (size_t i = 0; i < ARRAY_LEN(probes); i++)
        timer_remove(&loop, &probes[i].timer);
}

struct job {
    struct task task;
    struct job *posts, *cancels;
    unsigned ran;
};

static void run_job(struct task *task)
{
    struct job *job = CONTAINER(task, struct job, task);
    job->ran++;
    if (job->posts != NULL)
        loop_post(&loop, &job->posts->task);
    if (job->cancels != NULL)
        task_cancel(&job->cancels->task);
}

static void test_tasks(void **state)
{
    (void)state;
    struct job once = { .task.run = run_job };
    struct job self = { .task.run = run_job };
    struct job victim = { .task.run = run_job };
    struct job killer = { .task.run = run_job, .cancels = &victim };
    self.posts = &self;
    loop_post(&loop, &once.task);
    loop_post(&loop, &once.task);
    loop_post(&loop, &self.task);
    loop_post(&loop, &killer.task);
    loop_post(&loop, &victim.task);
    assert_true(task_queued(&once.task));
    loop_turn(&loop, -1);
    assert_int_equal(once.ran, 1);
    assert_int_equal(self.ran, 1);
    assert_int_equal(victim.ran, 0);
    assert_false(task_queued(&victim.task));
    loop_turn(&loop, -1);
    assert_int_equal(once.ran, 1);
    assert_int_equal(self.ran, 2);
    task_cancel(&self.task);
    task_cancel(&self.task);
    loop_turn(&loop, 0);
    assert_int_equal(self.ran, 2);
}

struct worker_job {
    struct job job;
    struct task *posts;
    unsigned *order, turn;
    uint64_t works_ns;
};

static void run_long(struct task *task)
{
    struct worker_job *worker = CONTAINER(task, struct worker_job, job.task);
    worker->turn = ++*worker->order;
    if (worker->posts != NULL)
        loop_post(&loop, worker->posts);
    for (uint64_t began = clock_mono_ns(); clock_mono_ns() - began < worker->works_ns;) {
    }
    loop_rest(&loop);
}

/* One that works for long ends the turn's tasks; the others keep their places. */
static void test_long_tasks(void **state)
{
    enum { LONG_NS = 1500 * 1000 };
    (void)state;
    unsigned order = 0;
    struct worker_job jobs[4];
    for (unsigned i = 0; i < ARRAY_LEN(jobs); i++)
        jobs[i] = (struct worker_job){ .job.task.run = run_long,
                                       .order = &order,
                                       .works_ns = LONG_NS };
    jobs[0].posts = &jobs[3].job.task;
    for (unsigned i = 0; i < 3; i++)
        loop_post(&loop, &jobs[i].job.task);
    for (unsigned i = 0; i < ARRAY_LEN(jobs); i++) {
        loop_turn(&loop, -1);
        assert_int_equal(order, i + 1);
        assert_int_equal(jobs[i].turn, i + 1);
    }
    loop_turn(&loop, 0);
    assert_int_equal(order, ARRAY_LEN(jobs));
}

/* Those that are soon done share a turn. */
static void test_short_slices(void **state)
{
    enum { JOBS = 40 };
    (void)state;
    unsigned order = 0, turns = 0;
    struct worker_job jobs[JOBS];
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct worker_job){ .job.task.run = run_long, .order = &order };
        loop_post(&loop, &jobs[i].job.task);
    }
    for (; order < JOBS; turns++)
        loop_turn(&loop, 0);
    assert_in_range(turns, 1, JOBS / 2); /* one, but for a machine that is busy */
}

struct end {
    struct watch watch;
    int other_fd;
    struct end *removes, *narrows;
    unsigned events;
    uint32_t last;
};

static void on_end(struct watch *watch, uint32_t events)
{
    struct end *end = CONTAINER(watch, struct end, watch);
    end->events++;
    end->last = events;
    if (end->removes != NULL)
        loop_remove(&loop, &end->removes->watch);
    if (end->narrows != NULL)
        loop_change(&loop, &end->narrows->watch, 0);
}

static void end_open(struct end *end)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    *end = (struct end){ .watch = { .fd = -1, .on_event = on_end }, .other_fd = fds[1] };
    assert_int_equal(loop_add(&loop, &end->watch, fds[0], EPOLLIN), OK);
}

static void end_close(struct end *end, int fd)
{
    loop_remove(&loop, &end->watch);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(end->other_fd), 0);
}

static void test_events(void **state)
{
    (void)state;
    struct end end;
    end_open(&end);
    int fd = end.watch.fd;
    loop_turn(&loop, 0);
    assert_int_equal(end.events, 0);
    assert_int_equal(write(end.other_fd, "x", 1), 1);
    loop_turn(&loop, -1);
    assert_int_equal(end.events, 1);
    assert_int_equal(end.last, EPOLLIN);
    loop_turn(&loop, 0);
    assert_int_equal(end.events, 2); /* level-triggered */
    loop_change(&loop, &end.watch, 0);
    loop_turn(&loop, 0);
    assert_int_equal(end.events, 2);
    loop_change(&loop, &end.watch, EPOLLIN);
    loop_turn(&loop, 0);
    assert_int_equal(end.events, 3);
    loop_remove(&loop, &end.watch);
    assert_int_equal(end.watch.fd, -1);
    loop_remove(&loop, &end.watch);
    loop_turn(&loop, 0);
    assert_int_equal(end.events, 3);
    end_close(&end, fd);
    assert_int_equal(loop_add(&loop, &end.watch, fd, EPOLLIN), ERR_SYSTEM);
    assert_int_equal(end.watch.fd, -1);
}

/* Whichever of the two comes first removes or narrows the other: only one may be called. */
static void test_pending_events_of_a_batch_are_dropped(void **state)
{
    (void)state;
    for (int narrow = 0; narrow < 2; narrow++) {
        struct end a, b;
        end_open(&a);
        end_open(&b);
        int fds[2] = { a.watch.fd, b.watch.fd };
        a.removes = narrow ? NULL : &b;
        b.removes = narrow ? NULL : &a;
        a.narrows = narrow ? &b : NULL;
        b.narrows = narrow ? &a : NULL;
        assert_int_equal(write(a.other_fd, "x", 1), 1);
        assert_int_equal(write(b.other_fd, "x", 1), 1);
        loop_turn(&loop, -1);
        assert_int_equal(a.events + b.events, 1);
        end_close(&a, fds[0]);
        end_close(&b, fds[1]);
    }
}

static void stop(struct probe *probe)
{
    (void)probe;
    loop.stopping = true;
}

static void test_turn_waits_for_the_next_timer(void **state)
{
    (void)state;
    struct probe probe = probe_new();
    probe.then = stop;
    timer_set(&loop, &probe.timer, 40);
    uint64_t turns = loop.turns;
    loop_run(&loop);
    assert_int_equal(probe.fired, 1);
    assert_true(probe.fired_ms >= start_ms + 40);
    assert_in_range(loop.turns - turns, 1, 3);
}

/* Two pipes are readable in one turn: the first to be told sees that the other is still to
 * come. */
static struct watch watches[2];
static unsigned told, pending;

static void look_at_other(struct watch *watch, uint32_t events)
{
    char byte;
    (void)events;
    told++;
    pending += loop_pending(&loop, &watches[watch == &watches[0] ? 1 : 0]);
    assert_false(loop_pending(&loop, watch));
    assert_int_equal(read(watch->fd, &byte, 1), 1);
}

static void test_events_to_come_are_known(void **state)
{
    (void)state;
    int pipes[2][2];
    told = pending = 0;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        watches[i].on_event = look_at_other;
        assert_int_equal(loop_add(&loop, &watches[i], pipes[i][0], EPOLLIN), OK);
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    loop_turn(&loop, 0);
    assert_int_equal(told, 2);
    assert_int_equal(pending, 1);
    for (unsigned i = 0; i < 2; i++) {
        loop_remove(&loop, &watches[i]);
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
}

/* ---- behind the events ---- */

/* Who ran, in order. */
static char ran[16];
static size_t ran_count;

static void note_ran(char who)
{
    ran[ran_count++] = who;
    ran[ran_count] = '\0';
}

struct pipe_end {
    struct watch watch;
    struct task behind, after;
    struct task *cancels;
    char who; /* in upper case behind the events, as a digit after them */
};

static void run_behind(struct task *task)
{
    struct pipe_end *end = CONTAINER(task, struct pipe_end, behind);
    assert_false(loop_among_events(&loop));
    note_ran((char)(end->who - 'a' + 'A'));
    loop.gathered = true;
    if (end->cancels != NULL)
        task_cancel(end->cancels);
    loop_post(&loop, &end->after);
}

static void run_after(struct task *task)
{
    note_ran((char)(CONTAINER(task, struct pipe_end, after)->who - 'a' + '1'));
    loop.gathered = true;
}

static void put_behind(struct watch *watch, uint32_t events)
{
    struct pipe_end *end = CONTAINER(watch, struct pipe_end, watch);
    char byte;
    (void)events;
    assert_true(loop_among_events(&loop));
    assert_int_equal(read(watch->fd, &byte, 1), 1);
    note_ran(end->who);
    loop.gathered = true;
    loop_put_behind(&loop, &end->behind);
    loop_put_behind(&loop, &end->behind); /* twice is once */
}

static uint64_t flushed_in; /* turns that were over then */

static void note_flush(struct loop *of)
{
    of->gathered = false;
    flushed_in = of->turns;
    note_ran('|');
}

/* Three pipes are readable: all are read before any of them is worked for, and that in their
 * order; what it posts is run in the same turn. What is gathered then goes with what the next
 * events gather, or before the loop waits. */
static void test_behind_the_events(void **state)
{
    int pipes[3][2];
    struct pipe_end ends[3];
    (void)state;
    ran_count = 0;
    loop.flush = note_flush;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        ends[i] = (struct pipe_end){ .watch.on_event = put_behind,
                                     .behind.run = run_behind,
                                     .after.run = run_after,
                                     .who = (char)('a' + i) };
        assert_int_equal(loop_add(&loop, &ends[i].watch, pipes[i][0], EPOLLIN), OK);
        assert_int_equal(write(pipes[i][1], "xx", 2), 2);
    }
    loop_turn(&loop, 0);
    assert_string_equal(ran, "abc|ABC123");
    ends[0].cancels = &ends[1].behind;
    ran_count = 0;
    loop.rested = true; /* tasks that work for long are under way: nothing waits for them */
    loop_turn(&loop, 1000);
    assert_string_equal(ran, "abc|AC|13");
    ran_count = 0;
    uint64_t before = loop.turns;
    loop_turn(&loop, 1);
    assert_string_equal(ran, "|");
    assert_int_equal(flushed_in, before); /* it had not waited */
    loop_turn(&loop, 1);
    assert_string_equal(ran, "|"); /* there is nothing more */
    for (unsigned i = 0; i < 3; i++) {
        loop_remove(&loop, &ends[i].watch);
        (void)close(pipes[i][0]);
        (void)close(pipes[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define LOOP_TEST(fn) cmocka_unit_test_setup_teardown(fn, open_loop, close_loop)
        LOOP_TEST(test_fires_in_time),
        LOOP_TEST(test_later_is_one_store),
        LOOP_TEST(test_sooner_is_moved),
        LOOP_TEST(test_clear_and_remove),
        LOOP_TEST(test_fire_may_do_anything),
        LOOP_TEST(test_a_timer_that_sets_itself_at_once_ends),
        LOOP_TEST(test_long_sleep_fires_all),
        LOOP_TEST(test_against_a_model),
        LOOP_TEST(test_idle_connections_do_not_wake_the_loop),
        LOOP_TEST(test_tasks),
        LOOP_TEST(test_long_tasks),
        LOOP_TEST(test_short_slices),
        LOOP_TEST(test_events),
        LOOP_TEST(test_pending_events_of_a_batch_are_dropped),
        LOOP_TEST(test_turn_waits_for_the_next_timer),
        LOOP_TEST(test_events_to_come_are_known),
        LOOP_TEST(test_behind_the_events),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
