/*
 * Limits that several nodes share: asked of Redis in batches, one call for what came up in a
 * turn of the loop. Requests with the same keys are one question, "how many of these n may
 * pass?", so that however often a key stands in a batch, never more is granted than there is.
 * All limits of a request are looked at before any is charged, in one script, by the clock of
 * the server.
 *
 * Times on the wire are in eighths of a microsecond since the day in STORE_EPOCH_S: integers
 * that a double of Lua holds exactly until 2060.
 */
#ifndef SALLYPORT_RATELIMIT_EXACT_H
#define SALLYPORT_RATELIMIT_EXACT_H

#include "gateway/chain/op.h"
#include "gateway/store/cells.h"
#include "gateway/store/store.h"
#include "ratelimit/exact_name.h"

/*
 * In a Cluster all keys of a question have the same hash tag, one of EXACT_LANES; questions of
 * one tag go out in one call. Elsewhere there is one lane.
 */
enum {
    UNIT_NS = 125,
    STORE_EPOCH_S = 1760000000,
    ASK_ITEMS_MAX = 48,
    ASKS_MAX = 8192, /* requests that wait at a time, in one worker */
    RECHECK_MS = 1000,
    EXACT_STAY_S = 4, /* a clock that has run out stays so much longer, at the most */
    TURN_BITS = 40,   /* of a counter: what is used; above it stands how often it was reset */
};
#define EXACT_UNITS_MAX (UINT64_C(1) << 51) /* nine years: sums stay below 2^53 */

struct exact_item {
    char name[EXACT_NAME_BYTES]; /* HMAC of the key */
    uint64_t step;               /* units: cost * interval */
    uint64_t tolerance;
    uint64_t most;      /* of what is taken, debts included: the tolerance, or more */
    uint64_t penalty;   /* taken by one that is refused */
    uint64_t floor;     /* ahead of now, at the least: what this node knows of it */
    uint64_t expires_s; /* not 0: a counter that ends by then, in place of a clock */
    bool shadow;        /* refuses nothing */
    bool charge;        /* taken as far as it goes, nothing is asked */
    bool slots;         /* so many at a time as the tolerance says */
    bool tell;          /* of slots: nothing is asked, only what is held is told */
    struct hold *hold;  /* of slots: filled in by exact_ask */
    const void *line;   /* of memory, which is brought when there is an answer; may be NULL */
};

/* In the waiter's arena. */
struct exact_answer {
    bool granted;
    uint64_t extra;   /* tokens of each key beside, for later */
    uint64_t sent_ns; /* mono: not after the script ran */
    unsigned count;
    struct {
        uint64_t ahead; /* units: what is taken, after this; of slots how many are */
        bool taken;     /* for shadows: whether it would have passed */
    } items[];
};

struct exact;
struct leases;
struct hold;
struct holds;

/* For the worker, once: the script is kept on its connection. NULL: out of memory. */
struct exact *exact_attach(struct worker *worker, const struct store *store);
/* Whether it matters in which lane a key is: then it is for ever in the lane of its subject. */
bool exact_spread(const struct exact *exact);
unsigned exact_lane(const struct exact *exact, struct span subject);
/*
 * A counter that is known to be spent may have been reset by an operator elsewhere: true once
 * in RECHECK_MS, for who then asks the store all the same.
 */
bool exact_recheck(struct exact *exact, const struct cell_key *key, uint64_t now_ns);
bool exact_usable(const struct exact *exact, unsigned lane);
/* When it was last usable again after it had not been; 0: it has been all the time. */
uint64_t exact_back_ns(const struct exact *exact, unsigned lane);
/* How many calls went to the store. */
size_t exact_calls(const struct exact *exact);
/* What the worker holds in advance. */
struct leases *exact_leases(struct exact *exact);
struct holds *exact_holds(struct exact *exact);
/* The store's name of a key; `local` is what it is known by on this node. */
void exact_name(struct exact *exact, const struct cell_key *local, struct span key,
                char name[EXACT_NAME_BYTES]);
/* Has the memory bring what is kept of a key (exact_names_soon). */
void exact_name_soon(const struct exact *exact, uint64_t place);
/*
 * `extra` tokens may come along, of all items together, as far as they are a LEASE_PART of
 * what is left. An op whose value is a struct exact_answer, or whose error says that the store
 * cannot decide. NULL: too many wait already.
 */
struct op *exact_ask(struct exact *exact, unsigned lane, const struct exact_item *items,
                     unsigned count, unsigned extra);

/* Takes one item's step, as far as it goes; nobody waits, and if the store is gone it is lost.
 */
void exact_charge(struct exact *exact, unsigned lane, const struct exact_item *item);

/* Tells the store what is held of a key's slots; nobody waits. */
void exact_tell(struct exact *exact, struct hold *hold);

/* exact_wire.c: the script, and one group of its arguments after the other. */
struct exact_group {
    unsigned count;
    uint64_t want, extra;
    bool plain; /* said by exact_pack_head: its one item is packed with it, and its answer short
                 */
};
extern const char exact_script[];
enum { EXACT_PACKED_HEAD = 5 * 8, EXACT_PACKED_ITEM = 8 * 8 };
char *exact_pack_head(char *at, struct exact_group *group, const struct exact_item *items);
char *exact_pack_item(char *at, const struct exact_item *item);
struct hold_word;
char *exact_pack_slots(char *at, const struct exact_item *item, uint64_t holder,
                       const struct hold_word *word);
static inline unsigned exact_group_width(const struct exact_group *group)
{
    return group->plain ? 2 : 1 + 2 * group->count;
}
/*
 * Whether it is a reply to these groups: as many integers as they have, each in its bounds.
 */
struct redis_value;
MUST_USE bool exact_reply_valid(const struct redis_value *value,
                                const struct exact_group *groups, unsigned group_count);

#endif
