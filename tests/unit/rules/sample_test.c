/* Texts made from patterns: most of them match, and all end. */
#include "tests/reference/sample.h"

#include "rules/regex.h"
#include "tests/unit/check.h"

static const char *const patterns[] = {
    "abc",
    "a|bc|(?:d|e)f",
    "(?i)union\\s+select",
    "[a-c]{2,4}x?",
    "[^/\\s]+\\.php\\d*",
    "\\x41\\x{42}\\n",
    "(?:https?|ftp)://\\w+(?:\\.\\w+)*",
    "[\\[\\]\\-\\\"'`]+",
    "[[:alpha:]]+=\\$\\(",
    "(a(b(c|d)|e)*)+",
    "<script[^>]*>[\\s\\S]*?",
    "\\W\\S\\D",
};

static void test_most_samples_match(void **state)
{
    enum { SAMPLES = 200, LEAST = 130 }; /* letters change their case by chance */
    struct regex_local local;
    struct dice dice = { 7 };
    (void)state;
    assert_int_equal(regex_attach(&local), OK);
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        char reason[128];
        struct text why = text_fixed(reason, sizeof reason);
        struct sec_regex *regex = regex_compile(span_text(patterns[i]), false, &why);
        unsigned good = 0;
        assert_non_null(regex);
        for (unsigned n = 0; n < SAMPLES; n++) {
            char room[400];
            struct text out = text_fixed(room, sizeof room);
            sample_regex(&out, span_text(patterns[i]), &dice);
            good += regex_match(&local, regex, text_span(&out), NULL) == REGEX_YES;
        }
        if (good < LEAST)
            fail_msg("%s: %u of %d match", patterns[i], good, SAMPLES);
        regex_free(regex);
    }
    regex_detach(&local);
}

/* Whatever stands there: it stops, within the room that it has. */
static void test_anything_ends(void **state)
{
    static const char *const odd[] = { "(",
                                       ")",
                                       "[",
                                       "[^",
                                       "\\",
                                       "a{",
                                       "a{3",
                                       "(?",
                                       "(?:",
                                       "x{9999}",
                                       "((((((((((((((((((((((((((((((((((((((((((a",
                                       "[z-a]",
                                       "|||",
                                       "[]a]",
                                       "(?<n>a)\\1",
                                       "\\x",
                                       "[\\",
                                       "*",
                                       "(?=a)b",
                                       "" };
    struct dice dice = { 3 };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        for (unsigned n = 0; n < 50; n++) {
            char room[100];
            struct text out = text_fixed(room, sizeof room);
            sample_regex(&out, span_text(odd[i]), &dice);
            assert_true(out.len <= sizeof room);
        }
    }
}

static void test_dice_repeat(void **state)
{
    struct dice a = { 42 }, b = { 42 };
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_true(dice_roll(&a) == dice_roll(&b));
    assert_int_equal(dice_below(&a, 1), 0);
    assert_int_equal(dice_below(&a, 0), 0);
    assert_false(dice_chance(&a, 0));
    assert_true(dice_chance(&a, 100));
}

int main(void)
{
    return RUN(TEST(test_most_samples_match), TEST(test_anything_ends), TEST(test_dice_repeat));
}
