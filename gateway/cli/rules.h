/*
 * `sallyport rules`: the rules of a configuration, offline. Each rule set stands once,
 * however many routes have it.
 */
#ifndef SALLYPORT_CLI_RULES_H
#define SALLYPORT_CLI_RULES_H

#include "gateway/base/json.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"
#include "rules/ruleset.h"

enum { RULE_SETS_MAX = 256 };

struct rule_sets {
    const struct ruleset *items[RULE_SETS_MAX];
    unsigned count;
};

/* What becomes of a rule: "scanned", "direct", "always", "deferred"; or why it is not asked:
 * "never", "done", "skipped", "unseen", "removed", "left out". */
const char *rule_state(const struct sec_plan *plan, const struct sec_rule *rule);
/* Its head in the plan; NULL: it is not asked. */
const struct sec_link *rule_link(const struct sec_plan *plan, const struct sec_rule *rule);

/* rules_list.c, rules_show.c: into `out`. rules_show answers false when no set has the rule. */
void rules_list(struct text *out, const struct rule_sets *sets, bool json);
bool rules_show(struct text *out, const struct rule_sets *sets, struct span id, bool json);
/* What a rule is called: its id, or its name in `waf.rules`. */
struct span rule_called(const struct sec_rule *rule, char room[24]);
/* rules_cost.c: measures, which takes seconds. False: out of memory. */
bool rules_cost(struct text *out, const struct rule_sets *sets, struct arena *arena, bool json);
/* rules_test.c: EXIT_GOOD; 1 when the request cannot be tried. */
int rules_test(struct loaded *loaded, const char *request, const struct addr *from, bool json);

#endif
