/* Operators: what each matches, where, what it captures, and what it refuses to compile. */
#include "rules/operator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "rules/regex.h"

static char memory[4 * 1024 * 1024];
static struct regex_local regex;

struct run {
    bool compiled, matched;
    struct operator_match match;
    char why[256];
};

static struct run run(const char *name, struct span argument, struct span value)
{
    static struct arena arena;
    arena_init(&arena, memory, sizeof(memory), NULL, 0);
    struct run r = { .compiled = true };
    struct text why = text_fixed(r.why, sizeof(r.why));
    const struct operator_row *row = operator_find(span_text(name));
    assert_non_null(row);
    assert_int_equal(row->kind, OPERATOR_EVAL);

    /* In memory of exactly its length, so that a step past its end is seen. */
    char *copy = malloc(value.len + 1);
    assert_non_null(copy);
    if (value.len > 0)
        memcpy(copy + 1, value.p, value.len);
    struct operator_call call = { .value = span_of(copy + 1, value.len),
                                  .argument = argument,
                                  .regex = &regex };
    struct operator_source source = {
        .argument = argument, .folder = SPAN("/tmp"), .arena = &arena, .why = &why
    };
    if (row->compile != NULL)
        r.compiled = row->compile(&source, &call.prepared);
    if (r.compiled)
        r.matched = row->eval(&call, &r.match);
    else
        assert_true(why.len > 0);
    if (r.matched)
        assert_true(r.match.offset + r.match.len <= value.len);
    if (row->release != NULL && r.compiled)
        row->release(call.prepared);
    (void)text_cstring(&why);
    free(copy);
    return r;
}

enum { NO = -1 };

static const struct {
    const char *name;
    struct span argument, value;
    int offset; /* NO: does not match */
    int len;
} rows[] = {
    { "contains", SPAN_INIT("bc"), SPAN_INIT("abcbc"), 1, 2 },
    { "contains", SPAN_INIT("BC"), SPAN_INIT("abc"), NO, 0 },
    { "contains", SPAN_INIT(""), SPAN_INIT(""), 0, 0 },
    { "containsWord", SPAN_INIT("or"), SPAN_INIT("for 1 or 2"), 6, 2 },
    { "containsWord", SPAN_INIT("or"), SPAN_INIT("or"), 0, 2 },
    { "containsWord", SPAN_INIT("or"), SPAN_INIT("_or or_ for"), NO, 0 },
    { "containsWord", SPAN_INIT("aa"), SPAN_INIT("aaa"), NO, 0 },
    { "containsWord", SPAN_INIT("\xc3"), SPAN_INIT("\xc3\xa4"), 0, 1 },
    { "containsWord", SPAN_INIT("-"), SPAN_INIT("a-"), NO, 0 },
    { "beginsWith", SPAN_INIT("ab"), SPAN_INIT("abc"), 0, 2 },
    { "beginsWith", SPAN_INIT("abcd"), SPAN_INIT("abc"), NO, 0 },
    { "endsWith", SPAN_INIT("bc"), SPAN_INIT("abc"), 1, 2 },
    { "endsWith", SPAN_INIT("ab"), SPAN_INIT("abc"), NO, 0 },
    { "streq", SPAN_INIT("abc"), SPAN_INIT("abc"), 0, 3 },
    { "streq", SPAN_INIT("abc"), SPAN_INIT("abC"), NO, 0 },
    { "streq", SPAN_INIT("abc"), SPAN_INIT("abc\0"), NO, 0 },
    { "within", SPAN_INIT("GET POST"), SPAN_INIT("POST"), 0, 4 },
    { "within", SPAN_INIT("GET POST"), SPAN_INIT("T P"), 0, 3 },
    { "within", SPAN_INIT("GET POST"), SPAN_INIT("PUT"), NO, 0 },
    { "within", SPAN_INIT("GET"), SPAN_INIT(""), 0, 0 },
    { "strmatch", SPAN_INIT("a|42 43|d"), SPAN_INIT("xaBCd"), 1, 4 },
    { "strmatch", SPAN_INIT("\"b c\""), SPAN_INIT("ab cd"), 1, 3 },
    { "strmatch", SPAN_INIT("a|4g|"), SPAN_INIT("a|4g|"), 0, 5 },
    { "strmatch", SPAN_INIT("\\d"), SPAN_INIT("\\d"), 0, 2 },
    { "strmatch", SPAN_INIT("\\:\\;"), SPAN_INIT(":;"), 0, 2 },
    { "strmatch", SPAN_INIT("ABC"), SPAN_INIT("abc"), NO, 0 },
    { "eq", SPAN_INIT("5"), SPAN_INIT(" +5x"), 0, 4 },
    { "eq", SPAN_INIT("0"), SPAN_INIT("x"), 0, 1 },
    { "eq", SPAN_INIT("0"), SPAN_INIT(""), 0, 0 },
    { "eq", SPAN_INIT("-3"), SPAN_INIT("-3"), 0, 2 },
    { "eq", SPAN_INIT("3"), SPAN_INIT("- 3"), NO, 0 },
    { "gt", SPAN_INIT("1000000"), SPAN_INIT("99999999999999999999"), 0, 20 },
    { "lt", SPAN_INIT("-1000000"), SPAN_INIT("-99999999999999999999"), 0, 21 },
    { "gt", SPAN_INIT("9223372036854775806"), SPAN_INIT("9223372036854775807"), 0, 19 },
    { "lt", SPAN_INIT("-9223372036854775807"), SPAN_INIT("-9223372036854775808"), 0, 20 },
    { "gt", SPAN_INIT("5"), SPAN_INIT("5"), NO, 0 },
    { "ge", SPAN_INIT("5"), SPAN_INIT("5"), 0, 1 },
    { "le", SPAN_INIT("5"), SPAN_INIT("5"), 0, 1 },
    { "le", SPAN_INIT("5"), SPAN_INIT("6"), NO, 0 },
    { "ge", SPAN_INIT("5"), SPAN_INIT("4"), NO, 0 },
    { "ipMatch", SPAN_INIT("192.0.2.0/24"), SPAN_INIT("192.0.2.77"), 0, 10 },
    { "ipMatch", SPAN_INIT("192.0.2.9/24"), SPAN_INIT("192.0.2.77"), 0, 10 },
    { "ipMatch", SPAN_INIT(" 192.0.2.1 ,\t2001:db8::/32"), SPAN_INIT("2001:db8::5"), 0, 11 },
    { "ipMatch", SPAN_INIT("192.0.2.1"), SPAN_INIT("::ffff:192.0.2.1"), 0, 16 },
    { "ipMatch", SPAN_INIT("::/80"), SPAN_INIT("::ffff:192.0.2.1"), 0, 16 },
    { "ipMatch", SPAN_INIT("::/80"), SPAN_INIT("192.0.2.1"), NO, 0 },
    { "ipMatch", SPAN_INIT("192.0.2.1"), SPAN_INIT("192.0.2.2"), NO, 0 },
    { "ipMatch", SPAN_INIT("0.0.0.0/0"), SPAN_INIT("::1"), NO, 0 },
    { "ipMatch", SPAN_INIT("0.0.0.0/0"), SPAN_INIT("1.2.3.4.5"), NO, 0 },
    { "ipMatch", SPAN_INIT("0.0.0.0/0"), SPAN_INIT("localhost"), NO, 0 },
    { "validateByteRange", SPAN_INIT("32-126, 9"), SPAN_INIT("a\tb\x7f"), 3, 1 },
    { "validateByteRange", SPAN_INIT("1-255"), SPAN_INIT("a\0"), 1, 1 },
    { "validateByteRange", SPAN_INIT("0-255"), SPAN_INIT("\0\xff"), NO, 0 },
    { "validateByteRange", SPAN_INIT("65,,66,"), SPAN_INIT("ABBA"), NO, 0 },
    { "validateByteRange", SPAN_INIT("65"), SPAN_INIT("B"), 0, 1 },
    { "validateUrlEncoding", SPAN_INIT(""), SPAN_INIT("a%20b%2"), 5, 2 },
    { "validateUrlEncoding", SPAN_INIT(""), SPAN_INIT("a%2g"), 1, 3 },
    { "validateUrlEncoding", SPAN_INIT(""), SPAN_INIT("%"), 0, 1 },
    { "validateUrlEncoding", SPAN_INIT(""), SPAN_INIT("%41%fF"), NO, 0 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("ascii \xc3\xa4 \xe2\x82\xac"), NO, 0 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"), NO,
      0 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xf4\x90\x80\x80"), 0, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("12345678\xc0\xaf"), 8, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xe0\x9f\xbf"), 0, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xed\xa0\x80"), 0, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xed\x9f\xbf"), NO, 0 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("a\xe2\x82"), 1, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\x80"), 0, 1 },
    { "validateUtf8Encoding", SPAN_INIT(""), SPAN_INIT("\xff"), 0, 1 },
    { "verifyCC", SPAN_INIT("\\b\\d{16}"), SPAN_INIT("no 4111111111111112 4111111111111111"),
      20, 16 },
    { "verifyCC", SPAN_INIT("\\d{16}"), SPAN_INIT("4111111111111112"), NO, 0 },
    { "verifyCC", SPAN_INIT("\\d*"), SPAN_INIT("x"), NO, 0 },
    { "verifyCC", SPAN_INIT("^[\\d ]+$"), SPAN_INIT("x\n4111 1111 1111 1111\ny"), 2, 19 },
    { "verifyCPF", SPAN_INIT("[\\d.-]{11,14}"), SPAN_INIT("529.982.247-25"), 0, 14 },
    { "verifyCPF", SPAN_INIT("[\\d.-]{11,14}"), SPAN_INIT("529.982.247-26"), NO, 0 },
    { "verifyCPF", SPAN_INIT("\\d{11}"), SPAN_INIT("11111111111"), NO, 0 },
    { "verifySSN", SPAN_INIT("\\d{3}-\\d\\d-\\d{4}"), SPAN_INIT("at 123-45-6780"), 3, 11 },
    { "verifySSN", SPAN_INIT("\\d{3}-\\d\\d-\\d{4}"), SPAN_INIT("666-45-6780"), NO, 0 },
    { "verifySSN", SPAN_INIT("\\d{3}-\\d\\d-\\d{4}"), SPAN_INIT("123-00-6780"), NO, 0 },
    { "verifySSN", SPAN_INIT("\\d{3}-\\d\\d-\\d{4}"), SPAN_INIT("740-45-6780"), NO, 0 },
    { "verifySVNR", SPAN_INIT("\\d{4} ?\\d{6}"), SPAN_INIT("1237 010180"), 0, 11 },
    { "verifySVNR", SPAN_INIT("\\d{4} ?\\d{6}"), SPAN_INIT("1236 010180"), NO, 0 },
    { "noMatch", SPAN_INIT(""), SPAN_INIT("x"), NO, 0 },
    { "unconditionalMatch", SPAN_INIT(""), SPAN_INIT("xy"), 0, 2 },
    { "detectXSS", SPAN_INIT(""), SPAN_INIT("<script>alert(1)</script>"), 0, 25 },
    { "detectXSS", SPAN_INIT(""), SPAN_INIT("a < b"), NO, 0 },
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r = run(rows[i].name, rows[i].argument, rows[i].value);
        if (!r.compiled)
            fail_msg("row %zu: %s: %s", i, rows[i].name, r.why);
        if (r.matched != (rows[i].offset != NO))
            fail_msg("row %zu: %s \"%s\" on \"%s\"", i, rows[i].name, rows[i].argument.p,
                     rows[i].value.p);
        if (r.matched &&
            ((size_t)rows[i].offset != r.match.offset || (size_t)rows[i].len != r.match.len))
            fail_msg("row %zu: %s: at %zu, %zu bytes", i, rows[i].name, r.match.offset,
                     r.match.len);
    }
}

/* A NULL pointer is an empty value. */
static void test_no_value(void **state)
{
    (void)state;
    for (const struct operator_row *row = operators; row->name != NULL; row++) {
        if (row->kind != OPERATOR_EVAL || row->compile != NULL)
            continue;
        struct operator_call call = { .regex = &regex };
        struct operator_match match;
        if (row->eval(&call, &match))
            assert_int_equal(match.len, 0);
    }
}

static const struct {
    const char *name, *argument, *why;
} refusals[] = {
    { "ipMatch", "", "there is no address" },
    { "ipMatch", "192.0.2.1/33", "\"192.0.2.1/33\" is no address and no prefix" },
    { "ipMatch", "192.0.2.1,x", "\"x\" is no address and no prefix" },
    { "ipMatch", "10.0.0.0/255.0.0.0", "\"10.0.0.0/255.0.0.0\" is no address and no prefix" },
    { "validateByteRange", "1-256", "\"1-256\" is no byte (0 to 255) and no range of bytes" },
    { "validateByteRange", "9-8", "\"9-8\" is no byte (0 to 255) and no range of bytes" },
    { "validateByteRange", "x", "\"x\" is no byte (0 to 255) and no range of bytes" },
    { "validateByteRange", "-5", "\"-5\" is no byte (0 to 255) and no range of bytes" },
    { "pmFromFile", "/nowhere/words", "\"/nowhere/words\": No such file or directory" },
    { "pmFromFile", "HTTPS://example.org/words",
      "\"HTTPS://example.org/words\": rules do not fetch files; name a local one" },
    { "ipMatchFromFile", "/tmp", "\"/tmp\": it is not a regular file" },
    { "verifyCC", "(", "missing closing parenthesis at offset 5 of the pattern" },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct run r = run(refusals[i].name, span_text(refusals[i].argument), SPAN("x"));
        assert_false(r.compiled);
        assert_string_equal(r.why, refusals[i].why);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_null(operator_find(SPAN("")));
    assert_null(operator_find(SPAN("rxx")));
    assert_int_equal(operator_find(SPAN("RX"))->kind, OPERATOR_REGEX);
    assert_int_equal(operator_find(SPAN("geolookup"))->kind, OPERATOR_GEO);
    static const char *const refused[] = { "rbl",         "fuzzyHash",      "inspectFile",
                                           "validateDTD", "validateSchema", "gsbLookup",
                                           "rsub",        "validateHash" };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        const struct operator_row *row = operator_find(span_text(refused[i]));
        assert_int_equal(row->kind, OPERATOR_REFUSED);
        assert_non_null(row->refusal);
    }
    for (const struct operator_row *row = operators; row->name != NULL; row++) {
        assert_ptr_equal(operator_find(span_text(row->name)), row);
        assert_int_equal(row->eval != NULL, row->kind == OPERATOR_EVAL);
    }
}

static void test_captures(void **state)
{
    (void)state;
    struct run r = run("pm", SPAN("SELECT union Sel"), SPAN("a Union sElect"));
    assert_true(r.matched);
    assert_int_equal(r.match.offset, 2);
    assert_true(span_equal(r.match.captured, SPAN("union")));
    r = run("pm", SPAN("elect select"), SPAN("SELECT"));
    assert_true(span_equal(r.match.captured, SPAN("select")));
    r = run("verifyCC", SPAN("\\d{16}"), SPAN("x4111111111111111"));
    assert_int_equal(r.match.captured.len, 16);
    r = run("contains", SPAN("x"), SPAN("x"));
    assert_null(r.match.captured.p);

    const struct operator_row *sqli = operator_find(SPAN("detectSQLi"));
    struct operator_call call = { .value = SPAN("1' or '1'='1") };
    struct operator_match match;
    assert_true(sqli->eval(&call, &match));
    assert_true(span_equal(match.captured, SPAN("s&sos")));
}

/* ---- files ----------------------------------------------------------------------------------
 */

static char path[] = "/tmp/operator_test.XXXXXX";

static void write_file(struct span text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
}

/* Escapes, whole or broken at one place, wherever they stand. */
static void test_escapes(void **state)
{
    (void)state;
    static const char *const broken[] = { "%", "%4", "%g0", "%0G", "%%4", "% 0" };
    const struct operator_row *row = operator_find(SPAN("validateUrlEncoding"));
    for (size_t at = 0; at < 64; at++) {
        for (size_t i = 0; i < 2 * ARRAY_LEN(broken); i++) {
            char value[128];
            struct text text = text_fixed(value, sizeof(value));
            for (size_t j = 0; j < at; j++)
                text_char(&text, "%aF%09%Af"[j % 9]);
            while (text.len % 3 != 0) /* so that the last one is whole */
                text_char(&text, '1');
            size_t from = text.len;
            text_add(&text, span_text(broken[i / 2]));
            text_add(&text, span_text(i % 2 == 0 ? "" : "zz%41zzzzzzzzzzzz%4"));
            struct operator_call call = { .value = text_span(&text) };
            struct operator_match match;
            assert_true(row->eval(&call, &match));
            assert_int_equal(match.offset, from);
            assert_int_equal(match.len, text.len - from < 3 ? text.len - from : 3);
            call.value.len = from;
            assert_false(row->eval(&call, &match));
        }
    }
}

static void test_word_files(void **state)
{
    (void)state;
    write_file(
        SPAN("# no word\n\n  /etc/passwd \r\nX\nback\\\\slash\n\\0|41|\ntwo words\nlast"));
    struct span full = span_text(path);
    struct span relative = span_sub(full, 5, full.len); /* of /tmp/ */
    static const struct {
        struct span value;
        const char *word;
    } cases[] = {
        { SPAN_INIT("# no word"), NULL },
        { SPAN_INIT("cat /ETC/passwd"), "/etc/passwd" },
        { SPAN_INIT("x"), "X" },
        { SPAN_INIT("back\\slash"), "back\\slash" },
        { SPAN_INIT("\\0|41|"), "\\0|41|" },
        { SPAN_INIT("two  words"), NULL },
        { SPAN_INIT("two words"), "two words" },
        { SPAN_INIT("at last"), "last" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r = run("pmf", i % 2 == 0 ? full : relative, cases[i].value);
        if (r.matched != (cases[i].word != NULL))
            fail_msg("case %zu: %s", i, r.why);
        if (r.matched)
            assert_true(span_equal(r.match.captured, span_text(cases[i].word)));
    }
}

static void test_address_files(void **state)
{
    (void)state;
    write_file(SPAN("# office\n192.0.2.0/24\n\n2001:db8::/32\n"));
    assert_true(run("ipMatchFromFile", span_text(path), SPAN("192.0.2.9")).matched);
    assert_true(run("ipMatchF", span_text(path), SPAN("2001:db8::9")).matched);
    assert_false(run("ipMatchF", span_text(path), SPAN("192.0.3.1")).matched);
    write_file(SPAN("192.0.2.0/24\nhere\n"));
    struct run r = run("ipMatchF", span_text(path), SPAN("192.0.2.9"));
    assert_false(r.compiled);
    assert_non_null(strstr(r.why, "line 2: no address and no prefix"));
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return regex_attach(&regex) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    regex_detach(&regex);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_no_value),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_names),
        cmocka_unit_test(test_captures), cmocka_unit_test(test_word_files),
        cmocka_unit_test(test_escapes),  cmocka_unit_test(test_address_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
