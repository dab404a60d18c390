/*
 * What the flow sends on an HTTP/1 connection. Nothing here calls back: operations leave marks,
 * and the session's task settles them.
 */
#include "gateway/http1/connection.h"

static void settle_later(struct session *s)
{
    loop_post(&s->channel.worker->loop, &s->task);
}

static void read_body(struct stream *stream, bool on)
{
    struct session *s = session_of(stream);

    if (s->body_wanted == on)
        return;
    s->body_wanted = on;
    if (!on) {
        if (s->state == SESSION_BODY)
            timer_clear(&s->timer);
        settle_later(s); /* the answer's deadline may be due in its place */
        return;
    }
    if (s->continue_due && s->stash.len == 0 && s->state == SESSION_BODY) {
        channel_write(&s->channel, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
        s->continue_due = false;
    }
    s->mark = s->channel.received;
    s->mark_ms = clock_ms(&s->channel.worker->loop.clock);
    if (s->state == SESSION_BODY)
        timer_set(&s->channel.worker->loop, &s->timer, s->host->body_ms);
    channel_reading(&s->channel, true);
    settle_later(s);
}

static void send_head(struct stream *stream, const struct response *rsp,
                      struct wire_framing framing)
{
    struct session *s = session_of(stream);

    s->continue_due = false;
    if (framing.body == BODY_CHUNKED && stream->req.minor == 0)
        framing.body = BODY_CLOSE; /* RFC 9112 section 6.1: 1.0 knows no chunks */
    s->chunked = framing.body == BODY_CHUNKED;
    if (framing.body == BODY_CLOSE || s->half_closed || s->channel.worker->draining)
        s->keep_alive = false;
    if (!stream->body_ended && s->state == SESSION_BODY && !s->body_wanted)
        s->keep_alive = false; /* an early answer: the rest of the body is not waited for */
    framing.keep_alive = framing.keep_alive && s->keep_alive;
    s->keep_alive = framing.keep_alive;
    framing.keep_told = framing.keep_alive && stream->req.minor == 0;

    char *room = channel_room(&s->channel, RESPONSE_HEAD_MAX);
    struct text out = text_fixed(room, RESPONSE_HEAD_MAX);
    write_response_head(&out, rsp, framing);
    if (out.overflow)
        s->cut = true;
    else
        channel_wrote(&s->channel, out.len);
    settle_later(s);
}

static void send_body(struct stream *stream, struct span bytes)
{
    struct session *s = session_of(stream);

    if (bytes.len == 0)
        return;
    stream->sent_bytes += bytes.len;
    if (s->chunked) {
        char line[24];
        struct text head = text_fixed(line, sizeof line);
        write_chunk_head(&head, bytes.len);
        channel_write(&s->channel, text_span(&head));
    }
    channel_write(&s->channel, bytes);
    if (s->chunked)
        channel_write(&s->channel, SPAN("\r\n"));
    settle_later(s);
}

static void send_end(struct stream *stream, const struct fields *trailers)
{
    struct session *s = session_of(stream);

    if (s->chunked) {
        char lines[TRAILER_BYTES_MAX + 64];
        struct text last = text_fixed(lines, sizeof lines);
        write_last_chunk(&last, trailers);
        if (last.overflow)
            s->cut = true;
        else
            channel_write(&s->channel, text_span(&last));
    }
    s->ended = true;
    settle_later(s);
}

static void cut(struct stream *stream)
{
    struct session *s = session_of(stream);

    s->cut = true;
    settle_later(s);
}

static size_t unsent(const struct stream *stream)
{
    return session_of(stream)->channel.unsent;
}

static void tunnel(struct stream *stream)
{
    struct session *s = session_of(stream);

    s->state = SESSION_TUNNEL;
    s->chunked = false;
    s->keep_alive = false;
    s->body_wanted = false;
    timer_clear(&s->timer);
    settle_later(s);
}

const struct stream_ops http1_stream_ops = {
    .read_body = read_body,
    .send_head = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .cut = cut,
    .unsent = unsent,
    .tunnel = tunnel,
};
