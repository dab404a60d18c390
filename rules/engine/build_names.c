/* The names in TX that rules spell out: each has a slot, so that no run has to hash it. */
#include "rules/engine/build.h"

enum { SLOT_NAME_MAX = 128 }; /* longer ones are looked up by name */

struct names {
    struct plan_builder *b;
    struct span *items, *shown;
    unsigned count;
    enum err err;
};

static struct span lower_copy(struct arena *arena, struct span name)
{
    char *p = arena_alloc(arena, name.len);
    for (size_t i = 0; p != NULL && i < name.len; i++)
        p[i] = ascii_lower(name.p[i]);
    return span_of(p, p != NULL ? name.len : 0);
}

static bool is_capture(struct span name)
{
    return name.len == 1 && name.p[0] >= '0' && name.p[0] <= '9';
}

static void add_name(struct names *names, struct span name, bool shown)
{
    if (names->err != OK || name.len == 0 || is_capture(name))
        return;
    struct span lower = lower_copy(names->b->arena, name);
    if (lower.p == NULL) {
        names->err = ERR_MEMORY;
        return;
    }
    struct table *table = &names->b->plan->names;
    void *slot = (void *)(uintptr_t)(names->count + 1);
    enum err err = table_put(table, lower, slot);
    if (err == OK)
        names->items[names->count++] = lower;
    else if (err != ERR_DUPLICATE)
        names->err = err;
    const void *found = table_get(table, lower);
    if (shown && found != NULL && names->shown[(uintptr_t)found - 1].p == NULL)
        names->shown[(uintptr_t)found - 1] = name;
}

static void add_macro(struct names *names, const struct macro *macro)
{
    for (unsigned i = 0; i < macro->count; i++) {
        if (macro->parts[i].variable && macro->parts[i].var == VAR_TX)
            add_name(names, macro->parts[i].text, false);
    }
}

static void add_rule(struct names *names, const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        if (target->var == VAR_TX && target->key_kind == KEY_NAME &&
            (target->key_macro.literal || target->key_macro.count == 0))
            add_name(names, target->key, false);
    }
    for (unsigned i = 0; i < rule->step_count; i++) {
        const struct sec_step *step = &rule->steps[i];
        if (step->collection == COLLECTION_TX && step->name.literal)
            add_name(names, step->name.source, true);
        add_macro(names, &step->name);
        add_macro(names, &step->value);
    }
    for (unsigned i = 0; i < rule->target_count; i++)
        add_macro(names, &rule->targets[i].key_macro);
    for (unsigned i = 0; rule->tag_macros != NULL && i < rule->tag_count; i++)
        add_macro(names, &rule->tag_macros[i]);
    add_macro(names, &rule->op.argument);
    add_macro(names, &rule->message);
    add_macro(names, &rule->log_data);
    add_macro(names, &rule->redirect);
}

/* ---- macros ---------------------------------------------------------------------------------
 */

/* The same program always has the same slots, so that plans do not disagree. */
static void resolve(const struct sec_plan *plan, const struct macro *macro)
{
    for (unsigned i = 0; i < macro->count; i++) {
        struct macro_part *part = (struct macro_part *)&macro->parts[i];
        if (!part->variable || part->var != VAR_TX)
            continue;
        part->slot = is_capture(part->text)
                         ? (uint16_t)(PLAN_CAPTURES_FROM + (part->text.p[0] - '0'))
                         : (uint16_t)(plan_slot_of(plan, part->text) + 1);
    }
}

static void resolve_rule(const struct sec_plan *plan, const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->step_count; i++) {
        resolve(plan, &rule->steps[i].name);
        resolve(plan, &rule->steps[i].value);
    }
    for (unsigned i = 0; i < rule->target_count; i++)
        resolve(plan, &rule->targets[i].key_macro);
    for (unsigned i = 0; rule->tag_macros != NULL && i < rule->tag_count; i++)
        resolve(plan, &rule->tag_macros[i]);
    resolve(plan, &rule->op.argument);
    resolve(plan, &rule->message);
    resolve(plan, &rule->log_data);
    resolve(plan, &rule->redirect);
}

uint16_t plan_slot_of(const struct sec_plan *plan, struct span name)
{
    char lower[SLOT_NAME_MAX];
    if (name.len > sizeof(lower))
        return NO_SLOT;
    for (size_t i = 0; i < name.len; i++)
        lower[i] = ascii_lower(name.p[i]);
    const void *found = table_get(&plan->names, span_of(lower, name.len));
    return found != NULL ? (uint16_t)((uintptr_t)found - 1) : NO_SLOT;
}

enum err plan_names(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    struct names names = { .b = b };
    names.items = arena_array(b->arena, struct span, PLAN_NAMES_MAX);
    names.shown = arena_array(b->arena, struct span, PLAN_NAMES_MAX);
    if (names.items == NULL || names.shown == NULL)
        return ERR_MEMORY;
    TRY(table_init(&plan->names, b->arena, PLAN_NAMES_MAX));
    for (unsigned i = 0; i < b->program->rule_count; i++)
        add_rule(&names, b->program->rules[i]);
    if (names.err == ERR_LIMIT) {
        text_format(b->why, "rules name more than %d variables", PLAN_NAMES_MAX);
        return ERR_CONFIG;
    }
    TRY(names.err);
    for (unsigned i = 0; i < names.count; i++) {
        if (names.shown[i].p == NULL)
            names.shown[i] = names.items[i];
    }
    plan->slot_names = names.items;
    plan->slot_shown = names.shown;
    plan->slot_count = names.count;
    plan->slot_next = arena_array(b->arena, uint16_t, names.count);
    plan->slot_order = arena_array(b->arena, uint32_t, names.count);
    if (plan->slot_next == NULL || plan->slot_order == NULL)
        return ERR_MEMORY;
    memset(plan->slot_first, 0xff, sizeof(plan->slot_first)); /* NO_SLOT */
    for (unsigned i = 0; i < names.count; i++) {
        uint16_t *first = &plan->slot_first[plan_slot_bucket(names.items[i])];
        plan->slot_order[i] = i;
        plan->slot_next[i] = *first;
        *first = (uint16_t)i;
    }
    for (unsigned i = 0; i < b->program->rule_count; i++)
        resolve_rule(plan, b->program->rules[i]);
    plan->initial = arena_array(b->arena, struct span, names.count);
    return plan->initial != NULL ? OK : ERR_MEMORY;
}
