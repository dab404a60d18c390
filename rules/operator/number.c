/*
 * Operators that compare numbers.
 *
 * Both sides are read as C's atoi reads them: white space, a sign, digits; what follows is left
 * out, and no digit at all is 0. But a number that is too large stays the largest there is:
 * mod_security2's wraps, so that a Content-Length of 20 nines is less than any limit.
 */
#include "rules/operator/rows.h"

static int64_t number_of(struct span s)
{
    size_t i = 0;
    while (i < s.len && (s.p[i] == ' ' || (s.p[i] >= '\t' && s.p[i] <= '\r')))
        i++;
    bool negative = i < s.len && s.p[i] == '-';
    i += i < s.len && (s.p[i] == '-' || s.p[i] == '+');
    int64_t number = 0;
    for (; i < s.len && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        int64_t digit = negative ? -(s.p[i] - '0') : s.p[i] - '0';
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return negative ? INT64_MIN : INT64_MAX;
    }
    return number;
}

/* Less than 0, 0, more than 0: as the value is to the argument. */
static int compare(const struct operator_call *call)
{
    int64_t value = number_of(call->value), argument = number_of(call->argument);
    return (value > argument) - (value < argument);
}

bool eval_eq(const struct operator_call *call, struct operator_match *match)
{
    return compare(call) == 0 && matched_all(match, call);
}

bool eval_ge(const struct operator_call *call, struct operator_match *match)
{
    return compare(call) >= 0 && matched_all(match, call);
}

bool eval_gt(const struct operator_call *call, struct operator_match *match)
{
    return compare(call) > 0 && matched_all(match, call);
}

bool eval_le(const struct operator_call *call, struct operator_match *match)
{
    return compare(call) <= 0 && matched_all(match, call);
}

bool eval_lt(const struct operator_call *call, struct operator_match *match)
{
    return compare(call) < 0 && matched_all(match, call);
}
