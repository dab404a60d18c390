/*
 * The last step of a transaction: its record. Only what `audit.record` selects is written, so a
 * plain request on a quiet configuration costs nothing here.
 */
#include "gateway/audit/flood.h"
#include "gateway/audit/record_bots.h"
#include "gateway/chain/chain.h"
#include "gateway/chain/meter.h"
#include "gateway/flow_state.h"
#include "gateway/net/tls.h"
#include "gateway/store/slots.h"

static bool is_about_sign_in(enum reason reason)
{
    return reason == REASON_AUTH_REQUIRED || reason == REASON_AUTH_REDIRECT ||
           reason == REASON_AUTH_PROVIDER || reason == REASON_AUTH_FAILED ||
           reason == REASON_AUTH_TOKEN || reason == REASON_AUTH_CERTIFICATE ||
           reason == REASON_AUTH_REFUSED || reason == REASON_AUTH_LOCKED ||
           reason == REASON_AUTH_FORM || reason == REASON_AUTH_SIGNIN ||
           reason == REASON_AUTH_LOOP || reason == REASON_SIGNED_IN ||
           reason == REASON_SIGNED_OUT;
}

/* What went on though nobody looked at it, or though a stage could not decide, is on record
 * like what was objected to: nobody would find it otherwise. */
static bool passed_unchecked(const struct flow *flow)
{
    const struct txn *txn = &flow->txn;

    for (unsigned i = 0; i < txn->trail_count; i++) {
        if (!txn->trail[i].enforced)
            return true;
    }
    return flow->body_unseen || txn->body_unread || flow->response_unseen;
}

bool flow_is_among(const struct flow *flow, uint32_t bits)
{
    const struct txn *txn = &flow->txn;
    enum reason reason = txn->reason;

    if (bits & AUDIT_ALL)
        return true;
    bool denied = txn->decided == ACTION_DENY || txn->decided == ACTION_FAIL;
    bool limited = reason == REASON_RATE_LIMIT || txn->facts.limit_shadow.len > 0;
    bool challenged = reason == REASON_BOT_CHALLENGE || reason == REASON_BOT_PASSED;
    bool scored = txn->facts.bots != NULL && txn->facts.bots->noted;
    bool auth = is_about_sign_in(reason) || txn->facts.user.len > 0;
    return ((bits & AUDIT_BLOCKED) && (denied || challenged)) ||
           ((bits & AUDIT_DETECTED) && !denied && scored) ||
           ((bits & AUDIT_DETECTED) &&
            (txn->detected || (!denied && passed_unchecked(flow)))) ||
           ((bits & AUDIT_LIMITED) && limited) || ((bits & AUDIT_AUTH) && auth);
}

static bool is_selected(const struct flow *flow)
{
    const struct audit_conf *audit = &flow->txn.config->audit;

    return audit->on && flow->txn.worker->ring != NULL && flow_is_among(flow, audit->record);
}

const char *flow_action(const struct flow *flow)
{
    const struct txn *txn = &flow->txn;

    if (flow->refused != HTTP_OK)
        return "refuse";
    switch (txn->decided) {
    case ACTION_DENY:
        return "block";
    case ACTION_FAIL:
        return "fail";
    case ACTION_REPLY:
        return "reply";
    case ACTION_PASS:
    case ACTION_WAIT:
        break;
    }
    if (txn->detected)
        return "detect";
    return flow->local ? "reply" : "pass";
}

static enum record_class class_of(const struct flow *flow)
{
    if (flow->txn.decided == ACTION_DENY || flow->txn.decided == ACTION_REPLY)
        return RECORD_DECIDED;
    return flow->txn.detected ? RECORD_DETECTED : RECORD_FORWARDED;
}

/* traceparent (W3C Trace Context): 00-32 hex-16 hex-2 hex. */
static struct span traceparent_of(const struct request *req)
{
    struct span value = fields_value(&req->fields, FIELD_TRACEPARENT);
    bool good = value.len == 55;

    for (size_t i = 0; good && i < value.len; i++) {
        bool dash = i == 2 || i == 35 || i == 52;
        good = dash ? value.p[i] == '-' : hex_value(value.p[i]) >= 0;
    }
    return good ? value : span_of(NULL, 0);
}

static void fill_request(struct record *record, const struct flow *flow)
{
    const struct txn *txn = &flow->txn;
    const struct request *req = txn->req;

    record->client = txn->client;
    record->peer = txn->peer;
    if (!addr_equal(&txn->client, &txn->peer) &&
        fields_have(&req->fields, FIELD_X_FORWARDED_FOR)) {
        for (unsigned i = 0; i < req->fields.count && record->forwarded.p == NULL; i++) {
            const struct field *field = &req->fields.items[i];
            if (field->id == FIELD_X_FORWARDED_FOR)
                record->forwarded = field->value;
        }
    }
    record->method = req->method;
    record->host = req->host;
    record->path = req->path.len > 0 ? req->path : req->target;
    record->query = req->query;
    record->version = req->http2 ? SPAN("2") : req->minor == 0 ? SPAN("1.0") : SPAN("1.1");
    record->user_agent = fields_value(&req->fields, FIELD_USER_AGENT);
    record->referrer = fields_value(&req->fields, FIELD_REFERER);
    record->traceparent = traceparent_of(req);
    record->scheme = req->scheme;
    record->tls = flow->stream->tls;
}

static void fill_place(struct record *record, struct txn *txn)
{
    const struct geo *geo = txn_geo(txn, false);
    if (geo == NULL)
        return;
    record->country = strcmp(geo->country, GEO_UNKNOWN) != 0 ? geo->country : NULL;
    record->continent = geo->continent;
    record->city = geo->city;
    record->as_org = geo->as_org;
    record->asn = geo->asn;
}

/* The order of the fields costs a hash: of those that are refused, and where it is asked for.
 */
static void fill_client(struct record *record, struct txn *txn)
{
    record->ja4 = txn_ja4(txn);
    if (txn->decided != ACTION_PASS || txn->detected)
        (void)txn_field_order(txn);
    record->field_order = txn->field_order;
}

static void fill_outcome(struct record *record, const struct flow *flow)
{
    const struct txn *txn = &flow->txn;
    const struct exchange *x = &flow->exchange;

    record->action = flow_action(flow);
    record->reason = txn->reason != REASON_NONE ? reason_row(txn->reason)->slug : NULL;
    record->detail =
        flow->refused != HTTP_OK ? http_error_slug(flow->refused).p : txn->facts.auth_detail;
    record->status = flow->status;
    record->request_bytes = flow->stream->body_bytes;
    record->response_bytes = flow->local ? flow->answer_body.len : flow->stream->sent_bytes;
    record->cut = flow->cut;
    record->body_unseen = flow->body_unseen || txn->body_unread;
    record->response_unseen = flow->response_unseen;
    if (flow->forwarded_ns == 0)
        return;
    record->upstream_status = x->rsp.status;
    record->upstream_tries = x->tries;
    if (x->server != NULL)
        record->upstream = x->label;
    if (flow->answered_ns != 0)
        record->upstream_us = (uint32_t)((flow->answered_ns - flow->forwarded_ns) / 1000);
}

static struct redaction redaction_of(const struct txn *txn)
{
    struct redaction redaction = txn->config->audit.redaction;
    redaction.more = txn->hidden;
    redaction.more_count = txn->hidden_count;
    redaction.all = txn->hide_all;
    return redaction;
}

/* Parts of the record that show one of the names that rules want hidden. */
static void hide_parts(struct record *record, const struct redaction *redaction)
{
    static const struct {
        const char *name;
        size_t part;
    } rows[] = {
        { "user-agent", offsetof(struct record, user_agent) },
        { "referer", offsetof(struct record, referrer) },
        { "query_string", offsetof(struct record, query) },
        { "request_line", offsetof(struct record, query) },
        { "request_uri", offsetof(struct record, query) },
        { "request_uri_raw", offsetof(struct record, query) },
        { "request_line", offsetof(struct record, path) },
        { "request_uri", offsetof(struct record, path) },
        { "request_uri_raw", offsetof(struct record, path) },
        { "request_filename", offsetof(struct record, path) },
        { "request_basename", offsetof(struct record, path) },
    };
    bool any = redaction->more_count > 0 || redaction->all;
    for (size_t i = 0; any && i < ARRAY_LEN(rows); i++) {
        struct span *part = (struct span *)(void *)((char *)record + rows[i].part);
        if (part->len > 0 && redaction_covers(redaction, span_text(rows[i].name)))
            *part = SPAN("<redacted>");
    }
}

/* Refusals of which a flood may be told in sum; each attempt to sign in counts by itself. */
static bool is_repeatable(const struct flow *flow)
{
    const struct txn *txn = &flow->txn;
    return txn->decided == ACTION_DENY && !is_about_sign_in(txn->reason) &&
           txn->facts.user.len == 0;
}

static bool write_record(struct flow *flow, bool captured)
{
    struct txn *txn = &flow->txn;
    struct worker *worker = txn->worker;
    struct record record = {
        .wall_us = txn->began_us,
        .duration_us = (txn->clock->mono_ns - txn->began_ns) / 1000,
        .id = txn_id(txn),
        .site = txn->site != NULL ? txn->site->name : NULL,
        .route = txn->route != NULL ? txn->route->name : NULL,
        .user = txn->facts.user,
        .auth = txn->facts.auth,
        .limit = txn->facts.limit,
        .limit_shadow = txn->facts.limit_shadow,
        .limit_left = txn->facts.limit_left,
        .limit_store = txn->facts.limit_store,
        .list = txn->facts.denied_by,
        .list_hits = txn->list_hits,
        .list_hit_count = txn->list_hit_count,
        .scores = txn->scores,
        .bots = txn->facts.bots,
        .trail = txn->trail,
        .trail_count = txn->trail_count,
        .findings = txn->findings,
        .finding_count = txn->finding_count,
        .findings_dropped = txn->findings_dropped,
        .captured = captured,
        .config_hash = txn->config->hash,
        .node = txn->config->server.node,
    };

    fill_request(&record, flow);
    fill_place(&record, txn);
    fill_client(&record, txn);
    fill_outcome(&record, flow);
    struct redaction redaction = redaction_of(txn);
    hide_parts(&record, &redaction);
    if (is_repeatable(flow) && worker->flood != NULL &&
        flood_absorbs(worker->flood, worker->ring->ring, &record))
        return false;
    struct text line = text_fixed(worker->record, RECORD_BYTES_MAX);
    record_write(&line, &record, &redaction);
    if (ring_commit(worker->ring, class_of(flow), text_span(&line)))
        return true;
    worker->shared->counters.records_lost++;
    return false;
}

static void count(const struct flow *flow)
{
    struct worker_counters *counters = &flow->txn.worker->shared->counters;
    unsigned class = (unsigned)flow->status / 100;

    meter_request(flow->txn.worker->meters, flow->txn.site, flow->txn.req->method,
                  flow->status);
    counters->requests_denied += flow->txn.decided == ACTION_DENY;
    counters->requests_replied += flow->local && flow->txn.decided != ACTION_DENY;
    counters->upstream_retries += flow->exchange.tries > 1 ? flow->exchange.tries - 1 : 0;
    counters->request_bytes += flow->stream->body_bytes;
    counters->response_bytes += flow->stream->sent_bytes;
    counters->status_class[class < 6 ? class : 0]++;
}

bool flow_record(struct flow *flow)
{
    if (flow->recorded)
        return false;
    flow->recorded = true;
    chain_finish(&flow->txn);
    bool captured = flow_capture(flow);
    bool written = is_selected(flow) && write_record(flow, captured);
    count(flow);
    return written;
}
