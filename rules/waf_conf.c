/* The configuration of the stage `waf`: options, their checks, and the way to a plan. */
#include "rules/waf.h"

#include "conf/schema.h"
#include "gateway/chain/config.h"
#include "rules/exclusion.h"
#include "rules/own/options.h"
#include "rules/own/rule.h"

/* ---- options --------------------------------------------------------------------------------
 */

static const struct choice ruleset_choices[] = {
    { "auto", RULESET_AUTO,
      "The OWASP Core Rule Set where Debian's modsecurity-crs is installed or `crs.path` names "
      "it, else `core`. `check` and the log of the start say which." },
    { "core", RULESET_CORE, "The gateway's own pack against common attacks." },
    { "crs", RULESET_CRS,
      "The OWASP Core Rule Set, as Debian's modsecurity-crs has it or `crs.path` names it." },
    { "none", RULESET_NONE, "Own rules only." },
    { NULL, 0, NULL },
};

static const struct option threshold_options[] = {
    OPTION(struct waf_threshold, inbound, OPT_INT, .flags = OPTION_SHORTHAND, .min = 1,
           .max = 100000,
           .help = "Scores of the rules that match add up; at this sum the request is refused. "
                   "Not given: 5, or what the rule set's setup says."),
    OPTION(struct waf_threshold, outbound, OPT_INT, .min = 1, .max = 100000,
           .help = "The same for answers. Not given: 4, or what the setup says."),
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
           .help =
               "How much of one request is looked at: bytes, each decoded form counted, and "
               "the same for other work."),
    OPTION(struct waf_budget, values, OPT_INT, .fallback = "10000", .min = 16, .max = 1000000,
           .help = "The limit of arguments, and of cookies, of one request."),
    OPTIONS_END,
};

const struct option waf_options[] = {
    OPTION(struct waf_conf, ruleset, OPT_ENUM, .choices = ruleset_choices, .fallback = "auto",
           .help = "The rule set that is added to the site's own rules."),
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
    OPTION(struct waf_conf, rules, OPT_LIST, .flags = OPTION_APPEND,
           .options = own_rule_options, .item_size = sizeof(struct rule_source),
           .max = OWN_RULES_MAX, .check = own_rules_check,
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

static struct ruleset_conf set_conf(const struct waf_conf *conf)
{
    return (struct ruleset_conf){
        .base = (enum ruleset_base)conf->ruleset,
        .crs = conf->crs,
        .seclang = conf->seclang,
        .paranoia = conf->paranoia,
        .detect_paranoia = conf->detect_paranoia != 0 ? conf->detect_paranoia : conf->paranoia,
        .inbound = conf->threshold.inbound,
        .outbound = conf->threshold.outbound,
        .exclude = conf->exclude,
        .rules = conf->rules,
        .skip_unsupported = conf->skip_unsupported,
    };
}

/* The rule set of an earlier stage with the very same configuration is shared. */
static struct ruleset *known_set(const struct ruleset_conf *wanted, const struct config *config)
{
    for (size_t i = 0; config != NULL && i < config->instance_count; i++) {
        const struct stage_instance *instance = &config->instances[i];
        const struct waf_conf *other = instance->conf;
        if (instance->type == &waf_stage && other->set != NULL &&
            ruleset_conf_equal(&other->set->conf, wanted))
            return other->set;
    }
    return NULL;
}

enum err waf_open(void *opened, struct setup *setup)
{
    struct waf_conf *conf = opened;
    conf->set = NULL;
    /* What is wrong in the file has been said; a plan of half of it would only repeat that. */
    if (setup->outline || setup->complaint->schema->diags->errors != 0)
        return OK;
    struct ruleset_conf asked = set_conf(conf), wanted = ruleset_found(&asked);
    if (ruleset_conf_empty(&wanted))
        return OK;
    conf->set = ruleset_open(&wanted, known_set(&wanted, setup->config), setup);
    if (conf->set == NULL)
        return ERR_CONFIG;
    const struct own_rules *own = conf->set->program->own;
    if (own != NULL && own->answers != NULL && !conf->response)
        complain(setup->complaint, SEVERITY_WARNING,
                 "rule \"%.*s\" looks at answers, and rules are not asked about them here: "
                 "`response` is false",
                 (int)own->answers->name.len, own->answers->name.p);
    return OK;
}

void waf_close(void *opened)
{
    struct waf_conf *conf = opened;
    ruleset_close(conf->set);
    conf->set = NULL;
}

unsigned waf_sets(const struct config *config, const struct ruleset **sets, unsigned max)
{
    unsigned count = 0;
    for (size_t i = 0; i < config->instance_count; i++) {
        const struct waf_conf *conf = config->instances[i].conf;
        if (config->instances[i].type != &waf_stage || conf->set == NULL)
            continue;
        unsigned known = 0;
        while (known < count && sets[known] != conf->set)
            known++;
        if (known == count && count < max)
            sets[count++] = conf->set;
    }
    return count;
}
