/* XML bodies: text and attributes as XPath would have them; DTD, entities and limits refused.
 */
#include "gateway/http/xmlscan.h"

#include "gateway/base/text.h"
#include "tests/unit/http/http.h"

static const struct xmlscan_limits roomy = { .depth = 4, .attributes = 4, .text_bytes = 256 };
static struct xmlscan scan;
static char told[4096];
static struct text out;

static bool tell(void *ctx, struct span name, struct span value, enum xmlscan_kind kind)
{
    struct text *text = ctx;
    text_char(text, "ta:"[kind]);
    text_add(text, name);
    text_char(text, '=');
    text_add(text, value);
    text_char(text, '|');
    return !text->overflow;
}

static void scan_with(struct span xml, const struct xmlscan_limits *limits)
{
    out = text_fixed(told, sizeof(told));
    xmlscan_begin(&scan, exact(xml), limits, fresh_arena(), tell, &out);
    while (!xmlscan_run(&scan, 1))
        ;
    assert_int_equal(scan.err, OK);
    assert_true(xmlscan_failed(&scan) == (xmlscan_error(&scan) != NULL));
}

#define SCAN(xml) scan_with(SPAN(xml), &roomy)
#define assert_told(literal) assert_text(text_span(&out), literal)

static void test_values(void **state)
{
    (void)state;
    SCAN("<a>one<b x='1' y=\"&lt;&#39;\">two</b> three</a>");
    assert_int_equal(scan.findings, 0);
    assert_told("ax=1|ay=<'|t=onetwo three|");
    SCAN("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<a xmlns='u' xmlns:s='v' s:k='w'>"
         "uni<!-- not this -->on sel<![CDATA[ect <x>]]><?pi not that?>&amp;\xc3\xa9</a>\n");
    assert_int_equal(scan.findings, 0);
    assert_told(":xmlns=u|:xmlns:s=v|as:k=w|t=union select <x>&\xc3\xa9|");
    SCAN("<a/>");
    assert_told("t=|");
    /* ISO-8859-1 and UTF-16 come out as UTF-8. */
    SCAN("<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><a>\xe9</a>");
    assert_told("t=\xc3\xa9|");
    SCAN("\xff\xfe<\0a\0>\0'\0<\0/\0a\0>\0");
    assert_int_equal(scan.findings, 0);
    assert_told("t='|");
    struct xmlscan_limits decoded = roomy;
    decoded.utf8 = true;
    scan_with(SPAN("<?xml version=\"1.0\" encoding=\"utf-16\"?><a>\xc3\xa9</a>"), &decoded);
    assert_told("t=\xc3\xa9|");
}

struct bad_case {
    struct span xml;
    unsigned findings;
    const char *told;
};

static void test_findings(void **state)
{
    static const unsigned entity = XMLSCAN_ENTITY | XMLSCAN_MALFORMED;
    static const struct bad_case cases[] = {
        { SPAN_INIT(""), XMLSCAN_MALFORMED, "t=|" },
        { SPAN_INIT("<a>x"), XMLSCAN_MALFORMED, "t=x|" },
        { SPAN_INIT("<a>x</b>"), XMLSCAN_MALFORMED, "t=x|" },
        { SPAN_INIT("<a>x</a><a/>"), XMLSCAN_MALFORMED, "t=x|" },
        { SPAN_INIT("<a b='1' b='2'/>"), XMLSCAN_MALFORMED, "t=|" },
        { SPAN_INIT("<a>\xff</a>"), XMLSCAN_MALFORMED, "t=|" },
        { SPAN_INIT("<a>x&foo;y</a>"), entity, "t=x|" },
        { SPAN_INIT("<a b='&foo;'/>"), entity, "t=|" },
        { SPAN_INIT("<?xml version='1.0' encoding='utf-7'?><a/>"), XMLSCAN_MALFORMED, "t=|" },
        { SPAN_INIT("<!DOCTYPE a><a/>"), XMLSCAN_DTD, "t=|" },
        { SPAN_INIT("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"), XMLSCAN_DTD, "t=|" },
        { SPAN_INIT("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"), XMLSCAN_DTD, "t=|" },
        { SPAN_INIT("<!DOCTYPE a [<!ENTITY % x SYSTEM 'http://h/'> %x;]><a/>"), XMLSCAN_DTD,
          "t=|" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        scan_with(cases[i].xml, &roomy);
        if (scan.findings != cases[i].findings ||
            !span_equal(text_span(&out), span_text(cases[i].told)))
            fail_msg("%.*s: %x %.*s", (int)cases[i].xml.len, cases[i].xml.p, scan.findings,
                     (int)out.len, out.p);
    }
}

static void test_limits(void **state)
{
    struct xmlscan_limits limits = { .depth = 2, .attributes = 2, .text_bytes = 8 };

    (void)state;
    scan_with(SPAN("<a><b/><b/></a>"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("<a><b><c/></b></a>"), &limits);
    assert_int_equal(scan.findings, XMLSCAN_OVER_DEPTH);
    scan_with(SPAN("<a x='1'><b y='2'/></a>"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("<a x='1'><b y='2' z='3'/></a>"), &limits);
    assert_int_equal(scan.findings, XMLSCAN_OVER_ATTRIBUTES);
    assert_told("ax=1|ay=2|t=|");
    scan_with(SPAN("<a x='1'>123456</a>"), &limits);
    assert_int_equal(scan.findings, 0);
    scan_with(SPAN("<a x='1'>1234567</a>"), &limits);
    assert_int_equal(scan.findings, XMLSCAN_OVER_TEXT);
}

/* A token without an end is not looked at again and again. */
static void test_long_token(void **state)
{
    enum { BYTES = 1 << 20 };
    char *xml = malloc(BYTES);

    (void)state;
    assert_non_null(xml);
    memset(xml, 'x', BYTES);
    memcpy(xml, "<a><!--", 7);
    out = text_fixed(told, sizeof(told));
    xmlscan_begin(&scan, span_of(xml, BYTES), &roomy, fresh_arena(), tell, &out);
    assert_true(xmlscan_run(&scan, SIZE_MAX));
    assert_int_equal(scan.findings, XMLSCAN_OVER_TEXT);
    assert_true(scan.rest.len > BYTES / 2);
    free(xml);
}

static void test_stop_and_memory(void **state)
{
    struct arena none;

    (void)state;
    out = text_fixed(told, 4);
    xmlscan_begin(&scan, SPAN("<a b='long enough'>x</a>"), &roomy, fresh_arena(), tell, &out);
    assert_true(xmlscan_run(&scan, SIZE_MAX));
    assert_int_equal(scan.findings, XMLSCAN_STOPPED);
    arena_init(&none, NULL, 0, NULL, 0);
    xmlscan_begin(&scan, SPAN("<a/>"), &roomy, &none, tell, &out);
    assert_true(xmlscan_run(&scan, SIZE_MAX));
    assert_int_equal(scan.err, ERR_MEMORY);
    arena_reset(&none);
}

int main(void)
{
    return finish(RUN(TEST(test_values), TEST(test_findings), TEST(test_limits),
                      TEST(test_long_token), TEST(test_stop_and_memory)));
}
