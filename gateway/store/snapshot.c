/*
 * The snapshot channel. Between the steward, which reads files and feeds from outside, and a
 * worker, which serves: so the worker checks that nobody can change the bytes behind its back,
 * and that the bytes are what their kind says, before it uses one. Whatever is wrong, the old
 * snapshot stays.
 */
#include "gateway/store/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* One descriptor beside a message, aligned as cmsg wants it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* ---- the worker's side ---- */

enum err snapshots_init(struct snapshots *snapshots, struct arena *arena, size_t count)
{
    if (count > SNAPSHOT_IDS_MAX)
        return ERR_LIMIT;
    *snapshots = (struct snapshots){ .watch = { .fd = -1 } };
    snapshots->items = arena_array(arena, struct snapshot, count > 0 ? count : 1);
    if (snapshots->items == NULL)
        return ERR_MEMORY;
    snapshots->count = count;
    return OK;
}

void snapshot_initial(struct snapshots *snapshots, uint32_t id, struct span bytes)
{
    INVARIANT(id < snapshots->count);
    snapshots->items[id] = (struct snapshot){ .bytes = bytes };
}

static void swap(struct snapshot *item, struct span bytes, uint32_t version)
{
    if (item->mapped)
        INVARIANT(munmap((void *)item->bytes.p, item->bytes.len) == 0);
    *item = (struct snapshot){ .bytes = bytes,
                               .version = version,
                               .swaps = item->swaps + 1,
                               .kind = item->kind,
                               .mapped = true };
}

/* Maps what the descriptor holds; it is sealed and as long as the message says. */
static enum err map_sealed(int memfd, uint64_t bytes, struct span *mapped)
{
    int seals = fcntl(memfd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return ERR_PROTOCOL;
    /* Not fstat: in glibc that is a call which takes paths, and a worker has none of those. */
    off_t size = lseek(memfd, 0, SEEK_END);
    if (bytes == 0 || bytes > SNAPSHOT_BYTES_MAX || size != (off_t)bytes)
        return ERR_PROTOCOL;
    void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, memfd, 0);
    if (p == MAP_FAILED)
        return ERR_MEMORY;
    *mapped = span_of(p, bytes);
    return OK;
}

static enum err take(struct snapshots *snapshots, const struct snapshot_message *message,
                     int memfd)
{
    if (message->magic != SNAPSHOT_MAGIC || message->kind >= SNAPSHOT_KINDS ||
        message->id >= snapshots->count || message->kind != snapshots->items[message->id].kind)
        return ERR_PROTOCOL;
    struct span bytes;
    TRY(map_sealed(memfd, message->bytes, &bytes));
    if (snapshots->valid == NULL ||
        !snapshots->valid((enum snapshot_kind)message->kind, bytes)) {
        INVARIANT(munmap((void *)bytes.p, bytes.len) == 0);
        return ERR_SYNTAX;
    }
    swap(&snapshots->items[message->id], bytes, message->version);
    return OK;
}

/* The descriptor beside the message, or -1. There is room for one only, so there cannot be
 * more. */
static int taken_fd(struct msghdr *msg)
{
    int fd = -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(head), sizeof(fd));
    return fd;
}

static void tell_all(const struct snapshots *snapshots, uint32_t id)
{
    for (struct snapshot_listener *at = snapshots->listeners; at != NULL; at = at->next)
        at->came(at, id);
}

enum err snapshots_receive(struct snapshots *snapshots, int fd)
{
    struct snapshot_message message;
    struct iovec iov = { .iov_base = &message, .iov_len = sizeof(message) };
    union control control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = CMSG_LEN(sizeof(int)) }; /* one fits, not two */
    ssize_t got;
    do
        got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_BUSY : ERR_CLOSED;
    if (got == 0)
        return ERR_CLOSED;

    int memfd = taken_fd(&msg);
    enum err err = ERR_PROTOCOL;
    bool whole =
        got == (ssize_t)sizeof(message) && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (memfd >= 0 && whole)
        err = take(snapshots, &message, memfd);
    else if (whole && message.magic == SNAPSHOT_ASK_MAGIC)
        err = OK; /* an answer to our asking: there is nothing to be had */
    if (memfd >= 0)
        (void)close(memfd);
    if (whole && message.id < snapshots->count)
        tell_all(snapshots, message.id);
    return err;
}

void snapshots_tell(struct snapshots *snapshots, struct snapshot_listener *listener)
{
    listener->next = snapshots->listeners;
    snapshots->listeners = listener;
}

void snapshots_forget(struct snapshots *snapshots, struct snapshot_listener *listener)
{
    struct snapshot_listener **at = &snapshots->listeners;
    while (*at != NULL && *at != listener)
        at = &(*at)->next;
    if (*at != NULL)
        *at = listener->next;
}

bool snapshot_ask(const struct snapshots *snapshots, uint32_t id)
{
    struct snapshot_message message = { .magic = SNAPSHOT_ASK_MAGIC, .id = id };
    return snapshots->watch.fd >= 0 &&
           send(snapshots->watch.fd, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) ==
               (ssize_t)sizeof(message);
}

static void on_message(struct watch *watch, uint32_t events)
{
    (void)events;
    struct snapshots *snapshots = CONTAINER(watch, struct snapshots, watch);
    enum err err = snapshots_receive(snapshots, watch->fd);
    if (err == OK || err == ERR_BUSY)
        return;
    if (err == ERR_CLOSED) { /* the lists of now are kept until the process ends */
        loop_remove(snapshots->loop, watch);
        return;
    }
    log_error("snapshot refused; the previous one stays", F_ERR(err));
}

enum err snapshots_listen(struct snapshots *snapshots, struct loop *loop, int fd)
{
    snapshots->loop = loop;
    snapshots->watch.on_event = on_message;
    return loop_add(loop, &snapshots->watch, fd, EPOLLIN);
}

/* ---- the steward's side ---- */

static bool fill(int memfd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t wrote = write(memfd, bytes.p, bytes.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        bytes = span_sub(bytes, (size_t)wrote, bytes.len);
    }
    return true;
}

enum err snapshot_asked(int socket, uint32_t *id)
{
    struct snapshot_message message;
    ssize_t got;
    do
        got = recv(socket, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return ERR_BUSY;
    if (got <= 0)
        return ERR_CLOSED;
    if (got != (ssize_t)sizeof(message) || message.magic != SNAPSHOT_ASK_MAGIC)
        return ERR_PROTOCOL;
    *id = message.id;
    return OK;
}

/*
 * The kernel refuses while somebody else holds a page of the file, after it waited for that: as
 * a rule itself, when it looks through memory for what is seldom used (mm/memfd.c, in
 * memfd_wait_for_pins).
 */
static bool seal(int memfd)
{
    enum { TRIES = 10 };
    int done = -1;
    for (int i = 0; i < TRIES && done != 0; i++) {
        done = fcntl(memfd, F_ADD_SEALS, SEALS);
        if (done != 0 && errno != EBUSY)
            return false;
    }
    return done == 0;
}

int snapshot_seal(struct span bytes)
{
    int memfd = memfd_create("sallyport-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0)
        return -1;
    if (!fill(memfd, bytes) || !seal(memfd)) {
        int why = errno;
        (void)close(memfd);
        errno = why;
        return -1;
    }
    return memfd;
}

enum err snapshot_send(int socket, int memfd, const struct snapshot_message *message)
{
    struct iovec iov = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
    union control control = { .bytes = { 0 } };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(memfd));
    memcpy(CMSG_DATA(head), &memfd, sizeof(memfd));
    if (memfd < 0) {
        msg.msg_control = NULL;
        msg.msg_controllen = 0;
    }

    ssize_t sent;
    do
        sent = sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)sizeof(*message))
        return OK;
    return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_BUSY : ERR_CLOSED;
}
