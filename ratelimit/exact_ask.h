/*
 * Questions that wait for the store, and who asks the same as somebody before: such a one joins
 * the group of the first, its leader, and the group is asked for as a whole.
 */
#ifndef SALLYPORT_RATELIMIT_EXACT_ASK_H
#define SALLYPORT_RATELIMIT_EXACT_ASK_H

#include "gateway/net/worker.h"
#include "ratelimit/exact.h"

struct asks;

struct ask {
    struct op op; /* first */
    struct asks *asks;
    struct ask *next;       /* of leaders; in the pool */
    struct ask *peers;      /* the others of this group, in order of arrival */
    struct ask **peers_end; /* leaders only */
    struct ask *hash_next;
    uint64_t hash;
    /* Leaders: how many are in the group; tokens in advance, the most that one asks for. */
    struct exact_group group;
    unsigned lane;
    bool wide;  /* room for ASK_ITEMS_MAX, not for ASK_ITEMS_FEW */
    bool slots; /* some item has a hold */
    struct exact_item items[];
};

enum { ASK_SLOTS = 1024 };

/* Of a worker. */
struct asks {
    struct worker *worker;
    struct ask *slots[ASK_SLOTS]; /* leaders */
    struct ask *free[2];          /* narrow, wide */
    unsigned count;
};

/* NULL: ASKS_MAX are there already, or out of memory. Its op's release gives it back. */
struct ask *ask_new(struct asks *asks, unsigned lane, const struct exact_item *items,
                    unsigned count, unsigned extra);
/* Into its group; true: it leads a new one. */
bool ask_lead(struct ask *ask);
/* It is about to be sent, or never will be: nobody can join it any more. */
void ask_unlead(const struct ask *ask);

#endif
