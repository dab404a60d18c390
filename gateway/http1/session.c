/*
 * HTTP/1 connections: life, events, deadlines. One recv brings a request in the usual case, and
 * reading stops while there is input that the state cannot use.
 */
#include "gateway/http1/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- life ---- */

/*
 * A trusted proxy brings the connections of many clients and has no cap; each of those has, as
 * soon as a PROXY head has named it. `*counted` is whom to give up in the end.
 */
static bool count_peer(const struct session_host *host, const struct addr *peer,
                       struct addr *counted)
{
    *counted = (struct addr){ 0 };
    if (host->cap == NULL || cidrs_contain(host->trusted, peer))
        return true;
    if (!peer_cap_enter(host->cap, peer))
        return false;
    *counted = *peer;
    return true;
}

void session_idle_leave(struct session *s)
{
    struct worker *worker = s->channel.worker;

    if (!s->idle)
        return;
    s->idle = false;
    *(s->idle_prev != NULL ? &s->idle_prev->idle_next : &worker->idle_first) = s->idle_next;
    *(s->idle_next != NULL ? &s->idle_next->idle_prev : &worker->idle_last) = s->idle_prev;
    s->idle_prev = s->idle_next = NULL;
}

static void idle_enter(struct session *s)
{
    struct worker *worker = s->channel.worker;

    s->idle = true;
    s->idle_prev = worker->idle_last;
    *(worker->idle_last != NULL ? &worker->idle_last->idle_next : &worker->idle_first) = s;
    worker->idle_last = s;
}

static void session_free(struct session *s)
{
    struct worker *worker = s->channel.worker;

    session_idle_leave(s);
    stash_free(&s->stash, s->channel.slabs);
    channel_close(&s->channel);
    timer_remove(&worker->loop, &s->timer);
    task_cancel(&s->task);
    bool ours = !s->handed_over; /* else whoever took it counts it */
    if (ours && s->host->cap != NULL)
        peer_cap_leave(s->host->cap, &s->counted);
    *(s->prev != NULL ? &s->prev->next : &worker->sessions) = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    worker->connections -= ours;
    s->next = worker->free_sessions;
    worker->free_sessions = s;
}

/* The client is gone, or was made to go. */
static void session_end(struct session *s, enum stream_end how)
{
    struct stream *stream = s->stream;

    if (stream != NULL) {
        s->stream = NULL;
        stream->worker->current = stream;
        stream->events->ended(stream, how);
        session_stream_release(stream);
    }
    session_free(s);
}

static void linger(struct session *s)
{
    struct worker *worker = s->channel.worker;

    stash_free(&s->stash, s->channel.slabs);
    s->state = SESSION_LINGER;
    s->mark = s->channel.received;
    channel_shut(&s->channel);
    channel_reading(&s->channel, true);
    timer_set(&worker->loop, &s->timer, LINGER_MS);
}

/* The answer is out. */
static void stream_done(struct session *s)
{
    struct worker *worker = s->channel.worker;
    struct stream *stream = s->stream;
    bool whole = stream->body_ended;

    s->stream = NULL;
    s->ended = false;
    worker->current = stream;
    stream->events->ended(stream, STREAM_DONE);
    session_stream_release(stream);
    if (!s->keep_alive || !whole || s->half_closed || worker->draining) {
        if (whole && s->stash.len == 0) {
            channel_shut(&s->channel);
            session_free(s);
        } else {
            linger(s);
        }
        return;
    }
    s->state = SESSION_HEAD;
    s->scan = (struct head_scan){ 0 };
    s->head_begun = false;
    s->body_wanted = false;
    timer_set(&worker->loop, &s->timer, s->host->idle_ms);
    channel_reading(&s->channel, true);
    if (s->stash.len > 0)
        loop_post(&worker->loop, &s->task);
    else
        idle_enter(s);
}
/* ---- handshakes ---- */

static bool is_shaking_hands(const struct session *s)
{
    return s->tls != NULL || (s->channel.tls != NULL && !tls_info(s->channel.tls)->established);
}

/* Who connects and says nothing, as monitors do, has failed at nothing. */
static void tell_failed_handshake(const struct session *s, const char *late)
{
    struct tls *tls = s->channel.tls;
    bool flooded = tls != NULL && tls_flooded(tls);

    if (!flooded && (!is_shaking_hands(s) || (late == NULL && s->channel.received == 0)))
        return;
    struct connection_fault fault = { .kind = CONNECTION_TLS_FAILED,
                                      .peer = s->peer,
                                      .reason = "tls-failed",
                                      .detail = tls != NULL ? tls_failure(tls) : NULL,
                                      .sni =
                                          tls != NULL ? tls_info(tls)->sni : span_of(NULL, 0) };
    if (fault.detail == NULL)
        fault.detail = late != NULL ? late : "connection ended";
    s->host->fault(s->channel.worker, &fault);
    if (flooded && !cidrs_contain(s->host->trusted, &s->peer))
        client_offended(s->channel.worker, &s->peer);
}

/* ---- events ---- */

/* Now it is known whose memory it is. Nothing is stashed or unsent. */
static void take_share(struct session *s)
{
    struct worker *worker = s->channel.worker;

    if (cidrs_contain(s->host->trusted, &s->peer))
        return;
    s->channel.slabs = client_slabs(worker, client_share_of(worker, &s->peer));
}

static void end_refused(struct session *s, const char *reason, const char *detail)
{
    struct connection_fault fault = {
        .kind = CONNECTION_REFUSED, .peer = s->peer, .reason = reason, .detail = detail
    };

    s->host->fault(s->channel.worker, &fault);
    session_end(s, STREAM_GONE);
}

/*
 * A PROXY head is taken byte-exact from the socket, before TLS sees anything: as long as it is
 * incomplete, all that has arrived belongs to it.
 */
static void read_proxy_head(struct session *s)
{
    char seen[PROXY_HEAD_MAX];
    size_t had = s->stash.len;

    memcpy(seen, s->stash.p != NULL ? s->stash.p : seen, had);
    ssize_t n = recv(s->channel.watch.fd, seen + had, sizeof seen - had, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        session_end(s, STREAM_GONE);
        return;
    }
    ssize_t len = proxy_head_parse(span_of(seen, had + (size_t)n), &s->peer);
    if (len == PROXY_BAD || (len == PROXY_MORE && had + (size_t)n == sizeof seen) ||
        (len > 0 && (size_t)len <= had)) {
        end_refused(s, "proxy-head", "no PROXY head of version 1 or 2");
        return;
    }
    size_t take = len == PROXY_MORE ? (size_t)n : (size_t)len - had;
    if (recv(s->channel.watch.fd, seen + had, take, 0) != (ssize_t)take) {
        session_end(s, STREAM_GONE);
        return;
    }
    stash_free(&s->stash, s->channel.slabs);
    if (len == PROXY_MORE) {
        if (!stash_keep(&s->stash, s->channel.slabs, span_of(seen, had + take)))
            session_end(s, STREAM_GONE);
        return;
    }
    /* At the door it was the proxy's connection. */
    if (!cidrs_contain(s->host->trusted, &s->peer) &&
        client_barred(s->channel.worker, &s->peer)) {
        end_refused(s, "floods", NULL);
        return;
    }
    if (!count_peer(s->host, &s->peer, &s->counted)) {
        end_refused(s, "conns-per-ip", NULL);
        return;
    }
    s->state = SESSION_HEAD;
    take_share(s);
}

static void input_ended(struct session *s, bool clean)
{
    if (clean && s->stream != NULL && s->state == SESSION_ANSWER) {
        /* A client may end its direction and still wait for the answer (RFC 9112 section 9.6).
         * It looks like one that has left, so it is not waited for as long. */
        s->half_closed = true;
        channel_reading(&s->channel, false);
        timer_set(&s->channel.worker->loop, &s->timer, HALF_CLOSED_MS);
        return;
    }
    if (clean && s->state == SESSION_TUNNEL && !s->half_closed) {
        s->half_closed = true;
        channel_reading(&s->channel, false);
        s->stream->body_ended = true;
        s->stream->events->body_end(s->stream);
        return;
    }
    session_end(s, STREAM_GONE);
}

static void linger_read(struct session *s, ssize_t n)
{
    if (n == 0 || n == CHANNEL_FAILED || s->channel.received - s->mark > LINGER_BYTES)
        session_end(s, STREAM_DONE);
}

/* Once the handshake is over, the first head is due. */
static void greet(struct session *s)
{
    if (s->greeted || s->channel.tls == NULL || !tls_info(s->channel.tls)->established)
        return;
    s->greeted = true;
    if (session_chose_http2(s)) { /* its server speaks first */
        s->state = SESSION_HANDOVER;
        loop_post(&s->channel.worker->loop, &s->task);
        return;
    }
    timer_set(&s->channel.worker->loop, &s->timer, s->host->head_ms);
}

/* False: there is no memory, and the connection is over. */
static bool begin_tls(struct session *s)
{
    struct tls *tls = tls_accept(s->tls);

    s->tls = NULL;
    if (tls == NULL) {
        end_refused(s, "memory", NULL);
        return false;
    }
    channel_secure(&s->channel, tls);
    return true;
}

static void on_readable(struct channel *channel)
{
    struct session *s = CONTAINER(channel, struct session, channel);
    struct worker *worker = channel->worker;

    if (s->state == SESSION_PROXY) {
        read_proxy_head(s);
        return;
    }
    if (s->tls != NULL && !begin_tls(s))
        return;
    if (!session_can_take(s) && (s->stash.len > 0 || s->state != SESSION_ANSWER)) {
        channel_reading(channel, false);
        return;
    }
    size_t had = s->stash.len;
    /* What is stashed goes first: only half a head, which is short, is read on to. */
    if (had > 0 && (s->state != SESSION_HEAD || !s->head_begun)) {
        loop_post(&worker->loop, &s->task);
        return;
    }
    bool bounded = s->state == SESSION_HEAD || s->state == SESSION_ANSWER;
    ssize_t n = channel_read_some(channel, worker->scratch + had, SCRATCH_BYTES - had,
                                  bounded ? SLAB_BYTES - 1024 : SIZE_MAX);
    if (s->state == SESSION_LINGER) {
        linger_read(s, n);
        return;
    }
    if (n == CHANNEL_AGAIN) {
        greet(s);
        return;
    }
    if (n <= 0) {
        tell_failed_handshake(s, NULL);
        input_ended(s, n == 0);
        worker_flush(worker);
        return;
    }
    if (had > 0)
        memcpy(worker->scratch, s->stash.p, had);
    stash_free(&s->stash, s->channel.slabs);
    session_consume(s, span_of(worker->scratch, had + (size_t)n));
    worker_flush(worker);
}

static void on_drained(struct channel *channel)
{
    struct session *s = CONTAINER(channel, struct session, channel);

    if (s->stream == NULL) {
        if (s->state != SESSION_LINGER)
            return;
    } else {
        if (s->state != SESSION_BODY || !s->body_wanted)
            timer_clear(&s->timer);
        s->stream->events->drained(s->stream);
    }
    loop_post(&channel->worker->loop, &s->task);
    worker_flush(channel->worker);
}

static void on_broken(struct channel *channel)
{
    struct session *s = CONTAINER(channel, struct session, channel);

    tell_failed_handshake(s, NULL);
    session_end(s, STREAM_GONE);
}

static const struct channel_events session_channel_events = {
    .readable = on_readable,
    .drained = on_drained,
    .broken = on_broken,
};

/* The client has not taken all of its answer: it must take some of the rest in time. */
static void watch_reader(struct session *s)
{
    s->mark = channel_delivered(&s->channel);
    timer_set(&s->channel.worker->loop, &s->timer, s->host->send_ms);
}

/* What was stashed goes along, in the worker's scratch. */
static void hand_over(struct session *s)
{
    struct worker *worker = s->channel.worker;
    struct handover *to = s->host->http2;
    struct span input = span_of(worker->scratch, s->stash.len);

    if (s->stash.len > 0)
        memcpy(worker->scratch, s->stash.p, s->stash.len);
    s->handed_over = true;
    to->take(to, &s->channel, &s->peer, &s->counted, input);
    session_free(s);
    worker_flush(worker);
}

/* What operations have left to be done, outside their callers' stacks. */
static void settle_now(struct session *s)
{
    struct worker *worker = s->channel.worker;

    if (s->state == SESSION_HANDOVER && !s->cut) {
        hand_over(s);
        return;
    }
    channel_flush(&s->channel);
    if (s->cut) {
        struct stream *stream = s->stream;
        if (stream != NULL) {
            s->stream = NULL;
            stream->events->ended(stream, STREAM_DONE);
            session_stream_release(stream);
        }
        channel_reset(&s->channel);
        session_free(s);
        return;
    }
    if (s->stream != NULL && s->ended && s->channel.unsent == 0) {
        stream_done(s);
        return;
    }
    if (s->stream != NULL && s->channel.unsent > 0 && s->timer.deadline_ms == 0)
        watch_reader(s);
    if (s->stash.len > 0 && session_can_take(s)) {
        session_consume_stash(s);
        worker_flush(worker);
    }
}

static void settle(struct task *task)
{
    struct session *s = CONTAINER(task, struct session, task);
    struct worker *worker = s->channel.worker;
    struct client_share *share = client_of_slabs(worker, s->channel.slabs);
    uint64_t began_ns;

    if (!client_turn_enter(worker, share, &began_ns)) {
        loop_post(&worker->loop, task);
        return;
    }
    settle_now(s);
    client_turn_leave(share, began_ns);
    worker_flush(worker);
}

/* ---- deadlines ---- */

static void head_late(struct session *s)
{
    bool silent = s->stash.len == 0;

    tell_failed_handshake(s, "handshake took too long");
    stash_free(&s->stash, s->channel.slabs);
    /* An idle connection is closed without a word (RFC 9112 section 9.5), a slow head is told.
     */
    if (silent || session_stream_begin(s) == NULL) {
        session_end(s, STREAM_GONE);
        return;
    }
    s->stream->events->slow_head(s->stream);
    worker_flush(s->channel.worker);
}

static bool body_too_slow(struct session *s)
{
    uint64_t now = clock_ms(&s->channel.worker->loop.clock);
    uint64_t bytes = s->channel.received - s->mark, ms = now - s->mark_ms;
    bool slow = bytes == 0 || bytes * 1000 < s->host->body_min_rate * ms;

    s->mark = s->channel.received;
    s->mark_ms = now;
    return slow;
}

/* One byte in each window would hold an answer, and its upstream, for ever. */
static bool reader_too_slow(const struct session *s)
{
    uint64_t bytes = channel_delivered(&s->channel) - s->mark;

    return bytes == 0 || bytes * 1000 < s->host->body_min_rate * s->host->send_ms;
}

static void on_timer(struct timer *timer)
{
    struct session *s = CONTAINER(timer, struct session, timer);
    struct worker *worker = s->channel.worker;

    if (s->stream != NULL)
        worker->current = s->stream;
    if (s->state == SESSION_HEAD) {
        head_late(s);
    } else if (s->state == SESSION_BODY && s->body_wanted) {
        if (body_too_slow(s))
            session_body_failed(s, HTTP_SLOW);
        else
            timer_set(&worker->loop, &s->timer, s->host->body_ms);
    } else if (s->stream != NULL && s->channel.unsent > 0) {
        if (reader_too_slow(s))
            session_end(s, STREAM_SLOW);
        else
            watch_reader(s);
    } else if (s->stream == NULL || s->half_closed) {
        session_end(s, STREAM_GONE);
    }
    worker_flush(worker);
    worker->current = NULL;
}

/* ---- entry points ---- */

static bool room_for_one(struct worker *worker, const struct session_host *host)
{
    if (worker->connections < host->connections)
        return true;
    if (worker->idle_first == NULL)
        return host->http2 != NULL && host->http2->evict(host->http2);
    session_end(worker->idle_first, STREAM_GONE);
    return true;
}

static struct session *session_new(struct worker *worker)
{
    struct session *s = worker->free_sessions;

    if (s != NULL)
        worker->free_sessions = s->next;
    else if ((s = malloc(sizeof *s)) == NULL)
        return NULL;
    memset(s, 0, sizeof *s);
    s->timer.fire = on_timer;
    s->task.run = settle;
    return s;
}

void session_accept(struct worker *worker, const struct session_host *host, int fd,
                    const struct addr *peer, struct tls_server *tls, bool proxy_protocol)
{
    struct addr counted;
    bool within = count_peer(host, peer, &counted);
    struct session *s = within && room_for_one(worker, host) ? session_new(worker) : NULL;

    if (s == NULL) {
        struct connection_fault fault = { .kind = CONNECTION_REFUSED,
                                          .peer = *peer,
                                          .reason = within ? "connections" : "conns-per-ip" };
        host->fault(worker, &fault);
        if (host->cap != NULL)
            peer_cap_leave(host->cap, &counted);
        (void)close(fd);
        return;
    }
    proxy_protocol = proxy_protocol && cidrs_contain(host->trusted, peer);
    s->host = host;
    s->peer = *peer;
    s->counted = counted;
    s->state = proxy_protocol ? SESSION_PROXY : SESSION_HEAD;
    s->tls = tls;
    s->next = worker->sessions;
    if (s->next != NULL)
        s->next->prev = s;
    worker->sessions = s;
    worker->connections++;
    if (channel_open(&s->channel, worker, fd, NULL, &session_channel_events) != OK) {
        session_free(s);
        return;
    }
    if (!proxy_protocol)
        take_share(s);
    timer_set(&worker->loop, &s->timer, tls != NULL ? host->tls_ms : host->head_ms);
}

void sessions_drain(struct worker *worker)
{
    worker->draining = true;
    while (worker->idle_first != NULL)
        session_end(worker->idle_first, STREAM_DONE);
    /* A request that is on its way still has a moment to arrive: it would fail for nothing. */
    for (struct session *s = worker->sessions; s != NULL; s = s->next) {
        if (s->stream == NULL && s->state != SESSION_LINGER)
            timer_set(&worker->loop, &s->timer, DRAIN_HEAD_MS);
    }
}

void sessions_cut(struct worker *worker)
{
    while (worker->sessions != NULL)
        session_end(worker->sessions, STREAM_GONE);
}

struct span session_current_head(const struct worker *worker)
{
    return worker->current != NULL ? worker->current->head : span_of(NULL, 0);
}
