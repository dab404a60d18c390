/*
 * A transaction: one request and its answer, from the complete head to the record. Lives in its
 * own arena, which the stream lends; everything that hangs on it goes with that arena.
 */
#ifndef SALLYPORT_TXN_H
#define SALLYPORT_TXN_H

#include "gateway/base/uuid.h"
#include "gateway/chain/config.h"
#include "gateway/chain/edit.h"
#include "gateway/chain/identity.h"
#include "gateway/chain/op.h"
#include "gateway/http/message.h"

enum { RESUMES_MAX = 256 };

struct limit_later;  /* ratelimit/limit.h */
struct challenges;   /* auth/demand.h */
struct signed_in;    /* auth/pages.h */
struct session_told; /* auth/session_parts.h */
struct bots_told;    /* gateway/audit/record_bots.h */

struct facts {
#define FACT(name, type, writer) type name;
#include "gateway/chain/facts.def"
#undef FACT
};

/* Where the chain stands: at most one phase runs at a time. */
struct chain_run {
    enum phase phase;
    unsigned index;   /* of the stage in this phase */
    unsigned resumes; /* of this stage */
    bool running, waiting;
    bool calling;      /* a stage is on the stack: the transaction may not go */
    uint64_t began_ns; /* this stage, for the trail: its waiting counts */
    uint64_t aside_ns; /* since when it lets the turn's other events go first */
    struct span body;
    void (*done)(struct txn *txn, struct verdict verdict); /* set by chain_start */
};

/* How long a stage has waited in the phases before: its deadline is for the whole transaction.
 */
struct waited {
    unsigned local; /* of the stage's instance */
    uint64_t ms;
    struct waited *next;
};

struct scope_cache; /* scope.c */

struct txn {
    struct worker *worker;
    struct arena *arena;
    const struct clock *clock;
    const struct config *config;
    const struct site *site;
    const struct route *route;
    struct stream *stream; /* what a crash while this is worked on is blamed on; may be NULL */
    struct request *req;
    struct response *rsp; /* what came from upstream, or is answered here */
    struct addr client, peer;
    struct span sni, tls_version; /* of the connection; empty on plain ones */
    struct span ja4;              /* of the peer; ask txn_ja4 */
    struct span field_order;      /* empty: nobody has asked; ask txn_field_order */
    char id[UUID_TEXT_BYTES];
    uint64_t began_ns, began_us; /* monotonic and wall: head complete */

    struct facts facts;
    struct edit *edits, **edits_tail;
    struct chain_run run;
    struct await await;
    char *state; /* the stages' own, zeroed, route->state_size bytes */
    struct waited *waited;
    struct scope_cache *scope;
    const struct replayed *replayed; /* NULL: a live transaction; replayed.h */
    struct geo *geo;                 /* NULL: nobody has asked yet; see txn_geo */
    bool undecided; /* an expression met a limit: its answer is not to be relied upon (scope.h)
                     */
    bool body_unread; /* a stage wanted the body, and has no way to read what it is */

    struct finding *findings; /* FINDINGS_MAX, made on first use */
    unsigned finding_count, findings_dropped;
    struct scores scores;
    struct span *hidden; /* TXN_HIDDEN_MAX names that the record may not show the values of */
    unsigned hidden_count;
    bool hide_all;
    struct list_hit *list_hits; /* TXN_LIST_HITS_MAX, made on first use */
    unsigned list_hit_count;

    enum reason reason;  /* the decision that stands in the record */
    enum action decided; /* ACTION_PASS until something decided otherwise */
    bool detected;       /* something would have been denied in block mode */
    bool ended;
    bool session_carried;              /* a copy of the session goes out with the answer */
    struct session_told *session_told; /* NULL: nothing that other nodes have to know */
    void *flow;                        /* gateway/flow.c's own state */

    unsigned trail_count;
    struct trail_entry trail[TRAIL_MAX]; /* last: not zeroed */
};

void txn_init(struct txn *txn, struct worker *worker, struct arena *arena, struct request *req);
struct span txn_id(const struct txn *txn);
/* Cuts what is in flight loose. Idempotent; before the arena goes. */
void txn_abort(struct txn *txn);
/* Cuts a phase that waits: its `done` is not called. Another phase may be started then. */
void txn_cancel_phase(struct txn *txn);
/* Reports a match; bounded, copies nothing (spans in arena, message or configuration). */
void txn_find(struct txn *txn, const struct finding *finding);

/* The record shows no value of that name: of a parameter or field, or a variable such as
 * QUERY_STRING. Lives in the arena. Beyond the limit none of any name. */
enum { TXN_HIDDEN_MAX = 32 };
void txn_hide(struct txn *txn, struct span name);

/* The client's: empty where a proxy stands between, whose own it would be. */
struct span txn_ja4(const struct txn *txn);
/* gateway/http/fieldorder.h; empty when memory ran out. */
struct span txn_field_order(struct txn *txn);

/*
 * A list that the client's address was found on, and why it is there: for the record. Copies
 * the texts; of one list the first counts, beyond the limit none.
 */
enum { TXN_LIST_HITS_MAX = 8 };
void txn_list_hit(struct txn *txn, const struct list_hit *hit);

/* The sum that a stage has come to, for the record; a later word replaces an earlier one. */
void txn_score(struct txn *txn, enum score_kind kind, int64_t value);

/* fact_set_user(c, user) and so on: by the stage that facts.def names, and no other. */
#define FACT(name, type, writer) void fact_set_##name(struct call *c, type value);
#include "gateway/chain/facts.def"
#undef FACT

#endif
