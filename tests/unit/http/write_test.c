/* Heads to bytes, exactly; and the bound, which must be enough for every head. */
#include "gateway/http/write.h"

#include "tests/unit/http/http.h"

static char buffer[4096];

static struct span written(struct span head, struct wire_framing framing)
{
    struct text out = text_fixed(buffer, sizeof buffer);
    struct request req;

    assert_http(read_request(&req, head), HTTP_OK);
    write_request_head(&out, &req, framing);
    assert_false(out.overflow);
    return text_span(&out);
}

static void test_request(void **state)
{
    const struct wire_framing none = { .body = BODY_NONE, .keep_alive = true };
    const struct wire_framing length = { .body = BODY_LENGTH, .length = 18446744073709551615u };
    const struct wire_framing chunked = { .body = BODY_CHUNKED, .keep_alive = true };

    (void)state;
    assert_text(written(SPAN("GET /a/../%7eb?c HTTP/1.0\r\nhost: A:81\r\nX-Odd:  v \r\n"
                             "ACCEPT: */*\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                             "Upgrade: h2c\r\n\r\n"),
                        none),
                "GET /~b?c HTTP/1.1\r\nHost: a:81\r\nX-Odd: v\r\nAccept: */*\r\n\r\n");
    assert_text(
        written(SPAN("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), length),
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        "Content-Length: 18446744073709551615\r\n\r\n");
    assert_text(
        written(SPAN("POST /? HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), chunked),
        "POST /? HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_text(written(SPAN("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                             "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
                        (struct wire_framing){ .websocket = true }),
                "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static struct span answered(int status, struct wire_framing framing)
{
    static struct field items[] = {
        { .name = SPAN_INIT("date"), .value = SPAN_INIT("now"), .id = FIELD_DATE },
        { .name = SPAN_INIT("X"), .value = SPAN_INIT("1"), .dropped = true },
        { .name = SPAN_INIT("content-length"),
          .value = SPAN_INIT("9"),
          .id = FIELD_CONTENT_LENGTH },
        { .name = SPAN_INIT("te"), .value = SPAN_INIT("a"), .id = FIELD_TE },
        { .name = SPAN_INIT("X-y"), .value = SPAN_INIT("") },
    };
    const struct response rsp = {
        .status = status,
        .reason = SPAN_INIT("Evil"),
        .fields = { .items = items, .count = ARRAY_LEN(items), .capacity = ARRAY_LEN(items) },
    };
    struct text out = text_fixed(buffer, sizeof buffer);

    write_response_head(&out, &rsp, framing);
    assert_false(out.overflow);
    return text_span(&out);
}

static void test_response(void **state)
{
    const struct wire_framing length = { .body = BODY_LENGTH, .length = 0, .keep_alive = true };
    const struct wire_framing to_close = { .body = BODY_CLOSE, .keep_alive = true };

    (void)state;
    assert_text(answered(404, length), "HTTP/1.1 404 Not Found\r\nDate: now\r\nX-y: \r\n"
                                       "Content-Length: 0\r\n\r\n");
    assert_text(answered(299, to_close), "HTTP/1.1 299 Unknown\r\nDate: now\r\nX-y: \r\n"
                                         "Connection: close\r\n\r\n");
    assert_text(answered(204, length), "HTTP/1.1 204 No Content\r\nDate: now\r\nX-y: \r\n\r\n");
    assert_text(answered(103, (struct wire_framing){ .body = BODY_CHUNKED }),
                "HTTP/1.1 103 Early Hints\r\nDate: now\r\nX-y: \r\n\r\n");
    assert_text(answered(304, length),
                "HTTP/1.1 304 Not Modified\r\nDate: now\r\nX-y: \r\nContent-Length: 0\r\n\r\n");
    assert_text(answered(101, (struct wire_framing){ .websocket = true }),
                "HTTP/1.1 101 Switching Protocols\r\nDate: now\r\nX-y: \r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/* Values of every length: short copies meet at their ends, and nothing is written past the
 * bound. */
static void test_lengths(void **state)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

    (void)state;
    for (size_t len = 0; len < sizeof letters; len++) {
        struct field items[] = {
            { .name = span_of(letters, len % 40 + 1), .value = span_of(letters, len) },
            { .name = SPAN("TE"), .value = span_of(letters, len), .id = FIELD_DATE },
        };
        const struct response rsp = { .status = 200,
                                      .fields = { .items = items, .count = 2, .capacity = 2 } };
        struct text out = text_growing(fresh_arena(), 0);
        char expected[512];
        struct text wanted = text_fixed(expected, sizeof expected);

        text_format(&wanted, "HTTP/1.1 200 OK\r\n%.*s: %.*s\r\nDate: %.*s\r\n\r\n",
                    (int)(len % 40 + 1), letters, (int)len, letters, (int)len, letters);
        write_response_head(&out, &rsp,
                            (struct wire_framing){ .body = BODY_NONE, .keep_alive = true });
        assert_span(text_span(&out), text_span(&wanted));
    }
}

static void test_no_room(void **state)
{
    struct request req;
    struct text out = text_fixed(buffer, 40);

    (void)state;
    assert_http(read_request(&req, SPAN("GET / HTTP/1.1\r\nHost: a\r\n\r\n")), HTTP_OK);
    write_request_head(&out, &req, (struct wire_framing){ .keep_alive = true });
    assert_true(out.overflow);
    assert_int_equal(out.len, 0);
}

static void test_reasons(void **state)
{
    (void)state;
    assert_text(status_reason(200), "OK");
    assert_text(status_reason(511), "Network Authentication Required");
    assert_text(status_reason(418), "Unknown");
    assert_text(status_reason(99), "Unknown");
    assert_text(status_reason(600), "Unknown");
    assert_text(status_reason(-1), "Unknown");
}

int main(void)
{
    return finish(RUN(TEST(test_request), TEST(test_response), TEST(test_lengths),
                      TEST(test_no_room), TEST(test_reasons)));
}
