/* Streams: their memory and their place in the session. */
#include "gateway/http2/connection.h"

#include <stdlib.h>

static struct stream *stream_new(struct h2_session *s)
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
    stream->events = s->host->events;
    stream->worker = worker;
    stream->peer = s->peer;
    stream->tls = s->channel.tls != NULL ? tls_info(s->channel.tls) : NULL;
    worker->streams++;
    return stream;
}

static void stream_free(struct stream *stream)
{
    struct worker *worker = stream->worker;

    arena_reset(&stream->arena);
    worker->streams--;
    if (worker->current == stream)
        worker->current = NULL;
    stream->next_free = worker->free_streams;
    worker->free_streams = stream;
}

struct h2_stream *h2_stream_open(struct h2_session *s, int32_t id)
{
    struct stream *stream = stream_new(s);
    if (stream == NULL)
        return NULL;
    struct h2_stream *h = arena_new(&stream->arena, struct h2_stream);
    if (h == NULL) {
        stream_free(stream);
        return NULL;
    }
    h->stream = stream;
    h->session = s;
    h->id = id;
    stream->ops = &h2_stream_ops;
    stream->connection = h;
    h2_section_begin(&h->section, &stream->arena, &s->host->limits, false);
    h->next = s->streams;
    if (h->next != NULL)
        h->next->prev = h;
    s->streams = h;
    s->stream_count++;
    if (s->share != NULL)
        s->share->streams++;
    return h;
}

void h2_stream_release(struct h2_stream *h)
{
    struct h2_session *s = h->session;
    struct slab_pool *slabs = s->channel.slabs;

    INVARIANT(!h->queued);
    s->pending -= h->out.len;
    pile_free(&h->in, slabs);
    pile_free(&h->out, slabs);
    *(h->prev != NULL ? &h->prev->next : &s->streams) = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    s->stream_count--;
    if (s->share != NULL)
        s->share->streams--;
    if (s->block == h)
        s->block = NULL;
    stream_free(h->stream); /* `h` lives in its arena */
}

void h2_stream_queue(struct h2_stream *h)
{
    struct h2_session *s = h->session;

    loop_post(&s->channel.worker->loop, &s->task);
    if (h->queued || s->state == H2_CLOSING)
        return;
    h->queued = true;
    h->next_work = NULL;
    *(s->work_last != NULL ? &s->work_last->next_work : &s->work_first) = h;
    s->work_last = h;
}

/* ---- a connection that broke the rules ---- */

static void mute_body(struct stream *stream, bool on)
{
    (void)stream;
    (void)on;
}

static void mute_head(struct stream *stream, const struct response *rsp,
                      struct wire_framing framing)
{
    (void)stream;
    (void)rsp;
    (void)framing;
}

static void mute_bytes(struct stream *stream, struct span bytes)
{
    (void)stream;
    (void)bytes;
}

static void mute_end(struct stream *stream, const struct fields *trailers)
{
    (void)stream;
    (void)trailers;
}

static void mute_stream(struct stream *stream)
{
    (void)stream;
}

static size_t mute_unsent(const struct stream *stream)
{
    (void)stream;
    return 0;
}

/* Nobody hears the answer: the connection ends with GOAWAY. The record is what counts. */
static const struct stream_ops mute_ops = {
    .read_body = mute_body,
    .send_head = mute_head,
    .send_body = mute_bytes,
    .send_end = mute_end,
    .cut = mute_stream,
    .unsent = mute_unsent,
    .tunnel = mute_stream,
};

void h2_session_confess(struct h2_session *s, enum http_error error)
{
    struct stream *stream = stream_new(s);

    if (stream == NULL)
        return;
    stream->ops = &mute_ops;
    stream->body_ended = true;
    stream->req.http2 = true;
    stream->req.scheme = stream->tls != NULL ? SPAN("https") : SPAN("http");
    stream->worker->current = stream;
    if (error == HTTP_SLOW)
        stream->events->slow_head(stream);
    else
        stream->events->refused(stream, error);
    stream->events->ended(stream, STREAM_DONE);
    stream_free(stream);
}
