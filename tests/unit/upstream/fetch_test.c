/*
 * Fetches from a server that the test plays: limits at the limit, redirects, codings, addresses
 * that may not be asked, deadlines, and what is left behind.
 */
#include "gateway/upstream/fetch.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

enum { BODY_MAX = 4096, TURNS = 20000 };

static struct plane plane;
static struct fetch f;
static struct fetch_policy policy;
static int listener = -1;
static char base[64]; /* http://127.0.0.1:port */
static unsigned told;
static char told_host[64];

static void on_done(struct fetch *done)
{
    assert_ptr_equal(done, &f);
    told++;
}

static int listen_on(uint16_t *port)
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&name, len) == 0);
    assert_true(listen(fd, 16) == 0);
    assert_true(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
    *port = ntohs(name.sin_port);
    return fd;
}

static uint16_t listener_port;

static int open_all(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    listener = listen_on(&listener_port);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", listener_port);
    policy =
        (struct fetch_policy){ .body_bytes = BODY_MAX, .connect_ms = 20000, .total_ms = 20000 };
    f = (struct fetch){ .done = on_done };
    told = 0;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fetch_close(&f);
    fetch_close(&f);
    (void)close(listener);
    plane_close(&plane); /* checks that nothing is left */
    return 0;
}

static void start_at(const char *url, struct fetch_ask ask)
{
    ask.url = span_text(url);
    fetch_close(&f);
    told = 0;
    fetch_start(&f, &plane.worker, &policy, &ask);
    assert_int_equal(told, 0); /* never at once */
    worker_flush(&plane.worker);
}

static void start(const char *path)
{
    char url[256];
    (void)snprintf(url, sizeof url, "%s%s", base, path);
    start_at(url, (struct fetch_ask){ 0 });
}

static int taken(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        loop_turn(&plane.worker.loop, 1);
    }
    fail_msg("nobody came");
    return -1;
}

static struct span asked(int fd)
{
    struct span got = { 0 };
    for (unsigned i = 0; i < TURNS && !span_has(got, "\r\n\r\n"); i++)
        got = plane_hear_for(&plane, fd, 1, 100, NULL);
    return got;
}

static void await_end(void)
{
    for (unsigned i = 0; i < TURNS && told == 0; i++)
        loop_turn(&plane.worker.loop, 1);
    assert_int_equal(told, 1);
}

/* One request, one answer, to the end. */
static void serve_bytes(struct span answer, const char *expected)
{
    int fd = taken();
    struct span request = asked(fd);
    if (expected != NULL && !span_has(request, expected))
        fail_msg("no %s in %.*s", expected, (int)request.len, request.p);
    (void)plane_say(&plane, fd, answer);
    plane_hang_up(&fd);
}

static void serve(const char *answer, const char *expected)
{
    serve_bytes(span_text(answer), expected);
}

static void good(const char *body)
{
    await_end();
    if (f.err != OK)
        fail_msg("%s", f.why);
    assert_span(f.body, span_text(body));
}

static void bad(enum err err, const char *why)
{
    await_end();
    assert_int_equal(f.err, err);
    assert_non_null(f.why);
    if (why != NULL)
        assert_string_equal(f.why, why);
}

static void an_answer_is_whole(void **state)
{
    (void)state;
    start("/a?b=c");
    serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nhello",
          "GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:");
    good("hello");
    assert_int_equal(f.status, 200);
    assert_text(fetch_etag(&f), "\"x\"");

    start("");
    serve("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          "GET / HTTP/1.1\r\n");
    good("abc");
    assert_int_equal(f.status, 404);

    start("/");
    serve("HTTP/1.1 200 OK\r\n\r\nto the end", NULL);
    good("to the end");

    start("?q"); /* a query needs a path */
    bad(ERR_SYNTAX, NULL);
}

static void a_body_is_posted_and_fields_are_sent(void **state)
{
    (void)state;
    char url[128];
    const struct fetch_field fields[] = { { SPAN_INIT("Authorization"),
                                            SPAN_INIT("Basic eA==") } };
    (void)snprintf(url, sizeof url, "%s/token", base);
    start_at(url, (struct fetch_ask){ .post = SPAN("a=b&c=d"),
                                      .post_type = SPAN("application/x-www-form-urlencoded"),
                                      .accept = SPAN("application/json"),
                                      .fields = fields,
                                      .field_count = 1 });
    int fd = taken();
    struct span request = asked(fd);
    assert_true(span_has(request, "POST /token HTTP/1.1\r\n"));
    assert_true(span_has(request, "Authorization: Basic eA==\r\n"));
    assert_true(span_has(request, "Content-Length: 7\r\n"));
    assert_true(span_has(request, "Accept: application/json\r\n"));
    assert_true(span_has(request, "Connection: close\r\n"));
    assert_true(plane_say(&plane, fd,
                          SPAN("HTTP/1.1 302 Found\r\nLocation: /x\r\n"
                               "Content-Length: 0\r\n\r\n")));
    plane_hang_up(&fd);
    good(""); /* a body is never sent elsewhere */
    assert_int_equal(f.status, 302);

    start_at(url, (struct fetch_ask){
                      .post = SPAN("x"),
                      .fields = &(struct fetch_field){ SPAN("X-A"), SPAN("a\r\nX-B: c") },
                      .field_count = 1 });
    bad(ERR_SYNTAX, NULL);
}

static void a_body_has_a_limit(void **state)
{
    (void)state;
    char answer[BODY_MAX + 256];
    char body[BODY_MAX + 2];
    memset(body, 'x', sizeof body);
    for (unsigned over = 0; over < 2; over++) {
        for (unsigned told_length = 0; told_length < 2; told_length++) {
            int head = told_length ? snprintf(answer, sizeof answer,
                                              "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n",
                                              BODY_MAX + over)
                                   : snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n\r\n");
            memcpy(answer + head, body, BODY_MAX + over);
            start("/");
            serve_bytes(span_of(answer, (size_t)head + BODY_MAX + over), NULL);
            await_end();
            assert_int_equal(f.err, over ? ERR_LIMIT : OK);
            if (!over)
                assert_int_equal(f.body.len, BODY_MAX);
        }
    }
}

static struct span gzipped(const char *head, size_t zeros, char *out, size_t size)
{
    static char plain[1 << 20];
    z_stream z = { 0 };
    memset(plain, 'a', sizeof plain);
    int len = snprintf(out, size, "%s", head);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)plain;
    z.avail_in = (unsigned)zeros;
    z.next_out = (unsigned char *)out + len;
    z.avail_out = (unsigned)(size - (size_t)len);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t all = (size_t)len + z.total_out;
    (void)deflateEnd(&z);
    return span_of(out, all);
}

static void coded_answers_are_bounded_too(void **state)
{
    (void)state;
    char answer[8192];
    const char *head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    policy.gzip = true;
    start("/");
    serve_bytes(gzipped(head, BODY_MAX, answer, sizeof answer), "Accept-Encoding: gzip\r\n");
    await_end();
    assert_int_equal(f.err, OK);
    assert_int_equal(f.body.len, BODY_MAX);

    start("/");
    serve_bytes(gzipped(head, BODY_MAX + 1, answer, sizeof answer), NULL);
    bad(ERR_LIMIT, NULL);

    start("/"); /* a bomb */
    serve_bytes(gzipped(head, 1 << 20, answer, sizeof answer), NULL);
    bad(ERR_LIMIT, NULL);

    policy.gzip = false;
    start("/");
    serve_bytes(gzipped(head, 10, answer, sizeof answer), "Accept-Encoding: identity\r\n");
    bad(ERR_PROTOCOL, "the answer is coded though nobody asked for it");
}

static void redirects_are_counted(void **state)
{
    (void)state;
    start("/");
    serve("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", NULL);
    good(""); /* off: the answer as it is */
    assert_int_equal(f.status, 302);

    policy.redirects = 2;
    start("/a");
    serve("HTTP/1.1 302 Found\r\nLocation: /b#x\r\nContent-Length: 3\r\n\r\nabc", "GET /a ");
    serve("HTTP/1.1 308 Permanent\r\nLocation: /c\r\n\r\n", "GET /b ");
    serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET /c ");
    good("ok");
    assert_text(f.url.path, "/c");

    start("/a");
    for (unsigned i = 0; i < 3; i++)
        serve("HTTP/1.1 301 Moved\r\nLocation: /a\r\n\r\n", NULL);
    bad(ERR_LIMIT, "it redirects too often");

    start("/a");
    serve("HTTP/1.1 301 Moved\r\nLocation: /a\r\nLocation: /b\r\n\r\n", NULL);
    bad(ERR_PROTOCOL, "it redirects without one Location");

    start("/a");
    serve("HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\n\r\n", NULL);
    bad(ERR_PROTOCOL, NULL);
}

static void only_changed_answers_are_asked_for(void **state)
{
    (void)state;
    char url[128];
    (void)snprintf(url, sizeof url, "%s/list", base);
    start_at(url, (struct fetch_ask){ .if_none_match = SPAN("\"v1\"") });
    serve("HTTP/1.1 304 Not Modified\r\n\r\n", "If-None-Match: \"v1\"\r\n");
    good("");
    assert_int_equal(f.status, 304);

    start("/list");
    serve("HTTP/1.1 304 Not Modified\r\n\r\n", NULL);
    bad(ERR_PROTOCOL, "304 answers what was not asked");
}

/* The metadata service of a cloud, the router, ourselves: by address, by name, by redirect. */
static unsigned two_names(void *names, struct span host, struct addr *out, unsigned max)
{
    (void)names;
    (void)snprintf(told_host, sizeof told_host, "%.*s", (int)host.len, host.p);
    assert_true(max >= 2);
    if (span_equal(host, SPAN("metadata.example")))
        return addr_parse(SPAN("169.254.169.254"), &out[0]) ? 1 : 0;
    if (span_equal(host, SPAN("both.example")))
        return addr_parse(SPAN("127.0.0.2"), &out[0]) && addr_parse(SPAN("127.0.0.1"), &out[1])
                   ? 2
                   : 0;
    return 0;
}

static void private_addresses_are_refused(void **state)
{
    (void)state;
    policy.private_refused = true;
    policy.resolve = two_names;
    start("/");
    bad(ERR_CONNECT, "its address is private");
    start_at("http://metadata.example/latest", (struct fetch_ask){ 0 });
    bad(ERR_CONNECT, "its address is private");
    start_at("http://[::ffff:127.0.0.1]/", (struct fetch_ask){ 0 });
    bad(ERR_CONNECT, "its address is private");
    start_at("http://[64:ff9b::a9fe:a9fe]/", (struct fetch_ask){ 0 });
    bad(ERR_CONNECT, "its address is private");
    start_at("http://NoBody.example/", (struct fetch_ask){ 0 });
    bad(ERR_CONNECT, "its name has no address");
    assert_string_equal(told_host, "nobody.example");
    start_at("http://2130706433/", (struct fetch_ask){ 0 });
    bad(ERR_SYNTAX, NULL);
    start_at("http://a@127.0.0.1/", (struct fetch_ask){ 0 });
    bad(ERR_SYNTAX, NULL);
}

static void each_address_of_a_name_is_tried(void **state)
{
    (void)state;
    char url[64];
    policy.resolve = two_names;
    (void)snprintf(url, sizeof url, "http://both.example:%u/", listener_port);
    start_at(url, (struct fetch_ask){ 0 });
    serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "Host: both.example:");
    good("ok");
}

static void https_is_what_was_asked_for(void **state)
{
    (void)state;
    policy.https_only = true;
    start("/");
    bad(ERR_CONNECT, "only https may be asked");
    start_at("https://127.0.0.1/", (struct fetch_ask){ 0 });
    bad(ERR_CONNECT, "https is not set up");
}

static void a_server_that_is_late_or_lies_is_an_error(void **state)
{
    (void)state;
    policy.total_ms = 60;
    start("/");
    int fd = taken();
    bad(ERR_TIMEOUT, NULL);
    plane_hang_up(&fd);

    start("/"); /* a byte now and then does not help */
    fd = taken();
    assert_true(plane_say(&plane, fd, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")));
    for (unsigned i = 0; i < TURNS && told == 0; i++) {
        (void)send(fd, "x", i % 16 == 0 && i < 1000, MSG_NOSIGNAL);
        loop_turn(&plane.worker.loop, 1);
    }
    bad(ERR_TIMEOUT, NULL);
    plane_hang_up(&fd);

    policy.total_ms = 20000;
    start("/");
    serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", NULL);
    bad(ERR_CLOSED, NULL);
    start("/");
    serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nabc",
          NULL);
    bad(ERR_PROTOCOL, NULL);
    start("/");
    serve("ICY 200 OK\r\n\r\n", NULL);
    bad(ERR_PROTOCOL, NULL);
}

static void it_can_be_given_up_at_any_time(void **state)
{
    (void)state;
    start("/");
    fetch_close(&f);
    start("/");
    int fd = taken();
    fetch_close(&f);
    plane_hang_up(&fd);
    policy.redirects = 1;
    start("/");
    fd = taken(); /* of the one given up before it was accepted */
    plane_hang_up(&fd);
    fd = taken();
    assert_true(plane_say(&plane, fd, SPAN("HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n")));
    fetch_close(&f);
    plane_hang_up(&fd);
    plane_turns(&plane, 4);
    assert_int_equal(told, 0);
}

/* ---- URLs and Cache-Control ---- */

static void locations_are_read_in_one_way(void **state)
{
    (void)state;
    static const struct {
        const char *location, *scheme, *host, *path; /* NULL: refused */
        unsigned port;
    } rows[] = {
        { "/b", "https", "a.example", "/b", 8443 },
        { "/b#frag", "https", "a.example", "/b", 8443 },
        { "//C.example/x", "https", "c.example", "/x", 443 },
        { "https://d.example:99/?q", "https", "d.example", "/?q", 99 },
        { "http://a.example/", NULL, NULL, NULL, 0 }, /* down from https */
        { "https:/\\evil.example/", NULL, NULL, NULL, 0 },
        { "/\\evil.example", NULL, NULL, NULL, 0 },
        { "https:d.example", NULL, NULL, NULL, 0 },
        { "javascript:alert(1)", NULL, NULL, NULL, 0 },
        { "https://user@d.example/", NULL, NULL, NULL, 0 },
        { "https://d.example:0/", NULL, NULL, NULL, 0 },
        { "relative", NULL, NULL, NULL, 0 },
        { "", NULL, NULL, NULL, 0 },
    };
    struct arena arena;
    struct url from, to;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    assert_null(fetch_url(SPAN("https://A.example:8443/a"), &arena, &from));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *why = fetch_url_join(&from, span_text(rows[i].location), &arena, &to);
        if (rows[i].scheme == NULL) {
            assert_non_null(why);
            continue;
        }
        assert_null(why);
        assert_span(to.scheme, span_text(rows[i].scheme));
        assert_span(to.host, span_text(rows[i].host));
        assert_span(to.path, span_text(rows[i].path));
        assert_int_equal(to.port, rows[i].port);
    }
    assert_null(fetch_url(SPAN("http://[2001:db8::1]:80/x"), &arena, &from));
    assert_null(fetch_url_join(&from, SPAN("/y"), &arena, &to));
    assert_text(to.host, "2001:db8::1");

    char longest[FETCH_URL_BYTES_MAX + 1];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "http://h/", 9);
    assert_null(fetch_url(span_of(longest, FETCH_URL_BYTES_MAX), &arena, &to));
    assert_non_null(fetch_url(span_of(longest, FETCH_URL_BYTES_MAX + 1), &arena, &to));
    arena_reset(&arena);
}

static void cache_control_is_read_for_the_shorter_time(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t age;
    } rows[] = {
        { "max-age=60", 60 },
        { "public, Max-Age = 5", 5 },
        { "max-age=\"7\"", 7 },
        { "max-age=60, no-store", 0 },
        { "no-cache", 0 },
        { "max-age=9, max-age=3", 3 },
        { "max-age=-1", 77 },
        { "private", 77 },
        { "max-age=99999999999999999999", 77 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena arena;
        struct fields fields;
        arena_init(&arena, NULL, 0, NULL, 1 << 20);
        assert_int_equal(fields_init(&fields, &arena, 4), OK);
        assert_int_equal(
            fields_add(&fields, &arena, SPAN("Cache-Control"), span_text(rows[i].value)), OK);
        assert_int_equal(fetch_max_age(&fields, 77), rows[i].age);
        arena_reset(&arena);
    }
}

#define FETCH(fn) cmocka_unit_test_setup_teardown(fn, open_all, close_all)

int main(void)
{
    return RUN(FETCH(an_answer_is_whole), FETCH(a_body_is_posted_and_fields_are_sent),
               FETCH(a_body_has_a_limit), FETCH(coded_answers_are_bounded_too),
               FETCH(redirects_are_counted), FETCH(only_changed_answers_are_asked_for),
               FETCH(private_addresses_are_refused), FETCH(each_address_of_a_name_is_tried),
               FETCH(https_is_what_was_asked_for),
               FETCH(a_server_that_is_late_or_lies_is_an_error),
               FETCH(it_can_be_given_up_at_any_time), TEST(locations_are_read_in_one_way),
               TEST(cache_control_is_read_for_the_shorter_time));
}
