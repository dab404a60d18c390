/* The pool of questions, and the table of those that can still be joined. */
#include "ratelimit/exact_ask.h"

#include <stdlib.h>

enum { ASK_ITEMS_FEW = 4 };

static void release_ask(struct op *op)
{
    struct ask *ask = (struct ask *)(void *)op, **pool = &ask->asks->free[ask->wide];
    ask->next = *pool;
    *pool = ask;
}

/* Most have one item or three: with room for all, each would be a page of its own. */
static struct ask *take_ask(struct asks *asks, unsigned count)
{
    bool wide = count > ASK_ITEMS_FEW;
    struct ask *ask = asks->free[wide];
    if (ask != NULL) {
        asks->free[wide] = ask->next;
        return ask;
    }
    if (asks->count == ASKS_MAX)
        return NULL;
    size_t most = wide ? ASK_ITEMS_MAX : ASK_ITEMS_FEW;
    ask = malloc(sizeof(*ask) + most * sizeof(ask->items[0]));
    if (ask == NULL)
        return NULL;
    ask->wide = wide;
    asks->count++;
    return ask;
}

struct ask *ask_new(struct asks *asks, unsigned lane, const struct exact_item *items,
                    unsigned count, unsigned extra)
{
    struct ask *ask = take_ask(asks, count);
    if (ask == NULL)
        return NULL;
    op_init(&ask->op);
    ask->op.release = release_ask;
    ask->asks = asks;
    ask->next = ask->peers = NULL;
    ask->lane = lane;
    ask->slots = false;
    for (unsigned i = 0; i < count; i++)
        ask->slots = ask->slots || items[i].slots;
    ask->group = (struct exact_group){ .count = count, .extra = extra };
    memcpy(ask->items, items, count * sizeof(*items));
    return ask;
}

/* The same question: same keys, same price. What is known of them may differ. */
static bool same_question(const struct ask *ask, const struct ask *other)
{
    if (ask->group.count != other->group.count)
        return false;
    for (unsigned i = 0; i < ask->group.count; i++) {
        const struct exact_item *a = &ask->items[i], *b = &other->items[i];
        if (memcmp(a->name, b->name, sizeof(a->name)) != 0 || a->step != b->step ||
            a->tolerance != b->tolerance || a->penalty != b->penalty || a->most != b->most ||
            a->expires_s != b->expires_s || a->shadow != b->shadow || a->charge != b->charge ||
            a->slots != b->slots || a->tell != b->tell)
            return false;
    }
    return true;
}

static void follow(struct ask *leader, struct ask *ask)
{
    leader->group.want++;
    if (ask->group.extra > leader->group.extra)
        leader->group.extra = ask->group.extra;
    *leader->peers_end = ask;
    leader->peers_end = &ask->peers;
    for (unsigned i = 0; i < ask->group.count; i++)
        if (ask->items[i].floor > leader->items[i].floor)
            leader->items[i].floor = ask->items[i].floor;
}

bool ask_lead(struct ask *ask)
{
    /* The names are MACs, so the first eight bytes of one are a hash already. */
    memcpy(&ask->hash, ask->items[0].name, sizeof(ask->hash));
    ask->hash += ask->group.count;
    struct ask **slot = &ask->asks->slots[ask->hash % ASK_SLOTS], *leader = *slot;
    while (leader != NULL && (leader->hash != ask->hash || !same_question(leader, ask)))
        leader = leader->hash_next;
    if (leader != NULL) {
        follow(leader, ask);
        return false;
    }
    ask->group.want = 1;
    ask->peers_end = &ask->peers;
    ask->hash_next = *slot;
    *slot = ask;
    return true;
}

void ask_unlead(const struct ask *ask)
{
    struct ask **at = &ask->asks->slots[ask->hash % ASK_SLOTS];
    while (*at != NULL && *at != ask)
        at = &(*at)->hash_next;
    if (*at != NULL)
        *at = ask->hash_next;
}
