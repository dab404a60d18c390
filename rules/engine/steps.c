/*
 * The actions that change state: setvar and its family, collections, ctl.
 */
#include "rules/engine/run.h"

#include "rules/engine/store.h"

/* ---- numbers --------------------------------------------------------------------------------
 */

/* Leading white space, a sign, digits, whatever is behind them. */
int64_t sec_number(struct span s)
{
    enum { NUMBER_MAX = INT32_MAX };
    size_t i = 0;
    int64_t value = 0;
    while (i < s.len && (s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r')))
        i++;
    bool negative = i < s.len && s.p[i] == '-';
    if (i < s.len && (s.p[i] == '-' || s.p[i] == '+'))
        i++;
    for (; i < s.len && s.p[i] >= '0' && s.p[i] <= '9' && value < NUMBER_MAX; i++)
        value = value * 10 + (s.p[i] - '0');
    if (value > NUMBER_MAX)
        value = NUMBER_MAX;
    return negative ? -value : value;
}

struct span sec_number_text(struct sec_run *run, int64_t value)
{
    static const char digits[] = "0123456789";
    if (value >= 0 && value <= 9) /* most scores and counts are */
        return span_of(digits + value, 1);
    struct text text = text_growing(run->arena, 24);
    text_int(&text, value);
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

static struct span counter_text(struct sec_run *run, int64_t value)
{
    return sec_number_text(run, value > INT32_MAX ? INT32_MAX : value);
}

/* ---- variables ------------------------------------------------------------------------------
 */

static struct span name_of(struct sec_run *run, const struct sec_step *step)
{
    return sec_expand(run, &step->name);
}

/* In a collection that no initcol named nothing can be set. */
static bool has_begun(struct sec_run *run, enum sec_collection collection)
{
    sec_turn_to(run, collection);
    return collection == COLLECTION_TX || collection == COLLECTION_ENV ||
           run->collection_key[collection].p != NULL;
}

/* A value that was looked up is a span into what may change: it is only ever replaced, never
 * written over, so that holding it is holding the value. */
static bool set_variable(struct sec_run *run, const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    if (planned->slot != NO_SLOT) {
        struct span text = sec_expand(run, &step->value);
        if (text.p != NULL)
            sec_slot_set(run, planned->slot, text);
        return text.p != NULL;
    }
    if (!has_begun(run, step->collection))
        return true;
    struct span name = name_of(run, step), value = sec_expand(run, &step->value);
    if (name.p == NULL || value.p == NULL)
        return false;
    return sec_collection_set(run, step->collection, name, value);
}

/* Counters never go below zero. One that was only counted is told from one that was set: two
 * transactions may count at once. */
static bool add_to_slot(struct sec_run *run, const struct plan_step *planned)
{
    struct span value = sec_expand(run, &planned->step->value);
    if (value.p == NULL)
        return false;
    int64_t sum = sec_number(run->slots[planned->slot]) + sec_number(value);
    struct span text = counter_text(run, sum < 0 ? 0 : sum);
    if (text.p != NULL)
        sec_slot_set(run, planned->slot, text);
    return text.p != NULL;
}

static bool add_variable(struct sec_run *run, const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    if (planned->slot != NO_SLOT)
        return add_to_slot(run, planned);
    if (!has_begun(run, step->collection))
        return true;
    struct span name = name_of(run, step), value = sec_expand(run, &step->value);
    if (name.p == NULL || value.p == NULL)
        return false;
    struct span lower = sec_lower(run->arena, name);
    if (lower.p == NULL)
        return false;
    const struct sec_variable *old = sec_variable_find(run, step->collection, lower);
    bool counted = old == NULL || old->change != VARIABLE_SET;
    int64_t sum =
        sec_number(sec_collection_get(run, step->collection, lower)) + sec_number(value);
    struct span text = counter_text(run, sum < 0 ? 0 : sum);
    if (text.p == NULL || !sec_collection_set(run, step->collection, name, text))
        return false;
    struct sec_variable *variable = sec_variable_find(run, step->collection, lower);
    if (variable != NULL && counted)
        variable->change = VARIABLE_COUNTED;
    return true;
}

static bool unset_variable(struct sec_run *run, const struct sec_step *step)
{
    if (!has_begun(run, step->collection))
        return true;
    struct span name = name_of(run, step);
    return name.p != NULL &&
           sec_collection_set(run, step->collection, name, (struct span){ 0 });
}

/* What lives no longer than the transaction does not expire. */
static bool expire_variable(struct sec_run *run, const struct sec_step *step)
{
    if (step->collection == COLLECTION_TX || !has_begun(run, step->collection))
        return true;
    struct span name = name_of(run, step), value = sec_expand(run, &step->value);
    struct text end = text_growing(run->arena, name.len + 16);
    text_lit(&end, "__expire_");
    text_add(&end, name);
    if (name.p == NULL || value.p == NULL || end.overflow)
        return false;
    struct text when = text_growing(run->arena, 24);
    text_int(&when, (int64_t)run->wall_s + sec_number(value));
    return !when.overflow &&
           sec_collection_set(run, step->collection, text_span(&end), text_span(&when));
}

/* `steps/seconds`: down by `steps` for each `seconds` since the collection was kept. */
static bool deprecate_variable(struct sec_run *run, const struct sec_step *step)
{
    if (!has_begun(run, step->collection))
        return true;
    struct span name = name_of(run, step), seconds = sec_expand(run, &step->value), steps;
    if (name.p == NULL || seconds.p == NULL)
        return false;
    struct span kept = sec_collection_get(run, step->collection, SPAN("last_update_time"));
    struct span text = sec_collection_get(run, step->collection, sec_lower(run->arena, name));
    if (kept.p == NULL || text.p == NULL || !span_cut(&seconds, '/', &steps) ||
        sec_number(seconds) <= 0)
        return true;
    int64_t times = ((int64_t)run->wall_s - sec_number(kept)) / sec_number(seconds);
    int64_t left = times < 0 ? sec_number(text) : sec_number(text) - sec_number(steps) * times;
    text = counter_text(run, left < 0 ? 0 : left);
    return text.p != NULL && sec_collection_set(run, step->collection, name, text);
}

/* ---- collections ----------------------------------------------------------------------------
 */

static bool begin_collection(struct sec_run *run, enum sec_collection collection,
                             const struct macro *key_of)
{
    sec_turn_to(run, collection); /* what was to begin it before does it now */
    struct span key = sec_expand(run, key_of);
    if (key.p == NULL)
        return false;
    /* Once begun, a collection keeps its key. */
    if (run->collection_key[collection].p != NULL)
        return true;
    run->collection_key[collection] = key;
    return sec_collection_begin(run, collection);
}

static bool set_environment(struct sec_run *run, const struct sec_step *step)
{
    struct span name = name_of(run, step), value = sec_expand(run, &step->value);
    return name.p != NULL && value.p != NULL &&
           sec_collection_set(run, COLLECTION_ENV, name, value);
}

/* ---- ctl ------------------------------------------------------------------------------------
 */

static bool remove_rules(struct sec_run *run, const struct plan_step *step)
{
    if (run->removed_rules == NULL)
        run->removed_rules = arena_array(run->arena, uint64_t, run->plan->head_words);
    if (run->removed_rules == NULL)
        return false;
    for (unsigned i = 0; i < run->plan->head_words; i++)
        run->removed_rules[i] |= step->affects[i];
    return true;
}

static bool remove_target(struct sec_run *run, const struct plan_step *step)
{
    const struct sec_removal *known = run->removed_targets;
    for (; known != NULL; known = known->next) {
        if (known->step == step)
            return true;
    }
    struct sec_removal *removal = arena_new(run->arena, struct sec_removal);
    if (removal == NULL)
        return false;
    if (++run->removals > RUN_REMOVALS_MAX)
        run->spent = true;
    *removal = (struct sec_removal){ .next = run->removed_targets, .step = step };
    run->removed_targets = removal;
    return true;
}

/* Without case, and a target without a key stands for the whole collection. */
static bool target_covers(const struct sec_run *run, const struct sec_target *target,
                          enum variable var, struct span key)
{
    if (target->var != var)
        return false;
    if (target->key_kind == KEY_REGEX)
        return regex_match(&run->local->regex, target->regex, key, NULL) == REGEX_YES;
    return target->key_kind == KEY_NONE || span_equal_nocase(target->key, key);
}

bool sec_target_removed(const struct sec_run *run, const struct sec_link *link,
                        enum variable var, struct span key)
{
    const struct sec_removal *removal = run->removed_targets;
    for (; removal != NULL; removal = removal->next) {
        if (bit_has(removal->step->affects, link->ordinal) &&
            target_covers(run, &removal->step->step->target, var, key))
            return true;
    }
    return false;
}

static bool do_ctl(struct sec_run *run, const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    switch (step->ctl) {
    case CTL_RULE_REMOVE_BY_ID:
    case CTL_RULE_REMOVE_BY_TAG:
    case CTL_RULE_REMOVE_BY_MSG:
        return remove_rules(run, planned);
    case CTL_RULE_REMOVE_TARGET_BY_ID:
    case CTL_RULE_REMOVE_TARGET_BY_TAG:
    case CTL_RULE_REMOVE_TARGET_BY_MSG:
        return remove_target(run, planned);
    case CTL_RULE_ENGINE:
        run->engine = (enum engine_mode)step->option < run->ceiling
                          ? (enum engine_mode)step->option
                          : run->ceiling;
        return true;
    case CTL_FORCE_REQUEST_BODY_VARIABLE:
        run->force_body_variable = step->option != 0;
        return true;
    case CTL_REQUEST_BODY_ACCESS:
        run->body_access_off = step->option == 0;
        return true;
    case CTL_REQUEST_BODY_PROCESSOR:
        run->body_processor = sec_expand(run, &step->value);
        return run->body_processor.p != NULL;
    /* The record, limits and logs are the gateway's own. */
    case CTL_AUDIT_ENGINE:
    case CTL_AUDIT_LOG_PARTS:
    case CTL_RESPONSE_BODY_ACCESS:
    case CTL_REQUEST_BODY_LIMIT:
    case CTL_RESPONSE_BODY_LIMIT:
    case CTL_PARSE_XML_INTO_ARGS:
    case CTL_DEBUG_LOG_LEVEL:
    case CTL_HASH_ENGINE:
    case CTL_HASH_ENFORCEMENT:
    case CTL_COUNT:
        return true;
    }
    return true;
}

/* ---- what records may not show --------------------------------------------------------------
 */

/* The name of a value, or of a variable that has none. */
static struct span bare_name(struct span name)
{
    ssize_t colon = span_index(name, ':');
    return colon < 0 ? name : span_sub(name, (size_t)colon + 1, name.len);
}

static bool hide(struct sec_run *run, const struct sec_step *step)
{
    struct sec_hidden *hidden = arena_new(run->arena, struct sec_hidden);
    struct span name = step->sanitise == VAR_MATCHED_VARS
                           ? sec_matched_name(run, run->last_matched)
                           : sec_expand(run, &step->name);
    if (hidden == NULL || name.p == NULL)
        return false;
    if (step->sanitise == VAR_MATCHED_VARS)
        name = bare_name(name);
    if (name.len == 0)
        return true;
    for (const struct sec_hidden *known = run->hidden; known != NULL; known = known->next) {
        if (span_equal_nocase(known->name, name))
            return true;
    }
    *hidden = (struct sec_hidden){ .next = run->hidden, .name = name };
    run->hidden = hidden;
    return true;
}

/* ---- all of a link --------------------------------------------------------------------------
 */

static bool do_step(struct sec_run *run, const struct plan_step *planned)
{
    const struct sec_step *step = planned->step;
    switch (step->kind) {
    case STEP_SETVAR:
        return set_variable(run, planned);
    case STEP_ADDVAR:
        return add_variable(run, planned);
    case STEP_UNSETVAR:
        return unset_variable(run, step);
    case STEP_EXPIREVAR:
        return expire_variable(run, step);
    case STEP_INITCOL:
        return begin_collection(run, step->collection, &step->value);
    case STEP_SETUID:
        return begin_collection(run, COLLECTION_USER, &step->value);
    case STEP_SETSID:
        return begin_collection(run, COLLECTION_SESSION, &step->value);
    case STEP_SETRSC:
        return begin_collection(run, COLLECTION_RESOURCE, &step->value);
    case STEP_SETENV:
        return set_environment(run, step);
    case STEP_CTL:
        return do_ctl(run, planned);
    case STEP_DEPRECATEVAR:
        return deprecate_variable(run, step);
    case STEP_SANITISE:
        return hide(run, step);
    }
    return true;
}

bool sec_do_steps(struct sec_run *run, const struct sec_link *link)
{
    for (unsigned i = 0; i < link->step_count; i++) {
        if (!do_step(run, &link->steps[i]))
            return false;
    }
    return true;
}
