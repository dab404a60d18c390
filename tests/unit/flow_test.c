/*
 * Transactions from socket to socket: a real client, the real flow, an upstream that the test
 * plays. One stage stands in the chain, and does what the request's path says.
 */
#include "gateway/flow.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static struct plane plane;
static struct op waiting;

/* ---- the stage ---- */

static struct verdict resumed(struct call *c)
{
    (void)c;
    return pass();
}

static struct verdict on_request_head(struct call *c)
{
    if (span_starts(c->req->path, SPAN("/deny")))
        return deny(REASON_RULE);
    return pass();
}

static struct verdict on_request_body(struct call *c)
{
    return span_has(c->body, "attack") ? deny(REASON_RULE) : pass();
}

static struct verdict on_response_head(struct call *c)
{
    if (c->rsp->status == 299)
        return deny(REASON_RULE);
    if (!span_starts(c->req->path, SPAN("/wait")))
        return pass();
    op_init(&waiting);
    return wait_for(c, &waiting, resumed);
}

static struct verdict on_page_resumed(struct call *c)
{
    struct reply *said = reply_new(c->txn, 200);

    if (said == NULL)
        return deny(REASON_MEMORY);
    said->type = SPAN("text/plain");
    said->body = c->body;
    return answer(REASON_PAGE, said);
}

static struct verdict on_page(struct call *c)
{
    if (!span_ends(c->req->path, SPAN("/login")))
        return pass();
    op_init(&waiting);
    op_finish(&waiting, c->txn->worker, OK, NULL);
    return wait_for(c, &waiting, on_page_resumed);
}

static const struct stage_type stage = {
    .name = "test",
    .on = { [PHASE_REQUEST_HEAD] = on_request_head,
            [PHASE_REQUEST_BODY] = on_request_body,
            [PHASE_PAGE] = on_page,
            [PHASE_RESPONSE_HEAD] = on_response_head },
};
static const struct stage_common common = { .deadline = { .ms = 1000 } };
static struct stage_instance instance = { .type = &stage, .common = &common };

static int client = -1, up = -1; /* the far ends */

static int open_plane(void **state)
{
    (void)state;
    plane_hang_up(&client); /* of a test that failed */
    plane_hang_up(&up);
    plane_open(&plane, &flow_events);
    plane.config.instances = &instance;
    plane.config.instance_count = 1;
    for (unsigned phase = 0; phase < PHASE_COUNT; phase++) {
        plane.route.chain[phase] = &instance;
        plane.route.chain_count[phase] = stage.on[phase] != NULL;
    }
    assert_int_equal(chain_attach(&plane.worker, &plane.config), OK);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    sessions_cut(&plane.worker);
    chain_detach(&plane.worker, &plane.config);
    plane_close(&plane);
    return 0;
}

static void hold_bodies(uint64_t limit)
{
    plane.route.holds_body = true;
    plane.route.body_limit = limit;
}

/* ---- both ends ---- */

static void ask(const char *text)
{
    if (client < 0)
        client = plane_client(&plane);
    assert_true(plane_say(&plane, client, span_text(text)));
}

/* What upstream has received since it was last asked. */
static struct span received(void)
{
    if (up < 0)
        up = plane_accept(&plane, 0);
    return up >= 0 ? plane_hear(&plane, up, NULL) : span_of("", 0);
}

static void reply(const char *text)
{
    assert_true(plane_say(&plane, up, span_text(text)));
}

static struct span heard(enum plane_over *over)
{
    return plane_hear(&plane, client, over);
}

static void part(void)
{
    plane_hang_up(&client);
    plane_hang_up(&up);
    plane_turns(&plane, 4);
    int left = plane_accept(&plane, 0);
    plane_hang_up(&left);
    assert_int_equal(plane.worker.streams, 0);
    assert_int_equal(plane.worker.held_bytes, 0);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define WEBSOCKET                                                                              \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"             \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define SWITCHED                                                                               \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/* ---- there and back ---- */

static void answers_come_back_in_their_framing(void **state)
{
    static const struct {
        const char *request, *answer, *has, *has_not;
        bool closed;
    } rows[] = {
        { GET("/"), OK_ANSWER, "Content-Length: 2\r\n", "chunked", false },
        { GET("/"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
          "\r\n\r\n2\r\nok\r\n0\r\n\r\n", "Content-Length", false },
        { GET("/"), "HTTP/1.1 200 OK\r\n\r\nok", "\r\n\r\n2\r\nok\r\n0\r\n\r\n",
          "Content-Length", false },
        { "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nok", "\r\n\r\nok",
          "chunked", true },
        { "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", OK_ANSWER,
          "Connection: keep-alive\r\n", "close", false },
        { "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
          "HTTP/1.1 200 OK\r\n\r\nok", "Connection: close\r\n", "keep-alive", true },
        { "GET / HTTP/1.0\r\nHost: h\r\n\r\n", OK_ANSWER, "Connection: close\r\n", "keep-alive",
          true },
        { "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
          "Content-Length: 77\r\n", "\r\n\r\n2", false },
        { "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 OK", "0\r\n\r\n",
          false },
        { GET("/"), "HTTP/1.1 204 No Content\r\n\r\n", "204 No Content", "Content-Length",
          false },
        { GET("/"), "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
          "Content-Length: 7\r\n", "chunked", false },
        { GET("/"), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_ANSWER, "200 OK", "103",
          false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum plane_over over;
        ask(rows[i].request);
        assert_true(span_has(received(), "X-Forwarded-For: 192.0.2.7\r\n"));
        reply(rows[i].answer);
        if (!span_has(span_text(rows[i].answer), "Length") &&
            !span_has(span_text(rows[i].answer), "chunked"))
            plane_hang_up(&up);
        struct span all = heard(&over);
        assert_true(span_has(all, rows[i].has));
        assert_false(span_has(all, rows[i].has_not));
        assert_true(span_has(all, "Date: "));
        assert_int_equal(over, rows[i].closed ? PLANE_ENDED : PLANE_OPEN);
        if (!rows[i].closed) { /* and the connection is good for more */
            ask(GET("/deny"));
            assert_true(span_has(heard(NULL), "403 Forbidden"));
        }
        part();
    }
}

static void bodies_reach_upstream_in_one_framing(void **state)
{
    static const struct {
        const char *fields, *body;
        bool held;
        const char *has, *has_not;
    } rows[] = {
        { "Content-Length: 2\r\n", "ab", false, "Content-Length: 2\r\n\r\nab", "chunked" },
        { "Content-Length: 2\r\n", "ab", true, "Content-Length: 2\r\n\r\nab", "chunked" },
        { "Content-Length: 0\r\n", "", true, "Content-Length: 0\r\n", "chunked" },
        { "Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n", false,
          "2\r\nab\r\n0\r\n\r\n", "Content-Length" },
        { "Transfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n", true,
          "Content-Length: 2\r\n\r\nab", "chunked" },
        { "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", true, "Content-Length: 0\r\n",
          "chunked" },
        { "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", false, "\r\n\r\n0\r\n\r\n",
          "Content-Length" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char head[256];
        struct text text = text_fixed(head, sizeof head);
        text_lit(&text, "POST /p HTTP/1.1\r\nHost: h\r\n");
        text_add(&text, span_text(rows[i].fields));
        text_lit(&text, "\r\n");
        plane.route.holds_body = rows[i].held;
        ask(text_cstring(&text));
        ask(rows[i].body);
        struct span all = received();
        assert_true(span_has(all, rows[i].has));
        assert_false(span_has(all, rows[i].has_not));
        reply(OK_ANSWER);
        assert_true(span_has(heard(NULL), "200 OK"));
        part();
    }
}

/* ---- refusals ---- */

static void what_is_refused_reaches_nobody(void **state)
{
    static const struct {
        const char *text, *status;
        uint64_t limit;
    } rows[] = {
        { GET("/deny"), "403 Forbidden", 100 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nattack", "403 Forbidden",
          100 },
        { "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
          "chunked\r\n\r\n3\r\natt\r\n3\r\nack\r\n"
          "0\r\n\r\n",
          "403 Forbidden", 100 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nlonger", "413 ", 5 },
        { "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nlonger\r\n",
          "413 ", 5 },
        { "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400 ",
          100 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: lzma\r\nContent-Length: 1\r\n\r\nx",
          "415 ", 100 },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
          "400 ", 100 },
        { "GET / HTTP/1.1\r\n\r\n", "400 ", 100 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        hold_bodies(rows[i].limit);
        ask(rows[i].text);
        assert_true(span_has(heard(NULL), rows[i].status));
        assert_int_equal(plane_accept(&plane, 0), -1);
        part();
    }
    assert_int_equal(plane.shared.counters.requests_forwarded, 0);
}

static void held_bodies_are_bounded_together(void **state)
{
    (void)state;
    hold_bodies(1 << 20);
    plane.config.server.limits.held = 64 * 1024;
    ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n");
    static char part_of_it[100 * 1024];
    (void)plane_say(&plane, client, span_of(part_of_it, sizeof part_of_it));
    assert_true(span_has(heard(NULL), "503 "));
    part();
}

/* Many slow bodies of one client leave room for those of another. */
static void one_client_holds_a_share(void **state)
{
    static char much[60 * 1024];
    int slow[5];

    (void)state;
    hold_bodies(64 * 1024);
    plane.config.server.limits.held = 1 << 20;
    for (unsigned i = 0; i < 5; i++) {
        slow[i] = plane_client(&plane);
        assert_true(
            plane_say(&plane, slow[i],
                      SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 62000\r\n\r\n")));
        assert_true(plane_say(&plane, slow[i], span_of(much, sizeof much)));
        assert_int_equal(span_has(plane_hear(&plane, slow[i], NULL), "503 "), i == 4);
    }
    plane.peer = "192.0.2.8";
    ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 61440\r\n\r\n");
    assert_true(plane_say(&plane, client, span_of(much, sizeof much)));
    assert_true(received().len > sizeof much);
    for (unsigned i = 0; i < 5; i++)
        plane_hang_up(&slow[i]);
    part();
    for (size_t i = 0; i < CLIENT_SHARES; i++)
        assert_int_equal(plane.worker.shares[i].held, 0);
}

/* `server.limits.request_memory`: what a transaction may take beside its held body. */
static void a_request_has_so_much_memory(void **state)
{
    static char fields[12 * 1024];

    (void)state;
    struct text text = text_fixed(fields, sizeof fields);
    text_lit(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    while (text.len < 11 * 1024)
        text_char(&text, 'x');
    text_lit(&text, "\r\n\r\n");
    for (int little = 0; little < 2; little++) {
        plane.host.arena_ceiling = little ? 1 : 1 << 20;
        ask(text_cstring(&text));
        if (little) {
            assert_true(span_has(heard(NULL), "503 "));
            assert_int_equal(plane_accept(&plane, 0), -1);
        } else {
            assert_true(span_has(received(), "X: xxx"));
        }
        part();
    }
}

/* A body that turns out bad while it is passed on: upstream must not take it for whole. */
static void a_bad_streamed_body_never_ends_at_upstream(void **state)
{
    (void)state;
    ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    assert_true(span_has(received(), "2\r\nab\r\n"));
    ask("zz\r\n");
    enum plane_over over;
    struct span all = plane_hear(&plane, up, &over);
    assert_false(span_has(all, "0\r\n\r\n"));
    assert_int_not_equal(over, PLANE_OPEN);
    assert_true(span_has(heard(NULL), "400 "));
    part();
}

/* ---- pages ---- */

static void pages_are_answered_here(void **state)
{
    static const struct {
        const char *text, *status, *body;
    } rows[] = {
        { GET("/.sallyport/login"), "200 OK", "\r\n\r\n" },
        { GET("/.sallyport/other"), "404 ", "\r\n\r\n" },
        { GET("/deny/login"), "403 ", "\r\n\r\n" },
        { "POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\na=b&", "200 OK",
          "\r\n\r\na=b&" },
        { "POST /login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
          "2\r\nab\r\n0\r\n\r\n",
          "200 OK", "\r\n\r\nab" },
        { "POST /login HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde", "413 ", "" },
        { "POST /login HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
          "5\r\nabcde\r\n",
          "413 ", "" },
        { "POST /login HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\n"
          "Content-Length: 1\r\n\r\nx",
          "415 ", "" },
    };

    (void)state;
    plane.route.handler = HANDLER_INTERNAL;
    plane.route.holds_body = true;
    plane.route.body_limit = plane.route.body_max = 4;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask(rows[i].text);
        struct span all = heard(NULL);
        assert_true(span_has(all, rows[i].status));
        assert_true(span_has(all, rows[i].body));
        assert_int_equal(plane_accept(&plane, 0), -1);
        part();
    }
}

/* ---- upstreams that fail ---- */

static void failures_of_upstream_have_their_status(void **state)
{
    static const struct {
        const char *answer, *status;
    } rows[] = {
        { "garbage\r\n\r\n", "502 " },
        { "", "502 " },
        { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
          "502 " },
        { "HTTP/1.1 299 Secret\r\nContent-Length: 6\r\n\r\nsecret", "403 " },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask(GET("/"));
        (void)received();
        reply(rows[i].answer);
        plane_hang_up(&up);
        plane_turns(&plane, 4);
        struct span all = heard(NULL);
        assert_true(span_has(all, rows[i].status));
        assert_false(span_has(all, "secret"));
        ask(GET("/deny")); /* the client's connection is none the worse */
        assert_true(span_has(heard(NULL), "403 "));
        part();
    }
    plane.upstream.response.ms = 40;
    ask(GET("/"));
    plane_sleep(&plane, 120);
    assert_true(span_has(heard(NULL), "504 "));
    part();
    plane_servers(&plane, 1, 1);
    ask(GET("/"));
    assert_true(span_has(heard(NULL), "502 "));
    plane_hang_up(&client);
    plane_turns(&plane, 2);
}

static void a_short_answer_is_a_visible_cut(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        enum plane_over over;
        ask(GET("/"));
        (void)received();
        reply(answers[i]);
        plane_hang_up(&up);
        plane_turns(&plane, 4);
        struct span all = heard(&over);
        assert_int_equal(over, PLANE_RESET);
        assert_false(span_has(all, "\r\n0\r\n\r\n"));
        part();
    }
}

/* ---- waiting ---- */

static void an_answer_waits_for_a_stage(void **state)
{
    static const char *const answers[] = { OK_ANSWER, "HTTP/1.1 204 No Content\r\n\r\n",
                                           "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        ask(GET("/wait"));
        (void)received();
        reply(answers[i]);
        plane_hang_up(&up);
        assert_true(plane_busy(&plane, 40) < 20);
        assert_int_equal(heard(NULL).len, 0);
        op_finish(&waiting, &plane.worker, OK, NULL);
        plane_turns(&plane, 4);
        enum plane_over over;
        struct span all = heard(&over);
        assert_int_equal(over, PLANE_OPEN);
        assert_true(span_has(all, "HTTP/1.1 20"));
        ask(GET("/deny"));
        assert_true(span_has(heard(NULL), "403 "));
        part();
    }
}

static void a_client_may_leave_while_a_stage_waits(void **state)
{
    (void)state;
    ask(GET("/wait"));
    (void)received();
    reply(OK_ANSWER);
    plane_reset(&client);
    plane_turns(&plane, 4);
    assert_true(waiting.abandoned);
    op_finish(&waiting, &plane.worker, OK, NULL); /* too late */
    part();
}

/* ---- both directions at once ---- */

static void an_early_answer_is_given_while_the_upload_goes_on(void **state)
{
    static char much[1 << 20];
    enum plane_over over;

    (void)state;
    ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n");
    (void)plane_say(&plane, client, span_of(much, 1000));
    (void)received();
    reply("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_true(span_has(heard(&over), "413 "));
    (void)plane_hear(&plane, up, &over);
    assert_int_not_equal(over, PLANE_OPEN); /* never used again */
    part();
}

static void slow_ends_hold_the_fast_ones_back(void **state)
{
    static char much[8 << 20];
    struct slab_pool *slabs = &plane.worker.slabs;

    (void)state;
    ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n");
    (void)received();
    /* Upstream takes nothing: the client is not read beyond a bound. */
    size_t sent = 0;
    for (unsigned i = 0; i < 200; i++) {
        ssize_t n = send(client, much, sizeof much - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        plane_turns(&plane, 2);
    }
    assert_true(sent < sizeof much);
    assert_true(slabs->in_use * SLAB_BYTES < 1024 * 1024);
    assert_true(plane_busy(&plane, 40) < 20);
    /* It takes all: the rest follows. */
    size_t got = 0;
    while (sent < sizeof much || got < sizeof much) {
        ssize_t n = send(client, much, sizeof much - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        got += plane_hear(&plane, up, NULL).len;
    }
    /* And the other way round. */
    reply("HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n");
    for (unsigned i = 0; i < 200; i++) {
        ssize_t n = send(up, much, sizeof much, MSG_NOSIGNAL);
        (void)n;
        plane_turns(&plane, 2);
    }
    assert_true(slabs->in_use * SLAB_BYTES < 1024 * 1024);
    assert_true(plane_busy(&plane, 40) < 20);
    part();
}

static void a_tunnel_carries_and_ends(void **state)
{
    enum plane_over over;

    (void)state;
    for (int who = 0; who < 2; who++) {
        ask(WEBSOCKET "early");
        (void)received();
        reply(SWITCHED "hello");
        assert_true(span_has(heard(NULL), "\r\n\r\nhello"));
        assert_text(received(), "early");
        ask("up");
        assert_text(received(), "up");
        reply("down");
        assert_text(heard(NULL), "down");
        plane_hang_up(who == 0 ? &client : &up);
        plane_turns(&plane, 4);
        (void)plane_hear(&plane, who == 0 ? up : client, &over);
        assert_int_equal(over, PLANE_ENDED);
        part();
        plane_turns(&plane, 4);
        assert_int_equal(plane.worker.connections, 0);
    }
    plane.route.websocket = false; /* then it is a plain request */
    ask(WEBSOCKET);
    assert_false(span_has(received(), "Upgrade"));
    reply(SWITCHED);
    assert_true(span_has(heard(NULL), "502 "));
    part();
}

static void a_silent_tunnel_ends(void **state)
{
    enum plane_over over;

    (void)state;
    plane.upstream.tunnel.ms = 50;
    ask(WEBSOCKET);
    (void)received();
    reply(SWITCHED);
    assert_true(span_has(heard(&over), "101 "));
    assert_int_equal(over, PLANE_OPEN);
    plane_sleep(&plane, 150);
    (void)heard(&over);
    assert_int_not_equal(over, PLANE_OPEN);
    part();
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(
        CASE(answers_come_back_in_their_framing), CASE(bodies_reach_upstream_in_one_framing),
        CASE(pages_are_answered_here), CASE(what_is_refused_reaches_nobody),
        CASE(held_bodies_are_bounded_together), CASE(one_client_holds_a_share),
        CASE(a_request_has_so_much_memory), CASE(a_bad_streamed_body_never_ends_at_upstream),
        CASE(failures_of_upstream_have_their_status), CASE(a_short_answer_is_a_visible_cut),
        CASE(an_answer_waits_for_a_stage), CASE(a_client_may_leave_while_a_stage_waits),
        CASE(an_early_answer_is_given_while_the_upload_goes_on),
        CASE(slow_ends_hold_the_fast_ones_back), CASE(a_tunnel_carries_and_ends),
        CASE(a_silent_tunnel_ends));
}
