/* Names, by c-ares: see resolver.h. */
#include "gateway/net/resolver.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 32,
    TRY_MS = 2000,
    TRIES = 2,
    UDP_BYTES = 1232, /* what is not cut into fragments on the way (DNS flag day 2020) */
    CLASS_IN = 1,
};

struct link {
    struct watch watch;
    struct resolver *resolver;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct timer timer;
    struct link links[SOCKETS_MAX];
};

static void arm(struct resolver *resolver)
{
    struct timeval left, *due = ares_timeout(resolver->channel, NULL, &left);

    if (due == NULL)
        timer_clear(&resolver->timer);
    else
        timer_set(resolver->loop, &resolver->timer,
                  (uint64_t)due->tv_sec * 1000 + (uint64_t)due->tv_usec / 1000 + 1);
}

static void on_event(struct watch *watch, uint32_t events)
{
    struct resolver *resolver = CONTAINER(watch, struct link, watch)->resolver;
    uint32_t wrong = events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP);
    int fd = watch->fd;

    ares_process_fd(resolver->channel,
                    (events & EPOLLIN) != 0 || wrong != 0 ? fd : ARES_SOCKET_BAD,
                    (events & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
    arm(resolver);
}

static void on_timer(struct timer *timer)
{
    struct resolver *resolver = CONTAINER(timer, struct resolver, timer);

    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(resolver);
}

/* ---- sockets ---- */

static struct link *link_of(struct resolver *resolver, int fd)
{
    for (unsigned i = 0; i < SOCKETS_MAX; i++) {
        if (resolver->links[i].watch.fd == fd)
            return &resolver->links[i];
    }
    return NULL;
}

static void on_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = user;
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);
    struct link *link = link_of(resolver, fd);

    if (link == NULL && events != 0) {
        link = link_of(resolver, -1);
        /* Without a place it is not heard, and the question ends with its time. */
        if (link == NULL || loop_add(resolver->loop, &link->watch, fd, events) != OK)
            return;
    } else if (link != NULL && events != 0) {
        loop_change(resolver->loop, &link->watch, events);
    } else if (link != NULL) {
        loop_remove(resolver->loop, &link->watch);
        link->watch.fd = -1;
    }
}

/* Ours, so that no other calls are made than these. */
static ares_socket_t open_socket(int family, int type, int protocol, void *user)
{
    (void)user;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *user)
{
    struct resolver *resolver = user;
    struct link *link = link_of(resolver, fd);

    if (link != NULL) {
        loop_remove(resolver->loop, &link->watch);
        link->watch.fd = -1;
    }
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          void *user)
{
    (void)user;
    return connect(fd, to, len);
}

/* As c-ares wants it: NOLINTNEXTLINE(readability-function-size) */
static ares_ssize_t receive(ares_socket_t fd, void *to, size_t len, int flags,
                            struct sockaddr *from, ares_socklen_t *from_len, void *user)
{
    (void)user;
    return recvfrom(fd, to, len, flags, from, from_len);
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *pieces, int count,
                                void *user)
{
    struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)pieces,
                              .msg_iovlen = (size_t)count };

    (void)user;
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct ares_socket_functions socket_calls = {
    .asocket = open_socket,
    .aclose = close_socket,
    .aconnect = connect_socket,
    .arecvfrom = receive,
    .asendv = send_pieces,
};

/* ---- life ---- */

struct resolver *resolver_open(struct loop *loop, const char *servers)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    struct ares_options options = { .flags = ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
                                    .timeout = TRY_MS,
                                    .tries = TRIES,
                                    .ednspsz = UDP_BYTES,
                                    .sock_state_cb = on_state,
                                    .sock_state_cb_data = resolver };

    if (resolver == NULL)
        return NULL;
    resolver->loop = loop;
    resolver->timer.fire = on_timer;
    for (unsigned i = 0; i < SOCKETS_MAX; i++) {
        resolver->links[i].resolver = resolver;
        resolver->links[i].watch = (struct watch){ .fd = -1, .on_event = on_event };
    }
    if (ares_init_options(&resolver->channel, &options,
                          ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                              ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
        free(resolver);
        return NULL;
    }
    ares_set_socket_functions(resolver->channel, &socket_calls, resolver);
    if (servers[0] != '\0' &&
        ares_set_servers_ports_csv(resolver->channel, servers) != ARES_SUCCESS) {
        resolver_close(resolver);
        return NULL;
    }
    return resolver;
}

void resolver_close(struct resolver *resolver)
{
    ares_destroy(resolver->channel);
    timer_remove(resolver->loop, &resolver->timer);
    free(resolver);
}

/* ---- questions ---- */

static void on_answer(void *user, int status, int timeouts, unsigned char *bytes, int len)
{
    static struct dns_answer answer; /* large, and gone when the call returns */
    struct question *question = user;
    enum err err = ERR_TIMEOUT;

    (void)timeouts;
    answer.count = 0;
    answer.ttl = 0;
    if (status == ARES_SUCCESS)
        err = dns_parse(span_of((const char *)bytes, (size_t)len), question->type, &answer);
    else if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
        err = OK;
    else if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        err = ERR_CLOSED;
    else if (status == ARES_ENOMEM)
        err = ERR_MEMORY;
    else if (status != ARES_ETIMEOUT)
        err = ERR_PROTOCOL;
    question->done(question, err, &answer);
}

void resolver_ask(struct resolver *resolver, struct question *question, const char *name)
{
    ares_search(resolver->channel, name, CLASS_IN, (int)question->type, on_answer, question);
    arm(resolver);
}
