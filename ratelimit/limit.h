/*
 * Limits as configured and as asked: shared by the files of the limits stage.
 *
 *   limits.c   options, what is checked at load, the stages
 *   make.c     what a rule comes to: numbers, place, who counts
 *   key.c      what is counted by
 *   plans.c    limits of who was authenticated
 *   told.c     what clients are told on other answers than refusals
 *   policy.c   names and the fields that tell clients
 *   gather.c   which limits a request is asked about
 *   engine.c   one decision over several limits
 *   shared.c   a limit in the store's numbers
 *   slots.c    requests at a time
 *   calendar.c windows of quotas
 *   exact.c    limits that nodes share, asked in batches: exact_ask.c who asks the same,
 *              exact_pace.c when a call waits for more, exact_wire.c the script, exact_name.c
 *   holds.c    requests at a time, of all nodes
 *   lease.c    tokens of those that were given in advance
 */
#ifndef SALLYPORT_RATELIMIT_LIMIT_H
#define SALLYPORT_RATELIMIT_LIMIT_H

#include "gateway/chain/meter.h"
#include "gateway/store/store.h"
#include "ratelimit/calendar.h"
#include "ratelimit/exact_name.h"
#include "ratelimit/key.h"
#include "ratelimit/table.h"

enum {
    COUNT_MAX = 1000000000,   /* of requests, costs, bursts */
    LIMITS_ENTRIES = 1 << 21, /* keys at a time, 16 bytes each */
    LIMITS_MAX = 16,          /* in one list */
    LIMITS_NETS = 3,          /* an address limit, and the two for wider IPv6 networks */
    COSTS_MAX = 16,
    SLOTS_PER_KEY_MAX = 256,
    DEBT_BURSTS = 10,     /* may be owed when nothing else is said */
    SLOT_LEASE_MS = 2000, /* a slot whose worker is gone is free after this */
    SLOT_RENEW_MS = 500,
    LIMIT_NAME_BYTES = 64,
    PLANS_MAX = 32,
    PLAN_LIMITS_MAX = 8, /* of one plan */
    PLAN_NAME_BYTES = 32,
};

enum limit_action { LIMIT_DENY, LIMIT_CLOSE, LIMIT_LOG };
enum limit_store { LIMIT_AUTO, LIMIT_LOCAL, LIMIT_EXACT, LIMIT_LEASE };
enum limit_kind { KIND_RATE, KIND_QUOTA, KIND_SLOTS };
enum limit_fields { FIELDS_DRAFT, FIELDS_LEGACY, FIELDS_GITHUB, FIELDS_NONE };

struct limit_cost {
    struct expr *when;
    int64_t cost;
};

/* As configured. Lists are inherited as they are, so the last members are shared by all heirs.
 */
struct limit_rule {
    struct keyed_rate rate;
    struct span per, name;
    int64_t burst, cost, penalty;
    struct list costs; /* of struct limit_cost */
    struct expr *when;
    int on_missing, action, store;
    bool shadow, networks;
    int64_t quota, anchor;
    int window; /* enum window */
    struct span zone;
    int64_t concurrency;
    struct span response_cost; /* field of the answer */
    int64_t debt;
};

/* An item of `plans`. */
struct limit_plan {
    struct map_item item;
    struct texts groups, keys;
    struct list limits; /* of struct limit_rule */
};

/* Ready to be asked. */
struct limit {
    const struct limit_rule *rule;
    const struct limit_plan *of_plan; /* NULL: for all */
    enum limit_kind kind;
    struct gcra gcra; /* QUOTA: of an interval of 1, with the window's end for a clock */
    struct calendar *calendar; /* QUOTA */
    uint64_t unit;             /* of the local table's numbers in one of the store's */
    uint64_t burst, scale;     /* scale: times the rule's rate and burst */
    uint64_t debt;             /* may be owed beyond the burst, for what answers cost */
    uint64_t interval_units;   /* for the store: exact.h */
    struct key_plan plan;
    uint8_t id[KEY_ID_BYTES];   /* of where the rule stands, never of what it says */
    struct siphash_state begun; /* the hash of its keys, which begin with the id */
    unsigned v6_bits;           /* below KEY_NETWORK_BITS: asked for IPv6 clients only */
    bool shadow;                /* counts and records, refuses nothing */
    bool exact;                 /* shared by nodes */
    bool lease;                 /* and its tokens are given in advance to who needs many */
    struct span name, policy;   /* policy: the field's value */
    const struct metered *meter;
    const char *site, *route; /* where it is configured; route NULL: the site's own */
};

struct rate_limits {
    struct list rules, plans;
    struct span plan_claim, default_plan;
    int fields;  /* enum limit_fields */
    bool always; /* they stand on every answer, not only on refusals */
    struct limit *limits;
    unsigned count;
    unsigned at[KEY_AT_BODY + 1]; /* how many are asked where */
    bool costs_later;             /* some rule has response_cost */
    /* Shared limits asked there count by the same; so what one client is counted by may be on
     * another server of a Cluster than what others are. */
    bool same_subject[KEY_AT_BODY + 1];
    struct tats table, quotas;
    struct siphash_key hash, kept_hash; /* kept: of quotas, which survive restarts */
};

/* What came of one limit for one request. */
struct limit_item {
    const struct limit *limit;
    struct cell_key key;
    uint64_t cost;
    uint64_t now;    /* RATE: monotonic, ns; QUOTA: the window */
    int64_t ends_s;  /* QUOTA: the window, wall clock */
    char shared[16]; /* the store's name for it */
    unsigned lane;   /* in the store */
    bool covered;    /* by a lease */
    bool watched;    /* a shadow would have refused */
};

struct limit_answer {
    const struct limit *limit; /* that denies; NULL: none */
    uint64_t wait_ns, remaining;
};

extern const struct stage_type limits_stage;

/* make.c: NULL, or what is wrong with the rule. */
struct setup;
const char *limit_make(struct limit *limit, const struct limit_rule *rule,
                       const struct key_plan *plan, struct setup *setup);
/* What `begun` is to be. */
struct siphash_state limit_hash(const struct rate_limits *conf, const struct limit *limit);

/* policy.c */
bool limit_name_ok(struct span name);
/* Name and policy; false when memory ran out. */
bool limit_describe(struct limit *limit, struct arena *arena);
const struct reply *limit_refusal(struct txn *txn, const struct rate_limits *conf,
                                  const struct limit_answer *answer);

/* engine.c: state of one stage in one transaction. */
struct limits_state {
    struct limit_item *items;
    unsigned count, exact, lane;
};
/* "name";r=59;t=1 */
void limit_write_state(struct text *text, const struct limit *limit, uint64_t remaining,
                       uint64_t in_s);
uint64_t limit_amount(const struct limit *limit);
/* Three, of FIELDS_LEGACY or FIELDS_GITHUB: the limit, what remains, when it is reset. */
const struct span *limit_field_names(enum limit_fields fields);

/*
 * shared.c: what the store is asked, in its units; and of what it says is taken (`ahead` of an
 * answer), what was used, what is left, what is owed. A request takes one slot, whatever it
 * costs.
 */
struct exact_item;
uint64_t shared_step(const struct limit_item *item);
uint64_t shared_used(const struct limit *limit, uint64_t ahead);
uint64_t shared_left(const struct limit *limit, uint64_t used);
uint64_t shared_owed(const struct limit *limit, uint64_t used);
void limit_ask_shared(const struct rate_limits *conf, const struct txn *txn,
                      const struct limit_item *item, struct exact_item *into);

/* plans.c: whose limits hold for who was authenticated; NULL: no plan's. */
const struct limit_plan *limit_plan_of(const struct rate_limits *conf, const struct txn *txn);
/* NULL, or what is wrong. */
const char *limit_plans_check(const struct rate_limits *conf);

/* told.c: what the limits of a request still allow, for an answer that is not a refusal. */
struct limit_told {
    unsigned count;
    struct {
        const struct limit *limit;
        uint64_t remaining, full_ns; /* until all of it may be had again */
        enum limit_counter counter;
    } items[LIMITS_MAX + PLAN_LIMITS_MAX];
};
/* After they let it pass. */
void limits_note(struct call *c, const struct limits_state *state, enum limit_counter shared);
/* Who counts, where the shared ones are counted by `shared`. */
static inline enum limit_counter limit_counted(const struct limit_item *item,
                                               enum limit_counter shared)
{
    if (!item->limit->exact)
        return COUNTED_LOCAL;
    return item->covered ? COUNTED_LEASE : shared;
}
/* With the answer's head. */
MUST_USE bool limits_tell(struct call *c);

/*
 * The store's key of what a quota's window counts by `values` (key_of_text), for the command
 * line: `name` and in which lane. False when the values are none of the limit's.
 */
MUST_USE bool limit_shared_name(const struct rate_limits *conf, const struct limit *limit,
                                const struct exact_names *names, struct span values,
                                int64_t ends_s, struct text *text);
/* gather.c: what is to be asked of a request here. */
enum key_found limits_gather(struct call *c, enum key_stage stage, struct limits_state *state);
static inline const struct tats *limit_table(const struct rate_limits *conf,
                                             const struct limit *limit)
{
    return limit->kind == KIND_QUOTA ? &conf->quotas : &conf->table;
}

/* Limits that the answer charges, too: by the stages that asked, for the one that charges. */
struct limit_later {
    unsigned count;
    struct limit_item items[LIMITS_MAX * LIMITS_NETS];
};
struct verdict limits_ask(struct call *c, enum key_stage stage);
/* With the answer's head: what it says that the request has cost. */
struct verdict limits_charge(struct call *c);

/* slots.c: in each worker, the slots that its requests hold. */
struct slots_held {
    struct worker *worker;
    struct slot_held *first;
    struct timer renew;
};
void slots_attach(struct slots_held *held, struct worker *worker);
void slots_detach(struct slots_held *held);
/* Whether one of `limit`'s slots is free, as far as can be seen. */
bool slots_free(const struct rate_limits *conf, const struct limit_item *item, uint64_t most);
/* Takes one, until the transaction's arena goes. ERR_LIMIT: `most` are taken. */
MUST_USE enum err slots_take(struct slots_held *held, const struct rate_limits *conf,
                             const struct limit_item *item, uint64_t most, struct txn *txn);

#endif
