/*
 * HTTP/2 connections: life, events, deadlines. What arrives in one read is counted, then told
 * to nghttp2, then to the flow; all that is to be sent leaves at the end of the turn.
 */
#include "gateway/http2/connection.h"

#include <limits.h>
#include <stdlib.h>

/* ---- life ---- */

static void idle_leave(struct h2_session *s)
{
    struct h2_host *host = s->host;

    if (!s->idle)
        return;
    s->idle = false;
    *(s->idle_prev != NULL ? &s->idle_prev->idle_next : &host->idle_first) = s->idle_next;
    *(s->idle_next != NULL ? &s->idle_next->idle_prev : &host->idle_last) = s->idle_prev;
    s->idle_prev = s->idle_next = NULL;
}

static void idle_enter(struct h2_session *s)
{
    struct h2_host *host = s->host;

    if (s->idle)
        return;
    s->idle = true;
    s->idle_prev = host->idle_last;
    *(host->idle_last != NULL ? &host->idle_last->idle_next : &host->idle_first) = s;
    host->idle_last = s;
}

/* A stream ends, however; what the flow knows of, it is told. */
static void end_stream(struct h2_stream *h, enum stream_end how)
{
    struct stream *stream = h->stream;

    h->queued = true; /* nothing more is told */
    if (h->begun) {
        stream->worker->current = stream;
        stream->events->ended(stream, how);
    }
    h->queued = false;
    h2_stream_release(h);
}

static void forget_work(struct h2_session *s)
{
    while (s->work_first != NULL) {
        s->work_first->queued = false;
        s->work_first = s->work_first->next_work;
    }
    s->work_last = NULL;
}

static void end_streams(struct h2_session *s, enum stream_end how)
{
    forget_work(s);
    while (s->streams != NULL)
        end_stream(s->streams, how);
}

/* Each may close a connection to upstream: a hundred at once would take their time. */
static void end_some(struct h2_session *s)
{
    struct worker *worker = s->channel.worker;
    unsigned most = worker_contended(worker) ? H2_ENDS_SHORT : UINT_MAX;

    for (; s->streams != NULL && most > 0; most--)
        end_stream(s->streams, STREAM_GONE);
    if (s->streams != NULL)
        loop_post(&worker->loop, &s->task);
}

static void session_free(struct h2_session *s)
{
    struct worker *worker = s->channel.worker;

    idle_leave(s);
    channel_close(&s->channel);
    timer_remove(&worker->loop, &s->timer);
    task_cancel(&s->task);
    nghttp2_session_del(s->ng);
    if (s->host->cap != NULL)
        peer_cap_leave(s->host->cap, &s->counted);
    *(s->prev != NULL ? &s->prev->next : &s->host->sessions) = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    worker->connections--;
    free(s);
}

static void session_end(struct h2_session *s, enum stream_end how)
{
    end_streams(s, how);
    session_free(s);
}

/* Our last word is written: the client has a moment to see it. */
static void close_down(struct h2_session *s)
{
    idle_leave(s);
    forget_work(s);
    s->state = H2_CLOSING;
    end_some(s);
    s->mark = s->channel.received;
    channel_shut(&s->channel);
    channel_reading(&s->channel, true);
    timer_set(&s->channel.worker->loop, &s->timer, H2_LINGER_MS);
}

/* GOAWAY by hand: after a flood nghttp2 is asked nothing more. */
static void say_goaway(struct h2_session *s, uint32_t code)
{
    uint32_t last = (uint32_t)nghttp2_session_get_last_proc_stream_id(s->ng);
    const char frame[] = { 0,
                           0,
                           8,
                           NGHTTP2_GOAWAY,
                           0,
                           0,
                           0,
                           0,
                           0,
                           (char)(last >> 24),
                           (char)(last >> 16),
                           (char)(last >> 8),
                           (char)last,
                           (char)(code >> 24),
                           (char)(code >> 16),
                           (char)(code >> 8),
                           (char)code };

    channel_write(&s->channel, span_of(frame, sizeof frame));
}

int h2_flooded(struct h2_session *s, enum flood flood)
{
    if (s->flood == FLOOD_COUNT)
        s->flood = flood;
    loop_post(&s->channel.worker->loop, &s->task);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static void cut_off(struct h2_session *s)
{
    s->host->floods[s->flood]++;
    if (s->share != NULL)
        client_offended(s->channel.worker, &s->peer);
    h2_session_confess(s, flood_error(s->flood));
    say_goaway(s, NGHTTP2_ENHANCE_YOUR_CALM);
    close_down(s);
}

/* ---- what is to be told ---- */

static enum stream_end how_ended(const struct h2_stream *h)
{
    if (h->slow)
        return STREAM_SLOW;
    return h->finished || h->ours ? STREAM_DONE : STREAM_GONE;
}

static void tell(struct h2_stream *h)
{
    struct stream *stream = h->stream;

    if (h->closed) {
        end_stream(h, how_ended(h));
        return;
    }
    if (h->head_done && !h->begun)
        h2_begin(h);
    if (h->drained_due) {
        h->drained_due = false;
        stream->worker->current = stream;
        stream->events->drained(stream);
    }
    h2_deliver(h);
}

static void put_back(struct h2_session *s, struct h2_stream *first, struct h2_stream *last)
{
    last->next_work = s->work_first;
    if (s->work_first == NULL)
        s->work_last = last;
    s->work_first = first;
    loop_post(&s->channel.worker->loop, &s->task);
}

/*
 * Everything that is there now; what it causes comes in the next round. False: what is left,
 * others go before it.
 */
static bool tell_all(struct h2_session *s)
{
    struct h2_stream *h = s->work_first, *last = s->work_last;
    unsigned begins = worker_contended(s->channel.worker) ? H2_BEGINS_SHORT : UINT_MAX;

    s->work_first = s->work_last = NULL;
    while (h != NULL) {
        struct h2_stream *next = h->next_work;
        if (h->head_done && !h->begun && !h->closed && begins-- == 0) {
            put_back(s, h, last);
            return false;
        }
        h->queued = false;
        tell(h);
        h = next;
    }
    return true;
}

/* ---- deadlines ---- */

static uint64_t tick_ms(const struct h2_host *host)
{
    uint64_t least = host->head_ms;

    least = host->body_ms < least ? host->body_ms : least;
    least = (host->send_ms < least ? host->send_ms : least) / 4;
    return least < TICK_MIN_MS ? TICK_MIN_MS : least > TICK_MAX_MS ? TICK_MAX_MS : least;
}

static bool is_busy(const struct h2_session *s)
{
    return s->stream_count > 0 || !s->greeted || frames_wait(&s->frames) ||
           s->channel.unsent > 0;
}

static void set_timer(struct h2_session *s)
{
    struct loop *loop = &s->channel.worker->loop;

    if (is_busy(s)) {
        idle_leave(s);
        if (!s->ticking)
            timer_set(loop, &s->timer, tick_ms(s->host));
        s->ticking = true;
        return;
    }
    if (s->idle)
        return;
    s->ticking = false;
    idle_enter(s);
    timer_set(loop, &s->timer, s->draining ? H2_DRAIN_MS : s->host->idle_ms);
}

/* Nothing new is taken from here on (RFC 9113 section 6.8). */
static void last_call(struct h2_session *s)
{
    s->last_called = true;
    (void)nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(s->ng),
                                NGHTTP2_NO_ERROR, NULL, 0);
    loop_post(&s->channel.worker->loop, &s->task);
}

static void tick(struct h2_session *s)
{
    uint64_t now = clock_ms(&s->channel.worker->loop.clock);

    if (!s->greeted && now - s->begun_ms >= s->host->head_ms) {
        session_end(s, STREAM_GONE);
        return;
    }
    if (s->draining && !s->last_called && now - s->drain_ms >= H2_DRAIN_MS)
        last_call(s);
    if (h2_head_is_late(s)) {
        h2_session_confess(s, HTTP_SLOW);
        say_goaway(s, NGHTTP2_NO_ERROR);
        close_down(s);
        return;
    }
    if (!h2_is_read(s, now)) {
        session_end(s, STREAM_SLOW);
        return;
    }
    h2_look_at_streams(s, now);
    s->ticking = false;
    set_timer(s);
    loop_post(&s->channel.worker->loop, &s->task);
}

static void on_timer(struct timer *timer)
{
    struct h2_session *s = CONTAINER(timer, struct h2_session, timer);
    struct worker *worker = s->channel.worker;

    if (s->state == H2_CLOSING) {
        session_end(s, STREAM_GONE);
    } else if (s->ticking) {
        tick(s);
    } else if (s->draining && !s->last_called) {
        last_call(s);
    } else {
        say_goaway(s, NGHTTP2_NO_ERROR); /* idle for long enough */
        close_down(s);
    }
    worker_flush(worker);
    worker->current = NULL;
}

/* ---- settling ---- */

enum { ROUNDS = 4 }; /* of telling and framing in one go; what is left is posted */

static void settle_now(struct h2_session *s)
{
    struct worker *worker = s->channel.worker;
    bool going = true;

    if (s->state == H2_CLOSING) {
        end_some(s);
        worker_flush(worker);
        return;
    }
    for (unsigned i = 0; i < ROUNDS && going && (i == 0 || s->work_first != NULL); i++) {
        going = tell_all(s);
        if (s->leaving && !s->last_called)
            last_call(s);
        h2_pump(s);
    }
    if (s->work_first == NULL)
        task_cancel(&s->task);
    if (s->flood != FLOOD_COUNT) {
        cut_off(s);
    } else if (s->broken_rules) {
        h2_session_confess(s, HTTP_H2_PROTOCOL);
        close_down(s);
    } else if (s->stream_count == 0 && s->channel.unsent == 0 &&
               nghttp2_session_want_read(s->ng) == 0 &&
               nghttp2_session_want_write(s->ng) == 0) {
        close_down(s);
    } else {
        channel_flush(&s->channel);
        channel_reading(&s->channel, s->channel.unsent < H2_UNSENT_MAX);
        set_timer(s);
    }
    worker_flush(worker);
    worker->current = NULL;
}

static void settle(struct task *task)
{
    struct h2_session *s = CONTAINER(task, struct h2_session, task);
    struct loop *loop = &s->channel.worker->loop;
    struct client_share *share = s->share;
    uint64_t began_ns;

    if (!client_turn_enter(s->channel.worker, share, &began_ns)) {
        loop_post(loop, task);
        return;
    }
    settle_now(s);
    client_turn_leave(share, began_ns);
}

/* ---- input ---- */

/* nghttp2 gave up by itself, or we found what it passes over. */
static void on_refusal(struct h2_session *s, ssize_t code)
{
    if (code == NGHTTP2_ERR_FLOODED) {
        s->flood = FLOOD_PINGS; /* or SETTINGS: both are to be acknowledged */
        cut_off(s);
        return;
    }
    bool memory = code == NGHTTP2_ERR_NOMEM;
    h2_session_confess(s, memory ? HTTP_MEMORY : HTTP_H2_PROTOCOL);
    if (s->error == 0)
        s->error = memory ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_PROTOCOL_ERROR;
    say_goaway(s, s->error);
    close_down(s);
}

static void feed(struct h2_session *s, struct span input)
{
    uint64_t data = s->frames.data_bytes;

    s->flood = frames_count(&s->frames, input, h2_now_us(s));
    if (s->flood != FLOOD_COUNT) {
        cut_off(s);
        return;
    }
    s->bulky = s->frames.data_bytes - data >= input.len / 2 || s->frames.left > H2_READ_SHORT;
    loop_post(&s->channel.worker->loop, &s->task);
    if (nghttp2_session_want_read(s->ng) == 0)
        return; /* GOAWAY with an error is on its way */
    ssize_t n = nghttp2_session_mem_recv(s->ng, (const uint8_t *)input.p, input.len);
    if (s->flood != FLOOD_COUNT)
        cut_off(s);
    else if (n < 0)
        on_refusal(s, n);
    else
        (void)tell_all(s);
}

static void linger_read(struct h2_session *s, ssize_t n)
{
    if (n == 0 || n == CHANNEL_FAILED || s->channel.received - s->mark > H2_LINGER_BYTES)
        session_end(s, STREAM_GONE);
}

/* The connection is gone; what TLS has against it is told. */
static void lose(struct h2_session *s)
{
    struct tls *tls = s->channel.tls;

    if (tls != NULL && tls_flooded(tls)) {
        struct connection_fault fault = { .kind = CONNECTION_TLS_FAILED,
                                          .peer = s->peer,
                                          .reason = "tls-failed",
                                          .detail = tls_failure(tls),
                                          .sni = tls_info(tls)->sni };
        s->host->fault(s->channel.worker, &fault);
        if (s->share != NULL)
            client_offended(s->channel.worker, &s->peer);
    }
    session_end(s, STREAM_GONE);
}

static void on_readable(struct channel *channel)
{
    struct h2_session *s = CONTAINER(channel, struct h2_session, channel);
    struct worker *worker = channel->worker;
    bool brief = worker_contended(worker) && !s->bulky;
    ssize_t n = channel_read_some(channel, worker->scratch, SCRATCH_BYTES,
                                  brief ? H2_READ_SHORT : SIZE_MAX);

    if (s->state == H2_CLOSING)
        linger_read(s, n);
    else if (n > 0)
        feed(s, span_of(worker->scratch, (size_t)n));
    else if (n != CHANNEL_AGAIN)
        lose(s);
    worker_flush(worker);
    worker->current = NULL;
}

static void on_drained(struct channel *channel)
{
    struct h2_session *s = CONTAINER(channel, struct h2_session, channel);

    loop_post(&channel->worker->loop, &s->task);
}

static void on_broken(struct channel *channel)
{
    lose(CONTAINER(channel, struct h2_session, channel));
}

static const struct channel_events session_events = {
    .readable = on_readable,
    .drained = on_drained,
    .broken = on_broken,
};

/* ---- entry points ---- */

static bool greet(struct h2_session *s)
{
    const struct h2_host *host = s->host;
    const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, host->streams },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
        /* Each field counts 32 bytes more there (RFC 9113 section 6.5.2) than in our limit. */
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
          (uint32_t)host->limits.head_bytes + 32 * host->limits.fields },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
        { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
    };

    return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ==
               0 &&
           nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, SESSION_WINDOW) ==
               0;
}

static struct h2_session *session_new(struct h2_host *host)
{
    struct h2_session *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->host = host;
    s->flood = FLOOD_COUNT;
    s->timer.fire = on_timer;
    s->task.run = settle;
    if (nghttp2_session_server_new2(&s->ng, host->callbacks, s, host->option) != 0 ||
        !greet(s)) {
        nghttp2_session_del(s->ng);
        free(s);
        return NULL;
    }
    return s;
}

static void take(struct handover *to, struct channel *from, const struct addr *peer,
                 const struct addr *counted, struct span input)
{
    struct h2_host *host = CONTAINER(to, struct h2_host, handover);
    struct worker *worker = host->worker;
    struct h2_session *s = session_new(host);

    if (s == NULL) {
        channel_close(from);
        if (host->cap != NULL)
            peer_cap_leave(host->cap, counted);
        worker->connections--;
        return;
    }
    ++*host->sessions_begun;
    s->peer = *peer;
    s->counted = *counted;
    if (host->trusted == NULL || !cidrs_contain(host->trusted, peer))
        s->share = client_share_of(worker, peer);
    s->next = host->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    host->sessions = s;
    s->begun_ms = clock_ms(&worker->loop.clock);
    if (channel_move(&s->channel, from, &session_events) != OK) {
        session_free(s);
        return;
    }
    if (worker->draining) {
        s->draining = true;
        s->drain_ms = s->begun_ms;
        (void)nghttp2_submit_shutdown_notice(s->ng);
    }
    set_timer(s);
    loop_post(&worker->loop, &s->task);
    if (input.len > 0)
        feed(s, input);
}

static bool evict(struct handover *to)
{
    struct h2_host *host = CONTAINER(to, struct h2_host, handover);
    struct h2_session *s = host->idle_first;

    if (s == NULL)
        return false;
    say_goaway(s, NGHTTP2_NO_ERROR);
    session_end(s, STREAM_GONE);
    return true;
}

enum err h2_host_open(struct h2_host *host)
{
    host->handover = (struct handover){ .take = take, .evict = evict };
    if (nghttp2_session_callbacks_new(&host->callbacks) != 0 ||
        nghttp2_option_new(&host->option) != 0)
        return ERR_MEMORY;
    h2_input_callbacks(host->callbacks);
    h2_output_callbacks(host->callbacks);
    nghttp2_option_set_no_http_messaging(host->option, 1); /* fields.h is stricter */
    nghttp2_option_set_no_auto_window_update(host->option, 1);
    nghttp2_option_set_no_closed_streams(host->option, 1);
    /* The library counts a CONTINUATION again for each read that brings a part of its head:
     * whoever sends slowly would be cut off. frames.h counts them as they are. */
    nghttp2_option_set_max_continuations(host->option,
                                         (CONTINUATIONS_MAX + 1) * FRAME_HEAD_BYTES);
    nghttp2_option_set_max_outbound_ack(host->option, 2 * budget_burst(FLOOD_PINGS));
    return OK;
}

void h2_host_close(struct h2_host *host)
{
    INVARIANT(host->sessions == NULL);
    nghttp2_session_callbacks_del(host->callbacks);
    nghttp2_option_del(host->option);
}

void h2_sessions_drain(struct h2_host *host)
{
    for (struct h2_session *s = host->sessions; s != NULL; s = s->next) {
        struct loop *loop = &s->channel.worker->loop;
        if (s->draining || s->state == H2_CLOSING)
            continue;
        s->draining = true;
        s->drain_ms = clock_ms(&loop->clock);
        (void)nghttp2_submit_shutdown_notice(s->ng);
        loop_post(loop, &s->task);
        timer_set(loop, &s->timer, H2_DRAIN_MS);
    }
}

void h2_sessions_cut(struct h2_host *host)
{
    while (host->sessions !=
           NULL) /* each leaves the list: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        session_end(host->sessions, STREAM_GONE);
}
