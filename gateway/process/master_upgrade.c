/*
 * Upgrade: the master becomes another version of the program without ending. It executes itself
 * anew under its own pid, so its children stay its children, and whoever watches the master (a
 * service manager) notices nothing. Everything that it knows goes along in a sealed memfd;
 * listening sockets, shared memory and the sockets to the others stay open. The new master then
 * reloads: a new generation of the new version serves, and the old one drains.
 *
 * Before that, the new program has to show that it starts and can take over what there is: a
 * child of it reads the very memfd. One that cannot, changes nothing. So does an exec that
 * fails; and where the new generation is refused, the old one serves on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/cli/version.h"
#include "gateway/process/handover.h"
#include "gateway/process/settings.h"
#include "gateway/store/snapshot.h"

enum { CHECK_MS = 30 * 1000, FD_TEXT_BYTES = 16 };

static const char handover_variable[] = "SALLYPORT_HANDOVER";

/* ---- what goes along ---- */

static void fill(const struct master *master, struct handover_state *state)
{
    memset(state, 0, sizeof(*state));
    handover_describe(state);
    state->master = master->pid;
    state->last_number = master->last_number;
    state->cookie = master->upgrade.cookie;
    state->last_drain_ms = master->last_drain_ms;
    state->announced = master->announced;
    state->slots_fd = master->slots_fd;
    state->seal_fd = master->seal_fd;
    state->kept_fd = master->kept_fd;
    state->wake_fd = master->wake_fd;
    state->written_fd = master->written_fd;
    generations_save(master, state->generations);
    service_save(&master->recorder, &state->recorder);
    service_save(&master->steward, &state->steward);
    memcpy(state->members, master->members, sizeof(state->members));
    memcpy(state->listening, master->listening, sizeof(state->listening));
    memcpy(state->inherited, master->inherited, sizeof(state->inherited));
    state->inherited_count = master->inherited_count;
    memcpy(state->regions, master->regions, sizeof(state->regions));
}

/* Every descriptor in it is told to `each`, until that answers false; then so does this. */
static bool each_fd(const struct handover_state *state, bool (*each)(int fd))
{
    const int32_t own[] = { state->slots_fd,
                            state->seal_fd,
                            state->kept_fd,
                            state->wake_fd,
                            state->written_fd,
                            state->recorder.socket,
                            state->recorder.settings_fd,
                            state->steward.socket,
                            state->steward.settings_fd };
    bool good = true;

    for (size_t i = 0; i < ARRAY_LEN(own) && good; i++)
        good = own[i] < 0 || each(own[i]);
    for (size_t i = 0; i < GENERATIONS_MAX && good; i++)
        good = state->generations[i].state == GENERATION_NONE ||
               state->generations[i].socket < 0 || each(state->generations[i].socket);
    for (size_t i = 0; i < SLOTS_MAX && good; i++)
        good = state->members[i].control_fd < 0 || each(state->members[i].control_fd);
    for (size_t i = 0; i < LISTENING_MAX && good; i++)
        good = state->listening[i].fd < 0 || each(state->listening[i].fd);
    for (size_t i = 0; i < state->inherited_count && good; i++)
        good = state->inherited[i].fd < 0 || each(state->inherited[i].fd);
    for (size_t i = 0; i < REGIONS_MAX && good; i++)
        good = state->regions[i].fd < 0 || each(state->regions[i].fd);
    return good;
}

static bool take_along(int fd)
{
    return fcntl(fd, F_SETFD, 0) == 0;
}

static bool keep_back(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* ---- the way there ---- */

static void conclude(struct master *master, struct span why)
{
    int diagnostics = snapshot_seal(why);

    log_error("not upgraded; this version serves on", F_SPAN("why", why));
    steward_outcome(master, master->upgrade.cookie, diagnostics);
    if (diagnostics >= 0)
        (void)close(diagnostics);
    master->upgrade.cookie = 0;
}

static int state_memfd(const struct master *master)
{
    static struct handover_state state; /* large */

    fill(master, &state);
    return snapshot_seal(span_of((const char *)&state, sizeof(state)));
}

/* By path: what is there now. Comes back only when that fails. */
static void become_next(struct master *master, int memfd)
{
    static struct handover_state state;
    const struct run_options *options = master->options;
    bool protect = options->protect != NULL;
    const char *const argv[] = { "sallyport",
                                 "run",
                                 protect ? "--protect" : "-c",
                                 protect ? options->protect : options->config_path,
                                 options->watch ? "--watch" : NULL,
                                 NULL };
    char number[FD_TEXT_BYTES];
    struct text text = text_fixed(number, sizeof(number));

    text_uint(&text, (uint64_t)memfd);
    /* The master has no threads: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (text_cstring(&text) == NULL || setenv(handover_variable, number, 1) != 0)
        return;
    fill(master, &state);
    if (each_fd(&state, take_along) && take_along(memfd))
        (void)execve(master->program, (char *const *)(uintptr_t)argv, environ);
    int reason = errno;
    (void)each_fd(&state, keep_back);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)unsetenv(handover_variable);
    errno = reason;
}

static void hand_over(struct master *master)
{
    int memfd = state_memfd(master);

    log_info("upgrading", F_TEXT("program", master->program));
    if (memfd >= 0) {
        become_next(master, memfd);
        (void)close(memfd);
    }
    conclude(master, SPAN("error: the program cannot be executed\n"));
}

static void on_late(struct timer *timer)
{
    struct master *master = CONTAINER(timer, struct master, upgrade.deadline);

    if (master->upgrade.pid > 0)
        (void)kill(master->upgrade.pid, SIGKILL);
}

void upgrade_begin(struct master *master, uint32_t cookie)
{
    struct spawn spawn;
    int socket = -1;

    if (master->stopping || master->upgrade.pid > 0)
        return;
    master->upgrade.cookie = cookie;
    if (generations_loading(master)) {
        conclude(master, SPAN("error: a configuration is being loaded; try again\n"));
        return;
    }
    int memfd = state_memfd(master);
    spawn_clear(&spawn, ROLE_MASTER);
    spawn.fds[ROLE_FD_SETTINGS] = memfd;
    int32_t pid = memfd >= 0 ? spawn_role(master, &spawn, &socket) : -1;
    if (memfd >= 0)
        (void)close(memfd);
    if (pid < 0) {
        conclude(master, SPAN("error: no process could be started\n"));
        return;
    }
    master->upgrade.pid = pid;
    master->upgrade.socket = socket;
    master->upgrade.deadline.fire = on_late;
    timer_set(&master->loop, &master->upgrade.deadline, CHECK_MS);
}

/* It must say so itself: that some program ends with 0 proves nothing. */
static bool can_take_over(struct master *master, int status)
{
    struct message message;
    int fds[MESSAGE_FDS_MAX];
    unsigned count = 0;
    bool said = message_receive(master->upgrade.socket, &message, fds, &count) == OK &&
                message.kind == MESSAGE_READY && message.number == HANDOVER_LAYOUT;

    (void)close(master->upgrade.socket);
    return said && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool upgrade_reaped(struct master *master, int32_t pid, int status)
{
    if (master->upgrade.pid == 0 || master->upgrade.pid != pid)
        return false;
    master->upgrade.pid = 0;
    timer_clear(&master->upgrade.deadline);
    bool can = can_take_over(master, status);
    if (master->stopping)
        return true;
    if (!can)
        conclude(master, SPAN("error: the program does not start, or cannot take over from "
                              "this version: restart the gateway instead\n"));
    else if (generations_loading(master))
        conclude(master, SPAN("error: a configuration is being loaded; try again\n"));
    else
        hand_over(master);
    return true;
}

/* ---- the other side ---- */

/* NULL: it is not what this version knows. */
static const struct handover_state *map_state(int fd)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & F_SEAL_WRITE) == 0 || fstat(fd, &info) != 0 ||
        (uint64_t)info.st_size != sizeof(struct handover_state))
        return NULL;
    void *p = mmap(NULL, sizeof(struct handover_state), PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (handover_valid(p))
        return p;
    (void)munmap(p, sizeof(struct handover_state));
    return NULL;
}

int upgrade_check(void)
{
    struct message message = { .kind = MESSAGE_READY, .number = HANDOVER_LAYOUT };

    if (map_state(ROLE_FD_SETTINGS) == NULL)
        return 1;
    return message_send(ROLE_FD_MASTER, &message, NULL, 0) == OK ? 0 : 1;
}

int upgrade_inherited(void)
{
    /* No threads yet: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    struct span text = span_text(getenv(handover_variable));
    uint64_t fd = 0;
    bool told = span_uint(text, &fd) && fd <= INT32_MAX;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    (void)unsetenv(handover_variable);
    const struct handover_state *state = told ? map_state((int)fd) : NULL;
    /* From somebody else's environment it says nothing to us. */
    return state != NULL && state->master == getpid() ? (int)fd : -1;
}

enum err upgrade_adopt(struct master *master, int fd)
{
    const struct handover_state *state = map_state(fd);

    if (state == NULL || !each_fd(state, keep_back))
        return ERR_PROTOCOL;
    master->last_number = state->last_number;
    master->last_drain_ms = state->last_drain_ms;
    master->announced = state->announced;
    master->reload_cookie = state->cookie;
    master->slots_fd = state->slots_fd;
    master->seal_fd = state->seal_fd;
    master->kept_fd = state->kept_fd;
    master->wake_fd = state->wake_fd;
    master->written_fd = state->written_fd;
    memcpy(master->members, state->members, sizeof(state->members));
    memcpy(master->listening, state->listening, sizeof(state->listening));
    memcpy(master->inherited, state->inherited, sizeof(state->inherited));
    master->inherited_count = state->inherited_count;
    memcpy(master->regions, state->regions, sizeof(state->regions));
    void *p = mmap(NULL, sizeof(struct slots), PROT_READ | PROT_WRITE, MAP_SHARED,
                   master->slots_fd, 0);
    if (p == MAP_FAILED)
        return ERR_MEMORY;
    master->slots = p;
    services_open(master);
    service_adopt(&master->recorder, &state->recorder);
    service_adopt(&master->steward, &state->steward);
    generations_adopt(master, state->generations);
    (void)munmap((void *)(uintptr_t)state, sizeof(*state));
    (void)close(fd);
    log_info("upgraded", F_TEXT("version", SALLYPORT_VERSION));
    return OK;
}
