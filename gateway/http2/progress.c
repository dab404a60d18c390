/*
 * Whether the other side of an HTTP/2 connection moves on: bodies that come too slowly, answers
 * that are not taken, heads that stay halves. Looked at by the session's tick.
 */
#include "gateway/http2/connection.h"

static bool too_slow(const struct h2_session *s, uint64_t bytes, uint64_t ms)
{
    return bytes == 0 || bytes * 1000 < s->host->body_min_rate * ms;
}

/* Other bodies may have filled the connection's window: then this client may not send. */
static bool may_send(const struct h2_session *s)
{
    return nghttp2_session_get_effective_recv_data_length(s->ng) <
           nghttp2_session_get_effective_local_window_size(s->ng) / 2;
}

static void look_at_body(struct h2_stream *h, uint64_t now)
{
    struct h2_session *s = h->session;
    uint64_t ms = now - h->in_mark_ms;

    if (!h->wanted || h->connect || h->body_whole || h->failed != HTTP_OK || h->in.len > 0 ||
        ms < s->host->body_ms)
        return;
    if (may_send(s) && too_slow(s, h->received - h->in_mark, ms)) {
        h->failed = HTTP_SLOW;
        h2_stream_queue(h);
    }
    h->in_mark = h->received;
    h->in_mark_ms = now;
}

/* The client opens no window, or one byte of it now and then (CVE-2019-9517). */
static void look_at_answer(struct h2_stream *h, uint64_t now)
{
    struct h2_session *s = h->session;
    uint64_t ms = now - h->out_mark_ms;

    if (h->out.len == 0 || h->closed || ms < s->host->send_ms)
        return;
    bool shut = nghttp2_session_get_stream_remote_window_size(s->ng, h->id) <= 0 ||
                nghttp2_session_get_remote_window_size(s->ng) <= 0;
    if (shut && too_slow(s, h->out_sent - h->out_mark, ms)) {
        h->slow = true;
        h2_reset(h, NGHTTP2_CANCEL);
    }
    h->out_mark = h->out_sent;
    h->out_mark_ms = now;
}

bool h2_is_read(struct h2_session *s, uint64_t now)
{
    if (s->channel.unsent == 0) {
        s->mark_ms = 0;
        return true;
    }
    uint64_t delivered = channel_delivered(&s->channel);
    bool begun = s->mark_ms != 0;
    uint64_t ms = now - s->mark_ms;
    if (begun && ms < s->host->send_ms)
        return true;
    bool slow = begun && too_slow(s, delivered - s->mark, ms);
    s->mark = delivered;
    s->mark_ms = now;
    return !slow;
}

bool h2_head_is_late(const struct h2_session *s)
{
    return frames_wait(&s->frames) &&
           h2_now_us(s) - s->frames.since_us >= s->host->head_ms * 1000;
}

void h2_look_at_streams(struct h2_session *s, uint64_t now)
{
    for (struct h2_stream *h = s->streams; h != NULL; h = h->next) {
        if (!h->begun)
            continue;
        look_at_body(h, now);
        look_at_answer(h, now);
    }
}
