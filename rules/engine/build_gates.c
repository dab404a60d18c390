/*
 * Gates: which entries of a phase are looked at in any case, and what wakes the others.
 *
 * An entry sleeps while one link of its chain cannot match, whatever the other links do: until
 * its pattern was found in a value, until there is a value to look at, or until a variable in
 * TX has another value than the one that it begins with. What woke for nothing is looked at as
 * if it had never slept, so a gate need not be exact: it only must not miss anything. Links
 * before the one that is waited for are then not asked either, and so may have no effect of
 * their own.
 */
#include "rules/engine/build.h"
#include "rules/engine/run.h"

/* How much a gate keeps away: nearly every request has what the lowest ones wait for. */
enum worth { WORTH_NOTHING, WORTH_LITTLE, WORTH_SOME, WORTH_MUCH };

enum wait_kind { WAIT_SLOT, WAIT_NAMED, WAIT_VAR, WAIT_KEY };

/* An entry wakes when that happens. */
struct wait {
    enum wait_kind kind;
    uint32_t index; /* of a slot, of plan->named, a variable, of plan->keys */
    struct plan_waiting sleeper;
};

struct gating {
    struct plan_builder *b;
    struct sec_local local;
    struct sec_run run; /* as every transaction begins */
    struct wait *waits;
    unsigned count, capacity;
    unsigned named_capacity;
    struct plan_waiting sleeper; /* the entry that is decided about */
    bool looks_back, memory;
};

static void add_wait(struct gating *g, enum wait_kind kind, uint32_t index)
{
    if (g->count == g->capacity) {
        unsigned capacity = g->capacity == 0 ? 256 : 2 * g->capacity;
        struct wait *waits = arena_array(g->b->arena, struct wait, capacity);
        if (waits == NULL) {
            g->memory = true;
            return;
        }
        if (g->count > 0)
            memcpy(waits, g->waits, g->count * sizeof(*waits));
        g->waits = waits;
        g->capacity = capacity;
    }
    g->waits[g->count++] = (struct wait){ kind, index, g->sleeper };
}

/* ---- values ---------------------------------------------------------------------------------
 */

static bool is_named(const struct sec_target *target)
{
    return target->key_kind == KEY_NAME &&
           (target->key_macro.literal || target->key_macro.count == 0);
}

/* What nearly every request has. */
static bool is_usual(const struct sec_target *target)
{
    static const struct span usual[] = {
        SPAN_INIT("host"),   SPAN_INIT("user-agent"),      SPAN_INIT("accept"),
        SPAN_INIT("cookie"), SPAN_INIT("accept-encoding"), SPAN_INIT("accept-language"),
        SPAN_INIT("server"), SPAN_INIT("connection"),      SPAN_INIT("referer"),
    };
    switch ((int)target->var) {
    case VAR_FILES:
    case VAR_FILES_NAMES:
    case VAR_XML:
    case VAR_MULTIPART_PART_HEADERS:
    case VAR_REQUEST_BODY:
        return false;
    case VAR_REQUEST_HEADERS:
    case VAR_RESPONSE_HEADERS:
        break;
    default:
        return true;
    }
    for (size_t i = 0; is_named(target) && i < ARRAY_LEN(usual); i++) {
        if (span_equal_nocase(target->key, usual[i]))
            return true;
    }
    return !is_named(target);
}

/* PLAN_NAMED_MAX: there is no room for it. */
static uint32_t named_row(struct gating *g, enum variable var, struct span name)
{
    struct sec_plan *plan = g->b->plan;
    for (unsigned i = 0; i < plan->named_count; i++) {
        if (plan->named[i].var == var && span_equal_nocase(plan->named[i].name, name))
            return i;
    }
    if (plan->named_count == PLAN_NAMED_MAX)
        return PLAN_NAMED_MAX;
    if (plan->named_count == g->named_capacity) {
        unsigned capacity = 2 * g->named_capacity + 64;
        struct plan_named *named = arena_array(g->b->arena, struct plan_named, capacity);
        if (named == NULL) {
            g->memory = true;
            return PLAN_NAMED_MAX;
        }
        if (plan->named_count > 0)
            memcpy(named, plan->named, plan->named_count * sizeof(*named));
        plan->named = named;
        g->named_capacity = capacity;
    }
    plan->named[plan->named_count] =
        (struct plan_named){ .name = name, .var = var, .group = plan->group_of[var] };
    bit_add(plan->named_vars, var);
    return plan->named_count++;
}

static void see_var(struct sec_plan *plan, enum variable var)
{
    unsigned i = 0;
    while (i < plan->scanned_count && plan->scanned[i] != var)
        i++;
    if (i == plan->scanned_count)
        plan->scanned[plan->scanned_count++] = var;
}

static void wait_for_value(struct gating *g, const struct sec_target *target)
{
    unsigned from = 0;
    enum variable var = plan_seen_as(target->var, &from);
    for (; var != VAR_COUNT && !g->memory; var = plan_seen_as(target->var, &from)) {
        uint32_t row = is_named(target) ? named_row(g, var, target->key) : PLAN_NAMED_MAX;
        see_var(g->b->plan, var);
        if (row < PLAN_NAMED_MAX)
            add_wait(g, WAIT_NAMED, row);
        else
            add_wait(g, WAIT_VAR, var);
    }
}

/* ---- what a link waits for ------------------------------------------------------------------
 */

/* Whether nothing but a found pattern can make the link match. */
static bool waits_for_a_find(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    if (link->bit == NO_BIT || (rule->op.negated && !link->check))
        return false;
    for (unsigned i = 0; i < rule->target_count; i++) {
        const struct sec_target *target = &rule->targets[i];
        if (!target->exclude && (target->count || !plan_scannable(target->var)))
            return false;
    }
    return true;
}

static bool is_set(const struct sec_plan *plan, unsigned slot)
{
    return plan->initial[slot].p != NULL;
}

/* Names that match the key are none at the beginning. */
static bool key_has_none(const struct sec_plan *plan, unsigned id)
{
    if (id == PLAN_KEYS_MAX || plan->keys[id].digits != 0)
        return false;
    const struct plan_key *key = &plan->keys[id];
    unsigned slot = bit_next(key->slots, 0, plan->slot_count);
    while (slot < plan->slot_count && !is_set(plan, slot))
        slot = bit_next(key->slots, slot + 1, plan->slot_count);
    return slot == plan->slot_count;
}

/* What the target chooses has no value when a transaction begins. */
static enum worth target_has_none(const struct sec_plan *plan, const struct sec_target *target,
                                  const struct link_target *known)
{
    unsigned from = 0;
    if (target->count)
        return WORTH_NOTHING;
    if (target->var == VAR_TX) {
        bool none = known->slot != NO_SLOT
                        ? !is_set(plan, known->slot)
                        : target->key_kind == KEY_REGEX && key_has_none(plan, known->key);
        return none ? WORTH_MUCH : WORTH_NOTHING;
    }
    if (!plan_scannable(target->var) || plan_seen_as(target->var, &from) == VAR_COUNT)
        return WORTH_NOTHING;
    return is_usual(target) ? WORTH_LITTLE : WORTH_MUCH;
}

/* A value that is not there matches nothing, whatever the operator. */
static enum worth waits_for_values(const struct sec_plan *plan, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    enum worth worth = rule->unconditional ? WORTH_NOTHING : WORTH_MUCH;
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (rule->targets[i].exclude)
            continue;
        enum worth one = target_has_none(plan, &rule->targets[i], &link->targets[i]);
        worth = one < worth ? one : worth;
    }
    return worth;
}

/* Whatever changes what the target chooses, or how many, is an event. */
static enum worth target_is_watched(const struct sec_plan *plan,
                                    const struct sec_target *target,
                                    const struct link_target *known)
{
    unsigned from = 0;
    if (target->var == VAR_TX) {
        bool named = known->slot != NO_SLOT ||
                     (target->key_kind == KEY_REGEX && known->key != PLAN_KEYS_MAX &&
                      plan->keys[known->key].digits == 0);
        return named ? WORTH_MUCH : WORTH_NOTHING;
    }
    if (!plan_scannable(target->var) || plan_seen_as(target->var, &from) == VAR_COUNT)
        return WORTH_NOTHING;
    return is_usual(target) ? WORTH_LITTLE : WORTH_MUCH;
}

/* As things stand in the beginning it does not match. */
static enum worth waits_for_change(struct gating *g, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    enum worth worth = rule->unconditional || rule->op.row->kind == OPERATOR_GEO ||
                               !plan_all_slots(g->b->plan, &link->op->argument)
                           ? WORTH_NOTHING
                           : WORTH_MUCH;
    for (unsigned i = 0; i < rule->target_count && worth != WORTH_NOTHING; i++) {
        enum worth one = target_is_watched(g->b->plan, &rule->targets[i], &link->targets[i]);
        worth = rule->targets[i].exclude || one > worth ? worth : one;
    }
    int matched = worth != WORTH_NOTHING ? plan_ask(&g->run, link) : 1;
    g->memory = g->memory || matched < 0;
    return matched == 0 ? worth : WORTH_NOTHING;
}

/* A percent sign, say. */
static bool is_one_byte(const struct sec_plan *plan, const struct sec_link *link)
{
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        const struct plan_pattern *pattern = &plan->patterns[i];
        for (unsigned j = 0; j < pattern->find_count; j++) {
            if (pattern->finds[j].bit == link->bit && pattern->check == NULL &&
                pattern->shortest <= 1)
                return true;
        }
    }
    return false;
}

static enum worth worth_of(struct gating *g, const struct sec_link *link)
{
    const struct sec_plan *plan = g->b->plan;
    enum worth values = waits_for_values(plan, link);
    enum worth change = values != WORTH_MUCH ? waits_for_change(g, link) : WORTH_NOTHING;
    if (!waits_for_a_find(link))
        return change > values ? change : values;
    /* What a method or a status is like is found in most of them. */
    enum variable var = link->rule->targets[0].var;
    bool often =
        var == VAR_REQUEST_METHOD || var == VAR_REQUEST_PROTOCOL || var == VAR_RESPONSE_STATUS;
    if (often && link->op->negated) /* a list of some of them */
        return WORTH_LITTLE;
    return often || is_one_byte(plan, link) ? WORTH_SOME : WORTH_MUCH;
}

/* ---- entries --------------------------------------------------------------------------------
 */

/* What does not match leaves nothing behind. */
static bool captures(const struct sec_link *link)
{
    return link->rule->capture && !link->rule->unconditional && !link->op->negated;
}

/* Nobody can tell whether it was asked. */
static bool is_silent(const struct gating *g, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    return !g->looks_back && link->step_count == 0 && !captures(link) &&
           (rule->unconditional || rule->op.row->kind != OPERATOR_GEO);
}

/* `&REQUEST_HEADERS:Host "@eq 0"`. No rule of the configuration counts. */
static bool asks_for_none(const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    const struct sec_target *target = rule->targets;
    unsigned from = 0;
    return !rule->unconditional && rule->target_count == 1 && target->count &&
           is_named(target) && plan_scannable(target->var) &&
           plan_seen_as(target->var, &from) == target->var && !link->op->negated &&
           strcmp(link->op->row->name, "eq") == 0 && link->op->argument.literal &&
           span_equal(link->op->argument.source, SPAN("0"));
}

/* Of plan->named, and one more: by such a value the entry cannot match. 0: there is none. */
static uint16_t ruled_out_by(struct gating *g, const struct sec_link *head)
{
    const struct sec_link *link = head;
    while (link != NULL && !asks_for_none(link))
        link = is_silent(g, link) ? link->next : NULL;
    if (link == NULL)
        return 0;
    uint32_t row = named_row(g, link->rule->targets[0].var, link->rule->targets[0].key);
    see_var(g->b->plan, link->rule->targets[0].var);
    return row < PLAN_NAMED_MAX ? (uint16_t)(row + 1) : 0;
}

/* The link that the entry waits for; NULL: it never sleeps. */
static const struct sec_link *sleeps_for(struct gating *g, const struct sec_link *head)
{
    const struct sec_link *best = NULL;
    enum worth most = WORTH_NOTHING;
    if (head->rule->own != NULL)
        return waits_for_a_find(head) ? head : NULL;
    for (const struct sec_link *link = head; link != NULL && most < WORTH_MUCH;
         link = link->next) {
        enum worth worth = worth_of(g, link);
        if (worth > most) {
            most = worth;
            best = link;
        }
        if (!is_silent(g, link))
            break;
    }
    return best;
}

static void wait_for_bits(struct gating *g, unsigned bit, unsigned count)
{
    for (unsigned i = bit; i < bit + count; i++) {
        g->b->plan->entry_of_bit[i] = g->sleeper.entry;
        g->b->plan->phase_of_bit[i] = g->sleeper.phase;
    }
}

static void wait_for_key(struct gating *g, unsigned id)
{
    const struct sec_plan *plan = g->b->plan;
    unsigned slot = bit_next(plan->keys[id].slots, 0, plan->slot_count);
    for (; slot < plan->slot_count;
         slot = bit_next(plan->keys[id].slots, slot + 1, plan->slot_count))
        add_wait(g, WAIT_SLOT, slot);
    add_wait(g, WAIT_KEY, id);
}

static void wait_for_macro(struct gating *g, const struct macro *macro)
{
    for (unsigned i = 0; !macro->literal && i < macro->count; i++) {
        const struct macro_part *part = &macro->parts[i];
        if (part->variable && part->slot != 0 && part->slot <= g->b->plan->slot_count)
            add_wait(g, WAIT_SLOT, part->slot - 1U);
    }
}

static void put_to_sleep(struct gating *g, const struct sec_link *link)
{
    const struct sec_rule *rule = link->rule;
    if (waits_for_a_find(link)) {
        wait_for_bits(g, link->bit, link->rule->multi_match ? link->path_count : 1);
        return;
    }
    for (unsigned i = 0; i < rule->target_count; i++) {
        if (rule->targets[i].exclude)
            continue;
        if (rule->targets[i].var != VAR_TX)
            wait_for_value(g, &rule->targets[i]);
        else if (link->targets[i].slot != NO_SLOT)
            add_wait(g, WAIT_SLOT, link->targets[i].slot);
        else
            wait_for_key(g, link->targets[i].key);
    }
    wait_for_macro(g, &link->op->argument);
}

/* Until any variable changes that the entry has to do with. */
static void wait_for_slots(struct gating *g, const struct sec_link *head)
{
    for (const struct sec_link *link = head; link != NULL; link = link->next) {
        for (unsigned i = 0; i < link->rule->target_count; i++)
            add_wait(g, WAIT_SLOT, link->targets[i].slot);
        wait_for_macro(g, &link->op->argument);
        for (unsigned i = 0; i < link->step_count; i++) {
            add_wait(g, WAIT_SLOT, link->steps[i].slot);
            wait_for_macro(g, &link->steps[i].step->value);
        }
    }
}

static bool is_quiet(struct gating *g, const struct sec_entry *entry, unsigned at)
{
    int quiet = g->looks_back ? 0 : plan_is_quiet(&g->run, entry, at);
    g->memory = g->memory || quiet < 0;
    return quiet == 1;
}

static void gate_phase(struct gating *g, unsigned phase)
{
    struct plan_phase *list = &g->b->plan->phases[phase];
    for (unsigned i = 0; i < list->count; i++) {
        struct sec_entry *entry = &list->entries[i];
        g->sleeper = (struct plan_waiting){ i, (uint8_t)phase };
        entry->absent = ruled_out_by(g, entry->head);
        const struct sec_link *link = sleeps_for(g, entry->head);
        if (entry->head->deferred)
            continue;
        if (entry->head->feeds)
            wait_for_bits(g, entry->head->feed_bit, 1);
        else if (link != NULL)
            put_to_sleep(g, link);
        else if (is_quiet(g, entry, i))
            wait_for_slots(g, entry->head);
        else
            bit_add(list->always, i);
    }
}

/* ---- what wakes whom ------------------------------------------------------------------------
 */

static uint32_t event_of(const struct sec_plan *plan, const struct wait *wait)
{
    switch (wait->kind) {
    case WAIT_SLOT:
        return wait->index;
    case WAIT_NAMED:
        return plan_event_named(plan, wait->index);
    case WAIT_VAR:
        return plan_event_var(plan, (enum variable)wait->index);
    case WAIT_KEY:
        return plan_event_key(plan, wait->index);
    }
    return 0;
}

/* Event by event. */
static enum err sort_waits(struct gating *g)
{
    struct sec_plan *plan = g->b->plan;
    uint32_t events = plan_event_key(plan, plan->key_count);
    plan->waiting = arena_array(g->b->arena, struct plan_waiting, g->count);
    plan->waiting_from = arena_array(g->b->arena, uint32_t, events + 1);
    if (plan->waiting == NULL || plan->waiting_from == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < g->count; i++)
        plan->waiting_from[event_of(plan, &g->waits[i]) + 1]++;
    for (uint32_t i = 0; i < events; i++)
        plan->waiting_from[i + 1] += plan->waiting_from[i];
    /* Backwards from where each begins, which is where the one before it ends. */
    uint32_t *next = arena_array(g->b->arena, uint32_t, events);
    if (next == NULL)
        return ERR_MEMORY;
    if (events > 0)
        memcpy(next, plan->waiting_from, events * sizeof(*next));
    for (unsigned i = 0; i < g->count; i++)
        plan->waiting[next[event_of(plan, &g->waits[i])]++] = g->waits[i].sleeper;
    return OK;
}

static bool has_waits(const struct sec_plan *plan, uint32_t event)
{
    return plan->waiting_from[event] < plan->waiting_from[event + 1];
}

/* A byte that names seldom have. */
static char rare_in(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (!(c >= 'a' && c <= 'z') && c != '_' && c != '-')
            return c;
    }
    return text.len > 0 ? text.p[0] : '\0';
}

static void find_woken_by(struct sec_plan *plan)
{
    for (unsigned i = 0; i < VAR_COUNT; i++) {
        if (has_waits(plan, plan_event_var(plan, (enum variable)i)))
            bit_add(plan->waking_vars, i);
    }
    for (unsigned i = 0; i < plan->key_count; i++) {
        if (has_waits(plan, plan_event_key(plan, i)))
            plan->waking_keys |= UINT64_C(1) << i;
        plan->keys[i].rare = rare_in(plan->keys[i].text);
    }
    for (unsigned i = 0; i < plan->named_count; i++) {
        struct plan_named *named = &plan->named[i];
        uint16_t *bucket = &plan->named_first[plan_name_bucket(named->name)];
        named->next = *bucket;
        *bucket = (uint16_t)(i + 1);
    }
}

/* ---- all ------------------------------------------------------------------------------------
 */

/* Fields that are told from others only because what is found in them is remembered. */
static void name_kept_fields(struct gating *g)
{
    static const enum variable vars[] = { VAR_REQUEST_HEADERS, VAR_RESPONSE_HEADERS };
    for (size_t i = 0; i < ARRAY_LEN(vars); i++) {
        bool scanned = g->b->plan->group_of[vars[i]] != 0;
        for (unsigned j = 0; scanned && plan_kept_field(j).p != NULL; j++)
            (void)named_row(g, vars[i], plan_kept_field(j));
    }
}

static enum err gate_all(struct gating *g)
{
    struct sec_plan *plan = g->b->plan;
    g->looks_back = plan_looks_back(g->b);
    g->named_capacity = plan->named_count;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++)
        gate_phase(g, phase);
    name_kept_fields(g);
    plan_keep_values(plan);
    if (g->memory)
        return ERR_MEMORY;
    TRY(sort_waits(g));
    find_woken_by(plan);
    return OK;
}

enum err plan_gates(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    struct gating *g = arena_new(b->arena, struct gating);
    plan->entry_of_bit = arena_alloc(b->arena, plan->bit_count * sizeof(uint32_t));
    plan->phase_of_bit = arena_array(b->arena, uint8_t, plan->bit_count);
    if (g == NULL || plan->entry_of_bit == NULL || plan->phase_of_bit == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < plan->bit_count; i++)
        plan->entry_of_bit[i] = UINT32_MAX;
    g->b = b;
    TRY(regex_attach(&g->local.regex));
    enum err err = sec_run_init(&g->run, plan, &g->local, b->arena);
    if (err == OK)
        err = gate_all(g);
    regex_detach(&g->local.regex);
    return err;
}
