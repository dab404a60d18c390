/* Which limits a request is asked about: their keys, costs and windows. */
#include "gateway/base/siphash.h"
#include "gateway/chain/scope.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

enum { CLOCK_STEP_S = 600 };

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

static bool is_asked(const struct limit *limit, enum key_stage stage,
                     const struct limit_plan *plan, struct txn *txn)
{
    if (limit->plan.stage != stage || (limit->of_plan != NULL && limit->of_plan != plan))
        return false;
    if (limit->v6_bits < KEY_NETWORK_BITS && txn->client.family != ADDR_V6)
        return false;
    return holds(txn, limit->rule->when, true);
}

/*
 * In the store a window is a key of its own, which ends with it. Here the window is a part of
 * the number, and so is how often that was reset (table.h).
 *
 * A number of a later window than this stands there when the clock was set back. By a little,
 * at the end of a window: then the next one has begun already, and stays begun, or there would
 * be a whole quota more. By more: the clock was wrong before, and what was counted by it is
 * void, or nobody could pass until it is that time again.
 */
static void set_window(const struct rate_limits *conf, struct limit_item *item,
                       const struct clock *clock)
{
    const struct calendar *calendar = item->limit->calendar;
    const uint64_t turns = QUOTA_TURN_MAX << QUOTA_USED_BITS;
    int64_t begin_s, now_s = (int64_t)(clock->wall_us / 1000000);
    calendar_window(calendar, now_s, &begin_s, &item->ends_s);
    item->now = quota_clock(item->ends_s);
    uint64_t number = tats_get(&conf->quotas, item->key), later = number >> QUOTA_SHIFT;
    if (later > item->now >> QUOTA_SHIFT) {
        int64_t next_s;
        calendar_window(calendar, item->ends_s, &begin_s, &next_s);
        if (item->ends_s - now_s <= CLOCK_STEP_S && later == quota_clock(next_s) >> QUOTA_SHIFT)
            item->ends_s = next_s;
        else
            tats_store(&conf->quotas, item->key, 0, item->now);
        item->now = quota_clock(item->ends_s);
    }
    if (later == item->now >> QUOTA_SHIFT)
        item->now |= number & turns;
}

/*
 * In a Cluster all that one question names has to be on one server. So where the limits of a
 * list count by several things, the list is on one server; where all count by one, each of its
 * values may be on another.
 */
static unsigned find_lane(const struct rate_limits *conf, const struct limit *limit,
                          struct txn *txn)
{
    UNCLEARED struct key key;
    const struct exact *exact = txn->worker->exact;
    const uint8_t *list = conf->limits[0].id;
    if (!exact_spread(exact))
        return 0;
    if (!conf->same_subject[limit->plan.stage] ||
        key_write(&key, &limit->plan, list, (enum on_missing)limit->rule->on_missing,
                  KEY_WIDEST_BITS, txn) != KEY_FOUND)
        return exact_lane(exact, span_of((const char *)list, KEY_ID_BYTES));
    return exact_lane(exact, span_of(key.bytes, key.len));
}

/* A key for each window. */
static void add_window(struct key *key, int64_t ends_s)
{
    memcpy(key->bytes + key->len, &ends_s, sizeof(ends_s));
    key->len += sizeof(ends_s);
}

bool limit_shared_name(const struct rate_limits *conf, const struct limit *limit,
                       const struct exact_names *names, struct span values, int64_t ends_s,
                       struct text *text)
{
    struct key key, subject;
    char name[EXACT_NAME_BYTES];
    const uint8_t *list = conf->limits[0].id;
    if (!key_of_text(&key, &limit->plan, limit->id, limit->v6_bits, values) ||
        !key_of_text(&subject, &limit->plan, list, KEY_WIDEST_BITS, values))
        return false;
    struct span of = conf->same_subject[limit->plan.stage]
                         ? span_of(subject.bytes, subject.len)
                         : span_of((const char *)list, KEY_ID_BYTES);
    add_window(&key, ends_s);
    exact_names_mac(names, span_of(key.bytes, key.len), name);
    exact_names_write(names, exact_names_lane(names, of), name, text);
    return true;
}

static enum key_found add_item(const struct rate_limits *conf, const struct limit *limit,
                               struct call *c, struct limits_state *state)
{
    UNCLEARED struct key key;
    enum key_found found =
        key_write(&key, &limit->plan, limit->id, (enum on_missing)limit->rule->on_missing,
                  limit->v6_bits, c->txn);
    if (found != KEY_FOUND)
        return found;
    /* The memory takes longer than all that follows: it is asked first. */
    struct siphash_state hash = limit->begun;
    uint64_t place = siphash128_first(&hash, key.bytes + KEY_ID_BYTES, key.len - KEY_ID_BYTES);
    cells_soon(&limit_table(conf, limit)->cells, place);
    if (limit->exact && limit->kind != KIND_QUOTA)
        exact_name_soon(c->txn->worker->exact, place);
    struct limit_item *item = &state->items[state->count];
    *item = (struct limit_item){ .limit = limit, .now = c->txn->clock->mono_ns };
    item->cost = limit->rule->costs.count > 0 ? cost_of(limit->rule, c->txn)
                                              : (uint64_t)limit->rule->cost;
    if (item->cost == 0 && limit->rule->response_cost.len == 0)
        return KEY_SKIPPED;
    item->key = (struct cell_key){ place, siphash128_second(&hash) };
    if (limit->kind == KIND_QUOTA)
        set_window(conf, item, c->txn->clock);
    if (limit->exact) {
        struct cell_key local = item->key;
        if (limit->kind == KIND_QUOTA) {
            add_window(&key, item->ends_s);
            local.place ^= (uint64_t)item->ends_s;
        }
        exact_name(c->txn->worker->exact, &local, span_of(key.bytes, key.len), item->shared);
        if (state->exact++ == 0)
            state->lane = find_lane(conf, limit, c->txn);
        item->lane = state->lane;
    }
    state->count++;
    return found;
}

enum key_found limits_gather(struct call *c, enum key_stage stage, struct limits_state *state)
{
    const struct rate_limits *conf = c->conf;
    state->count = state->exact = 0;
    if (conf->at[stage] == 0)
        return KEY_FOUND;
    state->items = arena_alloc(c->txn->arena, conf->at[stage] * sizeof(*state->items));
    if (state->items == NULL)
        return KEY_FAILED;
    const struct limit_plan *plan = stage != KEY_AT_HEAD ? limit_plan_of(conf, c->txn) : NULL;
    for (unsigned i = 0; i < conf->count; i++) {
        const struct limit *limit = &conf->limits[i];
        if (!is_asked(limit, stage, plan, c->txn))
            continue;
        enum key_found found = add_item(conf, limit, c, state);
        if (found == KEY_REJECTED || found == KEY_FAILED)
            return found;
    }
    return KEY_FOUND;
}
