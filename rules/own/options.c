/* `waf.rules` as it is written: options, and what is refused at its place. */
#include "rules/own/options.h"

#include "rules/own/rule.h"
#include "rules/own/target.h"
#include "rules/own/translate.h"
#include "rules/packs/pack.h"
#include "rules/pattern.h"

enum { CHECK_ARENA_BYTES = 1024 * 1024 };

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
    for (size_t i = 0; i < texts->count; i++) {
        struct span text = texts->items[i];
        struct sec_target targets[OWN_VARIABLES_MAX];
        unsigned count = 0;
        enum err err = own_targets_add(targets, &count, text);
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
    if (name.len == 0 || name.len > OWN_NAME_MAX)
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
                 OWN_NAME_MAX);
}

void own_rules_check(const void *field, struct complaint *complaint)
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
        if (rule->action == RULE_TAG && own_rule_asks_answers(rule))
            complain(complaint, SEVERITY_ERROR,
                     "rule \"%.*s\" looks at answers: there is no upstream to tell its tag to",
                     len, rule->name.p);
        for (size_t j = 0; j < i; j++) {
            if (span_equal(rules[j].name, rule->name))
                complain(complaint, SEVERITY_ERROR, "two rules are named \"%.*s\"", len,
                         rule->name.p);
        }
    }
}

/* ---- options --------------------------------------------------------------------------------
 */

static const struct choice action_choices[] = {
    { "block", RULE_BLOCK, "Refuse the request." },
    { "score", RULE_SCORE,
      "Add `score`; at `threshold.inbound` the request is refused, at `threshold.outbound` the "
      "answer." },
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

const struct option own_rule_options[] = {
    OPTION(struct rule_source, name, OPT_TEXT, .flags = OPTION_REQUIRED, .check = check_name,
           .help = "What the record calls it.", .example = "block-xmlrpc"),
    OPTION(struct rule_source, when, OPT_EXPR, .flags = OPTION_ANSWERS,
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
                   "cookie:NAME. Of answers, with `response: true`: response_headers, "
                   "response_body; response_header:NAME."),
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
