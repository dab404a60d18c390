/*
 * Listening sockets in a worker: accepts, and holds the caps on connections in all and per
 * address. The sockets are shared by all workers (EPOLLEXCLUSIVE). When descriptors run out,
 * accepting pauses for LISTENER_PAUSE_MS instead of spinning.
 *
 * Per address means IPv4 /32 and IPv6 /64. The count of all workers together is held in shared
 * memory, one row of counters per worker, so that a worker that dies takes its counts along.
 */
#ifndef SALLYPORT_LISTENER_H
#define SALLYPORT_LISTENER_H

#include "gateway/base/addrlist.h"
#include "gateway/base/siphash.h"
#include "gateway/net/worker.h"

enum { LISTENER_PAUSE_MS = 100, LISTENER_BATCH = 16, LISTENER_BATCH_SHORT = 4 };
enum { PEER_BUCKETS = 1 << 15, PEER_WORKERS = 64, PEERS_LAYOUT = 2 };

/*
 * Shared memory; zeroed at birth. Row i is counter i of every bucket, and belongs to worker
 * slot i: the counters of one bucket lie together, because they are added up at every
 * connection.
 */
struct peer_counts {
    uint16_t rows[PEER_BUCKETS][PEER_WORKERS];
    /* By row: it has had an owner, who may have left counts. One that never had is not cleared:
     * that would touch all of the memory at each start. */
    uint8_t used[PEER_WORKERS];
};

struct peer_cap {
    struct peer_counts *counts; /* NULL: no cap per address */
    struct siphash_key key;     /* the same in all workers */
    unsigned row;               /* this worker's; cleared by peer_cap_open */
    unsigned per_address;       /* 0: no cap */
};

void peer_cap_open(struct peer_cap *cap);
/* False when the address is at its cap; else counted until peer_cap_leave. */
bool peer_cap_enter(struct peer_cap *cap, const struct addr *addr);
void peer_cap_leave(struct peer_cap *cap, const struct addr *addr);

/* Why a connection came to nothing. */
enum connection_kind { CONNECTION_REFUSED, CONNECTION_TLS_FAILED };
struct connection_fault {
    enum connection_kind kind;
    struct addr peer;
    const char *reason;   /* slug */
    const char *detail;   /* constant text, or NULL */
    struct span sni;      /* as far as it was heard */
    struct list_hit list; /* address list that denied it, or empty */
};

struct listener {
    struct watch watch;
    struct timer pause;
    struct worker *worker;
    int fd; /* the caller's */
    bool tls, proxy_protocol;
    /* `fd` is non-blocking, close-on-exec, TCP_NODELAY; the callee owns it. */
    void (*accepted)(struct listener *listener, int fd, const struct addr *peer);
};

/* The caller sets `accepted` and what it wants of the rest before. */
MUST_USE enum err listener_open(struct listener *listener, struct worker *worker, int fd);
/* Leaves the shared socket open for the others. */
void listener_close(struct listener *listener);

#endif
