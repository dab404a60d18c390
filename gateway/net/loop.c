/*
 * The event loop: waiting, dispatching, the task queue and the timer wheel.
 *
 * The wheel has one list per tick and covers about half a minute. A later deadline waits in a
 * slot on a coarse boundary and is put back from there, so that thousands of idle connections
 * with long deadlines wake the process about once a second and not at every tick.
 */
#include "gateway/net/loop.h"

#include <errno.h>
#include <unistd.h>

enum {
    HORIZON_MS =
        (LOOP_SLOTS - 1) * LOOP_TICK_MS, /* furthest slot that does not lap the wheel */
    PARK_MS = 64 * LOOP_TICK_MS,         /* boundary on which later deadlines wait */
    TASKS_NS = 500 * 1000,               /* that those have in any turn which work for long */
};

#define FOREVER_MS (UINT64_MAX / 4) /* no sum of a time and this can overflow */

static uint64_t tick_floor(uint64_t ms)
{
    return ms - ms % LOOP_TICK_MS;
}

static uint64_t tick_ceil(uint64_t ms)
{
    return tick_floor(ms + LOOP_TICK_MS - 1);
}

static size_t slot_of(uint64_t ms)
{
    return (size_t)(ms / LOOP_TICK_MS % LOOP_SLOTS);
}

/* ---- timers ---- */

static void timers_clear(struct timer *head)
{
    head->prev = head->next = head;
}

static void timer_unlink(struct timer *timer)
{
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->prev = timer->next = NULL;
}

static void timer_queue(struct loop *loop, struct timer *timer)
{
    uint64_t now = tick_floor(clock_ms(&loop->clock));
    uint64_t at = tick_ceil(timer->deadline_ms);
    if (at <= now)
        at = now + LOOP_TICK_MS;
    if (at > now + HORIZON_MS)
        at = now + HORIZON_MS - (now + HORIZON_MS) % PARK_MS;

    size_t slot = slot_of(at);
    struct timer *head = &loop->wheel[slot];
    timer->queued_ms = at;
    timer->prev = head->prev;
    timer->next = head;
    head->prev->next = timer;
    head->prev = timer;
    loop->occupied[slot / 64] |= (uint64_t)1 << slot % 64;
    loop->timers++;
}

void timer_set(struct loop *loop, struct timer *timer, uint64_t in_ms)
{
    if (in_ms > FOREVER_MS)
        in_ms = FOREVER_MS;
    uint64_t deadline = clock_ms(&loop->clock) + in_ms;
    timer->deadline_ms = deadline != 0 ? deadline : 1;
    if (timer->next == NULL) {
        timer_queue(loop, timer);
    } else if (tick_ceil(timer->deadline_ms) < timer->queued_ms) {
        timer_unlink(timer);
        loop->timers--;
        timer_queue(loop, timer);
    }
}

void timer_clear(struct timer *timer)
{
    timer->deadline_ms = 0;
}

void timer_remove(struct loop *loop, struct timer *timer)
{
    timer->deadline_ms = 0;
    if (timer->next == NULL)
        return;
    timer_unlink(timer);
    loop->timers--;
}

static void slot_run(struct loop *loop, size_t slot, uint64_t now_ms)
{
    struct timer *head = &loop->wheel[slot];
    if (head->next == head) {
        loop->occupied[slot / 64] &= ~((uint64_t)1 << slot % 64);
        return;
    }

    /* Moved to a list of our own first: what `fire` queues must not be met again in this pass.
     */
    struct timer due = { .next = head->next, .prev = head->prev };
    due.next->prev = &due;
    due.prev->next = &due;
    timers_clear(head);
    loop->occupied[slot / 64] &= ~((uint64_t)1 << slot % 64);

    while (due.next != &due) {
        struct timer *timer = due.next;
        timer_unlink(timer);
        loop->timers--;
        if (timer->deadline_ms == 0)
            continue;
        if (timer->deadline_ms > now_ms) {
            timer_queue(loop, timer);
            continue;
        }
        timer->deadline_ms = 0;
        timer->fire(timer);
    }
}

void loop_advance(struct loop *loop, uint64_t now_ms)
{
    if (clock_ms(&loop->clock) < now_ms)
        loop->clock.mono_ns = now_ms * 1000000u;
    uint64_t end = tick_floor(now_ms);
    /* After a long sleep of the machine one round over all slots is enough. */
    if (end > loop->wheel_ms + HORIZON_MS + LOOP_TICK_MS)
        loop->wheel_ms = end - HORIZON_MS - LOOP_TICK_MS;
    while (loop->wheel_ms < end && loop->timers > 0) {
        loop->wheel_ms += LOOP_TICK_MS;
        slot_run(loop, slot_of(loop->wheel_ms), now_ms);
    }
    if (loop->wheel_ms < end)
        loop->wheel_ms = end;
}

/* Milliseconds until the next slot that holds a timer; -1: there is none. */
static int timers_wait(struct loop *loop)
{
    if (loop->timers == 0)
        return -1;
    uint64_t now = clock_ms(&loop->clock);
    size_t first = slot_of(loop->wheel_ms + LOOP_TICK_MS);
    size_t passed = 0;
    while (passed < LOOP_SLOTS) {
        size_t slot = (first + passed) % LOOP_SLOTS;
        uint64_t word = loop->occupied[slot / 64] >> slot % 64;
        if (word == 0) {
            passed += 64 - slot % 64;
            continue;
        }
        size_t skip = (size_t)__builtin_ctzll(word);
        slot += skip;
        passed += skip;
        if (loop->wheel[slot].next != &loop->wheel[slot]) {
            uint64_t at = loop->wheel_ms + (passed + 1) * LOOP_TICK_MS;
            return at > now ? (int)(at - now) : 0;
        }
        loop->occupied[slot / 64] &= ~((uint64_t)1 << slot % 64);
    }
    return -1;
}

/* ---- tasks ---- */

static void tasks_clear(struct task *head)
{
    head->prev = head->next = head;
}

static void task_queue(struct task *head, struct task *task)
{
    if (task_queued(task))
        return;
    task->prev = head->prev;
    task->next = head;
    head->prev->next = task;
    head->prev = task;
}

void loop_post(struct loop *loop, struct task *task)
{
    task_queue(&loop->queue, task);
}

void loop_put_behind(struct loop *loop, struct task *task)
{
    INVARIANT(loop_among_events(loop));
    task_queue(&loop->behind, task);
}

void task_cancel(struct task *task)
{
    if (!task_queued(task))
        return;
    task->prev->next = task->next;
    task->next->prev = task->prev;
    task->prev = task->next = NULL;
}

/* First among those that are posted already. */
static void tasks_put_back(struct loop *loop, struct task *rest)
{
    struct task *head = &loop->queue;
    if (rest->next == rest)
        return;
    rest->prev->next = head->next;
    head->next->prev = rest->prev;
    head->next = rest->next;
    rest->next->prev = head;
}

void loop_rest(struct loop *loop)
{
    loop->rested = clock_mono_ns() >= loop->tasks_until_ns;
}

static void task_run(struct task *task)
{
    task_cancel(task);
    task->run(task);
}

static void behind_run(struct loop *loop)
{
    while (loop->behind.next != &loop->behind)
        task_run(loop->behind.next);
}

/* What a task posts runs in the next turn, so that tasks cannot starve the descriptors; nor do
 * many that work for long. But many descriptors do not starve these, either. */
static void tasks_run(struct loop *loop)
{
    struct task *head = &loop->queue;
    loop->rested = false;
    if (head->next == head)
        return;
    struct task now = { .next = head->next, .prev = head->prev };
    now.next->prev = &now;
    now.prev->next = &now;
    tasks_clear(head);
    uint64_t began = clock_mono_ns(), before = began - loop->clock.mono_ns;
    loop->tasks_until_ns = began + (before > TASKS_NS ? before : TASKS_NS);
    while (now.next != &now && !loop->rested)
        task_run(now.next);
    tasks_put_back(loop, &now);
}

/* ---- descriptors ---- */

enum err loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = watch };
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
        watch->fd = -1;
        return errno == ENOMEM || errno == ENOSPC ? ERR_LIMIT : ERR_SYSTEM;
    }
    watch->fd = fd;
    watch->events = events;
    return OK;
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
    if (watch->events == events)
        return;
    INVARIANT(watch->fd >= 0);
    /* The kernel does not modify an exclusive watch: remove it and add it again. */
    INVARIANT(((watch->events | events) & EPOLLEXCLUSIVE) == 0);
    struct epoll_event ev = { .events = events, .data.ptr = watch };
    INVARIANT(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev) == 0);
    watch->events = events;
}

bool loop_pending(const struct loop *loop, const struct watch *watch)
{
    for (int i = loop->batch_index; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            return true;
    return false;
}

void loop_remove(struct loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    /* The owner may have closed it before, and then the kernel has forgotten it already. */
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->fd = -1;
    for (int i = loop->batch_index; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
}

static void events_run(struct loop *loop, int count)
{
    loop->batch_count = count;
    loop->batch_index = 0;
    while (loop->batch_index < loop->batch_count) {
        const struct epoll_event *ev = &loop->batch[loop->batch_index++];
        struct watch *watch = ev->data.ptr;
        if (watch == NULL)
            continue;
        /* An earlier event of this batch may have narrowed what is asked for. */
        uint32_t events = ev->events & (watch->events | EPOLLERR | EPOLLHUP);
        if (events != 0)
            watch->on_event(watch, events);
    }
    loop->batch_count = loop->batch_index = 0;
}

static void read_clock(struct loop *loop)
{
    clock_read(&loop->clock);
    loop->clock.wall_us += (uint64_t)loop->wall_shift_us;
}

/* ---- turns ---- */

static void flush(struct loop *loop)
{
    if (loop->flush != NULL && loop->gathered)
        loop->flush(loop);
}

/* What is gathered waits for events that are here already: those whom they wake, and those who
 * are woken for what was done before, are often the same, or sleep on the same core. */
static int next_events(struct loop *loop, int timeout)
{
    if (loop->gathered && timeout != 0) {
        int count = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, 0);
        if (count > 0)
            return count;
        flush(loop);
    }
    return epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, timeout);
}

enum err loop_init(struct loop *loop)
{
    memset(loop, 0, sizeof(*loop));
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return ERR_SYSTEM;
    tasks_clear(&loop->queue);
    tasks_clear(&loop->behind);
    for (size_t i = 0; i < LOOP_SLOTS; i++)
        timers_clear(&loop->wheel[i]);
    read_clock(loop);
    loop->wheel_ms = tick_floor(clock_ms(&loop->clock));
    return OK;
}

void loop_close(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

void loop_turn(struct loop *loop, int wait_ms)
{
    int timeout = 0;
    if (loop->queue.next == &loop->queue && wait_ms != 0) {
        timeout = timers_wait(loop);
        if (timeout < 0 || (wait_ms > 0 && wait_ms < timeout))
            timeout = wait_ms;
    }

    int count = next_events(loop, timeout);
    INVARIANT(count >= 0 || errno == EINTR);
    read_clock(loop);
    loop->turns++;
    if (count > 0)
        events_run(loop, count);
    flush(loop);
    loop_advance(loop, clock_ms(&loop->clock));
    behind_run(loop);
    if (loop->rested) /* what works for long comes next */
        flush(loop);
    tasks_run(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopping)
        loop_turn(loop, -1);
}
