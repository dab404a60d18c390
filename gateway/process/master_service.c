/*
 * Recorder and steward: one of each, replaced when a generation brings new settings, restarted
 * when they die. The next one starts only when the last one has ended, so that two never write
 * one file or answer one socket.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/master.h"

static int32_t *shown_pid(struct service *service)
{
    struct process_ids *ids = &service->master->slots->ids;
    return service->role == ROLE_RECORDER ? &ids->recorder : &ids->steward;
}

enum { RECORDER_BACKOFF_MAX_MS = 1000 }; /* answers and rings wait for it */

static void try_again_later(struct service *service)
{
    uint64_t ms = backoff_ms(service->failures++);
    if (service->role == ROLE_RECORDER && ms > RECORDER_BACKOFF_MAX_MS)
        ms = RECORDER_BACKOFF_MAX_MS;
    timer_set(&service->master->loop, &service->restart, ms);
}

static void start(struct service *service)
{
    struct master *master = service->master;
    struct spawn spawn;
    spawn_clear(&spawn, service->role);
    spawn.fds[ROLE_FD_SETTINGS] = service->settings_fd;
    if (service->role == ROLE_RECORDER) {
        spawn.fds[ROLE_FD_RINGS] = memory_find(master, "audit");
        spawn.fds[ROLE_FD_WAKE] = master->wake_fd;
        spawn.fds[ROLE_FD_SEAL] = master->seal_fd;
        spawn.fds[ROLE_FD_WRITTEN] = master->written_fd;
    } else {
        spawn.fds[ROLE_FD_CONTROL] = listen_find(master, BIND_CONTROL);
        spawn.fds[ROLE_FD_SLOTS] = master->slots_fd;
        spawn.fds[ROLE_FD_METERS] = memory_find(master, "meters");
        spawn.fds[ROLE_FD_RINGS] = memory_find(master, "audit");
        spawn.fds[ROLE_FD_METRICS] = listen_find(master, BIND_METRICS);
        spawn.fds[ROLE_FD_SERVERS] = memory_find(master, "servers");
        spawn.fds[ROLE_FD_KEPT] = master->kept_fd;
        spawn.fds[ROLE_FD_FEEDS] = memory_find(master, "feeds");
        spawn.fds[ROLE_FD_NAMES] = memory_find(master, "names");
        spawn.fds[ROLE_FD_BANS] = memory_find(master, "stage.bans");
        spawn.fds[ROLE_FD_BOTS] = memory_find(master, "stage.bots");
        spawn.fds[ROLE_FD_QUOTAS] = memory_find(master, "stage.quotas");
        spawn.fds[ROLE_FD_LOCKOUT] = memory_find(master, "stage.lockout");
        spawn.fds[ROLE_FD_SESSIONS] = memory_find(master, "stage.sessions");
    }

    int socket = -1;
    service->pid = spawn_role(master, &spawn, &socket);
    service->began_ms = clock_ms(&master->loop.clock);
    if (service->pid < 0) {
        service->pid = 0;
        log_error("cannot start a process; trying again",
                  F_TEXT("start", process_table[service->role].name), F_ERRNO(errno));
        try_again_later(service);
        return;
    }
    service->finishing = false;
    *shown_pid(service) = service->pid;
    if (loop_add(&master->loop, &service->watch, socket, EPOLLIN) != OK) {
        (void)close(socket); /* which tells it to finish; the reaper starts another */
        return;
    }
    if (service->role == ROLE_STEWARD) {
        generation_forget_cookies(master);
        members_tell(master);
    }
}

static void hang_up(struct service *service)
{
    int fd = service->watch.fd;
    loop_remove(&service->master->loop, &service->watch);
    if (fd >= 0)
        (void)close(fd);
}

/* A recorder whose channel ends without a word takes its master for dead, and itself for the
 * last. */
static void part(struct service *service)
{
    const struct message message = { .kind = MESSAGE_STOP };
    if (service->role == ROLE_RECORDER && service->watch.fd >= 0 &&
        message_send(service->watch.fd, &message, NULL, 0) != OK)
        log_warn("the recorder does not take its messages");
    hang_up(service);
}

void service_finish(struct service *service)
{
    timer_clear(&service->restart);
    /* One that waits for its next try: what is in the rings is still to be written. */
    if (service->role == ROLE_RECORDER && service->pid == 0 && service->settings_fd >= 0)
        start(service);
    timer_clear(&service->restart);
    if (service->settings_fd >= 0)
        (void)close(service->settings_fd);
    service->settings_fd = -1;
    service->finishing = true;
    part(service);
}

void service_apply(struct service *service, int settings_fd)
{
    if (service->settings_fd >= 0)
        (void)close(service->settings_fd);
    service->settings_fd = settings_fd;
    service->failures = 0;
    timer_clear(&service->restart);
    if (service->pid == 0) {
        start(service);
        return;
    }
    service->finishing = true;
    part(service);
}

static bool reaped(struct service *service, int32_t pid, int status)
{
    if (service->pid != pid)
        return false;
    struct master *master = service->master;
    bool asked = service->finishing;
    hang_up(service);
    service->pid = 0;
    *shown_pid(service) = 0;
    if (service->settings_fd < 0)
        return true;
    if (WIFEXITED(status) && (asked || WEXITSTATUS(status) == EXIT_AGAIN)) {
        start(service);
        return true;
    }
    if (clock_ms(&master->loop.clock) - service->began_ms >= STEADY_MS)
        service->failures = 0;
    log_warn("process ended; starting another",
             F_TEXT("ended", process_table[service->role].name),
             F_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
             F_INT("exit", WIFEXITED(status) ? WEXITSTATUS(status) : 0));
    try_again_later(service);
    return true;
}

bool service_reaped(struct master *master, int32_t pid, int status)
{
    return reaped(&master->recorder, pid, status) || reaped(&master->steward, pid, status);
}

static void on_restart(struct timer *timer)
{
    struct service *service = CONTAINER(timer, struct service, restart);
    if (service->pid == 0 && service->settings_fd >= 0)
        start(service);
}

/* ---- what they say ---- */

static void handle(struct master *master, const struct message *message)
{
    if (message->kind == MESSAGE_STOP)
        master_stop(master, false);
    else if (message->kind == MESSAGE_RELOAD && message->number <= UINT32_MAX)
        generation_reload(master, (uint32_t)message->number);
    else if (message->kind == MESSAGE_UPGRADE && message->number <= UINT32_MAX)
        upgrade_begin(master, (uint32_t)message->number);
}

/* One whose channel breaks or that breaks the protocol is replaced. */
static void on_message(struct watch *watch, uint32_t events)
{
    (void)events;
    struct service *service = CONTAINER(watch, struct service, watch);
    struct message message;
    int fds[MESSAGE_FDS_MAX];
    unsigned count = 0;
    enum err err = message_receive(watch->fd, &message, fds, &count);
    for (unsigned i = 0; i < count; i++) /* none of its messages has any */
        (void)close(fds[i]);
    if (err == ERR_BUSY)
        return;
    if (err == OK && message_allowed(message.kind, service->role)) {
        handle(service->master, &message);
        return;
    }
    if (err != ERR_CLOSED)
        log_error("message that this process may not send; replacing it",
                  F_TEXT("from", process_table[service->role].name));
    hang_up(service);
}

void steward_tell(struct master *master, const struct message *message, int fd)
{
    if (master->steward.watch.fd < 0)
        return;
    enum err err = message_send(master->steward.watch.fd, message, &fd, fd >= 0 ? 1 : 0);
    if (err != OK && err != ERR_CLOSED)
        log_warn("steward does not take its messages", F_ERR(err));
}

void steward_outcome(struct master *master, uint32_t cookie, int diagnostics)
{
    struct message message = { .kind = MESSAGE_OUTCOME,
                               .number = diagnostics >= 0 ? 2 : 0,
                               .layout = cookie };
    if (cookie != 0)
        steward_tell(master, &message, diagnostics);
}

void services_open(struct master *master)
{
    struct service *both[] = { &master->recorder, &master->steward };
    static const enum role roles[] = { ROLE_RECORDER, ROLE_STEWARD };
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        *both[i] = (struct service){ .watch = { .fd = -1, .on_event = on_message },
                                     .restart = { .fire = on_restart },
                                     .master = master,
                                     .role = roles[i],
                                     .settings_fd = -1 };
}

/* ---- from one master to the next ---- */

void service_save(const struct service *service, struct saved_service *saved)
{
    *saved = (struct saved_service){ .pid = service->pid,
                                     .socket = service->watch.fd,
                                     .settings_fd = service->settings_fd,
                                     .finishing = service->finishing };
}

void service_adopt(struct service *service, const struct saved_service *saved)
{
    struct master *master = service->master;

    service->pid = saved->pid;
    service->settings_fd = saved->settings_fd;
    service->finishing = saved->finishing;
    service->began_ms = clock_ms(&master->loop.clock);
    if (saved->socket >= 0 &&
        loop_add(&master->loop, &service->watch, saved->socket, EPOLLIN) != OK)
        (void)close(saved->socket);                     /* which tells it to finish */
    if (service->pid == 0 && service->settings_fd >= 0) /* it waited for its next try */
        timer_set(&master->loop, &service->restart, BACKOFF_MIN_MS);
}
