/*
 * Exchanges against an upstream that the test plays: what is kept, what is tried again, and
 * what an answer that lies, trickles, or never comes does.
 */
#include "gateway/upstream/exchange.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static struct plane plane;
static struct arena arena;
static struct request req;

/* What was told. */
static struct {
    struct exchange x;
    unsigned heads, ends, errors, drains;
    enum err error;
    size_t bytes;
    char body[256];
    bool pause_at_head, pause_at_body;
} seen;

static void on_head(struct exchange *x)
{
    seen.heads++;
    if (seen.pause_at_head)
        exchange_pause(x, true);
}

static void on_body(struct exchange *x, struct span bytes)
{
    for (size_t i = 0; i < bytes.len && seen.bytes + i < sizeof seen.body; i++)
        seen.body[seen.bytes + i] = bytes.p[i];
    seen.bytes += bytes.len;
    if (seen.pause_at_body)
        exchange_pause(x, true);
}

static void on_end(struct exchange *x)
{
    (void)x;
    seen.ends++;
}

static void on_error(struct exchange *x, enum err err)
{
    (void)x;
    seen.errors++;
    seen.error = err;
}

static void on_drained(struct exchange *x)
{
    (void)x;
    seen.drains++;
}

static const struct exchange_events events = {
    .head = on_head, .body = on_body, .end = on_end, .error = on_error, .drained = on_drained
};

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, NULL);
    arena_init(&arena, NULL, 0, NULL, 16 << 20);
    memset(&seen, 0, sizeof seen);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    exchange_abort(&seen.x);
    plane_close(&plane);
    arena_reset(&arena);
    return 0;
}

static const struct head_limits limits = { .head_bytes = 64 * 1024,
                                           .uri_bytes = 8 * 1024,
                                           .fields = 100 };

static void request(const char *head)
{
    memset(&req, 0, sizeof req);
    assert_int_equal(request_parse(&req, span_text(head), &arena, &limits), HTTP_OK);
    req.scheme = SPAN("http");
    exchange_abort(&seen.x);
    memset(&seen, 0, sizeof seen);
    seen.x.events = &events;
    seen.x.framing =
        (struct wire_framing){ .body = req.body, .length = req.length, .keep_alive = true };
}

static void start(void)
{
    exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
    worker_flush(&plane.worker);
    plane_turns(&plane, 2);
}

static void get(void)
{
    request("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    start();
}

static void post(const char *body)
{
    request("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    seen.x.body = span_text(body);
    start();
}

/* The connection's far end, and the request that came on it. */
static int taken(const char *line)
{
    int fd = plane_accept(&plane, 0);
    assert_true(fd >= 0);
    assert_true(span_has(plane_hear(&plane, fd, NULL), line));
    return fd;
}

static void say(int fd, const char *text)
{
    assert_true(plane_say(&plane, fd, span_text(text)));
}

static unsigned kept(void)
{
    return plane.worker.upstreams->servers[0].idle_count;
}

/* One exchange that leaves a kept connection. */
static int keep_one(void)
{
    get();
    int fd = taken("GET /a HTTP/1.1\r\nHost: h\r\n");
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_int_equal(seen.ends, 1);
    assert_int_equal(kept(), 1);
    return fd;
}

/* ---- answers ---- */

static void answers_end_where_their_framing_says(void **state)
{
    static const struct {
        const char *head, *answer, *body;
        bool hang_up, kept;
    } rows[] = {
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false, true },
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false, true },
        { "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
          "hello", false, true },
        { "GET", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", true, false },
        { "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok",
          false, false },
        { "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false, false },
        { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "", false, true },
        { "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", false, true },
        { "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", false, true },
        { "GET", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "", false,
          true },
        /* What nobody asked for must not be there for the next request. */
        { "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "ok",
          false, false },
        { "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "", false, false },
        { "GET", "HTTP/1.1 204 No Content\r\n\r\nbody", "", false, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char head[64];
        struct text text = text_fixed(head, sizeof head);
        text_add(&text, span_text(rows[i].head));
        text_lit(&text, " / HTTP/1.1\r\nHost: h\r\n\r\n");
        request(text_cstring(&text));
        start();
        int fd = taken(rows[i].head);
        say(fd, rows[i].answer);
        if (rows[i].hang_up) {
            assert_int_equal(seen.ends, 0);
            plane_hang_up(&fd);
            plane_turns(&plane, 2);
        }
        assert_int_equal(seen.heads, 1);
        assert_int_equal(seen.ends, 1);
        assert_int_equal(seen.errors, 0);
        assert_span(span_of(seen.body, seen.bytes), span_text(rows[i].body));
        assert_int_equal(kept(), rows[i].kept);
        plane_hang_up(&fd);
        plane_turns(&plane, 2);
        assert_int_equal(kept(), 0); /* a kept connection that ends is let go */
    }
}

static void bad_answers_are_errors_and_close_the_connection(void **state)
{
    static const struct {
        const char *answer;
        enum err err;
        unsigned heads;
    } rows[] = {
        { "nonsense\r\n\r\n", ERR_PROTOCOL, 0 },
        { "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
          ERR_PROTOCOL, 0 },
        { "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
          ERR_PROTOCOL, 0 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ERR_PROTOCOL, 1 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
          ERR_PROTOCOL, 1 },
        /* cut short */
        { "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", ERR_CLOSED, 1 },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ERR_CLOSED,
          1 },
        { "HTTP/1.1 200 OK\r\nContent-", ERR_PROTOCOL, 0 },
        { "", ERR_CLOSED, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        get();
        int fd = taken("GET");
        say(fd, rows[i].answer);
        plane_hang_up(&fd);
        plane_turns(&plane, 3);
        assert_int_equal(seen.errors, 1);
        assert_int_equal(seen.error, rows[i].err);
        assert_int_equal(seen.heads, rows[i].heads);
        assert_int_equal(seen.ends, 0);
        assert_int_equal(kept(), 0);
        assert_int_equal(plane_accept(&plane, 0), -1); /* and not tried again */
    }
}

static void interim_answers_and_heads_are_bounded(void **state)
{
    (void)state;
    get();
    int fd = taken("GET");
    for (unsigned i = 0; i <= UPSTREAM_INTERIM_MAX && seen.errors == 0; i++)
        say(fd, "HTTP/1.1 102 Processing\r\n\r\n");
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_PROTOCOL);
    plane_hang_up(&fd);

    get();
    fd = taken("GET");
    say(fd, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 4000 && seen.errors == 0; i++)
        say(fd, "X: endless\r\n");
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_PROTOCOL);
    plane_hang_up(&fd);
}

static void a_trickled_head_has_one_deadline(void **state)
{
    (void)state;
    plane.upstream.response.ms = 60;
    get();
    int fd = taken("GET");
    for (unsigned i = 0; i < 100 && seen.errors == 0; i++) {
        (void)send(fd, "H", 1, MSG_NOSIGNAL);
        if (i == 0)
            (void)send(fd, "TTP/1.1 200 ", 12, MSG_NOSIGNAL);
        plane_sleep(&plane, 5);
    }
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_TIMEOUT);
    plane_hang_up(&fd);
}

/* ---- pauses ---- */

static void an_empty_answer_ends_after_a_pause(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        get();
        seen.pause_at_head = true;
        int fd = taken("GET");
        say(fd, answers[i]);
        assert_int_equal(seen.heads, 1);
        assert_int_equal(seen.ends, 0);
        exchange_pause(&seen.x, false);
        plane_turns(&plane, 3);
        assert_int_equal(seen.ends, 1);
        assert_int_equal(kept(), 1);
        plane_hang_up(&fd);
        plane_turns(&plane, 2);
    }
}

/* Who makes it wait cannot make it wait for ever. */
static void the_total_time_goes_on_in_a_pause(void **state)
{
    (void)state;
    plane.upstream.total.ms = 50;
    get();
    seen.pause_at_head = true;
    int fd = taken("GET");
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_int_equal(seen.heads, 1);
    plane_sleep(&plane, 20);
    assert_int_equal(seen.errors, 0);
    plane_sleep(&plane, 100);
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_TIMEOUT);
    plane_hang_up(&fd);
    plane_turns(&plane, 2);
}

static void a_kept_connection_has_its_time(void **state)
{
    (void)state;
    plane.upstream.kept.ms = 40;
    get();
    int fd = taken("GET");
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_int_equal(seen.ends, 1);
    assert_int_equal(kept(), 1);
    plane_sleep(&plane, 120);
    assert_int_equal(kept(), 0);
    plane_hang_up(&fd);
}

/* Upstream has said all and gone while we were paused: what it said still counts. */
static void an_answer_survives_the_end_of_its_connection(void **state)
{
    static char large[100 * 1024];

    (void)state;
    memset(large, 'x', sizeof large);
    get();
    seen.pause_at_body = true;
    int fd = taken("GET");
    say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    say(fd, "first");
    assert_int_equal(seen.bytes, 5);
    (void)plane_say(&plane, fd, span_of(large, sizeof large));
    plane_hang_up(&fd);
    assert_true(plane_busy(&plane, 60) < 30);
    assert_int_equal(seen.errors, 0);
    seen.pause_at_body = false;
    exchange_pause(&seen.x, false);
    plane_turns(&plane, 10);
    assert_int_equal(seen.errors, 0);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.bytes, 5 + sizeof large);
}

/* ---- trying again ---- */

static void a_dead_kept_connection_costs_a_safe_request_nothing(void **state)
{
    (void)state;
    int old = keep_one();
    plane_hang_up(&old); /* not yet noticed: no turn between */
    request("GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
    assert_true(seen.x.reused);
    channel_flush(&seen.x.conn->channel);
    plane_turns(&plane, 3);
    int fd = taken("GET /again");
    say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.x.tries, 2);
    plane_hang_up(&fd);
}

static void what_is_not_idempotent_or_streamed_is_never_sent_twice(void **state)
{
    (void)state;
    for (int streamed = 0; streamed < 2; streamed++) {
        int old = keep_one();
        plane_hang_up(&old);
        request(streamed ? "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
                         : "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        seen.x.streamed = streamed;
        if (!streamed)
            seen.x.body = SPAN("body");
        exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
        assert_true(seen.x.reused);
        channel_flush(&seen.x.conn->channel);
        plane_turns(&plane, 4);
        assert_int_equal(seen.errors, 1);
        assert_int_equal(seen.error, ERR_CLOSED);
        assert_int_equal(plane_accept(&plane, 0), -1);
    }
}

/* Not due for long, however slow the machine is. */
static void keep_in_cork(void)
{
    plane.worker.loop.clock.mono_ns = clock_mono_ns() + 60 * (uint64_t)1000000000;
}

/* Whatever a kept connection says while the request is still here, it is not the answer: the
 * request goes to another one as if it had never been written there. */
static void what_comes_before_the_request_has_left_is_no_answer(void **state)
{
    static const char *const says[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", "H", "", /* it ends */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        enum plane_over over;
        int old = keep_one();
        assert_int_equal(send(old, says[i], strlen(says[i]), MSG_NOSIGNAL), strlen(says[i]));
        if (says[i][0] == '\0')
            assert_int_equal(shutdown(old, SHUT_WR), 0);
        request("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        seen.x.body = SPAN("body");
        keep_in_cork();
        exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
        assert_true(seen.x.reused && seen.x.conn->channel.corked > 0);
        plane_turns(&plane, 3);
        assert_int_equal(seen.heads + seen.errors, 0);
        int fd = taken("POST /p HTTP/1.1\r\n");
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours");
        assert_int_equal(seen.ends, 1);
        assert_memory_equal(seen.body, "ours", 4);
        assert_int_equal(plane_hear(&plane, old, &over).len, 0);
        assert_int_not_equal(over, PLANE_OPEN);
        assert_int_equal(plane.worker.upstreams->servers[0].fails, 0);
        plane_hang_up(&old);
        plane_hang_up(&fd);
        plane_turns(&plane, 2);
        assert_int_equal(kept(), 0);
    }
}

/* What a streamed request has sent is gone from here: it ends, but without that answer. */
static void a_streamed_request_takes_no_such_answer_either(void **state)
{
    (void)state;
    int old = keep_one();
    assert_int_equal(send(old, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL), 19);
    request("PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    seen.x.streamed = true;
    keep_in_cork();
    exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
    exchange_send(&seen.x, SPAN("hello"));
    assert_true(seen.x.reused && seen.x.conn->channel.corked > 0);
    plane_turns(&plane, 3);
    assert_int_equal(seen.heads, 0);
    assert_int_equal(seen.error, ERR_PROTOCOL);
    assert_int_equal(plane_hear(&plane, old, NULL).len, 0);
    plane_hang_up(&old);
}

/* What is corked later is not all of it, whatever the clocks have seen meanwhile. */
static void an_early_answer_is_taken_while_the_rest_is_in_the_cork(void **state)
{
    (void)state;
    plane.upstream.response.ms = 30;
    request("PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    seen.x.streamed = true;
    start();
    int fd = taken("Transfer-Encoding: chunked\r\n\r\n");
    plane_sleep(&plane, 100); /* it goes on being written, as far as the deadline knows */
    assert_int_equal(seen.errors, 0);
    assert_int_equal(send(fd, "HTTP/1.1 204 No Content\r\n\r\n", 27, MSG_NOSIGNAL), 27);
    keep_in_cork();
    exchange_send(&seen.x, SPAN("hello"));
    assert_true(seen.x.conn->channel.corked > 0);
    plane_turns(&plane, 3);
    assert_int_equal(seen.ends, 1);
    plane_hang_up(&fd);
}

/* Nobody wants the answer any more: upstream need not know that somebody did. */
static void what_has_not_left_when_it_is_given_up_never_does(void **state)
{
    enum plane_over over;
    (void)state;
    int old = keep_one();
    request("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
    seen.x.body = SPAN("body");
    keep_in_cork();
    exchange_start(&seen.x, &plane.worker, &plane.upstream, &arena, &req);
    assert_true(seen.x.reused && seen.x.conn->channel.corked > 0);
    exchange_abort(&seen.x);
    assert_int_equal(plane_hear(&plane, old, &over).len, 0);
    assert_int_not_equal(over, PLANE_OPEN);
    plane_hang_up(&old);
}

/* Upstream may be working on it still: a deadline is no proof that it died. */
static void a_late_answer_is_not_asked_for_twice(void **state)
{
    int fds[2];

    (void)state;
    plane_servers(&plane, 2, 0);
    plane.upstream.response.ms = 40;
    for (unsigned i = 0; i < 2; i++) { /* by turns: a kept connection for each */
        get();
        fds[i] = plane_accept(&plane, i);
        assert_true(fds[i] >= 0);
        say(fds[i], "HTTP/1.1 204 No Content\r\n\r\n");
        assert_int_equal(seen.ends, 1);
    }
    for (unsigned reused = 2; reused-- > 0;) {
        get();
        assert_int_equal(seen.x.reused, reused);
        plane_sleep(&plane, 120);
        assert_int_equal(seen.errors, 1);
        assert_int_equal(seen.error, ERR_TIMEOUT);
        assert_int_equal(seen.x.tries, 1);
        if (reused)
            upstreams_drain(&plane.worker);
    }
    plane_hang_up(&fds[0]);
    plane_hang_up(&fds[1]);
}

static void a_deaf_server_is_passed_over(void **state)
{
    (void)state;
    plane_servers(&plane, 2, 1);
    for (int i = 0; i < 4; i++) {
        post("body"); /* it has reached nobody, so any method may go elsewhere */
        int fd = plane_accept(&plane, 1);
        assert_true(fd >= 0);
        assert_true(span_has(plane_hear(&plane, fd, NULL), "\r\n\r\nbody"));
        say(fd, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_int_equal(seen.ends, 1);
        plane_hang_up(&fd);
    }
    plane_servers(&plane, 2, 3);
    get();
    plane_turns(&plane, 2);
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_CONNECT);
    assert_int_equal(seen.x.tries, 2);
}

/* ---- requests ---- */

static void an_early_answer_ends_the_connection(void **state)
{
    (void)state;
    request("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    seen.x.streamed = true;
    start();
    int fd = taken("Transfer-Encoding: chunked\r\n\r\n");
    exchange_send(&seen.x, SPAN("hello"));
    worker_flush(&plane.worker);
    assert_text(plane_hear(&plane, fd, NULL), "5\r\nhello\r\n");
    say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    assert_int_equal(seen.ends, 1);
    assert_int_equal(kept(), 0);
    exchange_send(&seen.x, SPAN("more")); /* nobody is there: dropped */
    exchange_finish(&seen.x, NULL);
    enum plane_over over;
    assert_int_equal(plane_hear(&plane, fd, &over).len, 0);
    assert_int_not_equal(over, PLANE_OPEN);
    plane_hang_up(&fd);
}

static void the_answer_is_due_from_the_complete_request_on(void **state)
{
    static char body[2 << 20];

    (void)state;
    plane.upstream.response.ms = 1000;
    request("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2097152\r\n\r\n");
    seen.x.body = span_of(body, sizeof body);
    start();
    int fd = plane_accept(&plane, 0);
    size_t got = 0;
    /* Upstream takes its time, but it goes on taking. */
    while (got < sizeof body) {
        got += plane_hear_for(&plane, fd, 64 * 1024, 20, NULL).len;
        plane_sleep(&plane, 8);
        assert_int_equal(seen.errors, 0);
    }
    plane_sleep(&plane, 300);
    assert_int_equal(seen.errors, 0);
    plane_sleep(&plane, 1000);
    assert_int_equal(seen.error, ERR_TIMEOUT);
    plane_hang_up(&fd);
}

static void an_upstream_that_takes_nothing_is_late(void **state)
{
    static char body[4 << 20];

    (void)state;
    plane.upstream.response.ms = 60;
    request("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n");
    seen.x.body = span_of(body, sizeof body);
    start();
    plane_sleep(&plane, 200);
    assert_int_equal(seen.errors, 1);
    assert_int_equal(seen.error, ERR_TIMEOUT);
}

/* ---- tunnels ---- */

static int open_tunnel(void)
{
    request("GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    seen.x.framing.websocket = true;
    start();
    int fd = taken("Upgrade: websocket\r\n");
    say(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhi");
    assert_int_equal(seen.x.state, EXCHANGE_TUNNEL);
    assert_int_equal(seen.bytes, 2);
    return fd;
}

static void a_tunnel_passes_the_end_of_either_side(void **state)
{
    enum plane_over over;

    (void)state;
    int fd = open_tunnel();
    exchange_send(&seen.x, SPAN("out"));
    exchange_finish(&seen.x, NULL); /* the client has ended its direction */
    worker_flush(&plane.worker);
    assert_text(plane_hear(&plane, fd, &over), "out");
    assert_int_equal(over, PLANE_ENDED);
    say(fd, "last"); /* the other direction goes on */
    assert_int_equal(seen.bytes, 6);
    plane_hang_up(&fd);
    plane_turns(&plane, 2);
    assert_int_equal(seen.ends, 1);

    fd = open_tunnel();
    plane_hang_up(&fd);
    plane_turns(&plane, 2);
    assert_int_equal(seen.ends, 1);
    assert_int_equal(seen.errors, 0);
}

static void a_tunnel_tells_when_upstream_takes_more(void **state)
{
    static char much[1 << 20];

    (void)state;
    int fd = open_tunnel();
    exchange_send(&seen.x, span_of(much, sizeof much));
    worker_flush(&plane.worker);
    assert_true(exchange_unsent(&seen.x) > 0);
    assert_int_equal(seen.drains, 0);
    assert_int_equal(plane_hear(&plane, fd, NULL).len, sizeof much);
    assert_int_equal(exchange_unsent(&seen.x), 0);
    assert_int_equal(seen.drains, 1);
    plane_hang_up(&fd);
}

static void both_directions_keep_a_tunnel_alive(void **state)
{
    (void)state;
    int fd = open_tunnel();
    uint64_t before = seen.x.timer.deadline_ms;
    plane_sleep(&plane, 40);
    exchange_send(&seen.x, SPAN("x"));
    assert_true(seen.x.timer.deadline_ms > before);
    before = seen.x.timer.deadline_ms;
    plane_sleep(&plane, 40);
    say(fd, "y");
    assert_true(seen.x.timer.deadline_ms > before);
    plane_hang_up(&fd);
}

/* Any client could have servers ejected otherwise, with tunnels that it lets break. */
static void broken_tunnels_eject_nobody(void **state)
{
    (void)state;
    plane.upstream.passive_fails = 1;
    plane.upstream.passive_for.ms = 60000;
    int fd = open_tunnel();
    (void)send(fd, "x", 1, MSG_NOSIGNAL);
    seen.x.timer.fire(&seen.x.timer); /* nothing was said for too long */
    assert_int_equal(seen.error, ERR_TIMEOUT);
    assert_int_equal(plane.worker.upstreams->servers[0].ejected_until_ms, 0);
    plane_hang_up(&fd);
}

/* ---- giving up ---- */

static void an_exchange_can_be_given_up_at_any_moment(void **state)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

    (void)state;
    get();
    exchange_abort(&seen.x); /* connecting, or just sent */
    for (size_t i = 0; i < sizeof answer - 1; i++) {
        get();
        int fd = taken("GET");
        assert_true(plane_say(&plane, fd, span_of(answer, i)));
        exchange_abort(&seen.x);
        exchange_abort(&seen.x);
        plane_turns(&plane, 2);
        assert_int_equal(seen.ends + seen.errors, 0);
        assert_int_equal(plane.worker.upstreams->servers[0].active, 0);
        plane_hang_up(&fd);
        fd = plane_accept(&plane, 0); /* the aborted first one */
        plane_hang_up(&fd);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    return RUN(CASE(answers_end_where_their_framing_says),
               CASE(bad_answers_are_errors_and_close_the_connection),
               CASE(interim_answers_and_heads_are_bounded),
               CASE(a_trickled_head_has_one_deadline), CASE(the_total_time_goes_on_in_a_pause),
               CASE(a_kept_connection_has_its_time), CASE(an_empty_answer_ends_after_a_pause),
               CASE(an_answer_survives_the_end_of_its_connection),
               CASE(a_dead_kept_connection_costs_a_safe_request_nothing),
               CASE(what_is_not_idempotent_or_streamed_is_never_sent_twice),
               CASE(what_comes_before_the_request_has_left_is_no_answer),
               CASE(what_has_not_left_when_it_is_given_up_never_does),
               CASE(a_streamed_request_takes_no_such_answer_either),
               CASE(an_early_answer_is_taken_while_the_rest_is_in_the_cork),
               CASE(a_late_answer_is_not_asked_for_twice), CASE(a_deaf_server_is_passed_over),
               CASE(an_early_answer_ends_the_connection),
               CASE(the_answer_is_due_from_the_complete_request_on),
               CASE(an_upstream_that_takes_nothing_is_late),
               CASE(a_tunnel_passes_the_end_of_either_side),
               CASE(a_tunnel_tells_when_upstream_takes_more),
               CASE(both_directions_keep_a_tunnel_alive), CASE(broken_tunnels_eject_nobody),
               CASE(an_exchange_can_be_given_up_at_any_moment));
}
