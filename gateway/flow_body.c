/*
 * The request's body: held up to the limit where a stage wants to see it, its content codings
 * taken off for PHASE_REQUEST_BODY; otherwise passed on as it comes, with back-pressure.
 */
#include "gateway/chain/chain.h"
#include "gateway/flow_state.h"
#include "gateway/http/decode.h"

/* Unsent bytes towards upstream above which a client's upload is paused. */
enum { UPLOAD_BUFFER = 256 * 1024 };

/* Whether a stage that wants the body would refuse what it cannot see. */
static bool body_is_enforced(const struct route *route)
{
    for (unsigned i = 0; i < route->chain_count[PHASE_REQUEST_BODY]; i++) {
        if (route->chain[PHASE_REQUEST_BODY][i].mode == MODE_BLOCK)
            return true;
    }
    return false;
}

static void request_body_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = txn->flow;

    if (flow_passed(flow, verdict))
        flow_forward(flow);
}

static void hold_body(struct flow *flow)
{
    struct request *req = flow->txn.req;

    const struct route *route = flow->txn.route;

    /* Detect mode holds what block mode would refuse, and inspects as much as block mode would.
     */
    uint64_t limit = body_is_enforced(route) ? route->body_limit : route->body_max;
    flow->held = (struct held){ .worker = flow->txn.worker,
                                .arena = flow->txn.arena,
                                .limit = (size_t)limit,
                                .worker_max = (size_t)flow->txn.config->server.limits.held };
    held_begin(&flow->held, &flow->txn.client, req->body == BODY_LENGTH ? req->length : 0);
    flow->holding = true;
    flow->stream->ops->read_body(flow->stream, true);
}

static void inspect_body(struct flow *flow, struct span body)
{
    struct span seen = span_sub(body, 0, flow->txn.route->body_limit);

    flow->body_unseen |= seen.len < body.len;
    chain_start(&flow->txn, PHASE_REQUEST_BODY, seen, request_body_done);
}

/*
 * It cannot be inspected, whole or at all: a recorded fact, and a refusal where something
 * enforces. Where nothing does, stages see what there is all the same: to leave out their phase
 * would let a client switch off all that is asked there. `status` 0: the reason's.
 */
static void pass_unseen(struct flow *flow, struct span body, bool refused, enum reason reason,
                        int status)
{
    flow->body_unseen = true;
    if (!refused || !body_is_enforced(flow->txn.route))
        inspect_body(flow, body);
    else if (status != 0)
        flow_refuse_with_status(flow, reason, status);
    else
        flow_refuse(flow, reason);
}

void flow_read_body(struct flow *flow)
{
    const struct route *route = flow->txn.route;
    const struct request *req = flow->txn.req;
    bool large = req->body == BODY_LENGTH && req->length > route->body_limit;
    bool encoded = fields_have(&req->fields, FIELD_CONTENT_ENCODING);

    if (req->body == BODY_LENGTH && req->length > route->body_max) {
        flow_refuse(flow, REASON_BODY_LIMIT);
        return;
    }
    bool page = route->handler == HANDLER_INTERNAL;
    if (flow->stream->body_ended || !route->holds_body ||
        (route->handler != HANDLER_UPSTREAM && !page)) {
        flow_forward(flow);
        return;
    }
    if (page && encoded) {
        flow_refuse_with_status(flow, REASON_BODY_MALFORMED, 415);
        return;
    }
    struct codings codings;
    bool refused = route->body_policy == BODY_STRICT && body_is_enforced(route);
    if (large)
        pass_unseen(flow, SPAN(""), true, REASON_BODY_LIMIT, 0);
    else if (encoded && refused && codings_of(&codings, &req->fields) != DECODE_OK)
        pass_unseen(flow, SPAN(""), true, REASON_BODY_MALFORMED, 415);
    else
        hold_body(flow);
}

static void hold_more(struct flow *flow, struct span bytes)
{
    enum err err = held_add(&flow->held, bytes);

    if (err != OK)
        flow_refuse(flow, err == ERR_LIMIT ? REASON_BODY_LIMIT : REASON_BODY_MEMORY);
}

void flow_body(struct stream *stream, struct span bytes)
{
    struct flow *flow = stream->owner;

    if (stream->body_bytes > flow->txn.route->body_max && !flow->exchange.rsp.websocket) {
        flow_refuse(flow, REASON_BODY_LIMIT);
        return;
    }
    if (flow->holding) {
        hold_more(flow, bytes);
        return;
    }
    if (!flow->streaming)
        return;
    exchange_send(&flow->exchange, bytes);
    if (exchange_unsent(&flow->exchange) > UPLOAD_BUFFER)
        stream->ops->read_body(stream, false);
}

/* What was not of its coding is looked at as it came: it may be plain, and the label false. */
static void body_decoded(struct flow *flow, const struct decode *decode)
{
    bool strict = flow->txn.route->body_policy == BODY_STRICT;

    if (decode->error == DECODE_OK)
        inspect_body(flow, decode->output);
    else if (decode->error == DECODE_MEMORY)
        flow_refuse(flow, REASON_BODY_MEMORY);
    else if (decode->error == DECODE_OVER_BYTES || decode->error == DECODE_OVER_RATIO)
        pass_unseen(flow, SPAN(""), true, REASON_BODY_LIMIT, 0);
    else
        pass_unseen(flow, held_span(&flow->held), strict, REASON_BODY_MALFORMED, 0);
}

void flow_body_end(struct stream *stream)
{
    struct flow *flow = stream->owner;

    if (flow->holding) {
        flow->holding = false;
        struct flow_coded coded = { .fields = &stream->req.fields,
                                    .held = &flow->held,
                                    .limit = flow->txn.route->body_limit };
        if (fields_have(&stream->req.fields, FIELD_CONTENT_ENCODING))
            flow_decode_body(flow, &coded, body_decoded);
        else
            inspect_body(flow, held_span(&flow->held));
    } else if (flow->streaming) {
        lent_fields_drop(&flow->txn, &stream->req.trailers);
        edits_guard_trailers(&flow->txn, EDIT_REQUEST, &stream->req.trailers);
        exchange_finish(&flow->exchange, &stream->req.trailers);
    }
}

void flow_body_error(struct stream *stream, enum http_error error)
{
    struct flow *flow = stream->owner;

    flow->refused = error;
    if (error == HTTP_SLOW)
        flow_refuse(flow, REASON_SLOW_BODY);
    else
        flow_refuse_with_status(flow, REASON_BODY_MALFORMED, http_error_status(error));
}
