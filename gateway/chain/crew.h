/*
 * A crew: threads beside a worker's loop for work that would stall it. The loop comes first,
 * they take what it leaves.
 *
 * An errand is what a stage waits for meanwhile (struct op). A thread touches nothing but what
 * the errand leads to, and that outlives the transaction: who no longer waits does not wait for
 * the thread either. There is no lock: a thread of low priority that is interrupted while it
 * holds one would stop the loop for as long as others have work.
 *
 * The threads must be started before the sandbox closes.
 */
#ifndef SALLYPORT_CREW_H
#define SALLYPORT_CREW_H

#include "gateway/chain/op.h"

enum { CREW_THREADS_MAX = 4, CREW_STACK_BYTES = 512 * 1024 };

struct crew;

/* The sender's, from crew_send until the op is released. */
struct errand {
    struct op op; /* `release` is the sender's, and not NULL */
    /* On a thread, the `hand`th of the crew: sets `error` and `value`, with which the op ends.
     * One that was called off comes, too. */
    void (*run)(struct errand *errand, unsigned hand);
    enum err error;
    const void *value;
    struct errand *next;
    bool called_off; /* atomic */
};

struct crew_kind {
    const char *what;  /* they do: for the log */
    unsigned threads;  /* at most CREW_THREADS_MAX */
    unsigned capacity; /* errands that are sent and not back, at most */
    int nice;          /* 1 to 19 */
    bool idle;         /* they run only when nobody else wants to */
};

/* ERR_MEMORY, ERR_SYSTEM: logged. */
MUST_USE enum err crew_open(struct crew **out, struct worker *worker,
                            const struct crew_kind *kind);
/* Waits for the errands that are being run, at most one a thread; others are dropped. No op may
 * be waited for. */
void crew_close(struct crew *crew);

/* `run` and `op.release` are set; the rest is made here. One that is abandoned is called off.
 */
void crew_send(struct crew *crew, struct errand *errand);

/* Nobody waits any more: what is left of it may be left out. */
static inline bool errand_called_off(const struct errand *errand)
{
    return __atomic_load_n(&errand->called_off, __ATOMIC_RELAXED);
}

#endif
