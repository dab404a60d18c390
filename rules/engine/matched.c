/*
 * What follows when a link matched: captures, steps, the record, the decision.
 */
#include "rules/engine/match.h"

/* ---- names ----------------------------------------------------------------------------------
 */

static struct span name_of(struct sec_run *run, const struct sec_matched *matched)
{
    struct span row = span_text(variable_rows[matched->var].name), key = matched->key;
    bool again = matched->var == VAR_MATCHED_VARS || matched->var == VAR_MATCHED_VARS_NAMES;
    bool keyed =
        matched->count ? key.len > 0 : variable_rows[matched->var].shape != SHAPE_SCALAR;
    if (!matched->count && (again || !keyed))
        return again ? key : row; /* what matched before keeps its name */
    struct text text = text_growing(run->arena, row.len + key.len + 2);
    if (matched->count)
        text_char(&text, '&');
    text_add(&text, row);
    if (keyed) {
        text_char(&text, ':');
        text_add(&text, key);
    }
    return text.overflow ? (struct span){ 0 } : text_span(&text);
}

struct span sec_matched_name(struct sec_run *run, struct sec_matched *matched)
{
    if (matched->name.p == NULL)
        matched->name = name_of(run, matched);
    return matched->name;
}

/* ---- what follows ---------------------------------------------------------------------------
 */

static bool note_matched(struct sec_run *run, const struct shown *shown)
{
    struct sec_matched *matched = arena_alloc(run->arena, sizeof(*matched));
    if (matched == NULL)
        return false;
    *matched = (struct sec_matched){
        .text = shown->text, .key = shown->value->key, .var = shown->var, .count = shown->count
    };
    *run->matched_tail = matched;
    run->matched_tail = &matched->next;
    run->last_matched = matched;
    return true;
}

/* Of all that the chain matched, for who reads the record later. */
static bool name_matched(struct sec_run *run)
{
    for (struct sec_matched *matched = run->matched; matched != NULL; matched = matched->next) {
        if (sec_matched_name(run, matched).p == NULL)
            return false;
    }
    return true;
}

static bool take_captures(struct sec_run *run, const struct found *found)
{
    struct regex_captures captures = found->captures;
    if (!found->yes || captures.count == 0)
        return true;
    for (unsigned i = 0; i < captures.count; i++) {
        const char *p = captures.at[i].p;
        bool own = p >= found->room && p < found->room + sizeof(found->room);
        if (p != NULL && own)
            captures.at[i] = arena_copy(run->arena, captures.at[i]);
        if (p != NULL && captures.at[i].p == NULL)
            return false;
    }
    sec_captures_set(run, &captures);
    return true;
}

static bool blocks(const struct sec_rule *rule)
{
    return rule->resolved == DISRUPT_DENY || rule->resolved == DISRUPT_DROP ||
           rule->resolved == DISRUPT_REDIRECT;
}

/* A hundred odd values cannot keep an attack out of the record. Matches of one rule come one
 * after the other. */
static bool is_kept(struct sec_run *run, const struct sec_rule *head)
{
    if (run->match_count < RUN_MATCHES_MAX)
        return true;
    if (run->beyond == head ||
        (run->match_count >= RUN_MATCHES_MAX + RUN_FIRSTS_MAX && !blocks(head)))
        return false;
    run->beyond = head;
    for (const struct sec_match *match = run->matches; match != NULL; match = match->next)
        if (match->rule == head)
            return false;
    return true;
}

static bool log_match(struct sec_run *run, const struct shown *shown, const struct found *found)
{
    const struct sec_rule *head = shown->link->rule->head;
    if (!is_kept(run, head)) {
        run->matches_dropped++;
        return true;
    }
    struct sec_match *match = arena_new(run->arena, struct sec_match);
    if (match == NULL || !name_matched(run))
        return false;
    *match = (struct sec_match){
        .rule = head,
        .field = run->last_matched->name,
        .var = shown->var,
        .base = shown->value->offset,
        .text = shown->text,
        .original = shown->value->text,
        .message = sec_expand(run, &head->message),
        .log_data = sec_expand(run, &head->log_data),
        .offset = found->located && found->offset < UINT32_MAX ? (uint32_t)found->offset : 0,
        .len = found->located && found->len < UINT32_MAX
                   ? (uint32_t)found->len
                   : (uint32_t)(shown->text.len < UINT32_MAX ? shown->text.len : UINT32_MAX),
        .link = shown->link->rule,
        .transform_count =
            shown->link->rule->multi_match ? shown->step : shown->link->rule->transform_count,
        .met = run->matched,
        .phase = run->phase,
    };
    *run->matches_tail = match;
    run->matches_tail = &match->next;
    run->match_count++;
    return match->message.p != NULL && match->log_data.p != NULL;
}

static void decide(struct sec_run *run, const struct sec_rule *head)
{
    bool on = run->engine == ENGINE_ON && run->phase != SEC_LOGGING;
    switch (head->resolved) {
    case DISRUPT_DENY:
    case DISRUPT_DROP:
    case DISRUPT_REDIRECT:
        if (run->phase == SEC_LOGGING)
            return;
        if (!on && run->would_intercept == NULL)
            run->would_intercept = head;
        if (on)
            run->intercepted = head;
        if (run->intercepted == head || run->would_intercept == head)
            run->intercept_phase = run->phase;
        return;
    case DISRUPT_ALLOW:
        run->allow_all = on;
        return;
    case DISRUPT_ALLOW_PHASE:
        run->allow_phase = on;
        return;
    case DISRUPT_ALLOW_REQUEST:
        run->allow_request = on;
        return;
    case DISRUPT_NONE:
    case DISRUPT_PASS:
    case DISRUPT_BLOCK:
    case DISRUPT_PROXY:
        return;
    }
}

bool sec_on_match(struct sec_run *run, const struct shown *shown, const struct found *found)
{
    const struct sec_link *link = shown->link;
    const struct sec_rule *rule = link->rule, *head = rule->head;
    if (!note_matched(run, shown))
        return false;
    if (rule->own != NULL)
        return sec_own_fire(run, rule->own) && log_match(run, shown, found);
    if (rule->capture && !take_captures(run, found))
        return false;
    bool last = link->next == NULL;
    if (last && head->severity > 0 && head->severity < run->highest_severity)
        run->highest_severity = head->severity;
    if (!sec_do_steps(run, link))
        return false;
    if (!last)
        return true;
    if ((head->log || head->audit_log) && !log_match(run, shown, found))
        return false;
    decide(run, head);
    return true;
}
