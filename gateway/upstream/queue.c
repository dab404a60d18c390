/* Those that wait: see queue.h. A list by turn; newcomers find their place from its end. */
#include "gateway/upstream/queue.h"

static uint64_t *last_turn(struct wait_queue *queue, const struct waiter *waiter)
{
    return &queue->turns[waiter->client % QUEUE_CLIENTS];
}

/* Its client has given back the last turn that it took. */
static void give_back(struct wait_queue *queue, const struct waiter *waiter)
{
    uint64_t *last = last_turn(queue, waiter);

    if (*last == waiter->turn)
        --*last;
}

static void link_in(struct wait_queue *queue, struct waiter *waiter)
{
    struct waiter *before = queue->last;

    while (before != NULL && before->turn > waiter->turn)
        before = before->prev;
    waiter->prev = before;
    waiter->next = before != NULL ? before->next : queue->first;
    *(before != NULL ? &before->next : &queue->first) = waiter;
    *(waiter->next != NULL ? &waiter->next->prev : &queue->last) = waiter;
    queue->count++;
}

static void take_out(struct wait_queue *queue, struct waiter *waiter)
{
    *(waiter->prev != NULL ? &waiter->prev->next : &queue->first) = waiter->next;
    *(waiter->next != NULL ? &waiter->next->prev : &queue->last) = waiter->prev;
    waiter->prev = waiter->next = NULL;
    queue->count--;
}

bool queue_enter(struct wait_queue *queue, struct waiter *waiter, uint64_t limit,
                 struct waiter **displaced)
{
    uint64_t *last = last_turn(queue, waiter);
    uint64_t turn = *last >= queue->served ? *last + 1 : queue->served;

    *displaced = NULL;
    if (queue->count >= limit) {
        if (limit == 0 || queue->last->turn <= turn)
            return false;
        *displaced = queue->last;
        queue_leave(queue, queue->last);
    }
    *last = waiter->turn = turn;
    link_in(queue, waiter);
    return true;
}

void queue_serve(struct wait_queue *queue, struct waiter *waiter)
{
    if (waiter->turn > queue->served)
        queue->served = waiter->turn;
    take_out(queue, waiter);
}

void queue_leave(struct wait_queue *queue, struct waiter *waiter)
{
    give_back(queue, waiter);
    take_out(queue, waiter);
}
