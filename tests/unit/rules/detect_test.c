/*
 * The rejects before libinjection are exact: what they rest on holds for the library that is
 * linked, and values around their edges are decided as it decides them.
 */
#include "rules/detect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/sql_words.h"

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
int libinjection_xss(const char *s, size_t len);
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

static char type_of(const char *text, size_t len)
{
    return libinjection_sqli_lookup_word(NULL, 1, text, len);
}

/* Whether `text` is one of the characters of `set`. */
static bool among(char c, const char *set)
{
    return strchr(set, c) != NULL;
}

/* Every fingerprint over what words, numbers and our punctuation become. */
static void check_fingerprint(const char *types, size_t len)
{
    unsigned items = 0, plain = 0;
    for (size_t i = 0; i < len; i++) {
        items += among(types[i], "N1KUBETFAV&");
        plain += among(types[i], "N1");
    }
    if (items <= 1 || plain == items)
        fail_msg("\"%.*s\" is a fingerprint", (int)len, types);
    struct span all = span_of(types, len);
    if (items == 2 && !span_equal(all, SPAN("1U")) && !span_equal(all, SPAN("VU")) &&
        !span_equal(all, SPAN("1OV")))
        fail_msg("\"%.*s\" is a fingerprint of two items", (int)len, types);
    if (len == items && plain == items - 1 && !among(types[len - 1], "N1") &&
        !span_equal(all, SPAN("1U")))
        fail_msg("\"%.*s\" may be one run of letters and digits", (int)len, types);
}

static void test_fingerprints(void **state)
{
    (void)state;
    static const char alphabet[] = "N1KUBETFAV&O.,:?";
    enum { TYPES = sizeof(alphabet) - 1, TOKENS = 5 };
    unsigned found = 0;
    for (size_t len = 1; len <= TOKENS; len++) {
        unsigned counter[TOKENS] = { 0 };
        bool more = true;
        while (more) {
            char text[TOKENS + 1] = "0"; /* how libinjection's list marks them */
            for (size_t i = 0; i < len; i++)
                text[i + 1] = alphabet[counter[i]];
            if (type_of(text, len + 1) == 'F') {
                check_fingerprint(text + 1, len);
                found++;
            }
            size_t at = 0;
            while (at < len && ++counter[at] == TYPES)
                counter[at++] = 0;
            more = at < len;
        }
    }
    assert_true(found > 1000); /* or the list is kept in another way */
    assert_int_equal(type_of("UNION", 5), 'U');
    assert_int_equal(type_of("hello", 5), 0);
}

/* Two bytes of punctuation are an operator, or two tokens. */
static void test_operators(void **state)
{
    (void)state;
    static const char punctuation[] = "+-*/%=<>!~^:?.,";
    for (size_t a = 0; a + 1 < sizeof(punctuation); a++) {
        for (size_t b = 0; b + 1 < sizeof(punctuation); b++) {
            char pair[2] = { punctuation[a], punctuation[b] };
            char type = type_of(pair, 2);
            assert_true(type == 0 || type == 'o');
        }
    }
}

static void check(struct span value)
{
    char theirs[FINGERPRINT_SIZE], ours[FINGERPRINT_SIZE];
    bool sqli = libinjection_sqli(value.p, value.len, theirs) != 0;
    if (detect_sqli(value, ours) != sqli)
        fail_msg("\"%.*s\" is rejected, but has \"%s\"", (int)value.len, value.p, theirs);
    assert_string_equal(theirs, ours);
    if (detect_xss(value) != (libinjection_xss(value.p, value.len) != 0))
        fail_msg("\"%.*s\" is rejected, but has script", (int)value.len, value.p);
}

/* All sequences of four. */
static void check_sequences_of(const char *const *parts, size_t count)
{
    for (size_t code = 0; code < count * count * count * count; code++) {
        char text[64];
        size_t len = 0, rest = code;
        for (int i = 0; i < 4; i++, rest /= count) {
            const char *part = parts[rest % count];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        check(span_of(text, len));
    }
}

/* What the rejects look at. */
static void check_sequences(void)
{
    static const char *const sql[] = {
        "union", "null", "select", "group by", "a.b", "like", "1", "0b2",
        "1e",    ".",    "-",      "/",        "=",   "&",    " ", "'",
        "--",    "<a ",  ";",      "href=",    "[",   "\xa0",
    };
    static const char *const script[] = {
        "<",     "<3",     "<!",  "</", "a",  "on",          "onabc", "ONload",
        "style", "xmlns:", "xml", "=",  "= ", " =",          "/",     "hREF ",
        "\"to=", "'",      ">",   "by", "?x", "javascript:",
    };
    check_sequences_of(sql, ARRAY_LEN(sql));
    check_sequences_of(script, ARRAY_LEN(script));
}

/* `bare`: without the filter of words. */
static const struct {
    struct span value;
    bool bare, filtered;
} shapes[] = {
    { SPAN_INIT(""), false, false },
    { SPAN_INIT("hello"), false, false },
    { SPAN_INIT("union"), false, false },
    { SPAN_INIT("3f2a9be0c4"), false, false },
    { SPAN_INIT("2024-01-02 03:04:05.5"), false, false },
    { SPAN_INIT("-1"), false, false },
    { SPAN_INIT("/index.html"), false, false },
    { SPAN_INIT("page-2"), false, false },
    { SPAN_INIT("blue shoes"), false, false },
    { SPAN_INIT("x=y"), false, false },
    { SPAN_INIT("three blue shoes"), true, false },
    { SPAN_INIT("json.pages.0.title"), true, false },
    { SPAN_INIT("https://example.org/a/b?c=d&e=f"), true, false },
    { SPAN_INIT("3f2a9be0-12ab-4c4c"), true, false },
    { SPAN_INIT("stra\xc3\x9f"
                "e 5"),
      true, false },
    { SPAN_INIT("a[b];c|d"), true, false },
    { SPAN_INIT("null union"), true, true },
    { SPAN_INIT("1 union"), true, true },
    { SPAN_INIT("2-1union"), true, true },
    { SPAN_INIT("x y group by"), true, true },
    { SPAN_INIT("1 && 1"), true, true },
    { SPAN_INIT("1 || 1"), true, true },
    { SPAN_INIT("1/*"), true, true },
    { SPAN_INIT("1--"), true, true },
    { SPAN_INIT("a'"), true, true },
    { SPAN_INIT("a\0"), true, true },
};

static void check_shapes(bool filter)
{
    assert_int_equal(sql_words.ready, filter);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        bool expected = filter ? shapes[i].filtered : shapes[i].bare;
        if (sqli_possible(shapes[i].value) != expected)
            fail_msg("shape %zu: \"%s\"", i, shapes[i].value.p);
        check(shapes[i].value);
    }
    check_sequences();
}

static void test_without_filter(void **state)
{
    (void)state;
    check_shapes(false);
}

/* Fails where the library's table cannot be found any more: then all is right, but slow. */
static void test_with_filter(void **state)
{
    (void)state;
    sql_words_prepare();
    check_shapes(true);
}

/* The table as it is searched here, and as libinjection searches it. */
static void test_words(void **state)
{
    (void)state;
    static const char *const words[] = {
        "select",
        "SELECT",
        "SeLeCt",
        "selec",
        "selects",
        "union",
        "group by",
        "GROUP  BY",
        "in",
        "!=",
        "||",
        "&&",
        "0UNION",
        "0s&1c",
        "0S&1C",
        "",
        "and\0or",
        "x",
        "varchar",
        "~",
        ":=",
        "1",
        "information_schema",
        "a_word_that_is_longer_than_any_other_that_has_a_meaning_in_sql",
    };
    detect_prepare();
    assert_true(sql_words.ready);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct span word = span_text(words[i]);
        for (size_t len = 0; len <= word.len; len++) {
            struct span part = span_sub(word, 0, len);
            if (sql_word_type(part) != type_of(part.p, part.len))
                fail_msg("\"%.*s\"", (int)len, word.p);
        }
    }
    assert_int_equal(sql_word_type(SPAN("and\0")), type_of("and\0", 4));
    assert_int_equal(sql_word_type(SPAN("\xff\xfe")), type_of("\xff\xfe", 2));
}

static void test_script(void **state)
{
    (void)state;
    assert_false(xss_possible(span_of(NULL, 0)));
    assert_false(sqli_possible(span_of(NULL, 0)));
    assert_true(xss_possible(SPAN("<a")));
    assert_true(xss_possible(SPAN("<\0a")));
    detect_prepare();
    /* Fails where the library's names cannot be found any more: then all is right, but slow. */
    assert_false(xss_possible(SPAN("a=b <3 https://example.org/?page=1 4uZUghZtPsJ9WaAcOg==")));
    assert_true(xss_possible(SPAN("href\0=x")));
    assert_true(xss_possible(SPAN("\"onx42 =x")));
    assert_false(xss_possible(SPAN("onx4=x")));
    assert_false(xss_possible(SPAN("it's (\"so\") > #1;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fingerprints),   cmocka_unit_test(test_operators),
        cmocka_unit_test(test_without_filter), cmocka_unit_test(test_with_filter),
        cmocka_unit_test(test_words),          cmocka_unit_test(test_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
