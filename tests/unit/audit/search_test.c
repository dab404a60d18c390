/* Terms of a query: what each takes, and that each is given once. */
#include "gateway/audit/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NOW_S = 1800000000 };

static const char *take(struct query *query, const char *const *terms, unsigned count)
{
    static struct arena arena;
    const char *wrong = NULL;
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    *query = (struct query){ .limit = 0 };
    for (unsigned i = 0; i < count && wrong == NULL; i++)
        wrong = query_term(query, span_text(terms[i]), NOW_S * UINT64_C(1000000), &arena);
    return wrong;
}
#define TAKE(query, ...)                                                                       \
    take((query), (const char *const[]){ __VA_ARGS__ },                                        \
         sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void terms_hold_together(void **state)
{
    struct query query;
    (void)state;
    assert_null(TAKE(&query, "ip=198.51.100.7", "since=2h", "until=1h", "status=403",
                     "path=/login", "user=ann", "limit=5"));
    assert_int_equal(query.since_us, (NOW_S - 7200) * UINT64_C(1000000));
    assert_int_equal(query.limit, 5);
    assert_null(TAKE(&query, "status=4xx"));
    assert_int_equal(query.status_class, 4);
    assert_non_null(TAKE(&query, "status=0403"));
    assert_non_null(TAKE(&query, "status=99"));
    assert_non_null(TAKE(&query, "ip=nobody"));
    assert_non_null(TAKE(&query, "colour=red"));
    assert_non_null(TAKE(&query, "ip="));
}

/* Evidence says what it answers by its terms: of two of a kind one would not be answered. */
static void a_term_is_given_once(void **state)
{
    struct query query;
    (void)state;
    assert_non_null(TAKE(&query, "ip=198.51.100.7", "ip=203.0.113.9"));
    assert_non_null(TAKE(&query, "ip=198.51.100.7", "ip=203.0.113.0/24"));
    assert_non_null(TAKE(&query, "status=403", "status=4xx"));
    assert_non_null(TAKE(&query, "since=7d", "since=1h"));
    assert_non_null(TAKE(&query, "until=7d", "until=1h"));
    assert_non_null(TAKE(&query, "path=/a", "path=/b"));
    assert_non_null(TAKE(&query, "host=a", "user=b", "host=c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_hold_together),
        cmocka_unit_test(a_term_is_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
