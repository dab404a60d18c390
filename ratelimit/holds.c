/* Counts of what is held, and when the store is told. */
#include "ratelimit/holds.h"

#include <stdlib.h>

#include "gateway/base/siphash.h"
#include "ratelimit/limit.h"

enum { NS_PER_MS = 1000000, HOLDER_BITS = 48 };

/* ---- holds ---- */

static struct hold **place_of(struct holds *holds, const char name[EXACT_NAME_BYTES])
{
    uint64_t hash; /* names are MACs */
    memcpy(&hash, name, sizeof(hash));
    return &holds->places[hash % HOLD_PLACES];
}

struct hold *hold_use(struct holds *holds, unsigned lane, const char name[EXACT_NAME_BYTES],
                      uint64_t limit)
{
    struct hold **place = place_of(holds, name), *hold = *place;
    while (hold != NULL && memcmp(hold->name, name, EXACT_NAME_BYTES) != 0)
        hold = hold->hash_next;
    if (hold == NULL) {
        if (holds->count == HOLDS_MAX || (hold = calloc(1, sizeof(*hold))) == NULL)
            return NULL;
        hold->holds = holds;
        hold->lane = lane;
        memcpy(hold->name, name, EXACT_NAME_BYTES);
        hold->hash_next = *place;
        *place = hold;
        hold->next = holds->first;
        if (holds->first != NULL)
            holds->first->prev = hold;
        holds->first = hold;
        holds->count++;
    }
    hold->limit = limit;
    hold->users++;
    return hold;
}

static void free_if_idle(struct hold *hold)
{
    struct holds *holds = hold->holds;
    if (hold->users > 0 || hold->held > 0)
        return;
    struct hold **at = place_of(holds, hold->name);
    while (*at != hold)
        at = &(*at)->hash_next;
    *at = hold->hash_next;
    *(hold->prev != NULL ? &hold->prev->next : &holds->first) = hold->next;
    if (hold->next != NULL)
        hold->next->prev = hold->prev;
    holds->count--;
    free(hold);
}

void hold_leave(struct hold *hold)
{
    INVARIANT(hold->users > 0);
    hold->users--;
    free_if_idle(hold);
}

static bool can_tell(const struct hold *hold)
{
    return hold->holds->exact != NULL && exact_usable(hold->holds->exact, hold->lane);
}

/* Who cannot be told now hears of it from the next word, or has forgotten it by then. */
static void give_back(struct hold *hold)
{
    hold->given_back++;
    hold->users++;
    if (can_tell(hold))
        exact_tell(hold->holds->exact, hold);
    hold_leave(hold);
}

static void on_end(void *owned)
{
    struct hold *hold = owned;
    INVARIANT(hold->held > 0);
    hold->held--;
    give_back(hold);
}

void hold_take(struct hold *hold, struct arena *arena)
{
    if (arena != NULL && arena_defer(arena, on_end, hold))
        hold->held++;
    else
        give_back(hold);
}

/* ---- words ---- */

struct hold_word hold_tell(struct hold *hold)
{
    struct hold_word word = { hold->held, hold->given_back, hold->flying == 0 };
    hold->given_back = 0;
    hold->flying++;
    hold->told_ns = hold->holds->worker->loop.clock.mono_ns;
    return word;
}

void hold_landed(struct hold *hold)
{
    INVARIANT(hold->flying > 0);
    hold->flying--;
}

/* ---- questions ---- */

void holds_leave(const struct exact_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (items[i].hold != NULL)
            hold_leave(items[i].hold);
}

void holds_landed(const struct exact_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (items[i].hold != NULL)
            hold_landed(items[i].hold);
}

bool holds_use(struct holds *holds, unsigned lane, struct exact_item *items, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        items[i].hold = NULL;
        if (!items[i].slots)
            continue;
        items[i].hold = hold_use(holds, lane, items[i].name, items[i].tolerance);
        if (items[i].hold == NULL) {
            holds_leave(items, i);
            return false;
        }
    }
    return true;
}

/* Those that no question has told of for a while. */
static void on_renew(struct timer *timer)
{
    struct holds *holds = CONTAINER(timer, struct holds, renew);
    uint64_t now = holds->worker->loop.clock.mono_ns;
    timer_set(&holds->worker->loop, timer, HOLD_TURN_MS);
    for (struct hold *hold = holds->first; hold != NULL; hold = hold->next) {
        uint64_t told = hold->told_ns, back = exact_back_ns(holds->exact, hold->lane);
        bool due = now - told >= (uint64_t)SLOT_RENEW_MS * NS_PER_MS || told < back;
        if (hold->held > 0 && due && can_tell(hold))
            exact_tell(holds->exact, hold);
    }
}

void holds_open(struct holds *holds, struct exact *exact, struct worker *worker)
{
    *holds = (struct holds){ .exact = exact, .worker = worker, .renew = { .fire = on_renew } };
    random_bytes(&holds->holder, sizeof(holds->holder));
    holds->holder &= (UINT64_C(1) << HOLDER_BITS) - 1;
    timer_set(&worker->loop, &holds->renew, HOLD_TURN_MS);
}
