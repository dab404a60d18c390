/* Answers of upstreams: nothing is repaired, and no answer switches protocols unasked. */
#include "gateway/http/head.h"
#include "gateway/http/websocket.h"
#include "tests/unit/http/http.h"

#define OK_LINE "HTTP/1.1 200 OK\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"

static struct field key_field = { .name = SPAN_INIT("Sec-WebSocket-Key"),
                                  .value = SPAN_INIT("dGhlIHNhbXBsZSBub25jZQ=="),
                                  .id = FIELD_SEC_WEBSOCKET_KEY };
static const struct request plain = { .method_id = METHOD_GET };
static const struct request head_only = { .method_id = METHOD_HEAD };
static const struct request socket_wanted = {
    .method_id = METHOD_GET,
    .websocket = true,
    .fields = { .items = &key_field,
                .count = 1,
                .capacity = 1,
                .present = UINT64_C(1) << FIELD_SEC_WEBSOCKET_KEY },
};

static enum http_error read_response(struct response *rsp, struct span head,
                                     const struct request *req)
{
    return response_parse(rsp, exact(head), fresh_arena(), &usual, req);
}

struct refusal {
    struct span head;
    enum http_error error;
};

static void test_refused(void **state)
{
    static const struct refusal cases[] = {
        /* nginx and apache: garbage and 0.9 relayed as an answer */
        { SPAN_INIT("<html>hello</html> and more\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/0.9 200 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/2.0 200 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("http/1.1 200 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 200\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1  200 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 20 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 2000 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 2x0 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 099 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 600 OK\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 200 O\0K\r\n\r\n"), HTTP_STATUS },
        { SPAN_INIT("HTTP/1.1 200 OK\n\r\n"), HTTP_STATUS },
        { SPAN_INIT(OK_LINE "A: b\0\r\n\r\n"), HTTP_FIELD_VALUE },
        { SPAN_INIT(OK_LINE "A: b\r\n c\r\n\r\n"), HTTP_FIELD_FOLDED },
        { SPAN_INIT(OK_LINE "A : b\r\n\r\n"), HTTP_FIELD_NAME },
        { SPAN_INIT(OK_LINE "Content-Type: a\r\nContent-Type: b\r\n\r\n"),
          HTTP_FIELD_REPEATED },
        /* h2o: a bad length ended the process */
        { SPAN_INIT(OK_LINE "Content-Length: -1\r\n\r\n"), HTTP_LENGTH },
        { SPAN_INIT(OK_LINE "Content-Length: 5, 6\r\n\r\n"), HTTP_LENGTH },
        { SPAN_INIT(OK_LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), HTTP_LENGTH },
        { SPAN_INIT(OK_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
          HTTP_FRAMING },
        { SPAN_INIT(OK_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n"), HTTP_CODING },
        { SPAN_INIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), HTTP_FRAMING },
        { SPAN_INIT("HTTP/1.1 204 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
          HTTP_LENGTH },
        { SPAN_INIT(OK_LINE "Connection: Set-Cookie\r\nSet-Cookie: a=b\r\n\r\n"),
          HTTP_CONNECTION },
        /* nginx: an unasked 101 passed on */
        { SPAN_INIT(SWITCH "Upgrade: websocket\r\n" ACCEPT "\r\n"), HTTP_UPGRADE },
        { SPAN_INIT(SWITCH "Upgrade: h2c\r\n\r\n"), HTTP_UPGRADE },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response rsp;
        enum http_error error = read_response(&rsp, cases[i].head, &plain);
        if (error != cases[i].error)
            fail_msg("%.*s: %.*s", (int)cases[i].head.len, cases[i].head.p,
                     (int)http_error_slug(error).len, http_error_slug(error).p);
    }
}

struct answer {
    struct span head;
    const struct request *req;
    enum body_kind body;
    uint64_t length;
    bool keep_alive;
};

static void test_bodies(void **state)
{
    static const struct answer cases[] = {
        { SPAN_INIT(OK_LINE "Content-Length: 5\r\n\r\n"), &plain, BODY_LENGTH, 5, true },
        { SPAN_INIT(OK_LINE "Transfer-Encoding: chunked\r\n\r\n"), &plain, BODY_CHUNKED, 0,
          true },
        { SPAN_INIT(OK_LINE "\r\n"), &plain, BODY_CLOSE, 0, false },
        { SPAN_INIT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"), &plain, BODY_CLOSE, 0,
          false },
        { SPAN_INIT("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), &plain, BODY_LENGTH, 0,
          false },
        { SPAN_INIT("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
          &plain, BODY_LENGTH, 0, true },
        { SPAN_INIT(OK_LINE "Connection: close\r\nContent-Length: 5\r\n\r\n"), &plain,
          BODY_LENGTH, 5, false },
        { SPAN_INIT(OK_LINE "Content-Length: 5\r\n\r\n"), &head_only, BODY_NONE, 5, true },
        { SPAN_INIT(OK_LINE "Transfer-Encoding: chunked\r\n\r\n"), &head_only, BODY_NONE, 0,
          true },
        { SPAN_INIT("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n"), &plain, BODY_NONE, 5, true },
        { SPAN_INIT("HTTP/1.1 304 Not Modified\r\n\r\n"), &plain, BODY_NONE, 0, true },
        { SPAN_INIT("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"), &plain, BODY_NONE, 0,
          true },
        { SPAN_INIT("HTTP/1.1 100 Continue\r\n\r\n"), &plain, BODY_NONE, 0, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct response rsp;
        assert_http(read_response(&rsp, cases[i].head, cases[i].req), HTTP_OK);
        if (rsp.body != cases[i].body || rsp.length != cases[i].length ||
            rsp.keep_alive != cases[i].keep_alive)
            fail_msg("%.*s", (int)cases[i].head.len, cases[i].head.p);
    }
}

static void test_fields(void **state)
{
    struct response rsp;

    (void)state;
    assert_http(read_response(&rsp,
                              SPAN("HTTP/1.1 404 Not \xc3\xa4\t here\r\nSet-Cookie: a\r\n"
                                   "Set-Cookie: b\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\n"
                                   "Keep-Alive: 2\r\nContent-Length: 0\r\n\r\n"),
                              &plain),
                HTTP_OK);
    assert_int_equal(rsp.status, 404);
    assert_text(rsp.reason, "Not \xc3\xa4\t here");
    assert_null(fields_find(&rsp.fields, SPAN("X-Hop")));
    assert_null(fields_get(&rsp.fields, FIELD_KEEP_ALIVE));
    const struct field *cookie = fields_get(&rsp.fields, FIELD_SET_COOKIE);
    assert_text(fields_next(&rsp.fields, cookie)->value, "b");
}

static void test_websocket(void **state)
{
    static const struct span refused[] = {
        SPAN_INIT(SWITCH "Upgrade: websocket\r\n\r\n"),
        SPAN_INIT(SWITCH "Upgrade: h2c\r\n" ACCEPT "\r\n"),
        SPAN_INIT(SWITCH "Upgrade: websocket\r\nContent-Length: 0\r\n" ACCEPT "\r\n"),
        SPAN_INIT(SWITCH "Upgrade: websocket\r\n"
                         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n"),
        SPAN_INIT("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n" ACCEPT "\r\n"),
        SPAN_INIT("HTTP/1.0 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" ACCEPT
                  "\r\n"),
    };
    struct response rsp;

    (void)state;
    assert_http(read_response(&rsp, SPAN(SWITCH "Upgrade: WebSocket\r\n" ACCEPT "\r\n"),
                              &socket_wanted),
                HTTP_OK);
    assert_true(rsp.websocket);
    assert_int_equal(rsp.body, BODY_NONE);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_http(read_response(&rsp, refused[i], &socket_wanted), HTTP_UPGRADE);
    /* varnish: after a refusal nothing is a tunnel */
    assert_http(read_response(&rsp, SPAN("HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n"),
                              &socket_wanted),
                HTTP_OK);
    assert_false(rsp.websocket);
    /* a key alone asks for nothing */
    struct request no_handshake = socket_wanted;
    no_handshake.websocket = false;
    assert_http(
        read_response(&rsp, SPAN(SWITCH "Upgrade: WebSocket\r\n" ACCEPT "\r\n"), &no_handshake),
        HTTP_UPGRADE);
    /* a stage took the key away: no answer can be right, and nothing ends */
    key_field.dropped = true;
    assert_http(read_response(&rsp, SPAN(SWITCH "Upgrade: WebSocket\r\n" ACCEPT "\r\n"),
                              &socket_wanted),
                HTTP_UPGRADE);
    key_field.dropped = false;
}

static void test_keys(void **state)
{
    char accept[WEBSOCKET_ACCEPT_BYTES];

    (void)state;
    assert_true(websocket_key_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(websocket_key_valid(SPAN("AAAAAAAAAAAAAAAAAA+/AA==")));
    assert_false(websocket_key_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ=")));
    assert_false(websocket_key_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ===")));
    assert_false(websocket_key_valid(SPAN("dGhlIHNhbXBsZSBub25jZQAA")));
    assert_false(websocket_key_valid(SPAN("dGhlIHNhbXBsZSB_b25jZQ==")));
    assert_false(websocket_key_valid(SPAN("dGhlIHNhbXBsZSBub25jZB==")));
    assert_false(websocket_key_valid(SPAN("")));
    websocket_accept(SPAN("dGhlIHNhbXBsZSBub25jZQ=="), accept); /* RFC 6455 section 1.3 */
    assert_text(span_of(accept, sizeof accept), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
    return finish(RUN(TEST(test_refused), TEST(test_bodies), TEST(test_fields),
                      TEST(test_websocket), TEST(test_keys)));
}
