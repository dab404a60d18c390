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
#include "rules/transform.h"

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
int libinjection_xss(const char *s, size_t len);
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

static char type_of(const char *text, size_t len)
{
    return libinjection_sqli_lookup_word(NULL, 1, text, len);
}

static void check(struct span value)
{
    char theirs[FINGERPRINT_SIZE], ours[FINGERPRINT_SIZE];
    bool sqli = libinjection_sqli(value.p, value.len, theirs) != 0;
    if (detect_sqli(value, ours) != sqli)
        fail_msg("\"%.*s\" is rejected, but has \"%s\"", (int)value.len, value.p, theirs);
    if (sqli && (traits_of(value) & TRAIT_BREAK) == 0)
        fail_msg("\"%.*s\" would not be asked about", (int)value.len, value.p);
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

static const struct {
    struct span value;
    bool possible;
} shapes[] = {
    { SPAN_INIT(""), false },
    { SPAN_INIT("hello"), false },
    { SPAN_INIT("union"), false },
    { SPAN_INIT("3f2a9be0c4"), false },
    { SPAN_INIT("2024-01-02 03:04:05.5"), false },
    { SPAN_INIT("-1"), false },
    { SPAN_INIT("/index.html"), false },
    { SPAN_INIT("blue shoes"), false },
    { SPAN_INIT("x=y"), false },
    { SPAN_INIT("json.pages.0.title"), false },
    { SPAN_INIT("https://example.org/a/b?c=d&e=f"), false },
    { SPAN_INIT("3f2a9be0-12ab-4c4c"), false },
    { SPAN_INIT("stra\xc3\x9f"
                "e 5"),
      false },
    { SPAN_INIT("a[b];c|d"), false },
    { SPAN_INIT("null union"), false },
    { SPAN_INIT("1 union"), false },
    { SPAN_INIT("1 && 1"), false },
    { SPAN_INIT("it's a \"quoted\" price of $5 (approx.), #7 & 50%"), false },
    { SPAN_INIT("rock'n'roll, don't select from O'Neill's union"), false },
    { SPAN_INIT("{draft} of user@example.com"), false },
    { SPAN_INIT("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"), false },
    { SPAN_INIT("a # b"), false },
    { SPAN_INIT("a # sp_password"), true },
    { SPAN_INIT("1--"), true },
    { SPAN_INIT("1 or 1=1"), true },
    { SPAN_INIT("1 && 1 && 1"), true },
    { SPAN_INIT("a' or 'b'='b"), true },
    { SPAN_INIT("a\" or \"b\"=\"b"), true },
    { SPAN_INIT("1 union select 2"), true },
    /* for libinjection to say */
    { SPAN_INIT("hello /* there"), true },
    { SPAN_INIT("hello, {`a"), true },
    { SPAN_INIT("1$$a$$"), true },
};

/* Until it is prepared nothing is turned away. */
static void test_unprepared(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        assert_int_equal(sqli_possible(shapes[i].value), shapes[i].value.len > 0);
        check(shapes[i].value);
    }
}

/* Fails where the library's tables cannot be found any more: then all is right, but slow. */
static void test_prepared(void **state)
{
    (void)state;
    detect_prepare();
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        if (sqli_possible(shapes[i].value) != shapes[i].possible)
            fail_msg("shape %zu: \"%s\"", i, shapes[i].value.p);
        check(shapes[i].value);
    }
    check_sequences();
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
        "is not distinct from",
        "current_timestamp",
        "dbms_utility.sqlid_to_sqlhash",
        "a_word_that_is_longer_than_any_other_that_has_a_meaning_in_sql",
    };
    detect_prepare();
    assert_true(sql_words_ready);
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
    assert_true(xss_possible(SPAN("a `onx42=x")));
    assert_true(xss_possible(SPAN("a/onx42=x")));
    assert_false(xss_possible(SPAN("onx4=x")));
    assert_false(xss_possible(SPAN("cannon42=x Axml4Qb12g== styled=x href2=y")));
    assert_false(xss_possible(SPAN("it's (\"so\") > #1;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unprepared),
        cmocka_unit_test(test_prepared),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
