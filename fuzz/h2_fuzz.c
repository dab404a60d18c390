/*
 * An HTTP/2 connection played by the input, with the real session, nghttp2, channel and loop,
 * and a consumer in the flow's place that reads, answers, waits, pauses and cuts as the first
 * bytes say. What must hold:
 *
 * - each stream that began ends exactly once, and nothing is told of it after that;
 * - the head of each request that began is one that HTTP/1 reads in the same way;
 * - no more of a body is told than its Content-Length says, and a whole one is exactly that;
 * - what we send is whole frames, none longer than the client allows;
 * - in the end no stream, slab, timer or connection is left.
 *
 * The first byte chooses the consumer, the second how the input is cut, the third whether the
 * client reads what it gets.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "gateway/http/head.h"
#include "gateway/http2/frames.h"
#include "gateway/http2/session.h"
#include "tests/unit/plane/plane.h"

enum { ALIVE_MAX = 128, OUT_MAX = 4 << 20, BIG = 100 * 1024, FRAME_MAX = 16384, QUIET = 4 };
enum { WAITS = 1, PAUSES = 2, LARGE = 4, TRAILS = 8, CUTS = 16, EARLY = 32 };

static struct plane plane;
static struct h2_host h2;
static uint64_t begun, floods[FLOOD_COUNT];
static bool opened;
static uint8_t how; /* the consumer */

/* ---- the consumer ---- */

static struct stream *alive[ALIVE_MAX];
static char big[BIG];

static size_t alive_at(const struct stream *stream)
{
    size_t i = 0;

    while (i < ALIVE_MAX && alive[i] != stream)
        i++;
    return i;
}

static void note_begin(struct stream *stream)
{
    INVARIANT(alive_at(stream) == ALIVE_MAX);
    size_t at = alive_at(NULL);
    INVARIANT(at < ALIVE_MAX);
    alive[at] = stream;
}

static void respond(struct stream *stream, int status)
{
    struct response rsp = { .status = status };
    struct fields trailers = { 0 };
    bool large = (how & LARGE) != 0;
    struct wire_framing framing = { .body = large ? BODY_CHUNKED : BODY_LENGTH,
                                    .length = 5,
                                    .keep_alive = true };

    if (stream->owner != NULL)
        return; /* answered */
    stream->owner = stream;
    INVARIANT(fields_add(&rsp.fields, &stream->arena, SPAN("X-A"), SPAN("b")) == OK);
    stream->ops->read_body(stream, false);
    stream->ops->send_head(stream, &rsp, framing);
    stream->ops->send_body(stream, large ? span_of(big, BIG) : SPAN("hello"));
    if ((how & CUTS) != 0) {
        stream->ops->cut(stream);
        return;
    }
    struct fields *kept = arena_new(&stream->arena, struct fields);
    if ((how & TRAILS) != 0 && kept != NULL) {
        INVARIANT(fields_add(&trailers, &stream->arena, SPAN("X-T"), SPAN("1")) == OK);
        *kept = trailers;
    }
    stream->ops->send_end(stream, kept);
}

/* As the flow does after a 101. */
static void talk(struct stream *stream)
{
    struct response rsp = { .status = 101 };
    struct wire_framing framing = { .keep_alive = true, .websocket = true };

    stream->owner = stream;
    stream->ops->send_head(stream, &rsp, framing);
    stream->ops->tunnel(stream);
    stream->ops->read_body(stream, true);
    stream->ops->send_body(stream, SPAN("hello"));
}

static void on_begin(struct stream *stream)
{
    static const struct head_limits limits = { .head_bytes = 64 * 1024,
                                               .uri_bytes = 64 * 1024,
                                               .fields = 1000,
                                               .preserve_encoded = true };
    struct arena arena;
    struct request again = { 0 };

    note_begin(stream);
    arena_init(&arena, NULL, 0, NULL, 4 << 20);
    INVARIANT(request_parse(&again, stream->head, &arena, &limits) == HTTP_OK);
    INVARIANT(span_equal(again.method, stream->req.method));
    INVARIANT(span_equal(again.path_wire, stream->req.path_wire));
    INVARIANT(span_equal(again.host, stream->req.host));
    INVARIANT(again.fields.count == stream->req.fields.count);
    arena_reset(&arena);
    if (stream->req.websocket && (how & EARLY) == 0)
        talk(stream);
    else if ((how & EARLY) != 0 || stream->body_ended)
        respond(stream, 200);
    else if ((how & WAITS) == 0)
        stream->ops->read_body(stream, true);
}

static void on_refused(struct stream *stream, enum http_error error)
{
    note_begin(stream);
    INVARIANT(error != HTTP_OK);
    respond(stream, 400);
}

static void on_slow_head(struct stream *stream)
{
    note_begin(stream);
    respond(stream, 408);
}

static void on_body(struct stream *stream, struct span bytes)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && bytes.len > 0 && !stream->body_ended);
    if (stream->req.body == BODY_LENGTH)
        INVARIANT(stream->body_bytes <= stream->req.length);
    if ((how & PAUSES) != 0)
        stream->ops->read_body(stream, false);
}

static void on_body_end(struct stream *stream)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && stream->body_ended);
    if (stream->req.body == BODY_LENGTH)
        INVARIANT(stream->body_bytes == stream->req.length);
    if (stream->req.websocket && stream->owner != NULL)
        stream->ops->send_end(stream, NULL);
    else
        respond(stream, 200);
}

static void on_body_error(struct stream *stream, enum http_error error)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && error != HTTP_OK && !stream->body_ended);
    respond(stream, 400);
}

static void on_drained(struct stream *stream)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX);
}

static void on_ended(struct stream *stream, enum stream_end end)
{
    size_t at = alive_at(stream);

    (void)end;
    INVARIANT(at < ALIVE_MAX);
    alive[at] = NULL;
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

/* Those that wait go on. */
static void wake(void)
{
    for (size_t i = 0; i < ALIVE_MAX; i++) {
        struct stream *stream = alive[i];
        if (stream != NULL && stream->owner == NULL && !stream->body_ended)
            stream->ops->read_body(stream, true);
    }
}

/* ---- the client ---- */

static char out[OUT_MAX];
static size_t out_len;

static bool hear(int fd)
{
    ssize_t n = recv(fd, out + out_len, sizeof out - out_len, 0);

    if (n <= 0)
        return false;
    out_len += (size_t)n;
    return true;
}

/* `whole`: the connection was not cut in the middle of what we sent. */
static void check_frames(bool whole)
{
    size_t at = 0;

    while (out_len - at >= FRAME_HEAD_BYTES) {
        const uint8_t *p = (const uint8_t *)out + at;
        size_t len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        INVARIANT(len <= FRAME_MAX && p[3] <= 9);
        at += FRAME_HEAD_BYTES + len;
        if (at > out_len)
            break;
    }
    INVARIANT(!whole || at == out_len);
}

static void finish(int *client)
{
    plane_hang_up(client);
    plane_turns(&plane, 2);
    h2_sessions_cut(&h2);
    sessions_cut(&plane.worker);
    plane_turns(&plane, 1);
    for (size_t i = 0; i < ALIVE_MAX; i++)
        INVARIANT(alive[i] == NULL);
    const struct worker *worker = &plane.worker;
    INVARIANT(worker->connections == 0 && worker->streams == 0);
    INVARIANT(worker->slabs.in_use == 0 && worker->loop.timers == 0);
    INVARIANT(h2.idle_first == NULL && h2.idle_last == NULL);
}

static void close_plane(void)
{
    h2_host_close(&h2);
    plane_close(&plane);
}

static void open_once(void)
{
    if (opened)
        return;
    opened = true;
    plane_open(&plane, &events);
    h2 = (struct h2_host){ .worker = &plane.worker,
                           .events = &events,
                           .sessions_begun = &begun,
                           .floods = floods,
                           .limits = { .head_bytes = 4096, .uri_bytes = 1024, .fields = 20 },
                           .head_ms = 5000,
                           .body_ms = 5000,
                           .send_ms = 5000,
                           .idle_ms = 5000,
                           .arena_ceiling = 1 << 20,
                           .streams = 100,
                           .worker_streams = 100,
                           .answer_bytes = 64 * 1024 };
    INVARIANT(h2_host_open(&h2) == OK);
    plane.host.http2 = &h2.handover;
    INVARIANT(atexit(close_plane) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

    if (size < 3)
        return 0;
    open_once();
    how = data[0];
    size_t step = data[1] == 0 ? size : data[1];
    bool reads = (data[2] & 1) == 0;
    int client = plane_client_pair(&plane);
    out_len = 0;
    (void)send(client, hello, sizeof hello - 1, MSG_NOSIGNAL);
    for (size_t at = 3; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;
        (void)send(client, data + at, n, MSG_NOSIGNAL);
        plane_turns(&plane, 1);
        if (reads)
            (void)hear(client);
        if ((how & WAITS) != 0 && (at & 1) != 0)
            wake();
    }
    for (unsigned idle = 0; idle < QUIET; idle++) {
        wake();
        plane_turns(&plane, 1);
        if (hear(client) && out_len < sizeof out)
            idle = 0;
    }
    check_frames(h2.sessions != NULL && out_len < sizeof out);
    finish(&client);
    return 0;
}
