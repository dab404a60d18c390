/*
 * The steward: what a gateway has to do besides serving, in a process that no request waits
 * for. It answers the control socket and turns changed list files into snapshots for the
 * workers.
 */
#include "gateway/steward/steward.h"
#include "gateway/audit/ring.h"
#include "gateway/chain/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/messages.h"
#include "gateway/process/process.h"
#include "gateway/steward/users.h"

enum { DIAGNOSTICS_BYTES_MAX = 1024 * 1024 };

bool steward_ask_master(struct steward *steward, uint32_t kind, uint32_t cookie)
{
    struct message message = { .kind = kind, .number = cookie };
    return steward->master.fd >= 0 && message_send(steward->master.fd, &message, NULL, 0) == OK;
}

/* ---- what the master says ---- */

static void member_leave(struct steward *steward, uint64_t slot)
{
    if (slot >= SLOTS_MAX || steward->members[slot].pid == 0)
        return;
    int fd = steward->members[slot].watch.fd;
    loop_remove(&steward->loop, &steward->members[slot].watch);
    (void)close(fd);
    steward->members[slot] = (struct member){ .watch = { .fd = -1 } };
}

static void member_join(struct steward *steward, const struct message *message, int fd)
{
    if (message->number >= SLOTS_MAX) {
        (void)close(fd);
        return;
    }
    member_leave(steward, message->number);
    struct member *member = &steward->members[message->number];
    *member = (struct member){ .steward = steward,
                               .watch = { .fd = -1, .on_event = sources_asked },
                               .pid = (int32_t)message->layout };
    if (loop_add(&steward->loop, &member->watch, fd, EPOLLIN) != OK)
        member->watch.fd = fd; /* it can be told, and not heard */
    lists_send(steward, member);
}

static void outcome(struct steward *steward, const struct message *message, int fd)
{
    char *text = fd >= 0 ? malloc(DIAGNOSTICS_BYTES_MAX) : NULL;
    ssize_t len = text != NULL ? pread(fd, text, DIAGNOSTICS_BYTES_MAX, 0) : 0;
    control_outcome(steward, message->layout, span_of(text, len > 0 ? (size_t)len : 0),
                    message->number == 0);
    free(text);
    if (fd >= 0)
        (void)close(fd);
}

/* The next steward waits until this one is gone: it says what it knows, and goes. */
static void finish(struct steward *steward)
{
    steward->finishing = true;
    loop_remove(&steward->loop, &steward->master);
    control_finish(steward);
    timer_set(&steward->loop, &steward->ending, ENDING_MS);
}

static void on_ending(struct timer *timer)
{
    CONTAINER(timer, struct steward, ending)->loop.stopping = true;
}

static void on_message(struct watch *watch, uint32_t events)
{
    (void)events;
    struct steward *steward = CONTAINER(watch, struct steward, master);
    struct message message;
    int fds[MESSAGE_FDS_MAX] = { -1, -1 };
    unsigned count = 0;
    enum err err = message_receive(watch->fd, &message, fds, &count);
    if (err != OK || !message_allowed(message.kind, ROLE_MASTER)) {
        for (unsigned i = 0; i < count; i++)
            (void)close(fds[i]);
        finish(steward);
        return;
    }
    if (message.kind == MESSAGE_WORKER)
        member_join(steward, &message, fds[0]);
    else if (message.kind == MESSAGE_WORKER_GONE)
        member_leave(steward, message.number);
    else if (message.kind == MESSAGE_OUTCOME)
        outcome(steward, &message, count > 0 ? fds[0] : -1);
}

/* ---- set-up ---- */

static enum err close_sandbox(struct steward *steward)
{
    const struct steward_settings *settings = steward->settings;
    const char **paths = arena_array(&steward->arena, const char *, settings->list_count + 1);
    if (paths == NULL)
        return ERR_MEMORY;
    size_t count = 0;
    for (uint32_t i = 0; i < settings->list_count; i++) {
        if (settings->lists[i].url[0] != '\0')
            continue;
        char *folder = arena_alloc(&steward->arena, SETTINGS_PATH_BYTES);
        if (folder == NULL)
            return ERR_MEMORY;
        if (settings_folder(folder, SETTINGS_PATH_BYTES, settings->lists[i].path))
            paths[count++] = folder;
    }
    struct sandbox sandbox = { .role = ROLE_STEWARD,
                               .user = settings->user[0] != '\0' ? settings->user : NULL,
                               .paths = paths,
                               .written =
                                   settings->acme.count > 0 ? settings->acme.folder : NULL,
                               .off = settings->sandbox_off };
    return sandbox_enter(&sandbox);
}

/* Read only; without the descriptor, no mapping can be made writable later. NULL: not there. */
static const void *map_shown(int fd, size_t size)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return NULL;
    void *p = (uint64_t)info.st_size >= size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)
                                             : MAP_FAILED;
    (void)close(fd);
    return p != MAP_FAILED ? p : NULL;
}

static enum err set_up(struct steward *steward)
{
    arena_init(&steward->arena, NULL, 0, NULL, (size_t)64 << 20);
    TRY(steward_settings_open(ROLE_FD_SETTINGS, &steward->settings));
    void *slots = mmap(NULL, sizeof(struct slots), PROT_READ, MAP_SHARED, ROLE_FD_SLOTS, 0);
    (void)close(ROLE_FD_SLOTS); /* with it, the mapping could be made writable */
    if (slots == MAP_FAILED)
        return ERR_MEMORY;
    steward->slots = slots;
    steward->meters = map_shown(ROLE_FD_METERS, sizeof(struct meters));
    steward->rings = map_shown(ROLE_FD_RINGS, sizeof(struct rings));
    steward->uid = getuid();
    steward->landlock_abi = sandbox_landlock_abi();
    for (size_t i = 0; i < SLOTS_MAX; i++)
        steward->members[i].watch.fd = -1;
    TRY(loop_init(&steward->loop));
    quotas_map(steward);
    sessions_map(steward);
    TRY(state_open(steward));
    TRY(sources_open(steward));
    TRY(users_open(steward));
    TRY(names_open(steward));
    TRY(crawlers_open(steward));
    TRY(feeds_open(steward));
    TRY(crowdsec_open(steward));
    TRY(checks_open(steward));
    TRY(certificates_open(steward));
    TRY(close_sandbox(steward));
    sandbox_probe(ROLE_STEWARD);

    bool has_control = fcntl(ROLE_FD_CONTROL, F_GETFD) >= 0;
    TRY(control_open(steward, has_control ? ROLE_FD_CONTROL : -1));
    TRY(metrics_open(steward, fcntl(ROLE_FD_METRICS, F_GETFD) >= 0 ? ROLE_FD_METRICS : -1));
    TRY(lists_open(steward));
    TRY(bans_open(steward));
    state_restore(steward);
    TRY(checks_start(steward));
    sources_start(steward);
    users_start(steward);
    names_start(steward);
    crawlers_start(steward);
    feeds_start(steward);
    crowdsec_start(steward);
    certificates_start(steward);
    steward->ending.fire = on_ending;
    steward->master.on_event = on_message;
    return loop_add(&steward->loop, &steward->master, ROLE_FD_MASTER, EPOLLIN);
}

int steward_main(void)
{
    process_open(ROLE_STEWARD);
    static struct steward only;
    struct steward *steward = &only;
    enum err err = set_up(steward);
    if (err != OK) {
        log_error("steward cannot start", F_ERR(err));
        return 1;
    }
    while (!steward->loop.stopping && !(steward->finishing && control_idle(steward)))
        loop_turn(&steward->loop, -1);
    state_save(steward);
    users_save(steward);
    certificates_close(steward);
    return 0;
}
