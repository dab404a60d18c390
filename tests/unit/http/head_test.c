/*
 * Request heads: what is refused, each with its reason, and what is understood. The cases named
 * after a proxy are failures of that proxy.
 */
#include "gateway/http/head.h"

#include "tests/unit/http/http.h"

#define H "Host: a.example\r\n"
#define LINE "GET / HTTP/1.1\r\n"
#define END "\r\n"
#define WS                                                                                     \
    "GET /chat HTTP/1.1\r\n" H "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

struct refusal {
    const char *why;
    struct span head;
    enum http_error error;
};

static const struct refusal refusals[] = {
    /* the request line */
    { "nginx: HTTP/0.9", SPAN_INIT("GET /\r\n\r\n"), HTTP_SYNTAX },
    { "HTTP/0.9 with a space", SPAN_INIT("GET / \r\n\r\n"), HTTP_SYNTAX },
    { "version 0.9 spelled", SPAN_INIT("GET / HTTP/0.9\r\n" H END), HTTP_SYNTAX },
    { "version 1.2", SPAN_INIT("GET / HTTP/1.2\r\n" H END), HTTP_VERSION },
    { "version 2.0", SPAN_INIT("PRI * HTTP/2.0\r\n\r\n"), HTTP_VERSION },
    { "version 1.10", SPAN_INIT("GET / HTTP/1.10\r\n" H END), HTTP_SYNTAX },
    { "version in lower case", SPAN_INIT("GET / http/1.1\r\n" H END), HTTP_SYNTAX },
    { "two spaces", SPAN_INIT("GET  / HTTP/1.1\r\n" H END), HTTP_SYNTAX },
    { "two spaces before the version", SPAN_INIT("GET /  HTTP/1.1\r\n" H END), HTTP_SYNTAX },
    { "space behind the version", SPAN_INIT("GET / HTTP/1.1 \r\n" H END), HTTP_SYNTAX },
    { "tab in the line", SPAN_INIT("GET\t/ HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "tab before the version", SPAN_INIT("GET /\tHTTP/1.1\r\n" H END), HTTP_SYNTAX },
    { "bare LF", SPAN_INIT("GET / HTTP/1.1\nHost: a\r\n\r\n"), HTTP_LINE_END },
    { "leading blank line", SPAN_INIT("\r\nGET / HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "leading space", SPAN_INIT(" GET / HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "no method", SPAN_INIT("/ HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "method of 33 bytes", SPAN_INIT("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1\r\n" H END),
      HTTP_METHOD },
    { "method with a colon", SPAN_INIT("GE:T / HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "method with obs-text", SPAN_INIT("G\xc3\x8bT / HTTP/1.1\r\n" H END), HTTP_METHOD },
    { "CONNECT without a port", SPAN_INIT("CONNECT a HTTP/1.1\r\n" H END), HTTP_TARGET },
    { "CONNECT to a path", SPAN_INIT("CONNECT / HTTP/1.1\r\n" H END), HTTP_TARGET },
    { "caddy: CONNECT", SPAN_INIT("CONNECT a:443 HTTP/1.1\r\n" H END), HTTP_METHOD_REFUSED },
    { "TRACE", SPAN_INIT("TRACE / HTTP/1.1\r\n" H END), HTTP_METHOD_REFUSED },
    { "NUL in the target", SPAN_INIT("GET /\0 HTTP/1.1\r\n" H END), HTTP_SYNTAX },
    { "raw UTF-8 in the target", SPAN_INIT("GET /\xc3\xa4 HTTP/1.1\r\n" H END), HTTP_TARGET },
    { "a fragment", SPAN_INIT("GET /#a HTTP/1.1\r\n" H END), HTTP_TARGET },
    { "a target without a slash", SPAN_INIT("GET a HTTP/1.1\r\n" H END), HTTP_TARGET },
    { "a star for GET", SPAN_INIT("GET * HTTP/1.1\r\n" H END), HTTP_TARGET },
    /* fields */
    { "folded", SPAN_INIT(LINE H "A: b\r\n c\r\n\r\n"), HTTP_FIELD_FOLDED },
    { "folded by a tab", SPAN_INIT(LINE H "A: b\r\n\tc\r\n\r\n"), HTTP_FIELD_FOLDED },
    { "first line folded", SPAN_INIT(LINE " Host: a\r\n\r\n"), HTTP_FIELD_FOLDED },
    { "space before the colon", SPAN_INIT(LINE H "A : b\r\n\r\n"), HTTP_FIELD_NAME },
    { "tab before the colon", SPAN_INIT(LINE H "A\t: b\r\n\r\n"), HTTP_FIELD_NAME },
    { "no colon", SPAN_INIT(LINE H "Abc\r\n\r\n"), HTTP_FIELD_NAME },
    { "no name", SPAN_INIT(LINE H ": b\r\n\r\n"), HTTP_FIELD_NAME },
    { "obs-text in a name", SPAN_INIT(LINE H "A\xff: b\r\n\r\n"), HTTP_FIELD_NAME },
    { "brackets in a name", SPAN_INIT(LINE H "A[]: b\r\n\r\n"), HTTP_FIELD_NAME },
    { "NUL in a name", SPAN_INIT(LINE H "A\0: b\r\n\r\n"), HTTP_FIELD_NAME },
    { "haproxy: NUL in a value", SPAN_INIT(LINE H "A: b\0c\r\n\r\n"), HTTP_FIELD_VALUE },
    { "a control byte in a value", SPAN_INIT(LINE H "A: b\x01\r\n\r\n"), HTTP_FIELD_VALUE },
    { "DEL in a value", SPAN_INIT(LINE H "A: b\x7f\r\n\r\n"), HTTP_FIELD_VALUE },
    { "bare CR in a value", SPAN_INIT(LINE H "A: b\rc\r\n\r\n"), HTTP_LINE_END },
    { "bare LF behind a value", SPAN_INIT(LINE H "A: b\nC: d\r\n\r\n"), HTTP_LINE_END },
    { "no empty line", SPAN_INIT(LINE H), HTTP_LINE_END },
    { "bytes behind the empty line", SPAN_INIT(LINE H "\r\nX"), HTTP_FIELD_NAME },
    { "Content-Type twice", SPAN_INIT(LINE H "Content-Type: a/b\r\ncontent-type: c/d\r\n\r\n"),
      HTTP_FIELD_REPEATED },
    { "Authorization twice", SPAN_INIT(LINE H "Authorization: a\r\nAuthorization: a\r\n\r\n"),
      HTTP_FIELD_REPEATED },
    /* Host */
    { "haproxy: 1.1 without Host", SPAN_INIT(LINE END), HTTP_HOST },
    { "nginx: 1.0 without Host", SPAN_INIT("GET / HTTP/1.0\r\n\r\n"), HTTP_HOST },
    { "Host twice", SPAN_INIT(LINE H "Host: a.example\r\n\r\n"), HTTP_FIELD_REPEATED },
    { "empty Host", SPAN_INIT(LINE "Host:\r\n\r\n"), HTTP_HOST },
    { "nginx: Host with @", SPAN_INIT(LINE "Host: a@b\r\n\r\n"), HTTP_HOST },
    { "nginx: Host with #", SPAN_INIT(LINE "Host: a#b\r\n\r\n"), HTTP_HOST },
    { "nginx: Host with ?", SPAN_INIT(LINE "Host: a?b\r\n\r\n"), HTTP_HOST },
    { "nginx: Host with backslash", SPAN_INIT(LINE "Host: a\\b\r\n\r\n"), HTTP_HOST },
    { "Host with /", SPAN_INIT(LINE "Host: a/b\r\n\r\n"), HTTP_HOST },
    { "Host with a space", SPAN_INIT(LINE "Host: a b\r\n\r\n"), HTTP_HOST },
    { "Host with a comma", SPAN_INIT(LINE "Host: a,b\r\n\r\n"), HTTP_HOST },
    { "Host with an escape", SPAN_INIT(LINE "Host: a%2eb\r\n\r\n"), HTTP_HOST },
    { "absolute-form against Host", SPAN_INIT("GET http://b/ HTTP/1.1\r\n" H END), HTTP_HOST },
    { "absolute-form, other port", SPAN_INIT("GET http://a.example:81/ HTTP/1.1\r\n" H END),
      HTTP_HOST },
    { "absolute-form with userinfo", SPAN_INIT("GET http://u@a.example/ HTTP/1.1\r\n" H END),
      HTTP_HOST },
    { "absolute-form, 1.1 without Host", SPAN_INIT("GET http://a/ HTTP/1.1\r\n\r\n"),
      HTTP_HOST },
    /* framing */
    { "haproxy: 2^63 + 5", SPAN_INIT(LINE H "Content-Length: 9223372036854775813\r\n\r\n"),
      HTTP_LENGTH },
    { "2^64 + 5", SPAN_INIT(LINE H "Content-Length: 18446744073709551621\r\n\r\n"),
      HTTP_LENGTH },
    { "signed length", SPAN_INIT(LINE H "Content-Length: +5\r\n\r\n"), HTTP_LENGTH },
    { "negative length", SPAN_INIT(LINE H "Content-Length: -1\r\n\r\n"), HTTP_LENGTH },
    { "hexadecimal length", SPAN_INIT(LINE H "Content-Length: 0x5\r\n\r\n"), HTTP_LENGTH },
    { "octal length", SPAN_INIT(LINE H "Content-Length: 010\r\n\r\n"), HTTP_LENGTH },
    { "empty length", SPAN_INIT(LINE H "Content-Length:\r\n\r\n"), HTTP_LENGTH },
    { "length list", SPAN_INIT(LINE H "Content-Length: 5, 5\r\n\r\n"), HTTP_LENGTH },
    { "length with a space", SPAN_INIT(LINE H "Content-Length: 1 2\r\n\r\n"), HTTP_LENGTH },
    { "h2o: two lengths", SPAN_INIT(LINE H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
      HTTP_LENGTH },
    { "equal lengths", SPAN_INIT(LINE H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
      HTTP_LENGTH },
    { "caddy: both framings",
      SPAN_INIT(LINE H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
      HTTP_FRAMING },
    { "both, the other way round",
      SPAN_INIT(LINE H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
      HTTP_FRAMING },
    { "haproxy: chunked and a comma", SPAN_INIT(LINE H "Transfer-Encoding: chunked,\r\n\r\n"),
      HTTP_CODING },
    { "identity", SPAN_INIT(LINE H "Transfer-Encoding: identity\r\n\r\n"), HTTP_CODING },
    { "gzip, chunked", SPAN_INIT(LINE H "Transfer-Encoding: gzip, chunked\r\n\r\n"),
      HTTP_CODING },
    { "chunked twice", SPAN_INIT(LINE H "Transfer-Encoding: chunked, chunked\r\n\r\n"),
      HTTP_CODING },
    { "chunked in two lines",
      SPAN_INIT(LINE H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
      HTTP_CODING },
    { "quoted chunked", SPAN_INIT(LINE H "Transfer-Encoding: \"chunked\"\r\n\r\n"),
      HTTP_CODING },
    { "chunked with a parameter", SPAN_INIT(LINE H "Transfer-Encoding: chunked;a=b\r\n\r\n"),
      HTTP_CODING },
    { "xchunked", SPAN_INIT(LINE H "Transfer-Encoding: xchunked\r\n\r\n"), HTTP_CODING },
    { "vertical tab before chunked",
      SPAN_INIT(LINE H "Transfer-Encoding: \x0b"
                       "chunked\r\n\r\n"),
      HTTP_FIELD_VALUE },
    { "chunked in 1.0", SPAN_INIT("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"),
      HTTP_FRAMING },
    /* Connection, Expect, Upgrade */
    { "Connection: Host", SPAN_INIT(LINE H "Connection: close, Host\r\n\r\n"),
      HTTP_CONNECTION },
    { "Connection: Content-Length",
      SPAN_INIT(LINE H "Content-Length: 0\r\nConnection: content-length\r\n\r\n"),
      HTTP_CONNECTION },
    { "Connection: X-Forwarded-For", SPAN_INIT(LINE H "Connection: X-Forwarded-For\r\n\r\n"),
      HTTP_CONNECTION },
    { "Connection: an alias", SPAN_INIT(LINE H "Connection: Content_Length\r\n\r\n"),
      HTTP_CONNECTION },
    { "Connection of no token", SPAN_INIT(LINE H "Connection: a b\r\n\r\n"), HTTP_CONNECTION },
    { "Connection of 17 options",
      SPAN_INIT(LINE H "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n"),
      HTTP_CONNECTION },
    { "Expect: another", SPAN_INIT(LINE H "Expect: 200-ok\r\n\r\n"), HTTP_EXPECT },
    { "Expect of two", SPAN_INIT(LINE H "Expect: 100-continue, a\r\n\r\n"), HTTP_EXPECT },
    { "websocket without a key", SPAN_INIT(WS "Sec-WebSocket-Version: 13\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket with a short key",
      SPAN_INIT(WS "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhl\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket with a loose key",
      SPAN_INIT(WS "Sec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket, version 8", SPAN_INIT(WS KEY "Sec-WebSocket-Version: 8\r\n\r\n"),
      HTTP_UPGRADE },
    { "varnish: websocket with a body",
      SPAN_INIT(WS KEY "Sec-WebSocket-Version: 13\r\nContent-Length: 5\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket by POST",
      SPAN_INIT("POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n" KEY
                "Sec-WebSocket-Version: 13\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket in 1.0",
      SPAN_INIT("GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n" KEY
                "Sec-WebSocket-Version: 13\r\n\r\n"),
      HTTP_UPGRADE },
    { "websocket whose key is nominated",
      SPAN_INIT("GET / HTTP/1.1\r\n" H "Connection: upgrade, sec-websocket-key\r\n"
                "Upgrade: websocket\r\n" KEY "Sec-WebSocket-Version: 13\r\n\r\n"),
      HTTP_CONNECTION },
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct request req;
        enum http_error error = read_request(&req, refusals[i].head);
        if (error != refusals[i].error)
            fail_msg("%s: %.*s", refusals[i].why, (int)http_error_slug(error).len,
                     http_error_slug(error).p);
    }
}

static void test_browser(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN("GET /a/b?x=1&y HTTP/1.1\r\n"
                                        "Host: Www.Example.COM.:8080\r\n"
                                        "Connection: keep-alive\r\n"
                                        "user-agent:\t Mozilla/5.0 (\xc3\xa4) \t\r\n"
                                        "X-Empty:\r\n"
                                        "Cookie: a=b\r\nCookie: c=d\r\n\r\n")),
                HTTP_OK);
    assert_text(req.method, "GET");
    assert_int_equal(req.method_id, METHOD_GET);
    assert_text(req.target, "/a/b?x=1&y");
    assert_text(req.path, "/a/b");
    assert_text(req.path_wire, "/a/b");
    assert_true(req.has_query);
    assert_text(req.query, "x=1&y");
    assert_text(req.host, "www.example.com");
    assert_int_equal(req.port, 8080);
    assert_int_equal(req.minor, 1);
    assert_int_equal(req.body, BODY_NONE);
    assert_true(req.keep_alive);
    assert_false(req.websocket);
    assert_int_equal(req.fields.count, 6);
    assert_text(fields_value(&req.fields, FIELD_USER_AGENT), "Mozilla/5.0 (\xc3\xa4)");
    assert_text(fields_find(&req.fields, SPAN("x-empty"))->value, "");
    const struct field *cookie = fields_get(&req.fields, FIELD_COOKIE);
    assert_text(cookie->value, "a=b");
    assert_text(fields_next(&req.fields, cookie)->value, "c=d");
    assert_null(fields_get(&req.fields, FIELD_CONNECTION));
    assert_true(fields_have(&req.fields, FIELD_CONNECTION));
}

struct life {
    struct span fields;
    bool old, keep_alive;
};

static void test_keep_alive(void **state)
{
    static const struct life lives[] = {
        { SPAN_INIT(""), false, true },
        { SPAN_INIT("Connection: close\r\n"), false, false },
        { SPAN_INIT("Connection: Keep-Alive, CLOSE\r\n"), false, false },
        { SPAN_INIT("Connection: keep-alive\r\nConnection: close\r\n"), false, false },
        { SPAN_INIT("Connection: close\r\nConnection: keep-alive\r\n"), false, false },
        { SPAN_INIT(""), true, false },
        { SPAN_INIT("Connection: keep-alive\r\n"), true, true },
        { SPAN_INIT("Connection: Keep-Alive\r\n"), true, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
        char buffer[256];
        struct text head = text_fixed(buffer, sizeof buffer);
        struct request req;
        text_add(&head, lives[i].old ? SPAN("GET / HTTP/1.0\r\n" H) : SPAN(LINE H));
        text_add(&head, lives[i].fields);
        text_lit(&head, "\r\n");
        assert_http(read_request(&req, text_span(&head)), HTTP_OK);
        assert_int_equal(req.keep_alive, lives[i].keep_alive);
    }
}

static void test_framings(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN(LINE H "Content-Length: 9223372036854775807\r\n\r\n")),
                HTTP_OK);
    assert_int_equal(req.body, BODY_LENGTH);
    assert_true(req.length == INT64_MAX);
    assert_http(read_request(&req, SPAN(LINE H "Content-Length: 0\r\n\r\n")), HTTP_OK);
    assert_int_equal(req.body, BODY_LENGTH);
    assert_int_equal(req.length, 0);
    assert_http(read_request(&req, SPAN(LINE H "Transfer-Encoding: ChunKed \r\n\r\n")),
                HTTP_OK);
    assert_int_equal(req.body, BODY_CHUNKED);
}

static void test_hop_by_hop(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN(LINE H "Connection: close, X-Secret ,, x_other\r\n"
                                               "x-secret: 1\r\nX-Secret: 2\r\nX_Other: 3\r\n"
                                               "Keep-Alive: 4\r\nTE: trailers\r\n"
                                               "Proxy-Authorization: 5\r\n"
                                               "Upgrade: h2c\r\nHTTP2-Settings: 6\r\n"
                                               "Transfer_Encoding: chunked\r\n"
                                               "Content.Length: 7\r\n"
                                               "X_Kept: 8\r\n\r\n")),
                HTTP_OK);
    assert_false(req.websocket);
    assert_int_equal(req.body, BODY_NONE);
    unsigned kept = 0;
    for (unsigned i = 0; i < req.fields.count; i++)
        kept += !req.fields.items[i].dropped;
    assert_int_equal(kept, 2);
    assert_text(fields_find(&req.fields, SPAN("X_Kept"))->value, "8");
    assert_non_null(fields_get(&req.fields, FIELD_HOST));
}

static void test_expect(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN("PUT / HTTP/1.1\r\n" H "Content-Length: 5\r\n"
                                        "Expect: 100-Continue\r\n\r\n")),
                HTTP_OK);
    assert_true(req.expect_continue);
    assert_null(fields_get(&req.fields, FIELD_EXPECT));
    assert_http(read_request(&req, SPAN(LINE H "Expect: 100-continue\r\n\r\n")), HTTP_OK);
    assert_false(req.expect_continue);
    assert_http(read_request(&req, SPAN("PUT / HTTP/1.0\r\n" H "Content-Length: 5\r\n"
                                        "Expect: 100-continue\r\n\r\n")),
                HTTP_OK);
    assert_false(req.expect_continue);
}

static void test_websocket(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN(WS KEY "Sec-WebSocket-Version: 13\r\n\r\n")), HTTP_OK);
    assert_true(req.websocket);
    assert_null(fields_get(&req.fields, FIELD_UPGRADE));
    assert_non_null(fields_get(&req.fields, FIELD_SEC_WEBSOCKET_KEY));
    /* not nominated: only a field that does not travel */
    assert_http(read_request(&req, SPAN(LINE H "Upgrade: websocket\r\n\r\n")), HTTP_OK);
    assert_false(req.websocket);
}

static void test_absolute_form(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN("GET HTTP://A.Example:80/x HTTP/1.1\r\n" H END)),
                HTTP_OK);
    assert_text(req.host, "a.example");
    assert_text(req.path, "/x");
    assert_http(read_request(&req, SPAN("GET http://b HTTP/1.0\r\n\r\n")), HTTP_OK);
    assert_text(req.host, "b");
    assert_text(req.path, "/");
    assert_http(read_request(&req, SPAN("OPTIONS * HTTP/1.1\r\n" H END)), HTTP_OK);
    assert_text(req.path, "*");
}

/* At each limit, and one over it. */
static void test_limits(void **state)
{
    const struct head_limits tight = { .head_bytes = 64, .uri_bytes = 8, .fields = 3 };
    const struct {
        struct span head;
        enum http_error error;
    } cases[] = {
        { SPAN("GET /2345678 HTTP/1.1\r\n" H END), HTTP_OK },
        { SPAN("GET /23456789 HTTP/1.1\r\n" H END), HTTP_TARGET_LONG },
        { SPAN(LINE H "A: b\r\nA: b\r\n\r\n"), HTTP_OK },
        { SPAN(LINE H "A: b\r\nA: b\r\nA: b\r\n\r\n"), HTTP_FIELDS_MANY },
        { SPAN(LINE H "A: 123456789012345678901234\r\n\r\n"), HTTP_OK },
        { SPAN(LINE H "A: 1234567890123456789012345\r\n\r\n"), HTTP_FIELDS_LARGE },
    };

    (void)state;
    assert_int_equal(cases[4].head.len, 64);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request req;
        assert_http(request_parse(&req, exact(cases[i].head), fresh_arena(), &tight),
                    cases[i].error);
    }
}

/* Room for fields grows past the first; a spent arena is told. */
static void test_many_fields(void **state)
{
    char buffer[2048];
    struct text head = text_fixed(buffer, sizeof buffer);
    struct request req;

    (void)state;
    text_lit(&head, LINE H);
    for (int i = 0; i < 99; i++)
        text_format(&head, "X-%d: %d\r\n", i, i);
    text_lit(&head, "\r\n");
    assert_http(read_request(&req, text_span(&head)), HTTP_OK);
    assert_int_equal(req.fields.count, 100);
    assert_text(fields_find(&req.fields, SPAN("x-98"))->value, "98");

    struct arena small;
    arena_init(&small, NULL, 0, NULL, 1);
    assert_http(request_parse(&req, exact(text_span(&head)), &small, &usual), HTTP_MEMORY);
    arena_reset(&small);
}

/* What was understood stands for the record. */
static void test_partial(void **state)
{
    struct request req;

    (void)state;
    assert_http(read_request(&req, SPAN("GET /%00 HTTP/1.1\r\n" H "A: b\r\n\r\n")),
                HTTP_TARGET_ENCODING);
    assert_text(req.method, "GET");
    assert_text(req.target, "/%00");
    assert_int_equal(req.fields.count, 2);
}

struct scanned {
    struct span bytes;
    ssize_t result;
};

/* Whole, and byte by byte, where the answer may come early but not differ. */
static void test_scan(void **state)
{
    static const struct scanned cases[] = {
        { SPAN_INIT("GET / HTTP/1.1\r\n\r\nBODY"), 18 },
        { SPAN_INIT("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*\r\n\r\n"), 50 },
        { SPAN_INIT("GET / HTTP/1.1\r\nHost: a\r\n"), HEAD_MORE },
        { SPAN_INIT(""), HEAD_MORE },
        { SPAN_INIT("G"), HEAD_MORE },
        { SPAN_INIT("\r"), HEAD_BAD },
        { SPAN_INIT("\nGET"), HEAD_BAD },
        { SPAN_INIT("GET / HTTP/1.1\n"), HEAD_BAD },
        { SPAN_INIT("GET / HTTP/1.1\r\nA: b\n\r\n"), HEAD_BAD },
        { SPAN_INIT("GET / HTTP/1.1\r\nA: b\r\n\n"), HEAD_BAD },
        { SPAN_INIT("GET / HTTP/1.1\r\nA: 0123456789abcdef\0\r\n\r\n"), HEAD_BAD },
        { SPAN_INIT("GET / HTTP/1.1\r\rA\r\r\n\r\n"), 22 }, /* for the parser to refuse */
        { SPAN_INIT("0123456789012345678901234567890123456789012345678901234567890123"),
          HEAD_LARGE },
        { SPAN_INIT("01234567890123456789012345678901234567890123456789012345678901"),
          HEAD_MORE },
        { SPAN_INIT("0123456789012345678901234567890123456789012345678901234567\r\n\r\n"), 62 },
        { SPAN_INIT("012345678901234567890123456789012345678901234567890123456789\r\n\r\n"),
          64 },
        { SPAN_INIT("0123456789012345678901234567890123456789012345678901234567890\r\n\r\n"),
          HEAD_LARGE },
    };
    const size_t limit = 64;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span bytes = exact(cases[i].bytes);
        struct head_scan whole = { 0 }, slow = { 0 };
        assert_int_equal(head_scan(&whole, bytes.p, bytes.len, limit), cases[i].result);
        ssize_t result = HEAD_MORE;
        for (size_t len = 0; len <= bytes.len && result == HEAD_MORE; len++)
            result = head_scan(&slow, bytes.p, len, limit);
        assert_int_equal(result, cases[i].result);
    }
}

/* The empty line at every place against the 16 bytes of a step, and across every seam. */
static void test_scan_places(void **state)
{
    char bytes[96];

    (void)state;
    for (size_t at = 1; at <= 64; at++) {
        memset(bytes, 'a', sizeof bytes);
        memcpy(bytes + at, "\r\n\r\n", 4);
        struct head_scan whole = { 0 };
        assert_int_equal(head_scan(&whole, bytes, sizeof bytes, 1000), (ssize_t)at + 4);
        for (size_t cut = 0; cut < at + 4; cut++) {
            struct head_scan scan = { 0 };
            assert_int_equal(head_scan(&scan, bytes, cut, 1000), HEAD_MORE);
            assert_int_equal(head_scan(&scan, bytes, sizeof bytes, 1000), (ssize_t)at + 4);
        }
        bytes[at] = 'a';
        struct head_scan bare = { 0 };
        assert_int_equal(head_scan(&bare, bytes, sizeof bytes, 1000), HEAD_BAD);
    }
}

int main(void)
{
    return finish(RUN(TEST(test_refused), TEST(test_browser), TEST(test_keep_alive),
                      TEST(test_framings), TEST(test_hop_by_hop), TEST(test_expect),
                      TEST(test_websocket), TEST(test_absolute_form), TEST(test_limits),
                      TEST(test_many_fields), TEST(test_partial), TEST(test_scan),
                      TEST(test_scan_places)));
}
