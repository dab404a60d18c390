/*
 * Entries that change nothing while nothing else has: sums of scores, which are as they were
 * until a rule matched. All that they look at and write are variables in TX of known names, so
 * their effect on what a transaction begins with can be tried at load.
 */
#include "rules/engine/build.h"
#include "rules/engine/run.h"

/* ---- which entries --------------------------------------------------------------------------
 */

bool plan_all_slots(const struct sec_plan *plan, const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable &&
            (part->var != VAR_TX || part->slot == 0 || part->slot > plan->slot_count))
            return false;
    }
    return true;
}

static bool asks_slots(const struct sec_plan *plan, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    if (rule->capture || rule->multi_match)
        return false;
    if (rule->unconditional)
        return true;
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (link->targets[i].slot == NO_SLOT || rule->targets[i].exclude)
            return false;
    }
    return link->op->row->kind == OPERATOR_EVAL && plan_all_slots(plan, &link->op->argument);
}

static bool writes_slots(const struct sec_plan *plan, const struct sec_link *link)
{
    for (unsigned i = 0; i < link->step_count; i++) {
        const struct plan_step *step = &link->steps[i];
        if ((step->step->kind != STEP_SETVAR && step->step->kind != STEP_ADDVAR) ||
            step->slot == NO_SLOT || !plan_all_slots(plan, &step->step->value))
            return false;
    }
    return true;
}

/* Nothing follows from it but what its steps write. */
static bool is_about_slots(const struct sec_plan *plan, const struct sec_entry *entry,
                           unsigned at)
{
    const struct sec_rule *head = entry->head->rule;
    if (head->own != NULL || head->log || head->audit_log || head->severity > 0 ||
        head->resolved != DISRUPT_PASS || entry->skip_to > at + 1)
        return false;
    for (const struct sec_link *link = entry->head; link != NULL; link = link->next) {
        if (!asks_slots(plan, link) || !writes_slots(plan, link))
            return false;
    }
    return true;
}

/* ---- tried ----------------------------------------------------------------------------------
 */

/* False: out of memory. */
static bool try_entry(struct sec_run *run, const struct sec_link *head)
{
    int matched = 1;
    for (const struct sec_link *link = head; link != NULL && matched == 1; link = link->next) {
        if (!link->rule->unconditional)
            matched = plan_ask(run, link);
        if (matched == 1 && !sec_do_steps(run, link))
            matched = -1;
    }
    return matched >= 0;
}

static bool is_same(struct span a, struct span b)
{
    return (a.p == NULL) == (b.p == NULL) && span_equal(a, b);
}

int plan_is_quiet(struct sec_run *run, const struct sec_entry *entry, unsigned at)
{
    const struct sec_plan *plan = run->plan;
    if (!is_about_slots(plan, entry, at))
        return 0;
    bool good = try_entry(run, entry->head), same = true;
    for (unsigned i = 0; i < plan->slot_count; i++) {
        same = same && is_same(run->slots[i], plan->initial[i]);
        run->slots[i] = plan->initial[i];
    }
    return good ? same : -1;
}
