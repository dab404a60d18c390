/*
 * Folding: what the configuration decides is decided at load.
 *
 * The entries of all phases are gone through in the order in which they will run, with what is
 * then known of the variables in TX. An entry whose conditions look only at known variables has
 * one answer for ever: those that never match go away, with all that they would have skipped
 * past staying; those that always match and only set variables are run now, and a transaction
 * begins with what they set. Thus the rules of higher paranoia levels, and the defaults of a
 * setup, cost nothing.
 *
 * Sound because an effect is moved to the beginning only when nothing that stays looks at the
 * variable before, or at its place among others ever, and a variable is known only while
 * everything that could have written it ran for certain, or not at all.
 */
#include "rules/engine/build.h"
#include "rules/engine/run.h"

struct folding {
    struct plan_builder *b;
    struct sec_run run; /* at load: its slots are what is known */
    struct sec_local local;
    struct span *initial;
    bool *known;     /* by slot */
    bool *touched;   /* by slot: something that stays reads or writes it */
    bool *listed;    /* by slot: something sees it in the order of creation */
    uint64_t *maybe; /* set of heads that something at run time may remove */
    /* From here on only the logging phase is sure to run, or, behind `allow` of a phase, only
     * later ones: what is written now need not have been written when they do. */
    bool interruptible, allowable;
    bool *late;  /* by slot: written since then */
    bool *lands; /* by entry of the phase: one before it may skip to it */
};

/* ---- what is known --------------------------------------------------------------------------
 */

static bool slot_for(const struct folding *f, struct span name, unsigned *slot)
{
    char buffer[256];
    if (name.len > sizeof(buffer))
        return false;
    for (size_t i = 0; i < name.len; i++)
        buffer[i] = ascii_lower(name.p[i]);
    const void *found = table_get(&f->b->plan->names, span_of(buffer, name.len));
    if (found == NULL)
        return false;
    *slot = (unsigned)((uintptr_t)found - 1);
    return true;
}

static bool name_is_known(const struct folding *f, struct span name)
{
    unsigned slot;
    return slot_for(f, name, &slot) && f->known[slot];
}

static bool macro_is_known(const struct folding *f, const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable && (part->var != VAR_TX || !name_is_known(f, part->text)))
            return false;
    }
    return true;
}

static bool is_named(const struct sec_target *target)
{
    return target->key_kind == KEY_NAME &&
           (target->key_macro.literal || target->key_macro.count == 0);
}

static bool target_is_known(const struct folding *f, const struct sec_target *target)
{
    return target->var == VAR_TX && !target->exclude && is_named(target) &&
           name_is_known(f, target->key);
}

static bool link_is_known(const struct folding *f, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    if (rule->unconditional) /* how often, its steps make of the client's address */
        return !rule->multi_match || rule->transform_count == 0;
    if (rule->op.row->kind == OPERATOR_GEO || !macro_is_known(f, &rule->op.argument))
        return false;
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (!target_is_known(f, &rule->targets[i]))
            return false;
    }
    return rule->target_count > 0;
}

/* ---- effects --------------------------------------------------------------------------------
 */

static bool sets_tx(const struct sec_step *step)
{
    return (step->kind == STEP_SETVAR || step->kind == STEP_ADDVAR ||
            step->kind == STEP_UNSETVAR) &&
           step->collection == COLLECTION_TX;
}

/* Whether a match does nothing but set variables of known names to known values, unseen. */
static bool only_sets_known(const struct folding *f, const struct sec_rule *rule)
{
    const struct sec_rule *head = rule->head;
    if (rule->capture || head->log || head->audit_log || head->severity > 0 ||
        head->resolved != DISRUPT_PASS)
        return false;
    for (unsigned i = 0; i < rule->step_count; i++) {
        const struct sec_step *step = &rule->steps[i];
        unsigned slot;
        if (!sets_tx(step) || !step->name.literal || !slot_for(f, step->name.source, &slot) ||
            !macro_is_known(f, &step->value))
            return false;
        if (step->kind == STEP_ADDVAR && !f->known[slot])
            return false;
    }
    return true;
}

static bool touches_nothing_touched(const struct folding *f, const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        for (unsigned i = 0; i < link->rule->step_count; i++) {
            unsigned slot;
            if (slot_for(f, link->rule->steps[i].name.source, &slot) &&
                (f->touched[slot] || f->listed[slot]))
                return false;
        }
    }
    return true;
}

/* ---- what stays -----------------------------------------------------------------------------
 */

static void touch_name(struct folding *f, struct span name)
{
    unsigned slot;
    if (slot_for(f, name, &slot))
        f->touched[slot] = true;
}

static void touch_macro(struct folding *f, const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        if (macro->parts[i].variable && macro->parts[i].var == VAR_TX)
            touch_name(f, macro->parts[i].text);
    }
}

static bool sees(const struct folding *f, const struct sec_target *target, struct span name)
{
    if (is_named(target))
        return span_equal_nocase(name, target->key);
    return target->key_kind != KEY_REGEX ||
           regex_match(&f->local.regex, target->regex, name, NULL) != REGEX_NO;
}

static void touch_target(struct folding *f, const struct sec_target *target)
{
    for (unsigned i = 0; target->var == VAR_TX && i < f->b->plan->slot_count; i++)
        f->touched[i] = f->touched[i] || sees(f, target, f->b->plan->slot_names[i]);
}

static void find_listed(struct folding *f, const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        bool lists =
            target->var == VAR_TX && !is_named(target) && !target->exclude && !target->count;
        for (unsigned j = 0; lists && j < f->b->plan->slot_count; j++)
            f->listed[j] = f->listed[j] || sees(f, target, f->b->plan->slot_names[j]);
    }
}

/* A name with macros in it may be any that begins as it does. A rule's id begins with a digit.
 */
bool plan_may_name(const struct macro *name, struct span slot_name)
{
    if (name->literal)
        return span_equal_nocase(name->source, slot_name);
    if (name->count == 0)
        return true;
    const struct macro_part *first = &name->parts[0];
    if (!first->variable)
        return span_starts_nocase(slot_name, first->text);
    if (first->var == VAR_RULE)
        return slot_name.len > 0 && slot_name.p[0] >= '0' && slot_name.p[0] <= '9';
    return true;
}

static void touch_step(struct folding *f, const struct plan_step *planned, bool certain)
{
    const struct sec_step *step = planned->step;
    touch_macro(f, &step->name);
    touch_macro(f, &step->value);
    for (unsigned i = 0; planned->affects != NULL && i < f->b->plan->head_words; i++)
        f->maybe[i] |= planned->affects[i];
    for (unsigned i = 0; sets_tx(step) && i < f->b->plan->slot_count; i++) {
        if (!plan_may_name(&step->name, f->b->plan->slot_names[i]))
            continue;
        f->touched[i] = true;
        f->known[i] = f->known[i] && certain;
        f->late[i] = f->late[i] || f->interruptible;
    }
}

/* `certain`: its steps have been run just now, and will run for sure. */
static void keep(struct folding *f, const struct sec_link *head, bool certain)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        const struct sec_rule *rule = link->rule;
        for (unsigned i = 0; i < rule->target_count; i++) {
            touch_target(f, &rule->targets[i]);
            touch_macro(f, &rule->targets[i].key_macro);
        }
        touch_macro(f, &rule->op.argument);
        for (unsigned i = 0; i < rule->step_count; i++)
            touch_step(f, &link->steps[i], certain);
    }
    touch_macro(f, &head->rule->message);
    touch_macro(f, &head->rule->log_data);
    touch_macro(f, &head->rule->redirect);
    for (unsigned i = 0; head->rule->tag_macros != NULL && i < head->rule->tag_count; i++)
        touch_macro(f, &head->rule->tag_macros[i]);
    enum sec_disruptive decision = head->rule->resolved;
    f->interruptible = f->interruptible || decision != DISRUPT_PASS;
    f->allowable =
        f->allowable || decision == DISRUPT_ALLOW_PHASE || decision == DISRUPT_ALLOW_REQUEST;
}

/* ---- one entry ------------------------------------------------------------------------------
 */

enum fate { STAYS, GOES_UNMATCHED, GOES_MATCHED };

int plan_ask(struct sec_run *run, const struct sec_link *link)
{
    struct sec_link bare = *link;
    struct sec_rule rule = *link->rule, first = *link->rule->head;
    rule.capture = false;
    rule.head = &first;
    first.log = first.audit_log = false;
    first.resolved = DISRUPT_PASS;
    first.severity = 0;
    bare.rule = &rule;
    bare.step_count = 0;
    bare.next = NULL;
    return sec_match_link(run, &bare);
}

/* Whether its match has an effect of its own. */
static bool has_effect(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    return rule->step_count > 0 || rule->capture ||
           (!rule->unconditional && rule->op.row->kind == OPERATOR_GEO);
}

/* 1: every link is known and matches; 0: a known link does not, before anything else could
 * have had an effect; -1: it cannot be told. */
static int known_answer(struct folding *f, const struct sec_link *head)
{
    bool known = true;
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        bool here = link_is_known(f, link);
        int matched = here ? plan_ask(&f->run, link) : 1;
        if (matched <= 0)
            return matched;
        if (link->next != NULL && has_effect(link))
            return -1;
        known = known && here;
    }
    return known ? 1 : -1;
}

static bool run_now(struct folding *f, const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        if (!sec_do_steps(&f->run, link))
            return false;
    }
    return true;
}

static void move_to_beginning(struct folding *f, const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        for (unsigned i = 0; i < link->rule->step_count; i++) {
            unsigned slot;
            if (!slot_for(f, link->rule->steps[i].name.source, &slot))
                continue;
            f->initial[slot] = f->run.slots[slot];
            f->known[slot] = true;
        }
    }
}

static bool does_nothing(const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        if (link->rule->step_count > 0)
            return false;
    }
    return true;
}

static bool all_only_set(const struct folding *f, const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        if (!only_sets_known(f, link->rule))
            return false;
    }
    return true;
}

/* Whoever comes by goes on behind what it skips, and nobody comes in between. */
static bool only_leads_on(const struct folding *f, const struct sec_entry *entry, uint32_t at)
{
    const struct sec_link *head = entry->head;
    if (!does_nothing(head) || !all_only_set(f, head) || bit_has(f->maybe, head->ordinal))
        return false;
    for (uint32_t i = at + 1; i < entry->skip_to; i++) {
        if (f->lands[i])
            return false;
    }
    return true;
}

static enum fate decide(struct folding *f, const struct sec_entry *entry, uint32_t at,
                        bool certain)
{
    const struct sec_link *head = entry->head;
    /* Of a request that the configuration's rules decide, no other rule sees anything. */
    if (head->rule->own != NULL)
        return STAYS;
    int answer = known_answer(f, head);
    if (answer == 0)
        return GOES_UNMATCHED;
    if (answer == 1 && only_leads_on(f, entry, at))
        return GOES_MATCHED;
    /* Should ctl:ruleEngine switch the rest off, nothing is left to see a difference. */
    certain = certain && !bit_has(f->maybe, head->ordinal);
    bool sets = answer == 1 && certain && all_only_set(f, head);
    if (sets && !run_now(f, head))
        sets = false;
    bool goes =
        sets && touches_nothing_touched(f, head) && (!f->interruptible || does_nothing(head));
    if (!goes) {
        keep(f, head, sets);
        return STAYS;
    }
    move_to_beginning(f, head);
    return GOES_MATCHED;
}

/* ---- a phase --------------------------------------------------------------------------------
 */

/* New indexes of old entries, `count` behind the last. */
void plan_keep_entries(struct plan_phase *list, const bool *stays, uint32_t *index)
{
    unsigned count = 0;
    for (unsigned i = 0; i < list->count; i++) {
        index[i] = count;
        count += stays[i];
    }
    index[list->count] = count;
    for (unsigned i = 0; i < list->count; i++) {
        struct sec_entry entry = list->entries[i];
        if (!stays[i])
            continue;
        entry.skip_to = entry.skip_to > 0 ? index[entry.skip_to] : 0;
        list->entries[index[i]] = entry;
    }
    list->count = count;
}

static void note_gone(struct folding *f, const struct sec_entry *entry, enum plan_fate fate)
{
    struct sec_plan *plan = f->b->plan;
    plan->gone[plan->gone_count++] = (struct plan_gone){ entry->head->rule, fate };
}

static enum err fold_phase(struct folding *f, unsigned phase)
{
    struct plan_phase *list = &f->b->plan->phases[phase];
    bool *stays = arena_array(f->b->arena, bool, list->count);
    uint32_t *index = arena_array(f->b->arena, uint32_t, list->count + 1);
    uint32_t maybe_until = 0, skip_until = 0;
    f->lands = arena_array(f->b->arena, bool, list->count + 1);
    if (stays == NULL || index == NULL || f->lands == NULL)
        return ERR_MEMORY;
    f->run.phase = (enum sec_phase)phase;
    f->interruptible = f->interruptible || phase >= SEC_RESPONSE_HEADERS;
    bool partly = f->allowable || phase == SEC_LOGGING;
    for (unsigned i = 0; partly && i < f->b->plan->slot_count; i++)
        f->known[i] = f->known[i] && !f->late[i];
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sec_entry *entry = &list->entries[i];
        if (i < skip_until) {
            note_gone(f, entry, FATE_SKIPPED);
            continue;
        }
        enum fate fate = decide(f, entry, i, i >= maybe_until);
        stays[i] = fate == STAYS;
        f->lands[stays[i] ? entry->skip_to : 0] = true;
        if (fate != STAYS)
            note_gone(f, entry, fate == GOES_MATCHED ? FATE_DONE : FATE_NEVER);
        if (fate == STAYS && entry->skip_to > maybe_until)
            maybe_until = entry->skip_to;
        if (fate == GOES_MATCHED && entry->skip_to > i)
            skip_until = entry->skip_to;
    }
    plan_keep_entries(list, stays, index);
    return OK;
}

/* ---- all ------------------------------------------------------------------------------------
 */

static bool is_last_match(enum variable var)
{
    return var == VAR_MATCHED_VAR || var == VAR_MATCHED_VAR_NAME;
}

static bool names_last_match(const struct macro *macro)
{
    for (unsigned i = 0; i < macro->count; i++) {
        if (macro->parts[i].variable && is_last_match(macro->parts[i].var))
            return true;
    }
    return false;
}

/* A rule that looks at what an earlier one matched would see what folding takes away. */
bool plan_looks_back(const struct plan_builder *b)
{
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_rule *rule = b->links[i]->rule;
        if (rule->head != rule || rule->unconditional)
            continue;
        if (names_last_match(&rule->op.argument))
            return true;
        for (unsigned j = 0; j < rule->target_count; j++) {
            if (is_last_match(rule->targets[j].var) ||
                names_last_match(&rule->targets[j].key_macro))
                return true;
        }
    }
    return false;
}

static enum err fold(struct folding *f)
{
    struct sec_plan *plan = f->b->plan;
    for (unsigned i = 0; i < f->b->link_count; i++)
        find_listed(f, f->b->links[i]->rule);
    for (unsigned i = 0; i < plan->slot_count; i++)
        f->known[i] = true; /* to be unset */
    for (unsigned phase = 1; phase < SEC_PHASES; phase++)
        TRY(fold_phase(f, phase));
    plan->initial = f->initial;
    return OK;
}

enum err plan_fold(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    struct folding *f = arena_new(b->arena, struct folding);
    if (f == NULL)
        return ERR_MEMORY;
    if (plan_looks_back(b))
        return OK;
    f->b = b;
    f->initial = arena_array(b->arena, struct span, plan->slot_count);
    f->known = arena_array(b->arena, bool, plan->slot_count);
    f->touched = arena_array(b->arena, bool, plan->slot_count);
    f->listed = arena_array(b->arena, bool, plan->slot_count);
    f->late = arena_array(b->arena, bool, plan->slot_count);
    f->maybe = arena_array(b->arena, uint64_t, plan->head_words);
    plan->gone = arena_array(b->arena, struct plan_gone, plan->head_count);
    if (plan->gone == NULL || f->initial == NULL || f->known == NULL || f->touched == NULL ||
        f->listed == NULL || f->late == NULL || f->maybe == NULL)
        return ERR_MEMORY;
    TRY(sec_local_attach(&f->local, plan));
    enum err err = sec_run_init(&f->run, plan, &f->local, b->arena);
    if (err == OK)
        err = fold(f);
    sec_local_detach(&f->local);
    return err;
}
