/*
 * One decision over all limits of a request: all are asked before any is charged, so that a
 * refusal by the hourly one does not use up the daily one.
 *
 * What the store said of a key last stands in the local table, as a lower bound: a key that is
 * known to be spent costs the store no question, and when the store is gone each node goes on
 * from there with its share of the limit. What it counts meanwhile goes along with the next
 * question as the floor, so that counts meet again when the store is back, and when it comes
 * back empty.
 */
#include "gateway/base/siphash.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/scope.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

/* ---- what is to be asked ---- */

static bool holds(struct txn *txn, const struct expr *when, bool undecided)
{
    if (when == NULL)
        return true;
    txn->undecided = false;
    struct expr_source source = scope_source(txn);
    bool yes = expr_eval(when, &source);
    return txn->undecided ? undecided : yes;
}

/* What cannot be told counts: as a request that the limit is for, at the highest price. */
static uint64_t cost_of(const struct limit_rule *rule, struct txn *txn)
{
    const struct limit_cost *costs = rule->costs.items;
    for (size_t i = 0; i < rule->costs.count; i++)
        if (holds(txn, costs[i].when, true))
            return (uint64_t)costs[i].cost;
    return (uint64_t)rule->cost;
}

static bool is_asked(const struct limit *limit, enum key_stage stage, struct txn *txn)
{
    if (limit->plan.stage != stage)
        return false;
    if (limit->v6_bits < KEY_NETWORK_BITS && txn->client.family != ADDR_V6)
        return false;
    return holds(txn, limit->rule->when, true);
}

static enum key_found add_item(const struct rate_limits *conf, const struct limit *limit,
                               struct call *c, struct limits_state *state)
{
    struct key key;
    enum key_found found =
        key_write(&key, &limit->plan, limit->id, (enum on_missing)limit->rule->on_missing,
                  limit->v6_bits, c->txn);
    if (found != KEY_FOUND)
        return found;
    struct limit_item *item = &state->items[state->count];
    item->limit = limit;
    item->cost = limit->rule->costs.count > 0 ? cost_of(limit->rule, c->txn)
                                              : (uint64_t)limit->rule->cost;
    if (item->cost == 0)
        return KEY_SKIPPED;
    item->key =
        (struct tat_key){ .place = siphash(&conf->place, key.bytes, key.len),
                          .fingerprint = siphash(&conf->fingerprint, key.bytes, key.len) };
    if (limit->exact) {
        exact_name(c->txn->worker->exact, span_of(key.bytes, key.len), item->shared);
        state->exact++;
    }
    state->count++;
    return found;
}

static enum key_found gather(struct call *c, enum key_stage stage, struct limits_state *state)
{
    const struct rate_limits *conf = c->conf;
    state->count = state->exact = 0;
    if (conf->at[stage] == 0)
        return KEY_FOUND;
    state->items = arena_alloc(c->txn->arena, conf->at[stage] * sizeof(*state->items));
    if (state->items == NULL)
        return KEY_FAILED;
    for (unsigned i = 0; i < conf->count; i++) {
        const struct limit *limit = &conf->limits[i];
        if (!is_asked(limit, stage, c->txn))
            continue;
        enum key_found found = add_item(conf, limit, c, state);
        if (found == KEY_REJECTED || found == KEY_FAILED)
            return found;
    }
    return KEY_FOUND;
}

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
    if (nodes <= 1)
        return share;
    if (burst < item->cost)
        burst = item->cost;
    if (__builtin_mul_overflow(share.interval_ns, nodes, &share.interval_ns) ||
        __builtin_mul_overflow(share.interval_ns, burst, &span) || span > GCRA_SPAN_MAX_NS)
        return limit->gcra;
    share.tolerance_ns = span;
    return share;
}

/* How a limit is counted for this request. */
struct counting {
    const struct rate_limits *conf;
    struct call *c;
    uint64_t now_ns;
    unsigned nodes; /* above 1: the store is gone, and exact ones are shares */
};

static struct gcra gcra_of(const struct counting *by, const struct limit_item *item)
{
    return item->limit->exact ? share_of(item, by->nodes) : item->limit->gcra;
}

/* Of several that refuse, the one that does so longest is told. */
static void worst(struct limit_answer *answer, const struct limit *limit, uint64_t wait_ns,
                  uint64_t remaining)
{
    if (answer->limit == NULL || wait_ns > answer->wait_ns)
        *answer = (struct limit_answer){ limit, wait_ns, remaining };
}

static struct verdict refuse(const struct counting *by, const struct limit_answer *answer,
                             const char *store)
{
    struct call *c = by->c;
    fact_set_limit(c, answer->limit->name);
    fact_set_limit_left(c, answer->remaining);
    fact_set_limit_store(c, store);
    return deny_with(REASON_RATE_LIMIT, limit_refusal(c->txn, by->conf, answer));
}

static void watch(const struct counting *by, const struct limit *limit)
{
    fact_set_limit_shadow(by->c, limit->name);
}

/* The limits that would refuse, as far as is known here. Takes nothing. */
static struct limit_answer look(const struct counting *by, const struct limits_state *state)
{
    struct limit_answer answer = { .limit = NULL };
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        struct gcra gcra = gcra_of(by, item);
        /* A penalty is the store's to take, so it is asked in any case. */
        if (item->limit->shadow || (item->limit->exact && item->limit->rule->penalty > 0))
            continue;
        uint64_t tat = tats_get(&by->conf->table, item->key);
        struct gcra_answer said = gcra_ask(&gcra, tat, by->now_ns, cost_ns(item, &gcra));
        if (!said.allowed)
            worst(&answer, item->limit, said.wait_ns, said.remaining);
    }
    return answer;
}

static void punish(const struct counting *by, const struct limits_state *state,
                   const struct limit *denier)
{
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        if (item->limit == denier && denier->rule->penalty > 0)
            tats_charge(&by->conf->table, item->key, &denier->gcra, by->now_ns,
                        (uint64_t)denier->rule->penalty * denier->gcra.interval_ns);
    }
}

static void refund(const struct counting *by, const struct limits_state *state, unsigned taken,
                   bool exact)
{
    while (taken-- > 0) {
        const struct limit_item *item = &state->items[taken];
        struct gcra gcra = gcra_of(by, item);
        if (!item->limit->shadow && (exact || !item->limit->exact))
            tats_refund(&by->conf->table, item->key, cost_ns(item, &gcra));
    }
}

/*
 * Takes of every limit that counts here. `exact`: the shared ones too, for the store is gone.
 */
static struct verdict take(const struct counting *by, const struct limits_state *state,
                           bool exact)
{
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        if (item->limit->exact && !exact)
            continue;
        struct gcra gcra = gcra_of(by, item);
        struct gcra_answer said;
        enum err err = tats_take(&by->conf->table, item->key, &gcra, by->now_ns,
                                 cost_ns(item, &gcra), &said);
        if (err == OK && said.allowed)
            continue;
        if (item->limit->shadow) {
            watch(by, item->limit);
            continue;
        }
        refund(by, state, i, exact); /* another worker was faster between asking and taking */
        if (err != OK)
            return fail(REASON_STAGE_FAILED);
        struct limit_answer answer = { item->limit, said.wait_ns, said.remaining };
        punish(by, state, item->limit);
        return refuse(by, &answer, exact && item->limit->exact ? "fallback" : "local");
    }
    return pass();
}

static struct verdict decide_here(const struct counting *by, const struct limits_state *state)
{
    if (state->count > 1) {
        struct limit_answer answer = look(by, state);
        if (answer.limit != NULL) {
            punish(by, state, answer.limit);
            return refuse(by, &answer, answer.limit->exact ? "fallback" : "local");
        }
    }
    return take(by, state, true);
}

/* ---- the store ---- */

static struct counting counting_for(struct call *c)
{
    return (struct counting){
        .conf = c->conf, .c = c, .now_ns = c->txn->clock->mono_ns, .nodes = 1
    };
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
        return take(&by, state, false);
    case FAILURE_LOCAL:
        break;
    }
    return decide_here(&by, state);
}

/* The store's word on one key: what is left, as the limit has it. */
static uint64_t left_units(const struct limit *limit, uint64_t ahead)
{
    uint64_t tolerance = limit->burst * limit->interval_units;
    return ahead < tolerance ? tolerance - ahead : 0;
}

static void remember(const struct counting *by, const struct limit_item *item, uint64_t sent_ns,
                     uint64_t ahead)
{
    uint64_t ahead_ns = ahead * UNIT_NS;
    if (ahead_ns > item->limit->gcra.tolerance_ns)
        ahead_ns = item->limit->gcra.tolerance_ns;
    tats_store(&by->conf->table, item->key, sent_ns + ahead_ns, by->now_ns);
}

static struct limit_answer read_answer(const struct counting *by,
                                       const struct limits_state *state,
                                       const struct exact_answer *said)
{
    struct limit_answer answer = { .limit = NULL };
    const struct limit *first = NULL;
    unsigned at = 0;
    for (unsigned i = 0; i < state->count && at < said->count; i++) {
        const struct limit_item *item = &state->items[i];
        const struct limit *limit = item->limit;
        if (!limit->exact)
            continue;
        uint64_t ahead = said->items[at].ahead, left = left_units(limit, ahead);
        uint64_t step = item->cost * limit->interval_units;
        bool taken = said->items[at++].taken;
        remember(by, item, said->sent_ns, ahead);
        if (limit->shadow) {
            if (!taken)
                watch(by, limit);
            continue;
        }
        if (first == NULL)
            first = limit;
        if (!said->granted && left < step)
            worst(&answer, limit, (step - left) * UNIT_NS, left / limit->interval_units);
    }
    if (!said->granted && answer.limit == NULL && first != NULL)
        worst(&answer, first, first->gcra.interval_ns, 0); /* it has just become free */
    return answer;
}

static struct verdict on_answer(struct call *c)
{
    struct limits_state *state = c->state;
    struct counting by = counting_for(c);
    if (c->error != OK)
        return decide_without_store(c, state);
    struct limit_answer answer = read_answer(&by, state, c->answer);
    if (answer.limit != NULL)
        return refuse(&by, &answer, "exact");
    return take(&by, state, false);
}

static struct verdict ask_store(struct call *c, struct limits_state *state,
                                const struct counting *by)
{
    struct exact_item items[ASK_ITEMS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < state->count; i++) {
        const struct limit_item *item = &state->items[i];
        const struct limit *limit = item->limit;
        if (!limit->exact)
            continue;
        uint64_t tat = tats_get(&by->conf->table, item->key);
        uint64_t floor = tat > by->now_ns ? (tat - by->now_ns) / UNIT_NS : 0;
        INVARIANT(count < ASK_ITEMS_MAX);
        struct exact_item *into = &items[count++];
        memcpy(into->name, item->shared, sizeof(into->name));
        into->step = item->cost * limit->interval_units;
        into->tolerance = limit->burst * limit->interval_units;
        into->penalty = (uint64_t)limit->rule->penalty * limit->interval_units;
        into->floor = floor < into->tolerance ? floor : into->tolerance;
        into->shadow = limit->shadow;
    }
    struct op *op = exact_ask(c->txn->worker->exact, items, count);
    return op != NULL ? wait_for(c, op, on_answer) : decide_without_store(c, state);
}

struct verdict limits_ask(struct call *c, enum key_stage stage)
{
    struct limits_state *state = c->state;
    switch (gather(c, stage, state)) {
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
    struct counting by = counting_for(c);
    if (state->exact == 0)
        return decide_here(&by, state);
    if (!exact_usable(c->txn->worker->exact))
        return decide_without_store(c, state);
    struct limit_answer known = look(&by, state);
    if (known.limit != NULL) {
        punish(&by, state, known.limit);
        return refuse(&by, &known, known.limit->exact ? "exact" : "local");
    }
    return ask_store(c, state, &by);
}
