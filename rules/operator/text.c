/*
 * Operators that compare bytes with an argument, case and all, and the two that do not compare.
 * An empty argument is found in every value.
 */
#include "rules/operator/rows.h"

bool eval_always(const struct operator_call *call, struct operator_match *match)
{
    return matched_all(match, call);
}

bool eval_never(const struct operator_call *call, struct operator_match *match)
{
    (void)call, (void)match;
    return false;
}

bool eval_contains(const struct operator_call *call, struct operator_match *match)
{
    ssize_t at = span_find(call->value, call->argument);
    return at >= 0 && matched(match, (size_t)at, call->argument.len);
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

bool eval_contains_word(const struct operator_call *call, struct operator_match *match)
{
    struct span value = call->value, word = call->argument;
    if (word.len == 0)
        return matched(match, 0, 0);
    for (size_t from = 0; from < value.len;) {
        ssize_t found = span_find(span_sub(value, from, value.len), word);
        if (found < 0)
            return false;
        size_t at = from + (size_t)found, end = at + word.len;
        if ((at == 0 || !is_word(value.p[at - 1])) &&
            (end == value.len || !is_word(value.p[end])))
            return matched(match, at, word.len);
        from = at + 1;
    }
    return false;
}

bool eval_begins_with(const struct operator_call *call, struct operator_match *match)
{
    return span_starts(call->value, call->argument) && matched(match, 0, call->argument.len);
}

bool eval_ends_with(const struct operator_call *call, struct operator_match *match)
{
    size_t len = call->argument.len;
    return span_ends(call->value, call->argument) && matched(match, call->value.len - len, len);
}

bool eval_streq(const struct operator_call *call, struct operator_match *match)
{
    return span_equal(call->value, call->argument) && matched_all(match, call);
}

/* The other way round: the value stands somewhere in the argument. */
bool eval_within(const struct operator_call *call, struct operator_match *match)
{
    return span_find(call->argument, call->value) >= 0 && matched_all(match, call);
}
