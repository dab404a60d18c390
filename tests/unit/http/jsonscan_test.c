/* JSON bodies: names in both manners, values unescaped, every finding, limits, and slices. */
#include "gateway/http/jsonscan.h"

#include "tests/unit/http/http.h"

static const struct jsonscan_limits roomy = {
    .depth = 16, .values = 64, .name_bytes = 256, .seed = { 1, 2 }
};
static struct jsonscan scan;
static char told[4096];
static struct text out;

static bool tell(void *ctx, struct span name, struct span value, enum jsonscan_kind kind)
{
    static const char marks[] = "sntf0h";
    struct text *text = ctx;
    text_add(text, name);
    text_char(text, ':');
    text_char(text, marks[kind]);
    text_char(text, '=');
    text_add(text, value);
    text_char(text, '\n');
    return !text->overflow;
}

/* Whole, byte by byte and by threes are one. */
static void scan_with(struct span json, const struct jsonscan_limits *limits)
{
    static char other[sizeof(told)];
    struct arena *arena = fresh_arena();
    json = exact(json);
    out = text_fixed(told, sizeof(told));
    jsonscan_begin(&scan, json, limits, arena, tell, &out);
    assert_true(jsonscan_run(&scan, SIZE_MAX));
    assert_int_equal(scan.err, OK);
    for (size_t slice = 1; slice < 8; slice += 3) {
        struct text slow_out = text_fixed(other, sizeof(other));
        struct jsonscan slow;
        jsonscan_begin(&slow, json, limits, arena, tell, &slow_out);
        while (!jsonscan_run(&slow, slice))
            ;
        assert_int_equal(slow.findings, scan.findings);
        assert_span(text_span(&slow_out), text_span(&out));
    }
}

#define SCAN(json) scan_with(SPAN(json), &roomy)
#define assert_told(literal) assert_text(text_span(&out), literal)

static void assert_names(const char *json, const char *v2, const char *v3)
{
    struct jsonscan_limits limits = roomy;
    scan_with(span_text(json), &limits);
    assert_int_equal(scan.findings, 0);
    assert_span(text_span(&out), span_text(v2));
    limits.names = JSONSCAN_NAMES_V3;
    scan_with(span_text(json), &limits);
    assert_span(text_span(&out), span_text(v3));
}

static void test_names(void **state)
{
    (void)state;
    assert_names("{\"a\":1}", "a:n=1\n", "json.a:n=1\n");
    assert_names("{\"a\":{\"b\":\"x\"},\"c\":true}", "a.b:s=x\nc:t=true\n",
                 "json.a.b:s=x\njson.c:t=true\n");
    assert_names("{\"i\":[\"x\",\"y\"]}", "i.i:s=x\ni.i:s=y\n",
                 "json.i.array_0:s=x\njson.i.array_1:s=y\n");
    assert_names("{\"a\":{\"i\":[1]}}", "a.i.i:n=1\n", "json.a.i.array_0:n=1\n");
    assert_names("{\"l\":[{\"x\":1},{\"x\":2},3]}", "l.l.x:n=1\nl.l.x:n=2\nl.l:n=3\n",
                 "json.l.array_0.x:n=1\njson.l.array_1.x:n=2\njson.l.array_2:n=3\n");
    assert_names("[1,2]", "array.array:n=1\narray.array:n=2\n",
                 "json.array_0:n=1\njson.array_1:n=2\n");
    assert_names("[{\"x\":1}]", "array.array.x:n=1\n", "json.array_0.x:n=1\n");
    assert_names("[[1],2]", "array.array.array:n=1\narray.array:n=2\n",
                 "json.array_0.array_0:n=1\njson.array_1:n=2\n");
    assert_names("{\"a\":[[{\"b\":[0]}],2]}", "a.a.a.b.b:n=0\na.a:n=2\n",
                 "json.a.array_0.array_0.b.array_0:n=0\njson.a.array_1:n=2\n");
    /* A dot in a key is no level: the one behind is named as it should be. */
    assert_names("{\"a.b\":{\"c\":1},\"d\":2}", "a.b.c:n=1\nd:n=2\n",
                 "json.a.b.c:n=1\njson.d:n=2\n");
    assert_names("{\"\":1,\"x\":{\"\":{\"y\":2}}}", ":n=1\nx..y:n=2\n",
                 "json.empty-key:n=1\njson.x.empty-key.y:n=2\n");
    assert_names("\"alone\"", ":s=alone\n", "json:s=alone\n");
}

static void test_values(void **state)
{
    (void)state;
    SCAN(" [ null , true,false,-0.5e+7, \"\" ,0 ]\r\n\t");
    assert_int_equal(scan.findings, 0);
    assert_told("array.array:0=\narray.array:t=true\narray.array:f=false\n"
                "array.array:n=-0.5e+7\narray.array:s=\narray.array:n=0\n");
    assert_int_equal(scan.count, 6);
    SCAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0027\\u00e9\\u20AC\\ud83d\\ude00 tail\"");
    assert_int_equal(scan.findings, 0);
    assert_told(":s=\"\\/\b\f\n\r\t'\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 tail\n");
    SCAN("{\"a long one without an escape, longer than a step\":"
         "\"and its value, with \xc3\xa9 somewhere in the midst of it\"}");
    assert_told("a long one without an escape, longer than a step:s="
                "and its value, with \xc3\xa9 somewhere in the midst of it\n");
    SCAN("{\"\\u0061b\":{\"c\\n\":\"x\"}}");
    assert_told("ab.c\n:s=x\n");
}

static void test_hollow(void **state)
{
    (void)state;
    SCAN("{\"a\":{},\"b\":[],\"c\":{\"d\":{}},\"e\":[[],{}],\"f\":[{\"g\":[]}]}");
    assert_int_equal(scan.findings, 0);
    assert_told("a:h=\nb:h=\nc.d:h=\ne:h=\nf.f.g:h=\n");
    SCAN("{}");
    assert_told("");
    SCAN("[[],{}]");
    assert_told("");
    assert_int_equal(scan.findings, 0);
}

struct bad_case {
    struct span json;
    unsigned findings;
    const char *told;
};

static void test_findings(void **state)
{
    static const struct bad_case cases[] = {
        { SPAN_INIT(""), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "" },
        { SPAN_INIT("  "), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "" },
        { SPAN_INIT("{\"a\":1"), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "a:n=1\n" },
        { SPAN_INIT("[\"a"), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "" },
        { SPAN_INIT("[\"a\\"), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "" },
        { SPAN_INIT("[tru"), JSONSCAN_INVALID | JSONSCAN_TRUNCATED, "" },
        { SPAN_INIT("{\"a\":1}x"), JSONSCAN_INVALID | JSONSCAN_TRAILING, "a:n=1\n" },
        { SPAN_INIT("{\"a\":1}\n{\"a\":2}"), JSONSCAN_INVALID | JSONSCAN_TRAILING, "a:n=1\n" },
        { SPAN_INIT("[1,]"), JSONSCAN_INVALID, "array.array:n=1\n" },
        { SPAN_INIT("[1 2]"), JSONSCAN_INVALID, "array.array:n=1\n" },
        { SPAN_INIT("{\"a\":1,}"), JSONSCAN_INVALID, "a:n=1\n" },
        { SPAN_INIT("{\"a\" 1}"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("{a:1}"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("{'a':1}"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("[1}"), JSONSCAN_INVALID, "array.array:n=1\n" },
        { SPAN_INIT("{]"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("]"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("[/* */1]"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("NaN"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("[truex]"), JSONSCAN_INVALID, "array.array:t=true\n" },
        { SPAN_INIT("01"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("+1"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("1."), JSONSCAN_INVALID, "" },
        { SPAN_INIT(".1"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("1e"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("-"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\"\t\""), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\"\\x41\""), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\"\\u12g4\""), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\"\\u12\""), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\"\\\xc3\xa9\""), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\"\xc0\xa7\""), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\"\xe0\x80\xaf\""), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\"\xed\xa0\x80\""), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\"\xf4\x90\x80\x80\""), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\"\xe2\x82"), JSONSCAN_INVALID | JSONSCAN_UTF8, "" },
        { SPAN_INIT("\xff\xfe[\0"), JSONSCAN_INVALID, "" },
        { SPAN_INIT("\xef\xbb\xbf[1]"), JSONSCAN_BOM, "array.array:n=1\n" },
        { SPAN_INIT("\"\\ud83dx\""), JSONSCAN_SURROGATE, ":s=\xef\xbf\xbdx\n" },
        { SPAN_INIT("\"\\ud83d\\u0041\""), JSONSCAN_SURROGATE,
          ":s=\xef\xbf\xbd"
          "A\n" },
        { SPAN_INIT("\"\\ude00\""), JSONSCAN_SURROGATE, ":s=\xef\xbf\xbd\n" },
        { SPAN_INIT("{\"a\":1,\"b\":2,\"a\":3}"), JSONSCAN_DUPLICATE, "a:n=1\nb:n=2\na:n=3\n" },
        { SPAN_INIT("{\"a\":1,\"\\u0061\":3}"), JSONSCAN_DUPLICATE, "a:n=1\na:n=3\n" },
        { SPAN_INIT("{\"a\":{\"a\":1},\"b\":{\"a\":2}}"), 0, "a.a:n=1\nb.a:n=2\n" },
        { SPAN_INIT("[{\"a\":1},{\"a\":2}]"), 0, "array.array.a:n=1\narray.array.a:n=2\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        scan_with(cases[i].json, &roomy);
        if (scan.findings != cases[i].findings ||
            !span_equal(text_span(&out), span_text(cases[i].told)))
            fail_msg("%.*s: %x %.*s", (int)cases[i].json.len, cases[i].json.p, scan.findings,
                     (int)out.len, out.p);
        assert_true(jsonscan_failed(&scan) == (jsonscan_error(&scan) != NULL));
    }
    SCAN("\"a\\u0000b\"");
    assert_int_equal(scan.findings, JSONSCAN_NUL);
    assert_text(text_span(&out), ":s=a\0b\n");
}

static void test_limits(void **state)
{
    struct jsonscan_limits limits = { .depth = 2, .values = 3, .name_bytes = 9 };

    (void)state;
    scan_with(SPAN("{\"a\":[1]}"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("{\"a\":[[1]]}"), &limits);
    assert_int_equal(scan.findings, JSONSCAN_OVER_DEPTH);
    assert_string_equal(jsonscan_error(&scan), "JSON depth limit exceeded");
    scan_with(SPAN("{\"a\":1,\"b\":2,\"c\":{}}"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("{\"a\":1,\"b\":2,\"c\":3,\"d\":4}"), &limits);
    assert_int_equal(scan.findings, JSONSCAN_OVER_COUNT);
    assert_told("a:n=1\nb:n=2\nc:n=3\n");
    scan_with(SPAN("{\"abc\":{\"defgh\":1}}"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("{\"abc\":{\"defghi\":1}}"), &limits);
    assert_int_equal(scan.findings, JSONSCAN_OVER_NAME);
    scan_with(SPAN("{\"abcde\":[1]}"), &limits);
    assert_int_equal(scan.findings, JSONSCAN_OVER_NAME);
    /* The callback's buffer is full: it stops the scan. */
    char json[8192];
    memset(json, 'x', sizeof(json));
    json[0] = json[sizeof(json) - 1] = '"';
    scan_with(span_of(json, sizeof(json)), &roomy);
    assert_int_equal(scan.findings, JSONSCAN_STOPPED);
}

static void test_numbers(void **state)
{
    char digits[JSONSCAN_NUMBER_MAX + 1];

    (void)state;
    memset(digits, '7', sizeof(digits));
    scan_with(span_of(digits, JSONSCAN_NUMBER_MAX), &roomy);
    assert_int_equal(scan.findings, 0);
    scan_with(span_of(digits, sizeof(digits)), &roomy);
    assert_int_equal(scan.findings, JSONSCAN_OVER_NUMBER);
}

/* Many keys of one object: each new one is new, and each old one is found. */
static void test_many_keys(void **state)
{
    enum { KEYS = 5000, BYTES = KEYS * 16 };
    struct jsonscan_limits limits = { .depth = 2, .values = 2 * KEYS, .name_bytes = 32 };
    char *json = malloc(BYTES);

    (void)state;
    assert_non_null(json);
    struct text text = text_fixed(json, BYTES);
    text_char(&text, '{');
    for (unsigned i = 0; i < KEYS; i++)
        text_format(&text, "\"k%u\":{},", i);
    size_t len = text.len;
    text_lit(&text, "\"last\":{}}");
    out = text_fixed(NULL, 0);
    struct arena *arena = fresh_arena();
    jsonscan_begin(&scan, text_span(&text), &limits, arena, tell, &out);
    assert_true(jsonscan_run(&scan, SIZE_MAX));
    assert_int_equal(scan.findings, JSONSCAN_STOPPED); /* no room to tell */
    for (unsigned i = 0; i < 2; i++) {
        static char room[BYTES * 2];
        out = text_fixed(room, sizeof(room));
        jsonscan_begin(&scan, text_span(&text), &limits, arena, tell, &out);
        assert_true(jsonscan_run(&scan, SIZE_MAX));
        assert_int_equal(scan.findings, i == 0 ? 0 : JSONSCAN_DUPLICATE);
        text.len = len;
        text_lit(&text, "\"k77\":{}}");
    }
    free(json);
}

static void test_memory(void **state)
{
    static const char *const texts[] = { "{\"a\":1}", "\"\\n\"", "[1]", "[]" };
    struct arena none;

    (void)state;
    arena_init(&none, NULL, 0, NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        jsonscan_begin(&scan, span_text(texts[i]), &roomy, &none, tell, &out);
        assert_true(jsonscan_run(&scan, SIZE_MAX));
        assert_int_equal(scan.err, ERR_MEMORY);
    }
    arena_reset(&none);
}

int main(void)
{
    return finish(RUN(TEST(test_names), TEST(test_values), TEST(test_hollow),
                      TEST(test_findings), TEST(test_limits), TEST(test_numbers),
                      TEST(test_many_keys), TEST(test_memory)));
}
