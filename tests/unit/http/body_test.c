/* Request bodies as rules see them: every processor, every disguise, findings and refusals. */
#include "gateway/http/body.h"

#include <zlib.h>

#include "tests/unit/http/http.h"

static const struct body_limits usual_limits = {
    .values = 8,
    .decode = { .bytes = 1 << 20, .ratio = 100 },
    .multipart = { .parts = 8, .files = 4, .headers = 8, .header_bytes = 1024 },
    .json = { .depth = 8, .values = 8, .name_bytes = 256, .seed = { 1, 2 } },
    .xml = { .depth = 8, .attributes = 8, .text_bytes = 4096 },
};

static struct body *body;
static char told[4096], slow_told[4096];

/* `a` argument, `n` name, `F` file name, `f` file, `h` part header, `t` XML text, `@`
 * attribute, `x` namespace, `*` raw. */
static struct span write_values(const struct body *from, char *room)
{
    struct text out = text_fixed(room, sizeof(told));
    for (unsigned i = 0; i < from->count; i++) {
        const struct body_value *value = &from->values[i];
        text_char(&out, "anFfht@x*"[value->where]);
        text_add(&out, value->name);
        text_char(&out, '=');
        text_add(&out, value->value);
        text_char(&out, '|');
    }
    return text_span(&out);
}

static struct span seen; /* what was told */

static void read_as(enum body_processor processor, const char *type, const char *coding,
                    struct span held)
{
    static struct fields fields;
    struct arena *arena = fresh_arena();
    assert_int_equal(fields_init(&fields, arena, 4), OK);
    if (type != NULL)
        assert_int_equal(fields_add(&fields, arena, SPAN("Content-Type"), span_text(type)), OK);
    if (coding != NULL)
        assert_int_equal(
            fields_add(&fields, arena, SPAN("Content-Encoding"), span_text(coding)), OK);
    held = exact(held);
    struct body *slow = body_open(&fields, held, processor, &usual_limits, arena);
    assert_non_null(slow);
    while (!body_run(slow, 1))
        ;
    body = body_open(&fields, held, processor, &usual_limits, arena);
    assert_non_null(body);
    assert_true(body_run(body, SIZE_MAX));
    assert_int_equal(body->err, OK);
    seen = write_values(body, told);
    assert_span(write_values(slow, slow_told), seen);
    assert_int_equal(slow->findings, body->findings);
    assert_true(body_refused(body) == (body_refusal(body) != NULL));
}

#define READ(type, held) read_as(PROCESSOR_AUTO, type, NULL, SPAN(held))
#define assert_seen(literal, found)                                                            \
    do {                                                                                       \
        assert_text(seen, literal);                                                            \
        assert_int_equal(body->findings, found);                                               \
    } while (0)

#define FORM "application/x-www-form-urlencoded"
#define MULTIPART "multipart/form-data; boundary=b"

static void test_forms(void **state)
{
    (void)state;
    READ(FORM, "a=1&a=2&b%5b%5d=%3Cscript%3E&&c&d=%2527+x");
    assert_seen("aa=1|aa=2|ab[]=<script>|ac=|ad=%27 x|", 0);
    assert_int_equal(body->processor, PROCESSOR_URLENCODED);
    READ("APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8", "a=%zz&b=100%");
    assert_seen("aa=%zz|ab=100%|", BODY_FOUND_ESCAPES);
    assert_false(body_refused(body));
    READ(FORM, "a&b&c&d&e&f&g&h");
    assert_int_equal(body->findings, 0);
    READ(FORM, "a&b&c&d&e&f&g&h&i");
    assert_int_equal(body->findings, BODY_FOUND_VALUES);
    assert_true(span_ends(seen, SPAN("*=a&b&c&d&e&f&g&h&i|")));
    /* mod_security2 counts the empty pair, but not one at the end. */
    read_as(PROCESSOR_URLENCODED, FORM, NULL, SPAN("a=1&&b&"));
    assert_seen("aa=1|a=|ab=|", 0);
    READ(FORM, "");
    assert_seen("", 0);
}

/* A form that is JSON or XML to whoever looks: both readings, and the bytes. */
static void test_disguised_forms(void **state)
{
    (void)state;
    READ(FORM, "{\"a\":\"\\u0027&x=\"}");
    assert_seen("a{\"a\":\"\\u0027=|ax=\"}|*={\"a\":\"\\u0027&x=\"}|aa='&x=|",
                BODY_FOUND_MISLABELLED);
    READ(FORM, "<a b='1'>x</a>");
    assert_seen("a<a b='1'>x</a>|*=<a b='1'>x</a>|@b=1|t=x|", BODY_FOUND_MISLABELLED);
    READ(FORM, "[broken");
    assert_seen("a[broken=|", 0);
    READ(FORM, "[\"broken");
    assert_seen("a[\"broken=|*=[\"broken|", BODY_FOUND_MISLABELLED);
    assert_false(body_refused(body));
}

static void test_json(void **state)
{
    (void)state;
    READ("application/json", "{\"q\":\"\\u003cscript\\u003e\",\"<k>\":{},\"n\":[1,null]}");
    assert_seen("aq=<script>|n<k>=|an.n=1|an.n=|", 0);
    READ("application/vnd.api+json", "{\"a\":1,\"a\":2}");
    assert_seen("aa=1|aa=2|", BODY_FOUND_AMBIGUOUS);
    assert_null(body->error);
    READ("application/json", "{\"a\":1");
    assert_seen("aa=1|*={\"a\":1|", BODY_FOUND_UNPARSED);
    assert_string_equal(body->error_prefix, "JSON parsing error: ");
    assert_non_null(body->error);
    READ("application/json", "[[[[[[[[[1]]]]]]]]]");
    assert_int_equal(body->findings, BODY_FOUND_UNPARSED);
    READ("application/json", "[1,2,3,4,5,6,7,8,9]");
    assert_int_equal(body->findings, BODY_FOUND_UNPARSED | BODY_FOUND_VALUES);
    READ("application/json", "a=%27");
    assert_seen("*=a=%27|", BODY_FOUND_UNPARSED);
}

/* No label, a false one, one that means nothing. */
static void test_guessed(void **state)
{
    (void)state;
    READ("text/plain", "{\"a\":\"\\u0027\"}");
    assert_seen("aa='|*={\"a\":\"\\u0027\"}|", BODY_FOUND_MISLABELLED);
    READ(NULL, "{\"a\":\"x\",\"a\":1}");
    assert_seen("aa=x|aa=1|*={\"a\":\"x\",\"a\":1}|", 0);
    READ(NULL, "a=%27");
    assert_seen("aa='|*=a=%27|", 0);
    READ("image/png", "<a>x</a>");
    assert_seen("t=x|*=<a>x</a>|", BODY_FOUND_MISLABELLED);
    READ("text/plain", "plain words");
    assert_seen("*=plain words|", 0);
    READ("text/plain", "{\"a\":");
    assert_seen("*={\"a\":|", BODY_FOUND_MISLABELLED);
    READ("text/plain", "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n");
    assert_int_equal(body->findings, BODY_FOUND_MISLABELLED);
    READ("text/plain", "a=1&b&b&b&b&b&b&b&b&b");
    assert_int_equal(body->findings, 0);
}

static void test_xml(void **state)
{
    (void)state;
    READ("application/soap+xml", "<a xmlns='u' b='&#39;'>un<!-- -->ion<c>x</c></a>");
    assert_seen("xxmlns=u|@b='|t=unionx|", 0);
    READ("image/svg+xml", "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>");
    assert_int_equal(body->findings, BODY_FOUND_UNPARSED);
    assert_true(body_refused(body));
    READ("text/xml", "<?xml version='1.0' encoding='utf-7'?><a>+ADw-</a>");
    assert_int_equal(body->findings, BODY_FOUND_UNPARSED);
}

#define PART(head, content) "--b\r\n" head "\r\n\r\n" content "\r\n"

static void test_multipart(void **state)
{
    (void)state;
    READ(MULTIPART, PART("Content-Disposition: form-data; name=\"a\"", "1")
                        PART("Content-Disposition: form-data; name=\"f\"; filename=\"x.php \"",
                             "<?php") "--b--\r\n");
    assert_seen("ha=Content-Disposition: form-data; name=\"a\"|aa=1|"
                "hf=Content-Disposition: form-data; name=\"f\"; filename=\"x.php \"|"
                "Ff=x.php |ff=<?php|",
                0);
    READ(MULTIPART, PART("Content-Disposition: form-data; name=a\r\n"
                         "Content-Transfer-Encoding: base64",
                         "PHNjcmlwdD4=") "--b--\r\n");
    assert_true(span_ends(seen, SPAN("aa=PHNjcmlwdD4=|aa=<script>|")));
    assert_int_equal(body->findings, BODY_FOUND_AMBIGUOUS);
    READ(MULTIPART, PART("Content-Disposition: form-data; name=a; filename=x; "
                         "filename*=utf-8''y%2Ephp",
                         "1") "--b--\r\n");
    assert_true(span_find(seen, SPAN("Fa=x|Fa=y.php|")) > 0);
    assert_true(body_refused(body));
    READ("multipart/form-data; boundary=b; boundary=c", PART("X: y", "<script>") "--b--\r\n");
    assert_int_equal(body->findings, BODY_FOUND_UNPARSED | BODY_FOUND_AMBIGUOUS);
    assert_string_equal(body->error, "Multipart: Multiple boundary parameters in C-T.");
    assert_true(span_starts(seen, SPAN("*=--b\r\nX: y\r\n\r\n<script>")));
    READ("multipart/mixed; boundary=b", PART("X: y", "1") "--b--\r\n");
    assert_true(span_starts(seen, SPAN("*=--b")));
    assert_int_equal(body->findings, 0);
}

static struct span packed(struct span in, int window)
{
    static char out[4096];
    z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)in.p,
                   .avail_in = (uInt)in.len,
                   .next_out = (Bytef *)out,
                   .avail_out = sizeof(out) };
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = sizeof(out) - z.avail_out;
    deflateEnd(&z);
    return span_of(out, len);
}

static void test_codings(void **state)
{
    static char zeros[1 << 18];

    (void)state;
    read_as(PROCESSOR_AUTO, FORM, "gzip", packed(SPAN("a=%3Cscript%3E"), 31));
    assert_seen("aa=<script>|", 0);
    assert_text(body->text, "a=%3Cscript%3E");
    read_as(PROCESSOR_JSON, "application/json", "deflate", packed(SPAN("{\"a\":1}"), -15));
    assert_seen("aa=1|", 0);
    read_as(PROCESSOR_AUTO, FORM, "gzip", SPAN("a=1"));
    assert_seen("*=a=1|", BODY_FOUND_CODED);
    read_as(PROCESSOR_AUTO, FORM, "lzma", SPAN("a=1"));
    assert_seen("*=a=1|", BODY_FOUND_CODING);
    assert_int_equal(body->coding_error, DECODE_UNKNOWN);
    read_as(PROCESSOR_AUTO, FORM, "gzip", packed(span_of(zeros, sizeof(zeros)), 31));
    assert_int_equal(body->findings, BODY_FOUND_BOMB);
    assert_true(body_refused(body));
    read_as(PROCESSOR_AUTO, FORM, "identity", SPAN("a=1"));
    assert_seen("aa=1|", 0);
}

static void test_charsets(void **state)
{
    (void)state;
    READ(FORM "; charset=utf-7", "a=+ADw-script");
    assert_seen("aa= ADw-script|", BODY_FOUND_CHARSET);
    assert_true(body_refused(body));
    READ(FORM "; charset=ibm037", "a=1");
    assert_int_equal(body->findings, BODY_FOUND_CHARSET);
    READ("application/json; charset=utf-8; charset=utf-16", "{}");
    assert_int_equal(body->findings, BODY_FOUND_CHARSET);
    READ("application/json; charset=utf-16le", "{\0\"\0a\0\"\0:\0\"\0'\0\"\0}\0");
    assert_seen("aa='|", 0);
    READ("text/plain", "\xff\xfe<\0b\0>\0");
    assert_seen("t=|*=<b>|", BODY_FOUND_MISLABELLED);
    READ("text/xml", "\xfe\xff\0<\0a\0/\0>");
    assert_seen("t=|", 0);
    READ("text/xml; charset=utf-16be",
         "\0<\0?\0x\0m\0l\0 \0v\0e\0r\0s\0i\0o\0n\0=\0'\0001\0.\0000\0'\0 "
         "\0e\0n\0c\0o\0d\0i\0n\0g\0=\0'\0u\0t\0f\0-\0001\0006\0'\0?\0>\0<\0a\0/\0>");
    assert_seen("t=|", 0);
    READ("text/plain; charset=utf-16le", "<\0x");
    assert_seen("*=<\xef\xbf\xbd|", BODY_FOUND_LOSSY);
    /* Not text: bytes that begin like a mark are no mark. */
    READ("image/jpeg", "\xff\xfe<\0b\0");
    assert_int_equal(body->findings, 0);
    assert_int_equal(body->text.len, 6);
}

/* Named by a rule, one processor reads and nothing is guessed. */
static void test_explicit(void **state)
{
    (void)state;
    read_as(PROCESSOR_JSON, "text/plain", NULL, SPAN("{\"a\":1}"));
    assert_seen("aa=1|", BODY_FOUND_MISLABELLED);
    read_as(PROCESSOR_NONE, "application/json", NULL, SPAN("{\"a\":1}"));
    assert_seen("", 0);
    assert_text(body->text, "{\"a\":1}");
    read_as(PROCESSOR_XML, "text/xml", NULL, SPAN("<a"));
    assert_seen("t=|", BODY_FOUND_UNPARSED);
    read_as(PROCESSOR_URLENCODED, FORM, NULL, SPAN("{\"a\":1}"));
    assert_seen("a{\"a\":1}=|", BODY_FOUND_MISLABELLED);
}

/* Without a media type: a form to some whatever it looks like, and what it looks like. */
static void test_untyped(void **state)
{
    (void)state;
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN("\1\xff=1&f=%27&&g=a\0h=%zz\0\0&i"));
    assert_seen("a\1\xff=1|af='|ag=a|ah=%zz|ai=|", 0);
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN("{\"a\":\"\\u0027\"}&f=%27"));
    assert_seen("a{\"a\":\"\\u0027\"}=|af='|*={\"a\":\"\\u0027\"}&f=%27|aa='|", 0);
    read_as(PROCESSOR_UNTYPED, "", NULL, SPAN("a&b&c&d&e&f&g&h"));
    assert_int_equal(body->findings, 0);
    read_as(PROCESSOR_UNTYPED, "", NULL, SPAN("a&b&c&d&e&f&g\0h&i"));
    assert_int_equal(body->findings, BODY_FOUND_VALUES);
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN("[1,2,3,4,5,6,7,8]"));
    assert_false(body->guess_cut);
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN("[1,2,3,4,5,6,7,8,9]"));
    assert_true(body->guess_cut);
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN("[[[[[[[[[1]]]]]]]]]"));
    assert_true(body->guess_cut);
    READ(NULL, "a&b&c&d&e&f&g&h");
    assert_false(body->guess_cut);
    READ(NULL, "a=1&b&c&d&e&f&g&h&i");
    assert_true(body->guess_cut);
    assert_int_equal(body->findings, 0);
    read_as(PROCESSOR_UNTYPED, NULL, NULL, SPAN(""));
    assert_seen("", 0);
}

/* A file without a name is a field to Go. */
static void test_files_without_a_name(void **state)
{
    (void)state;
    READ(MULTIPART, "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"\"\r\n\r\n"
                    "x\r\n--b--\r\n");
    assert_true(span_find(seen, SPAN("|aa=x|")) >= 0 && span_find(seen, SPAN("|fa=x|")) >= 0);
    READ(MULTIPART, "--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"\"\r\n\r\n"
                    "\r\n--b--\r\n");
    assert_true(span_find(seen, SPAN("|aa=")) < 0 && span_find(seen, SPAN("|fa=|")) >= 0);
}

static void test_decoded_before(void **state)
{
    struct body_limits limits = usual_limits;
    struct arena *arena = fresh_arena();
    struct fields fields;

    (void)state;
    limits.decoded = true;
    assert_int_equal(fields_init(&fields, arena, 4), OK);
    assert_int_equal(fields_add(&fields, arena, SPAN("Content-Encoding"), SPAN("gzip")), OK);
    body = body_open(&fields, SPAN("a=%27"), PROCESSOR_AUTO, &limits, arena);
    assert_non_null(body);
    assert_true(body_run(body, SIZE_MAX));
    assert_text(write_values(body, told), "aa='|*=a=%27|");
    assert_int_equal(body->findings, 0);
}

static void test_memory(void **state)
{
    struct arena none;
    struct fields fields = { .count = 0 };

    (void)state;
    arena_init(&none, NULL, 0, NULL, 0);
    assert_null(body_open(&fields, SPAN("a=1"), PROCESSOR_AUTO, &usual_limits, &none));
    arena_reset(&none);
    /* With room for the struct alone. */
    static _Alignas(16) char room[(sizeof(struct body) + 15) & ~(size_t)15];
    arena_init(&none, room, sizeof(room), NULL, 0);
    body = body_open(&fields, SPAN("a=1"), PROCESSOR_URLENCODED, &usual_limits, &none);
    assert_non_null(body);
    assert_true(body_run(body, SIZE_MAX));
    assert_int_equal(body->err, ERR_MEMORY);
    arena_reset(&none);
}

int main(void)
{
    return finish(RUN(TEST(test_forms), TEST(test_disguised_forms), TEST(test_json),
                      TEST(test_guessed), TEST(test_xml), TEST(test_multipart),
                      TEST(test_codings), TEST(test_charsets), TEST(test_explicit),
                      TEST(test_untyped), TEST(test_files_without_a_name),
                      TEST(test_decoded_before), TEST(test_memory)));
}
