/*
 * Slots of shared keys that the requests of this worker hold, as the store has them: a key's
 * value lists who holds how many, and until when that counts if it is not told again
 * (SLOT_LEASE_MS). So a worker, or a whole gateway, that is killed gives back what it held.
 *
 * What is told is always the whole: how many this worker holds. So a lost message, a store that
 * comes back empty, and requests that were let in while there was no store are made up for by
 * the next word. Only beside a question that is still on its way nobody knows the whole; then
 * at least as many, less what was given back since.
 */
#ifndef SALLYPORT_RATELIMIT_HOLDS_H
#define SALLYPORT_RATELIMIT_HOLDS_H

#include "gateway/net/worker.h"
#include "ratelimit/exact.h"

enum {
    HOLDS_MAX = 1 << 16, /* keys of which one worker holds slots */
    HOLD_PLACES = 4096,
    HOLD_TURN_MS = 100,
};

struct hold {
    struct holds *holds;
    struct hold *hash_next, *prev, *next;
    char name[EXACT_NAME_BYTES];
    unsigned lane, users; /* users: questions that name it */
    unsigned flying;      /* of them: on their way */
    uint64_t limit, held;
    uint64_t given_back; /* since that was told */
    uint64_t told_ns;
};

struct holds {
    struct exact *exact;
    struct worker *worker;
    uint64_t holder; /* who we are: a number that a double holds exactly */
    struct hold *places[HOLD_PLACES];
    struct hold *first;
    unsigned count;
    struct timer renew;
};

void holds_open(struct holds *holds, struct exact *exact, struct worker *worker);

/* The hold of a key, with one user more; NULL: out of memory, or too many. */
struct hold *hold_use(struct holds *holds, unsigned lane, const char name[EXACT_NAME_BYTES],
                      uint64_t limit);
void hold_leave(struct hold *hold);
/* One slot more is held, until the arena goes; NULL: whoever asked for it is gone already. */
void hold_take(struct hold *hold, struct arena *arena);

/* Of all items of a question: its holds, or false; and that it has its answer, or has none. */
MUST_USE bool holds_use(struct holds *holds, unsigned lane, struct exact_item *items,
                        unsigned count);
void holds_landed(const struct exact_item *items, unsigned count);
void holds_leave(const struct exact_item *items, unsigned count);

/* What is told now; and that an answer, or none, has come. */
struct hold_word {
    uint64_t held, given_back;
    bool whole;
};
struct hold_word hold_tell(struct hold *hold);
void hold_landed(struct hold *hold);

#endif
