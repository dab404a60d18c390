/*
 * The workers of a generation: forked from what it loaded, forked again when they die (ever
 * later when they die at once), ended when they hang. A request that two workers died of is
 * written down, and refused from then on.
 */
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/chain/meter.h"
#include "gateway/process/generation.h"

static unsigned cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

/* ---- fork ---- */

/* What the worker must not hold: with it, it could speak for its generation. */
static void close_home(struct home *home)
{
    int fds[] = { ROLE_FD_MASTER, home->signals.fd, home->report.fd, home->retire_fd };
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
    loop_close(&home->loop);
}

static void become_worker(struct home *home, const struct crew *crew, int control_fd) NORETURN;
static void become_worker(struct home *home, const struct crew *crew, int control_fd)
{
    static struct worker_start start; /* outlives this frame, which never ends */
    start = (struct worker_start){
        .slot = crew->slot,
        .config = home->config,
        .slots = home->slots,
        .rings = home->rings,
        .ring_slot = crew->ring_slot,
        .meters = home->meters != NULL ? &home->meters->workers[crew->slot] : NULL,
        .recorder_fd = home->wake_fd,
        .written_fd = home->written_fd,
        .peers = home->peers,
        .control_fd = control_fd,
        .listen_fds = home->listen_fds,
        .list_blocks = home->list_blocks,
        .retire_fd = home->retire_read_fd,
        .report_fd = home->report_write_fd,
        .generation_pid = home->pid,
        .master_pid = home->master_pid,
    };
    close_home(home);
    worker_main(&start);
}

/* Slot and ring, under our own pid until the fork. */
static enum err claim(struct crew *crew)
{
    struct home *home = crew->home;
    TRY(slot_claim(home->slots, getpid(), home->number, &crew->slot));
    if (home->rings == NULL)
        return OK;
    enum err err = ring_claim(home->rings, getpid(), &crew->ring_slot);
    if (err != OK) /* never without a ring: what is not recorded is not served */
        slot_release(home->slots, crew->slot);
    return err;
}

static void unclaim(struct crew *crew)
{
    if (crew->home->rings != NULL)
        ring_orphan(crew->home->rings, crew->ring_slot);
    slot_release(crew->home->slots, crew->slot);
}

static enum err fork_worker(struct crew *crew)
{
    struct home *home = crew->home;
    int pair[2];
    TRY(claim(crew));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        unclaim(crew);
        return ERR_SYSTEM;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pair[0]);
        become_worker(home, crew, pair[1]);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        unclaim(crew);
        return ERR_SYSTEM;
    }

    crew->pid = pid;
    crew->serving = false;
    crew->still = 0;
    crew->heartbeat_ms = 0;
    crew->began_ms = clock_ms(&home->loop.clock);
    __atomic_store_n(&home->slots->workers[crew->slot].pid, pid, __ATOMIC_RELEASE);
    if (home->rings != NULL)
        __atomic_store_n(&home->rings->ring[crew->ring_slot].pid, pid, __ATOMIC_RELEASE);
    struct message message = { .kind = MESSAGE_WORKER,
                               .number = crew->slot,
                               .layout = (uint32_t)pid };
    tell(home, &message, pair, 1);
    (void)close(pair[0]);
    return OK;
}

static uint64_t refork_ms(unsigned failures)
{
    uint64_t ms = REFORK_MIN_MS;
    while (failures-- > 0 && ms < REFORK_MAX_MS)
        ms *= 2;
    return ms < REFORK_MAX_MS ? ms : REFORK_MAX_MS;
}

static void on_refork(struct timer *timer)
{
    struct crew *crew = CONTAINER(timer, struct crew, refork);
    if (crew->pid != 0 || crew->home->retiring)
        return;
    certificates_again(crew->home);
    enum err err = fork_worker(crew);
    if (err != OK) {
        log_error("cannot start a worker; trying again", F_ERR(err));
        timer_set(&crew->home->loop, timer, refork_ms(crew->failures++));
    }
}

void crew_start(struct home *home)
{
    int64_t wanted = home->config->server.workers;
    home->crew_count = wanted > 0 && wanted <= CREW_MAX ? (unsigned)wanted : cores();
    if (wanted > CREW_MAX || home->crew_count > CREW_MAX) {
        log_warn("fewer workers than asked for: this is the most", F_INT("workers", CREW_MAX));
        home->crew_count = CREW_MAX;
    }
    for (unsigned i = 0; i < home->crew_count; i++) {
        struct crew *crew = &home->crew[i];
        *crew = (struct crew){ .home = home, .refork = { .fire = on_refork } };
        enum err err = fork_worker(crew);
        if (err == ERR_BUSY)
            refuse(home, SPAN("error: no place for another worker while former generations "
                              "drain; try again, or shorten server.drain_timeout\n"));
        if (err != OK)
            refuse(home, SPAN("error: cannot start a worker\n"));
    }
}

/* ---- the living ---- */

void crew_reported(struct home *home, uint32_t slot)
{
    for (unsigned i = 0; i < home->crew_count; i++)
        if (home->crew[i].pid != 0 && home->crew[i].slot == slot)
            home->crew[i].serving = true;
}

bool crew_serving(const struct home *home)
{
    for (unsigned i = 0; i < home->crew_count; i++)
        if (!home->crew[i].serving)
            return false;
    return true;
}

unsigned crew_alive(const struct home *home)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < home->crew_count; i++)
        alive += home->crew[i].pid != 0;
    return alive;
}

void crew_signal(struct home *home, int signal)
{
    for (unsigned i = 0; i < home->crew_count; i++)
        if (home->crew[i].pid != 0)
            (void)kill(home->crew[i].pid, signal);
}

/*
 * A worker that no longer turns its loop is ended by SIGABRT, so that its crash handler names
 * the request. Ticks are counted, not time: after the machine slept all heartbeats are old.
 */
void crew_watch(struct home *home)
{
    for (unsigned i = 0; i < home->crew_count; i++) {
        struct crew *crew = &home->crew[i];
        if (crew->pid == 0 || !crew->serving)
            continue;
        uint64_t beat =
            __atomic_load_n(&home->slots->workers[crew->slot].heartbeat_ms, __ATOMIC_RELAXED);
        crew->still = beat == crew->heartbeat_ms ? crew->still + 1 : 0;
        crew->heartbeat_ms = beat;
        if (crew->still == STUCK_TICKS) {
            log_error("worker is stuck; ending it", F_INT("worker", crew->pid));
            (void)kill(crew->pid, SIGABRT);
        } else if (crew->still >= STUCK_KILL_TICKS) {
            (void)kill(crew->pid, SIGKILL);
        }
    }
}

/* ---- the dead ---- */

static void write_down_death(struct crew *crew, int signal)
{
    struct home *home = crew->home;
    uint64_t fingerprint = home->slots->workers[crew->slot].death_fingerprint;
    bool refused = false;
    if (crash_signal(signal) && fingerprint != 0)
        refused = deaths_add(home->slots, fingerprint,
                             (uint32_t)(home->loop.clock.wall_us / 1000000u));
    log_error("worker died; starting another", F_INT("worker", crew->pid),
              F_INT("signal", signal),
              F_TEXT("request", fingerprint == 0 ? "none"
                                : refused        ? "refused from now on"
                                                 : "noted"));
}

static void buried(struct crew *crew, int status)
{
    struct home *home = crew->home;
    bool expected = home->retiring && WIFEXITED(status);
    if (WIFSIGNALED(status) && !home->cut)
        write_down_death(crew, WTERMSIG(status));
    else if (!expected && !home->cut)
        log_error("worker ended; starting another", F_INT("worker", crew->pid),
                  F_INT("exit", WEXITSTATUS(status)));
    unclaim(crew);
    struct message message = { .kind = MESSAGE_WORKER_GONE, .number = crew->slot };
    tell(home, &message, NULL, 0);

    if (clock_ms(&home->loop.clock) - crew->began_ms >= STEADY_WORKER_MS)
        crew->failures = 0;
    crew->pid = 0;
    crew->serving = false;
    if (home->wake_fd >= 0) { /* its ring is to be drained, and freed for the next */
        uint64_t one = 1;
        ssize_t written = write(home->wake_fd, &one, sizeof(one));
        (void)written;
    }
    if (!home->retiring && home->ready)
        timer_set(&home->loop, &crew->refork, refork_ms(crew->failures++));
}

void crew_reap(struct home *home)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            break;
        for (unsigned i = 0; i < home->crew_count; i++)
            if (home->crew[i].pid == pid)
                buried(&home->crew[i], status);
    }
}
