/*
 * Numbers with a check digit: cards (Luhn), the Brazilian CPF, the American SSN, the Austrian
 * SVNR. The argument is a pattern that finds candidates; each is checked, until one is sound.
 * `^` and `$` stand for lines, as in mod_security2.
 */
#include "rules/operator/rows.h"
#include "rules/regex.h"

enum { CPF_DIGITS = 11, SSN_DIGITS = 9, SVNR_DIGITS = 10, DIGITS_MAX = 11 };

typedef bool check_fn(struct span text);

bool compile_digits(const struct operator_source *source, const void **prepared)
{
    struct text pattern = text_growing(source->arena, source->argument.len + 4);
    text_lit(&pattern, "(?m)");
    text_add(&pattern, source->argument);
    if (pattern.overflow) {
        text_lit(source->why, "out of memory");
        return false;
    }
    *prepared = regex_compile(text_span(&pattern), false, source->why);
    return *prepared != NULL;
}

void release_digits(const void *prepared)
{
    regex_free((struct sec_regex *)prepared);
}

/* Each candidate begins one byte behind the last: they may overlap. */
static bool find(const struct operator_call *call, struct operator_match *match,
                 check_fn *check)
{
    struct regex_captures captures;
    size_t from = 0;
    while (from < call->value.len && regex_match_from(call->regex, call->prepared, call->value,
                                                      from, &captures) == REGEX_YES) {
        struct span candidate = captures.at[0];
        if (candidate.p == NULL)
            return false;
        size_t offset = (size_t)(candidate.p - call->value.p);
        if (check(candidate)) {
            (void)matched(match, offset, candidate.len);
            match->captured = candidate;
            return true;
        }
        from = (offset > from ? offset : from) + 1;
    }
    return false;
}

/* All digits of the text, others left out; how many there are, at most `max` written. */
static size_t digits_of(struct span text, size_t max, unsigned *digits)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            continue;
        if (count < max)
            digits[count] = (unsigned)(text.p[i] - '0');
        count++;
    }
    return count;
}

static bool all_step_by(const unsigned *digits, size_t count, unsigned step)
{
    for (size_t i = 1; i < count; i++) {
        if (digits[i] != digits[i - 1] + step)
            return false;
    }
    return true;
}

/* ---- cards ----------------------------------------------------------------------------------
 */

/* ISO/IEC 7812-1, annex B: from the last digit on, each second one counts twice. */
static bool is_card(struct span text)
{
    unsigned sum = 0;
    bool second = false, any = false;
    for (size_t i = text.len; i-- > 0;) {
        if (text.p[i] < '0' || text.p[i] > '9')
            continue;
        unsigned digit = (unsigned)(text.p[i] - '0') << second;
        sum = (sum + digit / 10 + digit % 10) % 10;
        second = !second;
        any = true;
    }
    return any && sum == 0;
}

bool eval_verify_cc(const struct operator_call *call, struct operator_match *match)
{
    return find(call, match, is_card);
}

/* ---- persons --------------------------------------------------------------------------------
 */

/* The check digit behind the first `count` digits: weights count + 1 down to 2. */
static unsigned cpf_check(const unsigned *digits, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++)
        sum += digits[i] * (count + 1 - i);
    return sum % 11 < 2 ? 0 : 11 - sum % 11;
}

static bool is_cpf(struct span text)
{
    unsigned digits[DIGITS_MAX];
    if (digits_of(text, CPF_DIGITS, digits) < CPF_DIGITS)
        return false;
    /* Ones that nobody has: all the same, and 01234567890. */
    if (all_step_by(digits, CPF_DIGITS, 0) || all_step_by(digits, CPF_DIGITS - 1, 1))
        return false;
    return digits[9] == cpf_check(digits, 9) && digits[10] == cpf_check(digits, 10);
}

bool eval_verify_cpf(const struct operator_call *call, struct operator_match *match)
{
    return find(call, match, is_cpf);
}

static bool is_ssn(struct span text)
{
    unsigned d[DIGITS_MAX];
    if (digits_of(text, SSN_DIGITS, d) != SSN_DIGITS)
        return false;
    unsigned area = d[0] * 100 + d[1] * 10 + d[2];
    bool group = d[3] + d[4] != 0, serial = d[5] + d[6] + d[7] + d[8] != 0;
    return area != 0 && area != 666 && area < 740 && group && serial &&
           !all_step_by(d, SSN_DIGITS, 0) && !all_step_by(d, SSN_DIGITS, 1);
}

bool eval_verify_ssn(const struct operator_call *call, struct operator_match *match)
{
    return find(call, match, is_ssn);
}

/* Three digits, the check digit, six of the day of birth. */
static bool is_svnr(struct span text)
{
    static const unsigned weights[SVNR_DIGITS] = { 3, 7, 9, 0, 5, 8, 4, 2, 1, 6 };
    unsigned digits[DIGITS_MAX], sum = 0;
    if (digits_of(text, SVNR_DIGITS, digits) < SVNR_DIGITS ||
        all_step_by(digits, SVNR_DIGITS, 0) || all_step_by(digits, SVNR_DIGITS, 1))
        return false;
    for (size_t i = 0; i < SVNR_DIGITS; i++)
        sum += digits[i] * weights[i];
    return sum % 11 % 10 == digits[3];
}

bool eval_verify_svnr(const struct operator_call *call, struct operator_match *match)
{
    return find(call, match, is_svnr);
}
