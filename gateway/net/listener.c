/*
 * Accepting connections, and the caps per address.
 */
#include "gateway/net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/net/share.h"

/* ---- caps per address ---- */

/* NULL: not counted, as there is no cap or no network address. */
static uint16_t *bucket_of(struct peer_cap *cap, const struct addr *addr)
{
    struct addr client;
    if (cap->counts == NULL || cap->per_address == 0 || !addr_subscriber(addr, &client))
        return NULL;
    uint8_t key[sizeof(client.bytes) + 1];
    memcpy(key, client.bytes, sizeof(client.bytes));
    key[sizeof(client.bytes)] = client.family;
    return cap->counts->rows[siphash(&cap->key, key, sizeof(key)) % PEER_BUCKETS];
}

void peer_cap_open(struct peer_cap *cap)
{
    INVARIANT(cap->row < PEER_WORKERS);
    if (cap->counts == NULL ||
        __atomic_exchange_n(&cap->counts->used[cap->row], 1, __ATOMIC_RELAXED) == 0)
        return;
    for (size_t i = 0; i < PEER_BUCKETS; i++)
        __atomic_store_n(&cap->counts->rows[i][cap->row], 0, __ATOMIC_RELAXED);
}

bool peer_cap_enter(struct peer_cap *cap, const struct addr *addr)
{
    uint16_t *bucket = bucket_of(cap, addr);
    if (bucket == NULL)
        return true;
    /* Counted before it is looked at, so that two workers at once cannot both pass the cap. */
    uint16_t *own = &bucket[cap->row];
    uint16_t count = __atomic_load_n(own, __ATOMIC_RELAXED);
    if (count == UINT16_MAX)
        return false;
    __atomic_store_n(own, (uint16_t)(count + 1), __ATOMIC_SEQ_CST);
    unsigned sum = 0;
    for (size_t i = 0; i < PEER_WORKERS; i++)
        sum += __atomic_load_n(&bucket[i], __ATOMIC_SEQ_CST);
    if (sum <= cap->per_address)
        return true;
    __atomic_store_n(own, count, __ATOMIC_RELAXED);
    return false;
}

void peer_cap_leave(struct peer_cap *cap, const struct addr *addr)
{
    uint16_t *bucket = bucket_of(cap, addr);
    if (bucket == NULL)
        return;
    uint16_t count = __atomic_load_n(&bucket[cap->row], __ATOMIC_RELAXED);
    if (count > 0) /* another process may have spoilt the table: that ends no worker */
        __atomic_store_n(&bucket[cap->row], (uint16_t)(count - 1), __ATOMIC_RELAXED);
}

/* ---- accepting ---- */

/* Level-triggered, the loop would come back at once, and at full speed. */
static void pause_accepting(struct listener *listener, int error)
{
    log_warn(
        "accepting pauses: out of descriptors or memory; raise the limit or cap connections",
        F_ERRNO(error), F_INT("connections", listener->worker->connections));
    loop_remove(&listener->worker->loop, &listener->watch);
    timer_set(&listener->worker->loop, &listener->pause, LISTENER_PAUSE_MS);
}

static void resume_accepting(struct timer *timer)
{
    struct listener *listener = CONTAINER(timer, struct listener, pause);
    struct loop *loop = &listener->worker->loop;
    if (loop_add(loop, &listener->watch, listener->fd, EPOLLIN | EPOLLEXCLUSIVE) != OK)
        timer_set(loop, &listener->pause, LISTENER_PAUSE_MS);
}

/* A connection that broke before it was accepted; accept(2) reports its network errors, too. */
static bool lost_before_accept(int error)
{
    static const int errors[] = { ECONNABORTED, EINTR,       EPROTO,    ENETDOWN,
                                  ENOPROTOOPT,  EHOSTDOWN,   ENONET,    EHOSTUNREACH,
                                  EOPNOTSUPP,   ENETUNREACH, ETIMEDOUT, EPERM };
    for (size_t i = 0; i < ARRAY_LEN(errors); i++)
        if (errors[i] == error)
            return true;
    return false;
}

static void on_connections(struct watch *watch, uint32_t events)
{
    struct listener *listener = CONTAINER(watch, struct listener, watch);
    (void)events;
    /* `accepted` may close the listener, and then the watch is out of the loop. */
    int most = worker_contended(listener->worker) ? LISTENER_BATCH_SHORT : LISTENER_BATCH;
    for (int i = 0; i < most && listener->watch.fd >= 0; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        memset(&from, 0, sizeof(from));
        int fd =
            accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct addr peer;
            addr_from_sockaddr(&peer, (const struct sockaddr *)&from);
            listener->accepted(listener, fd, &peer);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!lost_before_accept(errno)) {
            pause_accepting(listener, errno);
            return;
        }
    }
}

enum err listener_open(struct listener *listener, struct worker *worker, int fd)
{
    listener->worker = worker;
    listener->fd = fd;
    listener->watch = (struct watch){ .fd = -1, .on_event = on_connections };
    listener->pause = (struct timer){ .fire = resume_accepting };
    /* Connections inherit it: one call instead of one each. A unix socket has none. */
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 && errno == EBADF)
        return ERR_SYSTEM;
    return loop_add(&worker->loop, &listener->watch, fd, EPOLLIN | EPOLLEXCLUSIVE);
}

void listener_close(struct listener *listener)
{
    if (listener->worker == NULL)
        return;
    loop_remove(&listener->worker->loop, &listener->watch);
    timer_remove(&listener->worker->loop, &listener->pause);
}
