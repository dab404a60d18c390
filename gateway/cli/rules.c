/* `sallyport rules list|cost|show ID|test REQUEST`: also by name, for own rules. */
#include "gateway/cli/rules.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/chain/config.h"
#include "rules/waf.h"

/* ---- what becomes of a rule -----------------------------------------------------------------
 */

const struct sec_link *rule_link(const struct sec_plan *plan, const struct sec_rule *rule)
{
    const struct plan_phase *list = &plan->phases[rule->phase];
    for (unsigned i = 0; i < list->count; i++) {
        if (list->entries[i].head->rule == rule)
            return list->entries[i].head;
    }
    return NULL;
}

const char *rule_state(const struct sec_plan *plan, const struct sec_rule *rule)
{
    static const char *const fates[] = {
        [FATE_NEVER] = "never",
        [FATE_DONE] = "done",
        [FATE_SKIPPED] = "skipped",
        [FATE_UNSEEN] = "unseen",
    };
    static const char *const matches[] = {
        [LINK_ALWAYS] = "always",
        [LINK_SCANNED] = "scanned",
        [LINK_REGEX] = "direct",
        [LINK_OPERATOR] = "direct",
    };
    if (rule->left_out)
        return "left out";
    if (rule->removed)
        return "removed";
    for (unsigned i = 0; i < plan->gone_count; i++) {
        if (plan->gone[i].rule == rule)
            return fates[plan->gone[i].fate];
    }
    const struct sec_link *link = rule_link(plan, rule);
    if (link != NULL && link->deferred)
        return "deferred";
    return link != NULL ? matches[link->match] : "removed";
}

struct span rule_called(const struct sec_rule *rule, char room[24])
{
    struct text text = text_fixed(room, 24);
    if (rule->own != NULL)
        return rule->own->name;
    text_uint(&text, rule->id);
    return text_span(&text);
}

/* ---- the sets of a configuration ------------------------------------------------------------
 */

static int print_text(struct text *out)
{
    return !out->overflow && print_all(STDOUT_FILENO, text_span(out)) ? EXIT_GOOD
                                                                      : EXIT_TROUBLE;
}

static int list_or_show(struct loaded *loaded, const struct arguments *arguments, bool json)
{
    static struct rule_sets sets;
    struct text out = text_growing(&loaded->arena, OUTPUT_BYTES);
    sets.count = waf_sets(loaded->config, sets.items, RULE_SETS_MAX);
    if (sets.count == 0)
        return usage_error("no route has rules: see `waf.ruleset` and `waf.rules`");
    if (strcmp(arguments->operands[0], "list") == 0) {
        rules_list(&out, &sets, json);
        return print_text(&out);
    }
    if (strcmp(arguments->operands[0], "cost") == 0)
        return rules_cost(&out, &sets, &loaded->arena, json) ? print_text(&out) : EXIT_TROUBLE;
    if (!rules_show(&out, &sets, span_text(arguments->operands[1]), json))
        return usage_error("there is no rule %s", arguments->operands[1]);
    return print_text(&out);
}

int verb_rules(const struct arguments *arguments)
{
    const char *what = arguments->operand_count > 0 ? arguments->operands[0] : "";
    const char *from_text = arguments->values[FLAG_FROM];
    struct addr from = { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } };
    bool json, test = strcmp(what, "test") == 0;
    unsigned wanted = strcmp(what, "list") == 0 || strcmp(what, "cost") == 0 ? 1 : 2;
    if (!output_is_json(arguments, &json))
        return EXIT_BAD;
    if ((wanted == 2 && !test && strcmp(what, "show") != 0) ||
        arguments->operand_count != wanted || arguments->values[FLAG_CONFIG] == NULL)
        return usage_error("`rules` takes -c FILE and list, cost, show ID, or test REQUEST");
    if (from_text != NULL && !addr_parse(span_text(from_text), &from))
        return usage_error("--from takes an address, not \"%s\"", from_text);
    struct loaded loaded;
    loaded_open(&loaded, arguments->values[FLAG_CONFIG]);
    int code = EXIT_BAD;
    if (loaded.config == NULL)
        loaded_print(&loaded, STDERR_FILENO, false);
    else if (test)
        code = rules_test(&loaded, arguments->operands[1], &from, json);
    else
        code = list_or_show(&loaded, arguments, json);
    (void)fflush(stdout);
    /* Threads of stages may run still: there is nothing to clear up for them. */
    _exit(code);
}
