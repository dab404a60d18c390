/* What a rule of the configuration comes to: its numbers, where it is counted, and by whom. */
#include <sodium.h>

#include "conf/schema.h"
#include "gateway/chain/config.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

/*
 * A limit is the place where it stands in the file, and its name there. So one that several
 * routes inherit has one counter, or each route would give a client the whole limit once more;
 * the same words on two routes are two limits; and a change of the rate keeps what was counted.
 * The parts are hashed alone first, so that no two places read the same. No secret goes in:
 * nodes of one configuration agree.
 */
static void hash_place(uint8_t id[KEY_ID_BYTES], const struct setup *setup,
                       const struct limit *limit)
{
    char kind[2] = { (char)('0' + limit->kind), (char)('0' + limit->rule->window) };
    /* A plan is the site's, whichever of its routes are asked for. */
    struct span place = limit->of_plan != NULL ? SPAN("plan\n") : span_text(setup->route);
    struct span parts[4] = { span_text(setup->site), place, limit->name,
                             span_of(kind, sizeof(kind)) };
    unsigned char digest[4][crypto_hash_sha256_BYTES], whole[crypto_hash_sha256_BYTES];
    for (unsigned i = 0; i < 4; i++)
        (void)crypto_hash_sha256(digest[i], (const unsigned char *)parts[i].p, parts[i].len);
    (void)crypto_hash_sha256(whole, &digest[0][0], sizeof(digest));
    memcpy(id, whole, KEY_ID_BYTES);
}

static uint64_t dearest(const struct limit_rule *rule)
{
    const struct limit_cost *costs = rule->costs.items;
    int64_t most = rule->cost;
    for (size_t i = 0; i < rule->costs.count; i++)
        most = costs[i].cost > most ? costs[i].cost : most;
    return (uint64_t)most;
}

static const char *rate_arithmetic(struct limit *limit, const struct limit_rule *rule)
{
    uint64_t burst = rule->burst > 0 ? (uint64_t)rule->burst : rule->rate.burst;
    uint64_t count = rule->rate.rate.count;
    if (rule->burst > 0 && rule->rate.burst > 0 && (uint64_t)rule->burst != rule->rate.burst)
        return "two different bursts are given";
    if (burst == 0)
        burst = count;
    if (count > COUNT_MAX || burst > COUNT_MAX)
        return "nothing is counted beyond a thousand million";
    limit->burst = burst * limit->scale;
    if (gcra_make(&limit->gcra, count * limit->scale, rule->rate.rate.per_ms, limit->burst) !=
        OK)
        return "the rate cannot be counted: it is zero, above one in a nanosecond, or its "
               "burst takes decades";
    limit->unit = UNIT_NS;
    return NULL;
}

/*
 * What answers charge may be owed. A debt that is not given is cut to what can be counted: the
 * limit itself can.
 */
static const char *debt_arithmetic(struct limit *limit, const struct limit_rule *rule)
{
    uint64_t most =
        limit->kind == KIND_QUOTA ? QUOTA_USED_MAX : GCRA_SPAN_MAX_NS / limit->gcra.interval_ns;
    uint64_t shared = EXACT_UNITS_MAX / limit->interval_units;
    uint64_t debt = (uint64_t)rule->debt * limit->scale;
    if (rule->response_cost.len == 0)
        return rule->debt > 0 ? "what is owed is what answers cost: set response_cost" : NULL;
    if (limit->kind == KIND_SLOTS)
        return "what answers cost is charged to a rate or a quota";
    if (limit->exact && shared < most)
        most = shared;
    if (debt == 0)
        debt = limit->burst * DEBT_BURSTS < most - limit->burst ? limit->burst * DEBT_BURSTS
                                                                : most - limit->burst;
    if (debt > most - limit->burst)
        return "such a debt cannot be counted: it would take decades";
    limit->debt = debt;
    limit->gcra.most_ns += debt * limit->gcra.interval_ns;
    return NULL;
}

static const char *quota_arithmetic(struct limit *limit, const struct limit_rule *rule,
                                    struct arena *arena)
{
    struct clock now;
    clock_read(&now);
    limit->calendar = arena_new(arena, struct calendar);
    if (limit->calendar == NULL)
        return "out of memory";
    limit->burst = (uint64_t)rule->quota * limit->scale;
    limit->gcra = (struct gcra){ .interval_ns = 1,
                                 .tolerance_ns = limit->burst,
                                 .most_ns = limit->burst };
    limit->unit = 1;
    return calendar_open(limit->calendar, (enum window)rule->window, (unsigned)rule->anchor,
                         rule->zone, (int64_t)(now.wall_us / 1000000));
}

static const char *arithmetic(struct limit *limit, const struct limit_rule *rule,
                              struct arena *arena)
{
    const char *wrong = NULL;
    uint64_t units;
    int given = (rule->rate.rate.count > 0) + (rule->quota > 0) + (rule->concurrency > 0);
    if (given != 1)
        return "a limit has one of rate, quota and concurrency";
    if (rule->quota > 0) {
        limit->kind = KIND_QUOTA;
        wrong = quota_arithmetic(limit, rule, arena);
    } else if (rule->concurrency > 0) {
        limit->kind = KIND_SLOTS;
        limit->burst = (uint64_t)rule->concurrency;
        limit->unit = 1;
        limit->gcra.interval_ns = 1;
    } else {
        wrong = rate_arithmetic(limit, rule);
    }
    if (wrong != NULL)
        return wrong;
    if (dearest(rule) > limit->burst / limit->scale && limit->kind != KIND_SLOTS)
        return "cost is above burst, so that no request could ever pass";
    limit->interval_units = (limit->gcra.interval_ns + limit->unit - 1) / limit->unit;
    if (__builtin_mul_overflow(limit->interval_units, limit->burst, &units) ||
        (limit->exact && units > EXACT_UNITS_MAX))
        return "a shared limit's burst takes at most eight years";
    return debt_arithmetic(limit, rule);
}

static const char *choose_store(struct limit *limit, const struct limit_rule *rule,
                                const struct setup *setup)
{
    bool shared = setup->config->store != NULL;
    limit->exact = rule->store == LIMIT_EXACT || rule->store == LIMIT_LEASE ||
                   (rule->store == LIMIT_AUTO && shared);
    limit->lease = rule->store == LIMIT_LEASE && !limit->shadow;
    if (limit->exact && !shared)
        return "a limit in the store needs a store: set store.redis";
    if (limit->lease && (rule->rate.rate.count == 0 || rule->penalty > 0))
        return "what is leased is a rate, without a penalty";
    return NULL;
}

/* "shop.example.com /login guessing" */
static bool add_meter(struct limit *limit, const struct setup *setup)
{
    struct metered *meter = arena_new(setup->arena, struct metered);
    struct text name = text_growing(setup->arena, METER_LIMIT_BYTES);
    text_add(&name, span_text(setup->site));
    text_char(&name, ' ');
    if (setup->route != NULL && limit->of_plan == NULL) {
        text_add(&name, span_text(setup->route));
        text_char(&name, ' ');
    }
    text_add(&name, limit->name);
    if (meter == NULL || name.overflow)
        return false;
    *meter = (struct metered){ .name = text_span(&name), .next = setup->config->limits };
    limit->meter = setup->config->limits = meter;
    limit->site = setup->site;
    limit->route = setup->route;
    return true;
}

const char *limit_make(struct limit *limit, const struct limit_rule *rule,
                       const struct key_plan *plan, struct setup *setup)
{
    limit->rule = rule;
    limit->plan = *plan;
    limit->shadow = rule->shadow || rule->action == LIMIT_LOG;
    const char *wrong = choose_store(limit, rule, setup);
    if (wrong == NULL)
        wrong = arithmetic(limit, rule, setup->arena);
    if (wrong != NULL)
        return wrong;
    if (!limit_describe(limit, setup->arena) || !add_meter(limit, setup))
        return "out of memory";
    hash_place(limit->id, setup, limit);
    return NULL;
}

struct siphash_state limit_hash(const struct rate_limits *conf, const struct limit *limit)
{
    const struct siphash_key *key = limit->kind == KIND_QUOTA ? &conf->kept_hash : &conf->hash;
    return siphash128_begin(key, limit->id, sizeof(limit->id));
}
