/*
 * What nobody can see is not done: variables in TX that no rule reads are not set, collections
 * that no rule looks into are not begun, and rules of which nothing is left go away. Of the
 * Core Rule Set's setup little else is needed by those of its rules that stay.
 *
 * A step is seen if something reads what it writes: a target, a macro, or who asks after the
 * run. What reads is something that stays; so this goes round until nothing more goes away.
 */
#include "rules/engine/build.h"
#include "rules/engine/run.h"

const struct span plan_asked[PLAN_ASKED] = {
    [ASKED_INBOUND] = SPAN_INIT("anomaly_score"),
    [ASKED_BLOCKING_INBOUND] = SPAN_INIT("blocking_inbound_anomaly_score"),
    [ASKED_OUTBOUND] = SPAN_INIT("outbound_anomaly_score"),
    [ASKED_BLOCKING_OUTBOUND] = SPAN_INIT("blocking_outbound_anomaly_score"),
    [ASKED_THRESHOLD] = SPAN_INIT("inbound_anomaly_score_threshold"),
};

struct seeing {
    struct plan_builder *b;
    bool *slots; /* by slot: somebody reads it */
    bool collections[COLLECTION_COUNT];
    bool changed;
};

/* ---- what is read ---------------------------------------------------------------------------
 */

static void see_slot(struct seeing *s, unsigned slot)
{
    if (slot < s->b->plan->slot_count)
        s->slots[slot] = true;
}

static void see_macro(struct seeing *s, const struct macro *macro)
{
    for (unsigned i = 0; i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        enum sec_collection of = part->variable ? sec_collection_of(part->var) : COLLECTION_TX;
        if (part->variable && of != COLLECTION_COUNT)
            s->collections[of] = true;
        if (part->variable && part->var == VAR_TX && part->slot != 0)
            see_slot(s, part->slot - 1U); /* of a capture there is none */
    }
}

bool plan_sees_slot(const struct sec_plan *plan, const struct sec_target *target,
                    const struct link_target *known, unsigned slot)
{
    if (target->var != VAR_TX || target->key_kind == KEY_NONE)
        return target->var == VAR_TX;
    if (target->key_kind == KEY_REGEX)
        return known->key == PLAN_KEYS_MAX || bit_has(plan->keys[known->key].slots, slot);
    bool named = target->key_macro.literal || target->key_macro.count == 0;
    return named ? known->slot == slot : true;
}

static void see_target(struct seeing *s, const struct sec_target *target,
                       const struct link_target *known)
{
    const struct sec_plan *plan = s->b->plan;
    enum sec_collection of = sec_collection_of(target->var);
    see_macro(s, &target->key_macro);
    if (of != COLLECTION_COUNT)
        s->collections[of] = true;
    for (unsigned i = 0; target->var == VAR_TX && i < plan->slot_count; i++)
        s->slots[i] = s->slots[i] || plan_sees_slot(plan, target, known, i);
}

static void see_link(struct seeing *s, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    for (unsigned i = 0; i < rule->target_count; i++)
        see_target(s, &rule->targets[i], &link->targets[i]);
    see_macro(s, &link->op->argument);
    for (unsigned i = 0; i < link->step_count; i++) {
        const struct sec_step *step = link->steps[i].step;
        see_macro(s, &step->name);
        see_macro(s, &step->value);
        if (step->kind == STEP_SETVAR || step->kind == STEP_ADDVAR ||
            step->kind == STEP_UNSETVAR || step->kind == STEP_EXPIREVAR ||
            step->kind == STEP_DEPRECATEVAR)
            s->collections[step->collection] = true;
    }
}

static void see_head(struct seeing *s, const struct sec_rule *head)
{
    see_macro(s, &head->message);
    see_macro(s, &head->log_data);
    see_macro(s, &head->redirect);
    for (unsigned i = 0; head->tag_macros != NULL && i < head->tag_count; i++)
        see_macro(s, &head->tag_macros[i]);
}

/* By all but the first `but` entries. */
static void see_all(struct seeing *s, unsigned but)
{
    const struct sec_plan *plan = s->b->plan;
    memset(s->slots, 0, plan->slot_count * sizeof(*s->slots));
    memset(s->collections, 0, sizeof(s->collections));
    for (unsigned i = 0; i < PLAN_ASKED; i++)
        see_slot(s, plan_slot_of(plan, plan_asked[i]));
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &plan->phases[phase];
        for (unsigned i = phase == SEC_REQUEST_HEADERS ? but : 0; i < list->count; i++) {
            see_head(s, list->entries[i].head->rule);
            for (const struct sec_link *link = list->entries[i].head; link != NULL;
                 link = link->next)
                see_link(s, link);
        }
    }
}

/* ---- what goes away -------------------------------------------------------------------------
 */

/* The record, limits and logs are the gateway's own. */
static bool ctl_is_heard(enum sec_ctl ctl)
{
    static const enum sec_ctl idle[] = {
        CTL_AUDIT_ENGINE,     CTL_AUDIT_LOG_PARTS,    CTL_RESPONSE_BODY_ACCESS,
        CTL_DEBUG_LOG_LEVEL,  CTL_REQUEST_BODY_LIMIT, CTL_RESPONSE_BODY_LIMIT,
        CTL_HASH_ENFORCEMENT, CTL_HASH_ENGINE,        CTL_PARSE_XML_INTO_ARGS,
    };
    for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
        if (ctl == idle[i])
            return false;
    }
    return true;
}

/* Sessions and users have variables of their own, which tell that they are there. */
static bool step_is_seen(const struct seeing *s, const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    switch (step->kind) {
    case STEP_SETVAR:
    case STEP_ADDVAR:
    case STEP_UNSETVAR:
        return planned->slot == NO_SLOT || s->slots[planned->slot];
    case STEP_CTL:
        return ctl_is_heard(step->ctl);
    case STEP_INITCOL:
        return s->collections[step->collection] || step->collection == COLLECTION_SESSION ||
               step->collection == COLLECTION_USER;
    default:
        return true;
    }
}

/* The steps of a link are the builder's to change. */
static void drop_steps(struct seeing *s, struct sec_link *link)
{
    struct plan_step *steps = (struct plan_step *)link->steps;
    uint16_t count = 0;
    for (unsigned i = 0; i < link->step_count; i++) {
        if (step_is_seen(s, &steps[i]))
            steps[count++] = steps[i];
    }
    s->changed = s->changed || count != link->step_count;
    link->step_count = count;
}

static bool link_is_seen(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    return link->step_count > 0 || rule->capture ||
           (!rule->unconditional && link->op->row->kind == OPERATOR_GEO);
}

/* Whether anything follows when it matches. */
static bool entry_is_seen(const struct sec_entry *entry, unsigned at)
{
    const struct sec_rule *head = entry->head->rule;
    if (head->own != NULL || head->log || head->audit_log || head->severity > 0 ||
        head->resolved != DISRUPT_PASS || entry->skip_to > at + 1)
        return true;
    for (const struct sec_link *link = entry->head; link != NULL; link = link->next) {
        if (link_is_seen(link))
            return true;
    }
    return false;
}

static enum err drop_entries(struct seeing *s, unsigned phase)
{
    struct sec_plan *plan = s->b->plan;
    struct plan_phase *list = &plan->phases[phase];
    bool *stays = arena_array(s->b->arena, bool, list->count);
    uint32_t *index = arena_array(s->b->arena, uint32_t, list->count + 1);
    if (stays == NULL || index == NULL)
        return ERR_MEMORY;
    unsigned before = list->count;
    for (unsigned i = 0; i < list->count; i++) {
        const struct sec_entry *entry = &list->entries[i];
        for (struct sec_link *link = entry->head; link != NULL; link = link->next)
            drop_steps(s, link);
        stays[i] = entry_is_seen(entry, i);
        if (!stays[i])
            plan->gone[plan->gone_count++] =
                (struct plan_gone){ entry->head->rule, FATE_UNSEEN };
    }
    plan_keep_entries(list, stays, index);
    s->changed = s->changed || list->count != before;
    return OK;
}

/* ---- what can wait --------------------------------------------------------------------------
 */

/*
 * The first entries of all may do no more than begin collections, under keys made of what a
 * request's head has. They are run when a rule turns to a collection, which most requests do
 * not come to: then all is as it was, since nothing was run before them, and nothing else
 * writes what they read, or reads what they write.
 */

/* Text, the client's address, what has matched, and variables in TX, about which later. */
static bool lasts(const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        bool slot = part->var == VAR_TX && part->slot != 0 && part->slot < PLAN_CAPTURES_FROM;
        if (part->variable && !slot && part->var != VAR_MATCHED_VAR &&
            part->var != VAR_REMOTE_ADDR)
            return false;
    }
    return true;
}

static bool step_can_wait(const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    bool begins = step->kind == STEP_INITCOL && step->collection != COLLECTION_SESSION &&
                  step->collection != COLLECTION_USER;
    return (begins || (step->kind == STEP_SETVAR && planned->slot != NO_SLOT)) &&
           lasts(&step->value);
}

static bool can_wait(const struct sec_entry *entry, unsigned at)
{
    const struct sec_link *link = entry->head;
    const struct sec_rule *head = link->rule;
    if (head->own != NULL || link->next != NULL || head->log || head->audit_log ||
        head->severity > 0 || head->resolved != DISRUPT_PASS || entry->skip_to > at + 1 ||
        head->capture || head->multi_match)
        return false;
    for (unsigned i = 0; i < head->target_count; i++) {
        if (head->targets[i].var != VAR_REQUEST_HEADERS)
            return false;
    }
    for (unsigned i = 0; i < link->step_count; i++) {
        if (!step_can_wait(&link->steps[i]))
            return false;
    }
    return head->unconditional ||
           (link->op->row->kind != OPERATOR_GEO && link->op->argument.literal);
}

static bool writes(const struct sec_plan *plan, const struct sec_link *head, unsigned slot)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        for (unsigned i = 0; i < link->step_count; i++) {
            const struct sec_step *step = link->steps[i].step;
            if (step->collection == COLLECTION_TX && step->kind != STEP_CTL &&
                plan_may_name(&step->name, plan->slot_names[slot]))
                return true;
        }
    }
    return false;
}

/* By any but the first `but` entries. */
static bool is_written(const struct sec_plan *plan, unsigned slot, unsigned but)
{
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &plan->phases[phase];
        for (unsigned i = phase == SEC_REQUEST_HEADERS ? but : 0; i < list->count; i++) {
            if (writes(plan, list->entries[i].head, slot))
                return true;
        }
    }
    return false;
}

/* Whether what the step reads and writes is theirs alone. */
static bool is_theirs(const struct seeing *s, const struct plan_step *planned, unsigned count)
{
    const struct macro *value = &planned->step->value;
    for (unsigned i = 0; !value->literal && i < value->count; i++) {
        if (value->parts[i].variable && value->parts[i].var == VAR_TX &&
            is_written(s->b->plan, value->parts[i].slot - 1U, count))
            return false;
    }
    return planned->slot == NO_SLOT ||
           (!s->slots[planned->slot] && !is_written(s->b->plan, planned->slot, count));
}

/* How many of the first `count` entries; fewer, where others have to do with the next. */
static unsigned all_theirs(struct seeing *s, const struct plan_phase *list, unsigned count)
{
    see_all(s, count);
    for (unsigned i = 0; i < count; i++) {
        const struct sec_link *link = list->entries[i].head;
        for (unsigned j = 0; j < link->step_count; j++) {
            if (!is_theirs(s, &link->steps[j], count))
                return i;
        }
    }
    return count;
}

static void defer(struct seeing *s)
{
    struct sec_plan *plan = s->b->plan;
    const struct plan_phase *list = &plan->phases[SEC_REQUEST_HEADERS];
    unsigned count = 0, before;
    while (count < list->count && count < PLAN_DEFERRED_MAX &&
           can_wait(&list->entries[count], count))
        count++;
    do {
        before = count;
        count = all_theirs(s, list, count);
    } while (count < before);
    for (unsigned i = 0; i < count; i++) {
        list->entries[i].head->deferred = true;
        plan->deferred[plan->deferred_count++] = list->entries[i].head;
    }
}

enum err plan_unseen(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    struct seeing s = { .b = b, .slots = arena_array(b->arena, bool, plan->slot_count) };
    plan->unseen = arena_array(b->arena, uint64_t, (plan->slot_count + 63) / 64);
    if (s.slots == NULL || plan->unseen == NULL)
        return ERR_MEMORY;
    if (b->all_seen || plan->gone == NULL || plan_looks_back(b))
        return OK;
    do {
        s.changed = false;
        see_all(&s, 0);
        for (unsigned phase = 1; phase < SEC_PHASES; phase++)
            TRY(drop_entries(&s, phase));
    } while (s.changed);
    defer(&s); /* who sees what they write is not counted then */
    for (unsigned i = 0; i < plan->slot_count; i++) {
        if (!s.slots[i])
            bit_add(plan->unseen, i);
    }
    return OK;
}
