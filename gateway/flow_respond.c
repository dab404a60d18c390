/*
 * The answer of upstream on its way to the client: PHASE_RESPONSE_HEAD, PHASE_RESPONSE_BODY,
 * and then the stream, with back-pressure.
 *
 * On a route whose stages want to see answers, bodies of the media types that they list are
 * held with the head until all is there, up to the route's limit; so a denial gives the client
 * nothing of upstream's. Longer ones are judged by their beginning, or refused
 * (`response_over`). Every other answer streams, and its body is shown as absent: tunnels,
 * server-sent events, unlisted types, and content codings that cannot be taken off; the last
 * one is a recorded fact.
 */
#include "gateway/chain/chain.h"
#include "gateway/flow_compress.h"
#include "gateway/flow_state.h"
#include "gateway/http/decode.h"
#include "gateway/store/slots.h"

enum { RELEASE_PIECE = 32 * 1024 };

static struct flow *flow_of_exchange(struct exchange *x)
{
    struct flow *flow = CONTAINER(x, struct flow, exchange);

    flow->txn.worker->current = flow->stream;
    return flow;
}

static size_t response_buffer(const struct flow *flow)
{
    return flow->txn.config->server.limits.response_buffer;
}

/* Upstream took what we had: more of the client's body is welcome. */
static void upstream_drained(struct exchange *x)
{
    struct flow *flow = flow_of_exchange(x);

    if (flow->streaming)
        flow->stream->ops->read_body(flow->stream, true);
}

/* ---- what is inspected ---- */

static struct span media_type_of(struct span value)
{
    struct span type = { NULL, 0 };

    (void)span_cut(&value, ';', &type);
    return span_trim(type);
}

static bool is_listed(const struct route *route, struct span media_type)
{
    /* An event stream has no end to wait for. */
    if (span_equal_nocase(media_type, SPAN("text/event-stream")))
        return false;
    for (unsigned i = 0; i < route->chain_count[PHASE_RESPONSE_BODY]; i++) {
        const struct stage_instance *stage = &route->chain[PHASE_RESPONSE_BODY][i];
        if (stage->type->response_type == NULL ||
            stage->type->response_type(stage->conf, media_type))
            return true;
    }
    return false;
}

/* Of several lines, which browsers read differently, each one counts. */
static bool type_is_listed(const struct route *route, const struct fields *fields)
{
    const struct field *field = fields_get(fields, FIELD_CONTENT_TYPE);

    if (field == NULL)
        return is_listed(route, span_of("", 0));
    for (; field != NULL; field = fields_next(fields, field)) {
        if (is_listed(route, media_type_of(field->value)))
            return true;
    }
    return false;
}

static bool must_gather(struct flow *flow)
{
    const struct route *route = flow->txn.route;
    const struct response *rsp = &flow->exchange.rsp;
    bool empty = rsp->body == BODY_NONE || (rsp->body == BODY_LENGTH && rsp->length == 0);
    struct codings codings = { .count = 0 };

    if (!route->holds_response || empty || rsp->websocket)
        return false;
    /* A part all the same, which nobody asked for: rules see it, but not what it is a part of.
     */
    flow->response_unseen = rsp->status == 206;
    if (!type_is_listed(route, &rsp->fields))
        return false;
    if (codings_of(&codings, &rsp->fields) != DECODE_OK) {
        flow->response_unseen = true;
        return false;
    }
    flow->answer_coded = codings.count > 0;
    return true;
}

static bool is_known_coding(struct span member)
{
    static const struct span known[] = { SPAN_INIT("gzip"),   SPAN_INIT("deflate"),
                                         SPAN_INIT("br"),     SPAN_INIT("zstd"),
                                         SPAN_INIT("x-gzip"), SPAN_INIT("identity") };
    struct span name = { NULL, 0 };

    (void)span_cut(&member, ';', &name);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (span_equal_nocase(span_trim(name), known[i]))
            return true;
    }
    return false;
}

enum err flow_ask_readable(struct flow *flow)
{
    struct fields *fields = &flow->txn.req->fields;
    struct text kept = text_growing(flow->txn.arena, 64);
    struct list_walk walk = list_walk(fields, FIELD_ACCEPT_ENCODING);
    struct span member;

    if (!flow->txn.route->holds_response)
        return OK;
    /* What stands in an answer could be fetched in pieces that no rule knows (CVE-2022-39958).
     * Any server may leave a range out of account (RFC 9110 section 14.2). */
    fields_drop_alias(fields, SPAN("Range"));
    fields_drop_alias(fields, SPAN("If-Range"));
    while (list_next(&walk, &member)) {
        if (!is_known_coding(member))
            continue;
        text_add(&kept, kept.len > 0 ? SPAN(", ") : SPAN(""));
        text_add(&kept, member);
    }
    /* Without the field any coding would be acceptable (RFC 9110 section 12.5.3). */
    if (kept.len == 0)
        text_lit(&kept, "identity");
    fields_drop(fields, FIELD_ACCEPT_ENCODING);
    if (kept.overflow)
        return ERR_MEMORY;
    return fields_add(fields, flow->txn.arena, field_name(FIELD_ACCEPT_ENCODING),
                      text_span(&kept));
}

/* ---- head ---- */

/* How the answer's body reaches the client: its length where it is known, else chunks. */
static struct wire_framing answer_framing(const struct flow *flow)
{
    const struct response *rsp = &flow->exchange.rsp;
    struct wire_framing framing = { .body = rsp->body,
                                    .length = rsp->length,
                                    .keep_alive = true };
    struct span length = fields_value(&rsp->fields, FIELD_CONTENT_LENGTH);

    framing.websocket = rsp->websocket;
    /* Held whole, and nothing comes behind it. */
    if (flow->upstream_ended && rsp->trailers.count == 0) {
        framing.body = BODY_LENGTH;
        framing.length = flow->answer_held.len + flow->answer_rest.len;
        return framing;
    }
    if (rsp->body == BODY_CLOSE)
        framing.body = BODY_CHUNKED;
    if (rsp->body == BODY_NONE && rsp->status != 204 && rsp->status >= 200 &&
        span_uint(length, &framing.length))
        framing.body = BODY_LENGTH; /* to HEAD or with 304: the length it would have */
    return framing;
}

/* RFC 9110 section 6.6.1: who forwards an answer without a date adds one. */
static enum err add_date(struct flow *flow)
{
    struct response *rsp = &flow->exchange.rsp;
    char now[32];
    struct text out = text_fixed(now, sizeof now);

    if (rsp->status < 200 || fields_have(&rsp->fields, FIELD_DATE))
        return OK;
    clock_write_http(&out, flow->txn.clock->wall_us);
    struct span date = arena_copy(flow->txn.arena, text_span(&out));
    return fields_add_known(&rsp->fields, flow->txn.arena, FIELD_DATE, date);
}

static void release(struct flow *flow);

/* More is welcome, unless the client has enough to take. */
static void go_on(struct flow *flow)
{
    flow->throttled = flow->stream->ops->unsent(flow->stream) > response_buffer(flow);
    if (!flow->throttled)
        exchange_pause(&flow->exchange, false);
}

static void compressed(struct flow *flow)
{
    if (flow->releasing)
        release(flow);
    else
        go_on(flow);
}

/* The head goes out: from here on a failure can only be a visible cut. */
static bool send_head(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    struct exchange *x = &flow->exchange;

    struct wire_framing framing = answer_framing(flow);
    own_cookies_refuse(&x->rsp.fields);
    if (edits_apply(txn, EDIT_RESPONSE, &x->rsp.fields) != OK || add_date(flow) != OK ||
        flow_compress_begin(flow, &framing, compressed) != OK) {
        flow_refuse(flow, REASON_MEMORY);
        return false;
    }
    flow->status = x->rsp.status;
    flow->head_sent = true;
    flow->stream->ops->send_head(flow->stream, &x->rsp, framing);
    return true;
}

/* Nothing is held: the body phase sees that, and the rest streams. */
static void stream_on(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = txn->flow;
    struct stream *stream = flow->stream;
    struct exchange *x = &flow->exchange;

    if (!flow_passed(flow, verdict) || !send_head(flow))
        return;
    if (x->rsp.websocket) {
        stream->ops->tunnel(stream);
        flow->streaming = true;
        stream->ops->read_body(stream, true);
    }
    exchange_pause(x, false);
}

static void gather(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct response *rsp = &flow->exchange.rsp;

    /* Room for one read more than the limit, so that what is over it need not be thrown away.
     */
    flow->answer_held =
        (struct held){ .worker = txn->worker,
                       .arena = txn->arena,
                       .limit = (size_t)txn->route->response_limit + SCRATCH_BYTES,
                       .worker_max = (size_t)txn->config->server.limits.held };
    held_begin(&flow->answer_held, &txn->client, rsp->body == BODY_LENGTH ? rsp->length : 0);
    flow->gathering = true;
    exchange_pause(&flow->exchange, false);
}

static void response_head_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = txn->flow;

    if (!flow_passed(flow, verdict))
        return;
    if (must_gather(flow))
        gather(flow);
    else
        chain_start(txn, PHASE_RESPONSE_BODY, span_of(NULL, 0), stream_on);
}

/* The cookie that keeps the client with its server, where one is due. */
static bool bind_client(struct flow *flow)
{
    enum { COOKIE_BYTES = 512 };
    struct exchange *x = &flow->exchange;

    if (x->upstream->conf->sticky_cookie.len == 0)
        return true;
    struct text cookie = text_growing(flow->txn.arena, COOKIE_BYTES);
    if (!balance_cookie(x->server, &x->pick, &flow->txn, &cookie))
        return !cookie.overflow;
    return edit_field(&flow->txn, EDIT_RESPONSE, EDIT_ADD, SPAN("Set-Cookie"),
                      text_span(&cookie));
}

static void upstream_head(struct exchange *x)
{
    struct flow *flow = flow_of_exchange(x);
    struct txn *txn = &flow->txn;

    flow->answered_ns = txn->clock->mono_ns;
    txn->rsp = &x->rsp;
    if (!bind_client(flow)) {
        flow_refuse(flow, REASON_MEMORY);
        return;
    }
    flow->edits_mark = txn->edits_tail;
    chain_start(txn, PHASE_RESPONSE_HEAD, span_of(NULL, 0), response_head_done);
    if (!flow->head_sent && !flow->local && !flow->gathering)
        exchange_pause(x, true); /* a stage waits */
}

/* ---- held bodies ---- */

static void end_answer(struct flow *flow)
{
    struct exchange *x = &flow->exchange;

    edits_guard_trailers(&flow->txn, EDIT_RESPONSE, &x->rsp.trailers);
    if (flow->compress != NULL)
        flow_compress_end(flow);
    else
        flow->stream->ops->send_end(flow->stream, &x->rsp.trailers);
}

/* The client gets what was held as fast as it takes it, so that the copy on the connection
 * stays within its bound. */
static void release(struct flow *flow)
{
    struct stream *stream = flow->stream;
    struct span all = held_span(&flow->answer_held);

    while (flow->answer_sent < all.len &&
           stream->ops->unsent(stream) <= response_buffer(flow)) {
        struct span piece = span_sub(all, flow->answer_sent, RELEASE_PIECE);
        flow->answer_sent += piece.len;
        if (flow->compress != NULL) { /* the next piece in another turn */
            flow->releasing = true;
            flow_compress_body(flow, piece);
            if (flow->compress != NULL)
                flow_compress_more(flow);
            return;
        }
        stream->ops->send_body(stream, piece);
    }
    flow->releasing = flow->answer_sent < all.len;
    if (flow->releasing)
        return;
    if (flow->txn.finding_count == 0) /* else the record still looks into it */
        held_free(&flow->answer_held);
    if (flow->upstream_ended)
        end_answer(flow);
    else
        exchange_pause(&flow->exchange, false);
}

/* What does not fit in any more goes after the rest at once: upstream rests until then. */
static void send_overrun(struct flow *flow)
{
    const struct stream_ops *ops = flow->stream->ops;
    struct span held = held_span(&flow->answer_held);

    ops->send_body(flow->stream, held);
    ops->send_body(flow->stream, flow->answer_rest);
    flow->answer_sent = held.len;
}

static void response_body_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = txn->flow;

    flow->judging = false;
    if (!flow_passed(flow, verdict) || !send_head(flow))
        return;
    if (flow->answer_overran)
        send_overrun(flow);
    release(flow);
}

/* Stages see as much of the body as the route's limit says. */
static void judge(struct flow *flow, struct span body)
{
    size_t limit = (size_t)flow->txn.route->response_limit;

    flow->gathering = false;
    flow->judging = true;
    chain_start(&flow->txn, PHASE_RESPONSE_BODY, span_sub(body, 0, limit), response_body_done);
}

/* Where nothing enforces, nothing is refused for being too much to be looked at. */
static bool response_is_enforced(const struct route *route)
{
    for (unsigned i = 0; i < route->chain_count[PHASE_RESPONSE_BODY]; i++) {
        if (route->chain[PHASE_RESPONSE_BODY][i].mode == MODE_BLOCK)
            return true;
    }
    return false;
}

/* More than may be looked at. True: so it is refused, and the client answered. */
static bool refused_as_over(struct flow *flow, bool memory)
{
    const struct route *route = flow->txn.route;

    flow->response_unseen = true;
    if (!response_is_enforced(route) || !(memory || route->response_over_denies))
        return false;
    flow_refuse(flow, memory ? REASON_BODY_MEMORY : REASON_RESPONSE_LIMIT);
    return true;
}

static void answer_decoded(struct flow *flow, const struct decode *decode)
{
    bool over = decode->error == DECODE_OVER_BYTES || decode->error == DECODE_OVER_RATIO;
    bool memory = decode->error == DECODE_MEMORY;

    if (decode->error == DECODE_OK) {
        judge(flow, decode->output);
        return;
    }
    if ((over || memory) && refused_as_over(flow, memory))
        return;
    /* What is not of its coding may be plain, and the label false: it is looked at as it came.
     */
    flow->response_unseen = true;
    judge(flow, over || memory ? span_of(NULL, 0) : held_span(&flow->answer_held));
}

/* All of it is there. */
static void inspect(struct flow *flow)
{
    struct flow_coded coded = { .fields = &flow->exchange.rsp.fields,
                                .held = &flow->answer_held,
                                .limit = flow->txn.route->response_limit };

    flow->gathering = false;
    if (flow->answer_coded)
        flow_decode_body(flow, &coded, answer_decoded);
    else
        judge(flow, held_span(&flow->answer_held));
}

static void gather_more(struct flow *flow, struct span bytes)
{
    const struct route *route = flow->txn.route;
    enum err err = held_add(&flow->answer_held, bytes);

    if (err == OK && flow->answer_held.len <= route->response_limit)
        return;
    if (refused_as_over(flow, err != OK))
        return;
    exchange_pause(&flow->exchange, true);
    flow->answer_overran = err != OK;
    if (flow->answer_overran) {
        flow->answer_rest = arena_copy(flow->txn.arena, bytes);
        if (flow->answer_rest.p == NULL) {
            flow_refuse(flow, REASON_MEMORY);
            return;
        }
    }
    /* Half of a coded body is nothing. */
    judge(flow, flow->answer_coded ? span_of(NULL, 0) : held_span(&flow->answer_held));
}

/* ---- stream ---- */

static void upstream_body(struct exchange *x, struct span bytes)
{
    struct flow *flow = flow_of_exchange(x);
    struct stream *stream = flow->stream;

    if (flow->gathering) {
        gather_more(flow, bytes);
        return;
    }
    if (flow->compress != NULL)
        flow_compress_body(flow, bytes);
    else
        stream->ops->send_body(stream, bytes);
    if (flow_compress_busy(flow)) {
        exchange_pause(x, true);
    } else if (stream->ops->unsent(stream) > response_buffer(flow)) {
        flow->throttled = true;
        exchange_pause(x, true);
    }
}

static void upstream_end(struct exchange *x)
{
    struct flow *flow = flow_of_exchange(x);

    flow->streaming = false;
    if (flow->gathering) {
        flow->upstream_ended = true;
        inspect(flow);
    } else if (flow->judging || flow->releasing) {
        flow->upstream_ended = true;
    } else {
        end_answer(flow);
    }
}

static enum reason upstream_reason(enum err err)
{
    static const struct {
        enum err err;
        enum reason reason;
    } rows[] = {
        { ERR_TIMEOUT, REASON_UPSTREAM_TIMEOUT },
        { ERR_BUSY, REASON_UPSTREAM_NONE },
        { ERR_PROTOCOL, REASON_UPSTREAM_BAD },
        { ERR_LIMIT, REASON_UPSTREAM_BAD },
        { ERR_MEMORY, REASON_MEMORY },
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].err == err)
            return rows[i].reason;
    }
    return REASON_UPSTREAM_UNREACHABLE;
}

static void upstream_error(struct exchange *x, enum err err)
{
    struct flow *flow = flow_of_exchange(x);

    flow->txn.worker->shared->counters.upstream_failures++;
    flow->txn.decided = ACTION_FAIL;
    flow->txn.reason = upstream_reason(err);
    flow_answer(flow, flow->txn.reason, NULL);
}

const struct exchange_events flow_forward_events = {
    .head = upstream_head,
    .body = upstream_body,
    .end = upstream_end,
    .error = upstream_error,
    .drained = upstream_drained,
};

/* The client took what we had: upstream may go on. */
void flow_drained(struct stream *stream)
{
    struct flow *flow = stream->owner;

    if (flow->releasing) {
        release(flow);
        return;
    }
    if (!flow->throttled)
        return;
    flow->throttled = false;
    if (!flow_compress_busy(flow))
        exchange_pause(&flow->exchange, false);
}
