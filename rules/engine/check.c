/*
 * Checks: what is asked of every value by an operator itself, ahead of the rule.
 */
#include "rules/engine/run.h"

enum { WORK_CHECK = 64 };

/* ---- one operator ---------------------------------------------------------------------------
 */

/* Whether the operator is not against it: an undecided regular expression is for nothing. */
static bool suits(struct sec_local *local, const struct sec_operator *op, struct span text)
{
    struct operator_match match = { .captured = { 0 } };
    struct operator_call call = { .prepared = op->prepared,
                                  .value = text,
                                  .argument = op->argument.source,
                                  .regex = &local->regex };
    if (op->row->kind == OPERATOR_REGEX)
        return regex_match(&local->regex, op->regex, text, NULL) !=
               (op->negated ? REGEX_YES : REGEX_NO);
    return (op->row->eval != NULL && op->row->eval(&call, &match)) != op->negated;
}

/* A trait that comes of a byte without which the pattern does not match, be it in either case;
 * seldom ones first. */
static uint32_t regex_wants(const struct sec_regex *regex)
{
    static const uint32_t by_byte[] = { TRAIT_NUL,    TRAIT_MARKUP,    TRAIT_STAR,
                                        TRAIT_ESCAPE, TRAIT_BACKSLASH, TRAIT_AMPERSAND,
                                        TRAIT_SHELL,  TRAIT_COMMENT,   TRAIT_QUOTE,
                                        TRAIT_SPACE,  TRAIT_X,         TRAIT_BREAK };
    char byte = (char)regex_needed_byte(regex);
    uint32_t traits = regex_needed_byte(regex) >= 0 ? traits_of(span_of(&byte, 1)) : 0;
    for (size_t i = 0; i < ARRAY_LEN(by_byte); i++) {
        if ((traits & by_byte[i]) != 0)
            return by_byte[i];
    }
    return TRAIT_ANY;
}

/* One that says "not" says yes where the operator says no. */
uint32_t sec_check_wants(const struct sec_operator *op)
{
    if (op->negated)
        return TRAIT_ANY;
    if (op->row->kind == OPERATOR_REGEX)
        return regex_wants(op->regex);
    return op->row->wants == NULL ? TRAIT_ANY : op->row->wants(op->prepared);
}

/* ---- what a link's steps make ---------------------------------------------------------------
 */

/* False: there is no room. */
static bool make(struct text *out, const struct macro *macro, struct span matched)
{
    for (unsigned i = 0; i < macro->count; i++)
        text_add(out, macro->parts[i].variable ? matched : macro->parts[i].text);
    return !out->overflow;
}

/* `name` is in lower case. */
static bool matches_key(struct sec_local *local, const struct plan_key *key, struct span name)
{
    if (key->prefix.len > 0)
        return span_starts_nocase(name, key->prefix);
    return (key->text.len == 0 || span_find(name, key->text) >= 0) &&
           regex_match(&local->regex, key->regex, name, NULL) != REGEX_NO;
}

/* Whether the next link, or somebody else, has to look at what the step makes. */
static bool is_of_note(struct sec_run *run, struct sec_local *local,
                       const struct plan_check *check, const struct sec_step *step,
                       struct span matched)
{
    enum { MADE_MAX = 512 };
    const struct sec_link *next = check->feeds->next;
    const struct plan_key *keys = run->plan->keys;
    char names[MADE_MAX], values[MADE_MAX];
    struct text name = text_fixed(names, sizeof(names)),
                value = text_fixed(values, sizeof(values));
    if (!make(&name, &step->name, matched) || !make(&value, &step->value, matched))
        return true;
    for (size_t i = 0; i < name.len; i++)
        names[i] = ascii_lower(names[i]);
    for (uint64_t left = check->keys; left != 0; left &= left - 1) {
        if (matches_key(local, &keys[__builtin_ctzll(left)], text_span(&name)))
            return true;
    }
    return matches_key(local, &keys[next->targets[0].key], text_span(&name)) &&
           suits(local, next->op, text_span(&value));
}

bool sec_check_says_yes(struct sec_run *run, struct sec_local *local,
                        const struct plan_check *check, struct span text)
{
    const struct sec_link *link = check->feeds;
    run->counts.operator_calls++;
    run->work += text.len + WORK_CHECK;
    if (link == NULL)
        return suits(local, check->op, text);
    for (unsigned i = 0; i < link->step_count; i++) {
        if (is_of_note(run, local, check, link->steps[i].step, text))
            return true;
    }
    return false;
}
