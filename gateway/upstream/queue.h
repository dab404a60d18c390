/*
 * The order in which requests that wait for a server go to it: start-time fair queueing, so
 * that a client with many of them waits behind a client with one. Each has a turn: that of the
 * client's last one and 1, but none before the turn that is being served. The lowest goes
 * first, of equal ones the one that came first. In a full queue a lower turn takes the place of
 * the highest.
 *
 * Clients that meet in one row of the table count as one; their hashes have a random key.
 */
#ifndef SALLYPORT_QUEUE_H
#define SALLYPORT_QUEUE_H

#include "gateway/base/base.h"

enum { QUEUE_CLIENTS = 1024 };

struct waiter {
    struct waiter *prev, *next;
    uint64_t client, turn;
};

/* Zeroed: empty. */
struct wait_queue {
    struct waiter *first, *last; /* by turn */
    unsigned count;
    uint64_t served; /* the turn of who was served last */
    uint64_t turns[QUEUE_CLIENTS];
};

/* False: it is full of turns that are no higher. `*displaced` is who lost its place, or NULL.
 */
MUST_USE bool queue_enter(struct wait_queue *queue, struct waiter *waiter, uint64_t limit,
                          struct waiter **displaced);
/* Takes it out: it is its turn. */
void queue_serve(struct wait_queue *queue, struct waiter *waiter);
/* Takes it out: it no longer waits. */
void queue_leave(struct wait_queue *queue, struct waiter *waiter);

#endif
