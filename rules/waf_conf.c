/* The configuration of the stage `waf`: options, their checks, and the way to a plan. */
#include "rules/waf.h"

#include "conf/schema.h"
#include "gateway/chain/config.h"
#include "gateway/chain/scope.h"
#include "rules/compile.h"
#include "rules/exclusion.h"
#include "rules/pack.h"
#include "rules/pattern.h"

enum {
    CHECK_ARENA_BYTES = 1024 * 1024,
    RULE_NAME_MAX = 64,
    RULES_OWN_MAX = 512, /* the rest of RULES_MAX is the packs' */
};

/* ---- checks ---------------------------------------------------------------------------------
 */

static void check_patterns(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;
    for (size_t i = 0; i < texts->count; i++) {
        struct arena arena;
        char buffer[512];
        struct text why = text_fixed(buffer, sizeof(buffer));
        struct span pattern = texts->items[i];
        arena_init(&arena, NULL, 0, NULL, CHECK_ARENA_BYTES);
        if (!pattern_check(pattern, &arena, &why))
            complain(complaint, SEVERITY_ERROR, "pattern \"%.*s\": %.*s", (int)pattern.len,
                     pattern.p, (int)why.len, why.p);
        arena_reset(&arena);
    }
}

static void check_targets(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;
    struct selectors selectors = { .count = 0 };
    for (size_t i = 0; i < texts->count; i++) {
        struct span text = texts->items[i];
        uint64_t bits = 0;
        enum err err = selectors_add(&selectors, text, &bits);
        if (err == ERR_UNKNOWN)
            complain(complaint, SEVERITY_ERROR, "there is no target \"%.*s\"", (int)text.len,
                     text.p);
        else if (err != OK)
            complain(complaint, SEVERITY_ERROR,
                     "target \"%.*s\": a name is missing behind the colon, or too long",
                     (int)text.len, text.p);
    }
}

static void check_transforms(const void *field, struct complaint *complaint)
{
    const struct texts *texts = field;
    for (size_t i = 0; i < texts->count; i++) {
        struct span text = texts->items[i];
        if (transform_find(text) == NULL)
            complain(complaint, SEVERITY_ERROR, "there is no transformation \"%.*s\"",
                     (int)text.len, text.p);
    }
}

/* Names go to the record, and those of `do: tag` into a field. */
static bool name_usable(struct span name)
{
    if (name.len == 0 || name.len > RULE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.p[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
            c != '.')
            return false;
    }
    return true;
}

static void check_name(const void *field, struct complaint *complaint)
{
    const struct span *name = field;
    if (!name_usable(*name))
        complain(complaint, SEVERITY_ERROR,
                 "a rule's name has 1 to %d letters, digits, \"-\", \"_\" and \".\"",
                 RULE_NAME_MAX);
}

static void check_rules(const void *field, struct complaint *complaint)
{
    const struct list *list = field;
    const struct rule_source *rules = list->items;
    for (size_t i = 0; i < list->count; i++) {
        const struct rule_source *rule = &rules[i];
        int len = (int)rule->name.len;
        if (rule->when == NULL && rule->match.count == 0)
            complain(complaint, SEVERITY_ERROR, "rule \"%.*s\" needs \"when\" or \"match\"",
                     len, rule->name.p);
        if (rule->score != 0 && rule->action != RULE_SCORE)
            complain(complaint, SEVERITY_WARNING,
                     "rule \"%.*s\" has a score, but only \"do: score\" adds one", len,
                     rule->name.p);
        if (rule->status != 0 && rule->action != RULE_BLOCK)
            complain(complaint, SEVERITY_WARNING,
                     "rule \"%.*s\" has a status, but only \"do: block\" answers with one", len,
                     rule->name.p);
        for (size_t j = 0; j < i; j++) {
            if (span_equal(rules[j].name, rule->name))
                complain(complaint, SEVERITY_ERROR, "two rules are named \"%.*s\"", len,
                         rule->name.p);
        }
    }
}

/* ---- options --------------------------------------------------------------------------------
 */

static const struct choice ruleset_choices[] = {
    { "core", WAF_SET_CORE, "The gateway's own pack against common attacks." },
    { "crs", WAF_SET_CRS,
      "The OWASP Core Rule Set, as Debian's modsecurity-crs has it or `crs.path` names it." },
    { "none", WAF_SET_NONE, "Own rules only." },
    { NULL, 0, NULL },
};

static const struct choice action_choices[] = {
    { "block", RULE_BLOCK, "Refuse the request." },
    { "score", RULE_SCORE, "Add `score`; at `threshold.inbound` the request is refused." },
    { "log", RULE_LOG, "Record it." },
    { "allow", RULE_ALLOW, "Record it, and ask no further rule." },
    { "tag", RULE_TAG, "Record it, and send the rule's name upstream in X-Sallyport-Tags." },
    { NULL, 0, NULL },
};

static const struct choice severity_choices[] = {
    { "critical", SCORE_CRITICAL, "5" },
    { "error", SCORE_ERROR, "4" },
    { "warning", SCORE_WARNING, "3" },
    { "notice", SCORE_NOTICE, "2" },
    { NULL, 0, NULL },
};

static const struct option rule_options[] = {
    OPTION(struct rule_source, name, OPT_TEXT, .flags = OPTION_REQUIRED, .check = check_name,
           .help = "What the record calls it.", .example = "block-xmlrpc"),
    OPTION(struct rule_source, when, OPT_EXPR,
           .help =
               "Requests to which the rule applies. A rule needs this or `match`; with both, "
               "both have to hold.",
           .example = "path == \"/xmlrpc.php\" and client.ip not in @office"),
    OPTION(struct rule_source, match, OPT_TEXTS, .check = check_patterns,
           .help =
               "Patterns (PCRE without back references and look-around), one of which has to "
               "be found in one of the targets.",
           .example = "\\bunion\\s+select\\b"),
    OPTION(struct rule_source, in, OPT_TEXTS, .check = check_targets,
           .fallback = "path, args, arg_names, cookies, user_agent, referer, body",
           .help = "Targets: method, host, path, query, args, arg_names, headers, user_agent, "
                   "referer, cookies, body, all; one by name: arg:NAME, header:NAME, "
                   "cookie:NAME."),
    OPTION(struct rule_source, transform, OPT_TEXTS, .check = check_transforms,
           .fallback = "url_decode, lowercase",
           .help =
               "What is done to a value before the patterns see it, in this order; they are "
               "looked for in the value as it came and after each step."),
    OPTION_NAMED("do", struct rule_source, action, OPT_ENUM, .choices = action_choices,
                 .fallback = "block", .help = "What follows."),
    OPTION(struct rule_source, status, OPT_INT, .min = 400, .max = 599,
           .help = "Status of the refusal; 403 where none is given."),
    OPTION(struct rule_source, score, OPT_INT, .min = 1, .max = 1000,
           .help = "What `do: score` adds; that of the severity where none is given."),
    OPTION(struct rule_source, severity, OPT_ENUM, .choices = severity_choices,
           .fallback = "critical", .help = "How bad a match is."),
    OPTION(struct rule_source, message, OPT_TEXT, .help = "A sentence for the record."),
    OPTIONS_END,
};

static const struct option threshold_options[] = {
    OPTION(struct waf_threshold, inbound, OPT_INT, .flags = OPTION_SHORTHAND, .min = 1,
           .max = 100000,
           .help = "Scores of the rules that match add up; at this sum the request is refused. "
                   "Not given: 5, or what the rule set's setup says."),
    OPTION(struct waf_threshold, outbound, OPT_INT, .min = 1, .max = 100000,
           .help = "The same for answers, with `ruleset: crs`."),
    OPTIONS_END,
};

static const struct option crs_options[] = {
    OPTION(struct ruleset_crs, path, OPT_TEXT, .flags = OPTION_SHORTHAND,
           .help = "Folder of the rules; of its *.conf files. Not given: that of Debian's "
                   "modsecurity-crs. A folder `plugins` beside it is read too.",
           .example = "/usr/share/modsecurity-crs/rules"),
    OPTION(struct ruleset_crs, setup, OPT_TEXTS,
           .help = "Setup files, read first. Not given: crs-setup.conf of Debian, or the one "
                   "beside the rules."),
    OPTIONS_END,
};

static const struct option seclang_options[] = {
    OPTION(struct ruleset_seclang, before, OPT_TEXTS,
           .help = "SecLang files, folders of *.conf files or globs, read before the rules."),
    OPTION(struct ruleset_seclang, after, OPT_TEXTS, .flags = OPTION_SHORTHAND,
           .help = "The same, read after them."),
    OPTIONS_END,
};

static const struct option budget_options[] = {
    OPTION(struct waf_budget, bytes, OPT_SIZE, .fallback = "16MiB", .min = 64 * 1024,
           .max = (int64_t)1024 * 1024 * 1024,
           .help = "How much of one request is looked at, each decoded form counted."),
    OPTION(struct waf_budget, values, OPT_INT, .fallback = "10000", .min = 16, .max = 1000000,
           .help = "How many values of one request are looked at; also the limit of arguments "
                   "and of cookies."),
    OPTIONS_END,
};

const struct option waf_options[] = {
    OPTION(struct waf_conf, ruleset, OPT_ENUM, .choices = ruleset_choices, .fallback = "core",
           .help = "The pack that is added to the site's own rules."),
    OPTION(struct waf_conf, crs, OPT_OBJECT, .options = crs_options,
           .help = "Where the Core Rule Set is, with `ruleset: crs`."),
    OPTION(struct waf_conf, seclang, OPT_OBJECT, .options = seclang_options,
           .help = "Rules in the ModSecurity language, beside those of the rule set."),
    OPTION(struct waf_conf, paranoia, OPT_INT, .min = 1, .max = 4,
           .help = "Paranoia level of the Core Rule Set: how much it suspects, and how often "
                   "wrongly. Not given: what its setup says, or 1."),
    OPTION(struct waf_conf, detect_paranoia, OPT_INT, .min = 1, .max = 4,
           .help = "Up to this level rules are asked and recorded without adding to the "
                   "score. Not given: as `paranoia`."),
    OPTION(struct waf_conf, exclude, OPT_LIST, .flags = OPTION_APPEND,
           .options = exclusion_options, .item_size = sizeof(struct exclusion),
           .max = EXCLUSIONS_MAX, .check = exclusions_check,
           .help =
               "Rules of the Core Rule Set or of `seclang` that are not to be asked, or not "
               "about some fields, or not on some paths."),
    OPTION(struct waf_conf, skip_unsupported, OPT_BOOL, .fallback = "false",
           .help = "Leave rules out that need what the gateway does not have (@rbl, Lua, "
                   "@fuzzyHash), with a warning that names each; otherwise they are errors."),
    OPTION(struct waf_conf, response, OPT_BOOL, .fallback = "false",
           .help =
               "Ask the rules about answers too: text, HTML, XML and JSON are held, head "
               "included, until they have been looked at. Upstream is asked for whole answers "
               "then (no Range) and for codings that can be taken off."),
    OPTION(struct waf_conf, response_limit, OPT_SIZE, .fallback = "512KiB", .min = 1024,
           .max = 64 * 1024 * 1024,
           .help = "How much of an answer is held and looked at; what is beyond it passes."),
    OPTION(struct waf_conf, body_limit, OPT_SIZE, .fallback = "10MiB", .min = 1024,
           .max = (int64_t)1024 * 1024 * 1024,
           .help = "Request bodies are held up to this size and looked at; larger ones are "
                   "refused with 413."),
    OPTION(struct waf_conf, rules, OPT_LIST, .flags = OPTION_APPEND, .options = rule_options,
           .item_size = sizeof(struct rule_source), .max = RULES_OWN_MAX, .check = check_rules,
           .help = "Own rules, asked in this order and before those of the pack; a site's come "
                   "behind those of `defaults`."),
    OPTION(struct waf_conf, threshold, OPT_OBJECT, .options = threshold_options,
           .help = "When scores refuse."),
    OPTION(struct waf_conf, budget, OPT_OBJECT, .options = budget_options,
           .help = "Work for one request. Where it does not suffice the stage fails, and "
                   "`on_error` decides."),
    OPTIONS_END,
};

/* ---- to a plan ------------------------------------------------------------------------------
 */

static void note_argument(void *late, int id, struct span argument)
{
    (void)argument;
    for (const struct expr_name *name = scope_names; name->name != NULL; name++) {
        if (name->id == id && strcmp(name->name, "arg") == 0)
            *(bool *)late = true;
    }
}

static struct ruleset_conf set_conf(const struct waf_conf *conf)
{
    return (struct ruleset_conf){
        .crs_on = conf->ruleset == WAF_SET_CRS,
        .crs = conf->crs,
        .seclang = conf->seclang,
        .paranoia = conf->paranoia,
        .detect_paranoia = conf->detect_paranoia != 0 ? conf->detect_paranoia : conf->paranoia,
        .inbound = conf->threshold.inbound,
        .outbound = conf->threshold.outbound,
        .exclude = conf->exclude,
        .skip_unsupported = conf->skip_unsupported,
    };
}

/* The rule set of an earlier stage with the very same configuration is shared. */
static enum err open_seclang(struct waf_conf *conf, struct setup *setup)
{
    struct ruleset_conf wanted = set_conf(conf);
    struct ruleset *known = NULL;
    if (!wanted.crs_on && conf->seclang.before.count + conf->seclang.after.count == 0)
        return OK;
    for (size_t i = 0; setup->config != NULL && i < setup->config->instance_count; i++) {
        const struct stage_instance *instance = &setup->config->instances[i];
        const struct waf_conf *other = instance->conf;
        if (instance->type == &waf_stage && other->seclang_set != NULL &&
            ruleset_conf_equal(&other->seclang_set->conf, &wanted))
            known = other->seclang_set;
    }
    conf->seclang_set = ruleset_open(&wanted, known, setup);
    return conf->seclang_set != NULL ? OK : ERR_CONFIG;
}

/* The plan of an earlier stage with the very same rules: routes that inherit them share one. */
static struct plan *shared_plan(const struct waf_conf *conf, const struct config *config)
{
    for (size_t i = 0; config != NULL && i < config->instance_count; i++) {
        const struct stage_instance *instance = &config->instances[i];
        const struct waf_conf *other = instance->conf;
        if (instance->type == &waf_stage && other->plan != NULL &&
            other->ruleset == conf->ruleset && other->rules.items == conf->rules.items &&
            other->rules.count == conf->rules.count)
            return other->plan;
    }
    return NULL;
}

static enum err gather(const struct waf_conf *conf, struct arena *arena,
                       struct rule_source **rules, size_t *count)
{
    size_t own = conf->rules.count;
    *count = own + (conf->ruleset == WAF_SET_CORE ? pack_count(pack_core) : 0);
    *rules = arena_array(arena, struct rule_source, *count);
    if (*rules == NULL)
        return ERR_MEMORY;
    if (own > 0)
        memcpy(*rules, conf->rules.items, own * sizeof(**rules));
    for (size_t i = 0; i < own; i++) {
        if ((*rules)[i].when != NULL)
            expr_each_name((*rules)[i].when, note_argument, &(*rules)[i].late);
    }
    return conf->ruleset == WAF_SET_CORE ? pack_read(pack_core, *rules + own, arena) : OK;
}

static enum err open_own(struct waf_conf *conf, struct setup *setup)
{
    conf->plan = shared_plan(conf, setup->config);
    if (conf->plan != NULL) {
        conf->plan->users++;
        return OK;
    }
    struct rule_source *rules;
    size_t count;
    TRY(gather(conf, setup->arena, &rules, &count));
    if (count == 0)
        return OK;
    char buffer[1024];
    struct text why = text_fixed(buffer, sizeof(buffer));
    struct database_maker maker;
    ruleset_maker(&maker, setup);
    enum err err = plan_compile_with(&maker, &conf->plan, rules, count, setup->arena, &why);
    database_maker_close(&maker);
    if (err == ERR_CONFIG)
        complain(setup->complaint, SEVERITY_ERROR, "%.*s", (int)why.len, why.p);
    if (conf->plan != NULL)
        conf->plan->users = 1;
    return err;
}

enum err waf_open(void *opened, struct setup *setup)
{
    struct waf_conf *conf = opened;
    conf->plan = NULL;
    conf->seclang_set = NULL;
    /* What is wrong in the file has been said; a plan of half of it would only repeat that. */
    if (setup->complaint->schema->diags->errors != 0)
        return OK;
    TRY(open_seclang(conf, setup));
    return open_own(conf, setup);
}

void waf_close(void *opened)
{
    struct waf_conf *conf = opened;
    ruleset_close(conf->seclang_set);
    conf->seclang_set = NULL;
    if (conf->plan != NULL && --conf->plan->users == 0)
        plan_free(conf->plan);
    conf->plan = NULL;
}
