/* Bodies: the chunked coding strictly, the same whole or in pieces; lengths; trailers. */
#include "gateway/http/framing.h"

#include "gateway/http/write.h"
#include "tests/unit/http/http.h"

/* What a body came to: data, how much was left over, and how it ended. */
struct outcome {
    struct span data;
    enum http_error error;
    bool ended;
    size_t left;
};

/* Feeds `step` bytes at a time; what is not taken must not be offered again. */
static struct outcome run(struct body_reader *body, struct span input, size_t step)
{
    static char data[4096];
    struct text out = text_fixed(data, sizeof data);
    size_t fed = 0, left = 0;

    while (fed < input.len && !body->ended && body->error == HTTP_OK) {
        struct span piece = exact(span_sub(input, fed, step));
        fed += piece.len;
        do {
            struct span run = body_next(body, &piece);
            text_add(&out, run);
            if (run.len == 0)
                break;
        } while (true);
        left = piece.len;
    }
    return (struct outcome){ text_span(&out), body->error, body->ended,
                             input.len - fed + left };
}

struct chunked {
    struct span input;
    enum http_error error;
    bool ended;
    struct span data;
    size_t left;
};

#define BAD(text)                                                                              \
    {                                                                                          \
        SPAN_INIT(text), HTTP_CHUNK, false, SPAN_INIT(""), 0                                   \
    }

static const struct chunked cases[] = {
    { SPAN_INIT("0\r\n\r\n"), HTTP_OK, true, SPAN_INIT(""), 0 },
    { SPAN_INIT("5\r\nhello\r\n0\r\n\r\nGET /"), HTTP_OK, true, SPAN_INIT("hello"), 5 },
    { SPAN_INIT("1\r\na\r\n00A\r\n0123456789\r\n0000000000000000\r\n\r\n"), HTTP_OK, true,
      SPAN_INIT("a0123456789"), 0 },
    { SPAN_INIT("3;a;b=c;d=\"e\\\"; f\"\r\nabc\r\n0;x\r\n\r\n"), HTTP_OK, true,
      SPAN_INIT("abc"), 0 },
    { SPAN_INIT("5\r\nhel"), HTTP_OK, false, SPAN_INIT("hel"), 0 },
    { SPAN_INIT("5\r\nhello\r\n"), HTTP_OK, false, SPAN_INIT("hello"), 0 },
    { SPAN_INIT("0\r\nX-Sum: 1\r\n\r\n"), HTTP_OK, true, SPAN_INIT(""), 0 },
    BAD("\r\n"),
    BAD(" 5\r\nhello\r\n"),
    BAD("5 \r\nhello\r\n"),
    BAD("5\nhello\r\n"),
    BAD("5\r\rhello"),
    BAD("-5\r\nhello"),
    BAD("+5\r\nhello"),
    BAD("0x5\r\nhello"),
    BAD("g\r\n"),
    BAD(";a\r\n"),
    BAD("5;\r\nhello"),
    BAD("5; a\r\nhello"),
    BAD("5 ;a\r\nhello"),
    BAD("5;a =b\r\nhello"),
    BAD("5;a=\r\nhello"),
    BAD("5;a=\"b\r\nhello"),
    BAD("5;a=\"b\"c\r\nhello"),
    BAD("5;a\nb\r\nhello"),
    BAD("00000000000000005\r\nhello"),
    BAD("ffffffffffffffff\r\n"),
    BAD("8000000000000000\r\n"),
    { SPAN_INIT("1\r\nab\r\n"), HTTP_CHUNK, false, SPAN_INIT("a"), 0 },
    { SPAN_INIT("1\r\na\n"), HTTP_CHUNK, false, SPAN_INIT("a"), 0 },
    { SPAN_INIT("1\r\na\r\r"), HTTP_CHUNK, false, SPAN_INIT("a"), 0 },
    { SPAN_INIT("1\r\na\r\n7fffffffffffffff\r\n"), HTTP_CHUNK, false, SPAN_INIT("a"), 0 },
    { SPAN_INIT("0\r\n\n"), HTTP_TRAILER, false, SPAN_INIT(""), 0 },
    { SPAN_INIT("0\r\nA: b\n\r\n"), HTTP_TRAILER, false, SPAN_INIT(""), 0 },
    { SPAN_INIT("0\r\n\rX"), HTTP_TRAILER, false, SPAN_INIT(""), 0 },
};

static void test_chunked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step <= cases[i].input.len; step++) {
            struct body_reader body;
            body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
            struct outcome got = run(&body, cases[i].input, step);
            if (got.error != cases[i].error || got.ended != cases[i].ended)
                fail_msg("case %zu, step %zu", i, step);
            assert_span(got.data, cases[i].data);
            assert_int_equal(body.total, got.data.len);
            if (got.ended)
                assert_int_equal(got.left, cases[i].left);
            assert_int_equal(body_at_close(&body), got.ended);
        }
    }
}

static enum http_error size_line(size_t extension)
{
    char buffer[600];
    struct text line = text_fixed(buffer, sizeof buffer);
    struct body_reader body;

    text_lit(&line, "1;");
    for (size_t i = 0; i < extension; i++)
        text_char(&line, 'a');
    text_lit(&line, "\r\n");
    body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
    run(&body, text_span(&line), 7);
    return body.error;
}

/* Long lines, and many light ones (CVE-2023-39326). */
static void test_overhead(void **state)
{
    struct body_reader body;
    enum { LINE = 100 };

    (void)state;
    assert_http(size_line(CHUNK_LINE_MAX - 4), HTTP_OK);
    assert_http(size_line(CHUNK_LINE_MAX - 3), HTTP_CHUNK);

    char line[LINE + 1];
    memset(line, 'a', sizeof line);
    memcpy(line, "1;", 2);
    memcpy(line + LINE - 5, "\r\nx\r\n", 5);
    body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
    int lines = 0;
    for (; lines < 1000 && body.error == HTTP_OK; lines++)
        run(&body, span_of(line, LINE), LINE);
    /* each line brings 99 bytes for one of data, whose share is CHUNK_OVERHEAD */
    int most = CHUNK_OVERHEAD_FREE / (LINE - 1 - CHUNK_OVERHEAD);
    assert_http(body.error, HTTP_CHUNK);
    assert_in_range(lines, most, most + 2);

    /* one byte to the chunk is slow, not hostile */
    body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
    for (int i = 0; i < 10000; i++)
        run(&body, SPAN("1\r\nx\r\n"), 6);
    assert_http(body.error, HTTP_OK);
    assert_int_equal(body.total, 10000);
}

static enum http_error trailers_of(struct span section, struct fields *trailers)
{
    char buffer[512];
    struct text input = text_fixed(buffer, sizeof buffer);
    struct body_reader body;

    text_lit(&input, "0\r\n");
    text_add(&input, section);
    text_lit(&input, "\r\n");
    body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
    run(&body, text_span(&input), 3);
    assert_true(body.ended);
    return body_trailers(&body, trailers);
}

static void test_trailers(void **state)
{
    static const struct span refused[] = {
        SPAN_INIT("Content-Length: 5\r\n"),
        SPAN_INIT("Transfer-Encoding: chunked\r\n"),
        SPAN_INIT("Host: a\r\n"),
        SPAN_INIT("Connection: close\r\n"),
        SPAN_INIT("authorization: a\r\n"),
        SPAN_INIT("Content_Length: 5\r\n"),
        SPAN_INIT("X-Forwarded-For: a\r\n"),
        SPAN_INIT("Set-Cookie: a=b\r\n"),
        SPAN_INIT("A : b\r\n"),
        SPAN_INIT("A\r\n"),
        SPAN_INIT("A: b\r\n c\r\n"),
        SPAN_INIT("A: b\x01\r\n"),
        SPAN_INIT("A: b\rc\r\n"),
    };
    struct fields trailers;

    (void)state;
    assert_http(trailers_of(SPAN(""), &trailers), HTTP_OK);
    assert_int_equal(trailers.count, 0);
    assert_http(trailers_of(SPAN("X-Sum: 1\r\ngrpc-status:  0 \r\n"), &trailers), HTTP_OK);
    assert_int_equal(trailers.count, 2);
    assert_text(fields_find(&trailers, SPAN("Grpc-Status"))->value, "0");
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_http(trailers_of(refused[i], &trailers), HTTP_TRAILER);
}

static void test_trailer_limits(void **state)
{
    struct body_reader body;
    struct fields trailers;

    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
        run(&body, SPAN("0\r\nA: "), 100);
        for (unsigned i = 0; i < TRAILER_BYTES_MAX - 5 + extra; i++)
            run(&body, SPAN("b"), 1);
        run(&body, SPAN("\r\n\r\n"), 100);
        assert_http(body.error, extra ? HTTP_TRAILER : HTTP_OK);
        assert_int_equal(body.ended, !extra);

        body_begin(&body, BODY_CHUNKED, 0, fresh_arena());
        run(&body, SPAN("0\r\n"), 100);
        for (unsigned i = 0; i < TRAILER_FIELDS_MAX + extra; i++)
            run(&body, SPAN("A: b\r\n"), 100);
        run(&body, SPAN("\r\n"), 100);
        assert_http(body_trailers(&body, &trailers), extra ? HTTP_TRAILER : HTTP_OK);
    }
}

static void test_length(void **state)
{
    struct body_reader body;

    (void)state;
    body_begin(&body, BODY_LENGTH, 5, fresh_arena());
    struct outcome got = run(&body, SPAN("helloGET"), 100);
    assert_text(got.data, "hello");
    assert_true(got.ended);
    assert_int_equal(got.left, 3);
    body_begin(&body, BODY_LENGTH, 5, fresh_arena());
    got = run(&body, SPAN("hell"), 3);
    assert_false(got.ended);
    assert_false(body_at_close(&body));
    body_begin(&body, BODY_LENGTH, 0, fresh_arena());
    assert_true(body.ended);
    body_begin(&body, BODY_NONE, 0, fresh_arena());
    assert_true(body_at_close(&body));
    body_begin(&body, BODY_CLOSE, 0, fresh_arena());
    got = run(&body, SPAN("abc"), 2);
    assert_text(got.data, "abc");
    assert_false(got.ended);
    assert_true(body_at_close(&body));
    assert_true(body.ended);
}

/* What write.c makes, framing.c reads. */
static void test_written(void **state)
{
    char buffer[256];
    struct text out = text_fixed(buffer, sizeof buffer);
    struct fields trailers = { 0 };
    struct body_reader body;
    struct arena *arena = fresh_arena();

    (void)state;
    assert_int_equal(fields_add(&trailers, arena, SPAN("X-A"), SPAN("b")), OK);
    assert_int_equal(fields_add(&trailers, arena, SPAN("Host"), SPAN("evil")), OK);
    write_chunk_head(&out, 26);
    text_lit(&out, "abcdefghijklmnopqrstuvwxyz\r\n");
    write_last_chunk(&out, &trailers);
    assert_text(text_span(&out), "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX-A: b\r\n\r\n");
    body_begin(&body, BODY_CHUNKED, 0, arena);
    struct span input = text_span(&out);
    assert_text(body_next(&body, &input), "abcdefghijklmnopqrstuvwxyz");
    assert_int_equal(body_next(&body, &input).len, 0);
    assert_true(body.ended);
    out.len = 0;
    write_last_chunk(&out, NULL);
    assert_text(text_span(&out), "0\r\n\r\n");
    out.len = 0;
    write_chunk_head(&out, UINT64_MAX);
    assert_text(text_span(&out), "ffffffffffffffff\r\n");
}

int main(void)
{
    return finish(RUN(TEST(test_chunked), TEST(test_overhead), TEST(test_trailers),
                      TEST(test_trailer_limits), TEST(test_length), TEST(test_written)));
}
