/*
 * Policy: ordered rules, the first one that matches decides, and what none matches is refused.
 *
 *     policy:
 *       - {name: reports, paths: [/reports], groups: [staff], methods: [GET]}
 *       - {name: admin, groups: [ops], ips: [10.0.0.0/8], require: [mfa, recent(10m)]}
 *
 * A rule matches when all that it names holds. `require` is not part of that: whoever matches a
 * rule but has not proved enough is refused, and no later rule is asked. Paths are those that
 * upstream receives. Where a path could be read in two ways (`;` parameters, encoded slashes on
 * a route that keeps them), `allow` needs both readings to match and `deny` either: so no
 * spelling walks past a rule. A condition that could not be decided refuses.
 */
#include "auth/policy.h"

#include <time.h>

#include "auth/pages.h"
#include "conf/schema.h"
#include "gateway/chain/scope.h"

enum { POLICY_ALLOW, POLICY_DENY };
enum { NAME_BYTES_MAX = 48, DAYS = 7, DAY_MINUTES = 24 * 60, CLOCK_SKEW_S = 60 };

struct claim_row { /* an item of `claims` */
    struct map_item item;
    struct texts values;
};

struct rule_row {
    struct span name, hours;
    int action;
    struct texts users, groups, auth, methods, paths, days, require;
    struct list claims;
    struct cidrs ips;
    struct expr *when;
};

struct rule {
    const struct rule_row *row;
    struct path_pattern *paths;
    uint8_t days;      /* bits from Sunday; 0: any */
    unsigned from, to; /* minutes of the day; both 0: any */
    bool mfa;
    uint64_t recent_s; /* 0: does not matter */
    const char *detail;
};

struct policy_conf {
    struct list rules;

    struct rule *built;
};

static const struct choice action_choices[] = {
    { "allow", POLICY_ALLOW, "Lets the request through." },
    { "deny", POLICY_DENY, "Refuses it." },
    { NULL, 0, NULL },
};

static const struct option claim_options[] = {
    OPTION(struct claim_row, values, OPT_TEXTS, .flags = OPTION_SHORTHAND | OPTION_REQUIRED,
           .help = "What the claim has to be: one of these."),
    OPTIONS_END,
};

static const struct option rule_options[] = {
    OPTION(struct rule_row, name, OPT_TEXT,
           .help = "Stands in the record. Default: its number.", .example = "admin"),
    OPTION_NAMED("do", struct rule_row, action, OPT_ENUM, .fallback = "allow",
                 .choices = action_choices, .help = "What follows when the rule matches."),
    OPTION(struct rule_row, users, OPT_TEXTS, .help = "The user is one of these."),
    OPTION(struct rule_row, groups, OPT_TEXTS, .help = "The user is in one of these."),
    OPTION(struct rule_row, claims, OPT_MAP, .options = claim_options,
           .item_size = sizeof(struct claim_row),
           .help = "Each of these claims has one of its values.",
           .example = "{plan: [gold, silver]}"),
    OPTION(struct rule_row, auth, OPT_TEXTS,
           .help = "Signed in by one of these: certificate, api_keys, jwt, basic.",
           .example = "[jwt]"),
    OPTION(struct rule_row, methods, OPT_TEXTS, .help = "The method is one of these.",
           .example = "[GET, HEAD]"),
    OPTION(struct rule_row, paths, OPT_TEXTS,
           .help = "The path is one of these: exact, `/x/**` for all below, or `*` in place of "
                   "one segment.",
           .example = "[/reports/**]"),
    OPTION(struct rule_row, ips, OPT_CIDRS, .help = "The client's address is in one of these.",
           .example = "[10.0.0.0/8]"),
    OPTION(struct rule_row, days, OPT_TEXTS, .example = "[mon, tue, wed, thu, fri]",
           .help = "It is one of these days, in the server's own time."),
    OPTION(struct rule_row, hours, OPT_TEXT, .example = "08:00-18:00",
           .help = "It is within these hours, in the server's own time; over midnight too."),
    OPTION(struct rule_row, when, OPT_EXPR, .help = "This holds besides.",
           .example = "client.country == \"DE\""),
    OPTION(struct rule_row, require, OPT_TEXTS, .example = "[mfa, recent(10m)]",
           .help = "What must have been proved: `mfa`, by more than one factor; `recent(10m)`, "
                   "so lately. Who has not is refused, whatever later rules say."),
    OPTIONS_END,
};

static const struct option policy_options[] = {
    OPTION(struct policy_conf, rules, OPT_LIST, .flags = OPTION_SHORTHAND,
           .options = rule_options, .item_size = sizeof(struct rule_row),
           .max = POLICY_RULES_MAX,
           .help = "In this order: the first that matches decides; none: refused."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool policy_idle(const void *base)
{
    const struct policy_conf *conf = base;
    return conf->rules.count == 0;
}

static bool read_days(const struct rule_row *row, struct rule *rule)
{
    static const char *const names[DAYS] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };
    for (size_t i = 0; i < row->days.count; i++) {
        unsigned day = 0;
        while (day < DAYS && !span_equal_nocase(row->days.items[i], span_text(names[day])))
            day++;
        if (day == DAYS)
            return false;
        rule->days |= (uint8_t)(1u << day);
    }
    return true;
}

static bool read_minute(struct span text, unsigned *minute)
{
    struct span rest = text, hour;
    uint64_t hours, minutes;
    if (!span_cut(&rest, ':', &hour) || hour.len != 2 || rest.len != 2 ||
        !span_uint(hour, &hours) || !span_uint(rest, &minutes) || minutes > 59)
        return false;
    *minute = (unsigned)(hours * 60 + minutes);
    return *minute <= DAY_MINUTES;
}

static bool read_hours(const struct rule_row *row, struct rule *rule)
{
    struct span rest = row->hours, from;
    if (row->hours.len == 0)
        return true;
    return span_cut(&rest, '-', &from) && read_minute(from, &rule->from) &&
           read_minute(rest, &rule->to) && rule->from != rule->to;
}

/* recent(10m) */
static bool read_recent(struct span text, uint64_t *seconds)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    uint64_t count;
    if (!span_starts(text, SPAN("recent(")) || !span_ends(text, SPAN(")")) || text.len < 10)
        return false;
    struct span number = span_sub(text, 7, text.len - 9);
    char unit = text.p[text.len - 2];
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (units[i].unit == unit)
            return span_uint(number, &count) && count > 0 &&
                   !__builtin_mul_overflow(count, units[i].seconds, seconds);
    return false;
}

static bool read_require(const struct rule_row *row, struct rule *rule)
{
    for (size_t i = 0; i < row->require.count; i++) {
        struct span one = row->require.items[i];
        if (span_equal(one, SPAN("mfa")))
            rule->mfa = true;
        else if (!read_recent(one, &rule->recent_s))
            return false;
    }
    return true;
}

static bool read_paths(const struct rule_row *row, struct rule *rule, struct arena *arena)
{
    rule->paths = arena_array(arena, struct path_pattern, row->paths.count + 1);
    for (size_t i = 0; rule->paths != NULL && i < row->paths.count; i++)
        if (!path_pattern_parse(row->paths.items[i], &rule->paths[i]))
            return false;
    return rule->paths != NULL;
}

/* "policy-admin", or "policy-3" */
static bool name_rule(const struct rule_row *row, size_t index, struct rule *rule,
                      struct arena *arena)
{
    struct text text = text_growing(arena, NAME_BYTES_MAX + 16);
    for (size_t i = 0; i < row->name.len; i++) {
        char c = ascii_lower(row->name.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    text_lit(&text, "policy-");
    if (row->name.len > 0)
        text_add(&text, row->name);
    else
        text_uint(&text, index + 1);
    rule->detail = text_cstring(&text);
    return rule->detail != NULL && row->name.len <= NAME_BYTES_MAX;
}

/* NULL, or what is wrong with the rule. */
static const char *build_rule(const struct rule_row *row, size_t index, struct rule *rule,
                              struct arena *arena)
{
    rule->row = row;
    if (!name_rule(row, index, rule, arena))
        return "a name has at most 48 letters, digits, - and _";
    if (!read_paths(row, rule, arena))
        return "a path begins with /; `/x/**` is all below, `*` one segment";
    if (!read_days(row, rule))
        return "days are sun mon tue wed thu fri sat";
    if (!read_hours(row, rule))
        return "hours are such as 08:00-18:00";
    if (!read_require(row, rule))
        return "require is mfa, or recent(10m)";
    if (row->action == POLICY_DENY && row->require.count > 0)
        return "a rule that denies requires nothing";
    return NULL;
}

static enum err open_policy(void *base, struct setup *setup)
{
    struct policy_conf *conf = base;
    conf->built = NULL;
    if (policy_idle(conf))
        return OK;
    tzset(); /* a worker opens no file */
    conf->built = arena_array(setup->arena, struct rule, conf->rules.count);
    if (conf->built == NULL)
        return ERR_MEMORY;
    bool good = true;
    for (size_t i = 0; i < conf->rules.count; i++) {
        const struct rule_row *row = (const struct rule_row *)conf->rules.items + i;
        const char *wrong = build_rule(row, i, &conf->built[i], setup->arena);
        if (wrong == NULL)
            continue;
        complain(setup->complaint, SEVERITY_ERROR, "rule %zu: %s", i + 1, wrong);
        good = false;
    }
    return good ? OK : ERR_CONFIG;
}

/* ---- deciding ---- */

static bool texts_have(const struct texts *texts, struct span text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (span_equal(texts->items[i], text))
            return true;
    return false;
}

static bool groups_match(const struct texts *groups, const struct identity *identity)
{
    for (size_t i = 0; identity != NULL && i < groups->count; i++)
        if (identity_in_group(identity, groups->items[i]))
            return true;
    return false;
}

static bool claims_match(const struct list *claims, const struct identity *identity)
{
    const struct claim_row *rows = claims->items;
    for (size_t i = 0; i < claims->count; i++) {
        const struct claim *claim = NULL;
        bool found = false;
        while (identity != NULL && !found &&
               (claim = identity_claim(identity, rows[i].item.key, claim)) != NULL)
            found = texts_have(&rows[i].values, claim->value);
        if (!found)
            return false;
    }
    return true;
}

static bool identity_matches(const struct rule_row *row, const struct txn *txn)
{
    const struct facts *facts = &txn->facts;
    return (row->users.count == 0 ||
            (facts->user.len > 0 && texts_have(&row->users, facts->user))) &&
           (row->groups.count == 0 || groups_match(&row->groups, facts->identity)) &&
           (row->auth.count == 0 || texts_have(&row->auth, facts->auth)) &&
           claims_match(&row->claims, facts->identity);
}

static bool one_path_matches(const struct rule *rule, struct span path)
{
    for (size_t i = 0; i < rule->row->paths.count; i++)
        if (path_pattern_matches(&rule->paths[i], path))
            return true;
    return false;
}

static bool path_matches(const struct rule *rule, const struct request *req)
{
    if (rule->row->paths.count == 0)
        return true;
    bool plain = one_path_matches(rule, req->path_plain);
    bool whole = one_path_matches(rule, req->path);
    return rule->row->action == POLICY_ALLOW ? plain && whole : plain || whole;
}

static bool address_matches(const struct rule_row *row, const struct addr *client)
{
    for (size_t i = 0; i < row->ips.count; i++)
        if (cidr_contains(&row->ips.items[i], client))
            return true;
    return row->ips.count == 0;
}

static bool time_matches(const struct rule *rule, const struct txn *txn)
{
    time_t now = (time_t)(txn->clock->wall_us / 1000000u);
    struct tm tm;
    if (rule->days == 0 && rule->from == rule->to)
        return true;
    if (localtime_r(&now, &tm) == NULL)
        return false;
    unsigned minute = (unsigned)(tm.tm_hour * 60 + tm.tm_min);
    bool day = rule->days == 0 || (rule->days >> tm.tm_wday & 1) != 0;
    if (rule->from == rule->to)
        return day;
    bool within = rule->from < rule->to ? minute >= rule->from && minute < rule->to
                                        : minute >= rule->from || minute < rule->to;
    return day && within;
}

/* False, and `*undecided`, when the condition could not be decided. */
static bool condition_holds(const struct rule_row *row, struct txn *txn, bool *undecided)
{
    if (row->when == NULL)
        return true;
    struct expr_source source = scope_source(txn);
    txn->undecided = false;
    bool holds = expr_eval(row->when, &source);
    *undecided = txn->undecided;
    txn->undecided = false;
    return holds;
}

static bool matches(const struct rule *rule, struct txn *txn, bool *undecided)
{
    const struct rule_row *row = rule->row;
    return identity_matches(row, txn) &&
           (row->methods.count == 0 || texts_have(&row->methods, txn->req->method)) &&
           path_matches(rule, txn->req) && address_matches(row, &txn->client) &&
           time_matches(rule, txn) && condition_holds(row, txn, undecided);
}

/* NULL, or what has not been proved. A time in the future proves nothing. */
static const char *lacks(const struct rule *rule, const struct txn *txn)
{
    const struct identity *identity = txn->facts.identity;
    uint64_t now_s = txn->clock->wall_us / 1000000u;
    if (rule->mfa && (identity == NULL || !identity->mfa))
        return "policy-mfa";
    if (rule->recent_s == 0)
        return NULL;
    if (identity == NULL || identity->proved_s == 0 ||
        identity->proved_s > now_s + CLOCK_SKEW_S)
        return "policy-recent";
    uint64_t age_s = now_s > identity->proved_s ? now_s - identity->proved_s : 0;
    return age_s > rule->recent_s ? "policy-recent" : NULL;
}

struct policy_decision policy_decide(const struct policy_conf *conf, struct txn *txn)
{
    for (size_t i = 0; i < conf->rules.count; i++) {
        const struct rule *rule = &conf->built[i];
        bool undecided = false, matched = matches(rule, txn, &undecided);
        if (undecided)
            return (struct policy_decision){ .rule = (int)i, .detail = "policy-undecided" };
        if (!matched)
            continue;
        const char *lack = lacks(rule, txn);
        return (struct policy_decision){
            .allowed = rule->row->action == POLICY_ALLOW && lack == NULL,
            .rule = (int)i,
            .detail = lack != NULL ? lack : rule->detail,
            .unproved = rule->row->action == POLICY_ALLOW && lack != NULL
        };
    }
    return (struct policy_decision){ .rule = -1, .detail = "policy-default" };
}

static struct verdict policy_head(struct call *c)
{
    struct policy_decision decision = policy_decide(c->conf, c->txn);
    if (decision.allowed)
        return pass();
    fact_set_auth_detail(c, decision.detail);
    if (c->txn->facts.user.len == 0)
        return deny(REASON_POLICY);
    return deny_with(REASON_AUTH_REFUSED, page_refused(c, SPAN(""), decision.unproved));
}

const struct stage_type policy_stage = {
    .name = "policy",
    .summary = "Says who may do what; what it does not name is refused.",
    .options = policy_options,
    .conf_size = sizeof(struct policy_conf),
    .open = open_policy,
    .idle = policy_idle,
    .gate = true,
    .on = { [PHASE_REQUEST_HEAD] = policy_head },
};
