/*
 * What the flow sends on an HTTP/2 connection. Operations leave frames with nghttp2 and bytes
 * in piles; the session's task frames them at the end of the turn, so that the answers of many
 * streams leave in one send.
 */
#include "gateway/http2/connection.h"

#include "gateway/http/names.h"

enum { STATUS_BYTES = 3, NUMBER_BYTES = 24, NV_EXTRA = 2 };

static void settle_later(struct h2_stream *h)
{
    loop_post(&h->session->channel.worker->loop, &h->session->task);
}

void h2_reset(struct h2_stream *h, uint32_t code)
{
    h->ours = true;
    if (!h->closed)
        (void)nghttp2_submit_rst_stream(h->session->ng, NGHTTP2_FLAG_NONE, h->id, code);
    settle_later(h);
}

/* ---- heads ---- */

static nghttp2_nv pair(struct span name, struct span value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.p,
                         .namelen = name.len,
                         .value = (uint8_t *)(uintptr_t)value.p,
                         .valuelen = value.len,
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

/* What nghttp2 copies: it writes names in lower case. */
static size_t put_fields(nghttp2_nv *out, const struct fields *fields, bool trailers)
{
    const uint64_t without =
        fields_hop | FIELD_BIT(CONTENT_LENGTH) | FIELD_BIT(SEC_WEBSOCKET_ACCEPT);
    size_t count = 0;

    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (field->dropped || (field->id != FIELD_OTHER && field_in(without, field->id)) ||
            (trailers && !field_may_trail(field)))
            continue;
        out[count] = pair(field->name, field->value);
        if (field->id == FIELD_SET_COOKIE) /* not in a table that answers share */
            out[count].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        count++;
    }
    return count;
}

/* Shared by every table: no field of the connection goes to the client, whatever upstream said.
 */
/* As nghttp2 wants it: NOLINTNEXTLINE(readability-function-size) */
static ssize_t read_answer(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *h = source->ptr;

    (void)id;
    (void)buffer;
    (void)user;
    if (h->out.len == 0 && !h->ended) {
        h->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = h->out.len < length ? h->out.len : length;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!h->ended || n < h->out.len)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (h->malformed) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM; /* RST_STREAM ends it */
    } else if (h->trailers != NULL && h->trailers->count > 0) {
        nghttp2_nv *nv =
            arena_alloc(&h->stream->arena, h->trailers->count * sizeof(nghttp2_nv));
        size_t count = nv == NULL ? 0 : put_fields(nv, h->trailers, true);
        if (count > 0 && nghttp2_submit_trailer(ng, h->id, nv, count) == 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return (ssize_t)n;
}

static bool is_bodyless(const struct h2_stream *h, int status, struct wire_framing framing)
{
    bool head = h->stream->req.method_id == METHOD_HEAD;

    return !framing.websocket &&
           (head || status == 204 || status == 304 || framing.body == BODY_NONE ||
            (framing.body == BODY_LENGTH && framing.length == 0));
}

/*
 * RFC 8441 section 5: 200 in place of 101. And no other 2xx may look like it: an application
 * that answered the handshake as a plain request has not agreed to talk.
 */
static int told_status(const struct h2_stream *h, int status, struct wire_framing framing)
{
    if (framing.websocket)
        return 200;
    return h->connect && status / 100 == 2 ? 502 : status;
}

static bool submit_head(struct h2_stream *h, const struct response *rsp,
                        struct wire_framing framing)
{
    const struct fields *fields = &rsp->fields;
    nghttp2_nv *nv =
        arena_alloc(&h->stream->arena, (fields->count + NV_EXTRA) * sizeof(nghttp2_nv));
    char status[STATUS_BYTES + 1], length[NUMBER_BYTES];
    struct text status_text = text_fixed(status, sizeof status);
    struct text length_text = text_fixed(length, sizeof length);
    size_t count = 0;

    if (nv == NULL)
        return false;
    text_uint(&status_text, (uint64_t)told_status(h, rsp->status, framing));
    nv[count++] = pair(SPAN(":status"), text_span(&status_text));
    if (framing.body == BODY_LENGTH && rsp->status != 204) {
        text_uint(&length_text, framing.length);
        nv[count++] = pair(SPAN("content-length"), text_span(&length_text));
    }
    count += put_fields(nv + count, fields, false);
    nghttp2_data_provider body = { .source = { .ptr = h }, .read_callback = read_answer };
    bool provided = !h->bodyless || h->malformed;
    return nghttp2_submit_response(h->session->ng, h->id, nv, count, provided ? &body : NULL) ==
           0;
}

static void send_head(struct stream *stream, const struct response *rsp,
                      struct wire_framing framing)
{
    struct h2_stream *h = h2_stream_of(stream);

    h->continue_due = false;
    h->session->leaving |= !framing.keep_alive;
    if (h->closed)
        return;
    h->bodyless = is_bodyless(h, rsp->status, framing);
    h->submitted = submit_head(h, rsp, framing);
    if (!h->submitted)
        h2_reset(h, NGHTTP2_INTERNAL_ERROR);
    settle_later(h);
}

/* ---- bodies ---- */

static void resume(struct h2_stream *h)
{
    if (h->deferred && !h->closed)
        (void)nghttp2_session_resume_data(h->session->ng, h->id);
    h->deferred = false;
    settle_later(h);
}

static void send_body(struct stream *stream, struct span bytes)
{
    struct h2_stream *h = h2_stream_of(stream);
    struct h2_session *s = h->session;

    if (bytes.len == 0 || !h->submitted || h->bodyless || h->closed)
        return;
    if (h->out.len == 0) { /* from here on the client has a deadline */
        h->out_mark = h->out_sent;
        h->out_mark_ms = clock_ms(&stream->worker->loop.clock);
    }
    size_t had = h->out.len;
    bool kept = pile_add(&h->out, s->channel.slabs, bytes);
    s->pending += h->out.len - had;
    stream->sent_bytes += h->out.len - had;
    if (!kept) /* what it takes not: its own fault when it is its own share that is spent */
        h2_reset(h, client_share_spent(stream->worker, s->share) ? NGHTTP2_ENHANCE_YOUR_CALM
                                                                 : NGHTTP2_INTERNAL_ERROR);
    resume(h);
}

static void send_end(struct stream *stream, const struct fields *trailers)
{
    struct h2_stream *h = h2_stream_of(stream);

    h->ended = true;
    h->trailers = trailers;
    resume(h);
}

static void cut(struct stream *stream)
{
    struct h2_stream *h = h2_stream_of(stream);

    if (h->finished)
        return;
    h2_reset(h, NGHTTP2_INTERNAL_ERROR);
}

/* An answer that the client takes is not held up by those that it leaves; those that it leaves
 * share what one connection may hold. */
static size_t unsent(const struct stream *stream)
{
    const struct h2_stream *h = h2_stream_of(stream);
    const struct h2_session *s = h->session;

    if (h->out.len == 0 || s->pending <= s->host->answer_bytes)
        return h->out.len;
    return s->pending;
}

static void read_body(struct stream *stream, bool on)
{
    struct h2_stream *h = h2_stream_of(stream);

    if (h->wanted == on)
        return;
    h->wanted = on;
    if (!on)
        return;
    h->in_mark = h->received;
    h->in_mark_ms = clock_ms(&stream->worker->loop.clock);
    if (h->continue_due && h->in.len == 0 && !h->closed) {
        nghttp2_nv status = pair(SPAN(":status"), SPAN("100"));
        (void)nghttp2_submit_headers(h->session->ng, NGHTTP2_FLAG_NONE, h->id, NULL, &status, 1,
                                     NULL);
        h->continue_due = false;
        settle_later(h);
    }
    h2_stream_queue(h);
}

static void tunnel(struct stream *stream)
{
    struct h2_stream *h = h2_stream_of(stream);

    h->wanted = false;
    stream->body_ended = false; /* from here on DATA is what the client says */
    h2_stream_queue(h);
}

const struct stream_ops h2_stream_ops = {
    .read_body = read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .cut = cut,
    .unsent = unsent,
    .tunnel = tunnel,
};

/* ---- frames ---- */

/* One DATA frame, straight from the pile. */
static int send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head,
                     size_t length, nghttp2_data_source *source, void *user)
{
    struct h2_session *s = user;
    struct h2_stream *h = source->ptr;

    (void)ng;
    (void)frame;
    if (s->channel.unsent >= H2_UNSENT_MAX)
        return NGHTTP2_ERR_WOULDBLOCK;
    channel_write(&s->channel, span_of((const char *)head, FRAME_HEAD_BYTES));
    s->pending -= length;
    h->out_sent += length;
    while (length > 0) {
        struct span front = span_sub(pile_front(&h->out), 0, length);
        channel_write(&s->channel, front);
        pile_take(&h->out, s->channel.slabs, front.len);
        length -= front.len;
    }
    /* The client answers DATA with windows: one for the stream, one for the connection. */
    budget_credit(&s->frames.budgets, FLOOD_WINDOWS, 2);
    if (h->out.len == 0 && !h->ended) {
        h->drained_due = true;
        h2_stream_queue(h);
    }
    return 0;
}

/* The answer is out. What the client still sends is not waited for (RFC 9113 section 8.1). */
static int answer_done(struct h2_stream *h)
{
    h->finished = true;
    if (h->malformed)
        return nghttp2_submit_rst_stream(h->session->ng, NGHTTP2_FLAG_NONE, h->id,
                                         NGHTTP2_PROTOCOL_ERROR);
    if (h->body_whole)
        return 0;
    h->ours = true;
    return nghttp2_submit_rst_stream(h->session->ng, NGHTTP2_FLAG_NONE, h->id,
                                     NGHTTP2_NO_ERROR);
}

static int on_reset_sent(struct h2_session *s, const nghttp2_frame *frame)
{
    struct h2_stream *h = nghttp2_session_get_stream_user_data(s->ng, frame->hd.stream_id);
    s->resets[s->reset_count++ % RESETS_REMEMBERED] = frame->hd.stream_id;
    bool ours = frame->rst_stream.error_code == NGHTTP2_NO_ERROR || (h != NULL && h->ours);

    if (ours || budget_spend(&s->frames.budgets, FLOOD_PROVOKED, h2_now_us(s)))
        return 0;
    return h2_flooded(s, FLOOD_PROVOKED);
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_session *s = user;

    if (frame->hd.type == NGHTTP2_RST_STREAM)
        return on_reset_sent(s, frame);
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        s->broken_rules = true;
    if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct h2_stream *h = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (h == NULL || h->finished)
        return 0;
    bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool all = h->malformed && h->ended && h->out.len == 0 && frame->hd.type == NGHTTP2_DATA;
    return ended || all ? answer_done(h) : 0;
}

void h2_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

void h2_pump(struct h2_session *s)
{
    while (s->channel.unsent < H2_UNSENT_MAX && s->flood == FLOOD_COUNT) {
        const uint8_t *bytes = NULL;
        ssize_t n = nghttp2_session_mem_send(s->ng, &bytes);
        if (n < 0)
            s->broken_rules = true;
        if (n <= 0)
            break;
        channel_write(&s->channel, span_of((const char *)bytes, (size_t)n));
    }
}
