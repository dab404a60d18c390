/*
 * The master: it owns what must outlive the others, and starts and buries them. It reads no
 * byte of the network and nothing of the configuration, so that what is privileged has next to
 * nothing that can be talked to.
 */
#include "gateway/process/master.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"

uint64_t backoff_ms(unsigned failures)
{
    uint64_t ms = BACKOFF_MIN_MS;
    while (failures-- > 0 && ms < BACKOFF_MAX_MS)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* ---- stopping ---- */

void master_stop(struct master *master, bool at_once)
{
    if (master->stopping && (!at_once || master->at_once))
        return;
    log_info("stopping", F_TEXT("when", at_once ? "at once" : "requests have ended"));
    master->stopping = true;
    master->at_once = at_once;
    generations_stop(master);
    master_finish_if_done(master);
}

/* Workers first, then the recorder, which has to write what they left. */
void master_finish_if_done(struct master *master)
{
    if (!master->stopping || !generations_gone(master) || !members_gone(master))
        return;
    struct service *services[] = { &master->recorder, &master->steward };
    bool gone = true;
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        if (!services[i]->finishing)
            service_finish(services[i]);
        gone = gone && services[i]->pid == 0;
    }
    master->loop.stopping = gone;
    if (!gone && master->last_resort.deadline_ms == 0)
        timer_set(&master->loop, &master->last_resort, DRAIN_GRACE_MS);
}

static void on_last_resort(struct timer *timer)
{
    struct master *master = CONTAINER(timer, struct master, last_resort);
    log_error("a process did not end in time; its records may be lost");
    if (master->recorder.pid > 0)
        (void)kill(master->recorder.pid, SIGKILL);
    if (master->steward.pid > 0)
        (void)kill(master->steward.pid, SIGKILL);
}

static void on_orphans_deadline(struct timer *timer)
{
    members_kill_told(CONTAINER(timer, struct master, orphans_deadline));
}

static void on_successor(struct timer *timer)
{
    struct master *master = CONTAINER(timer, struct master, successor);
    if (!master->stopping)
        generation_start(master);
}

/* ---- signals ---- */

static void reap(struct master *master)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            break;
        if (!upgrade_reaped(master, pid, status) && !generation_reaped(master, pid, status) &&
            !service_reaped(master, pid, status))
            (void)member_reaped(master, pid);
    }
    master_finish_if_done(master);
}

static void hang_up(struct master *master)
{
    generation_reload(master, 0);
}

static void reopen(struct master *master)
{
    if (master->recorder.pid > 0)
        (void)kill(master->recorder.pid, SIGUSR1);
}

static void stop(struct master *master)
{
    master_stop(master, master->stopping);
}

static void upgrade(struct master *master)
{
    upgrade_begin(master, 0);
}

static const struct {
    int number;
    void (*handle)(struct master *master);
} signal_table[] = {
    { SIGHUP, hang_up }, { SIGUSR1, reopen }, { SIGTERM, stop },
    { SIGINT, stop },    { SIGCHLD, reap },   { SIGUSR2, upgrade },
};

static void on_signal(struct watch *watch, uint32_t events)
{
    (void)events;
    struct master *master = CONTAINER(watch, struct master, signals);
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        for (size_t i = 0; i < ARRAY_LEN(signal_table); i++)
            if (signal_table[i].number == (int)info.ssi_signo)
                signal_table[i].handle(master);
}

static enum err open_signals(struct master *master)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(signal_table); i++)
        (void)sigaddset(&set, signal_table[i].number);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_SYSTEM;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    master->signals.on_event = on_signal;
    return loop_add(&master->loop, &master->signals, fd, EPOLLIN);
}

/* ---- life ---- */

/* What the first master makes. */
static enum err open_state(struct master *master)
{
    TRY(memory_open(master));
    master->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    master->written_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (master->wake_fd < 0 || master->written_fd < 0)
        return ERR_SYSTEM;
    for (size_t i = 0; i < LISTENING_MAX; i++)
        master->listening[i].fd = -1;
    for (size_t i = 0; i < SLOTS_MAX; i++)
        master->members[i].control_fd = -1;
    services_open(master);
    return OK;
}

static enum err open_master(struct master *master, int handed_over)
{
    ssize_t len = readlink("/proc/self/exe", master->program, sizeof(master->program) - 1);
    if (len <= 0)
        return ERR_SYSTEM;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return ERR_SYSTEM;
    /* Every connection is a descriptor, and a client's connection has one to the upstream
     * beside it. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }

    master->pid = getpid();
    TRY(loop_init(&master->loop));
    TRY(open_signals(master));
    master->successor.fire = on_successor;
    master->orphans_deadline.fire = on_orphans_deadline;
    master->last_resort.fire = on_last_resort;
    return handed_over >= 0 ? upgrade_adopt(master, handed_over) : open_state(master);
}

int master_run(const struct run_options *options)
{
    static struct master only;
    struct master *master = &only;
    int handed_over = upgrade_inherited();
    if (handed_over >= 0)
        process_resume(ROLE_MASTER);
    else
        process_open(ROLE_MASTER);
    master->options = options;
    if (handed_over < 0)
        inherit_open(master);
    enum err err = open_master(master, handed_over);
    if (err != OK) {
        log_error("cannot start", F_ERR(err), F_ERRNO(errno));
        return 1;
    }
    generation_start(master);
    if (handed_over >= 0)
        reap(master); /* who ended meanwhile */
    loop_run(&master->loop);
    listen_close_all(master);
    log_info("stopped");
    return master->exit_code;
}
