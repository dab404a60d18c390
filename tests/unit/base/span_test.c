/* Spans: every edge of clamping, searching, cutting and reading numbers. */
#include "tests/unit/check.h"

#include <stdlib.h>

static void sub_is_clamped(void **state)
{
    (void)state;
    assert_text(span_sub(SPAN("abcdef"), 2, 3), "cde");
    assert_text(span_sub(SPAN("abcdef"), 4, 9), "ef");
    assert_text(span_sub(SPAN("abcdef"), 6, 1), "");
    assert_text(span_sub(SPAN("abcdef"), 7, SIZE_MAX), "");
    assert_text(span_sub(SPAN("abcdef"), 1, SIZE_MAX), "bcdef");
    assert_null(span_sub(span_of(NULL, 0), 3, 3).p);
}

static void compares(void **state)
{
    (void)state;
    assert_true(span_equal(span_of(NULL, 0), SPAN("")));
    assert_true(span_equal_nocase(SPAN("Content-LENGTH"), SPAN("content-length")));
    assert_false(
        span_equal_nocase(SPAN("[\x60@"), SPAN("{\x40\x60")));   /* 32 apart, no letters */
    assert_false(span_equal_nocase(SPAN("\xc9"), SPAN("\xe9"))); /* ASCII only */
    assert_true(span_starts(SPAN("abc"), SPAN("")));
    assert_true(span_starts(SPAN("abc"), SPAN("abc")));
    assert_false(span_starts(SPAN("ab"), SPAN("abc")));
    assert_true(span_starts_nocase(SPAN("BEARER x"), SPAN("bearer ")));
    assert_true(span_ends(SPAN("a.example"), SPAN(".example")));
    assert_false(span_ends(SPAN("example"), SPAN(".example")));
    assert_true(span_compare(SPAN("a"), SPAN("b")) < 0);
    assert_true(span_compare(SPAN("ab"), SPAN("a")) > 0);
    assert_true(span_compare(SPAN("\xff"), SPAN("a")) > 0); /* unsigned bytes */
    assert_int_equal(span_compare(span_of(NULL, 0), SPAN("")), 0);
}

/* One byte is another, or in the other case, at every place of texts of every length. */
static void compares_every_byte(void **state)
{
    enum { LONGEST = 40 };
    (void)state;
    for (size_t len = 0; len <= LONGEST; len++) {
        char *a = malloc(len + (len == 0)), *b = malloc(len + (len == 0));
        assert_non_null(a);
        assert_non_null(b);
        memset(a, 'k', len);
        memset(b, 'k', len);
        assert_true(span_equal_nocase(span_of(a, len), span_of(b, len)));
        for (size_t at = 0; at < len; at++) {
            static const char others[] = "jJ+\xeb\xcb";
            for (size_t i = 0; i < sizeof(others); i++) {
                b[at] = others[i];
                assert_false(span_equal_nocase(span_of(a, len), span_of(b, len)));
            }
            a[at] = '[', b[at] = '{'; /* no letters, but the bit of case apart */
            assert_false(span_equal_nocase(span_of(a, len), span_of(b, len)));
            a[at] = 'k', b[at] = 'K';
        }
        assert_true(span_equal_nocase(span_of(a, len), span_of(b, len)));
        free(a);
        free(b);
    }
}

static void finds(void **state)
{
    (void)state;
    assert_int_equal(span_index(SPAN("a=b=c"), '='), 1);
    assert_int_equal(span_index(SPAN("abc"), '='), -1);
    assert_int_equal(span_index(span_of(NULL, 0), 'a'), -1);
    assert_int_equal(span_index(span_of("ab\0=", 4), '='), 3);
    assert_int_equal(span_find(SPAN("aab"), SPAN("ab")), 1);
    assert_int_equal(span_find(SPAN("aab"), SPAN("")), 0);
    assert_int_equal(span_find(span_of(NULL, 0), SPAN("a")), -1);
    assert_int_equal(span_find(SPAN("ab"), SPAN("abc")), -1);
}

static void trims_only_ows(void **state)
{
    (void)state;
    assert_text(span_trim(SPAN(" \t a b\t ")), "a b");
    assert_text(span_trim(SPAN(" \t ")), "");
    assert_text(span_trim(SPAN("\ra\n")), "\ra\n");
}

static void cuts(void **state)
{
    (void)state;
    struct span rest = SPAN(",a,,b"), part;
    static const char *const parts[] = { "", "a", "", "b" };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        assert_true(span_cut(&rest, ',', &part));
        assert_span(part, span_text(parts[i]));
    }
    assert_false(span_cut(&rest, ',', &part));

    rest = SPAN("a,"); /* a separator at the end has an empty part behind it */
    assert_true(span_cut(&rest, ',', &part) && span_cut(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_false(span_cut(&rest, ',', &part));
}

static void reads_numbers(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_true(span_uint(SPAN("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_true(span_uint(SPAN("000"), &value));
    assert_true(value == 0);

    static const char *const not_decimal[] = {
        "", "+1", "-1", " 1", "1 ", "1a", "0x1", "18446744073709551616", "99999999999999999999"
    };
    for (size_t i = 0; i < ARRAY_LEN(not_decimal); i++)
        assert_false(span_uint(span_text(not_decimal[i]), &value));
    assert_true(value == 0); /* left alone by what failed */

    for (int c = -128; c < 128; c++) {
        const char *at = c > 0 ? strchr("00112233445566778899aAbBcCdDeEfF", c) : NULL;
        assert_int_equal(hex_value((char)c) >= 0, at != NULL);
    }
    assert_int_equal(hex_value('0'), 0);
    assert_int_equal(hex_value('9'), 9);
    assert_int_equal(hex_value('a'), 10);
    assert_int_equal(hex_value('F'), 15);
}

/* Every length and place around the width of a vector, against the C library. */
static void finds_what_memmem_finds(void **state)
{
    unsigned seed = 7;
    char text[96], needle[40];
    (void)state;
    for (unsigned round = 0; round < 40000; round++) {
        size_t len = (seed = seed * 1103515245 + 12345) >> 16 & 63, want = 1 + (seed >> 8) % 6;
        if (round % 4 == 0)
            want = 1 + (seed >> 8) % 36;
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + ((seed = seed * 1103515245 + 12345) >> 20) % 2);
        for (size_t i = 0; i < want; i++)
            needle[i] = (char)('a' + ((seed = seed * 1103515245 + 12345) >> 20) % 2);
        char *exact = malloc(len + 1); /* so that a read past the end is seen */
        assert_non_null(exact);
        memcpy(exact + 1, text, len);
        const char *at = len < want ? NULL : memmem(exact + 1, len, needle, want);
        assert_int_equal(span_find(span_of(exact + 1, len), span_of(needle, want)),
                         at == NULL ? -1 : at - (exact + 1));
        free(exact);
    }
}

int main(void)
{
    return RUN(TEST(sub_is_clamped), TEST(compares), TEST(compares_every_byte), TEST(finds),
               TEST(trims_only_ows), TEST(cuts), TEST(finds_what_memmem_finds),
               TEST(reads_numbers));
}
