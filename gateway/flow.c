/*
 * THE FILE TO READ FIRST: a transaction's life, one function per step.
 *
 *     read_head   parsed, canonical; client address, site, route     -> PHASE_REQUEST_HEAD
 *     read_body   held up to the limit, if a stage wants to see it    -> PHASE_REQUEST_BODY
 *     forward     the route's handler: upstream | respond | redirect | a stage's page
 *     respond     status and fields of the answer                     -> PHASE_RESPONSE_HEAD
 *     stream      its body, held if a stage wants to see it           -> PHASE_RESPONSE_BODY
 *     record      one record, counters
 *
 * read_body stands in flow_body.c, respond and stream in flow_respond.c. A step ends by calling
 * the next one, by waiting for an event, or by flow_answer, the one way to every local answer.
 * What a failure means is decided in the chain and not here.
 */
#include "gateway/flow.h"

#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/template.h"
#include "gateway/flow_compress.h"
#include "gateway/flow_state.h"
#include "gateway/http/evidence.h"
#include "gateway/http/forwarded.h"
#include "gateway/net/certs.h"
#include "gateway/net/challenge.h"
#include "gateway/net/tls.h"
#include "gateway/store/slots.h"
#include "gateway/upstream/forward.h"

static struct flow *flow_of(struct stream *stream)
{
    return stream->owner;
}

static struct flow *flow_of_txn(struct txn *txn)
{
    return txn->flow;
}

/* ---- read_head ---- */

static enum http_error find_client(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct cidrs *trusted = &txn->config->server.trusted_proxies;
    struct span scheme = { NULL, 0 };
    enum http_error error = HTTP_OK;

    txn->peer = txn->client = flow->stream->peer;
    if (trusted->count > 0)
        error = forwarded_client(&txn->req->fields, &txn->peer, trusted, &txn->client, &scheme);
    if (scheme.p != NULL)
        txn->req->scheme = scheme;
    return error;
}

/* Has this very request ended workers before? */
static bool is_query_of_death(const struct flow *flow)
{
    const struct slots *slots = flow->txn.worker->slots;

    if (slots == NULL || __atomic_load_n(&slots->deaths_refused, __ATOMIC_ACQUIRE) == 0)
        return false;
    uint64_t fingerprint = death_fingerprint(slots->boot_key, flow->stream->head);
    return deaths_refuse(slots, fingerprint, (uint32_t)(flow->txn.began_us / 1000000));
}

/*
 * A connection whose handshake was for one site may not reach another one that asks for
 * certificates. Over HTTP/2, where clients share connections among names by themselves, it may
 * reach only what has the same certificate (RFC 9113 section 9.1.1).
 */
static bool is_misdirected(const struct flow *flow)
{
    const struct site *site = flow->txn.site;
    const struct tls_info *tls = flow->stream->tls;

    if (flow->txn.req->http2 && tls != NULL && tls->site != site->tls_site &&
        !tls_server_sites_alike(flow->txn.config->tls, tls->site, site->tls_site))
        return true;
    if (!site->client_cert_required)
        return false;
    return tls == NULL || tls->site != site->tls_site || !tls->client_cert;
}

/*
 * Some route keeps encoded slashes, so heads are parsed that way; all other routes get the
 * strict reading of the same target, and are looked up by it.
 */
static enum http_error strict_path(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    struct request *req = txn->req;
    struct uri uri;

    if (txn->route == NULL || !txn->config->preserve_encoded || txn->route->preserve_encoded)
        return HTTP_OK;
    enum http_error error = uri_parse(&uri, req->target, req->method_id, false, txn->arena);
    if (error != HTTP_OK)
        return error;
    req->path = uri.path;
    req->path_wire = uri.path_wire;
    req->path_plain = uri.path_plain;
    txn->route = route_find(txn->site, req, txn);
    return HTTP_OK;
}

/* Plain HTTP of a site that is HTTPS only: before anything is asked, a password say. */
static void send_to_https(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct request *req = txn->req;
    struct text to = text_growing(txn->arena, req->path_wire.len + req->query.len + 64);
    struct reply *reply = reply_new(txn, 308);
    uint16_t port = config_https_port(txn->config);

    text_lit(&to, "https://");
    text_add(&to, req->host);
    if (port != 0 && port != 443) {
        text_char(&to, ':');
        text_uint(&to, port);
    }
    text_add(&to, req->path_wire);
    if (req->has_query) {
        text_char(&to, '?');
        text_add(&to, req->query);
    }
    if (to.overflow || reply == NULL || !reply_field(reply, SPAN("Location"), text_span(&to))) {
        flow_refuse(flow, REASON_MEMORY);
        return;
    }
    txn->reason = REASON_REDIRECT;
    flow_answer(flow, REASON_REDIRECT, reply);
}

/*
 * A certificate authority asks for the proof that it was promised (RFC 8555 section 8.3), on
 * plain HTTP: before any list, rule or redirect could keep the certificate away. Nothing but
 * the token of an order under way is answered.
 */
static bool answer_authority(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct span *block = txn->worker->challenges;

    if (block == NULL || block->len == 0 || flow->stream->tls != NULL ||
        (txn->req->method_id != METHOD_GET && txn->req->method_id != METHOD_HEAD))
        return false;
    struct span answer = challenge_answer(*block, txn->req->host, txn->req->path);
    if (answer.len == 0)
        return false;
    struct reply *reply = reply_new(txn, 200);
    struct span body = arena_copy(txn->arena, answer); /* the block may be swapped */
    if (reply == NULL || body.p == NULL) {
        flow_refuse(flow, REASON_MEMORY);
        return true;
    }
    reply->body = body;
    reply->type = SPAN("application/octet-stream");
    txn->reason = REASON_ACME;
    flow_answer(flow, REASON_ACME, reply);
    return true;
}

static void request_head_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = flow_of_txn(txn);

    if (flow_passed(flow, verdict))
        flow_read_body(flow);
}

/* What was refused is looked at all the same, leniently, for rules and the record. */
static void show_evidence(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct limits_conf *limits = &txn->config->server.limits;
    struct head_limits bounds = { .head_bytes = (size_t)limits->header,
                                  .uri_bytes = (size_t)limits->uri,
                                  .fields = (unsigned)limits->headers };
    struct request *req = arena_new(txn->arena, struct request);

    if (req == NULL || flow->stream->head.len == 0)
        return;
    request_evidence(req, flow->stream->head, txn->arena, &bounds);
    req->scheme = txn->req->scheme;
    req->http2 = txn->req->http2;
    txn->req = req;
    const struct site *site = site_find(txn->config, req->host);
    if (site != NULL)
        chain_evidence(txn, &site->routes[site->route_count - 1]);
}

static void refuse_head(struct flow *flow, enum http_error error)
{
    show_evidence(flow);
    flow->refused = error;
    flow_refuse_with_status(flow, REASON_HTTP, http_error_status(error));
}

static void step_read_head(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    enum http_error error = find_client(flow);

    if (error != HTTP_OK) {
        refuse_head(flow, error);
        return;
    }
    if (is_query_of_death(flow)) {
        flow_refuse(flow, REASON_QUERY_OF_DEATH);
        return;
    }
    if (answer_authority(flow))
        return;
    txn->site = site_find(txn->config, txn->req->host);
    if (txn->site == NULL) {
        flow->last = txn->config->server.unknown_host == UNKNOWN_HOST_CLOSE;
        flow_refuse(flow, REASON_NO_SITE);
        return;
    }
    if (is_misdirected(flow)) {
        flow_refuse(flow, REASON_MISDIRECTED);
        return;
    }
    if (txn->site->https_only && span_equal(txn->req->scheme, SPAN("http"))) {
        send_to_https(flow);
        return;
    }
    txn->route = route_find(txn->site, txn->req, txn);
    error = strict_path(flow);
    if (error != HTTP_OK) {
        refuse_head(flow, error);
        return;
    }
    if (txn->route == NULL) {
        flow_refuse(flow, REASON_ROUTE);
        return;
    }
    chain_start(txn, PHASE_REQUEST_HEAD, span_of(NULL, 0), request_head_done);
}

static struct flow *flow_new(struct stream *stream)
{
    struct flow *flow = arena_new(&stream->arena, struct flow);

    if (flow == NULL) {
        stream->ops->cut(stream);
        return NULL;
    }
    stream->owner = flow;
    flow->stream = stream;
    txn_init(&flow->txn, stream->worker, &stream->arena, &stream->req);
    flow->bodyless = stream->body_ended;
    flow->txn.flow = flow;
    flow->txn.stream = stream;
    flow->txn.peer = flow->txn.client = stream->peer;
    if (stream->tls != NULL) {
        flow->txn.sni = stream->tls->sni;
        flow->txn.tls_version = stream->tls->version;
        flow->txn.ja4 = stream->tls->ja4;
    }
    stream->worker->shared->counters.requests++;
    return flow;
}

static void admitted(struct commit_wait *wait, bool written)
{
    struct flow *flow = CONTAINER(wait, struct flow, commit);
    struct worker *worker = flow->txn.worker;

    (void)written;
    worker->current = flow->stream;
    step_read_head(flow);
    worker_flush(worker);
}

/*
 * While records cannot be written, `audit.on_full` says what becomes of requests: the recorder,
 * when the disk is full, and who is to fail closed, when nobody empties the ring.
 */
static void admit(struct flow *flow)
{
    struct worker *worker = flow->txn.worker;
    enum pressure pressure =
        worker->ring != NULL ? ring_pressure(worker->ring->rings) : PRESSURE_NONE;
    bool filling = worker->ring != NULL &&
                   flow->txn.config->audit.on_full == ON_FULL_FAIL_CLOSED &&
                   ring_is_filling(worker->ring);

    if (pressure == PRESSURE_CLOSED || filling) {
        flow_refuse(flow, REASON_AUDIT);
    } else if (pressure == PRESSURE_HOLD && worker->commits != NULL) {
        flow->commit.done = admitted;
        commit_hold(worker->commits, &flow->commit);
    } else {
        step_read_head(flow);
    }
}

static void on_begin(struct stream *stream)
{
    struct flow *flow = flow_new(stream);

    if (flow != NULL)
        admit(flow);
}

static void on_refused(struct stream *stream, enum http_error error)
{
    struct flow *flow = flow_new(stream);

    if (flow == NULL)
        return;
    stream->worker->shared->counters.requests_refused++;
    refuse_head(flow, error);
}

static void on_slow_head(struct stream *stream)
{
    struct flow *flow = flow_new(stream);

    if (flow != NULL)
        flow_refuse(flow, REASON_SLOW_HEAD);
}

/* ---- forward ---- */

/* Parts of a path, put together anew, may climb out of where they were put: `..` of two groups.
 */
static bool has_dot_segment(struct span path)
{
    struct span segment;

    while (path.p != NULL && span_cut(&path, '/', &segment)) {
        if (span_equal(segment, SPAN(".")) || span_equal(segment, SPAN("..")))
            return true;
    }
    return false;
}

static bool canonical_again(struct txn *txn, struct span *path)
{
    struct uri uri;

    if (txn->route->rewrite.path->groups == 0)
        return true;
    if (has_dot_segment(*path) ||
        uri_parse(&uri, *path, METHOD_GET, txn->route->preserve_encoded, txn->arena) !=
            HTTP_OK ||
        uri.has_query)
        return false;
    *path = uri.path_wire;
    return true;
}

/*
 * The request that upstream gets: the client's own, or one with another path and query, so that
 * the record still tells what was asked for. NULL: no memory, or `*bad`: it came to no path.
 */
static const struct request *rewritten(struct txn *txn, bool *bad)
{
    const struct rewrite *rewrite = &txn->route->rewrite;
    struct span path = txn->req->path_wire;
    bool prefix = rewrite->strip.len > 0 || rewrite->add.len > 0;

    if (!prefix && rewrite->path == NULL && rewrite->query == NULL)
        return txn->req;
    struct request *req = arena_new(txn->arena, struct request);
    if (req == NULL)
        return NULL;
    *req = *txn->req;
    if (rewrite->query != NULL) {
        req->query = template_render(rewrite->query, txn);
        if (req->query.p == NULL)
            return NULL;
        req->has_query = req->query.len > 0;
    }
    if (rewrite->path != NULL) {
        path = template_render(rewrite->path, txn);
        *bad = path.p != NULL && !canonical_again(txn, &path);
        if (path.p == NULL || *bad)
            return NULL;
    } else if (prefix) {
        struct span rest = span_sub(path, rewrite->strip.len, path.len);
        if (rewrite->strip.len > 0 && span_starts(path, rewrite->strip) &&
            (rest.len == 0 || rest.p[0] == '/'))
            path = rest.len == 0 ? SPAN("/") : rest;
        struct text out = text_growing(txn->arena, rewrite->add.len + path.len + 1);
        text_add(&out, rewrite->add);
        text_add(&out, path);
        path = text_span(&out);
        if (out.overflow)
            return NULL;
    }
    req->path_wire = path;
    return req;
}

/* Nobody is asked; who comes again when the circuit may close may have luck. */
static void refuse_open_circuit(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    const struct upstream *upstream = txn->route->upstream;
    struct reply *reply = reply_new(txn, reason_row(REASON_CIRCUIT_OPEN)->status);
    char number[24];
    struct text seconds = text_fixed(number, sizeof number);

    text_uint(&seconds, circuit_wait_s(&upstream->breaker, upstream->circuit,
                                       clock_ms(&txn->worker->loop.clock)));
    struct span value = arena_copy(txn->arena, text_span(&seconds));
    if (reply != NULL && (value.p == NULL || !reply_field(reply, SPAN("Retry-After"), value)))
        reply = NULL;
    txn->decided = ACTION_FAIL;
    txn->reason = REASON_CIRCUIT_OPEN;
    flow_answer(flow, REASON_CIRCUIT_OPEN, reply);
}

static void forward_upstream(struct flow *flow)
{
    struct txn *txn = &flow->txn;
    struct request *req = txn->req;
    struct exchange *x = &flow->exchange;
    struct forward_facts facts = { .client = txn->client,
                                   .peer = txn->peer,
                                   .id = txn_id(txn),
                                   .keep_fields = txn->route->keep_fields,
                                   .trusted = cidrs_contain(
                                       &txn->config->server.trusted_proxies, &txn->peer) };

    if (txn->route->upstream == NULL) {
        flow_refuse(flow, REASON_NO_ROUTE);
        return;
    }
    lent_fields_drop(txn, &req->fields);
    if (!own_cookies_hide(txn, &req->fields) ||
        forward_prepare(req, txn->arena, &facts) != OK ||
        edits_apply(txn, EDIT_REQUEST, &req->fields) != OK || flow_ask_readable(flow) != OK) {
        flow_refuse(flow, REASON_MEMORY);
        return;
    }
    req->websocket = req->websocket && txn->route->websocket; /* else a 101 was not asked for */
    bool bad = false;
    const struct request *asked = rewritten(txn, &bad);
    if (bad) {
        flow->refused = HTTP_TARGET;
        flow_refuse_with_status(flow, REASON_HTTP, http_error_status(HTTP_TARGET));
        return;
    }
    if (asked == NULL) {
        flow_refuse(flow, REASON_MEMORY);
        return;
    }
    x->events = &flow_forward_events;
    x->body = held_span(&flow->held);
    x->streamed = !flow->stream->body_ended;
    x->framing = (struct wire_framing){ .body = req->body,
                                        .length = req->length,
                                        .keep_alive = true,
                                        .websocket = req->websocket };
    if (req->body != BODY_NONE && !x->streamed) {
        x->framing.body = BODY_LENGTH;
        x->framing.length = x->body.len;
    }
    flow->streaming = x->streamed;
    flow->passed = (struct flow_passed){ .findings = txn->finding_count,
                                         .trail = txn->trail_count,
                                         .detected = txn->detected };
    flow->forwarded_ns = txn->clock->mono_ns;
    if (txn->replayed != NULL) { /* nobody is asked twice */
        flow->stream->ops->cut(flow->stream);
        return;
    }
    txn->worker->shared->counters.requests_forwarded++;
    if (!circuit_enter(&txn->route->upstream->breaker, txn->route->upstream->circuit,
                       clock_ms(&txn->worker->loop.clock), &x->pass)) {
        refuse_open_circuit(flow);
        return;
    }
    balance_pick(txn->route->upstream, txn, &x->pick);
    exchange_start(x, txn->worker, txn->route->upstream, txn->arena, asked);
    /* On a kept connection the body may follow at once; a new one says when it is ready. */
    if (x->streamed && x->state == EXCHANGE_WAITING)
        flow->stream->ops->read_body(flow->stream, true);
}

static void forward_respond(struct flow *flow)
{
    const struct route *route = flow->txn.route;
    struct reply *reply = reply_new(&flow->txn, route->respond_status);

    if (reply != NULL && route->respond_body.p != NULL) {
        reply->body = route->respond_body;
        reply->type = route->respond_type;
    }
    flow->txn.reason = REASON_RESPOND;
    flow_answer(flow, REASON_RESPOND, reply);
}

static void forward_redirect(struct flow *flow)
{
    const struct route *route = flow->txn.route;
    struct reply *reply = reply_new(&flow->txn, route->redirect_status);

    struct span to = template_render(route->redirect, &flow->txn);
    if (to.p == NULL || reply == NULL || !reply_field(reply, SPAN("Location"), to)) {
        flow_refuse(flow, REASON_MEMORY);
        return;
    }
    flow->txn.reason = REASON_REDIRECT;
    flow_answer(flow, REASON_REDIRECT, reply);
}

static void page_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = flow_of_txn(txn);

    if (flow_passed(flow, verdict))
        flow_refuse(flow, REASON_NO_ROUTE);
}

/* A stage's own page: the phase has one stage, which answers, or knows of no such page. */
static void forward_page(struct flow *flow)
{
    chain_start(&flow->txn, PHASE_PAGE, held_span(&flow->held), page_done);
}

static void forward_nowhere(struct flow *flow)
{
    flow_refuse(flow, REASON_NO_ROUTE);
}

void flow_forward(struct flow *flow)
{
    static void (*const handlers[])(struct flow *) = {
        [HANDLER_UPSTREAM] = forward_upstream, [HANDLER_RESPOND] = forward_respond,
        [HANDLER_REDIRECT] = forward_redirect, [HANDLER_INTERNAL] = forward_page,
        [HANDLER_NONE] = forward_nowhere,
    };

    handlers[flow->txn.route->handler](flow);
}

/* ---- record ---- */

static void on_ended(struct stream *stream, enum stream_end end)
{
    struct flow *flow = flow_of(stream);

    if (flow == NULL)
        return;
    if (end != STREAM_DONE && flow->cut == NULL && !flow->recorded)
        flow->cut = end == STREAM_SLOW ? "client-slow" : "client-gone";
    commit_cancel(&flow->commit);
    flow_decode_cut(flow);
    flow_compress_cut(flow);
    exchange_abort(&flow->exchange);
    txn_abort(&flow->txn);
    (void)flow_record(flow);
    held_free(&flow->held);
    held_free(&flow->answer_held);
}

const struct stream_events flow_events = {
    .begin = on_begin,
    .refused = on_refused,
    .slow_head = on_slow_head,
    .body = flow_body,
    .body_end = flow_body_end,
    .body_error = flow_body_error,
    .drained = flow_drained,
    .ended = on_ended,
};
