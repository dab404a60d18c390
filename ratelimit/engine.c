/*
 * One decision over all limits of a request: all are asked before any is charged, so that a
 * refusal by the hourly one does not use up the daily one.
 *
 * What the store said of a key last stands in the local table, as a lower bound: a key that is
 * known to be spent costs the store no question, and when the store is gone each node goes on
 * from there with its share of the limit. What it counts meanwhile goes along with the next
 * question as the floor, so that counts meet again when the store is back, and when it comes
 * back empty.
 *
 * Of a leased key a worker may hold tokens that the store gave it before (lease.h): what they
 * cover is not asked.
 */
#include "gateway/chain/edit.h"
#include "gateway/chain/reply.h"
#include "gateway/store/slots.h"
#include "ratelimit/exact.h"
#include "ratelimit/holds.h"
#include "ratelimit/lease.h"
#include "ratelimit/limit.h"

/* ---- asking ---- */

static uint64_t cost_ns(const struct limit_item *item, const struct gcra *gcra)
{
    return item->cost * gcra->interval_ns;
}

/* This node's share of a limit, for as long as every node counts alone. */
static struct gcra share_of(const struct limit_item *item, unsigned nodes)
{
    const struct limit *limit = item->limit;
    struct gcra share = limit->gcra;
    uint64_t burst = limit->burst / nodes, span;
    if (burst < item->cost)
        burst = item->cost;
    if (__builtin_mul_overflow(share.interval_ns, nodes, &share.interval_ns) ||
        __builtin_mul_overflow(share.interval_ns, burst, &span) || span > GCRA_SPAN_MAX_NS)
        return limit->gcra;
    share.most_ns += span - share.tolerance_ns;
    share.tolerance_ns = span;
    return share;
}

/* How a limit is counted for this request. */
struct counting {
    const struct rate_limits *conf;
    struct call *c;
    unsigned nodes; /* above 1: the store is gone, and exact ones are shares */
    bool asking;    /* the store is to be asked */
};

static const struct gcra *gcra_of(const struct counting *by, const struct limit_item *item,
                                  struct gcra *share)
{
    if (!item->limit->exact || by->nodes <= 1)
        return &item->limit->gcra;
    *share = share_of(item, by->nodes);
    return share;
}

static uint64_t slots_of(const struct counting *by, const struct limit_item *item)
{
    uint64_t share = item->limit->burst / by->nodes;
    if (!item->limit->exact || by->nodes <= 1)
        return item->limit->burst;
    return share > 0 ? share : 1;
}

/* Until the same would pass: of a quota, the end of its window. */
static uint64_t wait_of(const struct counting *by, const struct limit_item *item,
                        uint64_t wait_ns)
{
    const uint64_t second = UINT64_C(1000000000);
    if (item->limit->kind == KIND_RATE)
        return wait_ns;
    if (item->limit->kind == KIND_SLOTS)
        return second; /* nobody knows; soon */
    int64_t left = item->ends_s - (int64_t)(by->c->txn->clock->wall_us / 1000000);
    return left > 0 ? (uint64_t)left * second : second;
}

/* Of several that refuse, the one that does so longest is told. */
static void worst(const struct counting *by, struct limit_answer *answer,
                  const struct limit_item *item, uint64_t wait_ns, uint64_t remaining)
{
    uint64_t wait = wait_of(by, item, wait_ns);
    if (answer->limit == NULL || wait > answer->wait_ns)
        *answer = (struct limit_answer){ item->limit, wait, remaining };
}

static void count(const struct counting *by, const struct limit *limit,
                  enum limit_outcome outcome, enum limit_counter counter)
{
    if (limit->meter != NULL)
        meter_limit(by->c->txn->worker->meters, limit->meter->row, outcome, counter);
}

static struct verdict refuse(const struct counting *by, const struct limit_answer *answer,
                             enum limit_counter counter)
{
    struct call *c = by->c;
    count(by, answer->limit, LIMIT_REFUSED, counter);
    fact_set_limit(c, answer->limit->name);
    fact_set_limit_left(c, answer->remaining);
    fact_set_limit_store(c, meter_counters[counter]);
    return deny_with(REASON_RATE_LIMIT, limit_refusal(c->txn, by->conf, answer));
}

static void watch(const struct counting *by, struct limit_item *item)
{
    const struct limit *limit = item->limit;
    item->watched = true;
    count(by, limit, LIMIT_WATCHED, limit->exact ? COUNTED_EXACT : COUNTED_LOCAL);
    fact_set_limit_shadow(by->c, limit->name);
}

static struct lease *lease_for(const struct counting *by, const struct limit_item *item)
{
    if (!item->limit->lease)
        return NULL;
    return lease_of(exact_leases(by->c->txn->worker->exact), item->key, item->now);
}

/* Of a leased key that has just been refused, while the store counts. */
static uint64_t pause_of(const struct counting *by, const struct limit_item *item)
{
    const struct lease *lease = by->asking ? lease_for(by, item) : NULL;
    return lease != NULL ? lease_pause_ns(lease, item->now) : 0;
}

/*
 * What refuses without a question to the store. Not a penalty, which is the store's to take;
 * and now and then a spent quota is asked for, for it may have been reset.
 */
static bool is_known(const struct limit_item *item)
{
    const struct limit *limit = item->limit;
    if (limit->shadow || item->covered)
        return false;
    return !limit->exact || limit->rule->penalty == 0;
}

static bool asks_again(const struct counting *by, const struct limit_item *item)
{
    struct exact *exact = by->c->txn->worker->exact;
    return item->limit->exact && item->limit->kind == KIND_QUOTA && by->asking &&
           exact_recheck(exact, &item->key, by->c->txn->clock->mono_ns);
}

/* The limits that would refuse, as far as is known here. Takes nothing. */
static struct limit_answer look(const struct counting *by, const struct limits_state *state)
{
    struct limit_answer answer = { .limit = NULL };
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        UNCLEARED struct gcra share;
        if (!is_known(item))
            continue;
        if (item->limit->kind == KIND_SLOTS) {
            if (!slots_free(by->conf, item, slots_of(by, item)))
                worst(by, &answer, item, 0, 0);
            continue;
        }
        uint64_t tat = tats_get(limit_table(by->conf, item->limit), item->key);
        const struct gcra *gcra = gcra_of(by, item, &share);
        struct gcra_answer said = gcra_ask(gcra, tat, item->now, cost_ns(item, gcra));
        uint64_t pause_ns = pause_of(by, item);
        if ((!said.allowed && !asks_again(by, item)) || pause_ns > 0)
            worst(by, &answer, item, said.wait_ns > pause_ns ? said.wait_ns : pause_ns,
                  said.remaining);
    }
    return answer;
}

static void punish(const struct counting *by, const struct limits_state *state,
                   const struct limit *denier)
{
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        if (item->limit == denier && denier->rule->penalty > 0)
            tats_charge(limit_table(by->conf, denier), item->key, denier->gcra.tolerance_ns,
                        item->now, (uint64_t)denier->rule->penalty * denier->gcra.interval_ns);
    }
}

static void refund(const struct counting *by, const struct limits_state *state, unsigned taken,
                   bool exact)
{
    while (taken-- > 0) {
        const struct limit_item *item = &state->items[taken];
        UNCLEARED struct gcra share;
        const struct gcra *gcra = gcra_of(by, item, &share);
        /* A slot goes back with the request, which is over soon. */
        if (!item->limit->shadow && (exact || !item->limit->exact) &&
            item->limit->kind != KIND_SLOTS)
            tats_refund(limit_table(by->conf, item->limit), item->key, cost_ns(item, gcra));
    }
}

/*
 * What a shared key's requests hold stands on this node, too: it is what the node goes on from
 * when the store is gone, and what the store is told of when it is back.
 */
static enum err take_slot(const struct counting *by, const struct limit_item *item)
{
    struct txn *txn = by->c->txn;
    TRY(slots_take(by->c->local, by->conf, item, slots_of(by, item), txn));
    if (!item->limit->exact || txn->worker->exact == NULL)
        return OK;
    struct hold *hold =
        hold_use(exact_holds(txn->worker->exact), item->lane, item->shared, item->limit->burst);
    if (hold == NULL)
        return OK;
    hold_take(hold, txn->arena);
    hold_leave(hold);
    return OK;
}

/* OK with `said` filled in, or an error: then it cannot be told. */
static enum err take_one(const struct counting *by, const struct limit_item *item,
                         struct gcra_answer *said)
{
    if (item->limit->kind == KIND_SLOTS) {
        enum err err = take_slot(by, item);
        *said = (struct gcra_answer){ .allowed = err == OK };
        return err == ERR_LIMIT ? OK : err;
    }
    UNCLEARED struct gcra share;
    const struct gcra *gcra = gcra_of(by, item, &share);
    enum err err = tats_take(limit_table(by->conf, item->limit), item->key, gcra, item->now,
                             cost_ns(item, gcra), said);
    struct worker_shared *shared = by->c->txn->worker->shared;
    if (err == OK && said->evicted && shared != NULL)
        shared->counters.limits_evicted++;
    return err;
}

/* The store has granted it; that none seems to be free here is no objection. */
static void note_slot(const struct counting *by, const struct limit_item *item)
{
    if (item->limit->kind != KIND_SLOTS || item->limit->shadow)
        return;
    enum err err = slots_take(by->c->local, by->conf, item, item->limit->burst, by->c->txn);
    (void)err;
}

/*
 * Takes of every limit that counts here. `exact`: the shared ones too, for the store is gone.
 */
static struct verdict take(const struct counting *by, struct limits_state *state, bool exact)
{
    for (unsigned i = 0; i < state->count; i++) {
        struct limit_item *item = &state->items[i];
        UNCLEARED struct gcra_answer said;
        if (item->limit->exact && !exact) {
            note_slot(by, item);
            continue;
        }
        enum err err = take_one(by, item, &said);
        if (err == OK && said.allowed)
            continue;
        if (err == OK && item->limit->shadow) {
            watch(by, item);
            continue;
        }
        refund(by, state, i, exact); /* another worker was faster between asking and taking */
        if (err != OK)
            return fail(REASON_STAGE_FAILED);
        struct limit_answer answer = { .limit = NULL };
        worst(by, &answer, item, said.wait_ns, said.remaining);
        punish(by, state, item->limit);
        return refuse(by, &answer,
                      exact && item->limit->exact ? COUNTED_FALLBACK : COUNTED_LOCAL);
    }
    return pass();
}

static struct verdict decide_here(const struct counting *by, struct limits_state *state)
{
    if (state->count > 1) {
        struct limit_answer answer = look(by, state);
        if (answer.limit != NULL) {
            punish(by, state, answer.limit);
            return refuse(by, &answer, answer.limit->exact ? COUNTED_FALLBACK : COUNTED_LOCAL);
        }
    }
    return take(by, state, true);
}

/* ---- the store ---- */

static struct counting counting_for(struct call *c)
{
    return (struct counting){ .conf = c->conf, .c = c, .nodes = 1 };
}

/* What is left is told with the answer, if somebody wants to know it. */
static struct verdict noted(const struct counting *by, const struct limits_state *state,
                            struct verdict verdict, enum limit_counter shared)
{
    if (verdict.action != ACTION_PASS)
        return verdict;
    for (unsigned i = 0; i < state->count; i++)
        if (!state->items[i].watched)
            count(by, state->items[i].limit, LIMIT_PASSED,
                  limit_counted(&state->items[i], shared));
    if (by->conf->always)
        limits_note(by->c, state, shared);
    return verdict;
}

static struct verdict decide_without_store(struct call *c, struct limits_state *state)
{
    const struct store *store = c->txn->config->store;
    struct counting by = counting_for(c);
    by.nodes = store->nodes;
    switch (store->on_failure) {
    case FAILURE_DENY:
        return fail(REASON_LIMIT_STORE);
    case FAILURE_ALLOW:
        return noted(&by, state, take(&by, state, false), COUNTED_FALLBACK);
    case FAILURE_LOCAL:
        break;
    }
    return noted(&by, state, decide_here(&by, state), COUNTED_FALLBACK);
}

static void remember(const struct counting *by, const struct limit_item *item, uint64_t sent_ns,
                     uint64_t ahead)
{
    const struct limit *limit = item->limit;
    uint64_t taken = shared_used(limit, ahead) * limit->unit, from = sent_ns;
    if (limit->kind == KIND_SLOTS)
        return; /* who holds them stands there */
    if (limit->kind == KIND_QUOTA)
        from = quota_clock(item->ends_s) +
               ((ahead >> TURN_BITS & QUOTA_TURN_MAX) << QUOTA_USED_BITS);
    if (taken > limit->gcra.most_ns)
        taken = limit->gcra.most_ns;
    tats_store(limit_table(by->conf, limit), item->key, from + taken, item->now);
}

/* What came along for later, or that nothing will for a while. */
static void keep_lease(const struct counting *by, const struct limit_item *item,
                       const struct exact_answer *said)
{
    struct lease *lease = lease_for(by, item);
    if (lease == NULL)
        return;
    uint64_t now_ns = by->c->txn->worker->loop.clock.mono_ns;
    if (said->extra > 0)
        lease_put(lease, said->extra * item->cost * item->limit->interval_units, now_ns);
    if (!said->granted && lease_wants(lease) > 0)
        lease_refused(lease, item->limit->gcra.tolerance_ns, now_ns);
}

static struct limit_answer read_answer(const struct counting *by, struct limits_state *state,
                                       const struct exact_answer *said)
{
    struct limit_answer answer = { .limit = NULL };
    const struct limit_item *first = NULL;
    unsigned at = 0;
    for (unsigned i = 0; i < state->count && at < said->count; i++) {
        struct limit_item *item = &state->items[i];
        const struct limit *limit = item->limit;
        if (!limit->exact || item->covered)
            continue;
        uint64_t ahead = said->items[at].ahead, used = shared_used(limit, ahead);
        uint64_t step = shared_step(item), left = shared_left(limit, used);
        bool taken = said->items[at++].taken;
        remember(by, item, said->sent_ns, ahead);
        keep_lease(by, item, said);
        if (limit->shadow) {
            if (!taken)
                watch(by, item);
            continue;
        }
        if (first == NULL)
            first = item;
        if (!said->granted && left < step)
            worst(by, &answer, item, (step + shared_owed(limit, used) - left) * limit->unit,
                  left / limit->interval_units);
    }
    if (!said->granted && answer.limit == NULL && first != NULL)
        worst(by, &answer, first, first->limit->gcra.interval_ns, 0); /* just free again */
    return answer;
}

/* What a lease covers is taken of it at once, and given back if the request is refused. */
static void cover(const struct counting *by, struct limits_state *state)
{
    for (unsigned i = 0; i < state->count; i++) {
        struct limit_item *item = &state->items[i];
        struct lease *lease = lease_for(by, item);
        if (lease == NULL)
            continue;
        lease_use(lease);
        item->covered = lease_take(lease, item->cost * item->limit->interval_units, item->now);
    }
}

static void uncover(const struct counting *by, struct limits_state *state)
{
    for (unsigned i = 0; i < state->count; i++) {
        struct limit_item *item = &state->items[i];
        if (item->covered)
            lease_return(lease_for(by, item), item->cost * item->limit->interval_units);
        item->covered = false;
    }
}

/* The shared ones let it pass; now those that are counted here. */
static struct verdict take_rest(const struct counting *by, struct limits_state *state)
{
    struct verdict verdict = take(by, state, false);
    if (verdict.action != ACTION_PASS)
        uncover(by, state);
    return noted(by, state, verdict, COUNTED_EXACT);
}

static struct verdict on_answer(struct call *c)
{
    struct limits_state *state = c->state;
    struct counting by = counting_for(c);
    if (c->error != OK) {
        uncover(&by, state);
        return decide_without_store(c, state);
    }
    struct limit_answer answer = read_answer(&by, state, c->answer);
    if (answer.limit != NULL) {
        uncover(&by, state);
        return refuse(&by, &answer, COUNTED_EXACT);
    }
    return take_rest(&by, state);
}

/* Tokens in advance are asked for only where they are of every key in the question. */
static struct verdict ask_store(struct call *c, struct limits_state *state,
                                const struct counting *by)
{
    /* Not on the stack: what stands there is zeroed first, and there may be many. */
    struct exact_item *items = arena_alloc(c->txn->arena, state->exact * sizeof(*items));
    unsigned count = 0, extra = LEASE_TOKENS_MAX;
    if (items == NULL) {
        uncover(by, state);
        return fail(REASON_MEMORY);
    }
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        if (!item->limit->exact || item->covered)
            continue;
        INVARIANT(count < state->exact);
        limit_ask_shared(by->conf, by->c->txn, item, &items[count++]);
        const struct lease *lease = lease_for(by, item);
        unsigned wants = lease != NULL ? lease_wants(lease) : 0;
        extra = wants < extra ? wants : extra;
    }
    if (count == 0)
        return take_rest(by, state);
    struct op *op = exact_ask(c->txn->worker->exact, state->lane, items, count, extra);
    if (op != NULL)
        return wait_for(c, op, on_answer);
    uncover(by, state);
    return decide_without_store(c, state);
}

/* ---- what the answer costs ---- */

static void remember_later(struct call *c, const struct limits_state *state)
{
    struct limit_later *later = c->txn->facts.limit_later;
    for (unsigned i = 0; i < state->count; i++) {
        if (state->items[i].limit->rule->response_cost.len == 0)
            continue;
        if (later == NULL) {
            later = arena_new(c->txn->arena, struct limit_later);
            fact_set_limit_later(c, later);
        }
        if (later != NULL && later->count < ARRAY_LEN(later->items))
            later->items[later->count++] = state->items[i];
    }
}

/* More than `debt` is not owed: who was let in once comes in again some day. */
static void charge(const struct counting *by, const struct limit_item *item, uint64_t cost)
{
    const struct limit *limit = item->limit;
    struct exact *exact = by->c->txn->worker->exact;
    struct exact_item shared;
    uint64_t most = limit->burst + limit->debt;
    cost = cost < most ? cost : most;
    if (!limit->exact || !exact_usable(exact, item->lane)) {
        tats_charge(limit_table(by->conf, limit), item->key, limit->gcra.most_ns, item->now,
                    cost * limit->gcra.interval_ns);
        return;
    }
    limit_ask_shared(by->conf, by->c->txn, item, &shared);
    shared.step = cost * limit->interval_units;
    exact_charge(exact, item->lane, &shared);
}

struct verdict limits_charge(struct call *c)
{
    const struct limit_later *later = c->txn->facts.limit_later;
    struct counting by = counting_for(c);
    for (unsigned i = 0; later != NULL && i < later->count; i++) {
        const struct limit_item *item = &later->items[i];
        struct span name = item->limit->rule->response_cost;
        const struct field *field = fields_find(&c->rsp->fields, name);
        uint64_t cost = 0;
        if (field == NULL)
            continue;
        if (!edit_field(c->txn, EDIT_RESPONSE, EDIT_DROP, name, SPAN("")))
            return fail(REASON_MEMORY);
        if (span_uint(field->value, &cost) && cost > 0)
            charge(&by, item, cost);
    }
    return pass();
}

struct verdict limits_ask(struct call *c, enum key_stage stage)
{
    struct limits_state *state = c->state;
    switch (limits_gather(c, stage, state)) {
    case KEY_FAILED:
        return fail(REASON_MEMORY);
    case KEY_REJECTED:
        return deny(REASON_LIMIT_KEY);
    case KEY_SKIPPED:
    case KEY_FOUND:
        break;
    }
    if (state->count == 0)
        return pass();
    if (((const struct rate_limits *)c->conf)->costs_later)
        remember_later(c, state);
    struct counting by = counting_for(c);
    if (state->exact == 0)
        return noted(&by, state, decide_here(&by, state), COUNTED_LOCAL);
    if (!exact_usable(c->txn->worker->exact, state->lane))
        return decide_without_store(c, state);
    by.asking = true;
    cover(&by, state);
    struct limit_answer known = look(&by, state);
    if (known.limit != NULL) {
        uncover(&by, state);
        punish(&by, state, known.limit);
        return refuse(&by, &known, known.limit->exact ? COUNTED_EXACT : COUNTED_LOCAL);
    }
    return ask_store(c, state, &by);
}
