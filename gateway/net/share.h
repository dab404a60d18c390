/*
 * What one client may take of a worker's memory: nobody who opens many connections, asks for
 * much and takes nothing keeps others out. A client is an IPv4 address or an IPv6 /64; peers
 * that are trusted proxies speak for many and have no share, nor have Unix sockets.
 *
 * Clients that meet in one row of the table have one share together; the key of the hash is
 * random, so that nobody can choose whom to meet.
 */
#ifndef SALLYPORT_SHARE_H
#define SALLYPORT_SHARE_H

#include "gateway/base/addr.h"
#include "gateway/net/worker.h"

/* NULL: it has none, and is bounded by what the worker has. */
struct client_share *client_share_of(struct worker *worker, const struct addr *client);
/* Where a client's slabs come from; `share` may be NULL. */
static inline struct slab_pool *client_slabs(struct worker *worker, struct client_share *share)
{
    return share != NULL && worker->share_slabs > 0 ? &share->slabs : &worker->slabs;
}
/* It has so many slabs that what it has begun may need the rest: nothing new is begun. */
bool client_share_spent(const struct worker *worker, const struct client_share *share);

/*
 * Time is shared, too. While several clients have work, each may use TURN_NS of one turn of the
 * loop; what is left of its work waits for the next, so that a request of somebody else never
 * waits behind all that one client has sent. What cannot be divided may take longer (a
 * handshake of TLS): after OVERRUN_NS the next turn is the others' alone, so that what has come
 * meanwhile goes first. Nobody is slowed down who is alone.
 */
enum { TURN_NS = 100 * 1000, OVERRUN_NS = 2 * TURN_NS, CONTENDED_MS = 1000 };

/* Whether what is done for one client at once is to be kept short. */
static inline bool worker_contended(const struct worker *worker)
{
    return worker->contended_ms != 0 &&
           clock_ms(&worker->loop.clock) - worker->contended_ms < CONTENDED_MS;
}
/* False: it has had its time in this turn. Else `*began_ns` is for client_turn_leave. */
bool client_turn_enter(struct worker *worker, struct client_share *share, uint64_t *began_ns);
void client_turn_leave(struct client_share *share, uint64_t began_ns);
/*
 * A connection that had to be cut off for a flood cost more than one that is not let in: whose
 * connections did so OFFENCES_FREE times, and more often than once in OFFENCE_MS, opens no new
 * ones for a while. Those that are open go on. Of clients that meet in a row the last offender
 * is remembered: nobody is barred for another one.
 */
enum { OFFENCES_FREE = 32, OFFENCE_MS = 1000 };
void client_offended(struct worker *worker, const struct addr *client);
bool client_barred(struct worker *worker, const struct addr *client);

/* Whose pool that is; NULL: nobody's in particular. */
static inline struct client_share *client_of_slabs(struct worker *worker,
                                                   struct slab_pool *slabs)
{
    return slabs == &worker->slabs ? NULL : CONTAINER(slabs, struct client_share, slabs);
}

#endif
