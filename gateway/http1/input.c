/*
 * What arrives on an HTTP/1 connection, cut into heads and bodies. A head is copied to the
 * transaction's arena when it is whole, so nothing of it stays on the connection. What nobody
 * takes yet (half a head, a pipelined request, a body before it is wanted) is stashed.
 */
#include "gateway/http1/connection.h"

#include <stdlib.h>

/* ---- memory ---- */

static struct stream *stream_new(struct session *s)
{
    struct worker *worker = s->channel.worker;
    struct stream *stream = worker->free_streams;

    if (stream != NULL)
        worker->free_streams = stream->next_free;
    else if ((stream = malloc(sizeof *stream)) == NULL)
        return NULL;
    memset(stream, 0, offsetof(struct stream, first));
    arena_init(&stream->arena, stream->first, sizeof stream->first, s->channel.slabs,
               s->host->arena_ceiling);
    stream->ops = &http1_stream_ops;
    stream->events = s->host->events;
    stream->worker = worker;
    stream->connection = s;
    stream->peer = s->peer;
    stream->tls = s->channel.tls != NULL ? tls_info(s->channel.tls) : s->host->pretended_tls;
    worker->streams++;
    return stream;
}

void session_stream_release(struct stream *stream)
{
    struct worker *worker = stream->worker;

    arena_reset(&stream->arena);
    worker->streams--;
    if (worker->current == stream)
        worker->current = NULL;
    stream->next_free = worker->free_streams;
    worker->free_streams = stream;
}
/* ---- heads ---- */

struct stream *session_stream_begin(struct session *s)
{
    struct stream *stream = stream_new(s);

    if (stream == NULL)
        return NULL;
    session_idle_leave(s);
    timer_clear(&s->timer);
    s->stream = stream;
    s->ended = s->cut = s->chunked = false;
    s->keep_alive = false;
    s->body_wanted = false;
    s->continue_due = false;
    s->state = SESSION_ANSWER;
    stream->worker->current = stream;
    return stream;
}

static void refuse(struct session *s, struct stream *stream, enum http_error error)
{
    s->state = SESSION_ANSWER;
    s->keep_alive = false;
    stream->events->refused(stream, error);
}

/* Too long as a whole: was it the target? */
static enum http_error large_error(const struct session *s, struct span input)
{
    ssize_t line = span_index(input, '\n');

    return line < 0 || (size_t)line > s->host->uri_bytes + 64 ? HTTP_TARGET_LONG
                                                              : HTTP_FIELDS_LARGE;
}

static void begin(struct session *s, struct stream *stream, struct span head)
{
    struct head_limits limits = {
        .head_bytes = s->host->head_bytes,
        .uri_bytes = s->host->uri_bytes,
        .fields = s->host->fields,
        .preserve_encoded = s->host->preserve_encoded,
    };
    struct request *req = &stream->req;

    stream->head = arena_copy(&stream->arena, head);
    enum http_error error = stream->head.p == NULL
                                ? HTTP_MEMORY
                                : request_parse(req, stream->head, &stream->arena, &limits);
    req->scheme = stream->tls != NULL ? SPAN("https") : SPAN("http");
    if (error != HTTP_OK) {
        refuse(s, stream, error);
        return;
    }
    s->keep_alive = req->keep_alive;
    s->continue_due = req->expect_continue;
    stream->body_ended =
        req->body == BODY_NONE || (req->body == BODY_LENGTH && req->length == 0);
    if (!stream->body_ended) {
        s->state = SESSION_BODY;
        body_begin(&s->body, req->body, req->length, &stream->arena);
    }
    stream->events->begin(stream);
}

enum preface { PREFACE_NOT, PREFACE_MAYBE, PREFACE_YES };

bool session_chose_http2(const struct session *s)
{
    return s->host->http2 != NULL && s->channel.tls != NULL &&
           span_equal(tls_info(s->channel.tls)->alpn, SPAN("h2"));
}

/* Whether the client wants HTTP/2, or may yet: said by ALPN, or by the preface of RFC 9113
 * section 3.4, which is no head. */
static enum preface preface_look(const struct session *s, struct span input)
{
    static const struct span preface = SPAN_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    if (s->host->http2 == NULL || s->used)
        return PREFACE_NOT;
    if (s->channel.tls != NULL)
        return session_chose_http2(s) ? PREFACE_YES : PREFACE_NOT;
    size_t len = input.len < preface.len ? input.len : preface.len;
    if (memcmp(input.p, preface.p, len) != 0)
        return PREFACE_NOT;
    return len == preface.len ? PREFACE_YES : PREFACE_MAYBE;
}

static bool take_preface(struct session *s)
{
    s->state = SESSION_HANDOVER;
    session_idle_leave(s);
    loop_post(&s->channel.worker->loop, &s->task);
    return false;
}

static bool take_head(struct session *s, struct span *input)
{
    enum preface preface = preface_look(s, *input);

    if (preface == PREFACE_YES)
        return take_preface(s);
    ssize_t len = preface == PREFACE_MAYBE
                      ? HEAD_MORE
                      : head_scan(&s->scan, input->p, input->len, s->host->head_bytes);

    if (len == HEAD_MORE) {
        if (!s->head_begun) {
            session_idle_leave(s);
            s->head_begun = true;
            timer_set(&s->channel.worker->loop, &s->timer, s->host->head_ms);
        }
        return false;
    }
    s->scan = (struct head_scan){ 0 };
    s->used = true;
    struct stream *stream = session_stream_begin(s);
    if (stream == NULL) {
        s->cut = true;
        loop_post(&s->channel.worker->loop, &s->task);
        *input = span_of(NULL, 0);
        return false;
    }
    if (len < 0) {
        stream->head = arena_copy(&stream->arena, span_sub(*input, 0, 512));
        refuse(s, stream, len == HEAD_LARGE ? large_error(s, *input) : HTTP_LINE_END);
        *input = span_of(NULL, 0);
        return false;
    }
    struct span head = span_of(input->p, (size_t)len);
    *input = span_of(input->p + len, input->len - (size_t)len);
    begin(s, stream, head);
    return true;
}
/* ---- bodies ---- */

void session_body_failed(struct session *s, enum http_error error)
{
    timer_clear(&s->timer);
    s->state = SESSION_ANSWER;
    s->body_wanted = false;
    s->keep_alive = false;
    s->stream->events->body_error(s->stream, error);
}

static bool take_body(struct session *s, struct span *input)
{
    struct stream *stream = s->stream;

    if (!s->body_wanted)
        return false;
    s->continue_due = false;
    struct span data = body_next(&s->body, input);
    if (data.len > 0) {
        stream->body_bytes += data.len;
        stream->events->body(stream, data);
    }
    if (s->body.error == HTTP_OK && s->body.ended)
        s->body.error = body_trailers(&s->body, &stream->req.trailers);
    if (s->body.error != HTTP_OK) {
        *input = span_of(NULL, 0);
        session_body_failed(s, s->body.error);
        return false;
    }
    if (s->body.ended) {
        timer_clear(&s->timer);
        if (s->channel.unsent > 0) /* now it is the answer that has a deadline */
            loop_post(&s->channel.worker->loop, &s->task);
        s->state = SESSION_ANSWER;
        stream->body_ended = true;
        stream->events->body_end(stream);
    }
    return true;
}

static bool take_tunnel(struct session *s, struct span *input)
{
    if (!s->body_wanted)
        return false;
    s->stream->body_bytes += input->len;
    s->stream->events->body(s->stream, *input);
    *input = span_of(NULL, 0);
    return true;
}

/* `input` is in the worker's scratch; what the state does not take is stashed. */
void session_consume(struct session *s, struct span input)
{
    bool going = true;

    while (going && input.len > 0) {
        if (s->stream != NULL)
            s->channel.worker->current = s->stream;
        switch (s->state) {
        case SESSION_HEAD:
            going = take_head(s, &input);
            break;
        case SESSION_BODY:
            going = take_body(s, &input);
            break;
        case SESSION_TUNNEL:
            going = take_tunnel(s, &input);
            break;
        case SESSION_ANSWER:
        case SESSION_HANDOVER:
            going = false;
            break;
        case SESSION_PROXY:
        case SESSION_LINGER:
            input = span_of(NULL, 0);
            break;
        }
    }
    if (!stash_keep(&s->stash, s->channel.slabs, input)) {
        s->cut = true;
        loop_post(&s->channel.worker->loop, &s->task);
    }
    s->channel.worker->current = NULL;
}

void session_consume_stash(struct session *s)
{
    char *scratch = s->channel.worker->scratch;
    size_t len = s->stash.len;

    memcpy(scratch, s->stash.p, len);
    stash_free(&s->stash, s->channel.slabs);
    session_consume(s, span_of(scratch, len));
}

/* Whether what is stashed, or what comes next, can be used now. */
bool session_can_take(const struct session *s)
{
    switch (s->state) {
    case SESSION_PROXY:
    case SESSION_HEAD:
    case SESSION_LINGER:
        return true;
    case SESSION_BODY:
    case SESSION_TUNNEL:
        return s->body_wanted;
    case SESSION_ANSWER:
    case SESSION_HANDOVER:
        return false;
    }
    return false;
}
