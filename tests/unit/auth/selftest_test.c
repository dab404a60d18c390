/* The corpus of forged tokens and other tricks that `sallyport selftest auth` runs. */
#include "auth/selftest.h"

#include "tests/unit/check.h"

enum { CASES_MIN = 100, SIGNIN_CASES_MIN = 50 };

static void tell(void *ctx, const char *name, const char *trouble)
{
    (void)ctx;
    if (trouble != NULL)
        print_message("%s: %s\n", name, trouble);
}

static void every_forged_token_is_refused_for_its_own_reason(void **state)
{
    (void)state;
    struct selftest_result result = selftest_tokens(tell, NULL);
    assert_int_equal(result.failed, 0);
    assert_true(result.passed >= CASES_MIN);
}

static void every_trick_against_signing_in_is_refused(void **state)
{
    (void)state;
    struct selftest_result result = selftest_signin(tell, NULL);
    assert_int_equal(result.failed, 0);
    assert_true(result.passed >= SIGNIN_CASES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_forged_token_is_refused_for_its_own_reason),
        cmocka_unit_test(every_trick_against_signing_in_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
