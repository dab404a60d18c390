/*
 * The list of those who wait, and when it is looked at.
 */
#include "gateway/audit/commit.h"

enum { LOOK_MS = 50 };

static bool is_written(const struct commits *commits, uint64_t position)
{
    uint64_t tail = __atomic_load_n(&commits->writer->ring->tail, __ATOMIC_ACQUIRE);
    return tail >= position;
}

static bool any(const struct commits *commits)
{
    return commits->list.next != &commits->list;
}

static void enlist(struct commits *commits, struct commit_wait *wait)
{
    INVARIANT(wait->commits == NULL && wait->done != NULL);
    wait->commits = commits;
    wait->next = &commits->list;
    wait->prev = commits->list.prev;
    wait->prev->next = wait;
    commits->list.prev = wait;
    timer_set(&commits->worker->loop, &commits->timer, LOOK_MS);
}

void commit_cancel(struct commit_wait *wait)
{
    if (wait->commits == NULL)
        return;
    wait->prev->next = wait->next;
    wait->next->prev = wait->prev;
    wait->commits = NULL;
}

/* Says that it waits, then looks; the recorder moves `tail`, then looks who waits. */
static void ask_to_be_told(struct commits *commits)
{
    __atomic_store_n(&commits->writer->ring->waits, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static bool is_due(const struct commits *commits, const struct commit_wait *wait,
                   bool *satisfied)
{
    *satisfied = wait->held ? ring_pressure(commits->writer->rings) != PRESSURE_HOLD
                            : is_written(commits, wait->position);
    return *satisfied || (wait->deadline_ms != 0 &&
                          clock_ms(&commits->worker->loop.clock) >= wait->deadline_ms);
}

/* The next that is due. From the front each time: a `done` may end others. */
static struct commit_wait *next_due(struct commits *commits, bool *satisfied)
{
    for (struct commit_wait *wait = commits->list.next; wait != &commits->list;
         wait = wait->next)
        if (is_due(commits, wait, satisfied))
            return wait;
    return NULL;
}

static void commits_run(struct commits *commits)
{
    struct commit_wait *wait;
    bool satisfied;

    if (any(commits))
        ask_to_be_told(commits);
    while ((wait = next_due(commits, &satisfied)) != NULL) {
        commit_cancel(wait);
        commits->late += !satisfied;
        wait->done(wait, satisfied);
    }
    if (any(commits))
        timer_set(&commits->worker->loop, &commits->timer, LOOK_MS);
    else
        __atomic_store_n(&commits->writer->ring->waits, 0, __ATOMIC_RELAXED);
}

static void on_written(struct watch *watch, uint32_t events)
{
    (void)events;
    commits_run(CONTAINER(watch, struct commits, watch));
}

static void on_timer(struct timer *timer)
{
    commits_run(CONTAINER(timer, struct commits, timer));
}

enum err commits_open(struct commits *commits, struct worker *worker,
                      struct ring_writer *writer, int written_fd)
{
    *commits = (struct commits){ .worker = worker,
                                 .writer = writer,
                                 .watch = { .fd = -1, .on_event = on_written },
                                 .timer = { .fire = on_timer } };
    commits->list.next = commits->list.prev = &commits->list;
    if (written_fd < 0)
        return OK;
    return loop_add(&worker->loop, &commits->watch, written_fd, EPOLLIN | EPOLLET);
}

void commit_wait(struct commits *commits, struct commit_wait *wait, uint64_t within_ms)
{
    wait->held = false;
    wait->position = commits->writer->ring->head;
    wait->deadline_ms = within_ms > 0 ? clock_ms(&commits->worker->loop.clock) + within_ms : 0;
    enlist(commits, wait);
    ask_to_be_told(commits);
    ring_kick(commits->writer);
}

void commit_hold(struct commits *commits, struct commit_wait *wait)
{
    wait->held = true;
    wait->deadline_ms = 0;
    enlist(commits, wait);
    ask_to_be_told(commits);
}
