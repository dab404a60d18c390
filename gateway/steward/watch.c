/*
 * Watched files: address lists and geo databases. A file that changed is read, checked whole,
 * and sent to every worker as a snapshot. One that is malformed, too large or gone changes
 * nothing but the log: the last good one stays.
 *
 * Folders are watched, not files, for most writers rename a new file over the old; and any
 * event in the folder makes the file be looked at, for some replace a link beside it. In-place
 * writes count when the writer closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "auth/keyfile.h"
#include "auth/users.h"
#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/steward/users.h"
#include "gateway/store/snapshot.h"
#include "geoip/feedkept.h"
#include "geoip/geofile.h"
#include "geoip/listfile.h"
#include "geoip/listguard.h"

enum {
    EVENTS_OF_INTEREST = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE |
                         IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
    EVENT_BYTES = 16 * 1024,
};

#define PARSE_BYTES_MAX ((size_t)1 << 30)

/* ---- to the workers ---- */

static enum err send_list(const struct watched *list, const struct member *member)
{
    struct snapshot_message message = { .magic = SNAPSHOT_MAGIC,
                                        .kind = list->settings->kind,
                                        .id = list->settings->id,
                                        .version = list->version,
                                        .bytes = list->bytes };
    return list->memfd >= 0 ? snapshot_send(member->watch.fd, list->memfd, &message) : OK;
}

void lists_send(struct steward *steward, struct member *member)
{
    member->behind = false;
    for (uint32_t i = 0; i < steward->settings->list_count; i++)
        member->behind = send_list(&steward->lists[i], member) == ERR_BUSY || member->behind;
    member->behind = !sources_send(steward, member->watch.fd) || member->behind;
    member->behind = !names_send(steward, member->watch.fd) || member->behind;
    member->behind = !certificates_send(steward, member->watch.fd) || member->behind;
    if (member->behind)
        timer_set(&steward->loop, &steward->resend, RESEND_MS);
}

void lists_resend(struct steward *steward, struct member *member)
{
    member->behind = true;
    timer_set(&steward->loop, &steward->resend, RESEND_MS);
}

static void on_resend(struct timer *timer)
{
    struct steward *steward = CONTAINER(timer, struct steward, resend);
    for (size_t i = 0; i < SLOTS_MAX; i++)
        if (steward->members[i].pid != 0 && steward->members[i].behind)
            lists_send(steward, &steward->members[i]);
}

static void publish(struct steward *steward, struct watched *list)
{
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct member *member = &steward->members[i];
        if (member->pid == 0 || send_list(list, member) != ERR_BUSY)
            continue;
        lists_resend(steward, member);
    }
}

/* ---- reading ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* The whole file, read and not mapped: who truncates it must not be able to kill the steward.
 */
static const char *read_file(int fd, const struct stat *info, size_t max, char **out)
{
    if (!S_ISREG(info->st_mode))
        return "it is not a regular file";
    if ((uint64_t)info->st_size > max)
        return "it is too long";
    size_t size = (size_t)info->st_size;
    char *bytes = malloc(size + 1);
    if (bytes == NULL)
        return "there is no memory for it";
    struct stat after;
    if (file_fill(fd, bytes, size) != info->st_size || fstat(fd, &after) != 0 ||
        !same_file(info, &after)) {
        free(bytes);
        return "it changed while it was read";
    }
    *out = bytes;
    return NULL;
}

/* What goes to the workers from now on. */
static const char *seal(struct watched *list, struct span block)
{
    int memfd = snapshot_seal(block);
    if (memfd < 0)
        return "there is no memory for it";
    if (list->memfd >= 0)
        (void)close(list->memfd);
    list->memfd = memfd;
    list->bytes = block.len;
    list->version++;
    return NULL;
}

static struct listguard guard_of(const struct steward_settings *settings,
                                 const struct watched_list *list)
{
    return (struct listguard){
        .max_cover = list->max_cover,
        .max_shrink = list->max_shrink,
        .spared = { (struct cidr *)settings->spared,
                    list->denies ? settings->spared_count : 0 },
    };
}

static const char *guard_and_seal(struct watched *list, struct span block, uint32_t now_s)
{
    char buffer[256];
    struct text detail = text_fixed(buffer, sizeof(buffer));
    struct listguard guard = guard_of(list->steward_settings, list->settings);
    size_t was = list->another ? 0 : list->version > 0 ? list->ranges : list->settings->entries;
    bool fetched = list->settings->url[0] != '\0';
    /* An empty answer is what a broken server gives; and what cannot be kept is lost at the
     * next reload. */
    if (fetched && addrlist_count(block) == 0)
        return "it is empty";
    if (fetched && block.len > FEED_BYTES_MAX)
        return "it is too large";
    const char *trouble = listguard_refuses(&guard, block, was, now_s, &detail);
    if (trouble != NULL) {
        log_error("watched list is refused; the last good one stays",
                  F_TEXT("list", list->settings->name), F_TEXT("why", trouble),
                  F_SPAN("detail", text_span(&detail)));
        return trouble;
    }
    trouble = seal(list, block);
    if (trouble == NULL)
        list->ranges = addrlist_count(block);
    return trouble;
}

static const char *build_list(struct watched *list, struct span text, struct arena *arena)
{
    const struct watched_list *settings = list->settings;
    struct addrlist_entries entries;
    struct listfile_problem problem;
    struct clock clock;
    struct span block;
    clock_read(&clock);
    struct listfile_how how = { .format = (enum listfile_format)settings->format,
                                .now_s = (uint32_t)(clock.wall_us / 1000000u),
                                .reason = span_text(settings->reason) };
    if (listfile_read(text, &how, arena, &entries, &problem) != OK) {
        log_error("watched list cannot be read; the last good one stays",
                  F_TEXT("list", settings->name), F_TEXT("path", settings->path),
                  F_INT("line", problem.line), F_TEXT("why", problem.why));
        return problem.line > 0 ? "a line is malformed" : problem.why;
    }
    struct cidrs without = { (struct cidr *)settings->without, settings->without_count };
    listguard_without(&entries, &without);
    if (addrlist_build(entries.items, entries.count, how.now_s, arena, &block) != OK)
        return "it has too many entries";
    return guard_and_seal(list, block, how.now_s);
}

/* A database goes as it is: what is checked is what is sent. */
static const char *build_database(struct watched *list, struct span bytes, struct arena *arena)
{
    (void)arena;
    MMDB_s db;
    const char *trouble = geofile_verify(bytes);
    if (trouble == NULL)
        trouble = geofile_open(&db, bytes);
    if (trouble == NULL)
        trouble = seal(list, bytes);
    if (trouble == NULL)
        list->ranges = db.metadata.node_count;
    return trouble;
}

static const char *build_keys(struct watched *list, struct span text, struct arena *arena)
{
    struct span block;
    unsigned line = 0;
    enum err err = keyfile_build(text, arena, &block, &line);
    if (err == ERR_SYNTAX)
        log_error("file of keys has a malformed line; the last good one stays",
                  F_TEXT("path", list->settings->path), F_INT("line", line));
    if (err != OK)
        return err == ERR_SYNTAX      ? "a line is malformed"
               : err == ERR_DUPLICATE ? "a key stands twice"
                                      : err_text(err);
    const char *trouble = seal(list, block);
    if (trouble == NULL)
        list->ranges = keyfile_count(block);
    return trouble;
}

static const struct kind {
    size_t max;
    const char *(*build)(struct watched *list, struct span text, struct arena *arena);
} kinds[SNAPSHOT_KINDS] = {
    [SNAPSHOT_ADDRESS_LIST] = { LISTFILE_BYTES_MAX, build_list },
    [SNAPSHOT_GEO_DATABASE] = { GEOFILE_BYTES_MAX, build_database },
    [SNAPSHOT_API_KEYS] = { KEYFILE_BYTES_MAX, build_keys },
};

static const struct kind *kind_of(const struct watched *list)
{
    return &kinds[list->settings->kind];
}

static const char *take(struct watched *list, int fd, const struct stat *info)
{
    char *bytes = NULL;
    const char *trouble = read_file(fd, info, kind_of(list)->max, &bytes);
    if (trouble != NULL)
        return trouble;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, PARSE_BYTES_MAX);
    trouble = kind_of(list)->build(list, span_of(bytes, (size_t)info->st_size), &arena);
    arena_reset(&arena);
    free(bytes);
    return trouble;
}

static void say(struct watched *list, const char *trouble)
{
    if (trouble == NULL)
        log_info("watched file taken", F_TEXT("path", list->settings->path),
                 F_INT("ranges", list->ranges), F_INT("version", list->version));
    else if (trouble != list->trouble)
        log_error("watched file not taken; the last good one stays",
                  F_TEXT("path", list->settings->path), F_TEXT("why", trouble));
    list->trouble = trouble;
}

/* Reads the file if it is another than the one seen last. */
static void look(struct steward *steward, struct watched *list)
{
    struct stat info;
    int fd = open(list->settings->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0)
            (void)close(fd);
        memset(&list->seen, 0, sizeof(list->seen)); /* another file may get its number */
        say(list, errno == ENOENT   ? "it is gone"
                  : errno == EACCES ? "the gateway's user may not read it"
                                    : "it cannot be opened");
        return;
    }
    if (!same_file(&info, &list->seen)) {
        const char *trouble = take(list, fd, &info);
        list->seen = info;
        say(list, trouble);
        if (trouble == NULL) {
            list->loaded_s = steward->loop.clock.wall_us / 1000000u;
            publish(steward, list);
        }
    }
    (void)close(fd);
}

bool lists_read(const struct watched *list, char **bytes, size_t *len)
{
    struct stat info;
    int fd = open(list->settings->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool good = fd >= 0 && fstat(fd, &info) == 0 &&
                read_file(fd, &info, kind_of(list)->max, bytes) == NULL;
    if (fd >= 0)
        (void)close(fd);
    *len = good ? (size_t)info.st_size : 0;
    return good;
}

static void taken(struct steward *steward, struct watched *list)
{
    list->loaded_s = steward->loop.clock.wall_us / 1000000u;
    publish(steward, list);
}

const char *lists_take(struct steward *steward, struct watched *list, struct span text)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, PARSE_BYTES_MAX);
    const char *trouble = build_list(list, text, &arena);
    arena_reset(&arena);
    if (trouble == NULL)
        taken(steward, list);
    return trouble;
}

const char *lists_take_block(struct steward *steward, struct watched *list, struct span block)
{
    const char *trouble = seal(list, block);
    if (trouble == NULL) {
        list->ranges = addrlist_count(block);
        taken(steward, list);
    }
    return trouble;
}

/* Not a file to be read whole: it is open all the time. */
static void look_at_users(struct steward *steward, struct watched *list)
{
    struct arena arena;
    struct span block;
    arena_init(&arena, NULL, 0, NULL, PARSE_BYTES_MAX);
    const char *trouble = users_read(steward, list->settings, &arena, &block);
    if (trouble == NULL && block.len > 0) {
        trouble = seal(list, block);
        list->ranges = users_count(block);
        say(list, trouble);
        if (trouble == NULL) {
            list->loaded_s = steward->loop.clock.wall_us / 1000000u;
            publish(steward, list);
        }
    } else if (trouble != list->trouble) {
        say(list, trouble);
    }
    arena_reset(&arena);
}

void lists_look_kind(struct steward *steward, uint32_t kind)
{
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        if (steward->lists[i].settings->kind != kind ||
            steward->lists[i].settings->url[0] != '\0')
            continue;
        if (kind == SNAPSHOT_USERS)
            look_at_users(steward, &steward->lists[i]);
        else
            look(steward, &steward->lists[i]);
    }
}

static void look_at_all(struct steward *steward)
{
    for (uint32_t kind = 0; kind < SNAPSHOT_KINDS; kind++)
        lists_look_kind(steward, kind);
}

/* ---- watching ---- */

/* Adding a folder that is watched already changes nothing, so this may be done again and again.
 */
static void watch_folders(struct steward *steward)
{
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        char folder[SETTINGS_PATH_BYTES];
        if (steward->lists[i].settings->url[0] == '\0' &&
            settings_folder(folder, sizeof(folder), steward->lists[i].settings->path))
            (void)inotify_add_watch(steward->inotify.fd, folder, EVENTS_OF_INTEREST);
    }
}

static void on_inotify(struct watch *watch, uint32_t events)
{
    (void)events;
    struct steward *steward = CONTAINER(watch, struct steward, inotify);
    _Alignas(struct inotify_event) char buffer[EVENT_BYTES];
    /* Which file it was does not matter, nor how many events were lost. */
    ssize_t got = read(watch->fd, buffer, sizeof(buffer));
    if (got > 0 && steward->debounce.deadline_ms == 0)
        timer_set(&steward->loop, &steward->debounce, DEBOUNCE_MS);
}

static void on_debounce(struct timer *timer)
{
    look_at_all(CONTAINER(timer, struct steward, debounce));
}

static void on_poll(struct timer *timer)
{
    struct steward *steward = CONTAINER(timer, struct steward, poll);
    timer_set(&steward->loop, timer, POLL_MS);
    watch_folders(steward);
    look_at_all(steward);
}

const char *lists_look(struct steward *steward, const char *path)
{
    const char *trouble = NULL;
    look_at_all(steward);
    for (uint32_t i = 0; i < steward->settings->list_count; i++) {
        const struct watched *list = &steward->lists[i];
        if (path != NULL && strcmp(list->settings->path, path) == 0)
            return list->trouble;
        trouble = list->trouble != NULL ? list->trouble : trouble;
    }
    return trouble;
}

enum err lists_open(struct steward *steward)
{
    uint32_t count = steward->settings->list_count;
    steward->inotify = (struct watch){ .fd = -1, .on_event = on_inotify };
    steward->debounce.fire = on_debounce;
    steward->poll.fire = on_poll;
    steward->resend.fire = on_resend;
    steward->lists = arena_array(&steward->arena, struct watched, count + 1);
    if (steward->lists == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        steward->lists[i] = (struct watched){ .steward_settings = steward->settings,
                                              .settings = &steward->settings->lists[i],
                                              .seen = steward->settings->lists[i].seen,
                                              .memfd = -1 };
    if (count == 0)
        return OK;
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    TRY(loop_add(&steward->loop, &steward->inotify, fd, EPOLLIN));
    timer_set(&steward->loop, &steward->poll, POLL_MS);
    watch_folders(steward); /* first watch, then read: what changes in between is seen */
    look_at_all(steward);
    return OK;
}
