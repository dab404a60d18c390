/*
 * The event loop of a process: epoll, level-triggered, each descriptor added once. Nothing
 * resumes on the stack of the event that caused it: completions are tasks, run after the events
 * of the turn. What an event has much to do for may wait until all events of its turn have been
 * read: work of one kind is then done together, in warm caches.
 *
 * Timers are lazy wheel entries: setting a later deadline is one store, and an entry that comes
 * up early is put back. Resolution is LOOP_TICK_MS; a timer fires at its deadline or up to one
 * tick later. `fire` may set, clear or remove any timer, its own included, and may free its
 * memory once removed.
 */
#ifndef SALLYPORT_LOOP_H
#define SALLYPORT_LOOP_H

#include <sys/epoll.h>

#include "gateway/base/clock.h"

enum { LOOP_TICK_MS = 16, LOOP_SLOTS = 2048, LOOP_BATCH = 128 };

struct watch {
    int fd;          /* -1: not in the loop */
    uint32_t events; /* as epoll has them */
    void (*on_event)(struct watch *watch, uint32_t events);
};

struct task {
    struct task *prev, *next; /* both NULL: not queued */
    void (*run)(struct task *task);
};

struct timer {
    struct timer *prev, *next;
    uint64_t deadline_ms; /* 0: off */
    uint64_t queued_ms;   /* where it stands in the wheel */
    void (*fire)(struct timer *timer);
};

struct loop {
    int epoll_fd;
    bool stopping;
    struct clock clock;                 /* read once a turn */
    int64_t wall_shift_us;              /* added to the wall clock: a replay's other time */
    struct task queue;                  /* list head */
    struct task behind;                 /* list head: behind the events, before the queue */
    uint64_t tasks_until_ns;            /* then those that work for long make room */
    bool rested;                        /* one of them has: the turn's other tasks wait */
    struct timer wheel[LOOP_SLOTS];     /* list heads */
    uint64_t occupied[LOOP_SLOTS / 64]; /* a clear bit: that slot is empty */
    uint64_t wheel_ms;                  /* up to here all slots have been looked at */
    size_t timers;                      /* entries in the wheel */
    /* Sends what events, timers and tasks have gathered: called behind a turn's events, before
     * the loop waits for some, and before tasks of which one worked for long in the turn
     * before. NULL: nothing is gathered. */
    void (*flush)(struct loop *loop);
    bool gathered; /* something is: set by who gathers, cleared by who flushes */
    struct epoll_event batch[LOOP_BATCH];
    int batch_count, batch_index;
    uint64_t turns;
};

MUST_USE enum err loop_init(struct loop *loop);
void loop_close(struct loop *loop);
/*
 * One turn: waits at most `wait_ms` (-1: as long as it takes), events, timers, what waits
 * behind the events, tasks. What events have gathered has gone before tasks look at it; what
 * comes behind goes with what the next events gather, or before the loop waits; of inspections
 * also before the tasks, while such are under way that work for long. Who stops turning
 * flushes.
 */
void loop_turn(struct loop *loop, int wait_ms);
/* Turns until loop->stopping. */
void loop_run(struct loop *loop);
/* Moves the clock forward to `now_ms` and runs what is due. A turn does this; so do tests of
 * timers. */
void loop_advance(struct loop *loop, uint64_t now_ms);

/* `events`: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLEXCLUSIVE. Errors are always reported. */
MUST_USE enum err loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch,
                 uint32_t events); /* no call if equal */
/* Whether an event of this turn is still to come for it. */
bool loop_pending(const struct loop *loop, const struct watch *watch);
/* Does not close the descriptor. Events of this turn that are still to come are dropped. */
void loop_remove(struct loop *loop, struct watch *watch);

void loop_post(struct loop *loop, struct task *task); /* twice is once */
void task_cancel(struct task *task);
/* Among the events of a turn: all that are put behind them run in that turn, in this order. */
void loop_put_behind(struct loop *loop, struct task *task);
static inline bool loop_among_events(const struct loop *loop)
{
    return loop->batch_count > 0;
}
/* Said by a task that has worked for long: descriptors come before the next one, if this turn's
 * tasks had as much time as its descriptors, and half a millisecond at least. */
void loop_rest(struct loop *loop);
static inline bool task_queued(const struct task *task)
{
    return task->next != NULL;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t in_ms);
void timer_clear(struct timer *timer);                     /* lazy: one store */
void timer_remove(struct loop *loop, struct timer *timer); /* before its memory goes */

#endif
