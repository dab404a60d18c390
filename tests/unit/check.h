/* What unit tests share: cmocka with the headers it forgets, and spans in assertions. */
#ifndef SALLYPORT_TESTS_CHECK_H
#define SALLYPORT_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/span.h"

#define TEST(fn) cmocka_unit_test(fn)
#define RUN(...)                                                                               \
    cmocka_run_group_tests(((const struct CMUnitTest[]){ __VA_ARGS__ }), NULL, NULL)

/* Fails with both texts in the message. */
#define assert_span(got, expected)                                                             \
    do {                                                                                       \
        struct span check_got = (got), check_want = (expected);                                \
        if (!span_equal(check_got, check_want))                                                \
            fail_msg("%s:%d: \"%.*s\" is not \"%.*s\"", __FILE__, __LINE__,                    \
                     (int)check_got.len, check_got.p, (int)check_want.len, check_want.p);      \
    } while (0)
#define assert_text(got, literal) assert_span((got), SPAN(literal))

#endif
