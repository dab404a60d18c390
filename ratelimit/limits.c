/*
 * Rate limits: so many requests in so much time, counted by client address, by site or by
 * route.
 *
 *     limits: ["60/min", {rate: "5/min per client.ip", burst: 5, name: login}]
 *
 * All limits of a request are asked before any is charged, so that a refusal by the hourly one
 * does not use up the daily one; a refused request is charged to none. IPv6 clients are counted
 * by /64: a million addresses of one network are one client. All workers and generations share
 * one table, so a reload forgives nothing. A refusal tells the client when to come back
 * (Retry-After), which limit it was and what it says (RateLimit and RateLimit-Policy of
 * draft-ietf-httpapi-ratelimit-headers-10).
 */
#include "ratelimit/limits.h"

#include "conf/schema.h"
#include "gateway/base/siphash.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"
#include "ratelimit/table.h"

enum {
    LIMITS_ENTRIES = 1 << 20, /* keys at a time, 16 bytes each */
    LIMITS_MAX = 16,          /* in one list */
    NAME_BYTES_MAX = 64,
    CLIENT_BITS_V6 = 64,
    COUNT_MAX = 1000000000,
};

enum per { PER_CLIENT, PER_SITE, PER_ROUTE };

/* As configured. Lists are inherited as they are, so the last members are shared by all heirs.
 */
struct limit_rule {
    struct keyed_rate rate;
    struct span per, name;
    int64_t burst, cost;
};

/* Ready to be asked. */
struct limit {
    struct gcra gcra;
    uint64_t cost_ns;
    uint64_t id; /* hash of where the rule stands, never of what it says */
    enum per per;
    struct span name, policy; /* policy: the field's value */
};

struct rate_limits {
    struct list rules;
    struct limit *limits;
    size_t count;
    struct tats table;
    struct siphash_key place, fingerprint;
};

static const struct option rule_options[] = {
    OPTION(struct limit_rule, rate, OPT_KEYED_RATE, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help = "How many requests in how much time.",
           .example = "60/min per client.ip burst 20"),
    OPTION(struct limit_rule, per, OPT_TEXT,
           .help = "What is counted: client.ip (the default; IPv6 by /64), or all clients of a "
                   "site or route together."),
    OPTION(struct limit_rule, burst, OPT_INT, .max = COUNT_MAX,
           .help = "Requests that may come at once; 0 for as many as the rate counts."),
    OPTION(struct limit_rule, cost, OPT_INT, .fallback = "1", .min = 1, .max = COUNT_MAX,
           .help = "How many requests each one counts as."),
    OPTION(struct limit_rule, name, OPT_TEXT,
           .help = "Stands in records and in the RateLimit field; made from the rate when not "
                   "given."),
    OPTIONS_END,
};

static const struct option limits_options[] = {
    OPTION(struct rate_limits, rules, OPT_LIST, .flags = OPTION_SHORTHAND,
           .options = rule_options, .item_size = sizeof(struct limit_rule), .max = LIMITS_MAX,
           .help =
               "The limits, all of which hold. They replace those of the site; an empty list "
               "is none.",
           .example = "[60/min, {rate: 5/min, name: login}]"),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

static bool find_per(struct span text, enum per *per)
{
    static const struct {
        struct span name;
        enum per per;
    } rows[] = {
        { SPAN_INIT(""), PER_CLIENT },
        { SPAN_INIT("client.ip"), PER_CLIENT },
        { SPAN_INIT("site"), PER_SITE },
        { SPAN_INIT("route"), PER_ROUTE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!span_equal(text, rows[i].name))
            continue;
        *per = rows[i].per;
        return true;
    }
    return false;
}

/* Words of a quoted string in a structured field (RFC 9651 3.3.3), and easy to search for. */
static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.')
            return false;
    }
    return name.len <= NAME_BYTES_MAX;
}

/* "60-per-min", "5-per-10s": the rate, in the characters of a name. */
static bool make_name(struct limit *limit, const struct limit_rule *rule, struct arena *arena)
{
    static const struct {
        uint64_t ms;
        struct span one, many;
    } units[] = {
        { 86400000, SPAN_INIT("day"), SPAN_INIT("d") },
        { 3600000, SPAN_INIT("hour"), SPAN_INIT("h") },
        { 60000, SPAN_INIT("min"), SPAN_INIT("min") },
        { 1000, SPAN_INIT("s"), SPAN_INIT("s") },
        { 1, SPAN_INIT("ms"), SPAN_INIT("ms") },
    };
    struct rate rate = rule->rate.rate;
    limit->name = rule->name;
    if (rule->name.len > 0)
        return true;
    size_t unit = 0;
    while (rate.per_ms % units[unit].ms != 0)
        unit++;
    uint64_t times = rate.per_ms / units[unit].ms;
    struct text text = text_growing(arena, 48);
    text_uint(&text, rate.count);
    text_lit(&text, "-per-");
    if (times > 1)
        text_uint(&text, times);
    text_add(&text, times > 1 ? units[unit].many : units[unit].one);
    limit->name = text_span(&text);
    return !text.overflow;
}

/* "name";q=60;w=60. A window that is no whole number of seconds cannot be said, and is
 * optional. */
static bool make_policy(struct limit *limit, const struct limit_rule *rule, struct arena *arena)
{
    struct text text = text_growing(arena, 128);
    text_char(&text, '"');
    text_add(&text, limit->name);
    text_lit(&text, "\";q=");
    text_uint(&text, rule->rate.rate.count);
    if (rule->rate.rate.per_ms % 1000 == 0) {
        text_lit(&text, ";w=");
        text_uint(&text, rule->rate.rate.per_ms / 1000);
    }
    limit->policy = text_span(&text);
    return !text.overflow;
}

/*
 * A limit is the place where it stands in the file, and its name there. So one that several
 * routes inherit has one counter, or each route would give a client the whole limit once more;
 * the same words on two routes are two limits; and a change of the rate keeps what was counted.
 * The parts are hashed alone first, so that no two places read the same.
 */
static uint64_t hash_place(const struct siphash_key *key, const struct setup *setup,
                           struct span name)
{
    struct span site = span_text(setup->site), route = span_text(setup->route);
    uint64_t parts[3] = {
        siphash(key, site.p, site.len),
        siphash(key, route.p, route.len),
        siphash(key, name.p, name.len),
    };
    return siphash(key, parts, sizeof(parts));
}

static const char *arithmetic(struct limit *limit, const struct limit_rule *rule)
{
    uint64_t burst = rule->burst > 0 ? (uint64_t)rule->burst : rule->rate.burst;
    if (rule->burst > 0 && rule->rate.burst > 0 && (uint64_t)rule->burst != rule->rate.burst)
        return "two different bursts are given";
    if (burst == 0)
        burst = rule->rate.rate.count;
    if (gcra_make(&limit->gcra, rule->rate.rate.count, rule->rate.rate.per_ms, burst) != OK)
        return "the rate cannot be counted: it is zero, above one in a nanosecond, or its "
               "burst "
               "takes decades";
    if ((uint64_t)rule->cost > burst)
        return "cost is above burst, so that no request could ever pass";
    limit->cost_ns = (uint64_t)rule->cost * limit->gcra.interval_ns;
    return NULL;
}

static const char *prepare(struct limit *limit, const struct limit_rule *rule,
                           const struct rate_limits *conf, struct setup *setup)
{
    struct span per = rule->per.len > 0 ? rule->per : rule->rate.key;
    if (rule->per.len > 0 && rule->rate.key.len > 0 && !span_equal(rule->per, rule->rate.key))
        return "two different things to count by are given";
    if (!find_per(per, &limit->per))
        return "a limit counts per client.ip, site or route, and nothing else yet";
    if (!is_name(rule->name))
        return "a name has at most 64 letters, digits, - _ or .";
    const char *wrong = arithmetic(limit, rule);
    if (wrong != NULL)
        return wrong;
    if (!make_name(limit, rule, setup->arena) || !make_policy(limit, rule, setup->arena))
        return "out of memory";
    limit->id = hash_place(&conf->place, setup, limit->name);
    return NULL;
}

static bool named_before(const struct rate_limits *conf, const struct limit *limit)
{
    for (size_t i = 0; i < conf->count; i++)
        if (span_equal(conf->limits[i].name, limit->name))
            return true;
    return false;
}

static void derive_keys(struct rate_limits *conf, const uint8_t *boot_key)
{
    static const char uses[4][24] = { "limits place 0", "limits place 1",
                                      "limits fingerprint 0", "limits fingerprint 1" };
    struct siphash_key boot[2];
    uint64_t words[4];
    memcpy(boot, boot_key, sizeof(boot));
    for (unsigned i = 0; i < 4; i++)
        words[i] = siphash(&boot[i & 1], uses[i], sizeof(uses[i]));
    conf->place = (struct siphash_key){ words[0], words[1] };
    conf->fingerprint = (struct siphash_key){ words[2], words[3] };
}

static enum err open_limits(void *base, struct setup *setup)
{
    struct rate_limits *conf = base;
    const struct limit_rule *rules = conf->rules.items;
    conf->count = 0;
    if (conf->rules.count == 0)
        return OK;

    derive_keys(conf, setup->boot_key);
    conf->limits = arena_array(setup->arena, struct limit, conf->rules.count);
    void *memory = setup->shared(setup, "limits", TATS_LAYOUT, tats_bytes(LIMITS_ENTRIES));
    if (conf->limits == NULL || memory == NULL)
        return ERR_CONFIG;
    tats_over(&conf->table, memory, LIMITS_ENTRIES);

    enum err err = OK;
    for (size_t i = 0; i < conf->rules.count; i++) {
        struct limit *limit = &conf->limits[conf->count];
        const char *wrong = prepare(limit, &rules[i], conf, setup);
        if (wrong == NULL && named_before(conf, limit))
            wrong = "another limit here has the same name, and would share its counter";
        if (wrong != NULL) {
            complain(setup->complaint, SEVERITY_ERROR, "limit %zu: %s", i + 1, wrong);
            err = ERR_CONFIG;
        } else {
            conf->count++;
        }
    }
    return err;
}

static bool limits_idle(const void *base)
{
    const struct rate_limits *conf = base;
    return conf->rules.count == 0;
}

/* ---- on the request path ------------------------------------------------------------------
 */

static struct tat_key key_for(const struct rate_limits *conf, const struct limit *limit,
                              const struct txn *txn)
{
    uint64_t parts[3] = { limit->id };
    struct span site = span_text(txn->site->name), route = span_text(txn->route->name);
    switch (limit->per) {
    case PER_CLIENT:
        /* Of IPv4 all, and four zeros. */
        memcpy(&parts[1], txn->client.bytes, CLIENT_BITS_V6 / 8);
        parts[2] = txn->client.family;
        break;
    case PER_ROUTE:
        parts[2] = siphash(&conf->place, route.p, route.len);
        parts[1] = siphash(&conf->place, site.p, site.len);
        break;
    case PER_SITE:
        parts[1] = siphash(&conf->place, site.p, site.len);
        break;
    }
    return (struct tat_key){
        .place = siphash(&conf->place, parts, sizeof(parts)),
        .fingerprint = siphash(&conf->fingerprint, parts, sizeof(parts)),
    };
}

/* Whole seconds, rounded up: who comes back then is not refused again. */
static uint64_t seconds(uint64_t ns)
{
    const uint64_t second = UINT64_C(1000000000);
    return ns / second + (ns % second != 0 || ns == 0);
}

static const struct reply *refusal(struct txn *txn, const struct limit *limit,
                                   const struct gcra_answer *answer)
{
    struct reply *reply = reply_new(txn, 0);
    struct text after = text_growing(txn->arena, 24), state = text_growing(txn->arena, 128);
    text_uint(&after, seconds(answer->wait_ns));
    text_char(&state, '"');
    text_add(&state, limit->name);
    text_lit(&state, "\";r=");
    text_uint(&state, answer->remaining);
    text_lit(&state, ";t=");
    text_uint(&state, seconds(answer->wait_ns));
    bool whole = reply != NULL && !after.overflow && !state.overflow &&
                 reply_field(reply, SPAN("Retry-After"), text_span(&after)) &&
                 reply_field(reply, SPAN("RateLimit"), text_span(&state)) &&
                 reply_field(reply, SPAN("RateLimit-Policy"), limit->policy);
    return whole ? reply : NULL; /* refused in any case, if need be without a word more */
}

static struct verdict refuse(struct call *c, const struct limit *limit,
                             const struct gcra_answer *answer)
{
    fact_set_limit(c, limit->name);
    return deny_with(REASON_RATE_LIMIT, refusal(c->txn, limit, answer));
}

/* The first limit that would refuse; NULL when none would. Takes nothing. */
static const struct limit *ask_all(const struct rate_limits *conf, const struct tat_key *keys,
                                   uint64_t now_ns, struct gcra_answer *answer)
{
    for (size_t i = 0; i < conf->count; i++) {
        const struct limit *limit = &conf->limits[i];
        uint64_t tat = tats_get(&conf->table, keys[i]);
        *answer = gcra_ask(&limit->gcra, tat, now_ns, limit->cost_ns);
        if (!answer->allowed)
            return limit;
    }
    return NULL;
}

static void refund(const struct rate_limits *conf, const struct tat_key *keys, size_t taken)
{
    while (taken-- > 0)
        tats_refund(&conf->table, keys[taken], conf->limits[taken].cost_ns);
}

static struct verdict limit_head(struct call *c)
{
    const struct rate_limits *conf = c->conf;
    uint64_t now_ns = c->txn->clock->mono_ns;
    struct tat_key keys[LIMITS_MAX];
    struct gcra_answer answer;

    INVARIANT(conf->count <= LIMITS_MAX);
    for (size_t i = 0; i < conf->count; i++)
        keys[i] = key_for(conf, &conf->limits[i], c->txn);

    const struct limit *spent = conf->count > 1 ? ask_all(conf, keys, now_ns, &answer) : NULL;
    if (spent != NULL)
        return refuse(c, spent, &answer);

    for (size_t i = 0; i < conf->count; i++) {
        const struct limit *limit = &conf->limits[i];
        enum err err =
            tats_take(&conf->table, keys[i], &limit->gcra, now_ns, limit->cost_ns, &answer);
        if (err == OK && answer.allowed)
            continue;
        refund(conf, keys, i); /* another worker was faster between asking and taking */
        return err == OK ? refuse(c, limit, &answer) : fail(REASON_STAGE_FAILED);
    }
    return pass();
}

const struct stage_type limits_stage = {
    .name = "limits",
    .summary = "Limits the rate of requests, by client address, site or route.",
    .options = limits_options,
    .conf_size = sizeof(struct rate_limits),
    .open = open_limits,
    .idle = limits_idle,
    .on = { [PHASE_REQUEST_HEAD] = limit_head },
};
