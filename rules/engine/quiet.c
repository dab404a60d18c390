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

/* ---- what the last phase makes first --------------------------------------------------------
 */

static bool macro_reads(const struct macro *macro, unsigned slot)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        if (macro->parts[i].variable && macro->parts[i].var == VAR_TX &&
            macro->parts[i].slot == slot + 1)
            return true;
    }
    return false;
}

/* Reads it by its name, sees it among others, or writes it. */
static bool touches(const struct sec_plan *plan, const struct sec_link *link, unsigned slot)
{
    const struct sec_rule *rule = link->rule;
    bool yes = macro_reads(&link->op->argument, slot) || macro_reads(&rule->message, slot) ||
               macro_reads(&rule->log_data, slot) || macro_reads(&rule->redirect, slot);
    for (unsigned i = 0; i < rule->target_count && !yes; i++) {
        const struct link_target *known = &link->targets[i];
        if (rule->targets[i].var == VAR_TX)
            yes = known->slot != NO_SLOT ? known->slot == slot
                                         : known->key == PLAN_KEYS_MAX ||
                                               bit_has(plan->keys[known->key].slots, slot);
    }
    for (unsigned i = 0; i < rule->tag_count && !yes; i++)
        yes = macro_reads(&rule->tag_macros[i], slot);
    for (unsigned i = 0; i < link->step_count && !yes; i++) {
        const struct sec_step *step = link->steps[i].step;
        yes = macro_reads(&step->name, slot) || macro_reads(&step->value, slot) ||
              (step->collection == COLLECTION_TX &&
               plan_may_name(&step->name, plan->slot_names[slot]));
    }
    return yes;
}

static bool lists(const struct sec_plan *plan, const struct sec_link *link, unsigned slot)
{
    for (unsigned i = 0; i < link->rule->target_count; i++) {
        const struct link_target *known = &link->targets[i];
        if (link->rule->targets[i].var == VAR_TX && known->slot == NO_SLOT &&
            (known->key == PLAN_KEYS_MAX || bit_has(plan->keys[known->key].slots, slot)))
            return true;
    }
    return false;
}

/* None before it has to do with the slot, and none sees in which order slots were made. Links
 * are in the order of the program. */
static bool is_first(const struct plan_builder *b, const struct sec_link *head, unsigned slot)
{
    bool before = true;
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_link *link = b->links[i];
        before = before && link != head;
        if ((before && touches(b->plan, link, slot)) || lists(b->plan, link, slot))
            return false;
    }
    return true;
}

/* The entry sets it to something before it counts. */
static bool sets_first(const struct sec_link *head, unsigned slot)
{
    for (unsigned i = 0; i < head->step_count; i++) {
        if (macro_reads(&head->steps[i].step->value, slot))
            return false;
        if (head->steps[i].slot == slot)
            return head->steps[i].step->kind == STEP_SETVAR;
    }
    return false;
}

/* Whether a transaction that does not come to the entry comes to none that has to do with the
 * slot: all of them stand in the last phase, behind it. */
static bool comes_first(const struct plan_builder *b, unsigned at, unsigned slot)
{
    const struct plan_phase *list = &b->plan->phases[SEC_LOGGING];
    uint32_t last = at;
    for (uint32_t i = at + 1; i < list->count; i++) {
        for (const struct sec_link *link = list->entries[i].head; link != NULL;
             link = link->next)
            last = touches(b->plan, link, slot) ? i : last;
    }
    for (uint32_t i = 0; i < at; i++) {
        const struct sec_entry *entry = &list->entries[i];
        bool over = entry->skip_to > at && entry->skip_to <= last;
        if (over || entry->head->rule->resolved != DISRUPT_PASS)
            return false;
    }
    return true;
}

/* The same of what ctl may take away. */
static bool goes_with_all(const struct plan_builder *b, const struct plan_step *removing,
                          const struct sec_link *head, unsigned slot)
{
    if (removing->step->kind != STEP_CTL)
        return true;
    if (removing->step->ctl == CTL_RULE_ENGINE)
        return false;
    bool taken = removing->affects != NULL && bit_has(removing->affects, head->ordinal);
    for (unsigned i = 0; taken && i < b->link_count; i++) {
        const struct sec_link *link = b->links[i];
        if (!bit_has(removing->affects, link->ordinal) && touches(b->plan, link, slot))
            return false;
    }
    return true;
}

static bool stays_with_all(const struct plan_builder *b, const struct sec_link *head,
                           unsigned slot)
{
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_link *link = b->links[i];
        for (unsigned j = 0; j < link->step_count; j++) {
            if (!goes_with_all(b, &link->steps[j], head, slot))
                return false;
        }
    }
    for (unsigned i = 0; i < PLAN_ASKED; i++) {
        if (plan_slot_of(b->plan, plan_asked[i]) == slot)
            return false;
    }
    return true;
}

/* What the entry would make stands there from the beginning, if nobody can tell. */
static void begin_with(struct plan_builder *b, struct sec_run *run, struct span *initial,
                       unsigned at)
{
    const struct sec_link *head = b->plan->phases[SEC_LOGGING].entries[at].head;
    bool good = head->next == NULL && head->rule->unconditional && try_entry(run, head);
    for (unsigned i = 0; i < b->plan->slot_count && good; i++) {
        if (!is_same(run->slots[i], initial[i]))
            good = initial[i].p == NULL && sets_first(head, i) && is_first(b, head, i) &&
                   comes_first(b, at, i) && stays_with_all(b, head, i);
    }
    for (unsigned i = 0; i < b->plan->slot_count; i++) {
        if (good)
            initial[i] = run->slots[i];
        run->slots[i] = initial[i];
    }
}

enum err plan_begin(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    const struct plan_phase *list = &plan->phases[SEC_LOGGING];
    struct span *initial = arena_array(b->arena, struct span, plan->slot_count);
    struct sec_run *run = arena_new(b->arena, struct sec_run);
    struct sec_local local = { 0 };
    if (initial == NULL || run == NULL)
        return ERR_MEMORY;
    if (b->all_seen || plan_looks_back(b))
        return OK;
    if (plan->slot_count > 0)
        memcpy(initial, plan->initial, plan->slot_count * sizeof(*initial));
    TRY(sec_run_init(run, plan, &local, b->arena));
    for (unsigned i = 0; i < list->count; i++) {
        if (is_about_slots(plan, &list->entries[i], i))
            begin_with(b, run, initial, i);
    }
    plan->initial = initial;
    return OK;
}
