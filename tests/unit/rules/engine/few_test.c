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

static unsigned count_ends(const struct few_text *end, struct span text)
{
    unsigned count = 0;
    for (size_t i = 0; i + end->len <= text.len; i++)
        count += stands_at(end, text.p + i);
    return count;
}

/* What is found by how all of them end is what is found one by one, but in texts that have
 * more such ends than are looked at: these are let pass. */
static void by_their_end(void **state)
{
    enum { ENDS = 8 };
    static const struct row alike[] = { { "ab://", "\x20\x20\0\0\0" },
                                        { "b://", "\0\0\0\0" },
                                        { "a1://", "\x20\0\0\0\0" },
                                        { "://", "\0\0\0" } };
    static const char *const pieces[] = {
        "ab", "AB", "a", "b", "1", "://", "//", ":", "aB://"
    };
    struct few_text texts[ARRAY_LEN(alike)];
    struct dice dice = { .state = 7 };
    unsigned found = 0, let_pass = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(alike); i++)
        texts[i] = few_of(&alike[i]);
    const struct few_text *end = &texts[ARRAY_LEN(alike) - 1];
    for (unsigned i = 0; i < 20000; i++) {
        const struct few_list list = { &texts[i % 2], end, 2 },
                              each = { &texts[i % 2], NULL, 2 };
        char room[10 * LONGEST];
        struct text out = text_fixed(room, sizeof(room));
        unsigned from = i % 4 == 0 ? 4 : 0; /* ends, of which few are one of the texts */
        for (unsigned left = 3 * from + dice_below(&dice, 12); left > 0; left--)
            text_add(&out,
                     span_text(pieces[from + dice_below(&dice, ARRAY_LEN(pieces) - from)]));
        struct span text = text_span(&out);
        bool in = is_in(&list.texts[0], text) || is_in(&list.texts[1], text);
        assert_int_equal(few_any_in(&each, text), in);
        if (in || count_ends(end, text) <= ENDS)
            assert_int_equal(few_any_in(&list, text), in);
        else
            let_pass += few_any_in(&list, text);
        found += in;
    }
    assert_in_range(found, 2000, 18000);
    assert_true(let_pass > 0);
}

/* Ends that lie over one another are all looked at. */
static void ends_overlap(void **state)
{
    static const struct row row = { "caba", "\0\0\0\0" }, other = { "baba", "\0\0\0\0" },
                            shared = { "aba", "\0\0\0" };
    struct few_text texts[] = { few_of(&row), few_of(&other) }, end = few_of(&shared);
    const struct few_list list = { texts, &end, 2 };
    (void)state;
    assert_true(few_any_in(&list, SPAN("zababa")));
    assert_true(few_any_in(&list, SPAN("zabacaba")));
    assert_false(few_any_in(&list, SPAN("zabaaba")));
}

int main(void)
{
    return RUN(TEST(at_every_place), TEST(as_byte_by_byte), TEST(by_their_end),
               TEST(ends_overlap));
}
