/*
 * Plans: limits of their own for whom has one. A plan is found by what was authenticated, never
 * by what a client merely says: the id of its API key, a claim, its groups, in this order; who
 * has none is on `default_plan`.
 */
#include "gateway/chain/identity.h"
#include "ratelimit/limit.h"

static const struct limit_plan *by_name(const struct rate_limits *conf, struct span name)
{
    const struct limit_plan *plans = conf->plans.items;
    for (size_t i = 0; i < conf->plans.count; i++)
        if (span_equal(plans[i].item.key, name))
            return &plans[i];
    return NULL;
}

static bool names(const struct texts *texts, struct span text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (span_equal(texts->items[i], text))
            return true;
    return false;
}

static const struct limit_plan *by_key(const struct rate_limits *conf, struct span key)
{
    const struct limit_plan *plans = conf->plans.items;
    for (size_t i = 0; i < conf->plans.count; i++)
        if (names(&plans[i].keys, key))
            return &plans[i];
    return NULL;
}

static const struct limit_plan *by_group(const struct rate_limits *conf,
                                         const struct identity *identity)
{
    const struct limit_plan *plans = conf->plans.items;
    for (size_t i = 0; i < conf->plans.count; i++)
        for (size_t k = 0; k < plans[i].groups.count; k++)
            if (identity_in_group(identity, plans[i].groups.items[k]))
                return &plans[i];
    return NULL;
}

const struct limit_plan *limit_plan_of(const struct rate_limits *conf, const struct txn *txn)
{
    const struct identity *identity = txn->facts.identity;
    const struct limit_plan *plan = NULL;
    if (conf->plans.count == 0)
        return NULL;
    struct span key = api_key_of(txn);
    if (key.len > 0)
        plan = by_key(conf, key);
    if (plan == NULL && identity != NULL) {
        const struct claim *claim = only_claim(identity, conf->plan_claim);
        plan = claim != NULL ? by_name(conf, claim->value) : NULL;
    }
    if (plan == NULL && identity != NULL)
        plan = by_group(conf, identity);
    return plan != NULL ? plan : by_name(conf, conf->default_plan);
}

const char *limit_plans_check(const struct rate_limits *conf)
{
    const struct limit_plan *plans = conf->plans.items;
    if (conf->default_plan.len > 0 && by_name(conf, conf->default_plan) == NULL)
        return "default_plan is not one of the plans";
    for (size_t i = 0; i < conf->plans.count; i++) {
        if (!limit_name_ok(plans[i].item.key) || plans[i].item.key.len > PLAN_NAME_BYTES)
            return "a plan's name has at most 32 letters, digits, - _ or .";
        for (size_t k = 0; k < plans[i].keys.count; k++)
            if (by_key(conf, plans[i].keys.items[k]) != &plans[i])
                return "an API key stands in two plans";
    }
    return NULL;
}
