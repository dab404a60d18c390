/*
 * Requests at a time, on this node. A limit of N has N slots for each key, entries of the table
 * that all workers share; who holds one renews it, and one that nobody renews is free after
 * SLOT_LEASE_MS: so a worker that is killed gives back what it held. Those that nodes share are
 * counted in the store (holds.h), and stand here, too.
 */
#include "ratelimit/limit.h"

enum { NS_PER_MS = 1000000 };

struct slot_held {
    struct slot_held *prev, *next;
    struct slots_held *list;
    const struct tats *table;
    struct cell_key key;
};

/* A slot is a bucket that one request fills for the time of a lease. */
static const struct gcra lease = {
    .interval_ns = (uint64_t)SLOT_LEASE_MS * NS_PER_MS,
    .tolerance_ns = (uint64_t)SLOT_LEASE_MS * NS_PER_MS,
    .most_ns = (uint64_t)SLOT_LEASE_MS * NS_PER_MS,
};

static struct cell_key key_of(struct cell_key key, unsigned slot)
{
    key.place += slot * UINT64_C(0x9e3779b97f4a7c15);
    key.fingerprint += slot;
    return key;
}

static uint64_t now_of(const struct worker *worker)
{
    return worker->loop.clock.mono_ns;
}

static bool is_free(const struct rate_limits *conf, const struct limit_item *item, unsigned i)
{
    return tats_get(&conf->table, key_of(item->key, i)) <= item->now;
}

/* `most` is fewer than there are where a node has a share only. */
bool slots_free(const struct rate_limits *conf, const struct limit_item *item, uint64_t most)
{
    uint64_t taken = 0;
    for (unsigned i = 0; i < item->limit->burst; i++) {
        bool gone = !is_free(conf, item, i);
        if (!gone && most == item->limit->burst)
            return true;
        taken += gone;
    }
    return taken < most;
}

static void unlink_slot(struct slot_held *slot)
{
    *(slot->prev != NULL ? &slot->prev->next : &slot->list->first) = slot->next;
    if (slot->next != NULL)
        slot->next->prev = slot->prev;
}

static void release(void *owned)
{
    struct slot_held *slot = owned;
    if (slot->list == NULL)
        return; /* the worker is closing */
    unlink_slot(slot);
    tats_store(slot->table, slot->key, 0, now_of(slot->list->worker));
}

static enum err hold(struct slots_held *held, const struct rate_limits *conf,
                     struct cell_key key, struct txn *txn)
{
    struct slot_held *slot = arena_new(txn->arena, struct slot_held);
    if (slot == NULL)
        return ERR_MEMORY;
    *slot = (struct slot_held){
        .next = held->first, .list = held, .table = &conf->table, .key = key
    };
    if (!arena_defer(txn->arena, release, slot))
        return ERR_MEMORY;
    if (held->first != NULL)
        held->first->prev = slot;
    held->first = slot;
    if (held->renew.deadline_ms == 0)
        timer_set(&held->worker->loop, &held->renew, SLOT_RENEW_MS);
    return OK;
}

enum err slots_take(struct slots_held *held, const struct rate_limits *conf,
                    const struct limit_item *item, uint64_t most, struct txn *txn)
{
    if (most < item->limit->burst && !slots_free(conf, item, most))
        return ERR_LIMIT;
    for (unsigned i = 0; i < item->limit->burst; i++) {
        struct gcra_answer said;
        struct cell_key key = key_of(item->key, i);
        if (!is_free(conf, item, i))
            continue;
        TRY(tats_take(&conf->table, key, &lease, item->now, lease.interval_ns, &said));
        if (!said.allowed)
            continue;
        return hold(held, conf, key, txn); /* what is not held is free again soon */
    }
    return ERR_LIMIT;
}

static void on_renew(struct timer *timer)
{
    struct slots_held *held = CONTAINER(timer, struct slots_held, renew);
    uint64_t now = now_of(held->worker);
    for (struct slot_held *slot = held->first; slot != NULL; slot = slot->next)
        if (tats_get(slot->table, slot->key) > 0)
            tats_store(slot->table, slot->key, now + lease.interval_ns, now);
    timer->deadline_ms = 0;
    if (held->first != NULL)
        timer_set(&held->worker->loop, timer, SLOT_RENEW_MS);
}

void slots_attach(struct slots_held *held, struct worker *worker)
{
    *held = (struct slots_held){ .worker = worker, .renew = { .fire = on_renew } };
}

void slots_detach(struct slots_held *held)
{
    for (struct slot_held *slot = held->first; slot != NULL; slot = slot->next)
        slot->list = NULL;
    timer_remove(&held->worker->loop, &held->renew);
}
