/*
 * A limit in the store's numbers: what is asked of a key, and what its answer says of it.
 */
#include "gateway/chain/txn.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

uint64_t shared_used(const struct limit *limit, uint64_t ahead)
{
    return limit->kind == KIND_QUOTA ? ahead & ((UINT64_C(1) << TURN_BITS) - 1) : ahead;
}

uint64_t shared_left(const struct limit *limit, uint64_t used)
{
    uint64_t tolerance = limit->burst * limit->interval_units;
    return used < tolerance ? tolerance - used : 0;
}

uint64_t shared_owed(const struct limit *limit, uint64_t used)
{
    uint64_t tolerance = limit->burst * limit->interval_units;
    return used > tolerance ? used - tolerance : 0;
}

uint64_t shared_step(const struct limit_item *item)
{
    return item->limit->kind == KIND_SLOTS ? 1 : item->cost * item->limit->interval_units;
}

/*
 * What this node knows goes along as long as the store may know less: for as long as a bucket
 * takes to drain after the store was away. Not always, for on the way to the store it grows
 * older by the time of the way, and each question would take that much of the limit. A window
 * has no clock, and loses nothing.
 */
static uint64_t floor_of(const struct rate_limits *conf, const struct exact *exact,
                         const struct limit_item *item)
{
    const struct limit *limit = item->limit;
    uint64_t back_ns = exact_back_ns(exact, item->lane);
    if (limit->kind == KIND_RATE &&
        (back_ns == 0 || item->now >= back_ns + limit->gcra.most_ns))
        return 0;
    uint64_t tat = tats_get(limit_table(conf, limit), item->key);
    uint64_t ahead = tat > item->now ? tat - item->now : 0;
    if (ahead > limit->gcra.most_ns)
        ahead = limit->gcra.most_ns;
    if (limit->kind == KIND_QUOTA)
        ahead += (item->now >> QUOTA_USED_BITS & QUOTA_TURN_MAX) << TURN_BITS;
    return ahead / limit->unit;
}

void limit_ask_shared(const struct rate_limits *conf, const struct txn *txn,
                      const struct limit_item *item, struct exact_item *into)
{
    const struct limit *limit = item->limit;
    int64_t wall_s = (int64_t)(txn->clock->wall_us / 1000000);
    *into = (struct exact_item){ .step = shared_step(item),
                                 .tolerance = limit->burst * limit->interval_units,
                                 .shadow = limit->shadow };
    memcpy(into->name, item->shared, sizeof(into->name));
    into->slots = limit->kind == KIND_SLOTS;
    if (into->slots)
        return;
    into->line = cells_line(&limit_table(conf, limit)->cells, item->key.place);
    into->most = (limit->burst + limit->debt) * limit->interval_units;
    into->penalty = (uint64_t)limit->rule->penalty * limit->interval_units;
    into->floor = floor_of(conf, txn->worker->exact, item);
    if (limit->kind == KIND_QUOTA)
        into->expires_s = (uint64_t)(item->ends_s > wall_s ? item->ends_s - wall_s : 0) + 60;
}
