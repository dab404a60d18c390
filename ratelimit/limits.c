/*
 * Rate limits: so many requests in so much time, counted by what is known of a request.
 *
 *     limits: ["60/min", {rate: "5/min per client.ip+field:username", burst: 5, name: login}]
 *
 * All limits of a request are asked before any is charged; a refused request is charged to
 * none, unless there is a penalty. IPv6 clients are counted by /64, and their /56 and /48 at a
 * multiple of the limit: a million addresses of one network are one client, and 256 networks
 * of one line are not 256. All workers and generations share one table, so a reload forgives
 * nothing; with a store, all nodes share it.
 *
 * What a limit counts by decides where it is asked: with the head, before anything dear; after
 * authentication, when it counts by who was authenticated; with the body, by a form's fields.
 */
#include "ratelimit/limits.h"

#include "conf/schema.h"
#include "gateway/base/siphash.h"
#include "ratelimit/exact.h"
#include "ratelimit/limit.h"

static const struct choice window_choices[] = {
    { "hour", WINDOW_HOUR, NULL },
    { "day", WINDOW_DAY, "From midnight to midnight." },
    { "week", WINDOW_WEEK, "`anchor`: 1 Monday to 7." },
    { "month", WINDOW_MONTH, "`anchor`: the day on which it begins, 1 to 28." },
    { NULL, 0, NULL },
};

static const struct choice missing_choices[] = {
    { "address", MISSING_ADDRESS, "Counted by the client's address in its place." },
    { "bucket", MISSING_BUCKET, "All requests that lack it are counted together." },
    { "skip", MISSING_SKIP, "The limit does not hold for such requests." },
    { "reject", MISSING_REJECT, "Such requests are refused with 400." },
    { NULL, 0, NULL },
};
static const struct choice action_choices[] = {
    { "deny", LIMIT_DENY, "429, with the time to come back." },
    { "close", LIMIT_CLOSE, "No answer: the connection is cut." },
    { "log", LIMIT_LOG, "Only the record says so, as with `shadow`." },
    { NULL, 0, NULL },
};
static const struct choice store_choices[] = {
    { "auto", LIMIT_AUTO, "exact where there is a store, else local." },
    { "local", LIMIT_LOCAL, "Each node counts alone, in memory." },
    { "exact", LIMIT_EXACT, "All nodes count together, in the store." },
    { "lease", LIMIT_LEASE,
      "The same, but for keys that come often the store gives tokens in advance: hardly any "
      "question, the same sum, and for moments a little more at a time." },
    { NULL, 0, NULL },
};
static const struct choice fields_choices[] = {
    { "ietf", FIELDS_DRAFT, "RateLimit and RateLimit-Policy as the IETF draft has them." },
    { "legacy", FIELDS_LEGACY, "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset." },
    { "github", FIELDS_GITHUB, "The same with X- before them, and the reset as a Unix time." },
    { "none", FIELDS_NONE, "Only Retry-After." },
    { NULL, 0, NULL },
};

static const struct option cost_options[] = {
    OPTION(struct limit_cost, when, OPT_EXPR, .flags = OPTION_REQUIRED,
           .example = "method == \"POST\"", .help = "Which requests."),
    OPTION(struct limit_cost, cost, OPT_INT, .flags = OPTION_REQUIRED, .max = COUNT_MAX,
           .help = "What each of them counts as; 0: nothing."),
    OPTIONS_END,
};

static const struct option rule_options[] = {
    OPTION(struct limit_rule, rate, OPT_KEYED_RATE, .flags = OPTION_SHORTHAND,
           .help = "How many requests in how much time. A limit has this, or `quota`, or "
                   "`concurrency`.",
           .example = "60/min per client.ip burst 20"),
    OPTION(struct limit_rule, quota, OPT_INT, .max = COUNT_MAX,
           .help = "How many requests in a window of the calendar."),
    OPTION(struct limit_rule, window, OPT_ENUM, .fallback = "day", .choices = window_choices,
           .help = "Which window, for `quota`."),
    OPTION(struct limit_rule, anchor, OPT_INT, .max = ANCHOR_DAY_MAX,
           .help = "Where weeks and months begin: the first day when not given."),
    OPTION(struct limit_rule, zone, OPT_TEXT, .example = "Europe/Berlin",
           .help = "Whose midnight, for `quota`. Without it: UTC."),
    OPTION(struct limit_rule, concurrency, OPT_INT, .max = SLOTS_PER_KEY_MAX,
           .help = "How many requests at a time: on all nodes together where they share limits "
                   "(`store`), else on this one."),
    OPTION(struct limit_rule, per, OPT_TEXT, .example = "header:X-Tenant+route",
           .help = "What is counted, joined by + when several: client.ip (the default; IPv6 by "
                   "/64), client.country, client.asn, client.ja4, client.field_order, site, "
                   "route, method, host, path, user, group, api_key, claim:NAME, header:NAME, "
                   "cookie:NAME, query:NAME, "
                   "field:NAME of a form. What a client writes twice counts as missing, and so "
                   "do a claim of several values and a group of who has several."),
    OPTION(struct limit_rule, burst, OPT_INT, .max = COUNT_MAX,
           .help = "Requests that may come at once; 0 for as many as the rate counts."),
    OPTION(struct limit_rule, cost, OPT_INT, .fallback = "1", .max = COUNT_MAX,
           .help = "How many requests each one counts as."),
    OPTION(struct limit_rule, costs, OPT_LIST, .options = cost_options,
           .item_size = sizeof(struct limit_cost), .max = COSTS_MAX,
           .help = "Requests that count as more or less; the first that fits holds."),
    OPTION(struct limit_rule, response_cost, OPT_TEXT, .example = "X-Request-Cost",
           .help = "Field of the application's answer whose number is charged in addition, as "
                   "a debt if need be: who owes is refused until it is worked off. Clients do "
                   "not see it."),
    OPTION(struct limit_rule, debt, OPT_INT, .max = COUNT_MAX,
           .help = "How much may be owed beyond the burst or quota, at the most; 0 for ten "
                   "times as much as that."),
    OPTION(struct limit_rule, penalty, OPT_INT, .max = COUNT_MAX,
           .help = "What a refused request counts as: with one, who does not slow down stays "
                   "out."),
    OPTION(struct limit_rule, when, OPT_EXPR, .example = "method == \"POST\"",
           .help = "Requests that the limit is for. Without it: all."),
    OPTION(struct limit_rule, on_missing, OPT_ENUM, .fallback = "address",
           .choices = missing_choices,
           .help = "What happens to requests that lack what is counted by."),
    OPTION(struct limit_rule, networks, OPT_BOOL, .fallback = "true",
           .help = "IPv6 clients are also counted by /56, at 4 times the limit, and by /48, at "
                   "16 times."),
    OPTION(struct limit_rule, action, OPT_ENUM, .fallback = "deny", .choices = action_choices,
           .help = "What happens over the limit."),
    OPTION(struct limit_rule, shadow, OPT_BOOL, .fallback = "false",
           .help = "Counts, and records what it would have refused, but refuses nothing."),
    OPTION(struct limit_rule, store, OPT_ENUM, .fallback = "auto", .choices = store_choices,
           .help = "Who counts."),
    OPTION(struct limit_rule, name, OPT_TEXT,
           .help = "Stands in records and in the RateLimit field; made from the rate when not "
                   "given."),
    OPTIONS_END,
};

static const struct option plan_options[] = {
    OPTION(struct limit_plan, limits, OPT_LIST, .flags = OPTION_SHORTHAND,
           .options = rule_options, .item_size = sizeof(struct limit_rule),
           .max = PLAN_LIMITS_MAX,
           .help = "The plan's limits. They count by `user` when they do not say by what, and "
                   "are the same on all routes of a site."),
    OPTION(struct limit_plan, groups, OPT_TEXTS, .max = 64,
           .help = "Users in one of these groups have it."),
    OPTION(struct limit_plan, keys, OPT_TEXTS, .max = 1024,
           .help = "API keys with these ids have it."),
    OPTIONS_END,
};

static const struct option limits_options[] = {
    OPTION(struct rate_limits, rules, OPT_LIST, .flags = OPTION_SHORTHAND,
           .options = rule_options, .item_size = sizeof(struct limit_rule), .max = LIMITS_MAX,
           .help =
               "The limits, all of which hold. They replace those of the site; an empty list "
               "is none.",
           .example = "[60/min, {rate: 5/min, name: login}]"),
    OPTION(struct rate_limits, fields, OPT_ENUM, .fallback = "ietf", .choices = fields_choices,
           .help = "How clients are told about limits."),
    OPTION(struct rate_limits, always, OPT_BOOL, .fallback = "false",
           .help = "They are told with every answer, and the record of each request says "
                   "which of its limits is nearest; else only by refusals, of the one that "
                   "refused."),
    OPTION(struct rate_limits, plans, OPT_MAP, .options = plan_options,
           .item_size = sizeof(struct limit_plan), .max = PLANS_MAX,
           .example =
               "{free: [5/s, {quota: 1000}], gold: {groups: [partners], limits: [100/s]}}",
           .help = "Limits by plan. Which one somebody has, the API key's id says (`keys`), "
                   "or a claim, or a group, in this order."),
    OPTION(struct rate_limits, plan_claim, OPT_TEXT, .fallback = "plan",
           .help = "Claim of a token, or of an API key, that names the plan."),
    OPTION(struct rate_limits, default_plan, OPT_TEXT,
           .help = "The plan of everybody else, also of who is not signed in: those are "
                   "counted by address. Without it, no plan's limits hold for them."),
    OPTIONS_END,
};

/* ---- at load ------------------------------------------------------------------------------
 */

static bool named_before(const struct rate_limits *conf, const struct limit *limit)
{
    for (unsigned i = 0; i < conf->count; i++)
        if (span_equal(conf->limits[i].name, limit->name))
            return true;
    return false;
}

static const char *find_plan(struct key_plan *plan, const struct limit_rule *rule,
                             const struct limit_plan *of_plan, const struct setup *setup)
{
    struct span per = rule->per.len > 0 ? rule->per : rule->rate.key;
    if (of_plan != NULL && per.len == 0)
        per = SPAN("user");
    if (rule->per.len > 0 && rule->rate.key.len > 0 && !span_equal(rule->per, rule->rate.key))
        return "two different things to count by are given";
    if (!limit_name_ok(rule->name))
        return "a name has at most 64 letters, digits, - _ or .";
    const char *wrong = key_plan_parse(plan, per);
    if (of_plan != NULL && plan->stage == KEY_AT_HEAD)
        plan->stage = KEY_AT_SUBJECT; /* before that, nobody knows whose plan holds */
    if (wrong == NULL && plan->by_geo && setup->config->geo_lookup == NULL)
        return "countries and networks need a database: set `geoip`";
    return wrong;
}

/* The limit itself and, where it counts by address, those of the wider networks. */
static const char *add_limits(struct rate_limits *conf, const struct limit_rule *rule,
                              const struct limit_plan *of_plan, struct setup *setup)
{
    static const struct {
        unsigned v6_bits, scale;
    } nets[LIMITS_NETS] = { { KEY_NETWORK_BITS, 1 }, { 56, 4 }, { KEY_WIDEST_BITS, 16 } };
    struct key_plan plan;
    const char *wrong = find_plan(&plan, rule, of_plan, setup);
    if (wrong != NULL)
        return wrong;
    bool wider = plan.by_address && rule->networks && rule->concurrency == 0 && of_plan == NULL;
    unsigned count = wider ? LIMITS_NETS : 1;
    for (unsigned i = 0; i < count && wrong == NULL; i++) {
        struct limit *limit = &conf->limits[conf->count];
        limit->v6_bits = nets[i].v6_bits;
        limit->scale = nets[i].scale;
        limit->of_plan = of_plan;
        wrong = limit_make(limit, rule, &plan, setup);
        limit->begun = limit_hash(conf, limit);
        if (wrong == NULL && named_before(conf, limit))
            wrong = "another limit here has the same name, and would share its counter";
        conf->at[plan.stage]++;
        conf->count++;
    }
    return wrong;
}

static void find_subjects(struct rate_limits *conf)
{
    const struct limit *first[KEY_AT_BODY + 1] = { NULL };
    for (unsigned i = 0; i < ARRAY_LEN(conf->same_subject); i++)
        conf->same_subject[i] = true;
    for (unsigned i = 0; i < conf->count; i++) {
        const struct limit *limit = &conf->limits[i];
        const struct limit **one = &first[limit->plan.stage];
        if (!limit->exact)
            continue;
        if (*one == NULL)
            *one = limit;
        if (!key_plan_equal(&limit->plan, &(*one)->plan) ||
            limit->rule->on_missing != (*one)->rule->on_missing)
            conf->same_subject[limit->plan.stage] = false;
    }
}

static size_t count_rules(const struct rate_limits *conf)
{
    const struct limit_plan *plans = conf->plans.items;
    size_t count = conf->rules.count * LIMITS_NETS;
    for (size_t i = 0; i < conf->plans.count; i++)
        count += plans[i].limits.count;
    return count;
}

static enum err add_list(struct rate_limits *conf, const struct list *list,
                         const struct limit_plan *of_plan, struct setup *setup)
{
    const struct limit_rule *rules = list->items;
    enum err err = OK;
    for (size_t i = 0; i < list->count; i++) {
        const char *wrong = add_limits(conf, &rules[i], of_plan, setup);
        conf->costs_later = conf->costs_later || rules[i].response_cost.len > 0;
        if (wrong == NULL)
            continue;
        complain(setup->complaint, SEVERITY_ERROR, "limit %zu: %s", i + 1, wrong);
        err = ERR_CONFIG;
    }
    return err;
}

/* Of all plans only one holds for a request: room is made for the largest. */
static enum err add_plans(struct rate_limits *conf, struct setup *setup)
{
    const struct limit_plan *plans = conf->plans.items;
    unsigned base[ARRAY_LEN(conf->at)], most[ARRAY_LEN(conf->at)];
    const char *wrong = limit_plans_check(conf);
    enum err err = wrong == NULL ? OK : ERR_CONFIG;
    if (wrong != NULL)
        complain(setup->complaint, SEVERITY_ERROR, "%s", wrong);
    memcpy(base, conf->at, sizeof(base));
    memcpy(most, conf->at, sizeof(most));
    for (size_t i = 0; i < conf->plans.count; i++) {
        memcpy(conf->at, base, sizeof(base));
        if (add_list(conf, &plans[i].limits, &plans[i], setup) != OK)
            err = ERR_CONFIG;
        for (unsigned at = 0; at < ARRAY_LEN(most); at++)
            most[at] = conf->at[at] > most[at] ? conf->at[at] : most[at];
    }
    memcpy(conf->at, most, sizeof(most));
    for (unsigned at = 0; at < ARRAY_LEN(most); at++) {
        if (most[at] <= ASK_ITEMS_MAX)
            continue;
        complain(setup->complaint, SEVERITY_ERROR,
                 "a request would be asked about %u limits at a time, and %d is the most",
                 most[at], ASK_ITEMS_MAX);
        err = ERR_CONFIG;
    }
    return err;
}

static enum err open_limits(void *base, struct setup *setup)
{
    struct rate_limits *conf = base;
    size_t most = count_rules(conf);
    conf->count = 0;
    conf->costs_later = false;
    memset(conf->at, 0, sizeof(conf->at));
    if (conf->rules.count + conf->plans.count == 0)
        return OK;

    conf->hash = limits_key(setup->boot_key);
    conf->kept_hash = limits_key(setup->config->kept_key);
    conf->limits = arena_array(setup->arena, struct limit, most + 1);
    void *memory = setup->shared(setup, "limits", TATS_LAYOUT, tats_bytes(LIMITS_ENTRIES));
    void *quotas = setup->shared(setup, "quotas", TATS_LAYOUT, tats_bytes(QUOTA_ENTRIES));
    if (conf->limits == NULL || memory == NULL || quotas == NULL)
        return ERR_CONFIG;
    tats_over(&conf->table, memory, LIMITS_ENTRIES);
    tats_over(&conf->quotas, quotas, QUOTA_ENTRIES);

    enum err err = add_list(conf, &conf->rules, NULL, setup);
    if (add_plans(conf, setup) != OK)
        err = ERR_CONFIG;
    find_subjects(conf);
    return err;
}

static bool limits_idle(const void *base)
{
    const struct rate_limits *conf = base;
    return conf->at[KEY_AT_HEAD] + conf->at[KEY_AT_BODY] == 0;
}

static bool limits_want_body(const void *base)
{
    const struct rate_limits *conf = base;
    return conf->at[KEY_AT_BODY] > 0;
}

static bool subjects_idle(const void *base)
{
    const struct rate_limits *conf = base;
    return conf->at[KEY_AT_SUBJECT] == 0;
}

/* ---- in workers ---------------------------------------------------------------------------
 */

/* One for the worker, whichever stage comes first: what the others ask goes along. */
static enum err attach_limits(void *local, const void *base, struct worker *worker)
{
    const struct rate_limits *conf = base;
    slots_attach(local, worker);
    if (conf->count > 0 && !worker->limits_here) {
        cells_bring(&conf->table.cells);
        cells_bring(&conf->quotas.cells);
        worker->limits_here = true;
    }
    if (worker->keys == NULL || worker->exact != NULL)
        return OK;
    worker->exact = exact_attach(worker, worker->config->store);
    return worker->exact != NULL ? OK : ERR_MEMORY;
}

static void detach_limits(void *local)
{
    slots_detach(local);
}

static bool costs_idle(const void *base)
{
    const struct rate_limits *conf = base;
    return !conf->costs_later && !(conf->always && conf->count > 0);
}

static struct verdict limit_head(struct call *c)
{
    return limits_ask(c, KEY_AT_HEAD);
}

static struct verdict limit_body(struct call *c)
{
    return limits_ask(c, KEY_AT_BODY);
}

static struct verdict limit_subject(struct call *c)
{
    return limits_ask(c, KEY_AT_SUBJECT);
}

static struct verdict limit_answer_head(struct call *c)
{
    const struct rate_limits *conf = c->conf;
    if (conf->always && !limits_tell(c))
        return fail(REASON_MEMORY);
    return limits_charge(c);
}

const struct stage_type limits_stage = {
    .name = "limits",
    .summary = "Limits the rate of requests, by address, header, form field and more.",
    .remembers = true,
    .options = limits_options,
    .conf_size = sizeof(struct rate_limits),
    .state_size = sizeof(struct limits_state),
    .open = open_limits,
    .local_size = sizeof(struct slots_held),
    .attach = attach_limits,
    .detach = detach_limits,
    .idle = limits_idle,
    .wants_body = limits_want_body,
    .on = { [PHASE_REQUEST_HEAD] = limit_head, [PHASE_REQUEST_BODY] = limit_body },
};

const struct stage_type subject_limits_stage = {
    .name = "subject_limits",
    .with = &limits_stage,
    .summary = "Those of the limits that count by who was authenticated.",
    .remembers = true,
    .conf_size = sizeof(struct rate_limits),
    .state_size = sizeof(struct limits_state),
    .idle = subjects_idle,
    .gate = true, /* on a page to sign in nobody is signed in */
    .on = { [PHASE_REQUEST_HEAD] = limit_subject },
};

const struct stage_type limit_costs_stage = {
    .name = "limit_costs",
    .with = &limits_stage,
    .summary = "Charges limits what the application says a request has cost, and tells what is "
               "left of them.",
    .conf_size = sizeof(struct rate_limits),
    .idle = costs_idle,
    .on = { [PHASE_RESPONSE_HEAD] = limit_answer_head },
};
