/*
 * HTTP/1 sessions against clients that do what clients must not: each event once, nothing after
 * the last, every deadline, and no loop that spins. The flow is played by the test.
 */
#include "gateway/http1/session.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gateway/net/certs.h"
#include "tests/unit/net/tls_ends.h"
#include "tests/unit/plane/plane.h"

#include "tests/unit/check.h"

static struct plane plane;

/* What was told. */
static struct {
    unsigned begun, refused, slow, body_ends, drained, ended;
    enum http_error refusal, body_error;
    enum stream_end how;
    struct stream *stream;
    size_t bytes;
    char body[512], path[64];
    bool answer, read; /* at once */
} seen;

static void give(struct stream *stream, const char *text)
{
    struct response rsp = { .status = 200, .minor = 1 };
    size_t len = strlen(text);

    stream->ops->send_head(
        stream, &rsp,
        (struct wire_framing){ .body = BODY_LENGTH, .length = len, .keep_alive = true });
    stream->ops->send_body(stream, span_of(text, len));
    stream->ops->send_end(stream, NULL);
}

static void on_begin(struct stream *stream)
{
    seen.begun++;
    assert_true(seen.begun + seen.refused + seen.slow == seen.ended + 1);
    seen.stream = stream;
    seen.bytes = 0;
    struct text path = text_fixed(seen.path, sizeof seen.path - 1);
    text_add(&path, stream->req.path);
    seen.path[path.len] = '\0';
    if (seen.read)
        stream->ops->read_body(stream, true);
    if (seen.answer)
        give(stream, seen.path);
}

static void on_refused(struct stream *stream, enum http_error error)
{
    seen.refused++;
    seen.refusal = error;
    seen.stream = stream;
    give(stream, "refused");
}

static void on_slow_head(struct stream *stream)
{
    seen.slow++;
    seen.stream = stream;
    give(stream, "slow");
}

static void on_body(struct stream *stream, struct span bytes)
{
    assert_ptr_equal(stream, seen.stream);
    assert_true(bytes.len > 0);
    for (size_t i = 0; i < bytes.len && seen.bytes + i < sizeof seen.body; i++)
        seen.body[seen.bytes + i] = bytes.p[i];
    seen.bytes += bytes.len;
}

static void on_body_end(struct stream *stream)
{
    assert_ptr_equal(stream, seen.stream);
    seen.body_ends++;
}

static void on_body_error(struct stream *stream, enum http_error error)
{
    seen.body_error = error;
    give(stream, "body");
}

static void on_drained(struct stream *stream)
{
    assert_ptr_equal(stream, seen.stream);
    seen.drained++;
}

static void on_ended(struct stream *stream, enum stream_end how)
{
    assert_ptr_equal(stream, seen.stream);
    seen.ended++;
    seen.how = how;
    seen.stream = NULL;
}

static const struct stream_events events = {
    .begin = on_begin,
    .refused = on_refused,
    .slow_head = on_slow_head,
    .body = on_body,
    .body_end = on_body_end,
    .body_error = on_body_error,
    .drained = on_drained,
    .ended = on_ended,
};

static int open_plane(void **state)
{
    (void)state;
    plane_open(&plane, &events);
    memset(&seen, 0, sizeof seen);
    return 0;
}

static int close_plane(void **state)
{
    (void)state;
    plane_close(&plane);
    assert_int_equal(seen.ended, seen.begun + seen.refused + seen.slow);
    return 0;
}

static void say(int fd, const char *text)
{
    assert_true(plane_say(&plane, fd, span_text(text)));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(len) "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: " len "\r\n\r\n"

/* ---- requests ---- */

static void requests_follow_one_another(void **state)
{
    (void)state;
    seen.answer = true;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    assert_text(plane_hear(&plane, fd, NULL), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1");
    say(fd, GET("/2") GET("/3") GET("/4"));
    struct span all = plane_hear(&plane, fd, NULL);
    assert_int_equal(span_count(all, "HTTP/1.1 200 OK"), 3);
    assert_true(span_has(all, "/2HTTP") && span_has(all, "/3HTTP"));
    assert_int_equal(seen.ended, 4);
    assert_int_equal(seen.how, STREAM_DONE);
    plane_hang_up(&fd);
    plane_turns(&plane, 2);
    assert_int_equal(plane.worker.connections, 0);
}

static void the_next_request_waits_for_the_answer(void **state)
{
    (void)state;
    int fd = plane_client(&plane);
    say(fd, GET("/1") GET("/2"));
    assert_int_equal(seen.begun, 1);
    give(seen.stream, "one");
    worker_flush(&plane.worker);
    plane_turns(&plane, 3);
    assert_int_equal(seen.begun, 2);
    assert_string_equal(seen.path, "/2");
    plane_hang_up(&fd);
}

static void bytes_may_come_one_by_one(void **state)
{
    static const char text[] =
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n me\r\n0\r\nA: b\r\n\r\n" GET("/2");

    (void)state;
    seen.read = true;
    int fd = plane_client(&plane);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_true(plane_say(&plane, fd, span_of(text + i, 1)));
        if (seen.body_ends == 1 && seen.ended == 0) {
            assert_span(span_of(seen.body, seen.bytes), SPAN("hello me"));
            give(seen.stream, "ok");
            plane_turns(&plane, 2);
        }
    }
    assert_int_equal(seen.begun, 2);
    assert_string_equal(seen.path, "/2");
    plane_reset(&fd);
    plane_turns(&plane, 2);
    assert_int_equal(seen.how, STREAM_GONE);
}

static void a_refused_head_is_answered_and_ends_the_connection(void **state)
{
    static const struct {
        const char *head;
        enum http_error error;
    } rows[] = {
        { "\r\n\r\n", HTTP_LINE_END },
        { "GET / HTTP/1.1\nHost: h\n\n", HTTP_LINE_END },
        { "GET / HTTP/1.1\r\n\r\n", HTTP_HOST },
        { "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
          "chunked\r\n\r\n",
          HTTP_FRAMING },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum plane_over over;
        int fd = plane_client(&plane);
        say(fd, rows[i].head);
        struct span all = plane_hear(&plane, fd, &over);
        assert_true(span_has(all, "Connection: close\r\n"));
        assert_int_equal(over, PLANE_ENDED);
        assert_int_equal(seen.refused, i + 1);
        plane_hang_up(&fd);
        plane_turns(&plane, 2);
        assert_int_equal(plane.worker.connections, 0);
    }
}

/* ---- input that nobody takes yet ---- */

/* More behind a body than one read of a head may bring: it must neither be lost nor read over.
 */
static void much_may_be_pipelined_behind_a_body(void **state)
{
    static char much[100 * 1024];
    struct text text = text_fixed(much, sizeof much);
    unsigned count = 0;

    (void)state;
    text_lit(&text, "body");
    while (text.len + 64 < sizeof much) {
        text_lit(&text, GET("/next"));
        count++;
    }
    seen.read = true;
    int fd = plane_client(&plane);
    say(fd, POST("4"));
    assert_int_equal(seen.begun, 1);
    /* All of it is there before the session looks again. */
    size_t sent = (size_t)send(fd, much, text.len, MSG_NOSIGNAL);
    plane_turns(&plane, 1);
    seen.answer = true;
    (void)plane_say(&plane, fd, span_of(much + sent, text.len - sent));
    give(seen.stream, "first");
    worker_flush(&plane.worker);
    size_t heard = 0;
    for (unsigned i = 0; i < 200 && seen.ended <= count; i++)
        heard += plane_hear(&plane, fd, NULL).len;
    assert_int_equal(seen.ended, count + 1);
    assert_true(heard > 0);
    plane_hang_up(&fd);
}

/* A client on TLS, in the same loop. */
static struct {
    struct channel channel;
    bool ready, broken;
    char bytes[8 * 1024];
    size_t len;
} far;

static void far_readable(struct channel *channel)
{
    ssize_t n = channel_read(channel, plane.worker.scratch, SCRATCH_BYTES);
    size_t room = sizeof far.bytes - far.len;

    if (n > 0) {
        size_t kept = (size_t)n < room ? (size_t)n : room;
        memcpy(far.bytes + far.len, plane.worker.scratch, kept);
        far.len += kept;
    } else if (n != CHANNEL_AGAIN) {
        far.broken = true;
        channel_close(channel);
    }
}

static void far_drained(struct channel *channel)
{
    (void)channel;
    far.ready = true;
}

static void far_broken(struct channel *channel)
{
    far.broken = true;
    channel_close(channel);
}

static const struct channel_events far_events = { far_readable, far_drained, far_broken };

static int tls_listener;

static void connect_far(struct tls_server *server, struct tls_client *client)
{
    struct addr addr;
    struct sockaddr_storage name = { 0 };
    assert_true(addr_parse_port(SPAN("127.0.0.1:1"), &addr));
    addr.port = 0;
    socklen_t len = addr_to_sockaddr(&addr, (struct sockaddr *)&name);
    tls_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(tls_listener, (struct sockaddr *)&name, len), 0);
    assert_int_equal(listen(tls_listener, 1), 0);
    assert_int_equal(getsockname(tls_listener, (struct sockaddr *)&name, &len), 0);
    addr_from_sockaddr(&addr, (struct sockaddr *)&name);
    memset(&far, 0, sizeof far);
    assert_int_equal(channel_connect(&far.channel, &plane.worker, &addr, SPAN(""),
                                     tls_connect(client, SPAN("a.example")), &far_events),
                     OK);
    int fd = accept4(tls_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    session_accept(&plane.worker, &plane.host, fd, &addr, server, false);
    for (unsigned i = 0; i < 200 && !far.ready && !far.broken; i++)
        plane_turns(&plane, 1);
    assert_true(far.ready);
}

static void far_say(struct span bytes)
{
    channel_write(&far.channel, bytes);
    worker_flush(&plane.worker);
    plane_turns(&plane, 6);
}

static void much_may_be_pipelined_behind_a_body_on_tls(void **state)
{
    static char much[64 * 1024];
    struct tls_server *server = server_new(true, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    struct text text = text_fixed(much, sizeof much);

    (void)state;
    text_lit(&text, "body");
    while (text.len + 64 < sizeof much)
        text_lit(&text, GET("/next"));
    connect_far(server, client);
    far_say(SPAN(POST("4")));
    assert_int_equal(seen.begun, 1);
    seen.stream->ops->read_body(seen.stream, true);
    far_say(text_span(&text));
    assert_int_equal(seen.body_ends, 1);
    seen.answer = true;
    give(seen.stream, "first");
    channel_write(&far.channel, SPAN(GET("/last")));
    worker_flush(&plane.worker);
    for (unsigned i = 0; i < 12000 && strcmp(seen.path, "/last") != 0 && !far.broken; i++)
        plane_turns(&plane, 1);
    assert_string_equal(seen.path, "/last");
    channel_close(&far.channel);
    (void)close(tls_listener);
    plane_turns(&plane, 3);
    assert_int_equal(plane.worker.connections, 0);
    tls_server_free(server);
    tls_client_free(client);
}

static void failed_handshakes_are_told_once(void **state)
{
    static const struct {
        struct span said;
        const char *detail; /* NULL: nothing is told */
    } rows[] = {
        { SPAN_INIT(""), NULL },
        { SPAN_INIT("GET / HTTP/1.1\r\n\r\n"), "http request" },
        { SPAN_INIT("\x16\x03\x01\x00\x02"), "connection ended" },
    };
    struct tls_server *server = server_new(true, NULL);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        plane.faults = 0;
        int fd = plane_client_with(&plane, server, false);
        assert_true(plane_say(&plane, fd, rows[i].said) || rows[i].detail != NULL);
        plane_hang_up(&fd);
        plane_turns(&plane, 6);
        assert_int_equal(plane.faults, rows[i].detail != NULL);
        if (rows[i].detail != NULL)
            assert_string_equal(plane.fault.detail, rows[i].detail);
        assert_int_equal(plane.worker.connections, 0);
    }
    plane.host.tls_ms = 30;
    plane.faults = 0;
    int fd = plane_client_with(&plane, server, false);
    plane_sleep(&plane, 100);
    assert_int_equal(plane.faults, 1);
    assert_int_equal(plane.fault.kind, CONNECTION_TLS_FAILED);
    assert_string_equal(plane.fault.detail, "handshake took too long");
    plane_hang_up(&fd);
    tls_server_free(server);
}

/* ---- clients that leave ---- */

static void a_client_may_leave_at_every_byte(void **state)
{
    static const char text[] = GET("/1") "POST /p HTTP/1.1\r\nHost: h\r\n"
                                         "Content-Length: 5\r\n\r\nhello" GET("/2");

    (void)state;
    for (int how = 0; how < 4; how++) {
        for (size_t i = 0; i < sizeof text; i++) {
            memset(&seen, 0, sizeof seen);
            seen.answer = (how & 1) != 0;
            seen.read = (how & 1) == 0;
            int fd = plane_client(&plane);
            assert_true(plane_say(&plane, fd, span_of(text, i)));
            if (how & 2)
                plane_reset(&fd);
            else
                plane_hang_up(&fd);
            plane_turns(&plane, 4);
            if (seen.stream != NULL) /* it has only ended its direction */
                give(seen.stream, "late");
            plane_turns(&plane, 4);
            sessions_cut(&plane.worker);
            assert_int_equal(seen.ended, seen.begun + seen.refused);
        }
    }
}

static void a_half_closed_client_gets_its_answer(void **state)
{
    enum plane_over over;

    (void)state;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(plane_busy(&plane, 50) < 20);
    assert_int_equal(seen.ended, 0);
    give(seen.stream, "late");
    worker_flush(&plane.worker);
    assert_true(span_has(plane_hear(&plane, fd, &over), "Connection: close\r\n"));
    assert_int_equal(over, PLANE_ENDED);
    plane_hang_up(&fd);
}

/* A client that is not being read and leaves must neither be missed nor wake us for ever. */
static void a_paused_client_that_leaves_is_noticed_once(void **state)
{
    (void)state;
    for (int body = 0; body < 2; body++) {
        memset(&seen, 0, sizeof seen);
        int fd = plane_client(&plane);
        say(fd, body ? POST("100") "half" : GET("/1") GET("/2"));
        assert_int_equal(seen.begun, 1);
        assert_true(plane_busy(&plane, 50) < 20); /* bytes that nobody wants do not wake us */
        plane_reset(&fd);
        assert_true(plane_busy(&plane, 50) < 20);
        assert_int_equal(seen.ended, 1);
        assert_int_equal(seen.how, STREAM_GONE);
    }
}

/* ---- answers ---- */

static void an_early_answer_ends_the_connection(void **state)
{
    enum plane_over over;

    (void)state;
    seen.answer = true;
    int fd = plane_client(&plane);
    say(fd, POST("100000") "the beginning");
    struct span all = plane_hear(&plane, fd, &over);
    assert_true(span_has(all, "Connection: close\r\n"));
    assert_int_equal(over, PLANE_ENDED);
    assert_int_equal(seen.ended, 1);
    /* The rest is thrown away for a while, so that no RST overtakes the answer; not for ever.
     */
    static char rest[LISTENER_BATCH * 1024];
    bool taken = plane_say(&plane, fd, span_of(rest, sizeof rest));
    assert_true(taken);
    for (unsigned i = 0; i < 1000 && plane.worker.connections > 0; i++)
        (void)plane_say(&plane, fd, span_of(rest, sizeof rest));
    assert_int_equal(plane.worker.connections, 0);
    plane_hang_up(&fd);
}

static void continue_is_said_when_the_body_is_wanted(void **state)
{
    static const char head[] = "POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                               "Content-Length: 4\r\n\r\n";

    (void)state;
    int fd = plane_client(&plane);
    say(fd, head);
    assert_int_equal(plane_hear(&plane, fd, NULL).len, 0);
    seen.stream->ops->read_body(seen.stream, true);
    worker_flush(&plane.worker);
    assert_text(plane_hear(&plane, fd, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "body");
    assert_int_equal(seen.body_ends, 1);
    give(seen.stream, "ok");
    worker_flush(&plane.worker);
    assert_false(span_has(plane_hear(&plane, fd, NULL), "100 Continue"));
    /* Not when the answer is already known, nor when the body is there. */
    say(fd, head);
    give(seen.stream, "no");
    worker_flush(&plane.worker);
    assert_false(span_has(plane_hear(&plane, fd, NULL), "100 Continue"));
    plane_hang_up(&fd);
}

static void a_cut_answer_is_seen_as_one(void **state)
{
    struct response rsp = { .status = 200, .minor = 1 };
    enum plane_over over;

    (void)state;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    seen.stream->ops->send_head(seen.stream, &rsp,
                                (struct wire_framing){ .body = BODY_CHUNKED });
    seen.stream->ops->send_body(seen.stream, SPAN("half"));
    seen.stream->ops->cut(seen.stream);
    worker_flush(&plane.worker);
    struct span all = plane_hear(&plane, fd, &over);
    assert_int_equal(over, PLANE_RESET);
    assert_false(span_has(all, "0\r\n\r\n"));
    plane_hang_up(&fd);
}

/* ---- deadlines ---- */

static void a_slow_head_is_told_and_a_silent_client_is_not(void **state)
{
    enum plane_over over;

    (void)state;
    plane.host.head_ms = 40;
    int silent = plane_client(&plane), slow = plane_client(&plane);
    say(slow, "GET / HT");
    plane_sleep(&plane, 120);
    assert_int_equal(seen.slow, 1);
    assert_int_equal(plane_hear(&plane, silent, &over).len, 0);
    assert_int_equal(over, PLANE_ENDED);
    assert_true(span_has(plane_hear(&plane, slow, &over), "slow"));
    plane_hang_up(&slow);
    plane_hang_up(&silent);
}

static void a_trickled_head_has_one_deadline(void **state)
{
    (void)state;
    plane.host.head_ms = 60;
    int fd = plane_client(&plane);
    static const char head[] =
        "GET / HTTP/1.1\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
    for (unsigned i = 0; i < sizeof head - 1 && seen.slow == 0; i++) {
        (void)send(fd, &head[i], 1, MSG_NOSIGNAL);
        plane_sleep(&plane, 5);
    }
    assert_int_equal(seen.slow + seen.refused, 1);
    plane_hang_up(&fd);
}

static void an_idle_connection_is_closed(void **state)
{
    enum plane_over over;

    (void)state;
    seen.answer = true;
    plane.host.idle_ms = 40;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    (void)plane_hear(&plane, fd, NULL);
    plane_sleep(&plane, 120);
    assert_int_equal(plane_hear(&plane, fd, &over).len, 0);
    assert_int_equal(over, PLANE_ENDED);
    assert_int_equal(seen.begun, 1);
    plane_hang_up(&fd);
}

static void a_body_must_keep_its_rate(void **state)
{
    (void)state;
    seen.read = true;
    plane.host.body_ms = 40;
    plane.host.body_min_rate = 1000;
    int fd = plane_client(&plane);
    say(fd, POST("100000"));
    for (unsigned i = 0; i < 10; i++) { /* fast enough */
        (void)send(fd, "0123456789012345678901234567890123456789", 40, MSG_NOSIGNAL);
        plane_sleep(&plane, 10);
    }
    assert_int_equal(seen.body_error, HTTP_OK);
    for (unsigned i = 0; i < 30 && seen.body_error == HTTP_OK; i++) {
        (void)send(fd, "0", 1, MSG_NOSIGNAL);
        plane_sleep(&plane, 10);
    }
    assert_int_equal(seen.body_error, HTTP_SLOW);
    plane_hang_up(&fd);
}

static void a_body_that_we_do_not_read_is_not_slow(void **state)
{
    (void)state;
    plane.host.body_ms = 20;
    int fd = plane_client(&plane);
    say(fd, POST("100"));
    plane_sleep(&plane, 80);
    assert_int_equal(seen.body_error, HTTP_OK);
    seen.stream->ops->read_body(seen.stream, true);
    plane_sleep(&plane, 80);
    assert_int_equal(seen.body_error, HTTP_SLOW);
    plane_hang_up(&fd);
}

static char large[8 << 20];

/* Sends an answer larger than any buffer to a client that takes nothing. */
static void send_large(void)
{
    struct response rsp = { .status = 200, .minor = 1 };

    seen.stream->ops->send_head(seen.stream, &rsp,
                                (struct wire_framing){ .body = BODY_LENGTH,
                                                       .length = sizeof large,
                                                       .keep_alive = true });
    seen.stream->ops->send_body(seen.stream, span_of(large, sizeof large));
    seen.stream->ops->send_end(seen.stream, NULL);
    worker_flush(&plane.worker);
    plane_turns(&plane, 2);
    assert_true(seen.stream->ops->unsent(seen.stream) > 0);
}

static void a_client_that_takes_nothing_is_cut(void **state)
{
    (void)state;
    plane.host.send_ms = 50;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    send_large();
    assert_true(plane_busy(&plane, 200) < 60);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.how, STREAM_SLOW);
    plane_hang_up(&fd);
}

static void a_client_that_takes_slowly_is_not(void **state)
{
    size_t got = 0;

    (void)state;
    plane.host.send_ms = 100;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    send_large();
    for (unsigned i = 0; i < 60 && seen.ended == 0; i++) {
        got += plane_hear_for(&plane, fd, 256 * 1024, 5, NULL).len;
        plane_sleep(&plane, 5);
    }
    got += plane_hear(&plane, fd, NULL).len;
    assert_true(got > sizeof large);
    assert_int_equal(seen.how, STREAM_DONE);
    plane_hang_up(&fd);
}

/* The deadline of the upload gives way to that of the answer. */
static void a_client_that_takes_nothing_after_its_upload_is_cut(void **state)
{
    (void)state;
    plane.host.send_ms = 50;
    seen.read = true;
    int fd = plane_client(&plane);
    say(fd, POST("4"));
    send_large();
    say(fd, "body");
    assert_int_equal(seen.body_ends, 1);
    plane_sleep(&plane, 200);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.how, STREAM_SLOW);
    plane_hang_up(&fd);
}

/* ---- tunnels ---- */

static void open_tunnel(void)
{
    struct response rsp = { .status = 101, .minor = 1, .websocket = true };

    seen.stream->ops->send_head(seen.stream, &rsp,
                                (struct wire_framing){ .keep_alive = true, .websocket = true });
    seen.stream->ops->tunnel(seen.stream);
    seen.stream->ops->read_body(seen.stream, true);
    worker_flush(&plane.worker);
    plane_turns(&plane, 2);
}

static void a_tunnel_carries_both_ways(void **state)
{
    enum plane_over over;

    (void)state;
    int fd = plane_client(&plane);
    say(fd, GET("/1") "too soon, ");
    open_tunnel();
    say(fd, "or not");
    assert_span(span_of(seen.body, seen.bytes), SPAN("too soon, or not"));
    seen.stream->ops->send_body(seen.stream, SPAN("hello"));
    worker_flush(&plane.worker);
    assert_true(span_has(plane_hear(&plane, fd, NULL), "\r\n\r\nhello"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(plane_busy(&plane, 40) < 20);
    assert_int_equal(seen.body_ends, 1);
    seen.stream->ops->send_body(seen.stream, SPAN("bye"));
    seen.stream->ops->send_end(seen.stream, NULL);
    worker_flush(&plane.worker);
    assert_text(plane_hear(&plane, fd, &over), "bye");
    assert_int_equal(over, PLANE_ENDED);
    assert_int_equal(seen.ended, 1);
    plane_hang_up(&fd);
}

/* Neither side takes anything: the client's deadline must still run. */
static void a_tunnel_blocked_both_ways_is_cut(void **state)
{
    (void)state;
    plane.host.send_ms = 50;
    int fd = plane_client(&plane);
    say(fd, GET("/1"));
    open_tunnel();
    seen.stream->ops->send_body(seen.stream, span_of(large, sizeof large));
    plane_turns(&plane, 2);
    assert_true(seen.stream->ops->unsent(seen.stream) > 0);
    seen.stream->ops->read_body(seen.stream, false);
    plane_sleep(&plane, 200);
    assert_int_equal(seen.ended, 1);
    assert_int_equal(seen.how, STREAM_SLOW);
    plane_hang_up(&fd);
}

/* ---- many ---- */

static void the_oldest_idle_connection_makes_room(void **state)
{
    enum plane_over over;
    int fds[3];

    (void)state;
    seen.answer = true;
    plane.host.connections = 2;
    for (int i = 0; i < 2; i++) {
        fds[i] = plane_client(&plane);
        say(fds[i], GET("/1"));
        (void)plane_hear(&plane, fds[i], NULL);
    }
    fds[2] = plane_client(&plane);
    (void)plane_hear(&plane, fds[0], &over);
    assert_int_equal(over, PLANE_ENDED);
    seen.answer = false;
    say(fds[2], GET("/busy"));
    say(fds[1], "GET");
    int late = plane_client(&plane); /* nobody is idle */
    (void)plane_hear(&plane, late, &over);
    assert_int_not_equal(over, PLANE_OPEN);
    assert_int_equal(plane.refused, 1);
    for (int i = 0; i < 3; i++)
        plane_hang_up(&fds[i]);
    plane_hang_up(&late);
}

static void draining_ends_idle_connections_and_finishes_the_others(void **state)
{
    enum plane_over over;

    (void)state;
    int idle = plane_client(&plane), busy = plane_client(&plane);
    seen.answer = true;
    say(idle, GET("/1"));
    (void)plane_hear(&plane, idle, NULL);
    seen.answer = false;
    say(busy, GET("/2"));
    sessions_drain(&plane.worker);
    (void)plane_hear(&plane, idle, &over);
    assert_int_equal(over, PLANE_ENDED);
    give(seen.stream, "last");
    worker_flush(&plane.worker);
    assert_true(span_has(plane_hear(&plane, busy, &over), "Connection: close"));
    assert_int_equal(over, PLANE_ENDED);
    plane_hang_up(&idle);
    plane_hang_up(&busy);
}

/* A request that has arrived is no idleness. */
static void draining_serves_what_was_pipelined(void **state)
{
    (void)state;
    int fd = plane_client(&plane);
    say(fd, GET("/1") GET("/2"));
    give(seen.stream, "one");
    worker_flush(&plane.worker);
    plane_turns(&plane, 1); /* the first is over; the second is not looked at yet */
    sessions_drain(&plane.worker);
    seen.answer = true;
    plane_turns(&plane, 3);
    assert_true(span_has(plane_hear(&plane, fd, NULL), "/2"));
    plane_hang_up(&fd);
}

/* ---- PROXY ---- */

static void a_proxy_head_comes_first(void **state)
{
    struct cidr cidr;

    (void)state;
    assert_true(addr_parse(SPAN("192.0.2.7"), &cidr.addr));
    cidr.bits = 32;
    plane.trusted = (struct cidrs){ .items = &cidr, .count = 1 };
    int fd = plane_client_with(&plane, NULL, true);
    say(fd, "PROXY TCP4 203.0.113.9 ");
    say(fd, "192.0.2.1 1000 80\r\nGET /1 HTTP/1.1\r\n");
    say(fd, "Host: h\r\n\r\n");
    assert_int_equal(seen.begun, 1);
    char text[64];
    struct text out = text_fixed(text, sizeof text);
    addr_write(&out, &seen.stream->peer);
    assert_text(text_span(&out), "203.0.113.9");
    plane_hang_up(&fd);

    enum plane_over over;
    fd = plane_client_with(&plane, NULL, true);
    say(fd, GET("/2"));
    (void)plane_hear(&plane, fd, &over);
    assert_int_not_equal(over, PLANE_OPEN);
    assert_int_equal(seen.begun, 1);
    assert_int_equal(plane.faults, 1);
    assert_string_equal(plane.fault.reason, "proxy-head");
    plane_hang_up(&fd);
}

/* The cap is for clients: not for the proxy that brings them, but for each that it names. */
static void trusted_proxies_have_no_cap_and_their_clients_do(void **state)
{
    static struct peer_counts counts;
    struct peer_cap cap = { .counts = &counts, .per_address = 1 };
    struct cidr cidr;
    int fds[4];

    (void)state;
    assert_true(addr_parse(SPAN("192.0.2.7"), &cidr.addr));
    cidr.bits = 32;
    plane.trusted = (struct cidrs){ .items = &cidr, .count = 1 };
    plane.host.cap = &cap;
    fds[0] = plane_client(&plane);
    fds[1] = plane_client(&plane);
    assert_int_equal(plane.faults, 0);

    fds[2] = plane_client_with(&plane, NULL, true);
    say(fds[2], "PROXY TCP4 203.0.113.9 192.0.2.1 1000 80\r\n");
    assert_int_equal(plane.faults, 0);
    fds[3] = plane_client_with(&plane, NULL, true);
    say(fds[3], "PROXY TCP4 203.0.113.9 192.0.2.1 1001 80\r\n" GET("/1"));
    assert_int_equal(plane.faults, 1);
    assert_string_equal(plane.fault.reason, "conns-per-ip");
    assert_int_equal(seen.begun, 0);
    plane_hang_up(&fds[3]);
    plane_hang_up(&fds[2]);
    plane_turns(&plane, 3);

    fds[3] = plane_client_with(&plane, NULL, true);
    say(fds[3], "PROXY TCP4 203.0.113.9 192.0.2.1 1001 80\r\n" GET("/1"));
    assert_int_equal(plane.faults, 1);
    assert_int_equal(seen.begun, 1);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        plane_hang_up(&fds[i]);
    plane_turns(&plane, 3);
    plane.host.cap = NULL;
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, open_plane, close_plane)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(requests_follow_one_another),
        CASE(the_next_request_waits_for_the_answer),
        CASE(bytes_may_come_one_by_one),
        CASE(a_refused_head_is_answered_and_ends_the_connection),
        CASE(much_may_be_pipelined_behind_a_body),
        CASE(much_may_be_pipelined_behind_a_body_on_tls),
        CASE(failed_handshakes_are_told_once),
        CASE(a_client_may_leave_at_every_byte),
        CASE(a_half_closed_client_gets_its_answer),
        CASE(a_paused_client_that_leaves_is_noticed_once),
        CASE(an_early_answer_ends_the_connection),
        CASE(continue_is_said_when_the_body_is_wanted),
        CASE(a_cut_answer_is_seen_as_one),
        CASE(a_slow_head_is_told_and_a_silent_client_is_not),
        CASE(a_trickled_head_has_one_deadline),
        CASE(an_idle_connection_is_closed),
        CASE(a_body_must_keep_its_rate),
        CASE(a_body_that_we_do_not_read_is_not_slow),
        CASE(a_client_that_takes_nothing_is_cut),
        CASE(a_client_that_takes_slowly_is_not),
        CASE(a_client_that_takes_nothing_after_its_upload_is_cut),
        CASE(a_tunnel_carries_both_ways),
        CASE(a_tunnel_blocked_both_ways_is_cut),
        CASE(the_oldest_idle_connection_makes_room),
        CASE(draining_ends_idle_connections_and_finishes_the_others),
        CASE(draining_serves_what_was_pipelined),
        CASE(a_proxy_head_comes_first),
        CASE(trusted_proxies_have_no_cap_and_their_clients_do),
    };
    return cmocka_run_group_tests(tests, ends_open, ends_close);
}
