/* Character sets declared, told by marks and decoded; kinds of content declared and seen. */
#include "gateway/http/charset.h"

#include "tests/unit/http/http.h"

static void test_declared(void **state)
{
    static const struct {
        const char *type;
        enum charset charset;
    } cases[] = {
        { "", CHARSET_NONE },
        { "text/plain", CHARSET_NONE },
        { "text/plain; charset=utf-8", CHARSET_ASCII_LIKE },
        { "text/plain;CHARSET=\"ISO-8859-15\"; x=y", CHARSET_ASCII_LIKE },
        { "text/plain; charset = windows-1252", CHARSET_ASCII_LIKE },
        { "application/json; charset=UTF-16", CHARSET_UTF16 },
        { "application/json; charset=utf-16le", CHARSET_UTF16LE },
        { "application/json; charset=utf-32be", CHARSET_UTF32BE },
        { "text/plain; charset=utf-7", CHARSET_UNKNOWN },
        { "text/plain; charset=ibm037", CHARSET_UNKNOWN },
        { "text/plain; charset=shift_jis", CHARSET_UNKNOWN },
        { "text/plain; charset='utf-8'", CHARSET_UNKNOWN },
        { "text/plain; charset=utf-8,text/html", CHARSET_UNKNOWN },
        { "text/plain; charset=utf-8 x", CHARSET_UNKNOWN },
        { "text/plain; charset*=utf-8''utf-7", CHARSET_UNKNOWN },
        { "text/plain; charset=", CHARSET_AMBIGUOUS },
        { "text/plain; charset=\"utf-8", CHARSET_AMBIGUOUS },
        { "text/plain; charset=\"utf-8\"x", CHARSET_AMBIGUOUS },
        { "text/plain; charset=utf-8; charset=utf-7", CHARSET_AMBIGUOUS },
        { "text/plain; charset=utf-8, text/plain; charset=utf-7", CHARSET_AMBIGUOUS },
        { "text/plain; x=\"charset=utf-7\"; charset=utf-8", CHARSET_AMBIGUOUS },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (charset_of(span_text(cases[i].type)) != cases[i].charset)
            fail_msg("%s: %d", cases[i].type, charset_of(span_text(cases[i].type)));
}

static void decode(enum charset charset, struct span body, struct span expected, bool lossy)
{
    struct arena *arena = fresh_arena();
    struct transcode t;

    body = exact(body);
    for (size_t slice = 1; slice < 10; slice += 8) {
        transcode_begin(&t, charset, body, arena);
        while (!transcode_run(&t, slice))
            ;
        assert_int_equal(t.err, OK);
        assert_span(t.output, expected);
        assert_int_equal(t.lossy, lossy);
    }
}

static void test_decoded(void **state)
{
    (void)state;
    decode(CHARSET_UTF16LE, SPAN("<\0\xe9\0\xac\x20\x3d\xd8\x00\xde"),
           SPAN("<\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), false);
    decode(CHARSET_UTF16, SPAN("\0<"), SPAN("<"), false);
    decode(CHARSET_UTF16, SPAN("\xff\xfe<\0"), SPAN("<"), false);
    decode(CHARSET_UTF16, SPAN("\xfe\xff\0<"), SPAN("<"), false);
    decode(CHARSET_UTF16BE, SPAN("\xfe\xff\0<"), SPAN("<"), false);
    decode(CHARSET_UTF32, SPAN("\0\0\xfe\xff\0\0\0<"), SPAN("<"), false);
    decode(CHARSET_UTF32LE, SPAN("<\0\0\0\0\xf6\x01\0"), SPAN("<\xf0\x9f\x98\x80"), false);
    decode(CHARSET_UTF16LE, SPAN(""), SPAN(""), false);
    decode(CHARSET_UTF16LE, SPAN("<\0<"), SPAN("<\xef\xbf\xbd"), true);
    decode(CHARSET_UTF16LE, SPAN("\x3d\xd8<\0"), SPAN("\xef\xbf\xbd<"), true);
    decode(CHARSET_UTF16LE, SPAN("\x3d\xd8"), SPAN("\xef\xbf\xbd"), true);
    decode(CHARSET_UTF16LE, SPAN("\x00\xde"), SPAN("\xef\xbf\xbd"), true);
    decode(CHARSET_UTF32BE, SPAN("\0\x11\0\0"), SPAN("\xef\xbf\xbd"), true);
    struct transcode t;
    struct arena none;
    arena_init(&none, NULL, 0, NULL, 0);
    transcode_begin(&t, CHARSET_UTF16LE, SPAN("<\0"), &none);
    assert_true(transcode_run(&t, SIZE_MAX));
    assert_int_equal(t.err, ERR_MEMORY);
    arena_reset(&none);
}

static void test_marks(void **state)
{
    size_t mark;

    (void)state;
    assert_int_equal(charset_sniff(SPAN("\xff\xfe<\0"), &mark), CHARSET_UTF16LE);
    assert_int_equal(mark, 2);
    assert_int_equal(charset_sniff(SPAN("\xff\xfe\0\0"), &mark), CHARSET_UTF32LE);
    assert_int_equal(mark, 4);
    assert_int_equal(charset_sniff(SPAN("\xef\xbb\xbf{}"), &mark), CHARSET_ASCII_LIKE);
    assert_int_equal(charset_sniff(SPAN("{}"), &mark), CHARSET_NONE);
    assert_int_equal(mark, 0);
}

struct content_case {
    struct span text;
    enum content_kind kind;
};

static void test_content_declared(void **state)
{
    static const struct content_case cases[] = {
        { SPAN_INIT(""), CONTENT_EMPTY },
        { SPAN_INIT("; x"), CONTENT_EMPTY },
        { SPAN_INIT("application/x-www-form-urlencoded; charset=utf-8"), CONTENT_FORM },
        { SPAN_INIT("Application/JSON"), CONTENT_JSON },
        { SPAN_INIT("application/vnd.api+json ;a=b"), CONTENT_JSON },
        { SPAN_INIT("text/xml"), CONTENT_XML },
        { SPAN_INIT("image/svg+xml"), CONTENT_XML },
        { SPAN_INIT("multipart/form-data; boundary=x"), CONTENT_MULTIPART },
        { SPAN_INIT("multipart/mixed"), CONTENT_MULTIPART },
        { SPAN_INIT("text/plain"), CONTENT_TEXT },
        { SPAN_INIT("application/graphql"), CONTENT_TEXT },
        { SPAN_INIT("image/png"), CONTENT_BINARY },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (content_declared(cases[i].text) != cases[i].kind)
            fail_msg("%s: %d", cases[i].text.p, content_declared(cases[i].text));
}

static void test_content_seen(void **state)
{
    static const struct content_case cases[] = {
        { SPAN_INIT(""), CONTENT_EMPTY },
        { SPAN_INIT(" \r\n"), CONTENT_EMPTY },
        { SPAN_INIT(" {\"a\":1}"), CONTENT_JSON },
        { SPAN_INIT("\xef\xbb\xbf{ }"), CONTENT_JSON },
        { SPAN_INIT("[1]"), CONTENT_JSON },
        { SPAN_INIT("[ \"x\"]"), CONTENT_JSON },
        { SPAN_INIT("[b]bold[/b]"), CONTENT_TEXT },
        { SPAN_INIT("{a}"), CONTENT_TEXT },
        { SPAN_INIT("<?xml version='1.0'?><a/>"), CONTENT_XML },
        { SPAN_INIT("\n<a/>"), CONTENT_XML },
        { SPAN_INIT("<!DOCTYPE a>"), CONTENT_XML },
        { SPAN_INIT("< b"), CONTENT_TEXT },
        { SPAN_INIT("--b\r\nContent-Disposition: form-data"), CONTENT_MULTIPART },
        { SPAN_INIT("--b\r\nno header"), CONTENT_TEXT },
        { SPAN_INIT("-- \nx"), CONTENT_TEXT },
        { SPAN_INIT("a=1&b=2"), CONTENT_FORM },
        { SPAN_INIT("a%5b%5D=1"), CONTENT_FORM },
        { SPAN_INIT("=1"), CONTENT_TEXT },
        { SPAN_INIT("plain words = text"), CONTENT_TEXT },
        { SPAN_INIT("\x89PNG\r\n\x1a\n\0\0"), CONTENT_BINARY },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (content_sniff(exact(cases[i].text)) != cases[i].kind)
            fail_msg("%s: %d", cases[i].text.p, content_sniff(cases[i].text));
    /* Blanks as far as is looked: not nothing. */
    char blanks[CONTENT_SNIFF_BYTES + 1];
    memset(blanks, ' ', sizeof(blanks));
    assert_int_equal(content_sniff(span_of(blanks, sizeof(blanks) - 1)), CONTENT_EMPTY);
    assert_int_equal(content_sniff(span_of(blanks, sizeof(blanks))), CONTENT_TEXT);
}

int main(void)
{
    return finish(RUN(TEST(test_declared), TEST(test_decoded), TEST(test_marks),
                      TEST(test_content_declared), TEST(test_content_seen)));
}
