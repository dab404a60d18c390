/*
 * Operations in flight: something that a stage waits for. Embedded first in the client's own
 * struct and owned by that client, never by the transaction.
 *
 * 1. Completion posts to the run queue; it never resumes on the caller's stack.
 * 2. An op may finish before anybody waits.
 * 3. A transaction may go at any time: the op is cut loose, told by `abandon`, and a late
 * answer is dropped.
 * 4. The answer is copied to the waiter's arena (op_arena) before the post.
 * 5. Only wait_for and wait_behind make ACTION_WAIT; the runner asserts it.
 * 6. Timeouts belong to the waiter, never to the connection that serves many.
 */
#ifndef SALLYPORT_OP_H
#define SALLYPORT_OP_H

#include "gateway/chain/stage.h"
#include "gateway/net/loop.h"

struct await;

struct op {
    struct await *waiter; /* NULL: nobody waits (yet, or any more) */
    bool finished, abandoned;
    bool untimed; /* the stage's own work, done elsewhere: its deadline is for others' */
    enum err error;
    const void *value; /* in the waiter's arena, or constant */
    /* The waiter is gone before the op was finished: free it, or let it run on. May be NULL. */
    void (*abandon)(struct op *op);
    /* The answer was taken or dropped: the last that the chain knows of it. May be NULL. */
    void (*release)(struct op *op);
};

/* At most one per transaction, embedded in it. */
struct await {
    struct op *op; /* NULL: it waits for the turn's events to be over */
    stage_fn *resume;
    struct task wake;
    struct timer deadline;
    uint64_t deadline_ms; /* of this stage in this phase, from its first wait on; 0: it has not
                             waited */
    bool expired;
};

void op_init(struct op *op);
/* The arena of whoever waits, or NULL: then there is nobody to answer. */
struct arena *op_arena(struct op *op);
/* Once per op. Posts the waiter; without one, the result stays until wait_for asks. */
void op_finish(struct op *op, struct worker *worker, enum err error, const void *value);
/* Cuts waiter and op apart (rule 3). Idempotent; the op may be freed on the way. */
void await_cut(struct await *await);

#endif
