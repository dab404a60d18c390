/*
 * A plain text is found by hand where it stands, in any case if that is what was asked, at
 * every place of texts of every length; and nowhere else.
 */
#include "rules/engine/few.h"

#include <stdlib.h>

#include "tests/reference/sample.h"
#include "tests/unit/check.h"

enum { LONGEST = 80 };

static bool stands_at(const struct few_text *few, const char *at)
{
    size_t same = 0;
    while (same < few->len && ((uint8_t)at[same] | few->folds[same]) == few->bytes[same])
        same++;
    return same == few->len;
}

static bool is_in(const struct few_text *few, struct span text)
{
    for (size_t i = 0; i + few->len <= text.len; i++) {
        if (stands_at(few, text.p + i))
            return true;
    }
    return false;
}

static const struct row {
    const char *bytes, *folds;
} rows[] = {
    { "%", "\x00" },
    { "a", "\x20" },
    { "ab", "\x00\x20" },
    { "get /", "\x20\x20\x20\x00\x00" },
    { "aaaaaaaaaaaaaaaaaaaab", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
};

static struct few_text few_of(const struct row *row)
{
    return (struct few_text){ .bytes = (const uint8_t *)row->bytes,
                              .folds = (const uint8_t *)row->folds,
                              .len = strlen(row->bytes) };
}

/* Each length in memory of its own, so that a byte too far is seen. */
static void at_every_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct few_text few = few_of(&rows[i]);
        for (size_t len = 0; len <= LONGEST; len++) {
            char *text = malloc(len + 1);
            assert_non_null(text);
            memset(text, '.', len);
            assert_false(few_text_in(&few, span_of(text, len)));
            for (size_t at = 0; at + few.len <= len; at++) {
                memset(text, '.', len);
                for (size_t k = 0; k < few.len; k++)
                    text[at + k] = (char)(few.bytes[k] & ~(k % 2 == 0 ? few.folds[k] : 0));
                assert_true(few_text_in(&few, span_of(text, len)));
                text[at + few.len / 2] ^= 0x40;
                assert_false(few_text_in(&few, span_of(text, len)));
            }
            free(text);
        }
    }
}

static void as_byte_by_byte(void **state)
{
    static const char some[] = "abAB%/ gGeEtT";
    struct dice dice = { .state = 5 };
    unsigned found = 0;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct few_text few = few_of(&rows[i % ARRAY_LEN(rows)]);
        char text[LONGEST];
        size_t len = dice_below(&dice, LONGEST);
        for (size_t k = 0; k < len; k++)
            text[k] = some[dice_below(&dice, i % 3 == 0 ? 2 : sizeof(some) - 1)];
        bool in = is_in(&few, span_of(text, len));
        assert_int_equal(few_text_in(&few, span_of(text, len)), in);
        found += in;
    }
    assert_in_range(found, 2000, 18000);
}

int main(void)
{
    return RUN(TEST(at_every_place), TEST(as_byte_by_byte));
}
