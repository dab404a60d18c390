/* JSON: structure, and what the escape does to each kind of byte. */
#include "tests/unit/check.h"

#include "gateway/base/json.h"

static void structure(void **state)
{
    (void)state;
    char buffer[256];
    struct text t = text_fixed(buffer, sizeof(buffer));
    struct json j = json_writer(&t);
    json_begin_object(&j, NULL);
    json_begin_array(&j, "a");
    json_end_array(&j);
    json_begin_array(&j, "b");
    json_uint(&j, NULL, UINT64_MAX);
    json_int(&j, NULL, -1);
    json_begin_object(&j, NULL);
    json_end_object(&j);
    json_end_array(&j);
    json_key(&j, SPAN("k\"\n"));
    json_bool(&j, NULL, true);
    json_key(&j, SPAN("n"));
    json_begin_object(&j, NULL);
    json_bool(&j, "f", false);
    json_end_object(&j);
    json_text(&j, "s", SPAN("x"));
    json_end_object(&j);
    assert_text(text_span(&t), "{\"a\":[],\"b\":[18446744073709551615,-1,{}],\"k\\\"\\n\":true,"
                               "\"n\":{\"f\":false},\"s\":\"x\"}");
    assert_int_equal(j.depth, 0);
}

static void escapes(void **state)
{
    (void)state;
    static const struct {
        struct span in, out;
    } rows[] = {
        { SPAN_INIT(""), SPAN_INIT("") },
        { SPAN_INIT("plain <&>' /"), SPAN_INIT("plain <&>' /") },
        { SPAN_INIT("\"\\"), SPAN_INIT("\\\"\\\\") },
        { SPAN_INIT("\b\f\n\r\t"), SPAN_INIT("\\b\\f\\n\\r\\t") },
        { SPAN_INIT("a\0b\x1b\x1f\x7f"), SPAN_INIT("a\\u0000b\\u001b\\u001f\\u007f") },
        { SPAN_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xaa"),
          SPAN_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xaa") },
        { SPAN_INIT("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9"),
          SPAN_INIT("\xe2\x80\xa7\\u2028\\u2029") },
        { SPAN_INIT("\xe2\x80\xae"), SPAN_INIT("\\u202e") },                    /* reordering */
        { SPAN_INIT("\xe2\x80\x8b\xef\xbb\xbf"), SPAN_INIT("\\u200b\\ufeff") }, /* invisible */
        { SPAN_INIT("\xc2\x9b\xc2\xa0"), SPAN_INIT("\\u009b\xc2\xa0") }, /* terminal control */
        { SPAN_INIT("\xff\x80"), SPAN_INIT("\\u00ff\\u0080") },
        { SPAN_INIT("\xc0\xaf"), SPAN_INIT("\\u00c0\\u00af") },            /* overlong */
        { SPAN_INIT("\xe0\x80\xaf"), SPAN_INIT("\\u00e0\\u0080\\u00af") }, /* overlong */
        { SPAN_INIT("\xed\xa0\x80"), SPAN_INIT("\\u00ed\\u00a0\\u0080") }, /* surrogate */
        { SPAN_INIT("\xed\x9f\xbf\xee\x80\x80"), SPAN_INIT("\xed\x9f\xbf\xee\x80\x80") },
        { SPAN_INIT("\xf4\x8f\xbf\xbd"), SPAN_INIT("\xf4\x8f\xbf\xbd") },
        { SPAN_INIT("\xf4\x90\x80\x80"), SPAN_INIT("\\u00f4\\u0090\\u0080\\u0080") },
        { SPAN_INIT("\xe2\x82"), SPAN_INIT("\\u00e2\\u0082") }, /* cut */
        { SPAN_INIT("\xe2\x82x"), SPAN_INIT("\\u00e2\\u0082x") },
        { SPAN_INIT("\xf0\x9f\x9a"), SPAN_INIT("\\u00f0\\u009f\\u009a") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buffer[64];
        struct text t = text_fixed(buffer, sizeof(buffer));
        json_escape(&t, rows[i].in);
        assert_span(text_span(&t), rows[i].out);
    }
}

static void null_span(void **state)
{
    (void)state;
    char buffer[8];
    struct text t = text_fixed(buffer, sizeof(buffer));
    struct json j = json_writer(&t);
    json_text(&j, NULL, span_of(NULL, 0));
    assert_text(text_span(&t), "\"\"");
}

int main(void)
{
    return RUN(TEST(structure), TEST(escapes), TEST(null_span));
}
