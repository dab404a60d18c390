/*
 * A client connection and an upstream, both played by the input, with the real session, flow,
 * exchange and loop between them. What must hold:
 *
 * - with an upstream that answers as it should, the complete requests that reach it are the
 * same whether the client's bytes come at once or one by one;
 * - whatever both ends say, and whenever they stop, leave, or let a deadline pass, every stream
 *   that began ends exactly once, and nothing is told of it after that;
 * - in the end no stream, slab, timer or connection is left.
 *
 * The first byte chooses between the two; the next two are the length of what the client says.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/flow.h"
#include "gateway/http/head.h"
#include "tests/unit/plane/plane.h"

enum { CLIENT_MAX = 4096, FARS = 8, FAR_BYTES = 64 * 1024, QUIET = 5, TIMERS = 32 };

static struct plane plane;
static bool opened;

/* ---- streams: each begins once and ends once ---- */

enum { ALIVE_MAX = 16 };
static const struct stream *alive[ALIVE_MAX];

static size_t alive_at(const struct stream *stream)
{
    size_t i = 0;

    while (i < ALIVE_MAX && alive[i] != stream)
        i++;
    return i;
}

static void note_begin(const struct stream *stream)
{
    INVARIANT(alive_at(stream) == ALIVE_MAX);
    size_t at = alive_at(NULL);
    INVARIANT(at < ALIVE_MAX);
    alive[at] = stream;
}

static void on_begin(struct stream *stream)
{
    note_begin(stream);
    flow_events.begin(stream);
}

static void on_refused(struct stream *stream, enum http_error error)
{
    note_begin(stream);
    INVARIANT(error != HTTP_OK);
    flow_events.refused(stream, error);
}

static void on_slow_head(struct stream *stream)
{
    note_begin(stream);
    flow_events.slow_head(stream);
}

static void on_body(struct stream *stream, struct span bytes)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && bytes.len > 0 && !stream->body_ended);
    flow_events.body(stream, bytes);
}

static void on_body_end(struct stream *stream)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && stream->body_ended);
    flow_events.body_end(stream);
}

static void on_body_error(struct stream *stream, enum http_error error)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX && error != HTTP_OK && !stream->body_ended);
    flow_events.body_error(stream, error);
}

static void on_drained(struct stream *stream)
{
    INVARIANT(alive_at(stream) < ALIVE_MAX);
    flow_events.drained(stream);
}

static void on_ended(struct stream *stream, enum stream_end end)
{
    size_t at = alive_at(stream);

    INVARIANT(at < ALIVE_MAX);
    alive[at] = NULL;
    flow_events.ended(stream, end);
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

/* ---- the upstream's ends ---- */

struct far {
    int fd; /* -1: free */
    size_t len;
    char bytes[FAR_BYTES];
};

static struct far fars[FARS];

static void fars_close(void)
{
    for (size_t i = 0; i < FARS; i++)
        plane_hang_up(&fars[i].fd);
}

static void fars_accept(void)
{
    for (size_t i = 0; i < FARS; i++) {
        if (fars[i].fd >= 0)
            continue;
        fars[i].fd = accept4(plane.listeners[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        fars[i].len = 0;
        if (fars[i].fd < 0)
            return;
    }
}

/* True when something came, or it ended. */
static bool far_read(struct far *far)
{
    if (far->fd < 0 || far->len == FAR_BYTES)
        return false;
    ssize_t n = recv(far->fd, far->bytes + far->len, FAR_BYTES - far->len, 0);
    if (n > 0)
        far->len += (size_t)n;
    else if (n == 0)
        plane_hang_up(&far->fd);
    return n >= 0;
}

/* ---- an upstream that behaves ---- */

static char told[2][4 * FAR_BYTES]; /* requests in one normal form, of both deliveries */
static struct text said;

static bool read_body(const struct request *req, struct span *rest, struct arena *arena)
{
    struct body_reader body = { 0 };

    body_begin(&body, req->body, req->length, arena);
    while (!body.ended && rest->len > 0) {
        text_add(&said, body_next(&body, rest));
        INVARIANT(body.error == HTTP_OK);
    }
    return body.ended;
}

/* Takes one request off the far end. What we send must be strictly readable, too. */
static bool far_request(struct far *far)
{
    static const struct head_limits limits = {
        .head_bytes = FAR_BYTES, .uri_bytes = FAR_BYTES, .fields = 200, .preserve_encoded = true
    };
    struct head_scan scan = { 0 };
    ssize_t len = head_scan(&scan, far->bytes, far->len, FAR_BYTES);

    INVARIANT(len > 0 || len == HEAD_MORE);
    if (len < 0)
        return false;
    struct arena arena;
    struct request req = { 0 };
    struct span rest = span_of(far->bytes + len, far->len - (size_t)len);
    size_t had = said.len;
    arena_init(&arena, NULL, 0, NULL, 4 << 20);
    enum http_error error =
        request_parse(&req, span_of(far->bytes, (size_t)len), &arena, &limits);
    INVARIANT(error == HTTP_OK);
    text_add(&said, req.method);
    text_char(&said, ' ');
    text_add(&said, req.path_wire);
    text_char(&said, req.has_query ? '?' : ' ');
    text_add(&said, req.query);
    text_char(&said, '\n');
    bool whole = read_body(&req, &rest, &arena);
    text_char(&said, '\n');
    bool head = req.method_id == METHOD_HEAD;
    arena_reset(&arena);
    if (!whole) {
        said.len = had;
        return false;
    }
    far->len = rest.len;
    memmove(far->bytes, rest.p, rest.len);
    struct span answer = head ? SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                              : SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    (void)send(far->fd, answer.p, answer.len, MSG_NOSIGNAL);
    return true;
}

/* ---- the client's end ---- */

static bool client_drain(int fd)
{
    static char bytes[FAR_BYTES];
    bool some = false;

    while (fd >= 0 && recv(fd, bytes, sizeof bytes, 0) > 0)
        some = true;
    return some;
}

static void settle(int client)
{
    for (unsigned idle = 0; idle < QUIET; idle++) {
        plane_turns(&plane, 1);
        fars_accept();
        bool some = client_drain(client);
        for (size_t i = 0; i < FARS; i++) {
            some |= far_read(&fars[i]);
            while (fars[i].fd >= 0 && far_request(&fars[i]))
                some = true;
        }
        idle = some ? 0 : idle;
    }
}

static void finish(int *client)
{
    plane_hang_up(client);
    plane_turns(&plane, 2);
    sessions_cut(&plane.worker);
    INVARIANT(alive_at(NULL) == 0);
    for (size_t i = 0; i < ALIVE_MAX; i++)
        INVARIANT(alive[i] == NULL);
    upstreams_drain(&plane.worker);
    plane_turns(&plane, 1);
    fars_close();
    fars_accept(); /* connections that were given up before anybody took them */
    fars_close();
    const struct worker *worker = &plane.worker;
    INVARIANT(worker->connections == 0 && worker->streams == 0 && worker->held_bytes == 0);
    INVARIANT(worker->slabs.in_use == 0 && worker->loop.timers == 0);
    INVARIANT(worker->upstreams->servers[0].active == 0 &&
              worker->upstreams->servers[0].idle_count == 0);
}

/* ---- the first property ---- */

static struct span deliver(struct span bytes, bool whole, char *memory)
{
    int client = plane_client_pair(&plane);
    size_t step = whole ? bytes.len : 1;

    said = text_fixed(memory, sizeof told[0]);
    for (size_t at = 0; at < bytes.len; at += step) {
        (void)send(client, bytes.p + at, step, MSG_NOSIGNAL);
        if (whole)
            continue;
        plane_turns(&plane, 1);
        fars_accept();
        for (size_t i = 0; i < FARS; i++)
            (void)far_read(&fars[i]);
    }
    settle(client);
    finish(&client);
    INVARIANT(!said.overflow);
    return text_span(&said);
}

/* ---- the second property ---- */

static void let_a_deadline_pass(unsigned which)
{
    struct timer *found[TIMERS];
    unsigned count = 0;
    struct loop *loop = &plane.worker.loop;

    for (size_t slot = 0; slot < LOOP_SLOTS; slot++) {
        struct timer *head = &loop->wheel[slot];
        for (struct timer *timer = head->next; timer != head; timer = timer->next)
            if (timer->deadline_ms != 0 && count < TIMERS)
                found[count++] = timer;
    }
    if (count == 0)
        return;
    found[which % count]->deadline_ms = 0;
    found[which % count]->fire(found[which % count]);
}

static void send_some(int fd, struct span *from, size_t len)
{
    if (fd < 0)
        return;
    struct span part = span_sub(*from, 0, len);
    *from = span_sub(*from, part.len, from->len);
    (void)send(fd, part.p, part.len, MSG_NOSIGNAL);
}

/* One step of the script: what happens, and to whom. */
static void act(uint8_t step, int *client, struct span *asked, struct span *answered)
{
    struct far *far = &fars[step >> 3 & 1];
    size_t size = (size_t)1 << (step >> 4);

    switch (step & 7) {
    case 0:
        send_some(*client, asked, size);
        break;
    case 1:
    case 2:
        send_some(far->fd, answered, size);
        break;
    case 3:
        (void)client_drain(*client);
        break;
    case 4:
        (void)far_read(far);
        far->len = 0;
        break;
    case 5:
        if (step & 8)
            plane_hang_up(&far->fd);
        else if (far->fd >= 0)
            (void)shutdown(far->fd, SHUT_WR);
        break;
    case 6:
        if ((step & 0x38) == 8)
            plane_hang_up(client);
        else if ((step & 0x38) == 0 && *client >= 0)
            (void)shutdown(*client, SHUT_WR);
        break;
    default:
        let_a_deadline_pass(step >> 3);
        break;
    }
}

static void play(struct span asked, struct span answered, struct span script)
{
    int client = plane_client_pair(&plane);

    for (size_t i = 0; i < script.len; i++) {
        fars_accept();
        act((uint8_t)script.p[i], &client, &asked, &answered);
        plane_turns(&plane, 1 + ((uint8_t)script.p[i] >> 7));
    }
    finish(&client);
}

static void close_plane(void)
{
    plane_close(&plane);
}

static void open_once(void)
{
    if (opened)
        return;
    opened = true;
    plane_open(&plane, &events);
    INVARIANT(atexit(close_plane) == 0);
    plane.config.server.limits.response_buffer = 1024;
    for (size_t i = 0; i < FARS; i++)
        fars[i].fd = -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    open_once();
    struct span rest = span_of((const char *)data + 3, size - 3);
    size_t len = (size_t)(data[1] << 8 | data[2]) % CLIENT_MAX;
    struct span asked = span_sub(rest, 0, len);
    rest = span_sub(rest, asked.len, rest.len);

    if ((data[0] & 1) == 0) {
        struct span whole = deliver(asked, true, told[0]);
        struct span bytes = deliver(asked, false, told[1]);
        INVARIANT(span_equal(whole, bytes));
    } else {
        size_t half = rest.len / 2;
        play(asked, span_sub(rest, 0, half), span_sub(rest, half, rest.len));
    }
    return 0;
}
