/*
 * Words are found together where they stand, in either case if that is what was asked, at every
 * place of texts of every length, with AVX2 and without; and nowhere else.
 */
#include "rules/engine/usual.h"

#include <stdlib.h>

#include "tests/reference/sample.h"
#include "tests/unit/check.h"

enum { LONGEST = 150 };

/* More than there are groups; two of them of 2 bytes, and some that begin with another. */
static const char *const words[] = {
    "select", "==",   "union", "user",  "from", "select", "..", "users",
    "having", "like", "sel",   "uni x", "==..", "1950",   "an", "selector",
};
_Static_assert(ARRAY_LEN(words) == USUAL_MAX, "all places are taken");

static uint8_t folds[USUAL_MAX][16];
static struct few_text texts[USUAL_MAX];

/* The i-th is looked for in one case only if it is a multiple of 5. */
static const struct usual *usual_of(unsigned count)
{
    static struct usual usual;
    for (unsigned i = 0; i < count; i++) {
        const size_t len = strlen(words[i]);
        for (size_t k = 0; k < len; k++)
            folds[i][k] = i % 5 != 0 && words[i][k] >= 'a' && words[i][k] <= 'z' ? 0x20 : 0;
        texts[i] = (struct few_text){ (const uint8_t *)words[i], folds[i], len };
    }
    usual_make(&usual, texts, count);
    return &usual;
}

static uint32_t one_by_one(const struct usual *usual, struct span text)
{
    uint32_t found = 0;
    for (unsigned i = 0; i < usual->count; i++) {
        for (size_t at = 0; at + texts[i].len <= text.len; at++)
            found |= (uint32_t)few_text_at(&texts[i], text.p + at) << i;
    }
    return found;
}

/* In memory of its own, so that a byte too far is seen. */
static uint32_t check(const struct usual *usual, struct span text)
{
    char *tight = malloc(text.len > 0 ? text.len : 1);
    assert_non_null(tight);
    memcpy(tight, text.p, text.len);
    const uint32_t found = one_by_one(usual, text);
    assert_int_equal(usual_in(usual, span_of(tight, text.len)), found);
    assert_int_equal(usual_in_narrow(usual, span_of(tight, text.len)), found);
    free(tight);
    return found;
}

/* The word in the midst of such bytes. */
static void at_every_place_of(const struct usual *usual, unsigned word, char other, size_t len)
{
    char text[LONGEST];
    memset(text, other, sizeof(text));
    assert_int_equal(check(usual, span_of(text, len)), 0);
    for (size_t at = 0; at + texts[word].len <= len; at += 1 + len % 3) {
        memcpy(text + at, words[word], texts[word].len);
        assert_true((check(usual, span_of(text, len)) >> word & 1) != 0);
        memset(text + at, other, texts[word].len);
    }
}

static void at_every_place(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= USUAL_MAX; count += 5) {
        const struct usual *usual = usual_of(count);
        for (unsigned i = 0; i < count; i++) {
            for (size_t len = 0; len <= LONGEST; len++)
                at_every_place_of(usual, i, i % 2 == 0 ? ' ' : '\xff', len);
        }
    }
}

static void as_one_by_one(void **state)
{
    static const char *const pieces[] = { "sel", "Select", "uni", "on", "user",  "S", "=",
                                          ".",   "FROM",   " x",  "li", "ke",    "1", "950",
                                          "u",   "having", "a",   "nd", "select" };
    struct dice dice = { .state = 3 };
    unsigned found = 0, several = 0;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        const struct usual *usual = usual_of(1 + i % USUAL_MAX);
        char text[LONGEST];
        size_t len = 0;
        for (uint32_t left = dice_below(&dice, 20); left > 0; left--) {
            const char *piece = pieces[dice_below(&dice, ARRAY_LEN(pieces))];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        const uint32_t set = check(usual, span_of(text, len));
        found += set != 0;
        several += (set & (set - 1)) != 0;
    }
    assert_in_range(found, 5000, 19500);
    assert_true(several > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_every_place),
        cmocka_unit_test(as_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
