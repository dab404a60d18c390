/*
 * Exchanges: see exchange.h. The mirror of an HTTP/1 session: heads are written from the
 * struct, answers parsed strictly, and whatever is not understood ends the exchange and its
 * connection, so that it cannot poison the next request there.
 */
#include "gateway/upstream/exchange.h"

#include <stdlib.h>

#include "gateway/upstream/exchange_state.h"

static void on_readable(struct channel *channel);
static void on_drained(struct channel *channel);
static void on_broken(struct channel *channel);

static const struct channel_events exchange_channel_events = {
    .readable = on_readable,
    .drained = on_drained,
    .broken = on_broken,
};

static const struct upstream *upstream_of(const struct exchange *x)
{
    return x->upstream->conf;
}

/* ---- memory and deadlines ---- */

/* What an exchange keeps, whoever asked for it has. */
static struct slab_pool *slabs_of(const struct exchange *x)
{
    return x->arena->pool != NULL ? x->arena->pool : &x->worker->slabs;
}

static int64_t idle_of(const struct exchange *x)
{
    return x->state == EXCHANGE_TUNNEL ? upstream_of(x)->tunnel.ms : upstream_of(x)->idle.ms;
}

/* The next deadline, never later than the total one. */
void exchange_deadline(struct exchange *x, int64_t ms)
{
    uint64_t in = (uint64_t)ms;
    int64_t total = upstream_of(x)->total.ms;

    if (total > 0 && x->state != EXCHANGE_TUNNEL) {
        uint64_t spent = clock_ms(&x->worker->loop.clock) - x->began_ms;
        uint64_t left = spent < (uint64_t)total ? (uint64_t)total - spent : 1;
        in = in < left ? in : left;
    }
    timer_set(&x->worker->loop, &x->timer, in);
}

static void let_go(struct exchange *x)
{
    circuit_leave(&x->pass, clock_ms(&x->worker->loop.clock), CIRCUIT_NOTHING);
    exchange_unqueue(x);
    timer_remove(&x->worker->loop, &x->timer);
    task_cancel(&x->task);
    stash_free(&x->stash, slabs_of(x));
    x->state = EXCHANGE_OVER;
}

/* ---- failure and retry ---- */

/* What has not left of a request that nobody waits for any more, never does. */
static void drop_conn(struct exchange *x)
{
    if (x->conn == NULL)
        return;
    if (x->state == EXCHANGE_WAITING)
        channel_take_back(&x->conn->channel);
    pool_close(x->conn);
    x->conn = NULL;
}

static void fail_with(struct exchange *x, enum err err)
{
    if (x->conn != NULL && x->conn->channel.tls != NULL)
        x->why = tls_failure(x->conn->channel.tls);
    drop_conn(x);
    circuit_failed(&x->pass, clock_ms(&x->worker->loop.clock), err);
    let_go(x);
    x->events->error(x, err);
}

static void tell_failure(struct task *task)
{
    struct exchange *x = CONTAINER(task, struct exchange, task);

    if (x->failure != OK) {
        fail_with(x, x->failure);
        worker_flush(x->worker);
        return;
    }
    if (x->conn != NULL)
        on_readable(&x->conn->channel);
}

/* From inside a call of the owner: told by the task. */
void exchange_fail_later(struct exchange *x, enum err err)
{
    x->failure = err;
    loop_post(&x->worker->loop, &x->task);
}

static bool may_retry(const struct exchange *x, bool reached_nobody)
{
    if (x->answered || x->tries > (uint64_t)upstream_of(x)->retries)
        return false;
    if (reached_nobody)
        return true;
    /* A server that is late may be at work on it: asking another one doubles its load. */
    if (x->last == ERR_TIMEOUT)
        return false;
    return method_is_idempotent(x->req->method_id) && !x->streamed;
}

/* A stale connection costs nothing: nobody but us was wrong. */
static bool pay_for_retry(struct exchange *x)
{
    if (x->upstream->retry_credit < RETRY_COST)
        return false;
    x->upstream->retry_credit -= RETRY_COST;
    return true;
}

/* All that was written of the request is still in the cork: what the connection says is no
 * answer to it. */
static bool has_not_left(const struct exchange *x)
{
    const struct channel *channel = &x->conn->channel;

    return x->state == EXCHANGE_WAITING && !x->answered && channel->corked > 0 &&
           channel->unsent == 0 && channel->sent == x->sent_before;
}

/* The connection failed before the answer was complete. */
static void try_failed(struct exchange *x, enum err err)
{
    bool reached_nobody = x->state == EXCHANGE_CONNECTING || (has_not_left(x) && !x->streamed);
    /* A kept connection that its server closed meanwhile says nothing about the server. */
    bool stale = x->reused && !x->answered && err != ERR_TIMEOUT;

    x->last = err;
    /* How a tunnel ends is up to those who talk through it, clients among them. */
    bool gone = x->epoch != x->server->epoch; /* somebody else is in its slot */
    if (!stale && !gone && x->state != EXCHANGE_TUNNEL)
        server_failed(x->server);
    if (!may_retry(x, reached_nobody) || (!stale && !pay_for_retry(x))) {
        fail_with(x, err);
        return;
    }
    drop_conn(x);
    stash_free(&x->stash, slabs_of(x));
    if (!stale && !gone)
        x->tried |= (uint64_t)1 << (x->server - x->upstream->servers);
    exchange_try(x);
}

/* ---- the request ---- */

/* Sends what is at hand of the body, as long as the kernel takes it; its end may wait in the
 * cork. */
static void pump_body(struct exchange *x)
{
    struct channel *channel = &x->conn->channel;

    while (x->body_at < x->body.len && channel->unsent == 0 && !channel->failed) {
        struct span part = span_sub(x->body, x->body_at, SCRATCH_BYTES);
        channel_write(channel, part);
        x->body_at += part.len;
        if (x->body_at < x->body.len)
            channel_flush(channel);
    }
    if (x->streamed || x->finished || x->body_at < x->body.len)
        return;
    x->finished = true;
    if (x->state == EXCHANGE_WAITING)
        exchange_deadline(x, upstream_of(x)->response.ms);
}

static void send_request(struct exchange *x)
{
    struct channel *channel = &x->conn->channel;
    struct text out = text_fixed(channel_room(channel, REQUEST_HEAD_MAX), REQUEST_HEAD_MAX);

    x->state = EXCHANGE_WAITING;
    x->sent_before = x->mark = channel->sent;
    write_request_head(&out, x->req, x->framing);
    if (out.overflow) {
        exchange_fail_later(x, ERR_LIMIT);
        return;
    }
    channel_wrote(channel, out.len);
    if (x->body.len > 0)
        pump_body(x);
    else
        x->finished = !x->streamed;
    exchange_deadline(x, upstream_of(x)->response.ms);
}

void exchange_try(struct exchange *x)
{
    for (;;) {
        x->server = balance_choose(x->upstream, x->tried, &x->pick);
        if (x->server == NULL && exchange_wait(x))
            return;
        if (x->server == NULL) {
            exchange_fail_later(x, exchange_why_refused(x));
            return;
        }
        x->tries++;
        x->epoch = x->server->epoch;
        x->label = server_label(x->server);
        if (server_is_found(x->server)) /* the slot may be another's before we end */
            x->label = arena_copy(x->arena, x->label);
        x->body_at = 0;
        x->finished = false;
        x->scan = (struct head_scan){ 0 };
        /* After one stale connection the others of that server are likely as old: a fresh one
         * then. */
        x->conn = x->tries == 1 ? pool_take(x->server, x) : NULL;
        x->reused = x->conn != NULL;
        if (x->reused) {
            x->conn->channel.events = &exchange_channel_events;
            x->conn->channel.slabs = slabs_of(x);
            send_request(x);
            return;
        }
        x->state = EXCHANGE_CONNECTING;
        x->conn = pool_connect(x->server, x, &exchange_channel_events);
        if (x->conn != NULL) {
            x->conn->channel.slabs = slabs_of(x);
            exchange_deadline(x, upstream_of(x)->connect.ms);
            return;
        }
        x->last = ERR_CONNECT;
        server_failed(x->server);
        x->tried |= (uint64_t)1 << (x->server - x->upstream->servers);
        if (!may_retry(x, true) || !pay_for_retry(x)) {
            exchange_fail_later(x, x->last);
            return;
        }
    }
}

/* ---- the answer ---- */

/* The configuration says that a server which answers so has failed. */
static bool answer_is_bad(const struct exchange *x)
{
    const struct upstream *conf = upstream_of(x);
    uint32_t status = (uint32_t)x->rsp.status;

    return conf->bad_from > 0 && status >= conf->bad_from && status <= conf->bad_to;
}

/* The answer is complete. What follows it on the connection, nobody asked for. */
static void finish(struct exchange *x, bool more)
{
    struct server_conn *conn = x->conn;
    bool keep = !more && x->finished && x->rsp.keep_alive && x->state == EXCHANGE_BODY &&
                x->rsp.body != BODY_CLOSE;

    if (answer_is_bad(x))
        server_failed(x->server);
    else
        server_succeeded(x->server);
    x->conn = NULL;
    let_go(x);
    if (keep)
        pool_keep(conn);
    else
        pool_close(conn);
    x->events->end(x);
}

static bool take_head(struct exchange *x, struct span *input)
{
    struct head_limits limits = { .head_bytes = UPSTREAM_HEAD_BYTES,
                                  .fields = UPSTREAM_FIELDS };
    ssize_t len = head_scan(&x->scan, input->p, input->len, limits.head_bytes);

    if (len == HEAD_MORE)
        return false;
    if (len < 0) {
        try_failed(x, ERR_PROTOCOL);
        return false;
    }
    x->scan = (struct head_scan){ 0 };
    struct span head = arena_copy(x->arena, span_of(input->p, (size_t)len));
    *input = span_of(input->p + len, input->len - (size_t)len);
    x->rsp = (struct response){ 0 };
    if (head.p == NULL || response_parse(&x->rsp, head, x->arena, &limits, x->req) != HTTP_OK) {
        try_failed(x, ERR_PROTOCOL);
        return false;
    }
    if (x->rsp.status < 200 && !x->rsp.websocket) {
        if (++x->interim > UPSTREAM_INTERIM_MAX) {
            try_failed(x, ERR_PROTOCOL);
            return false;
        }
        return true;
    }
    if (x->rsp.websocket) {
        x->state = EXCHANGE_TUNNEL;
        exchange_deadline(x, upstream_of(x)->tunnel.ms);
    } else {
        x->state = EXCHANGE_BODY;
        body_begin(&x->reader, x->rsp.body, x->rsp.length, x->arena);
        exchange_deadline(x, upstream_of(x)->idle.ms);
    }
    if (!answer_is_bad(x))
        server_answers(x->server);
    circuit_answered(&x->pass, clock_ms(&x->worker->loop.clock), x->rsp.status);
    x->events->head(x);
    return true;
}

static bool take_body(struct exchange *x, struct span *input)
{
    if (!x->reader.ended && x->reader.kind != BODY_NONE && input->len > 0) {
        struct span data = body_next(&x->reader, input);
        if (data.len > 0)
            x->events->body(x, data);
        if (x->state != EXCHANGE_BODY)
            return false;
    }
    if (x->reader.error == HTTP_OK && x->reader.ended)
        x->reader.error = body_trailers(&x->reader, &x->rsp.trailers);
    if (x->reader.error != HTTP_OK) {
        try_failed(x, ERR_PROTOCOL);
        return false;
    }
    if (x->reader.ended || x->reader.kind == BODY_NONE ||
        (x->reader.kind == BODY_LENGTH && x->rsp.length == 0)) {
        finish(x, input->len > 0);
        return false;
    }
    return input->len > 0 && !x->paused;
}

/* `input` is in the worker's scratch. */
static void consume(struct exchange *x, struct span input)
{
    bool going = true;

    while (going && x->conn != NULL && !x->paused) {
        if (x->state == EXCHANGE_WAITING) {
            going = input.len > 0 && take_head(x, &input);
        } else if (x->state == EXCHANGE_BODY) {
            going = take_body(x, &input);
        } else if (x->state == EXCHANGE_TUNNEL) {
            if (input.len > 0)
                x->events->body(x, input);
            input = span_of(NULL, 0);
            going = false;
        } else {
            going = false;
        }
    }
    if (x->conn != NULL && x->state != EXCHANGE_CONNECTING &&
        !stash_keep(&x->stash, slabs_of(x), input))
        fail_with(x, ERR_MEMORY);
}

static void input_ended(struct exchange *x, bool clean)
{
    if (x->state == EXCHANGE_TUNNEL && clean) {
        finish(x, true);
        return;
    }
    if (x->state == EXCHANGE_BODY && clean && body_at_close(&x->reader)) {
        finish(x, true);
        return;
    }
    try_failed(x, x->answered && x->state == EXCHANGE_WAITING ? ERR_PROTOCOL : ERR_CLOSED);
}

/* ---- events ---- */

static void on_readable(struct channel *channel)
{
    struct server_conn *conn = CONTAINER(channel, struct server_conn, channel);
    struct exchange *x = conn->exchange;
    struct worker *worker = channel->worker;
    size_t had = x->stash.len;

    if (x->paused && (had > 0 || x->state != EXCHANGE_WAITING)) {
        channel_reading(channel, false);
        return;
    }
    /* Half a head is completed; a body that was left by a pause is told before more is read. */
    ssize_t n = had > 0 && x->state != EXCHANGE_WAITING
                    ? CHANNEL_AGAIN
                    : channel_read(channel, worker->scratch + had, SCRATCH_BYTES - had);
    /* After a pause at the head, a body without bytes still has to end. */
    bool ends_now = x->state == EXCHANGE_BODY && x->reader.ended;
    if (n == CHANNEL_AGAIN && !ends_now && (had == 0 || x->state == EXCHANGE_WAITING))
        return;
    if (n > 0 && has_not_left(x)) { /* nobody asked for it */
        try_failed(x, ERR_PROTOCOL);
        worker_flush(worker);
        return;
    }
    if (n > 0) {
        x->answered = true;
        if (x->state != EXCHANGE_WAITING)
            exchange_deadline(x, idle_of(x));
    }
    if (had > 0)
        memcpy(worker->scratch, x->stash.p, had);
    stash_free(&x->stash, slabs_of(x));
    consume(x, span_of(worker->scratch, had + (n > 0 ? (size_t)n : 0)));
    if ((n == 0 || n == CHANNEL_FAILED) && x->conn == conn)
        input_ended(x, n == 0);
    worker_flush(worker);
}

static void on_drained(struct channel *channel)
{
    struct exchange *x = CONTAINER(channel, struct server_conn, channel)->exchange;

    if (x->state == EXCHANGE_CONNECTING)
        send_request(x);
    else if (!x->streamed && x->body_at < x->body.len)
        pump_body(x);
    bool more = x->streamed || x->state == EXCHANGE_TUNNEL;
    if (more && x->conn != NULL && x->state != EXCHANGE_OVER)
        x->events->drained(x);
    worker_flush(channel->worker);
}

static void on_broken(struct channel *channel)
{
    struct exchange *x = CONTAINER(channel, struct server_conn, channel)->exchange;
    struct worker *worker = channel->worker;

    try_failed(x, x->state == EXCHANGE_CONNECTING ? ERR_CONNECT : ERR_CLOSED);
    worker_flush(worker);
}

static void on_timer(struct timer *timer)
{
    struct exchange *x = CONTAINER(timer, struct exchange, timer);
    struct worker *worker = x->worker;

    if (x->state == EXCHANGE_QUEUED) {
        fail_with(x, exchange_why_refused(x));
        worker_flush(worker);
        return;
    }
    if (x->conn == NULL)
        return;
    int64_t total = upstream_of(x)->total.ms;
    bool overall = total > 0 && x->state != EXCHANGE_TUNNEL &&
                   clock_ms(&worker->loop.clock) - x->began_ms >= (uint64_t)total;
    /* While the request is on its way, upstream is late only when it does not take what is
     * there: a slow client has deadlines of its own. */
    const struct channel *channel = &x->conn->channel;
    if (!overall && x->paused)
        return;
    if (!overall && x->state == EXCHANGE_WAITING && !x->finished &&
        (channel->unsent == 0 || channel->sent != x->mark)) {
        x->mark = x->conn->channel.sent;
        exchange_deadline(x, upstream_of(x)->response.ms);
        return;
    }
    try_failed(x, ERR_TIMEOUT);
    worker_flush(worker);
}

/* ---- entry points ---- */

void exchange_start_at(struct exchange *x, struct worker *worker,
                       struct upstream_local *upstream, struct arena *arena,
                       const struct request *req)
{
    x->worker = worker;
    x->upstream = upstream;
    x->arena = arena;
    x->req = req;
    x->timer.fire = on_timer;
    x->task.run = tell_failure;
    x->began_ms = clock_ms(&worker->loop.clock);
    x->upstream->retry_credit += x->upstream->retry_credit < RETRY_CREDIT_MAX;
    exchange_try(x);
}

void exchange_start(struct exchange *x, struct worker *worker, const struct upstream *upstream,
                    struct arena *arena, const struct request *req)
{
    exchange_start_at(x, worker, upstream_local(worker, upstream), arena, req);
}

void exchange_send(struct exchange *x, struct span bytes)
{
    if (x->conn == NULL || x->state == EXCHANGE_CONNECTING || bytes.len == 0)
        return;
    struct channel *channel = &x->conn->channel;
    bool chunked = x->framing.body == BODY_CHUNKED && x->state != EXCHANGE_TUNNEL;

    if (chunked) {
        char line[24];
        struct text head = text_fixed(line, sizeof line);
        write_chunk_head(&head, bytes.len);
        channel_write(channel, text_span(&head));
    }
    channel_write(channel, bytes);
    if (chunked)
        channel_write(channel, SPAN("\r\n"));
    if (x->state == EXCHANGE_TUNNEL && !x->paused)
        exchange_deadline(x, upstream_of(x)->tunnel.ms);
}

void exchange_finish(struct exchange *x, const struct fields *trailers)
{
    if (x->conn == NULL)
        return;
    if (x->state == EXCHANGE_TUNNEL) {
        channel_shut(&x->conn->channel);
        return;
    }
    if (x->finished)
        return;
    if (x->framing.body == BODY_CHUNKED) {
        char lines[TRAILER_BYTES_MAX + 64];
        struct text last = text_fixed(lines, sizeof lines);
        write_last_chunk(&last, trailers);
        if (last.overflow) {
            exchange_fail_later(x, ERR_LIMIT);
            return;
        }
        channel_write(&x->conn->channel, text_span(&last));
    }
    x->finished = true;
    if (x->state == EXCHANGE_WAITING)
        exchange_deadline(x, upstream_of(x)->response.ms);
}

void exchange_pause(struct exchange *x, bool paused)
{
    if (x->conn == NULL || x->paused == paused)
        return;
    x->paused = paused;
    if (paused) {
        /* Whoever makes it wait has deadlines of its own; the total one goes on. */
        timer_clear(&x->timer);
        if (upstream_of(x)->total.ms > 0 && x->state != EXCHANGE_TUNNEL)
            exchange_deadline(x, INT64_MAX);
        return;
    }
    exchange_deadline(x, idle_of(x));
    channel_reading(&x->conn->channel, true);
    loop_post(&x->worker->loop, &x->task);
}

size_t exchange_unsent(const struct exchange *x)
{
    return x->conn != NULL ? x->conn->channel.unsent : 0;
}

void exchange_abort(struct exchange *x)
{
    if (x->worker == NULL || x->state == EXCHANGE_OVER)
        return;
    drop_conn(x);
    let_go(x);
}
