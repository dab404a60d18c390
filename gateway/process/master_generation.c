/*
 * Generations: one per loaded configuration. At most one loads, one serves, two drain. The one
 * that serves is replaced only by one that serves already; one that is refused changes nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/process/master.h"
#include "gateway/store/snapshot.h"

static struct generation *in_state(struct master *master, enum generation_state state)
{
    struct generation *oldest = NULL;
    for (size_t i = 0; i < GENERATIONS_MAX; i++) {
        struct generation *generation = &master->generations[i];
        if (generation->state == state &&
            (oldest == NULL || generation->number < oldest->number))
            oldest = generation;
    }
    return oldest;
}

static unsigned count_in(const struct master *master, enum generation_state state)
{
    unsigned count = 0;
    for (size_t i = 0; i < GENERATIONS_MAX; i++)
        count += master->generations[i].state == state;
    return count;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* ---- start ---- */

static void on_message(struct watch *watch, uint32_t events);
static void on_deadline(struct timer *timer);

static void retry(struct master *master)
{
    timer_set(&master->loop, &master->successor, backoff_ms(master->failures++));
}

void generation_start(struct master *master)
{
    struct generation *generation = in_state(master, GENERATION_NONE);
    if (generation == NULL) { /* others are still on their way out */
        retry(master);
        return;
    }
    *generation = (struct generation){ .watch = { .fd = -1, .on_event = on_message },
                                       .deadline = { .fire = on_deadline },
                                       .master = master,
                                       .number = ++master->last_number,
                                       .cookie = master->reload_cookie,
                                       .recorder_fd = -1,
                                       .steward_fd = -1 };
    master->reload_cookie = 0;
    master->reload_again = false;

    char number[16];
    (void)snprintf(number, sizeof(number), "%u", generation->number);
    const struct run_options *options = master->options;
    struct spawn spawn;
    spawn_clear(&spawn, ROLE_GENERATION);
    spawn.arguments[0] = number;
    spawn.arguments[1] = options->protect != NULL ? "--protect" : "-c";
    spawn.arguments[2] = options->protect != NULL ? options->protect : options->config_path;
    spawn.arguments[3] = options->watch ? "--watch" : NULL;

    int socket = -1;
    generation->pid = spawn_role(master, &spawn, &socket);
    if (generation->pid < 0) {
        log_error("cannot start a generation; trying again", F_ERRNO(errno));
        retry(master);
        return;
    }
    generation->state = GENERATION_LOADING;
    timer_set(&master->loop, &generation->deadline, LOAD_MS);
    if (loop_add(&master->loop, &generation->watch, socket, EPOLLIN) != OK) {
        (void)close(socket);
        (void)kill(generation->pid, SIGKILL);
    }
}

void generation_reload(struct master *master, uint32_t cookie)
{
    if (master->stopping)
        return;
    if (cookie > master->reload_cookie)
        master->reload_cookie = cookie;
    timer_clear(&master->successor);
    if (in_state(master, GENERATION_LOADING) != NULL) {
        master->reload_again = true; /* the file may have changed after it was read */
        return;
    }
    log_info("loading configuration");
    generation_start(master);
}

void generation_forget_cookies(struct master *master)
{
    master->reload_cookie = 0;
    for (size_t i = 0; i < GENERATIONS_MAX; i++)
        master->generations[i].cookie = 0;
}

/* ---- retire ---- */

static void retire(struct generation *generation, uint64_t drain_ms)
{
    struct message message = { .kind = MESSAGE_RETIRE, .number = drain_ms };
    generation->state = GENERATION_DRAINING;
    timer_set(&generation->master->loop, &generation->deadline, drain_ms + DRAIN_GRACE_MS);
    if (generation->watch.fd < 0 || message_send(generation->watch.fd, &message, NULL, 0) != OK)
        (void)kill(generation->pid, SIGKILL); /* its workers become ours, and are drained */
}

/* `number` 0: those of every generation. */
static void drain_orphans(struct master *master, uint32_t number, uint64_t drain_ms)
{
    members_drain_orphans(master, number, drain_ms == 0);
    timer_set(&master->loop, &master->orphans_deadline, drain_ms + DRAIN_GRACE_MS);
}

static void on_deadline(struct timer *timer)
{
    struct generation *generation = CONTAINER(timer, struct generation, deadline);
    log_warn("generation took too long; killing it", F_INT("generation", generation->number),
             F_TEXT("while", generation->state == GENERATION_LOADING ? "loading" : "draining"));
    (void)kill(generation->pid, SIGKILL);
}

/* ---- what a generation says ---- */

static void answer(struct generation *generation, int reason, int fd)
{
    struct message message = { .kind = MESSAGE_ANSWER, .number = (uint64_t)reason };
    bool with = reason == 0 && fd >= 0;
    if (message_send(generation->watch.fd, &message, &fd, with ? 1 : 0) != OK)
        (void)kill(generation->pid, SIGKILL);
}

static void announce(struct master *master)
{
    char buffer[4096];
    struct text line = text_fixed(buffer, sizeof(buffer));
    text_lit(&line, "ready");
    listen_write(master, &line);
    text_format(&line, " pid=%d\n", master->pid);
    /* Nobody reading it is no reason not to serve. */
    ssize_t written = write(STDOUT_FILENO, line.p, line.len);
    (void)written;
    master->announced = true;
}

static void show_serving(struct generation *generation)
{
    struct process_ids *ids = &generation->master->slots->ids;
    ids->generation = generation->pid;
    ids->serving = generation->number;
    ids->serving_s = generation->master->loop.clock.wall_us / 1000000u;
    struct text listen = text_fixed(ids->listen, sizeof(ids->listen));
    listen_write(generation->master, &listen);
    if (text_cstring(&listen) == NULL)
        ids->listen[0] = '\0';
}

static void ready(struct generation *generation, uint64_t drain_ms)
{
    struct master *master = generation->master;
    struct generation *previous = in_state(master, GENERATION_SERVING);
    generation->state = GENERATION_SERVING;
    generation->drain_ms = drain_ms;
    timer_clear(&generation->deadline);
    generation->served_ms = clock_ms(&master->loop.clock);
    master->last_drain_ms = drain_ms;
    listen_commit(master);
    memory_commit(master);
    show_serving(generation);
    log_info("serving", F_INT("generation", generation->number));

    /* Old ones first are told to stop accepting; whoever is in the accept queues is taken by
     * the new. */
    if (previous != NULL)
        retire(previous, previous->drain_ms);
    if (count_in(master, GENERATION_DRAINING) > DRAINING_MAX)
        retire(in_state(master, GENERATION_DRAINING), 0);
    drain_orphans(master, 0, drain_ms);

    /* The outcome before the steward's replacement: it is this steward whom the client asked.
     */
    steward_outcome(master, generation->cookie, -1);
    generation->cookie = 0;
    if (generation->recorder_fd >= 0)
        service_apply(&master->recorder, generation->recorder_fd);
    service_apply(&master->steward, generation->steward_fd);
    generation->recorder_fd = generation->steward_fd = -1;
    if (!master->announced)
        announce(master);
    if (master->reload_again)
        generation_start(master);
}

static void print_diagnostics(int memfd)
{
    char buffer[4096];
    off_t at = 0;
    for (;;) {
        ssize_t got = pread(memfd, buffer, sizeof(buffer), at);
        if (got <= 0 || write(STDERR_FILENO, buffer, (size_t)got) != got)
            return;
        at += got;
    }
}

static void refused(struct generation *generation, int diagnostics)
{
    struct master *master = generation->master;
    print_diagnostics(diagnostics);
    generation->state = GENERATION_ENDING;
    timer_set(&master->loop, &generation->deadline, DRAIN_GRACE_MS);
    listen_rollback(master);
    memory_rollback(master);
    steward_outcome(master, generation->cookie, diagnostics);
    generation->cookie = 0;
    if (!master->announced) {
        master->exit_code = 2;
        master_stop(master, true);
        return;
    }
    master->slots->ids.reloads_refused++;
    log_error("configuration refused; the previous one goes on");
    if (master->reload_again)
        generation_start(master);
    else if (in_state(master, GENERATION_SERVING) == NULL && !master->stopping)
        retry(master);
}

static void handle_request(struct generation *generation, const struct message *message)
{
    struct master *master = generation->master;
    int fd = -1;
    int reason = message->kind == MESSAGE_BIND ? listen_bind(master, message, &fd)
                                               : memory_get(master, message, &fd);
    answer(generation, reason, fd);
}

/* Settings are held until the generation serves: one that is refused must not disturb who works
 * now. */
static void handle_settings(struct generation *generation, const struct message *message,
                            int fd)
{
    bool recorder = message->kind == MESSAGE_RECORDER;
    int *place = recorder ? &generation->recorder_fd : &generation->steward_fd;
    close_fd(place);
    *place = fd;
    answer(generation, 0, recorder ? generation->master->wake_fd : -1);
}

/* Descriptors in `fd` pass to whoever handles the kind. */
static void handle(struct generation *generation, const struct message *message, int fd)
{
    bool loading = generation->state == GENERATION_LOADING;
    switch ((enum message_kind)message->kind) {
    case MESSAGE_BIND:
    case MESSAGE_MEMORY:
        if (loading)
            handle_request(generation, message);
        return;
    case MESSAGE_WRITTEN:
        if (loading)
            answer(generation, 0, generation->master->written_fd);
        return;
    case MESSAGE_RECORDER:
    case MESSAGE_STEWARD:
        if (loading)
            handle_settings(generation, message, fd);
        else
            close_fd(&fd);
        return;
    case MESSAGE_WORKER:
        member_add(generation->master, generation->number, message->number, message->layout,
                   fd);
        return;
    case MESSAGE_WORKER_GONE:
        member_gone(generation->master, generation->number, message->number);
        return;
    case MESSAGE_LOADING:
        if (loading)
            timer_set(&generation->master->loop, &generation->deadline, LOAD_MS);
        return;
    case MESSAGE_RELOAD:
        if (generation->state == GENERATION_SERVING)
            generation_reload(generation->master, 0);
        return;
    case MESSAGE_READY:
        if (loading)
            ready(generation, message->number < INT32_MAX ? message->number : INT32_MAX);
        return;
    case MESSAGE_REFUSED:
        if (loading)
            refused(generation, fd);
        close_fd(&fd);
        return;
    case MESSAGE_NONE:
    case MESSAGE_ANSWER:
    case MESSAGE_RETIRE:
    case MESSAGE_STOP:
    case MESSAGE_UPGRADE:
    case MESSAGE_OUTCOME:
    case MESSAGE_KINDS:
        return; /* not a generation's to send: message_allowed has refused it */
    }
}

static bool receive_one(struct generation *generation)
{
    struct message message;
    int fds[MESSAGE_FDS_MAX] = { -1, -1 };
    unsigned count = 0;
    enum err err = message_receive(generation->watch.fd, &message, fds, &count);
    if (err == ERR_BUSY)
        return false;
    if (err == OK && message_allowed(message.kind, ROLE_GENERATION)) {
        handle(generation, &message, count > 0 ? fds[0] : -1);
        return generation->watch.fd >= 0;
    }
    for (unsigned i = 0; i < count; i++)
        (void)close(fds[i]);
    if (err != ERR_CLOSED)
        log_error("message that a generation may not send; killing it",
                  F_INT("generation", generation->number));
    int fd = generation->watch.fd;
    loop_remove(&generation->master->loop, &generation->watch);
    (void)close(fd);
    (void)kill(generation->pid, SIGKILL);
    return false;
}

static void on_message(struct watch *watch, uint32_t events)
{
    (void)events;
    (void)receive_one(CONTAINER(watch, struct generation, watch));
}

/* ---- the end ---- */

static void clean_up(struct generation *generation)
{
    struct master *master = generation->master;
    int fd = generation->watch.fd;
    loop_remove(&master->loop, &generation->watch);
    close_fd(&fd);
    timer_remove(&master->loop, &generation->deadline);
    close_fd(&generation->recorder_fd);
    close_fd(&generation->steward_fd);
    members_adopt(master, generation->number);
    if (master->slots->ids.generation == generation->pid)
        master->slots->ids.generation = 0;
    generation->state = GENERATION_NONE;
}

/* It ended before it served, and not by its own refusal. */
static void load_failed(struct master *master, uint32_t cookie, int status)
{
    listen_rollback(master);
    memory_rollback(master);
    int diagnostics = snapshot_seal(
        SPAN("the process that loads the configuration ended; the log says why\n"));
    steward_outcome(master, cookie, diagnostics);
    close_fd(&diagnostics);
    log_error("generation ended while loading",
              F_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0),
              F_INT("exit", WIFEXITED(status) ? WEXITSTATUS(status) : 0));
    if (!master->announced && !master->stopping) {
        master->exit_code = 1;
        master_stop(master, true);
        return;
    }
    if (master->reload_again)
        generation_start(master);
    else if (in_state(master, GENERATION_SERVING) == NULL && !master->stopping)
        retry(master);
}

bool generation_reaped(struct master *master, int32_t pid, int status)
{
    struct generation *generation = NULL;
    for (size_t i = 0; i < GENERATIONS_MAX; i++)
        if (master->generations[i].state != GENERATION_NONE &&
            master->generations[i].pid == pid)
            generation = &master->generations[i];
    if (generation == NULL)
        return false;

    /* What it still said counts: a refusal, a worker that came or went. */
    while (generation->watch.fd >= 0 && receive_one(generation))
        continue;
    enum generation_state state = generation->state;
    uint32_t cookie = generation->cookie, number = generation->number;
    uint64_t served_ms = generation->served_ms;
    clean_up(generation);
    if (state == GENERATION_LOADING) {
        load_failed(master, cookie, status);
    } else if (state == GENERATION_SERVING && !master->stopping) {
        if (clock_ms(&master->loop.clock) - served_ms >= STEADY_MS)
            master->failures = 0;
        log_error("generation died; its workers serve on until a new one does",
                  F_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
        if (in_state(master, GENERATION_LOADING) == NULL)
            retry(master);
    }
    /* One that was killed while it loaded may have workers that serve already, and may have
     * said so meanwhile. */
    if (state == GENERATION_DRAINING || master->stopping)
        drain_orphans(master, number, master->at_once ? 0 : master->last_drain_ms);
    return true;
}

void generations_stop(struct master *master)
{
    timer_clear(&master->successor);
    master->reload_again = false;
    for (size_t i = 0; i < GENERATIONS_MAX; i++) {
        struct generation *generation = &master->generations[i];
        if (generation->state == GENERATION_LOADING)
            (void)kill(generation->pid, SIGKILL);
        else if (generation->state == GENERATION_SERVING)
            retire(generation, master->at_once ? 0 : generation->drain_ms);
        else if (generation->state == GENERATION_DRAINING && master->at_once)
            retire(generation, 0);
    }
    drain_orphans(master, 0, master->at_once ? 0 : master->last_drain_ms);
}

/* ---- from one master to the next ---- */

bool generations_loading(const struct master *master)
{
    return count_in(master, GENERATION_LOADING) > 0;
}

void generations_save(const struct master *master,
                      struct saved_generation saved[GENERATIONS_MAX])
{
    for (size_t i = 0; i < GENERATIONS_MAX; i++) {
        const struct generation *generation = &master->generations[i];
        saved[i] = (struct saved_generation){ .state = generation->state,
                                              .number = generation->number,
                                              .pid = generation->pid,
                                              .socket = generation->watch.fd,
                                              .drain_ms = generation->drain_ms };
    }
}

/* None is loading. Those that drain have their whole time again. */
void generations_adopt(struct master *master,
                       const struct saved_generation saved[GENERATIONS_MAX])
{
    for (size_t i = 0; i < GENERATIONS_MAX; i++) {
        struct generation *generation = &master->generations[i];
        if (saved[i].state == GENERATION_NONE)
            continue;
        *generation = (struct generation){ .watch = { .fd = -1, .on_event = on_message },
                                           .deadline = { .fire = on_deadline },
                                           .master = master,
                                           .state = (enum generation_state)saved[i].state,
                                           .number = saved[i].number,
                                           .pid = saved[i].pid,
                                           .drain_ms = saved[i].drain_ms,
                                           .served_ms = clock_ms(&master->loop.clock),
                                           .recorder_fd = -1,
                                           .steward_fd = -1 };
        if (saved[i].socket >= 0 &&
            loop_add(&master->loop, &generation->watch, saved[i].socket, EPOLLIN) != OK)
            (void)close(saved[i].socket);
        if (generation->state != GENERATION_SERVING)
            timer_set(&master->loop, &generation->deadline,
                      generation->drain_ms + DRAIN_GRACE_MS);
    }
}

bool generations_gone(const struct master *master)
{
    return count_in(master, GENERATION_NONE) == GENERATIONS_MAX;
}
