/* The transformations: exact results, boundary lengths, and what each promises of every value.
 */
#include "rules/transform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct sample {
    const char *transform;
    struct span in, out;
};

#define ROW(transform, in, out)                                                                \
    {                                                                                          \
        transform, SPAN_INIT(in), SPAN_INIT(out)                                               \
    }
/* The value stays what it is: the very same span. */
#define SAME(transform, in) ROW(transform, in, in)

static const struct sample samples[] = {
    SAME("url_decode", ""),
    SAME("url_decode", "%"),
    SAME("url_decode", "%2"),
    SAME("url_decode", "%u"),
    SAME("url_decode", "%u002"),
    SAME("url_decode", "%zz%2x"),
    ROW("url_decode", "+", " "),
    ROW("url_decode", "%27", "'"),
    ROW("url_decode", "a%2fB%2F", "a/B/"),
    ROW("url_decode", "%2527", "%27"),
    ROW("url_decode", "%00x", "\0x"),
    ROW("url_decode", "%u0027", "'"),
    ROW("url_decode", "%U0027", "'"),
    ROW("url_decode", "%uff1cscript%uFF1E", "<script>"),
    ROW("url_decode", "%u20ac", "\xe2\x82\xac"),
    ROW("url_decode", "%%27", "%'"),
    SAME("lowercase", ""),
    SAME("lowercase", "a1@[`{\xc3\x84"),
    ROW("lowercase", "A", "a"),
    ROW("lowercase", "aZ", "az"),
    SAME("html_decode", "&"),
    SAME("html_decode", "&&"),
    SAME("html_decode", "a&b=c"),
    SAME("html_decode", "&#;"),
    SAME("html_decode", "&#x;"),
    SAME("html_decode", "&#xg"),
    SAME("html_decode", "&colon"),
    SAME("html_decode", "&#x110000;"),
    SAME("html_decode", "&#99999999999999999999;"),
    ROW("html_decode", "&lt;b&gt;", "<b>"),
    ROW("html_decode", "&lt", "<"),
    ROW("html_decode", "&LT;&quot", "<\""),
    ROW("html_decode", "java&Tab;script&colon;", "java\tscript:"),
    ROW("html_decode", "&#60;", "<"),
    ROW("html_decode", "&#60", "<"),
    ROW("html_decode", "&#0000000000000000000000000060x", "<x"),
    ROW("html_decode", "&#x3C;&#X3c", "<<"),
    ROW("html_decode", "&#0;", "\0"),
    ROW("html_decode", "&#x1f600;", "\xf0\x9f\x98\x80"),
    ROW("html_decode", "&nbsp;", "\xc2\xa0"),
    ROW("html_decode", "&amp;lt;", "&lt;"),
    SAME("js_decode", "\\"),
    ROW("js_decode", "\\a", "a"),
    ROW("js_decode", "\\u", "u"),
    ROW("js_decode", "\\u003", "u003"),
    ROW("js_decode", "\\u0027", "'"),
    ROW("js_decode", "\\u{27}", "'"),
    ROW("js_decode", "\\u{0000000027}", "'"),
    ROW("js_decode", "\\u{}", "u{}"),
    ROW("js_decode", "\\u{27", "u{27"),
    ROW("js_decode", "\\u{110000}", "u{110000}"),
    ROW("js_decode", "\\x3cscript\\x3E", "<script>"),
    ROW("js_decode", "\\x3", "x3"),
    ROW("js_decode", "\\0", "\0"),
    ROW("js_decode", "\\47\\047\\478", "'''8"),
    ROW("js_decode", "\\377\\777", "\xff?7"),
    ROW("js_decode", "a\\\nb\\n\\t\\'\\\\", "ab\n\t'\\"),
    SAME("remove_nulls", ""),
    ROW("remove_nulls", "\0", ""),
    ROW("remove_nulls", "un\0ion", "union"),
    SAME("remove_comments", "/"),
    SAME("remove_comments", "* /"),
    SAME("remove_comments", "a*b"),
    ROW("remove_comments", "/*", " "),
    ROW("remove_comments", "*/", " "),
    ROW("remove_comments", "/*/", " "),
    ROW("remove_comments", "union/**/select", "union select"),
    ROW("remove_comments", "union/*a*b*/select", "union select"),
    ROW("remove_comments", "1 /*!50000union*/ select", "1  union  select"),
    ROW("remove_comments", "/*!union*/", " union "),
    ROW("remove_comments", "a/* hides the rest", "a "),
    SAME("compress_whitespace", " "),
    SAME("compress_whitespace", "a b"),
    SAME("compress_whitespace", "\xc3\xa0"),
    ROW("compress_whitespace", "\t", " "),
    ROW("compress_whitespace", "  ", " "),
    ROW("compress_whitespace", "a \t\n\v\f\r b", "a b"),
    ROW("compress_whitespace",
        "a\xc2\xa0\xc2\xa0"
        "b",
        "a b"),
    ROW("compress_whitespace",
        "a\xa0\xa0"
        "b",
        "a b"),
    SAME("normalize_path", ""),
    SAME("normalize_path", "/"),
    SAME("normalize_path", "/a/b.c/"),
    SAME("normalize_path", "../a"),
    SAME("normalize_path", "../.."),
    SAME("normalize_path", "..."),
    ROW("normalize_path", ".", ""),
    ROW("normalize_path", "//", "/"),
    ROW("normalize_path", "\\", "/"),
    ROW("normalize_path", "/..", "/"),
    ROW("normalize_path", "/a/./b//c", "/a/b/c"),
    ROW("normalize_path", "/a/b/../../../etc/passwd", "/etc/passwd"),
    ROW("normalize_path", "a/../../b", "../b"),
    ROW("normalize_path", "a/..//b", "b"),
    ROW("normalize_path", "..\\..\\b\\", "../../b/"),
};

/* The input in memory of exactly its length, so that a step past its end is seen; so the room.
 */
static struct span apply(const struct transform *row, struct span in, char **copy, char **room)
{
    *copy = malloc(in.len + 1);
    *room = malloc(in.len + 1);
    assert_non_null(*copy);
    assert_non_null(*room);
    char *tight = *copy + 1, *out = *room + 1;
    if (in.len > 0)
        memcpy(tight, in.p, in.len);
    return row->apply(span_of(tight, in.len), out);
}

static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const struct sample *s = &samples[i];
        const struct transform *row = transform_find(span_text(s->transform));
        assert_non_null(row);
        char *copy, *room;
        struct span out = apply(row, s->in, &copy, &room);
        if (!span_equal(out, s->out))
            fail_msg("row %zu: %s of \"%.*s\" is \"%.*s\"", i, s->transform, (int)s->in.len,
                     s->in.p, (int)out.len, out.p);
        bool same = span_equal(s->in, s->out);
        if (same != (out.p == copy + 1 && out.len == s->in.len))
            fail_msg("row %zu: %s: nothing changed must be the same span", i, s->transform);
        if (!same && row->triggers != 0 && (traits_of(s->in) & row->triggers) == 0)
            fail_msg("row %zu: %s changes a value without a trigger", i, s->transform);
        free(copy);
        free(room);
    }
}

/* Every value of 0, 1 and 2 bytes: the output fits, and no trigger means no change. */
static void check_all(const struct transform *row, struct span in)
{
    char room[2];
    char again[2];
    struct span out = row->apply(in, room);
    assert_true(out.len <= in.len);
    if ((traits_of(in) & row->triggers) == 0)
        assert_ptr_equal(out.p, in.p);
    if (row->idempotent)
        assert_true(span_equal(row->apply(out, again), out));
}

static void test_short_values(void **state)
{
    (void)state;
    for (const struct transform *row = transforms; row->name != NULL; row++) {
        if (row->apply == NULL)
            continue;
        check_all(row, SPAN(""));
        check_all(row, span_of(NULL, 0));
        for (int a = 0; a < 256; a++) {
            char one[1] = { (char)a };
            check_all(row, span_of(one, 1));
            for (int b = 0; b < 256; b++) {
                char two[2] = { (char)a, (char)b };
                check_all(row, span_of(two, 2));
            }
        }
    }
}

enum { TRAITS_LEN = 70 };

/* A pair has its trait wherever it stands, also where 16 bytes end, and where only a part of it
 * is there it has none. */
static void test_pairs(void **state)
{
    (void)state;
    static const struct {
        const char *pair;
        uint32_t trait;
    } rows[] = {
        { "//", TRAIT_PATH },          { "./", TRAIT_PATH },
        { "  ", TRAIT_BLANKS },        { "  ", TRAIT_GAP },
        { " /", TRAIT_GAP },           { " (", TRAIT_GAP },
        { "&#", TRAIT_ENTITY_NUMBER }, { "&l", TRAIT_ENTITY_NAME },
        { "&G", TRAIT_ENTITY_NAME },   { "&a", TRAIT_ENTITY_NAME },
        { "&q", TRAIT_ENTITY_NAME },   { "&N", TRAIT_ENTITY_NAME },
        { "%0", TRAIT_ESCAPE_DIGIT },  { "%9", TRAIT_ESCAPE_DIGIT },
        { "%a", TRAIT_ESCAPE_LETTER }, { "%F", TRAIT_ESCAPE_LETTER },
        { "%u", TRAIT_ESCAPE_LETTER }, { "%U", TRAIT_ESCAPE_LETTER },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t len = 2; len <= TRAITS_LEN; len++) {
            for (size_t at = 0; at + 1 < len; at++) {
                char value[TRAITS_LEN];
                struct span s = span_of(value, len);
                memset(value, 'z', sizeof(value));
                value[at] = rows[i].pair[0];
                assert_int_equal(traits_of(s) & rows[i].trait, 0);
                value[at + 1] = rows[i].pair[1];
                assert_int_equal(traits_of(s) & rows[i].trait, rows[i].trait);
                value[at] = 'z';
                assert_int_equal(traits_of(s) & rows[i].trait, 0);
            }
        }
    }
}

/* Prose sets no decoder off. */
static void test_no_pairs(void **state)
{
    (void)state;
    const uint32_t pairs = TRAIT_ESCAPED | TRAIT_ENTITY | TRAIT_PATH | TRAIT_GAP | TRAIT_RUN;
    assert_int_equal(traits_of(SPAN("50% of R&D, fish & chips")) & pairs, 0);
    assert_int_equal(traits_of(SPAN("a/b.c&d=1 100%")) & pairs, 0);
    assert_int_equal(traits_of(SPAN("&")) & pairs, 0);
    assert_int_equal(traits_of(SPAN("a.")) & pairs, TRAIT_PATH);
    assert_int_equal(traits_of(SPAN("a. b.html")) & pairs, 0);
}

/* Each byte has its traits wherever it stands: in the vector part, and in the tail. */
static void test_traits(void **state)
{
    (void)state;
    static const struct {
        char byte;
        uint32_t trait;
    } rows[] = {
        { '%', TRAIT_PERCENT },     { '+', TRAIT_PLUS },        { '&', TRAIT_AMPERSAND },
        { '\\', TRAIT_BACKSLASH },  { '\0', TRAIT_NUL },        { '*', TRAIT_STAR },
        { 'A', TRAIT_UPPER },       { 'Z', TRAIT_UPPER },       { ' ', TRAIT_BLANK },
        { '\t', TRAIT_CONTROL },    { '\r', TRAIT_CONTROL },    { (char)0xa0, TRAIT_NO_BREAK },
        { (char)0x80, TRAIT_HIGH }, { (char)0xff, TRAIT_HIGH }, { '-', TRAIT_COMMENT },
        { '#', TRAIT_COMMENT },     { '"', TRAIT_QUOTE },       { '\'', TRAIT_QUOTE },
        { ',', TRAIT_QUOTE },       { ';', TRAIT_SEMICOLON },   { '^', TRAIT_CARET },
        { 'x', TRAIT_X },           { 'X', TRAIT_X },           { '<', TRAIT_MARKUP },
        { '=', TRAIT_MARKUP }
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t len = 1; len <= 150; len++) {
            for (size_t at = 0; at < len; at++) {
                char value[150];
                memset(value, 'a', sizeof(value));
                assert_int_equal(traits_of(span_of(value, len)) & ~(uint32_t)TRAIT_BREAK,
                                 TRAIT_ANY);
                value[at] = rows[i].byte;
                assert_true(traits_of(span_of(value, len)) & rows[i].trait);
            }
        }
    }
    assert_int_equal(traits_of(span_of(NULL, 0)), TRAIT_ANY);
    assert_int_equal(traits_of(SPAN("the_usual_value:1234567890~{}()>!?|$@`")) &
                         ~(uint32_t)(TRAIT_UPPER | TRAIT_BREAK),
                     TRAIT_ANY);
    assert_null(transform_find(SPAN("")));
    assert_null(transform_find(SPAN("url_decod")));
}

/* What is no part of a word, be it anywhere. */
static void test_breaks(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == 0x7f || (c >= 0x80 && c != 0xa0);
        for (size_t len = 1; len <= 70; len++) {
            char value[70];
            memset(value, 'a', sizeof(value));
            value[c % len] = (char)c;
            bool whole = (traits_of(span_of(value, len)) & TRAIT_BREAK) == 0;
            assert_int_equal(whole, letter && len < 64); /* a longer one is taken to have any */
        }
    }
}

static void test_text_runs(void **state)
{
    (void)state;
    static const struct {
        struct span in, out;
    } rows[] = {
        { SPAN_INIT(""), SPAN_INIT("") },
        { SPAN_INIT("\xff\xfe short"), SPAN_INIT("\xff\xfe short") }, /* not binary */
        { SPAN_INIT("\0"), SPAN_INIT("") },
        { SPAN_INIT("\0"
                    "123456789"),
          SPAN_INIT("") },
        { SPAN_INIT("\0"
                    "1234567890"),
          SPAN_INIT("1234567890") },
        { SPAN_INIT("1234567890\xc3\x7f"
                    "abc\0<script>x\r\n\0"),
          SPAN_INIT("1234567890\1<script>x\r\n") },
        { SPAN_INIT("union\xa0"
                    "select\0"),
          SPAN_INIT("union\xa0"
                    "select") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char room[64];
        struct span out = text_runs(rows[i].in, room);
        if (!span_equal(out, rows[i].out))
            fail_msg("row %zu: \"%.*s\"", i, (int)out.len, out.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),   cmocka_unit_test(test_short_values),
        cmocka_unit_test(test_traits),    cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_no_pairs),  cmocka_unit_test(test_breaks),
        cmocka_unit_test(test_text_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
