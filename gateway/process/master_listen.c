/*
 * Listening sockets, kept over reloads so that no connection is refused while one happens. They
 * are keyed by what the configuration says, not by what the kernel made of it: port 0 stays the
 * same port.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/master.h"

enum { BACKLOG = 4096 };

static int fail(int fd)
{
    int reason = errno != 0 ? errno : EIO;
    (void)close(fd);
    return reason;
}

static int bind_inet(const struct addr *addr, bool dual, int *out)
{
    struct sockaddr_storage name;
    socklen_t len = addr_to_sockaddr(addr, (struct sockaddr *)&name);
    const int on = 1, alone = !dual;
    int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return fail(fd);
    /* Said, whatever the system's default is. */
    if (name.ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, sizeof(alone)) != 0)
        return fail(fd);
    if (bind(fd, (struct sockaddr *)&name, len) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd);
    *out = fd;
    return 0;
}

/* A socket file that nobody answers on is left from a crash. Anything else in its place is not
 * ours to remove. */
static int clear_stale(const struct sockaddr_un *name, int probe)
{
    struct stat info;
    if (lstat(name->sun_path, &info) != 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(info.st_mode))
        return EEXIST;
    if (connect(probe, (const struct sockaddr *)name, sizeof(*name)) == 0 || errno == EAGAIN)
        return EADDRINUSE;
    if (errno != ECONNREFUSED)
        return errno;
    return unlink(name->sun_path) == 0 ? 0 : errno;
}

/* /run is empty after each boot: the last folder of the path is made. */
static void make_folder(const char *path)
{
    char folder[MESSAGE_NAME_BYTES];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    (void)mkdir(folder, 0755);
}

static int bind_unix(const char *path, bool private, int *out)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    _Static_assert(sizeof(name.sun_path) >= MESSAGE_NAME_BYTES, "every name fits");
    memcpy(name.sun_path, path, strlen(path) + 1);

    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return errno;
    make_folder(path);
    int reason = clear_stale(&name, probe);
    (void)close(probe);
    if (reason != 0)
        return reason;

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    /* Private from birth: a later chmod would leave a moment in which anybody may connect. */
    mode_t before = umask(private ? 0177 : 0111);
    int failed = bind(fd, (struct sockaddr *)&name, sizeof(name));
    reason = errno;
    (void)umask(before);
    errno = reason;
    if (failed != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd);
    *out = fd;
    return 0;
}

/* TLS or not is no matter: what is spoken on an address may change with a reload. */
static bool same(const struct listening *listening, const struct message *message)
{
    return listening->fd >= 0 && listening->ordinal == message->layout &&
           ((listening->flags ^ message->number) & ~(uint64_t)BIND_TLS) == 0 &&
           listening->addr.port == message->addr.port &&
           addr_equal(&listening->addr, &message->addr) &&
           strcmp(listening->path, message->name) == 0;
}

int listen_bind(struct master *master, const struct message *message, int *fd)
{
    bool unix_path = message->addr.family == ADDR_UNIX;
    if (message->addr.family == ADDR_NONE || unix_path != (message->name[0] != '\0') ||
        message->number > (BIND_TLS | BIND_CONTROL | BIND_DUAL | BIND_METRICS))
        return EINVAL;
    struct listening *free = NULL;
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        struct listening *listening = &master->listening[i];
        if (same(listening, message)) {
            listening->loading = true;
            listening->next_flags = (uint32_t)message->number;
            *fd = listening->fd;
            return 0;
        }
        if (listening->fd < 0 && free == NULL)
            free = listening;
    }
    if (free == NULL)
        return ENOSPC;
    int made = inherit_find(master, message);
    bool lent = made >= 0;
    int reason = lent ? 0
                 : unix_path
                     ? bind_unix(message->name, (message->number & BIND_CONTROL) != 0, &made)
                     : bind_inet(&message->addr, (message->number & BIND_DUAL) != 0, &made);
    if (reason != 0)
        return reason;
    *free = (struct listening){ .fd = made,
                                .addr = message->addr,
                                .ordinal = message->layout,
                                .flags = (uint32_t)message->number,
                                .next_flags = (uint32_t)message->number,
                                .loading = true,
                                .lent = lent };
    memcpy(free->path, message->name, sizeof(free->path));
    *fd = made;
    return 0;
}

/* Workers that drain have their own descriptors; the socket goes when the last of them is
 * closed. */
static void drop(struct listening *listening)
{
    if (listening->path[0] != '\0' && !listening->lent)
        (void)unlink(listening->path);
    (void)close(listening->fd);
    listening->fd = -1;
}

static void drop_unwanted(struct master *master)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        struct listening *listening = &master->listening[i];
        if (listening->fd >= 0 && !listening->serving && !listening->loading)
            drop(listening);
    }
}

void listen_commit(struct master *master)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        master->listening[i].serving = master->listening[i].loading;
        master->listening[i].flags = master->listening[i].next_flags;
        master->listening[i].loading = false;
    }
    drop_unwanted(master);
}

void listen_rollback(struct master *master)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        master->listening[i].loading = false;
        master->listening[i].next_flags = master->listening[i].flags;
    }
    drop_unwanted(master);
}

void listen_close_all(struct master *master)
{
    for (size_t i = 0; i < LISTENING_MAX; i++)
        if (master->listening[i].fd >= 0)
            drop(&master->listening[i]);
}

int listen_find(const struct master *master, uint32_t flag)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        const struct listening *listening = &master->listening[i];
        if (listening->fd >= 0 && listening->serving && (listening->flags & flag) != 0)
            return listening->fd;
    }
    return -1;
}

static void write_address(struct text *out, const struct listening *listening)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    struct addr addr = listening->addr;
    if (addr.family == ADDR_UNIX) {
        text_lit(out, "unix:");
        text_add(out, span_text(listening->path));
        return;
    }
    if (getsockname(listening->fd, (struct sockaddr *)&name, &len) == 0)
        addr_from_sockaddr(&addr, (struct sockaddr *)&name);
    if (addr.family == ADDR_V6)
        text_char(out, '[');
    addr_write(out, &addr);
    if (addr.family == ADDR_V6)
        text_char(out, ']');
    text_char(out, ':');
    text_uint(out, addr.port);
}

/* One word for each: " http=A http=B". */
static void write_kind(const struct master *master, struct text *out, struct span name,
                       uint32_t flags)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        const struct listening *listening = &master->listening[i];
        if (listening->fd < 0 || !listening->serving ||
            (listening->flags & ~(uint32_t)BIND_DUAL) != flags)
            continue;
        text_add(out, name);
        if (flags == BIND_CONTROL)
            text_add(out, span_text(listening->path));
        else
            write_address(out, listening);
    }
}

void listen_write(const struct master *master, struct text *out)
{
    write_kind(master, out, SPAN(" http="), 0);
    write_kind(master, out, SPAN(" https="), BIND_TLS);
    write_kind(master, out, SPAN(" metrics="), BIND_METRICS);
    write_kind(master, out, SPAN(" control="), BIND_CONTROL);
}
