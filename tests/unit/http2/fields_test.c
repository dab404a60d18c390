/* Field sections: what becomes a request, and what is refused with which reason. */
#include "gateway/http2/fields.h"

#include "gateway/http2/pile.h"
#include "tests/unit/http/http.h"

#define PSEUDO ":method=GET|:scheme=https|:authority=a.test|:path=/x?y=1"
#define NO_PATH ":method=GET|:scheme=https|:authority=a.test"

/* Fields stand as `name=value`, with bars between. */
static enum http_error section_of(struct h2_section *section, struct span text, bool trailers,
                                  struct request *req, bool ended)
{
    struct span rest = text, part, name, head = { NULL, 0 };
    struct arena *arena = fresh_arena();

    h2_section_begin(section, arena, &usual, trailers);
    while (rest.p != NULL && span_cut(&rest, '|', &part)) {
        struct span value = part;
        (void)span_cut(&value, '=', &name);
        h2_section_add(section, name, value);
    }
    *req = (struct request){ 0 };
    if (trailers)
        return h2_section_trailers(section, &req->trailers);
    return h2_section_request(section, req, &head, true, ended);
}

static enum http_error request_of(const char *text, struct request *req)
{
    struct h2_section section;

    return section_of(&section, span_text(text), false, req, true);
}

static void test_request(void **state)
{
    struct request req;

    (void)state;
    assert_http(request_of(PSEUDO "|accept=*/*|cookie=a=1|x-b=c|cookie=b=2", &req), HTTP_OK);
    assert_span(req.method, SPAN("GET"));
    assert_span(req.path, SPAN("/x"));
    assert_span(req.query, SPAN("y=1"));
    assert_span(req.host, SPAN("a.test"));
    assert_true(req.http2 && req.minor == 1 && req.body == BODY_NONE);
    assert_span(fields_value(&req.fields, FIELD_COOKIE), SPAN("a=1; b=2"));
    assert_int_equal(req.fields.count, 4); /* Host, Accept, x-b, Cookie */

    assert_http(request_of(":path=/|:authority=A.test:8443|:scheme=HTTPS|:method=HEAD", &req),
                HTTP_OK);
    assert_span(req.host, SPAN("a.test"));
    assert_int_equal(req.port, 8443);
    assert_http(request_of(":method=OPTIONS|:scheme=https|:authority=a|:path=*", &req),
                HTTP_OK);
    assert_http(request_of(":method=GET|:scheme=https|:path=/|host=b.test", &req), HTTP_OK);
    assert_span(req.host, SPAN("b.test"));
    assert_http(request_of(PSEUDO "|host=A.test:443", &req), HTTP_OK);
    assert_int_equal(req.fields.count, 1);
    assert_http(request_of(PSEUDO "|te=trailers|x=|y=\xff", &req), HTTP_OK);
}

static const struct {
    const char *text;
    enum http_error error;
} refusals[] = {
    { "", HTTP_PSEUDO },
    { ":method=GET", HTTP_PSEUDO },
    { NO_PATH, HTTP_PSEUDO },
    { NO_PATH "|:path=", HTTP_PSEUDO },
    { NO_PATH "|:path=x", HTTP_TARGET },
    { NO_PATH "|:path=*", HTTP_TARGET },
    { NO_PATH "|:path=/a b", HTTP_TARGET },
    { NO_PATH "|:path=/ HTTP/1.1\r\nx: y", HTTP_TARGET },
    { NO_PATH "|:path=http://b/", HTTP_TARGET },
    { NO_PATH "|:path=/%2e%2e", HTTP_TARGET_ROOT },
    { PSEUDO "|:path=/", HTTP_PSEUDO },
    { PSEUDO "|:status=200", HTTP_PSEUDO },
    { PSEUDO "|:protocol=websocket", HTTP_PSEUDO },
    { PSEUDO "|:=x", HTTP_PSEUDO },
    { "x=1|" PSEUDO, HTTP_PSEUDO },
    { ":method=G T|:scheme=https|:authority=a|:path=/", HTTP_METHOD },
    { ":method=G\r\n|:scheme=https|:authority=a|:path=/", HTTP_METHOD },
    { ":method=CONNECT|:authority=a:1", HTTP_METHOD_REFUSED },
    { ":method=TRACE|:scheme=https|:authority=a|:path=/", HTTP_METHOD_REFUSED },
    { ":method=GET|:scheme=http|:authority=a|:path=/", HTTP_TARGET },
    { ":method=GET|:scheme=ftp|:authority=a|:path=/", HTTP_TARGET },
    { ":method=GET|:scheme=https|:authority=u@a|:path=/", HTTP_HOST },
    { ":method=GET|:scheme=https|:authority=a\r\nx: y|:path=/", HTTP_HOST },
    { ":method=GET|:scheme=https|:path=/", HTTP_HOST },
    { PSEUDO "|host=b.test", HTTP_HOST },
    { PSEUDO "|host=a.test:8443", HTTP_HOST },
    { PSEUDO "|host=a.test|host=a.test", HTTP_FIELD_REPEATED },
    { PSEUDO "|X=1", HTTP_FIELD_NAME },
    { PSEUDO "|=1", HTTP_FIELD_NAME },
    { PSEUDO "|a b=1", HTTP_FIELD_NAME },
    { PSEUDO "|a:b=1", HTTP_FIELD_NAME },
    { PSEUDO "|a\r\nb=1", HTTP_FIELD_NAME },
    { PSEUDO "|a= 1", HTTP_FIELD_VALUE },
    { PSEUDO "|a=1\t", HTTP_FIELD_VALUE },
    { PSEUDO "|a=1\r\nb: 2", HTTP_FIELD_VALUE },
    { PSEUDO "|a=1\n2", HTTP_FIELD_VALUE },
    { PSEUDO "|connection=close", HTTP_CONNECTION_FIELD },
    { PSEUDO "|keep-alive=5", HTTP_CONNECTION_FIELD },
    { PSEUDO "|proxy-connection=x", HTTP_CONNECTION_FIELD },
    { PSEUDO "|transfer-encoding=chunked", HTTP_CONNECTION_FIELD },
    { PSEUDO "|upgrade=h2c", HTTP_CONNECTION_FIELD },
    { PSEUDO "|te=gzip", HTTP_CONNECTION_FIELD },
    { PSEUDO "|te=Trailers", HTTP_CONNECTION_FIELD },
    { PSEUDO "|content-length=1", HTTP_LENGTH },
    { PSEUDO "|content-length=0|content-length=0", HTTP_LENGTH },
    { PSEUDO "|cookie=a\nb", HTTP_FIELD_VALUE },
    { PSEUDO "|expect=x", HTTP_EXPECT },
};

static void test_refusals(void **state)
{
    struct request req;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        enum http_error error = request_of(refusals[i].text, &req);
        if (error != refusals[i].error)
            fail_msg("%s: %s", refusals[i].text, http_error_slug(error).p);
    }
}

static void test_bodies(void **state)
{
    struct h2_section section;
    struct request req;

    (void)state;
    assert_http(section_of(&section, SPAN(PSEUDO), false, &req, false), HTTP_OK);
    assert_int_equal(req.body, BODY_CHUNKED);
    assert_false(req.expect_continue);
    assert_http(section_of(&section, SPAN(PSEUDO "|content-length=5|expect=100-continue"),
                           false, &req, false),
                HTTP_OK);
    assert_true(req.body == BODY_LENGTH && req.length == 5 && req.expect_continue);
    assert_http(section_of(&section, SPAN(PSEUDO "|expect=100-continue"), false, &req, false),
                HTTP_OK);
    assert_true(req.expect_continue);
    assert_http(section_of(&section, SPAN(PSEUDO "|content-length=0"), false, &req, true),
                HTTP_OK);
}

static void test_websocket(void **state)
{
    struct h2_section section;
    struct request req;
    struct span ask = SPAN(":method=CONNECT|:protocol=websocket|:scheme=https|:path=/chat|"
                           ":authority=a.test");

    (void)state;
    assert_http(section_of(&section, ask, false, &req, false), HTTP_OK);
    assert_true(req.websocket && req.method_id == METHOD_GET && req.body == BODY_NONE);
    assert_span(req.path, SPAN("/chat"));
    assert_int_equal(fields_value(&req.fields, FIELD_SEC_WEBSOCKET_KEY).len, 24);
    assert_http(section_of(&section, ask, false, &req, true), HTTP_UPGRADE);
    assert_http(
        request_of(":method=CONNECT|:protocol=x|:scheme=https|:path=/|:authority=a", &req),
        HTTP_METHOD_REFUSED);
    assert_http(
        request_of(":method=GET|:protocol=websocket|:scheme=https|:path=/|:authority=a", &req),
        HTTP_PSEUDO);
    assert_http(
        request_of(":method=CONNECT|:protocol=websocket|:scheme=https|:authority=a", &req),
        HTTP_PSEUDO);
}

static void test_trailers(void **state)
{
    static const char *const bad[] = { ":path=/",          "x=1|:path=/", "host=a",
                                       "content-length=1", "X=1",         "a=b\r\nc: d",
                                       "te=trailers",      "cookie=a",    "connection=x" };
    struct h2_section section;
    struct request req;

    (void)state;
    assert_http(section_of(&section, SPAN("x-sum=1|x-b="), true, &req, true), HTTP_OK);
    assert_int_equal(req.trailers.count, 2);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_http(section_of(&section, span_text(bad[i]), true, &req, true), HTTP_TRAILER);
}

static enum http_error many(unsigned fields, size_t value)
{
    static char bytes[20000];
    struct h2_section section;
    struct request req = { 0 };
    struct span head;

    memset(bytes, 'a', sizeof bytes);
    h2_section_begin(&section, fresh_arena(), &usual, false);
    h2_section_add(&section, SPAN(":method"), SPAN("GET"));
    h2_section_add(&section, SPAN(":scheme"), SPAN("https"));
    h2_section_add(&section, SPAN(":authority"), SPAN("a"));
    h2_section_add(&section, SPAN(":path"), SPAN("/"));
    for (unsigned i = 0; i < fields; i++)
        h2_section_add(&section, SPAN("x"), span_of(bytes, value));
    return h2_section_request(&section, &req, &head, true, true);
}

static void test_limits(void **state)
{
    static char path[9000];
    struct h2_section section;
    struct request req = { 0 };
    struct span head;

    (void)state;
    assert_http(many(99, 1), HTTP_OK); /* and Host */
    assert_http(many(100, 1), HTTP_FIELDS_MANY);
    assert_http(many(1, 16000), HTTP_OK);
    assert_http(many(1, 16384), HTTP_FIELDS_LARGE);
    memset(path, '/', sizeof path);
    for (size_t len = usual.uri_bytes; len <= usual.uri_bytes + 1; len++) {
        path[1] = 'a';
        h2_section_begin(&section, fresh_arena(), &usual, false);
        h2_section_add(&section, SPAN(":method"), SPAN("GET"));
        h2_section_add(&section, SPAN(":scheme"), SPAN("https"));
        h2_section_add(&section, SPAN(":authority"), SPAN("a"));
        h2_section_add(&section, SPAN(":path"), span_of(path, len));
        assert_http(h2_section_request(&section, &req, &head, true, true),
                    len > usual.uri_bytes ? HTTP_TARGET_LONG : HTTP_OK);
    }
}

static void test_priority(void **state)
{
    static const struct {
        const char *value;
        unsigned urgency;
        bool incremental;
    } rows[] = {
        { "", 3, true },       { "u=0", 0, false },  { "u=7, i", 7, true },
        { "i, u=1", 1, true }, { "u=8", 3, false },  { "u=-1", 3, false },
        { "i=?1", 3, true },   { "i=?0", 3, false }, { ",,u=2,,", 2, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct priority priority = priority_read(span_text(rows[i].value));
        assert_int_equal(priority.urgency, rows[i].urgency);
        assert_int_equal(priority.incremental, rows[i].incremental);
    }
}

static void test_pile(void **state)
{
    static char bytes[50000];
    struct slab_pool pool;
    struct pile pile = { 0 };
    size_t got = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 3);
    slab_pool_init(&pool, 2, 4);
    assert_true(pile_add(&pile, &pool, span_of(bytes, 1)));
    assert_true(pile_add(&pile, &pool, span_of(bytes + 1, 49999)));
    assert_int_equal(pile.len, 50000);
    while (pile.len > 0) {
        struct span front = span_sub(pile_front(&pile), 0, 7001);
        assert_memory_equal(front.p, bytes + got, front.len);
        got += front.len;
        pile_take(&pile, &pool, front.len);
    }
    assert_int_equal(got, 50000);
    assert_int_equal(pool.in_use, 0);
    assert_int_equal(pile_front(&pile).len, 0);
    assert_true(pile_add(&pile, &pool, span_of(bytes, 50000)));
    assert_false(pile_add(&pile, &pool, span_of(bytes, 50000))); /* the pool is at its limit */
    pile_free(&pile, &pool);
    assert_int_equal(pool.in_use, 0);
    slab_pool_close(&pool);
}

static struct span refused(const char *text)
{
    struct h2_section section;
    struct request req;
    struct span rest = span_text(text), part, name, head = { NULL, 0 };

    h2_section_begin(&section, fresh_arena(), &usual, false);
    while (rest.p != NULL && span_cut(&rest, '|', &part)) {
        struct span value = part;
        (void)span_cut(&value, '=', &name);
        h2_section_add(&section, name, value);
    }
    assert_true(h2_section_request(&section, &req, &head, true, true) != HTTP_OK);
    return head;
}

/* What is refused is written down all the same, each field in a line, in no way that could be
 * parsed strictly. */
static void test_evidence(void **state)
{
    static const struct {
        const char *text, *head;
    } rows[] = {
        { PSEUDO "|accept=*/*|Bad=x|cookie=a=1|cookie=b=2",
          "GET /x?y=1 HTTP/2\r\nHost: a.test\r\naccept: */*\r\nBad: x\r\ncookie: a=1\r\n"
          "cookie: b=2\r\n\r\n" },
        { PSEUDO "|cookie=a=1|x=a\r\nb: c|y=z",
          "GET /x?y=1 HTTP/2\r\nHost: a.test\r\nCookie: a=1\r\nx: a  b: c\r\ny: z\r\n\r\n" },
        { NO_PATH "|:path=/a\nb c|x=y", "GET /a b c HTTP/2\r\nHost: a.test\r\nx: y\r\n\r\n" },
        { PSEUDO "|:path=/other|:odd=1",
          "GET /x?y=1 HTTP/2\r\nHost: a.test\r\n:odd: 1\r\n\r\n" },
        { "x=y|:path=/|:method=PUT", "PUT / HTTP/2\r\nx: y\r\n\r\n" },
        { ":method=GET", "GET  HTTP/2\r\n\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_span(refused(rows[i].text), span_text(rows[i].head));
}

/* However much comes behind the refusal, no more is kept than a head may have. */
static void test_evidence_is_bounded(void **state)
{
    static char value[4000];
    struct h2_section section;
    struct request req;
    struct span head = { NULL, 0 };

    (void)state;
    memset(value, 'v', sizeof value);
    h2_section_begin(&section, fresh_arena(), &usual, false);
    h2_section_add(&section, SPAN(":odd"), SPAN("x"));
    for (unsigned i = 0; i < 100; i++)
        h2_section_add(&section, SPAN("x"), span_of(value, sizeof value));
    assert_http(h2_section_request(&section, &req, &head, true, true), HTTP_PSEUDO);
    assert_in_range(head.len, usual.head_bytes / 2, usual.head_bytes + 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bodies),    cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_websocket), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_priority),  cmocka_unit_test(test_pile),
        cmocka_unit_test(test_evidence),  cmocka_unit_test(test_evidence_is_bounded),
    };

    return finish(cmocka_run_group_tests(tests, NULL, NULL));
}
