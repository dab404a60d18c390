/* What becomes of a generation's workers when it ends: nobody is forgotten, whatever it was at
 * when the gateway was told to stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/process/master.h"

enum { NUMBER = 7, GENERATION_PID = INT32_MAX };

static struct master master;

static void never(struct timer *timer)
{
    (void)timer;
    fail();
}

static int set_up(void **state)
{
    (void)state;
    memset(&master, 0, sizeof(master));
    for (size_t i = 0; i < SLOTS_MAX; i++)
        master.members[i].control_fd = -1;
    master.announced = true;
    master.orphans_deadline.fire = master.successor.fire = never;
    services_open(&master);
    return memory_open(&master) == OK && loop_init(&master.loop) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    loop_close(&master.loop);
    return munmap(master.slots, sizeof(*master.slots));
}

/* A process that does nothing, and ends by what a worker is told. */
static pid_t start_worker(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    master.members[0] = (struct member){ .pid = pid, .number = NUMBER, .control_fd = -1 };
    return pid;
}

/* The generation dies in that state; its worker is ours then. Whether it was told to end. */
static bool is_told(enum generation_state at, bool stopping)
{
    pid_t worker = start_worker();
    master.stopping = stopping;
    master.generations[0] = (struct generation){ .watch = { .fd = -1 },
                                                 .deadline = { .fire = never },
                                                 .master = &master,
                                                 .state = at,
                                                 .number = NUMBER,
                                                 .pid = GENERATION_PID,
                                                 .recorder_fd = -1,
                                                 .steward_fd = -1 };
    assert_true(generation_reaped(&master, GENERATION_PID, SIGKILL));
    assert_true(generations_gone(&master));
    assert_true(master.members[0].orphan);
    bool told = master.members[0].told;
    if (!told)
        assert_int_equal(kill(worker, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(worker, &status, 0), worker);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), told ? WORKER_CUT : SIGKILL);
    assert_true(member_reaped(&master, worker));
    assert_true(members_gone(&master));
    return told;
}

static void while_stopping(void **state)
{
    (void)state;
    assert_true(is_told(GENERATION_LOADING, true));
    assert_true(is_told(GENERATION_SERVING, true));
    assert_true(is_told(GENERATION_DRAINING, true));
}

static void while_serving(void **state)
{
    (void)state;
    assert_false(is_told(GENERATION_LOADING, false));
    assert_false(is_told(GENERATION_SERVING, false));
    assert_true(is_told(GENERATION_DRAINING, false));
}

/* A reload that was asked for while one was loading is none any more. */
static void no_reload_behind_it(void **state)
{
    (void)state;
    master.reload_again = true;
    master_stop(&master, false);
    assert_false(master.reload_again);
    generation_reload(&master, 0);
    assert_true(generations_gone(&master));
}

#define WITH_MASTER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MASTER(while_stopping),
        WITH_MASTER(while_serving),
        WITH_MASTER(no_reload_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
