/*
 * What arrives on an HTTP/2 connection, as nghttp2 tells it. A request begins only when all
 * that came with it has been read: a client that takes its request back at once costs no
 * upstream anything.
 */
#include "gateway/http2/connection.h"

static struct h2_stream *stream_at(const struct h2_session *s, int32_t id)
{
    return nghttp2_session_get_stream_user_data(s->ng, id);
}

/* ---- streams that are over ---- */

static void note_opened(struct h2_session *s, int32_t id)
{
    int32_t ahead = (id - s->newest) / 2;

    s->recent = (ahead < 64 ? s->recent << ahead : 0) | 1;
    s->newest = id;
}

static bool was_opened(const struct h2_session *s, int32_t id)
{
    int32_t behind = (s->newest - id) / 2;

    return behind >= 64 || ((s->recent >> behind) & 1);
}

/* What was on its way when our RST_STREAM was is passed over (RFC 9113 section 5.1). */
static bool was_reset_by_us(const struct h2_session *s, int32_t id)
{
    for (unsigned i = 0; i < RESETS_REMEMBERED; i++) {
        if (s->resets[i] == id)
            return true;
    }
    return false;
}

/* nghttp2 lets two errors pass: HEADERS on a stream that is over, and PRIORITY on none. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    struct h2_session *s = user;

    (void)ng;
    if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0)
        s->error = NGHTTP2_PROTOCOL_ERROR;
    if (hd->type == NGHTTP2_HEADERS && hd->stream_id <= s->newest &&
        stream_at(s, hd->stream_id) == NULL && !was_reset_by_us(s, hd->stream_id))
        s->error =
            was_opened(s, hd->stream_id) ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR;
    return s->error == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* ---- heads ---- */

/* No room in the worker, or in what this client may take of it. */
static bool is_full(const struct h2_session *s)
{
    const struct worker *worker = s->channel.worker;

    if (worker->streams >= s->host->worker_streams || client_share_spent(worker, s->share))
        return true;
    return s->share != NULL && worker->share_streams > 0 &&
           s->share->streams >= worker->share_streams;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;
    int32_t id = frame->hd.stream_id;

    s->section_bytes = 0;
    s->block = NULL;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        struct h2_stream *h = stream_at(s, id);
        if (h != NULL && h->head_done)
            h2_section_begin(&h->section, &h->stream->arena, &s->host->limits, true);
        s->block = h;
        return 0;
    }
    note_opened(s, id);
    struct h2_stream *h = is_full(s) ? NULL : h2_stream_open(s, id);
    if (h == NULL) /* it may come again (RFC 9113 section 8.7) */
        return nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    if (nghttp2_session_set_stream_user_data(ng, id, h) != 0) {
        h2_stream_release(h);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    s->block = h;
    return 0;
}

/* As nghttp2 wants it: NOLINTNEXTLINE(readability-function-size) */
static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2_session *s = user;

    (void)ng;
    (void)frame;
    (void)flags;
    s->section_bytes += name_len + value_len + 32; /* RFC 9113 section 6.5.2 */
    if (s->section_bytes > FIELDS_BOMB * s->host->limits.head_bytes)
        return h2_flooded(s, FLOOD_FIELDS);
    if (s->block != NULL)
        h2_section_add(&s->block->section, span_of((const char *)name, name_len),
                       span_of((const char *)value, value_len));
    return 0;
}

static void schedule(struct h2_stream *h)
{
    struct priority priority = priority_read(h->section.priority);
    nghttp2_extpri wish = { .urgency = priority.urgency, .inc = priority.incremental };

    (void)nghttp2_session_change_extpri_stream_priority(h->session->ng, h->id, &wish, 1);
}

static void read_head(struct h2_stream *h, bool ended)
{
    struct stream *stream = h->stream;
    struct request *req = &stream->req;
    bool tls = stream->tls != NULL;

    h->head_done = true;
    h->failed = h2_section_request(&h->section, req, &stream->head, tls, ended);
    req->scheme = tls ? SPAN("https") : SPAN("http");
    h->body_whole = ended;
    h->connect = h->failed == HTTP_OK && req->websocket;
    stream->body_ended = ended || h->connect; /* a tunnel is no body */
    if (h->failed == HTTP_OK) {
        h->continue_due = req->expect_continue;
        schedule(h);
    }
    h2_stream_queue(h);
}

static void fail(struct h2_stream *h, enum http_error error)
{
    if (h->failed == HTTP_OK)
        h->failed = error;
    h2_stream_queue(h);
}

/* END_STREAM. */
static void body_done(struct h2_stream *h)
{
    const struct request *req = &h->stream->req;

    h->body_whole = true;
    if (req->body == BODY_LENGTH && h->received != req->length)
        fail(h, HTTP_LENGTH);
    h2_stream_queue(h);
}

static void read_trailers(struct h2_stream *h, bool ended)
{
    if (!h->head_done || h->body_whole)
        return;
    enum http_error error = h2_section_trailers(&h->section, &h->stream->req.trailers);
    if (error != HTTP_OK || !ended) { /* RFC 9113 section 8.1: trailers end the stream */
        h->body_whole = ended;
        fail(h, error != HTTP_OK ? error : HTTP_TRAILER);
        return;
    }
    body_done(h);
}

static int on_headers(struct h2_session *s, const nghttp2_frame *frame)
{
    struct h2_stream *h = s->block;
    bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    s->block = NULL;
    if (h == NULL)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        read_head(h, ended);
    else
        read_trailers(h, ended);
    return 0;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;

    (void)ng;
    if (frame->hd.type == NGHTTP2_HEADERS)
        return on_headers(s, frame);
    if (frame->hd.type == NGHTTP2_SETTINGS)
        s->greeted = true;
    if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct h2_stream *h = stream_at(s, frame->hd.stream_id);
        if (h != NULL && h->head_done)
            body_done(h);
    }
    return 0;
}

/* Messages that RFC 9113 section 8.1.1 calls malformed. What HTTP/1 refuses for other reasons
 * is just answered. */
static bool is_malformed(enum http_error error)
{
    static const bool malformed[HTTP_ERROR_COUNT] = {
        [HTTP_SYNTAX] = true,     [HTTP_METHOD] = true,           [HTTP_TARGET] = true,
        [HTTP_FIELD_NAME] = true, [HTTP_FIELD_VALUE] = true,      [HTTP_FIELD_REPEATED] = true,
        [HTTP_HOST] = true,       [HTTP_LENGTH] = true,           [HTTP_FRAMING] = true,
        [HTTP_PSEUDO] = true,     [HTTP_CONNECTION_FIELD] = true, [HTTP_TRAILER] = true,
    };

    return malformed[error];
}

/* ---- bodies ---- */

static void consume(struct h2_stream *h, size_t len)
{
    struct h2_session *s = h->session;

    if (h->closed) {
        (void)nghttp2_session_consume_connection(s->ng, len);
        return;
    }
    (void)nghttp2_session_consume(s->ng, h->id, len);
    if (h->wide || h->body_whole || h->received < STREAM_WINDOW / 4)
        return;
    h->wide = true; /* a long one, and the flow reads it */
    (void)nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, h->id,
                                                STREAM_WINDOW_READ);
}

static void pass_body(struct h2_stream *h, struct span bytes)
{
    struct stream *stream = h->stream;

    stream->worker->current = stream;
    stream->body_bytes += bytes.len;
    stream->events->body(stream, bytes);
    consume(h, bytes.len);
}

void h2_deliver(struct h2_stream *h)
{
    struct stream *stream = h->stream;
    struct slab_pool *slabs = h->session->channel.slabs;

    while (h->begun && h->wanted && h->in.len > 0) {
        struct span bytes = pile_front(&h->in);
        pass_body(h, bytes);
        pile_take(&h->in, slabs, bytes.len);
    }
    if (!h->begun || !h->wanted || h->in.len > 0 || stream->body_ended || h->closed)
        return;
    stream->worker->current = stream;
    if (h->failed != HTTP_OK) {
        h->malformed |= is_malformed(h->failed);
        h->wanted = false;
        stream->events->body_error(stream, h->failed);
    } else if (h->body_whole) {
        stream->body_ended = true;
        stream->events->body_end(stream);
    }
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *h = stream_at(s, id);
    struct span bytes = span_of((const char *)data, len);

    (void)flags;
    if (h == NULL || !h->head_done || h->failed != HTTP_OK || h->finished) {
        (void)nghttp2_session_consume(ng, id, len); /* nobody wants it */
        return 0;
    }
    const struct request *req = &h->stream->req;
    h->received += len;
    h->continue_due = false;
    if (req->body == BODY_LENGTH && h->received > req->length) {
        fail(h, HTTP_LENGTH);
        (void)nghttp2_session_consume(ng, id, len);
        return 0;
    }
    if (h->begun && h->wanted && h->in.len == 0) {
        pass_body(h, bytes);
        return 0;
    }
    if (!pile_add(&h->in, s->channel.slabs, bytes)) {
        h->ours = true;
        return nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    h2_stream_queue(h);
    return 0;
}

/* ---- streams ---- */

void h2_begin(struct h2_stream *h)
{
    struct stream *stream = h->stream;

    h->begun = true;
    stream->worker->current = stream;
    if (h->failed == HTTP_OK) {
        stream->events->begin(stream);
        return;
    }
    h->malformed = is_malformed(h->failed);
    stream->events->refused(stream, h->failed);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *h = stream_at(s, id);

    (void)ng;
    if (h == NULL)
        return 0;
    if (s->block == h)
        s->block = NULL;
    h->closed = true;
    h->close_code = code;
    h2_stream_queue(h);
    return 0;
}

void h2_input_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
