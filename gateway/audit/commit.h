/*
 * Waiting for the recorder, without stopping the loop: an answer that must be on record before
 * it is sent (`audit.durability: write` and `sync`), and requests that wait while records
 * cannot be written (`audit.on_full: block`).
 *
 * The recorder moves a ring's `tail` when what lies before it is in the file, and then signals
 * one eventfd that all workers watch edge-triggered and nobody reads. A timer stands by for
 * deadlines, and for a recorder that died between the two.
 */
#ifndef SALLYPORT_COMMIT_H
#define SALLYPORT_COMMIT_H

#include "gateway/audit/ring.h"
#include "gateway/net/worker.h"

struct commits;

/* Embedded in whoever waits; zeroed: does not wait. */
struct commit_wait {
    struct commit_wait *prev, *next;
    struct commits *commits; /* NULL: does not wait */
    uint64_t position;       /* of the ring; unused for those that are held */
    uint64_t deadline_ms;    /* 0: none */
    bool held;
    /* Once, from the loop. `written` false: the deadline came first. */
    void (*done)(struct commit_wait *wait, bool written);
};

struct commits {
    struct worker *worker;
    struct ring_writer *writer;
    struct watch watch;
    struct timer timer;
    struct commit_wait list; /* head; oldest first */
    uint64_t late;           /* deadlines that came first */
};

/* `written_fd`: the eventfd, or -1 (tests): then the timer alone looks. */
MUST_USE enum err commits_open(struct commits *commits, struct worker *worker,
                               struct ring_writer *writer, int written_fd);
/* Until all that this worker has committed is written, at most `within_ms` (0: as long as it
 * takes). */
void commit_wait(struct commits *commits, struct commit_wait *wait, uint64_t within_ms);
/* Until the recorder no longer asks to hold requests. */
void commit_hold(struct commits *commits, struct commit_wait *wait);
/* Idempotent: before the memory of `wait` goes. `done` is not called. */
void commit_cancel(struct commit_wait *wait);

#endif
