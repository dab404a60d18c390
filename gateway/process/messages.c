/*
 * Messages between processes: one packet each, checked whole before anybody looks at a field.
 * The receiving side is more privileged than the sending one, so nothing is taken on trust:
 * size, kind, the name's end, the address family and the number of descriptors.
 */
#include "gateway/process/messages.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define BY(role) (1u << (role))

struct message_row {
    unsigned senders;
    unsigned fds_min, fds_max;
};

/* Everything that may ever be asked, by whom, and with how many descriptors. */
static const struct message_row message_rows[MESSAGE_KINDS] = {
    [MESSAGE_BIND] = { BY(ROLE_GENERATION), 0, 0 },
    [MESSAGE_MEMORY] = { BY(ROLE_GENERATION), 0, 0 },
    [MESSAGE_RECORDER] = { BY(ROLE_GENERATION), 1, 1 },
    [MESSAGE_WRITTEN] = { BY(ROLE_GENERATION), 0, 0 },
    [MESSAGE_STEWARD] = { BY(ROLE_GENERATION), 1, 1 },
    [MESSAGE_WORKER] = { BY(ROLE_GENERATION) | BY(ROLE_MASTER), 1, 1 },
    [MESSAGE_WORKER_GONE] = { BY(ROLE_GENERATION) | BY(ROLE_MASTER), 0, 0 },
    [MESSAGE_LOADING] = { BY(ROLE_GENERATION), 0, 0 },
    [MESSAGE_READY] = { BY(ROLE_GENERATION) | BY(ROLE_MASTER), 0, 0 },
    [MESSAGE_REFUSED] = { BY(ROLE_GENERATION), 1, 1 },
    [MESSAGE_ANSWER] = { BY(ROLE_MASTER), 0, 1 },
    [MESSAGE_RETIRE] = { BY(ROLE_MASTER), 0, 0 },
    [MESSAGE_RELOAD] = { BY(ROLE_STEWARD) | BY(ROLE_GENERATION), 0, 0 },
    [MESSAGE_UPGRADE] = { BY(ROLE_STEWARD), 0, 0 },
    [MESSAGE_STOP] = { BY(ROLE_STEWARD), 0, 0 },
    [MESSAGE_OUTCOME] = { BY(ROLE_MASTER), 0, 1 },
};

bool message_allowed(uint32_t kind, enum role sender)
{
    return kind < MESSAGE_KINDS && (message_rows[kind].senders & BY(sender)) != 0;
}

/* Room for the descriptors of one message, aligned as cmsg wants it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
};

enum err message_send(int socket, const struct message *message, const int *fds,
                      unsigned fd_count)
{
    INVARIANT(message->kind != MESSAGE_NONE && message->kind < MESSAGE_KINDS);
    const struct message_row *row = &message_rows[message->kind];
    INVARIANT(fd_count >= row->fds_min && fd_count <= row->fds_max);

    struct iovec iov = { .iov_base = (void *)message, .iov_len = sizeof(*message) };
    union control control = { .bytes = { 0 } };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    if (fd_count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, fd_count * sizeof(int));
    }

    ssize_t sent;
    do
        sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)sizeof(*message))
        return OK;
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
        return ERR_CLOSED;
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return ERR_BUSY;
    return ERR_SYSTEM;
}

/* What came beside the message; more than fit were closed by the kernel, which MSG_CTRUNC
 * tells. */
static unsigned take_fds(struct msghdr *msg, int fds[MESSAGE_FDS_MAX])
{
    unsigned count = 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL;
         head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (count < MESSAGE_FDS_MAX)
                fds[count++] = fd;
            else
                (void)close(fd);
        }
    }
    return count;
}

static bool well_formed(const struct message *message, const struct msghdr *msg, ssize_t got,
                        unsigned fd_count)
{
    if (got != (ssize_t)sizeof(*message) || (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return false;
    if (message->kind == MESSAGE_NONE || message->kind >= MESSAGE_KINDS)
        return false;
    if (memchr(message->name, '\0', sizeof(message->name)) == NULL)
        return false;
    if (message->addr.family > ADDR_UNIX)
        return false;
    const struct message_row *row = &message_rows[message->kind];
    return fd_count >= row->fds_min && fd_count <= row->fds_max;
}

enum err message_receive(int socket, struct message *message, int fds[MESSAGE_FDS_MAX],
                         unsigned *fd_count)
{
    struct iovec iov = { .iov_base = message, .iov_len = sizeof(*message) };
    union control control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    *fd_count = 0;

    ssize_t got;
    do
        got = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return ERR_BUSY;
    if (got < 0 && errno != ECONNRESET)
        return ERR_SYSTEM;
    if (got <= 0)
        return ERR_CLOSED;

    unsigned count = take_fds(&msg, fds);
    if (well_formed(message, &msg, got, count)) {
        *fd_count = count;
        return OK;
    }
    for (unsigned i = 0; i < count; i++)
        (void)close(fds[i]);
    return ERR_PROTOCOL;
}
