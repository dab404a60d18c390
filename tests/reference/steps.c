/* What a match changes: variables, collections, and what ctl does to the rest of the run. */
#include "tests/reference/reference.h"

int64_t leading_number(struct span text)
{
    size_t i = 0;
    while (i < text.len && (text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r')))
        i++;
    bool negative = i < text.len && text.p[i] == '-';
    if (i < text.len && (text.p[i] == '-' || text.p[i] == '+'))
        i++;
    int64_t number = 0;
    for (; i < text.len && text.p[i] >= '0' && text.p[i] <= '9'; i++) {
        number = 10 * number + (text.p[i] - '0');
        if (number > INT32_MAX)
            number = INT32_MAX;
    }
    return negative ? -number : number;
}

bool regex_says(const struct reference *ref, const struct sec_regex *regex, struct span text)
{
    return regex != NULL && regex_match(ref->regex, regex, text, NULL) == REGEX_YES;
}

/* ---- variables ------------------------------------------------------------------------------
 */

/* NULL: a collection that was not begun, where nothing can be set. */
static struct vars *collection_of(struct reference *ref, enum sec_collection collection)
{
    if (collection == COLLECTION_TX)
        return &ref->tx;
    if (collection == COLLECTION_ENV)
        ref->begun[COLLECTION_ENV] = true;
    return ref->begun[collection] ? &ref->collections[collection] : NULL;
}

static void add_variable(struct reference *ref, struct vars *table, struct span name,
                         struct span value)
{
    const struct pair *old = vars_find(table, name);
    int64_t sum = leading_number(value) + (old == NULL ? 0 : leading_number(old->value));
    if (sum < 0)
        sum = 0; /* counters never go below zero */
    if (sum > INT32_MAX)
        sum = INT32_MAX;
    vars_set(table, ref->arena, old == NULL ? name : old->name, number_text(ref->arena, sum));
}

/* `value` is steps/seconds: the variable goes down by `steps` for each `seconds` gone by. */
static void deprecate(struct reference *ref, struct vars *table, struct span name,
                      struct span value)
{
    const struct pair *var = vars_find(table, name);
    const struct pair *updated = vars_find(table, SPAN("LAST_UPDATE_TIME"));
    struct span period = value, amount;
    if (var == NULL || updated == NULL || !span_cut(&period, '/', &amount) ||
        leading_number(period) <= 0)
        return;
    int64_t gone = (ref->txn->now - leading_number(updated->value)) / leading_number(period);
    int64_t left = leading_number(var->value) - leading_number(amount) * gone;
    vars_set(table, ref->arena, var->name, number_text(ref->arena, left < 0 ? 0 : left));
}

static void change_variable(struct reference *ref, const struct sec_rule *rule,
                            const struct sec_step *step)
{
    struct span name = reference_expand(ref, rule, &step->name);
    struct vars *table = collection_of(ref, step->collection);
    if (table == NULL)
        return;
    struct span value =
        step->kind == STEP_UNSETVAR ? SPAN("") : reference_expand(ref, rule, &step->value);
    ref->dirty[step->collection] = true;
    if (step->kind == STEP_SETVAR) {
        vars_set(table, ref->arena, name, value);
    } else if (step->kind == STEP_ADDVAR) {
        add_variable(ref, table, name, value);
    } else if (step->kind == STEP_UNSETVAR) {
        vars_unset(table, name);
    } else if (step->kind == STEP_DEPRECATEVAR) {
        deprecate(ref, table, name, value);
    } else if (step->collection != COLLECTION_TX) { /* STEP_EXPIREVAR */
        vars_set(table, ref->arena, join(ref->arena, SPAN("__expire_"), name, SPAN("")),
                 number_text(ref->arena, ref->txn->now + leading_number(value)));
    }
}

static void set_environment(struct reference *ref, const struct sec_rule *rule,
                            const struct sec_step *step)
{
    struct vars *env = collection_of(ref, COLLECTION_ENV);
    struct span name = reference_expand(ref, rule, &step->name);
    if (name.len > 0 && name.p[0] == '!')
        vars_unset(env, span_sub(name, 1, name.len));
    else
        vars_set(env, ref->arena, name, reference_expand(ref, rule, &step->value));
}

static void begin_collection(struct reference *ref, const struct sec_rule *rule,
                             const struct sec_step *step)
{
    struct span key = reference_expand(ref, rule, &step->value);
    enum sec_collection collection = step->collection;
    if (step->kind == STEP_SETSID) {
        ref->session_id = key;
        collection = COLLECTION_SESSION;
    } else if (step->kind == STEP_SETUID) {
        ref->user_id = key;
        collection = COLLECTION_USER;
    } else if (step->kind == STEP_SETRSC) {
        collection = COLLECTION_RESOURCE;
    }
    store_load(ref, collection, key);
}

/* ---- ctl ------------------------------------------------------------------------------------
 */

static void control(struct reference *ref, const struct sec_step *step)
{
    switch (step->ctl) {
    case CTL_RULE_REMOVE_BY_ID:
    case CTL_RULE_REMOVE_BY_TAG:
    case CTL_RULE_REMOVE_BY_MSG:
    case CTL_RULE_REMOVE_TARGET_BY_ID:
    case CTL_RULE_REMOVE_TARGET_BY_TAG:
    case CTL_RULE_REMOVE_TARGET_BY_MSG:
        INVARIANT(ref->removal_count < REFERENCE_REMOVALS_MAX);
        ref->removals[ref->removal_count++] = step;
        break;
    case CTL_RULE_ENGINE:
        ref->mode = (enum engine_mode)step->option;
        break;
    case CTL_REQUEST_BODY_ACCESS:
        ref->request_body = step->option != 0;
        break;
    case CTL_RESPONSE_BODY_ACCESS:
        ref->response_body = step->option != 0;
        break;
    case CTL_FORCE_REQUEST_BODY_VARIABLE:
        ref->force_variable = step->option != 0;
        break;
    case CTL_REQUEST_BODY_PROCESSOR:
        ref->processor = step->value.source;
        break;
    case CTL_AUDIT_ENGINE: /* of records, and of limits that the reader of bodies has */
    case CTL_AUDIT_LOG_PARTS:
    case CTL_REQUEST_BODY_LIMIT:
    case CTL_RESPONSE_BODY_LIMIT:
    case CTL_PARSE_XML_INTO_ARGS:
    case CTL_DEBUG_LOG_LEVEL:
    case CTL_HASH_ENGINE:
    case CTL_HASH_ENFORCEMENT:
    case CTL_COUNT:
        break;
    }
}

static bool any_tag(const struct reference *ref, const struct sec_regex *regex,
                    const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->tag_count; i++) {
        if (regex_says(ref, regex, rule->tags[i]))
            return true;
    }
    return false;
}

static bool names_rule(const struct reference *ref, const struct sec_step *step,
                       const struct sec_rule *rule)
{
    switch ((int)step->ctl) {
    case CTL_RULE_REMOVE_BY_ID:
    case CTL_RULE_REMOVE_TARGET_BY_ID:
        return rule->id >= step->id_from && rule->id <= step->id_to;
    case CTL_RULE_REMOVE_BY_TAG:
    case CTL_RULE_REMOVE_TARGET_BY_TAG:
        return any_tag(ref, step->regex, rule);
    default:
        return rule->message.source.len > 0 &&
               regex_says(ref, step->regex, rule->message.source);
    }
}

static bool is_whole_rule(const struct sec_step *step)
{
    return step->ctl == CTL_RULE_REMOVE_BY_ID || step->ctl == CTL_RULE_REMOVE_BY_TAG ||
           step->ctl == CTL_RULE_REMOVE_BY_MSG;
}

bool reference_removed(const struct reference *ref, const struct sec_rule *rule)
{
    for (unsigned i = 0; i < ref->removal_count; i++) {
        if (is_whole_rule(ref->removals[i]) && names_rule(ref, ref->removals[i], rule))
            return true;
    }
    return false;
}

static bool names_target(const struct reference *ref, const struct sec_target *target,
                         struct span name)
{
    struct span key = name, variable;
    bool plain = !span_cut(&key, ':', &variable);
    if (key.p == NULL) /* there is no colon */
        plain = true;
    if (!span_equal_nocase(variable, span_text(variable_rows[target->var].name)))
        return false;
    if (target->key_kind == KEY_NONE)
        return true;
    if (plain)
        return false;
    return target->key_kind == KEY_REGEX ? regex_says(ref, target->regex, key)
                                         : span_equal_nocase(key, target->key);
}

/* Links of a chain have no id and no tag of their own, and so keep their targets. */
bool reference_target_removed(const struct reference *ref, const struct sec_rule *rule,
                              struct span name)
{
    for (unsigned i = 0; i < ref->removal_count && rule->head == rule; i++) {
        const struct sec_step *step = ref->removals[i];
        if (!is_whole_rule(step) && names_rule(ref, step, rule) &&
            names_target(ref, &step->target, name))
            return true;
    }
    return false;
}

/* ---- all of them ----------------------------------------------------------------------------
 */

void reference_steps(struct reference *ref, const struct sec_rule *rule)
{
    for (unsigned i = 0; i < rule->step_count; i++) {
        const struct sec_step *step = &rule->steps[i];
        switch (step->kind) {
        case STEP_SETVAR:
        case STEP_ADDVAR:
        case STEP_UNSETVAR:
        case STEP_EXPIREVAR:
        case STEP_DEPRECATEVAR:
            change_variable(ref, rule, step);
            break;
        case STEP_INITCOL:
        case STEP_SETSID:
        case STEP_SETUID:
        case STEP_SETRSC:
            begin_collection(ref, rule, step);
            break;
        case STEP_SETENV:
            set_environment(ref, rule, step);
            break;
        case STEP_CTL:
            control(ref, step);
            break;
        case STEP_SANITISE: /* of records */
            break;
        }
    }
}
