/* SecLang's transformations: exact results, and what each promises of every value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rules/transform.h"

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
    SAME("lowercase", "a1@[`{\xc3\x84"),
    ROW("lowercase", "AzZ", "azz"),
    SAME("uppercase", "A1@[`{\xc3\xa4"),
    ROW("uppercase", "AzZ", "AZZ"),
    SAME("urlDecode", "%2 %zz %u0027"),
    ROW("urlDecode", "%41+%%42%4", "A %B%4"),
    SAME("urlDecodeUni", "%u00 %u00g7 %U"),
    ROW("urlDecodeUni", "%u0027%U2622", "'\""),
    ROW("urlDecodeUni", "%uff1c%uff5e%uff00%uff5f", "<~\0\x5f"),
    ROW("urlDecodeUni", "%u%41", "%uA"),
    ROW("urlEncode", "a* b/\xff", "a*+b%2f%ff"),
    SAME("urlEncode", "aZ09*"),
    SAME("utf8toUnicode", "ascii\x7f"),
    SAME("utf8toUnicode", "\x80\xbf\xf8\xff"),
    ROW("utf8toUnicode", "\xc3\xa4", "%u00e4"),
    ROW("utf8toUnicode", "\xe2\x82\xac", "%u20ac"),
    ROW("utf8toUnicode", "\xf0\x9f\x98\x80", "%u1f600"),
    ROW("utf8toUnicode", "\xf4\x8f\xbf\xbf", "%u10ffff"),
    ROW("utf8toUnicode", "a\0\xc3\xa4", "a\0%u00e4"),
    ROW("utf8toUnicode", "\xc0\xbc", "%u003c\xc0"),     /* overlong */
    ROW("utf8toUnicode", "\xed\xa0\x80", "%ud800\xed"), /* surrogate */
    ROW("utf8toUnicode", "\xc3<\xe2\x82x", "<\x82x"),   /* cut short */
    ROW("utf8toUnicode", "x\xf0\x9f\x98", "x\x9f\x98"), /* cut short at the end */
    ROW("utf8toUnicode", "\xf5\x80\x80\x80", "\xf5%u140000"),
    ROW("htmlEntityDecode", "&lt;&GT;&Quot&amp;&nbsp;", "<>\"&\xa0"),
    SAME("htmlEntityDecode", "&ltx; & &; &# &#; &#x; &#xg;"),
    SAME("htmlEntityDecode", "&nbspx &quotation; &amp0 &nbs"),
    ROW("htmlEntityDecode", "&#60;&#x3C&#060;", "<<<"),
    ROW("htmlEntityDecode", "&#316;&#99999999999999999999;", "<\xff"),
    ROW("htmlEntityDecode", "&#x13c;", "<"),
    SAME("jsDecode", "\\"),
    ROW("jsDecode", "\\u0041\\x42\\103\\477\\8\\a\\q\\", "ABC'78\aq\\"),
    ROW("jsDecode", "\\uff1c\\u2041", "<A"),
    ROW("jsDecode", "\\u004\\x4", "u004x4"),
    ROW("cssDecode", "\\41\\042 \\00043\tD\\g\\\nE\\", "ABCDgE"),
    ROW("cssDecode", "\\ff1c\\00ff1cx\\1ff1c", "<<x\x1c"),
    ROW("cssDecode", "\\41  B", "A B"),
    ROW("escapeSeqDecode", "\\n\\x41\\X42\\103\\777\\q\\x4", "\nABC\xffqx4"),
    SAME("escapeSeqDecode", "\\"),
    SAME("cmdLine", "cmd(/c dir"),
    ROW("cmdLine", "C^md.exe, ; /C\t\"dir\" (x", "cmd.exe/c dir(x"),
    ROW("cmdLine", "a\0B", "a\0b"),
    ROW("cmdLine", ";; 'a' ,\" \" (b)  /c'\\'^ ", " a(b)/c "),
    SAME("compressWhitespace", " a b "),
    ROW("compressWhitespace", "\t a\n\n\xa0 b\v", " a b "),
    SAME("compressWhitespace", "0123456789abcde f 123456789abcdef gh"),
    ROW("compressWhitespace", "0123456789abcde  23456789abcdef",
        "0123456789abcde 23456789abcdef"),
    ROW("compressWhitespace", "0123456789abcdef\t", "0123456789abcdef "),
    ROW("compressWhitespace", "0123456789abcde \n", "0123456789abcde "),
    ROW("compressWhitespace", "0123456\xa0 9abcdefgh", "0123456 9abcdefgh"),
    ROW("removeWhitespace", " a\tb\xa0\r\n", "ab"),
    SAME("removeWhitespace", "ab"),
    ROW("removeNulls", "\0a\0\0", "a"),
    ROW("replaceNulls", "\0a\0", " a "),
    ROW("removeComments", "a/*b*/c", "ac"),
    ROW("removeComments", "a/**/", "a\0"),
    ROW("removeComments", "a<!-- b -->c--d", "ac"),
    ROW("removeComments", "a#b", "a"),
    ROW("removeComments", "a/*b", "a "),
    ROW("removeComments", "/**//*x*/", "/*x*/"),
    SAME("removeComments", "a-b*/"),
    ROW("removeCommentsChar", "/*a*/<!--b-->c--d#e", "abcde"),
    SAME("removeCommentsChar", "a-b<!-/ *"),
    ROW("replaceComments", "a/*b*/c/*d", "a c "),
    SAME("replaceComments", "a*/b"),
    SAME("normalizePath", "/a/b.c/..d"),
    ROW("normalizePath", "/a/./b//../c", "/a/c"),
    ROW("normalizePath", "/../../etc/passwd", "/etc/passwd"),
    ROW("normalizePath", "a/../../b", "../b"),
    ROW("normalizePath", "/a/..", ""),
    ROW("normalizePath", "./a/.", "a"),
    ROW("normalizePath", "/a/..b../c", "/a/c"),
    SAME("normalizePath", "a\\..\\b"),
    ROW("normalizePath", "///", "/"),
    ROW("normalizePathWin", "\\a\\\\\\..\\b\\", "/b/"),
    SAME("normalizePath", "/a/path.that/is.longer/than.sixteen/bytes\\x/"),
    ROW("normalizePath", "/a/path.that/is./longer", "/a/path.that/is./longer"),
    ROW("normalizePath", "/a/path/that//is/longer/", "/a/path/that/is/longer/"),
    ROW("normalizePath", "/a/path/that/is/longer/.", "/a/path/that/is/longer"),
    SAME("normalizePathWin", "/a/path.that/is.longer/than.sixteen/bytes"),
    ROW("normalizePathWin", "/a/path.that/is.longer\\x", "/a/path.that/is.longer/x"),
    ROW("normalizePath", "/a/path.that/is/../longer.than.sixteen.bytes/./b/",
        "/a/path.that/longer.than.sixteen.bytes/b/"),
    ROW("normalizePath", "a.longer.name.than.sixteen.bytes/..", ""),
    ROW("normalizePathWin", "/sixteen.bytes..\\b", "/b"),
    ROW("base64Decode", "YWJj", "abc"),
    ROW("base64Decode", "YWI=YWJj", "ab"),
    ROW("base64Decode", "YW-Jj", "a"),
    ROW("base64Decode", "Y", ""),
    ROW("base64DecodeExt", "Y.W\0Jj", "abc"),
    ROW("base64DecodeExt", "YWJjY=", ""),
    ROW("base64DecodeExt", "YWJjYQ==", "abca"),
    ROW("base64Encode", "abcd", "YWJjZA=="),
    ROW("base64Encode", "abcde", "YWJjZGU="),
    SAME("base64Encode", ""),
    ROW("hexDecode", "41 42", "A\x04"),
    ROW("hexDecode", "4A4b4", "JK"),
    ROW("hexEncode", "a\xff", "61ff"),
    ROW("sqlHexDecode", "a0x4142g", "aABg"),
    ROW("sqlHexDecode", "0x410X42", "AB"),
    ROW("sqlHexDecode", "0x4142\0x", "AB\0x"),
    SAME("sqlHexDecode", "0x 0x4 x41"),
    ROW("trim", "\v a b \n", "a b"),
    SAME("trim", "\xa0"),
    ROW("trimLeft", " a ", "a "),
    ROW("trimRight", " a ", " a"),
    ROW("trim", " \t", ""),
    ROW("length", "", "0"),
    ROW("length", "abcdefghijkl", "12"),
    SAME("length", "1"),
    ROW("md5", "abc", "\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72"),
    ROW("sha1", "abc",
        "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d"),
    ROW("parityEven7bit", "ac",
        "\xe1"
        "c"),
    ROW("parityOdd7bit", "ac", "a\xe3"),
    ROW("parityZero7bit", "\xe1\xff", "a\x7f"),
    SAME("parityZero7bit", "a"),
    ROW("phpArgsNames", " a.b c[d e][ ][f.g]h", "a_b_c[d e][][f.g]"),
    ROW("phpArgsNames", "a[b.c d", "a_b.c d"),
    ROW("phpArgsNames", "a[b][c", "a[b]"),
    ROW("phpArgsNames", "[a]", ""),
    SAME("phpArgsNames", "a[]"),
};

/* The input in memory of exactly its length, so that a step past its end is seen; so the room.
 */
static void test_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const struct sample *s = &samples[i];
        const struct transform *row = seclang_transform_find(span_text(s->transform));
        assert_non_null(row);
        char *copy = malloc(s->in.len + 1), *room = malloc(transform_room(row, s->in.len) + 1);
        assert_non_null(copy);
        assert_non_null(room);
        memcpy(copy + 1, s->in.p, s->in.len);
        struct span in = span_of(copy + 1, s->in.len), out = row->apply(in, room + 1);
        if (!span_equal(out, s->out))
            fail_msg("row %zu: %s of \"%.*s\" is \"%.*s\"", i, s->transform, (int)in.len, in.p,
                     (int)out.len, out.p);
        bool same = span_equal(s->in, s->out);
        if (same != (out.p == in.p && out.len == in.len))
            fail_msg("row %zu: %s: nothing changed must be the same span", i, s->transform);
        if (!same && (traits_of(s->in) & row->triggers) == 0)
            fail_msg("row %zu: %s changes a value without a trigger", i, s->transform);
        free(copy);
        free(room);
    }
}

static bool is_one_of(const char *transform, const char *const *names)
{
    while (*names != NULL && strcmp(transform, *names) != 0)
        names++;
    return *names != NULL;
}

/* A sample among others. */
static void check_between(const struct sample *s, size_t before, size_t behind)
{
    enum { ROOM = 1024 };
    const struct transform *row = seclang_transform_find(span_text(s->transform));
    char in[ROOM], room[ROOM];
    memset(in, 'a', before);
    memcpy(in + before, s->in.p, s->in.len);
    memset(in + before + s->in.len, 'z', behind);
    struct span out = row->apply(span_of(in, before + s->in.len + behind), room);
    assert_int_equal(out.p == in, span_equal(s->in, s->out));
    assert_int_equal(out.len, before + s->out.len + behind);
    assert_memory_equal(out.p, in, before);
    assert_memory_equal(out.p + before, s->out.p, s->out.len);
    assert_memory_equal(out.p + before + s->out.len, in + before + s->in.len, behind);
}

/* The same samples at any place of the 16 bytes that are looked at together. */
static void test_places(void **state)
{
    /* What stands before does not matter to these; nor does what is behind, if it is a z. */
    static const char *const names[] = {
        "lowercase",          "urlDecode",        "urlDecodeUni",    "utf8toUnicode",
        "htmlEntityDecode",   "jsDecode",         "cssDecode",       "cmdLine",
        "compressWhitespace", "removeWhitespace", "escapeSeqDecode", NULL,
    };
    static const char *const alone[] = { "lowercase", "urlDecode", "urlDecodeUni", NULL };
    enum { BEFORE_MAX = 33, BEHIND_MAX = 20 };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const struct sample *s = &samples[i];
        for (size_t before = 1; before <= BEFORE_MAX; before++) {
            if (is_one_of(s->transform, names))
                check_between(s, before, 0);
            if (is_one_of(s->transform, alone))
                check_between(s, before, BEHIND_MAX);
        }
    }
}

/* ---- urlDecodeUni, byte by byte ----
 */

static int digits_at(struct span text, size_t at, unsigned count)
{
    int value = 0;
    if (text.len < at || text.len - at < count)
        return -1;
    for (size_t i = at; i < at + count; i++) {
        int digit = hex_value(text.p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static size_t decode_slowly(char *out, struct span in)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; n++) {
        bool percent = in.p[i] == '%';
        bool wide = percent && i + 1 < in.len && ascii_lower(in.p[i + 1]) == 'u';
        int value = !percent ? -1 : wide ? digits_at(in, i + 2, 4) : digits_at(in, i + 1, 2);
        bool full_width = value > 0xff00 && value < 0xff5f;
        out[n] = in.p[i] == '+' ? ' ' : in.p[i];
        if (value >= 0)
            out[n] = (char)(full_width ? value + 0x20 : value);
        i += value < 0 ? 1 : wide ? 6 : 3;
    }
    return n;
}

static void check_decoder(const struct transform *row, const char *text, size_t len)
{
    char expected[128], *copy = malloc(len + 1), *room = malloc(len + 1);
    assert_non_null(copy);
    assert_non_null(room);
    memcpy(copy + 1, text, len);
    size_t n = decode_slowly(expected, span_of(text, len));
    struct span out = row->apply(span_of(copy + 1, len), room + 1);
    assert_int_equal(out.len, n);
    assert_memory_equal(out.p, expected, n);
    free(copy);
    free(room);
}

/* Escapes of both kinds, whole ones and others, at every place of texts of all lengths. */
static void test_wide_escapes(void **state)
{
    static const char *const some[] = { "%u0027", "%uFF1c", "%U2622", "%41", "%c3", "%",
                                        "%u",     "%u00",   "u",      "4",   "F",   "+" };
    enum { LONGEST = 80, RANGE = 20, TIMES = 300 };
    const struct transform *row = seclang_transform_find(SPAN("urlDecodeUni"));
    uint64_t dice = 7;
    (void)state;
    for (size_t i = 0; i < (size_t)TIMES * (LONGEST + 1); i++) {
        char text[LONGEST + 8];
        size_t len = i % (LONGEST + 1);
        for (size_t k = 0; k < len;) {
            dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
            unsigned choice = (unsigned)(dice >> 40) % RANGE;
            const char *piece = choice < ARRAY_LEN(some) ? some[choice] : i % 3 ? "z" : "%61";
            memcpy(text + k, piece, strlen(piece));
            k += strlen(piece);
        }
        check_decoder(row, text, len);
    }
}

/* Every value of 0, 1 and 2 bytes: the output fits, and no trigger means no change. */
static void check_all(const struct transform *row, struct span in)
{
    char room[64], again[64];
    size_t size = transform_room(row, in.len);
    memset(room, 0x5a, sizeof(room));
    struct span out = row->apply(in, room);
    bool inside = out.p == NULL || (out.p >= in.p && span_end(out) <= span_end(in));
    assert_true(inside || (out.p == room && out.len <= size));
    for (size_t i = size; i < sizeof(room); i++)
        assert_int_equal(room[i], 0x5a);
    if ((traits_of(in) & row->triggers) == 0)
        assert_true(out.p == in.p && out.len == in.len);
    if (row->idempotent)
        assert_true(span_equal(row->apply(out, again), out));
}

static void test_short_values(void **state)
{
    (void)state;
    for (const struct transform *row = seclang_transforms; row->name != NULL; row++) {
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

static void test_names(void **state)
{
    (void)state;
    assert_null(seclang_transform_find(SPAN("")));
    assert_null(seclang_transform_find(SPAN("url_decode")));
    assert_string_equal(seclang_transform_find(SPAN("URLDECODEUNI"))->name, "urlDecodeUni");
    assert_null(seclang_transform_find(SPAN("none"))->apply);
    for (const struct transform *row = seclang_transforms; row->name != NULL; row++)
        assert_ptr_equal(seclang_transform_find(span_text(row->name)), row);
}

static void test_room(void **state)
{
    (void)state;
    const struct transform *hex = seclang_transform_find(SPAN("hexEncode"));
    assert_int_equal(transform_room(hex, 5), 10);
    assert_int_equal(transform_room(hex, SIZE_MAX), SIZE_MAX);
    assert_int_equal(transform_room(seclang_transform_find(SPAN("sha1")), 3), 20);
    assert_int_equal(transform_room(seclang_transform_find(SPAN("sha1")), 30), 30);
    assert_int_equal(transform_room(seclang_transform_find(SPAN("trim")), 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),      cmocka_unit_test(test_places),
        cmocka_unit_test(test_short_values), cmocka_unit_test(test_names),
        cmocka_unit_test(test_room),         cmocka_unit_test(test_wide_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
