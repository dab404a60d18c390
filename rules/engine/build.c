/* A program to a plan: links, what ctl affects, what each phase runs. */
#include "rules/engine/build.h"

#include <hs/hs.h>

#include "rules/engine/database.h"
#include "rules/engine/facts.h"
#include "rules/engine/run.h"

enum { TAGS_KEPT = 64 };

/* ---- links ----------------------------------------------------------------------------------
 */

static bool keep_link(struct plan_builder *b, struct sec_link *link)
{
    if (b->link_count == b->link_capacity) {
        unsigned capacity = b->link_capacity == 0 ? 256 : 2 * b->link_capacity;
        struct sec_link **links = arena_array(b->arena, struct sec_link *, capacity);
        if (links == NULL)
            return false;
        if (b->link_count > 0)
            memcpy(links, b->links, b->link_count * sizeof(struct sec_link *));
        b->links = links;
        b->link_capacity = capacity;
    }
    b->links[b->link_count++] = link;
    return true;
}

static enum link_match how(const struct sec_rule *rule)
{
    if (rule->unconditional)
        return LINK_ALWAYS;
    return rule->op.row->kind == OPERATOR_REGEX ? LINK_REGEX : LINK_OPERATOR;
}

static uint16_t slot_named(const struct sec_plan *plan, const struct sec_target *target)
{
    bool named = target->var == VAR_TX && target->key_kind == KEY_NAME &&
                 (target->key_macro.literal || target->key_macro.count == 0);
    return named ? plan_slot_of(plan, target->key) : NO_SLOT;
}

static uint16_t slot_looked_at(const struct sec_plan *plan, const struct sec_rule *rule)
{
    const struct sec_target *only = rule->target_count == 1 ? rule->targets : NULL;
    return only != NULL && !only->exclude ? slot_named(plan, only) : NO_SLOT;
}

/* Of what the step sets or counts, when its name is no macro. */
static uint16_t slot_set(const struct sec_plan *plan, const struct sec_step *step)
{
    bool known = step->collection == COLLECTION_TX && step->name.literal;
    return known ? plan_slot_of(plan, step->name.source) : NO_SLOT;
}

static bool sees_made(const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->target_count && rule->target_count > 1; i++) {
        if (sec_made_by_rules(rule->targets[i].var))
            return true;
    }
    return false;
}

static enum err make_link(struct plan_builder *b, const struct sec_rule *rule, unsigned ordinal,
                          struct sec_link **made)
{
    struct sec_link *link = arena_new(b->arena, struct sec_link);
    struct plan_step *steps = arena_array(b->arena, struct plan_step, rule->step_count);
    if (link == NULL || steps == NULL || !keep_link(b, link))
        return ERR_MEMORY;
    for (unsigned i = 0; i < rule->step_count; i++)
        steps[i] = (struct plan_step){ .step = &rule->steps[i],
                                       .slot = slot_set(b->plan, &rule->steps[i]) };
    *link = (struct sec_link){
        .rule = rule,
        .op = &rule->op,
        .steps = steps,
        .step_count = (uint16_t)rule->step_count,
        .ordinal = (uint16_t)ordinal,
        .slot = slot_looked_at(b->plan, rule),
        .bit = NO_BIT,
        .feed_bit = NO_BIT,
        .match = (uint8_t)how(rule),
        .direct = (uint8_t)how(rule),
        .sees_made = sees_made(rule),
    };
    *made = link;
    return plan_link_forms(b, link);
}

static enum err make_chain(struct plan_builder *b, const struct sec_rule *head,
                           unsigned ordinal, struct sec_link **chain)
{
    struct sec_link **next = chain;
    for (const struct sec_rule *rule = head; rule != NULL; rule = rule->next) {
        TRY(make_link(b, rule, ordinal, next));
        next = &(*next)->next;
    }
    return OK;
}

/* Patterns for keys that are the same text share an answer: `!REQUEST_COOKIES:/__utm/` stands
 * in a hundred rules. */
static uint8_t key_of(struct sec_plan *plan, const struct sec_target *target)
{
    if (target->key_kind != KEY_REGEX)
        return PLAN_KEYS_MAX;
    for (unsigned i = 0; i < plan->key_count; i++) {
        if (span_equal(regex_source(plan->keys[i].regex), regex_source(target->regex)))
            return (uint8_t)i;
    }
    if (plan->key_count == PLAN_KEYS_MAX)
        return PLAN_KEYS_MAX;
    plan->keys[plan->key_count].regex = target->regex;
    return (uint8_t)plan->key_count++;
}

static void answer_for_slots(const struct sec_plan *plan, const struct regex_local *local,
                             struct plan_key *key)
{
    for (unsigned i = 0; i < plan->slot_count; i++) {
        if (regex_match(local, key->regex, plan->slot_names[i], NULL) == REGEX_YES)
            bit_add(key->slots, i);
    }
    for (unsigned i = 0; i < REGEX_CAPTURES_MAX; i++) {
        char digit = (char)('0' + i);
        if (regex_match(local, key->regex, span_of(&digit, 1), NULL) == REGEX_YES)
            key->digits |= (uint16_t)(1U << i);
    }
}

/* `^` and letters, digits, `_` or `-`. */
static struct span prefix_of(struct span source)
{
    struct span none = { 0 };
    if (source.len < 2 || source.p[0] != '^')
        return none;
    for (size_t i = 1; i < source.len; i++) {
        char c = ascii_lower(source.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return none;
    }
    return span_sub(source, 1, source.len);
}

/* Names of slots are known: nothing is left to ask of them at run time. Of other names most
 * lack the text without which the pattern has no match. */
static enum err prepare_keys(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    struct regex_local local;
    for (unsigned i = 0; i < plan->key_count; i++) {
        struct plan_key *key = &plan->keys[i];
        struct pattern_need need;
        const char *source = arena_cstring(b->arena, regex_source(key->regex));
        key->slots = arena_array(b->arena, uint64_t, (plan->slot_count + 63) / 64);
        if (source == NULL || key->slots == NULL)
            return ERR_MEMORY;
        TRY(facts_need(b->maker->facts, source, HS_FLAG_CASELESS | HS_FLAG_DOTALL, b->arena,
                       &need));
        if (need.text_count == 1)
            key->text = need.texts[0];
        key->prefix = prefix_of(regex_source(key->regex));
    }
    TRY(regex_attach(&local));
    for (unsigned i = 0; i < plan->key_count; i++)
        answer_for_slots(plan, &local, &plan->keys[i]);
    regex_detach(&local);
    return OK;
}

static enum err plan_targets(struct plan_builder *b)
{
    for (unsigned i = 0; i < b->link_count; i++) {
        const struct sec_rule *rule = b->links[i]->rule;
        struct link_target *targets =
            arena_array(b->arena, struct link_target, rule->target_count);
        if (targets == NULL)
            return ERR_MEMORY;
        for (unsigned j = 0; j < rule->target_count; j++) {
            targets[j].key = key_of(b->plan, &rule->targets[j]);
            targets[j].slot = slot_named(b->plan, &rule->targets[j]);
        }
        b->links[i]->targets = targets;
    }
    return prepare_keys(b);
}

/* ---- what ctl removes -----------------------------------------------------------------------
 */

static bool tag_matches(const struct regex_local *local, const struct sec_step *step,
                        const struct sec_rule *head)
{
    for (unsigned i = 0; i < head->tag_count; i++) {
        if (regex_match(local, step->regex, head->tags[i], NULL) == REGEX_YES)
            return true;
    }
    return false;
}

static bool affects(const struct regex_local *local, const struct sec_step *step,
                    const struct sec_rule *head)
{
    if (head->own != NULL)
        return false;
    switch (step->ctl) {
    case CTL_RULE_REMOVE_BY_ID:
    case CTL_RULE_REMOVE_TARGET_BY_ID:
        return head->id >= step->id_from && head->id <= step->id_to;
    case CTL_RULE_REMOVE_BY_TAG:
    case CTL_RULE_REMOVE_TARGET_BY_TAG:
        return step->regex != NULL && tag_matches(local, step, head);
    case CTL_RULE_REMOVE_BY_MSG:
    case CTL_RULE_REMOVE_TARGET_BY_MSG:
        return step->regex != NULL &&
               regex_match(local, step->regex, head->message.source, NULL) == REGEX_YES;
    default:
        return false;
    }
}

static bool removes(const struct sec_step *step)
{
    return step->kind == STEP_CTL && step->ctl <= CTL_RULE_REMOVE_TARGET_BY_MSG;
}

/* Many steps name the same tag: what it removes is found once. */
static bool same_tag(const struct sec_step *a, const struct sec_step *b)
{
    return (a->ctl == CTL_RULE_REMOVE_BY_TAG || a->ctl == CTL_RULE_REMOVE_TARGET_BY_TAG) &&
           (b->ctl == CTL_RULE_REMOVE_BY_TAG || b->ctl == CTL_RULE_REMOVE_TARGET_BY_TAG) &&
           a->regex != NULL && b->regex != NULL &&
           span_equal(regex_source(a->regex), regex_source(b->regex));
}

static enum err find_affected(struct plan_builder *b, const struct regex_local *local,
                              struct plan_step *planned)
{
    struct sec_plan *plan = b->plan;
    uint64_t *set = arena_array(b->arena, uint64_t, plan->head_words);
    if (set == NULL)
        return ERR_MEMORY;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        const struct plan_phase *list = &plan->phases[phase];
        for (unsigned i = 0; i < list->count; i++) {
            const struct sec_link *head = list->entries[i].head;
            if (affects(local, planned->step, head->rule))
                bit_add(set, head->ordinal);
        }
    }
    planned->affects = set;
    return OK;
}

struct tags {
    const struct plan_step *steps[TAGS_KEPT]; /* each with another tag */
    unsigned count;
};

static enum err plan_removal(struct plan_builder *b, const struct regex_local *local,
                             struct plan_step *planned, struct tags *tags)
{
    if (!removes(planned->step))
        return OK;
    for (unsigned i = 0; i < tags->count; i++) {
        if (same_tag(tags->steps[i]->step, planned->step)) {
            planned->affects = tags->steps[i]->affects;
            return OK;
        }
    }
    TRY(find_affected(b, local, planned));
    if (same_tag(planned->step, planned->step) && tags->count < TAGS_KEPT)
        tags->steps[tags->count++] = planned;
    return OK;
}

static enum err plan_removals(struct plan_builder *b)
{
    struct regex_local local;
    struct tags tags = { .count = 0 };
    TRY(regex_attach(&local));
    enum err err = OK;
    for (unsigned i = 0; i < b->link_count && err == OK; i++) {
        struct plan_step *steps = (struct plan_step *)b->links[i]->steps;
        for (unsigned j = 0; j < b->links[i]->rule->step_count && err == OK; j++)
            err = plan_removal(b, &local, &steps[j], &tags);
    }
    regex_detach(&local);
    return err;
}

/* ---- phases ---------------------------------------------------------------------------------
 */

/* Behind which entry a marker stands; `count` when there is none. */
static uint32_t entry_behind(const struct sec_program *program, unsigned phase, uint32_t from,
                             struct span marker)
{
    uint32_t entry = 0;
    for (uint32_t i = 0; i < program->item_count[phase]; i++) {
        const struct sec_item *item = &program->items[phase][i];
        bool runs = item->rule != NULL && !item->rule->removed;
        if (i > from && item->rule == NULL && span_equal(item->marker, marker))
            return entry;
        entry += runs;
    }
    return entry;
}

static uint32_t skip_target(const struct sec_program *program, unsigned phase, uint32_t item,
                            uint32_t entry)
{
    const struct sec_rule *rule = program->items[phase][item].rule;
    if (rule->skip_after.len > 0)
        return entry_behind(program, phase, item, rule->skip_after);
    return rule->skip > 0 ? entry + 1 + rule->skip : 0;
}

static enum err plan_phase_of(struct plan_builder *b, unsigned phase)
{
    const struct sec_program *program = b->program;
    struct plan_phase *list = &b->plan->phases[phase];
    list->entries = arena_array(b->arena, struct sec_entry, program->item_count[phase]);
    if (list->entries == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < program->item_count[phase]; i++) {
        const struct sec_rule *rule = program->items[phase][i].rule;
        if (rule == NULL || rule->removed)
            continue;
        if (b->plan->head_count == UINT16_MAX) {
            text_lit(b->why, "too many rules");
            return ERR_CONFIG;
        }
        struct sec_entry *entry = &list->entries[list->count];
        TRY(make_chain(b, rule, b->plan->head_count++, &entry->head));
        entry->skip_to = skip_target(program, phase, i, list->count);
        entry->index = i;
        list->count++;
    }
    list->words = (list->count + 63) / 64;
    for (unsigned i = 0; i < list->count; i++) {
        if (list->entries[i].skip_to > list->count)
            list->entries[i].skip_to = list->count;
    }
    list->always = arena_array(b->arena, uint64_t, list->words);
    return list->always != NULL ? OK : ERR_MEMORY;
}

/* The links of what stays, and how many entries that is. */
static void gather_links(struct plan_builder *b)
{
    b->link_count = 0;
    for (unsigned phase = 1; phase < SEC_PHASES; phase++) {
        struct plan_phase *list = &b->plan->phases[phase];
        list->words = (list->count + 63) / 64;
        for (unsigned i = 0; i < list->count; i++) {
            list->own_count += list->entries[i].head->rule->own != NULL;
            for (struct sec_link *link = list->entries[i].head; link != NULL; link = link->next)
                b->links[b->link_count++] = link;
        }
    }
}

/* ---- all ------------------------------------------------------------------------------------
 */

static enum err build(struct plan_builder *b)
{
    struct sec_plan *plan = b->plan;
    plan->form_count = 1;
    TRY(plan_names(b));
    for (unsigned phase = 1; phase < SEC_PHASES; phase++)
        TRY(plan_phase_of(b, phase));
    plan->head_words = (plan->head_count + 63) / 64;
    TRY(plan_removals(b));
    TRY(plan_targets(b));
    TRY(plan_fold(b));
    TRY(plan_unseen(b));
    gather_links(b);
    TRY(plan_settle(b));
    TRY(plan_patterns(b));
    TRY(plan_classes(b));
    return plan_gates(b);
}

static enum err build_new(struct plan_builder *b, struct sec_plan **plan)
{
    b->plan = arena_new(b->arena, struct sec_plan);
    if (b->plan == NULL)
        return ERR_MEMORY;
    b->plan->program = b->program;
    b->plan->arena = b->arena;
    enum err err = build(b);
    if (err != OK) {
        sec_plan_free(b->plan);
        return err;
    }
    *plan = b->plan;
    return OK;
}

enum err sec_plan_build_with(struct database_maker *maker, struct sec_plan **plan,
                             const struct sec_program *program, struct arena *arena,
                             struct text *why)
{
    struct plan_builder b = { .program = program, .maker = maker, .arena = arena, .why = why };
    return build_new(&b, plan);
}

enum err sec_plan_build(struct sec_plan **plan, const struct sec_program *program,
                        struct arena *arena, struct text *why)
{
    struct database_maker maker;
    struct plan_builder b = {
        .program = program, .maker = &maker, .arena = arena, .why = why, .all_seen = true
    };
    database_maker_open(&maker, NULL);
    enum err err = build_new(&b, plan);
    database_maker_close(&maker);
    return err;
}

/* Parts with the same patterns share a database (database.h). */
static void free_database(struct sec_plan *plan, struct hs_database *db)
{
    if (db == NULL)
        return;
    for (unsigned i = 1; i < plan->class_count; i++) {
        for (unsigned j = 0; j < plan->classes[i].part_count; j++) {
            struct scan_part *part = &plan->classes[i].parts[j];
            part->db = part->db == db ? NULL : part->db;
            part->wide = part->wide == db ? NULL : part->wide;
        }
    }
    hs_free_database(db);
}

void sec_plan_free(struct sec_plan *plan)
{
    for (unsigned i = 1; i < plan->class_count; i++) {
        for (unsigned j = 0; j < plan->classes[i].part_count; j++) {
            free_database(plan, plan->classes[i].parts[j].db);
            free_database(plan, plan->classes[i].parts[j].wide);
        }
    }
    hs_free_scratch(plan->scratch);
    plan->scratch = NULL;
    plan->class_count = 0;
}
