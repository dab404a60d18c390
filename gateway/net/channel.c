/*
 * Channels: see channel.h. The wire buffer belongs to the worker and is empty between events;
 * what the kernel does not take is copied to slabs, in order, and goes out when EPOLLOUT says
 * so.
 */
#include "gateway/net/channel.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/net/cork.h"
#include "gateway/net/share.h"

/*
 * A record costs as much as many bytes, however small it is: a read full of the smallest would
 * take milliseconds. Much is read at once only after records that were large.
 */
enum {
    READ_RECORDS = 4096,
    READ_RECORDS_CONTENDED = 2048,
    READ_CONTENDED = 17 * 1024,
    BULKY_RECORD = 1024
};

static void on_event(struct watch *watch, uint32_t events);

static uint32_t wanted_events(const struct channel *ch)
{
    uint32_t events = (ch->reading ? (uint32_t)EPOLLIN : 0) |
                      (ch->connecting || ch->unsent > 0 ? (uint32_t)EPOLLOUT : 0);

    /* A hang-up is reported whatever is asked for: level-triggered, it would be so at once. */
    return events == 0 && ch->hung && !ch->failed ? (uint32_t)EPOLLET : events;
}

static void ask_events(struct channel *ch)
{
    if (ch->watch.fd >= 0)
        loop_change(&ch->worker->loop, &ch->watch, wanted_events(ch));
}

/* The loop will see the hang-up and tell `broken`: nothing is told from inside a write. */
static void give_up(struct channel *ch)
{
    if (ch->failed)
        return;
    ch->failed = true;
    if (ch->watch.fd < 0)
        return;
    (void)shutdown(ch->watch.fd, SHUT_RDWR);
    ask_events(ch);
}

static void drop_unsent(struct channel *ch)
{
    while (ch->head != NULL) {
        struct unsent *next = ch->head->next;
        slab_put(ch->slabs, ch->head);
        ch->head = next;
    }
    ch->tail = NULL;
    ch->unsent = 0;
}

static void keep_unsent(struct channel *ch, struct span bytes)
{
    while (bytes.len > 0) {
        struct unsent *tail = ch->tail;
        if (tail == NULL || tail->to == sizeof tail->bytes) {
            tail = slab_get(ch->slabs);
            if (tail == NULL) {
                give_up(ch);
                return;
            }
            tail->next = NULL;
            tail->from = tail->to = 0;
            if (ch->tail != NULL)
                ch->tail->next = tail;
            else
                ch->head = tail;
            ch->tail = tail;
        }
        size_t room = sizeof tail->bytes - tail->to;
        size_t n = bytes.len < room ? bytes.len : room;
        memcpy(tail->bytes + tail->to, bytes.p, n);
        tail->to += (uint32_t)n;
        ch->unsent += n;
        bytes = span_of(bytes.p + n, bytes.len - n);
    }
    ask_events(ch);
}

/* Bytes that the kernel took; 0 when it would block; negative after a failure. */
static ssize_t send_parts(struct channel *ch, struct iovec *parts, size_t count)
{
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
    ssize_t n = count == 1
                    ? send(ch->watch.fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                    : sendmsg(ch->watch.fd, &message, MSG_NOSIGNAL);
    if (n >= 0) {
        ch->sent += (uint64_t)n;
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return 0;
    give_up(ch);
    return -1;
}

/* Sends both spans in order; what is not taken waits. */
static void send_raw(struct channel *ch, struct span first, struct span second)
{
    if (ch->failed)
        return;
    if (ch->unsent > 0) {
        keep_unsent(ch, first);
        keep_unsent(ch, second);
        return;
    }
    struct iovec parts[2] = { { (void *)(uintptr_t)first.p, first.len },
                              { (void *)(uintptr_t)second.p, second.len } };
    ssize_t n = first.len == 0 ? send_parts(ch, parts + 1, 1)
                               : send_parts(ch, parts, second.len == 0 ? 1 : 2);
    if (n < 0)
        return;
    size_t taken = (size_t)n;
    if (taken < first.len) {
        keep_unsent(ch, span_of(first.p + taken, first.len - taken));
        taken = first.len;
    }
    taken -= first.len;
    if (taken < second.len)
        keep_unsent(ch, span_of(second.p + taken, second.len - taken));
}

/* OpenSSL's output: gathered in the worker's wire buffer, which is sent when the call into TLS
 * is over. */
static void take_cipher(void *owner, struct span cipher)
{
    struct channel *ch = owner;
    struct worker *worker = ch->worker;

    if (cipher.len > CORK_BYTES - worker->wire_len) {
        send_raw(ch, span_of(worker->wire, worker->wire_len), cipher);
        worker->wire_len = 0;
        return;
    }
    memcpy(worker->wire + worker->wire_len, cipher.p, cipher.len);
    worker->wire_len += cipher.len;
}

static void send_wire(struct channel *ch)
{
    struct worker *worker = ch->worker;

    if (worker->wire_len == 0)
        return;
    send_raw(ch, span_of(worker->wire, worker->wire_len), span_of(NULL, 0));
    worker->wire_len = 0;
}

void channel_send(struct channel *ch, struct span first, struct span second)
{
    if (ch->failed || (first.len == 0 && second.len == 0))
        return;
    if (ch->tls == NULL) {
        send_raw(ch, first, second);
        return;
    }
    if ((first.len > 0 && tls_write(ch->tls, first) != OK) ||
        (second.len > 0 && tls_write(ch->tls, second) != OK))
        give_up(ch);
    send_wire(ch);
}

uint64_t channel_delivered(const struct channel *ch)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (getsockopt(ch->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked)
        return ch->sent; /* a Unix socket */
    return info.tcpi_bytes_acked;
}

void channel_shut(struct channel *ch)
{
    channel_flush(ch);
    if (ch->shut || ch->failed || ch->watch.fd < 0)
        return;
    ch->shut = true;
    if (ch->tls != NULL) {
        tls_shutdown(ch->tls);
        send_wire(ch);
    }
    if (ch->unsent == 0 && !ch->failed)
        (void)shutdown(ch->watch.fd, SHUT_WR);
}

void channel_reading(struct channel *ch, bool on)
{
    if (ch->reading == on)
        return;
    ch->reading = on;
    ask_events(ch);
}

static ssize_t receive(struct channel *ch, char *buffer, size_t size)
{
    ssize_t n = recv(ch->watch.fd, buffer, size, 0);
    if (n > 0) {
        ch->received += (uint64_t)n;
        return n;
    }
    if (n == 0) {
        ch->eof = true;
        return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return CHANNEL_AGAIN;
    ch->failed = true;
    return CHANNEL_FAILED;
}

/* Of ciphertext, in one read. */
static size_t most_of(const struct channel *ch, size_t wire)
{
    bool contended = worker_contended(ch->worker);
    size_t most = contended ? READ_RECORDS_CONTENDED : READ_RECORDS;

    if (ch->bulky)
        most = contended ? READ_CONTENDED : CIPHER_BYTES;
    return wire < most ? wire : most;
}

static ssize_t receive_tls(struct channel *ch, char *buffer, size_t size, size_t wire)
{
    INVARIANT(size >= CHANNEL_READ_MIN);
    uint64_t records = tls_records(ch->tls);
    ssize_t n = receive(ch, ch->worker->cipher, most_of(ch, wire));
    if (n == 0) {
        /* No close_notify: an attacker may have cut the stream here, so it is no clean end. */
        ch->failed = true;
        return CHANNEL_FAILED;
    }
    if (n < 0)
        return n;

    tls_input(ch->tls, span_of(ch->worker->cipher, (size_t)n));
    size_t got = 0;
    ssize_t plain = TLS_AGAIN;
    while (got < size && (plain = tls_read(ch->tls, buffer + got, size - got)) > 0)
        got += (size_t)plain;
    /* Records of one read always fit: plain text is never longer than its records and what was
     * left of one. */
    INVARIANT(plain <= 0);
    send_wire(ch);
    records = tls_records(ch->tls) - records;
    ch->bulky = (size_t)n >= READ_RECORDS_CONTENDED && (size_t)n >= records * BULKY_RECORD;
    if (plain == 0)
        ch->eof = true;
    if (plain == TLS_FAILED)
        give_up(ch);
    if (got > 0)
        return (ssize_t)got;
    if (ch->eof)
        return 0;
    return plain == TLS_FAILED ? CHANNEL_FAILED : CHANNEL_AGAIN;
}

ssize_t channel_read_some(struct channel *ch, char *buffer, size_t size, size_t wire)
{
    if (ch->failed || ch->watch.fd < 0)
        return CHANNEL_FAILED;
    if (ch->eof)
        return 0;
    if (ch->tls != NULL)
        return receive_tls(ch, buffer, size, wire);
    return receive(ch, buffer, size < wire ? size : wire);
}

ssize_t channel_read(struct channel *ch, char *buffer, size_t size)
{
    return channel_read_some(ch, buffer, size, SIZE_MAX);
}

static void send_unsent(struct channel *ch)
{
    while (ch->head != NULL) {
        struct unsent *head = ch->head;
        struct iovec part = { head->bytes + head->from, head->to - head->from };
        ssize_t n = send_parts(ch, &part, 1);
        if (n <= 0)
            return;
        head->from += (uint32_t)n;
        ch->unsent -= (size_t)n;
        if (head->from < head->to)
            return;
        ch->head = head->next;
        if (ch->head == NULL)
            ch->tail = NULL;
        slab_put(ch->slabs, head);
    }
    ask_events(ch);
    if (ch->shut)
        (void)shutdown(ch->watch.fd, SHUT_WR);
}

/* A connect is under way: first the socket's, then the TLS handshake of a client. */
static void on_connecting(struct channel *ch, uint32_t events)
{
    if (ch->received == 0 && ch->sent == 0) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(ch->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
            ch->failed = true;
            ch->events->broken(ch);
            return;
        }
        if (ch->tls != NULL) {
            enum err err = tls_start(ch->tls);
            send_wire(ch);
            ch->reading = true;
            loop_change(&ch->worker->loop, &ch->watch, EPOLLIN);
            /* A first flight that a fresh socket does not take is a socket that is not worth
             * having. */
            if (err != OK || ch->unsent > 0)
                give_up(ch);
            return;
        }
    } else if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        /* Data before our request would be an answer that nobody asked for. */
        ssize_t n = channel_read(ch, ch->worker->scratch, SCRATCH_BYTES);
        if (n != CHANNEL_AGAIN) {
            ch->failed = true;
            ch->events->broken(ch);
            return;
        }
        if (!tls_info(ch->tls)->established)
            return;
    } else {
        return;
    }
    ch->connecting = false;
    ch->reading = true;
    ask_events(ch);
    ch->events->drained(ch);
}

static void dispatch(struct channel *ch, uint32_t events)
{
    if (ch->connecting && !ch->failed) {
        on_connecting(ch, events);
        return;
    }
    if ((events & EPOLLOUT) && ch->unsent > 0) {
        send_unsent(ch);
        if (ch->unsent == 0 && !ch->failed) {
            ch->events->drained(ch);
            return; /* level-triggered: what else there is comes again */
        }
    }
    if (ch->failed || ((events & EPOLLERR) && !ch->reading)) {
        ch->failed = true;
        ch->events->broken(ch);
        return;
    }
    if (!ch->reading && (events & EPOLLHUP)) {
        ch->hung = true; /* ended in order: what it said before is read when we go on */
        ask_events(ch);
        return;
    }
    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        ch->events->readable(ch);
}

/* Level-triggered: what has no time in this turn comes again in the next. */
static void on_event(struct watch *watch, uint32_t events)
{
    struct channel *ch = CONTAINER(watch, struct channel, watch);
    struct worker *worker = ch->worker;
    struct client_share *share = client_of_slabs(worker, ch->slabs);
    uint64_t began_ns;

    if (!client_turn_enter(worker, share, &began_ns) && (watch->events & EPOLLET) == 0)
        return;
    dispatch(ch, events); /* the channel may be gone behind this */
    client_turn_leave(share, began_ns);
    worker_flush(worker); /* what others wrote is not this client's time */
}

enum err channel_open(struct channel *ch, struct worker *worker, int fd, struct tls *tls,
                      const struct channel_events *events)
{
    *ch = (struct channel){
        .worker = worker, .slabs = &worker->slabs, .events = events, .reading = true
    };
    ch->watch.fd = -1;
    ch->watch.on_event = on_event;
    if (tls != NULL)
        channel_secure(ch, tls);
    enum err err = loop_add(&worker->loop, &ch->watch, fd, EPOLLIN);
    if (err != OK) {
        (void)close(fd);
        channel_close(ch);
    }
    return err;
}

void channel_secure(struct channel *ch, struct tls *tls)
{
    ch->tls = tls;
    tls_output(tls, (struct tls_output){ .write = take_cipher, .owner = ch });
}

static int connect_start(const struct addr *addr, struct span unix_path)
{
    struct sockaddr_storage storage = { 0 };
    socklen_t len;
    int family;

    if (addr->family == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)(void *)&storage;
        if (unix_path.len >= sizeof un->sun_path)
            return -1;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, unix_path.p, unix_path.len);
        len = sizeof *un;
        family = AF_UNIX;
    } else {
        len = addr_to_sockaddr(addr, (struct sockaddr *)(void *)&storage);
        family = addr->family == ADDR_V4 ? AF_INET : AF_INET6;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    if (family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)(void *)&storage, len) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

enum err channel_connect(struct channel *ch, struct worker *worker, const struct addr *addr,
                         struct span unix_path, struct tls *tls,
                         const struct channel_events *events)
{
    *ch = (struct channel){
        .worker = worker, .slabs = &worker->slabs, .events = events, .connecting = true
    };
    ch->watch.fd = -1;
    ch->watch.on_event = on_event;
    if (tls != NULL)
        channel_secure(ch, tls);
    int fd = connect_start(addr, unix_path);
    enum err err = fd < 0 ? ERR_CONNECT : loop_add(&worker->loop, &ch->watch, fd, EPOLLOUT);
    if (err != OK) {
        if (fd >= 0)
            (void)close(fd);
        channel_close(ch);
    }
    return err;
}

enum err channel_move(struct channel *to, struct channel *from,
                      const struct channel_events *events)
{
    struct worker *worker = from->worker;
    int fd = from->watch.fd;

    channel_flush(from);
    loop_remove(&worker->loop, &from->watch);
    *to = *from;
    to->events = events;
    to->watch = (struct watch){ .fd = -1, .on_event = on_event };
    *from = (struct channel){
        .worker = worker, .slabs = from->slabs, .watch = { .fd = -1 }, .failed = true
    };
    if (to->tls != NULL)
        tls_output(to->tls, (struct tls_output){ .write = take_cipher, .owner = to });
    enum err err = loop_add(&worker->loop, &to->watch, fd, wanted_events(to));
    if (err != OK) {
        (void)close(fd);
        channel_close(to);
    }
    return err;
}

void channel_close(struct channel *ch)
{
    channel_flush(ch);
    if (ch->watch.fd >= 0) {
        int fd = ch->watch.fd;
        loop_remove(&ch->worker->loop, &ch->watch);
        ch->watch.fd = -1;
        (void)close(fd);
    }
    drop_unsent(ch);
    if (ch->tls != NULL)
        tls_free(ch->tls);
    ch->tls = NULL;
    ch->failed = true;
}

void channel_reset(struct channel *ch)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (ch->watch.fd >= 0)
        (void)setsockopt(ch->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    channel_close(ch);
}
