/* Exchanges that wait for a server: see queue.h for their order. */
#include "gateway/upstream/exchange_state.h"

void exchange_unqueue(struct exchange *x)
{
    if (x->state != EXCHANGE_QUEUED)
        return;
    queue_leave(&x->upstream->queue, &x->waiter);
    x->state = EXCHANGE_IDLE;
}

enum err exchange_why_refused(const struct exchange *x)
{
    return x->tries == 0 ? ERR_BUSY : x->last;
}

bool exchange_wait(struct exchange *x)
{
    struct upstream_local *upstream = x->upstream;
    struct waiter *displaced = NULL;

    x->waiter.client = x->pick.client;
    if (!balance_waits(upstream, x->tried) ||
        !queue_enter(&upstream->queue, &x->waiter, (uint64_t)x->upstream->conf->queue_limit,
                     &displaced))
        return false;
    x->state = EXCHANGE_QUEUED;
    exchange_deadline(x, x->upstream->conf->queue_wait.ms);
    if (displaced != NULL) {
        struct exchange *other = CONTAINER(displaced, struct exchange, waiter);
        other->state = EXCHANGE_IDLE;
        exchange_fail_later(other, exchange_why_refused(other));
    }
    return true;
}

/* The first one that may go; who was at a server that failed may have to wait for another. */
static struct exchange *next_in_queue(const struct upstream_local *upstream)
{
    if (!balance_has_room(upstream, 0))
        return NULL;
    for (struct waiter *w = upstream->queue.first; w != NULL; w = w->next) {
        struct exchange *x = CONTAINER(w, struct exchange, waiter);
        if (balance_has_room(upstream, x->tried))
            return x;
    }
    return NULL;
}

static void on_wake(struct task *task)
{
    struct upstream_local *upstream = CONTAINER(task, struct upstream_local, wake);
    struct exchange *x;

    /* Each once: who cannot go yet is in the queue again. */
    for (unsigned n = upstream->queue.count; n > 0 && (x = next_in_queue(upstream)) != NULL;
         n--) {
        queue_serve(&upstream->queue, &x->waiter);
        x->state = EXCHANGE_IDLE;
        exchange_try(x);
        /* As after exchange_start: on a kept connection the body may follow at once. */
        if (x->streamed && x->state == EXCHANGE_WAITING)
            x->events->drained(x);
    }
    worker_flush(upstream->worker);
}

void exchanges_wake(struct upstream_local *upstream)
{
    if (upstream->queue.first == NULL)
        return;
    upstream->wake.run = on_wake;
    loop_post(&upstream->worker->loop, &upstream->wake);
}
