/* Secrets: copies, comparison, and that a wipe leaves nothing mapped. */
#include "tests/unit/check.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/base/secret.h"

static void set_and_wipe(void **state)
{
    (void)state;
    struct secret secret = { .p = NULL };
    char bytes[] = "hunter2";
    assert_int_equal(secret_set(&secret, span_text(bytes)), OK);
    wipe(bytes, sizeof(bytes));
    assert_int_equal(bytes[0], 0);
    assert_true(span_equal(span_of(secret.p, secret.len), SPAN("hunter2")));

    assert_int_equal(secret_set(&secret, span_of(secret.p + 1, 3)), OK); /* a part of itself */
    assert_true(span_equal(span_of(secret.p, secret.len), SPAN("unt")));

    char *page = secret.p;
    secret_wipe(&secret);
    assert_null(secret.p);
    assert_int_equal(secret.len, 0);
    assert_int_equal(msync(page, 1, MS_ASYNC), -1);
    assert_int_equal(errno, ENOMEM); /* no such page any more */
    secret_wipe(&secret);
}

/* Every bit counts, wherever it stands (CVE-2024-25189 was strcmp; what ends early tells
 * where). */
static void constant_time_compare_compares(void **state)
{
    (void)state;
    unsigned char a[64] = { 0 }, b[64] = { 0 };
    assert_true(bytes_equal_constant_time(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a) * 8; i++) {
        b[i / 8] = (unsigned char)(1u << i % 8);
        assert_false(bytes_equal_constant_time(a, b, sizeof(a)));
        b[i / 8] = 0;
    }
    assert_true(bytes_equal_constant_time(NULL, NULL, 0));
    wipe(NULL, 0);
}

int main(void)
{
    return RUN(TEST(set_and_wipe), TEST(constant_time_compare_compares));
}
