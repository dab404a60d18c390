/*
 * Messages between processes, as a process that was taken over might send them: any bytes with
 * any number of descriptors. What is taken is whole: its size, its kind, a name that ends, a
 * known address family, as many descriptors as its kind has; all others cost nothing, not even
 * a descriptor. Input: the first byte picks the number of descriptors.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/process/messages.h"

enum { FDS_SENT_MAX = 4 };

static void send_raw(int socket, const uint8_t *data, size_t size, unsigned count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_SENT_MAX * sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int fds[FDS_SENT_MAX] = { 0, 0, 0, 0 };

    if (count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, count * sizeof(int));
    }
    INVARIANT(sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The lowest free descriptor: the same before and after, or one was lost. */
static int lowest_free(void)
{
    int fd = dup(0);

    INVARIANT(fd >= 0);
    (void)close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int pair[2] = { -1, -1 };
    struct message message;
    int fds[MESSAGE_FDS_MAX];
    unsigned count = 0;

    if (size < 2 || size > 2 * sizeof message)
        return 0;
    if (pair[0] < 0)
        INVARIANT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) ==
                  0);
    unsigned sent = data[0] % (FDS_SENT_MAX + 1);
    int before = lowest_free();
    send_raw(pair[0], data + 1, size - 1, sent);
    enum err err = message_receive(pair[1], &message, fds, &count);
    INVARIANT(err == OK || (err == ERR_PROTOCOL && count == 0));
    if (err == OK) {
        INVARIANT(size - 1 == sizeof message && memcmp(&message, data + 1, size - 1) == 0);
        INVARIANT(message.kind > MESSAGE_NONE && message.kind < MESSAGE_KINDS);
        INVARIANT(memchr(message.name, '\0', sizeof message.name) != NULL);
        INVARIANT(message.addr.family <= ADDR_UNIX && count == sent);
        /* Somebody may send it: otherwise it would be in the table for nothing. */
        bool anybody = false;
        for (enum role role = ROLE_MASTER; role < ROLE_COUNT; role++)
            anybody |= message_allowed(message.kind, role);
        INVARIANT(anybody);
    }
    for (unsigned i = 0; i < count; i++)
        (void)close(fds[i]);
    INVARIANT(lowest_free() == before);
    return 0;
}
