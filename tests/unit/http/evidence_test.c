/* Refused heads: what rules get to see of them. */
#include "gateway/http/evidence.h"

#include "tests/unit/check.h"

static const struct head_limits limits = { .head_bytes = 256, .uri_bytes = 64, .fields = 3 };

static struct request read(struct arena *arena, const char *head)
{
    struct request req;
    arena_init(arena, NULL, 0, NULL, 1 << 20);
    request_evidence(&req, span_text(head), arena, &limits);
    return req;
}

static void test_a_target_that_is_refused(void **state)
{
    struct arena arena;
    struct request req =
        read(&arena, "GET /a%00b?x=<i>&y HTTP/1.1\r\nHost: h\r\nX: \t1 \r\n\r\n");
    (void)state;
    assert_text(req.method, "GET");
    assert_text(req.target, "/a%00b?x=<i>&y");
    assert_text(req.query, "x=<i>&y");
    assert_text(req.protocol, "HTTP/1.1");
    assert_int_equal(req.minor, 1);
    assert_int_equal(req.fields.count, 2);
    assert_text(fields_value(&req.fields, FIELD_HOST), "h");
    assert_text(req.fields.items[1].value, "1");
    assert_int_equal(req.body, BODY_NONE);
    arena_reset(&arena);
}

static void test_lines(void **state)
{
    static const struct {
        const char *head, *method, *target, *protocol;
    } rows[] = {
        { "GET /a b HTTP/1.0\r\n\r\n", "GET", "/a b", "HTTP/1.0" },
        { "GET / HTTP/3.0\r\n\r\n", "GET", "/", "HTTP/3.0" },
        { "GET /\r\n\r\n", "GET", "/", "" },
        { "GET \r\n\r\n", "GET", "", "" },
        { "GET\r\n\r\n", "GET", "", "" },
        { "GET HTTP/1.1\r\n\r\n", "GET", "HTTP/1.1", "" },
        { "\r\n\r\n", "", "", "" },
        { "", "", "", "" },
        { " / HTTP/1.1\n\n", "", "/", "HTTP/1.1" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct request req = read(&arena, rows[i].head);
        assert_span(req.method, span_text(rows[i].method));
        assert_span(req.target, span_text(rows[i].target));
        assert_span(req.protocol, span_text(rows[i].protocol));
        arena_reset(&arena);
    }
}

static void test_fields_that_are_refused(void **state)
{
    struct arena arena;
    struct request req =
        read(&arena, "GET / HTTP/1.1\r\nA b : 1\r\nnothing\r\n: 2\r\nC:\x01\r\n\r\nD: 4\r\n");
    (void)state;
    assert_int_equal(req.fields.count, 2);
    assert_text(req.fields.items[0].name, "A b");
    assert_text(req.fields.items[1].value, "\x01");
    arena_reset(&arena);
}

static void test_coding_overrides_length(void **state)
{
    struct arena arena;
    struct request req = read(
        &arena, "POST / HTTP/1.1\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n");
    (void)state;
    assert_int_equal(req.fields.count, 1);
    assert_false(fields_have(&req.fields, FIELD_CONTENT_LENGTH));
    assert_true(fields_have(&req.fields, FIELD_TRANSFER_ENCODING));
    arena_reset(&arena);
}

static void test_limits(void **state)
{
    struct arena arena;
    char head[400] = "GET /";
    (void)state;
    memset(head + 5, 'a', 80);
    memcpy(head + 85, " HTTP/1.1\r\n", 11);
    struct request req = read(&arena, head);
    assert_int_equal(req.target.len, limits.uri_bytes);
    arena_reset(&arena);

    req = read(&arena, "GET / HTTP/1.1\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\n\r\n");
    assert_int_equal(req.fields.count, limits.fields);
    arena_reset(&arena);

    memset(head + 15, 'b', sizeof head - 16);
    req = read(&arena, head);
    assert_true(req.target.len <= limits.uri_bytes);
    arena_reset(&arena);
}

int main(void)
{
    return RUN(TEST(test_a_target_that_is_refused), TEST(test_lines),
               TEST(test_fields_that_are_refused), TEST(test_coding_overrides_length),
               TEST(test_limits));
}
