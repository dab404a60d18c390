/* Texts: numbers, exact fits, sticky overflow, growth. */
#include <stdio.h>

#include "tests/unit/check.h"

#include "gateway/base/text.h"

static void numbers(void **state)
{
    (void)state;
    char buffer[128];
    struct text t = text_fixed(buffer, sizeof(buffer));
    text_uint(&t, 0);
    text_char(&t, ' ');
    text_uint(&t, UINT64_MAX);
    text_char(&t, ' ');
    text_int(&t, INT64_MIN);
    text_char(&t, ' ');
    text_int(&t, INT64_MAX);
    text_char(&t, ' ');
    text_hex(&t, "\x00\x7f\xff", 3);
    text_lower(&t, SPAN(" AbZ[\xc9"));
    text_format(&t, " %d-%s", 42, "x");
    assert_text(text_span(&t), "0 18446744073709551615 -9223372036854775808 "
                               "9223372036854775807 007fff abz[\xc9 42-x");
}

/* Sixteen at a time, and what is left over. */
static void hex_of_every_byte(void **state)
{
    (void)state;
    unsigned char bytes[256];
    char buffer[512], expected[3];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 17 + 3); /* each once */
    for (size_t len = 0; len <= sizeof(bytes); len = len < 40 ? len + 1 : len + 27) {
        struct text t = text_fixed(buffer, 2 * len);
        text_hex(&t, bytes, len);
        assert_false(t.overflow);
        assert_int_equal(t.len, 2 * len);
        for (size_t i = 0; i < len; i++) {
            (void)snprintf(expected, sizeof(expected), "%02x", bytes[i]);
            assert_memory_equal(buffer + 2 * i, expected, 2);
        }
    }
}

static void exact_fit_then_sticky(void **state)
{
    (void)state;
    char buffer[4];
    struct text t = text_fixed(buffer, sizeof(buffer));
    text_int(&t, -123);
    assert_false(t.overflow);
    text_lit(&t, "");
    assert_false(t.overflow);
    text_char(&t, '4');
    assert_true(t.overflow);
    assert_text(text_span(&t), "-123");

    t = text_fixed(buffer, sizeof(buffer));
    text_lit(&t, "ab");
    text_lit(&t, "cde"); /* whole or not at all */
    text_char(&t, 'f');  /* would fit, but something is missing before it */
    assert_true(t.overflow);
    assert_text(text_span(&t), "ab");
    assert_null(text_cstring(&t));

    t = text_fixed(buffer, sizeof(buffer));
    text_format(&t, "%s", "abcd");
    assert_text(text_span(&t), "abcd");
    assert_null(text_cstring(&t)); /* no room for the NUL */
    t = text_fixed(buffer, sizeof(buffer));
    text_hex(&t, "abc", SIZE_MAX / 2 + 2);
    assert_true(t.overflow);
}

static void grows_to_the_ceiling(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 8 * SLAB_BYTES);
    struct text t = text_growing(&arena, 0);
    for (int i = 0; i < 1000; i++)
        text_uint(&t, (uint64_t)i % 10);
    assert_false(t.overflow);
    assert_int_equal(t.len, 1000);
    for (size_t i = 0; i < t.len; i++)
        assert_int_equal(t.p[i], '0' + (int)(i % 10));
    assert_ptr_equal(text_cstring(&t), t.p);
    assert_int_equal(t.p[1000], '\0');
    text_format(&t, "%1000d", 1); /* longer than the usual */
    assert_int_equal(t.len, 2000);
    assert_int_equal(t.p[1999], '1');

    while (!t.overflow)
        text_lower(&t, span_of(t.p, t.len));
    assert_true(arena.exhausted);
    size_t len = t.len;
    text_char(&t, 'x');
    assert_int_equal(t.len, len);
    arena_reset(&arena);

    arena_init(&arena, NULL, 0, NULL, 0);
    t = text_growing(&arena, 10);
    assert_true(t.overflow);
}

int main(void)
{
    return RUN(TEST(numbers), TEST(hex_of_every_byte), TEST(exact_fit_then_sticky),
               TEST(grows_to_the_ceiling));
}
