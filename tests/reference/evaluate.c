/* The evaluator itself: phases, chains, and one operator on one value at a time. */
#include "rules/operator.h"
#include "tests/reference/reference.h"

enum { NO_SEVERITY = 255 };

/* ---- operators ------------------------------------------------------------------------------
 */

static bool captures_of(const struct sec_rule *rule)
{
    return rule->capture && !rule->op.negated;
}

/* Sets TX:0 and on, and unsets the rest up to TX:9. */
static void capture(struct reference *ref, const struct span *groups, unsigned count)
{
    for (unsigned i = 0; i < REGEX_CAPTURES_MAX; i++) {
        struct span name = number_text(ref->arena, i);
        if (i < count)
            vars_set(&ref->tx, ref->arena, name, groups[i].p == NULL ? SPAN("") : groups[i]);
        else
            vars_unset(&ref->tx, name);
    }
}

/* A pattern that holds macros is compiled for this one value. */
static struct sec_regex *compile_now(struct reference *ref, const struct sec_rule *rule)
{
    char room[256];
    struct text why = text_fixed(room, sizeof room);
    return regex_compile(reference_expand(ref, rule, &rule->op.argument), false, &why);
}

/* rxGlobal: the groups of all matches, one behind the other. */
static bool match_all(struct reference *ref, const struct sec_rule *rule,
                      const struct sec_regex *regex, struct span value)
{
    struct span groups[REGEX_CAPTURES_MAX];
    unsigned count = 0;
    size_t from = 0;
    struct regex_captures captures;
    while (regex_match_from(ref->regex, regex, value, from, &captures) == REGEX_YES) {
        for (unsigned i = 0; i < captures.count && count < REGEX_CAPTURES_MAX; i++)
            groups[count++] = captures.at[i];
        from = (size_t)(captures.at[0].p - value.p) + captures.at[0].len;
    }
    if (count > 0 && captures_of(rule))
        capture(ref, groups, count);
    return count > 0;
}

static bool match_regex(struct reference *ref, const struct sec_rule *rule, struct span value)
{
    struct sec_regex *own = rule->op.regex == NULL ? compile_now(ref, rule) : NULL;
    const struct sec_regex *regex = own != NULL ? own : rule->op.regex;
    struct regex_captures captures;
    bool found = false;
    if (regex != NULL && span_equal(span_text(rule->op.row->name), SPAN("rxGlobal"))) {
        found = match_all(ref, rule, regex, value);
    } else if (regex != NULL) {
        enum regex_answer answer = regex_match(ref->regex, regex, value, &captures);
        if (answer == REGEX_LIMIT) {
            ref->undecided = true;
            vars_set(&ref->tx, ref->arena, SPAN("MSC_PCRE_LIMITS_EXCEEDED"), SPAN("1"));
        }
        found = answer == REGEX_YES;
        if (found && rule->capture && !rule->op.negated)
            capture(ref, captures.at, captures.count);
    }
    regex_free(own);
    return found;
}

static bool match_other(struct reference *ref, const struct sec_rule *rule, struct span value)
{
    struct operator_call call = {
        .prepared = rule->op.prepared,
        .value = value,
        .argument = reference_expand(ref, rule, &rule->op.argument),
        .regex = ref->regex,
    };
    struct operator_match match = { 0 };
    if (!rule->op.row->eval(&call, &match))
        return false;
    if (captures_of(rule) && match.captured.p != NULL)
        capture(ref, &match.captured, 1);
    return true;
}

static bool operator_says(struct reference *ref, const struct sec_rule *rule, struct span value)
{
    if (rule->unconditional)
        return true;
    switch (rule->op.row->kind) {
    case OPERATOR_REGEX:
        return match_regex(ref, rule, value);
    case OPERATOR_GEO:
        return ref->geo != NULL && ref->geo(&ref->geo_vars, ref->arena, value);
    case OPERATOR_EVAL:
        return match_other(ref, rule, value);
    case OPERATOR_REFUSED:
        break;
    }
    return false;
}

/* ---- what a match does ----------------------------------------------------------------------
 */

static void log_match(struct reference *ref, const struct sec_rule *head, bool disruptive)
{
    if (ref->log_count == ref->log_capacity) {
        unsigned capacity = ref->log_capacity == 0 ? 16 : 2 * ref->log_capacity;
        struct logged *log = must(arena_array(ref->arena, struct logged, capacity));
        if (ref->log_count > 0)
            memcpy(log, ref->log, ref->log_count * sizeof(struct logged));
        ref->log = log;
        ref->log_capacity = capacity;
    }
    ref->log[ref->log_count++] = (struct logged){
        .rule = head,
        .phase = ref->phase,
        .variable = ref->matched_name,
        .value = ref->matched_value,
        .message = reference_expand(ref, NULL, &head->message),
        .log_data = reference_expand(ref, NULL, &head->log_data),
        .disruptive = disruptive,
    };
}

/* The last link of a chain matched: what its head says is done. */
static void conclude(struct reference *ref, const struct sec_rule *rule)
{
    const struct sec_rule *head = rule->head;
    bool acts = ref->phase != SEC_LOGGING && ref->mode == ENGINE_ON &&
                head->resolved != DISRUPT_PASS && head->resolved != DISRUPT_NONE;
    if (head->log || head->audit_log)
        log_match(ref, head, acts);
    if (!acts)
        return;
    ref->intercepted = true;
    if (head->resolved == DISRUPT_ALLOW)
        ref->allow_all = true;
    else if (head->resolved == DISRUPT_ALLOW_REQUEST)
        ref->allow_request = true;
    else if (head->resolved != DISRUPT_ALLOW_PHASE)
        ref->verdict = (struct verdict_at){
            .action = head->resolved,
            .status = head->status,
            .redirect = reference_expand(ref, rule, &head->redirect),
            .rule = head->id,
            .phase = ref->phase,
        };
}

static void note_match(struct reference *ref, const struct sec_rule *rule,
                       const struct item *item)
{
    int severity = rule->head->severity;
    ref->matched_name = item->shown;
    ref->matched_value = item->value.p == NULL ? SPAN("") : item->value;
    items_add(&ref->matched, ref->arena,
              (struct item){ item->shown, item->shown, ref->matched_value });
    if (severity > 0 && severity < ref->highest_severity && rule->next == NULL)
        ref->highest_severity = severity;
    reference_steps(ref, rule);
    if (rule->next == NULL)
        conclude(ref, rule);
}

static bool try_value(struct reference *ref, const struct sec_rule *rule,
                      const struct item *item)
{
    if (reference_target_removed(ref, rule, item->name))
        return false;
    if (operator_says(ref, rule, item->value) == rule->op.negated)
        return false;
    note_match(ref, rule, item);
    return true;
}

/* ---- rules ----------------------------------------------------------------------------------
 */

static struct span transform(struct reference *ref, const struct transform *row,
                             struct span value)
{
    for (unsigned i = 0; row->apply != NULL && i < row->times; i++) {
        size_t room = transform_room(row, value.len) + 1;
        value = row->apply(value, must(arena_alloc(ref->arena, room)));
    }
    return value;
}

/* With multiMatch the operator sees the value before the first step, and after each that
 * changed it; and at the end once more, when anything ever changed. */
static bool try_item(struct reference *ref, const struct sec_rule *rule, struct item item)
{
    bool matched = false, changed = false, ever = rule->transform_count == 0;
    for (unsigned i = 0; i < rule->transform_count; i++) {
        if (rule->multi_match && (i == 0 || changed)) {
            matched |= try_value(ref, rule, &item);
            if (ref->intercepted)
                return true;
        }
        struct span after = transform(ref, rule->transforms[i], item.value);
        changed = !span_equal(after, item.value);
        ever |= changed;
        item.value = after;
    }
    if (!rule->multi_match || ever)
        matched |= try_value(ref, rule, &item);
    return matched;
}

static bool run_link(struct reference *ref, const struct sec_rule *rule)
{
    struct items items = { 0 };
    bool matched = false;
    reference_targets(ref, rule, &items);
    for (unsigned i = 0; i < items.count && !ref->intercepted; i++)
        matched |= try_item(ref, rule, items.items[i]);
    return matched;
}

static bool run_chain(struct reference *ref, const struct sec_rule *head)
{
    bool matched = true;
    for (const struct sec_rule *link = head; link != NULL && matched; link = link->next)
        matched = ref->mode != ENGINE_OFF && run_link(ref, link);
    ref->matched.count = 0;
    return matched;
}

static bool phase_is_over(const struct reference *ref, enum sec_phase phase)
{
    if (phase == SEC_LOGGING)
        return false;
    return ref->verdict.action != DISRUPT_NONE || ref->allow_all ||
           (ref->allow_request && phase <= SEC_REQUEST_BODY);
}

void reference_phase(struct reference *ref, enum sec_phase phase)
{
    struct span skip_to = { 0 }; /* the marker behind which to go on */
    unsigned skip = 0;
    if (phase_is_over(ref, phase))
        return;
    ref->phase = phase;
    ref->intercepted = false;
    ref->matched.count = 0;

    for (unsigned i = 0; i < ref->program->item_count[phase] && !ref->intercepted; i++) {
        const struct sec_item *item = &ref->program->items[phase][i];
        const struct sec_rule *rule = item->rule;
        if (skip_to.p != NULL) {
            if (rule == NULL && span_equal(item->marker, skip_to))
                skip_to.p = NULL;
        } else if (rule == NULL || rule->removed) {
            continue;
        } else if (skip > 0) {
            skip--;
        } else if (ref->mode != ENGINE_OFF && !reference_removed(ref, rule) &&
                   run_chain(ref, rule)) {
            skip = rule->skip;
            if (rule->skip_after.len > 0)
                skip_to = rule->skip_after;
        }
    }
}

void reference_begin(struct reference *ref)
{
    ref->arena = ref->txn->arena;
    ref->highest_severity = NO_SEVERITY;
    ref->request_body = ref->program->settings.request_body != NO;
    ref->response_body = ref->program->settings.response_body != NO;
    ref->processor = transaction_processor(ref->txn);
}

void reference_end(struct reference *ref)
{
    for (enum sec_collection i = 0; i < COLLECTION_COUNT; i++) {
        if (i != COLLECTION_TX && i != COLLECTION_ENV)
            store_save(ref, i);
    }
}
