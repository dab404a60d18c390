/*
 * Listening sockets that a service manager opened before we were started (sd_listen_fds(3)):
 * they stay open while the gateway is restarted, so that clients wait and are not refused, and
 * low ports need no privilege. A configured address that one of them has is not bound anew; the
 * others are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/master.h"

enum { FIRST_FD = 3, FAR_FD = 64 };

/* What we are is listening, and is a stream. */
static bool is_listener(int fd)
{
    int type = 0, listens = 0;
    socklen_t type_len = sizeof(type), listens_len = sizeof(listens);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) == 0 &&
           listens != 0;
}

static bool describe(int fd, struct inherited *to)
{
    struct sockaddr_storage name = { 0 };
    socklen_t len = sizeof(name);
    int alone = 1;
    socklen_t alone_len = sizeof(alone);

    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0)
        return false;
    if (name.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&name;
        size_t path = strnlen(un->sun_path, sizeof(un->sun_path));
        if (path == 0 || path >= sizeof(to->path))
            return false;
        to->addr = (struct addr){ .family = ADDR_UNIX };
        memcpy(to->path, un->sun_path, path);
        return true;
    }
    addr_from_sockaddr(&to->addr, (const struct sockaddr *)&name);
    to->dual = name.ss_family == AF_INET6 &&
               getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &alone, &alone_len) == 0 && alone == 0;
    return to->addr.family == ADDR_V4 || to->addr.family == ADDR_V6;
}

/* Out of the way of the roles' own numbers, and not for them. */
static void take(struct master *master, int fd)
{
    struct inherited one = { .fd = -1 };
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0) {
        log_warn("a descriptor that was promised is not open", F_INT("fd", (uint64_t)fd));
        return;
    }
    if (is_listener(fd) && describe(fd, &one) && master->inherited_count < INHERITED_MAX &&
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        one.fd = fcntl(fd, F_DUPFD_CLOEXEC, FAR_FD);
    if (one.fd >= 0)
        master->inherited[master->inherited_count++] = one;
    else
        log_warn("a descriptor from the service manager is no socket that listens",
                 F_INT("fd", (uint64_t)fd));
    (void)close(fd);
}

void inherit_open(struct master *master)
{
    /* The master has no threads: NOLINTBEGIN(concurrency-mt-unsafe) */
    struct span pid_text = span_text(getenv("LISTEN_PID"));
    struct span count_text = span_text(getenv("LISTEN_FDS"));
    uint64_t pid = 0, count = 0;
    bool ours = span_uint(pid_text, &pid) && pid == (uint64_t)getpid() &&
                span_uint(count_text, &count) && count <= INHERITED_MAX;

    if (count_text.p != NULL && !ours)
        log_warn("sockets of a service manager are not for this process");
    for (uint64_t i = 0; ours && i < count; i++)
        take(master, FIRST_FD + (int)i);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    /* NOLINTEND(concurrency-mt-unsafe) */
}

int inherit_find(const struct master *master, const struct message *message)
{
    bool dual = (message->number & BIND_DUAL) != 0;

    for (unsigned i = 0; i < master->inherited_count; i++) {
        const struct inherited *one = &master->inherited[i];
        if (one->addr.family == message->addr.family && one->addr.port == message->addr.port &&
            one->dual == dual && addr_equal(&one->addr, &message->addr) &&
            strcmp(one->path, message->name) == 0)
            return fcntl(one->fd, F_DUPFD_CLOEXEC, 0);
    }
    return -1;
}
