/* Multipart bodies: parts, every finding of mod_security2 and our own, encodings, limits. */
#include "gateway/http/multipart.h"

#include "tests/unit/http/http.h"

#define TYPE "multipart/form-data; boundary=b"
#define PART(head, content) "--b\r\n" head "\r\n\r\n" content "\r\n"
#define FIELD_A PART("Content-Disposition: form-data; name=\"a\"", "1")
#define DISPOSITION(parameters)                                                                \
    PART("Content-Disposition: form-data; " parameters, "1") "--b--\r\n"

static const struct multipart_limits roomy = {
    .parts = 8, .files = 4, .headers = 4, .header_bytes = 512
};
static struct multipart m;

/* Whole and byte by byte are one. */
static void read_with(struct span type, struct span body, const struct multipart_limits *limits)
{
    struct multipart slow;
    struct arena *arena = fresh_arena();
    body = exact(body);
    multipart_begin(&slow, type, body, limits, arena);
    while (!multipart_run(&slow, 1))
        ;
    multipart_begin(&m, type, body, limits, arena);
    assert_true(multipart_run(&m, SIZE_MAX));
    assert_int_equal(m.err, OK);
    assert_int_equal(slow.findings, m.findings);
    assert_int_equal(slow.count, m.count);
    assert_ptr_equal(slow.error, m.error);
    for (unsigned i = 0; i < m.count; i++) {
        assert_span(slow.parts[i].name, m.parts[i].name);
        assert_span(slow.parts[i].content, m.parts[i].content);
        assert_span(slow.parts[i].decoded, m.parts[i].decoded);
    }
}

#define READ(type, body) read_with(SPAN(type), SPAN(body), &roomy)
#define assert_findings(set) assert_int_equal(m.findings & ~(unsigned)MULTIPART_CRLF_LINE, set)

static void test_plain(void **state)
{
    (void)state;
    READ(TYPE,
         FIELD_A PART("Content-Disposition: form-data; name=\"f\"; filename=\"x\\\".txt\"\r\n"
                      "Content-Type: text/plain; charset=utf-8",
                      "two\r\nlines\r\n")
             PART("content-disposition: form-data; name=c", "") "--b--\r\n");
    assert_findings(0);
    assert_null(m.error);
    assert_true(m.complete && !multipart_error(&m) && !multipart_strict_error(&m));
    assert_false(multipart_refused(&m));
    assert_int_equal(m.count, 3);
    assert_int_equal(m.files, 1);
    assert_text(m.parts[0].name, "a");
    assert_text(m.parts[0].content, "1");
    assert_false(m.parts[0].file);
    assert_null(m.parts[0].filename.p);
    assert_null(m.parts[0].decoded.p);
    assert_true(m.parts[1].file && m.parts[1].named);
    assert_text(m.parts[1].filename, "x\".txt");
    assert_text(m.parts[1].content, "two\r\nlines\r\n");
    assert_text(m.parts[1].type, "text/plain; charset=utf-8");
    assert_int_equal(m.parts[1].header_count, 2);
    assert_text(m.parts[1].headers[1].line, "Content-Type: text/plain; charset=utf-8");
    assert_text(m.parts[2].name, "c");
    assert_text(m.parts[2].content, "");
    assert_text(m.parts[2].headers[0].line, "content-disposition: form-data; name=c");
}

/* Without a line end behind the last delimiter, and without any body. */
static void test_ends(void **state)
{
    (void)state;
    READ(TYPE, FIELD_A "--b--");
    assert_findings(0);
    assert_int_equal(m.count, 1);
    READ(TYPE, "");
    assert_findings(0);
    READ(TYPE, "--b--\r\n");
    assert_findings(0);
    assert_int_equal(m.count, 0);
}

struct type_case {
    struct span type;
    unsigned findings;
    const char *error; /* part of it */
    unsigned parts;
};

static void test_types(void **state)
{
    static const unsigned error = MULTIPART_PROCESSOR;
    static const struct type_case cases[] = {
        { SPAN_INIT("multipart/form-data; boundary=\"b\""), MULTIPART_BOUNDARY_QUOTED, NULL,
          1 },
        { SPAN_INIT("multipart/form-data ; boundary=b"), 0, NULL, 1 },
        { SPAN_INIT("multipart/form-data boundary=b"), MULTIPART_MISSING_SEMICOLON, NULL, 1 },
        { SPAN_INIT("multipart/form-data; boundary =b"), MULTIPART_BOUNDARY_WHITESPACE, NULL,
          1 },
        { SPAN_INIT("multipart/form-data; boundary= b"), error | MULTIPART_BOUNDARY_WHITESPACE,
          "characters", 1 },
        { SPAN_INIT("multipart/form-data; boundary=b "), error, "characters", 1 },
        { SPAN_INIT("multipart/form-data; boundary=b; charset=x"), error, "characters", 1 },
        { SPAN_INIT("multipart/form-data; charset=x; boundary=b"), error, "malformed", 1 },
        { SPAN_INIT("multipart/form-data;; boundary=b"), error, "malformed", 1 },
        { SPAN_INIT("multipart/form-data, text/plain; boundary=b"), error, "malformed", 1 },
        { SPAN_INIT("multipart/form-data; Boundary=b"), error, "case", 1 },
        { SPAN_INIT("multipart/form-data; boundary*0=b"), error, "parameter name", 1 },
        { SPAN_INIT("multipart/form-data; boundary=\"b"), error, "quote", 0 },
        { SPAN_INIT("multipart/form-data; boundary=\"b\"; x"), error, "quote", 1 },
        { SPAN_INIT("multipart/form-data; boundary=b; boundary=c"), error, "Multiple", 0 },
        { SPAN_INIT("multipart/form-data; boundary=b; BOUNDARY=c"), error, "Multiple", 0 },
        { SPAN_INIT("multipart/form-data; boundary="), error, "empty", 0 },
        { SPAN_INIT("multipart/form-data; boundary"), error, "not found", 0 },
        { SPAN_INIT("multipart/form-data"), error, "not found", 0 },
        { SPAN_INIT("multipart/mixed; boundary=b"), error, "MIME type", 0 },
        { SPAN_INIT(""), error, "MIME type", 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        read_with(cases[i].type, SPAN(FIELD_A "--b--\r\n"), &roomy);
        if (cases[i].findings != (m.findings & ~(unsigned)MULTIPART_CRLF_LINE) ||
            cases[i].parts != m.count || (cases[i].error == NULL) != (m.error == NULL) ||
            (m.error != NULL && strstr(m.error, cases[i].error) == NULL))
            fail_msg("%.*s: %x %u %s", (int)cases[i].type.len, cases[i].type.p, m.findings,
                     m.count, m.error);
    }
}

static void read_boundary(size_t len)
{
    char type[200], body[400];
    struct text t = text_fixed(type, sizeof type), b = text_fixed(body, sizeof body);
    text_lit(&t, "multipart/form-data; boundary=");
    text_lit(&b, "--");
    for (size_t i = 0; i < len; i++) {
        text_char(&t, 'x');
        text_char(&b, 'x');
    }
    text_lit(&b, "--");
    read_with(text_span(&t), text_span(&b), &roomy);
}

static void test_boundary_length(void **state)
{
    (void)state;
    read_boundary(MULTIPART_BOUNDARY_MAX);
    assert_findings(0);
    read_boundary(MULTIPART_BOUNDARY_MAX + 1);
    assert_findings(MULTIPART_PROCESSOR);
    assert_non_null(strstr(m.error, "length"));
}

static void test_lines(void **state)
{
    (void)state;
    READ(TYPE, "preamble\r\n" FIELD_A "--b--\r\n");
    assert_findings(MULTIPART_DATA_BEFORE);
    assert_true(multipart_strict_error(&m) && !multipart_error(&m));
    READ(TYPE, FIELD_A "--b--\r\nepilogue");
    assert_findings(MULTIPART_DATA_AFTER);
    READ(TYPE, "--b\nContent-Disposition: form-data; name=a\n\n1\n--b--\n");
    assert_int_equal(m.findings, MULTIPART_LF_LINE);
    assert_text(m.parts[0].content, "1");
    READ(TYPE, "--b\r\nContent-Disposition: form-data; name=a\n\r\n1\r\n--b--\r\n");
    assert_int_equal(m.findings,
                     MULTIPART_LF_LINE | MULTIPART_CRLF_LINE | MULTIPART_CRLF_LF_LINES);
    /* Only the line end before the delimiter is bare. */
    READ(TYPE, "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\n--b--\r\n");
    assert_findings(MULTIPART_LF_LINE | MULTIPART_CRLF_LF_LINES);
    assert_text(m.parts[0].content, "1");
    READ(TYPE, FIELD_A PART("Content-Disposition: form-data; name=c", "x"));
    assert_findings(MULTIPART_PROCESSOR);
    assert_string_equal(m.error, "Multipart: Final boundary missing.");
    assert_int_equal(m.count, 2);
    assert_text(m.parts[1].content, "x\r\n");
    READ(TYPE, "nothing\r\n");
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_DATA_BEFORE);
    assert_string_equal(m.error, "Multipart: No boundaries found in payload.");
}

static void test_boundary_lines(void **state)
{
    (void)state;
    READ(TYPE, PART("Content-Disposition: form-data; name=a", "1\r\n--c\r\n2") "--b--\r\n");
    assert_findings(MULTIPART_UNMATCHED_BOUNDARY);
    assert_false(multipart_strict_error(&m) || multipart_refused(&m));
    assert_text(m.parts[0].content, "1\r\n--c\r\n2");
    READ(TYPE, PART("Content-Disposition: form-data; name=a", "1 --b 2") "--b--\r\n");
    assert_findings(MULTIPART_UNMATCHED_BOUNDARY | MULTIPART_BOUNDARY_INSIDE);
    assert_true(multipart_refused(&m));
    READ(TYPE, PART("Content-Disposition: form-data; name=a", "--\r\n-b") "--b--\r\n");
    assert_findings(MULTIPART_UNMATCHED_BOUNDARY);
    READ(TYPE, PART("Content-Disposition: form-data; name=a", "-- b") "--b--\r\n");
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_UNMATCHED_BOUNDARY);
    READ("multipart/form-data; boundary=\"b\"",
         PART("Content-Disposition: form-data; name=a", "--\"b\"") "--b--\r\n");
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_UNMATCHED_BOUNDARY |
                    MULTIPART_BOUNDARY_QUOTED);
    /* Content to us and to the RFC, a delimiter to whoever compares the beginning only. */
    READ(TYPE, PART("Content-Disposition: form-data; name=a", "1\r\n--bx\r\n2") "--b--\r\n");
    assert_findings(MULTIPART_PROCESSOR);
    assert_text(m.parts[0].content, "1\r\n--bx\r\n2");
    READ(TYPE, FIELD_A "--b--  \r\n");
    assert_findings(MULTIPART_PROCESSOR);
    assert_int_equal(m.count, 1);
    READ(TYPE, FIELD_A "--b");
    assert_findings(MULTIPART_PROCESSOR);
}

static void test_part_errors(void **state)
{
    static const struct type_case cases[] = {
        { SPAN_INIT("--b\r\n--b--\r\n"), MULTIPART_PROCESSOR | MULTIPART_INVALID_PART,
          "missing", 1 },
        { SPAN_INIT("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n--b--\r\n"),
          MULTIPART_INVALID_PART, NULL, 1 },
        { SPAN_INIT(PART("Content-Type: a/b", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR | MULTIPART_INVALID_PART, "missing Content-Disposition", 1 },
        { SPAN_INIT(PART("Content-Disposition: attachment; name=a", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR, "Invalid Content-Disposition", 1 },
        { SPAN_INIT(PART("Content-Disposition: form-data", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR | MULTIPART_INVALID_PART, "missing name", 1 },
        { SPAN_INIT(PART("X", "1") "--b--\r\n"), MULTIPART_PROCESSOR | MULTIPART_INVALID_PART,
          "colon missing", 1 },
        { SPAN_INIT(PART(" x: y\r\nContent-Disposition: form-data; name=a", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR | MULTIPART_HEADER_FOLDING, "folding error", 1 },
        { SPAN_INIT(PART("Content-Disposition: form-data;\r\n name=a", "1") "--b--\r\n"),
          MULTIPART_HEADER_FOLDING, NULL, 1 },
        { SPAN_INIT(PART("Content-Disposition: form-data;\r\n\f name=a", "1") "--b--\r\n"),
          MULTIPART_HEADER_FOLDING | MULTIPART_INVALID_HEADER_FOLDING, NULL, 1 },
        { SPAN_INIT(
              PART("A: 1\r\na: 2\r\nContent-Disposition: form-data; name=a", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR, "Duplicate", 1 },
        { SPAN_INIT(
              PART("A\xff: 1\r\nContent-Disposition: form-data; name=a", "1") "--b--\r\n"),
          MULTIPART_HEADER_BYTES, NULL, 1 },
        { SPAN_INIT(PART("A: 1\0\r\nContent-Disposition: form-data; name=a", "1") "--b--\r\n"),
          MULTIPART_PROCESSOR | MULTIPART_NUL, "Nul byte", 1 },
        { SPAN_INIT(DISPOSITION("name='a'")), MULTIPART_INVALID_QUOTING, NULL, 1 },
        { SPAN_INIT(DISPOSITION("name=a'")), MULTIPART_INVALID_QUOTING, NULL, 1 },
        { SPAN_INIT(DISPOSITION("name=\"a\"x")),
          MULTIPART_PROCESSOR | MULTIPART_INVALID_QUOTING, "Invalid Content-Disposition", 1 },
        { SPAN_INIT(DISPOSITION("name=\"a")), MULTIPART_PROCESSOR | MULTIPART_INVALID_PART,
          "Invalid Content-Disposition", 1 },
        { SPAN_INIT(DISPOSITION("name=a; name=b")), MULTIPART_PROCESSOR, "Invalid Content-D",
          1 },
        { SPAN_INIT(DISPOSITION("name=a; filename=b; filename=c")), MULTIPART_PROCESSOR,
          "Invalid Content-D", 1 },
        { SPAN_INIT(DISPOSITION("name=a; filename =b")), MULTIPART_PROCESSOR, "(filename)", 1 },
        { SPAN_INIT(DISPOSITION("name=a; x=b")), MULTIPART_PROCESSOR, "Invalid Content-D", 1 },
        { SPAN_INIT(DISPOSITION("NAME=a")), MULTIPART_PROCESSOR, "Invalid Content-D", 1 },
        { SPAN_INIT(DISPOSITION("name=a; ")), MULTIPART_PROCESSOR, "Invalid Content-D", 1 },
        { SPAN_INIT(DISPOSITION("name=a;")), 0, NULL, 1 },
        { SPAN_INIT(DISPOSITION("; name=a")), MULTIPART_PROCESSOR, "Invalid Content-D", 1 },
        { SPAN_INIT(
              PART("Content-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed",
                   "1") "--b--\r\n"),
          MULTIPART_NESTED, NULL, 1 },
        { SPAN_INIT(PART("Content-Disposition: form-data; name=a\r\n"
                         "Content-Type: text/plain; charset=utf-7",
                         "1") "--b--\r\n"),
          MULTIPART_CHARSET, NULL, 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        read_with(SPAN(TYPE), cases[i].type, &roomy);
        if (cases[i].findings != (m.findings & ~(unsigned)MULTIPART_CRLF_LINE) ||
            cases[i].parts != m.count || (cases[i].error == NULL) != (m.error == NULL) ||
            (m.error != NULL && strstr(m.error, cases[i].error) == NULL))
            fail_msg("%zu %.*s: %x %u %s", i, (int)cases[i].type.len, cases[i].type.p,
                     m.findings, m.count, m.error);
        if (m.parts[0].named)
            assert_true(m.parts[0].name.len > 0);
    }
}

static void test_names(void **state)
{
    (void)state;
    READ(TYPE, DISPOSITION("name=\"a\\b\\\\c\\\"d\"; filename=\"C:\\x\""));
    assert_findings(0);
    assert_text(m.parts[0].name, "a\\b\\c\"d");
    assert_text(m.parts[0].filename, "C:\\x");
    READ(TYPE, DISPOSITION("name=a; filename=x; filename*=utf-8''y%2Ephp"));
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_EXTENDED_NAME);
    assert_text(m.parts[0].filename, "x");
    assert_text(m.parts[0].extended, "y.php");
    READ(TYPE, DISPOSITION("name=\"\"; filename=\"\""));
    assert_findings(0);
    assert_true(m.parts[0].named && m.parts[0].file);
    READ(TYPE, PART("Content-Disposition: form-data;\r\n\t name=\"a\"\r\nX-Y:  1 \t",
                    "1") "--b--\r\n");
    assert_text(m.parts[0].headers[0].line, "Content-Disposition: form-data; name=\"a\"");
    assert_text(m.parts[0].headers[1].line, "X-Y:  1 \t");
}

#define ENCODED(encoding, content)                                                             \
    PART("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: " encoding,     \
         content)                                                                              \
    "--b--\r\n"

static void test_encodings(void **state)
{
    (void)state;
    READ(TYPE, ENCODED("base64", "PHNj\r\ncmlw dD4="));
    assert_findings(MULTIPART_ENCODED);
    assert_text(m.parts[0].content, "PHNj\r\ncmlw dD4=");
    assert_text(m.parts[0].decoded, "<script>");
    READ(TYPE, ENCODED("BASE64 ", "YQ==Yg=="));
    assert_text(m.parts[0].decoded, "ab");
    READ(TYPE, ENCODED("quoted-printable", "a=3D=\r\n=3c=3Cb=\n=4"));
    assert_text(m.parts[0].decoded, "a=<<b=4");
    READ(TYPE, ENCODED("x-uuencode", "abc"));
    assert_findings(MULTIPART_ENCODED);
    assert_null(m.parts[0].decoded.p);
    READ(TYPE, ENCODED("8bit", "abc"));
    assert_findings(0);
    READ(TYPE, ENCODED("base64", ""));
    assert_text(m.parts[0].decoded, "");
}

static void test_limits(void **state)
{
    struct multipart_limits limits = {
        .parts = 2, .files = 1, .headers = 2, .header_bytes = 64
    };
    struct multipart_limits none = { .parts = 0 };

    (void)state;
    read_with(SPAN(TYPE), SPAN(FIELD_A FIELD_A "--b--\r\n"), &limits);
    assert_findings(0);
    read_with(SPAN(TYPE), SPAN(FIELD_A FIELD_A FIELD_A "--b--\r\n"), &limits);
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_OVER_LIMIT);
    assert_int_equal(m.count, 2);
    read_with(SPAN(TYPE), SPAN(FIELD_A "--b--\r\n"), &none);
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_OVER_LIMIT);
    assert_int_equal(m.count, 0);

#define FILE_PART PART("Content-Disposition: form-data; name=f; filename=f", "x")
    read_with(SPAN(TYPE), SPAN(FIELD_A FILE_PART "--b--\r\n"), &limits);
    assert_findings(0);
    read_with(SPAN(TYPE), SPAN(FILE_PART FILE_PART "--b--\r\n"), &limits);
    assert_findings(MULTIPART_FILE_LIMIT_EXCEEDED);
    assert_int_equal(m.count, 2);

#define NAMED "Content-Disposition: form-data; name=a"
    read_with(SPAN(TYPE), SPAN(PART(NAMED "\r\nA: 1", "x") "--b--\r\n"), &limits);
    assert_findings(0);
    read_with(SPAN(TYPE), SPAN(PART(NAMED "\r\nA: 1\r\nB: 1", "x") "--b--\r\n"), &limits);
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_OVER_LIMIT);
    /* 38 bytes and 26 are the limit. */
    read_with(SPAN(TYPE), SPAN(PART(NAMED "\r\nA: 444444444444444444444444", "x") "--b--\r\n"),
              &limits);
    assert_findings(MULTIPART_PROCESSOR | MULTIPART_OVER_LIMIT);
    read_with(SPAN(TYPE), SPAN(PART(NAMED "\r\nA: 55555555555555555555555", "x") "--b--\r\n"),
              &limits);
    assert_findings(0);
}

static void test_memory(void **state)
{
    struct arena small;
    static const struct span body =
        SPAN_INIT(FIELD_A ENCODED("base64", "PHNjcmlwdD4=") "--b--\r\n");

    (void)state;
    arena_init(&small, NULL, 0, NULL, 0);
    multipart_begin(&m, SPAN(TYPE), body, &roomy, &small);
    assert_true(multipart_run(&m, SIZE_MAX));
    assert_int_equal(m.err, ERR_MEMORY);
    arena_reset(&small);
}

static void test_rows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MULTIPART_FINDINGS; i++)
        assert_non_null(multipart_rows[i].text);
    assert_string_equal(multipart_rows[MULTIPART_LF_LINE_INDEX].variable, "MULTIPART_LF_LINE");
}

int main(void)
{
    return finish(RUN(TEST(test_plain), TEST(test_ends), TEST(test_types),
                      TEST(test_boundary_length), TEST(test_lines), TEST(test_boundary_lines),
                      TEST(test_part_errors), TEST(test_names), TEST(test_encodings),
                      TEST(test_limits), TEST(test_memory), TEST(test_rows)));
}
