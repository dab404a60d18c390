/*
 * A request kept whole: its bytes, what was decided, and the facts that the decision rested on.
 * Sealed at once, so nothing of it stands anywhere in the clear (gateway/audit/capture.h).
 *
 * The decision is that about the request: one that went on to upstream is `forward`, whatever
 * came of it then. What nobody could decide again is not kept: requests that broke off, and
 * refusals that spoke of the gateway's state.
 */
#include "gateway/audit/capture.h"

#include "gateway/audit/record_bots.h"
#include "gateway/chain/chain.h"
#include "gateway/chain/geo.h"
#include "gateway/flow_state.h"
#include "gateway/net/tls.h"

enum { FACTS_BYTES = 8 * 1024, FACTS_VERSION = 1, TEXT_MAX = 256 };

static bool speaks_of_the_moment(enum reason reason)
{
    static const enum reason reasons[] = {
        REASON_BODY_MEMORY,   REASON_SLOW_HEAD,      REASON_SLOW_BODY, REASON_AUTH_BUSY,
        REASON_AUDIT,         REASON_QUERY_OF_DEATH, REASON_MEMORY,    REASON_STAGE_DEADLINE,
        REASON_AUTH_PROVIDER, REASON_ACME,
    };
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i] == reason)
            return true;
    return false;
}

static bool is_wanted(struct flow *flow)
{
    const struct txn *txn = &flow->txn;
    const struct capture_conf *conf = &txn->config->audit.capture;
    struct capturing *capturing = txn->worker->capturing;
    bool forwarded = flow->forwarded_ns != 0;

    if (capturing == NULL || txn->worker->ring == NULL || flow->stream->head.len == 0)
        return false;
    bool sampled = conf->sample > 0 && capturing->seen++ % (uint64_t)conf->sample == 0;
    if ((!sampled && !flow_is_among(flow, conf->of)) ||
        (!forwarded && (flow->cut != NULL || speaks_of_the_moment(txn->reason))))
        return false;
    uint64_t second = txn->began_us / 1000000u;
    if (capturing->second != second) {
        capturing->second = second;
        capturing->taken = 0;
    }
    return capturing->taken++ < (uint64_t)conf->rate;
}

/* ---- facts ---- */

static void put_addr(struct json *j, const char *key, const struct addr *addr)
{
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof(buffer));
    addr_write(&text, addr);
    json_text(j, key, text_span(&text));
}

static void put_short(struct json *j, const char *key, struct span value)
{
    if (value.len > 0)
        json_text(j, key, span_sub(value, 0, TEXT_MAX));
}

static void put_tls(struct json *j, const struct tls_info *tls)
{
    if (tls == NULL)
        return;
    json_begin_object(j, "tls");
    put_short(j, "version", tls->version);
    put_short(j, "cipher", tls->cipher);
    put_short(j, "sni", tls->sni);
    put_short(j, "alpn", tls->alpn);
    json_int(j, "site", tls->site);
    if (tls->client_cert) {
        json_text(j, "subject", tls->client_subject);
        json_text(j, "issuer", tls->client_issuer);
        json_text(j, "serial", tls->client_serial);
        json_text(j, "fingerprint", tls->client_fingerprint);
        json_text(j, "sans", tls->client_sans);
    }
    json_end_object(j);
}

/* With names, whoever asked: another configuration may. The record keeps to what was asked. */
static void put_geo(struct json *j, struct txn *txn)
{
    const struct geo *geo = txn->replayed != NULL ? txn_geo(txn, true) : NULL;
    struct geo found = { .asn = 0 };
    if (geo == NULL && txn->config->geo_lookup != NULL) {
        txn->config->geo_lookup(txn->worker, &txn->client, &found, txn->arena);
        geo = &found;
    }
    if (geo == NULL)
        return;
    json_begin_object(j, "geo");
    json_text(j, "country", span_text(geo->country));
    json_text(j, "continent", span_text(geo->continent));
    json_text(j, "city", geo->city);
    json_text(j, "as_org", geo->as_org);
    json_uint(j, "asn", geo->asn);
    json_end_object(j);
}

/* What conditions may have asked for. */
static void put_bots(struct json *j, const struct bots_told *bots)
{
    if (bots == NULL || !bots->scored)
        return;
    json_begin_object(j, "bots");
    json_int(j, "score", bots->score);
    put_short(j, "verified", bots->verified);
    json_bool(j, "cleared", bots->cleared);
    json_bool(j, "attack", bots->attack);
    json_end_object(j);
}

/* Of the stages on the way, those whose word has to be taken. */
static bool remembers(const struct txn *txn, const char *stage)
{
    for (unsigned phase = 0; txn->route != NULL && phase < PHASE_COUNT; phase++)
        for (unsigned i = 0; i < txn->route->chain_count[phase]; i++)
            if (txn->route->chain[phase][i].type->name == stage)
                return txn->route->chain[phase][i].type->remembers;
    return false;
}

/* Who was on a list that is fetched, or of CrowdSec's decisions, may be off it tomorrow. */
static bool was_fetched(const struct txn *txn, const struct trail_entry *entry)
{
    const struct config *config = txn->config;
    if (strcmp(entry->reason, reason_row(REASON_ADDRESS_DENIED)->slug) != 0)
        return false;
    for (size_t i = 0; i < config->list_count; i++)
        if (span_equal(config->lists[i].name, txn->facts.denied_by))
            return config->lists[i].url.len > 0 || config->lists[i].remedy > 0;
    return false;
}

static void put_words(struct json *j, const struct flow *flow, unsigned trail)
{
    const struct txn *txn = &flow->txn;
    json_begin_array(j, "words");
    for (unsigned i = 0; i < trail; i++) {
        const struct trail_entry *entry = &txn->trail[i];
        if (entry->reason == NULL ||
            (!remembers(txn, entry->stage) && !was_fetched(txn, entry)))
            continue;
        json_begin_object(j, NULL);
        json_text(j, "stage", span_text(entry->stage));
        json_text(j, "phase", span_text(entry->phase));
        json_text(j, "action", span_text(entry->action));
        json_text(j, "reason", span_text(entry->reason));
        if (txn->facts.auth_detail != NULL)
            json_text(j, "detail", span_text(txn->facts.auth_detail));
        if (was_fetched(txn, entry))
            put_short(j, "list", txn->facts.denied_by);
        json_end_object(j);
    }
    json_end_array(j);
}

/* What another server, or a session, said of the user beside the name is not kept. */
static void put_user(struct json *j, const struct txn *txn)
{
    const struct facts *facts = &txn->facts;
    bool told = false;
    if (facts->user.len == 0)
        return;
    for (unsigned i = 0; txn->route != NULL && i < txn->route->chain_count[PHASE_REQUEST_HEAD];
         i++) {
        const struct stage_type *type = txn->route->chain[PHASE_REQUEST_HEAD][i].type;
        told = told || (type->remembers && span_equal(facts->auth, span_text(type->name)));
    }
    put_short(j, "user", facts->user);
    put_short(j, "auth", facts->auth);
    json_bool(j, "identity", told && facts->identity != NULL);
}

static void put_decision(struct json *j, const struct flow *flow)
{
    const struct txn *txn = &flow->txn;
    bool forwarded = flow->forwarded_ns != 0;
    unsigned findings = forwarded ? flow->passed.findings : txn->finding_count;

    json_begin_object(j, "decision");
    json_text(j, "action", forwarded ? SPAN("forward") : span_text(flow_action(flow)));
    if (!forwarded) {
        json_text(j, "reason", span_text(reason_row(txn->reason)->slug));
        json_int(j, "status", flow->status);
        if (flow->refused != HTTP_OK)
            json_text(j, "detail", http_error_slug(flow->refused));
    }
    json_bool(j, "detected", forwarded ? flow->passed.detected : txn->detected);
    json_begin_array(j, "rules");
    for (unsigned i = 0; i < findings; i++)
        json_text(j, NULL, span_sub(txn->findings[i].rule, 0, TEXT_MAX));
    json_end_array(j);
    if (txn->scores.set[SCORE_INBOUND])
        json_int(j, "score", txn->scores.value[SCORE_INBOUND]);
    json_end_object(j);
}

/* What of the body is at hand. `whole`: all that came before the decision needs no more. */
static struct span put_body(struct json *j, const struct flow *flow)
{
    const struct stream *stream = flow->stream;
    uint64_t limit = flow->txn.config->audit.capture.body;
    struct span held = held_span(&flow->held);
    struct span body = span_sub(held, 0, limit);

    json_bool(j, "bodyless", flow->bodyless);
    json_bool(j, "whole",
              flow->bodyless || (stream->body_ended && held.len == body.len &&
                                 held.len == stream->body_bytes));
    if (flow->refused != HTTP_OK)
        json_text(j, "refused", http_error_slug(flow->refused));
    return body;
}

static struct span write_facts(struct flow *flow, struct text *out, struct span *body)
{
    struct txn *txn = &flow->txn;
    struct json j = json_writer(out);
    unsigned trail = flow->forwarded_ns != 0 ? flow->passed.trail : txn->trail_count;

    json_begin_object(&j, NULL);
    json_uint(&j, "v", FACTS_VERSION);
    json_text(&j, "id", txn_id(txn));
    json_uint(&j, "time", txn->began_us);
    put_addr(&j, "peer", &txn->peer);
    put_addr(&j, "client", &txn->client);
    json_bool(&j, "http2", txn->req->http2);
    json_text(&j, "host", span_sub(txn->req->host, 0, TEXT_MAX));
    json_text(&j, "method", span_sub(txn->req->method, 0, TEXT_MAX));
    json_text(&j, "path", span_sub(txn->req->path, 0, TEXT_MAX));
    if (txn->site != NULL)
        json_text(&j, "site", span_text(txn->site->name));
    if (txn->route != NULL)
        json_text(&j, "route", span_text(txn->route->name));
    put_user(&j, txn);
    json_text(&j, "config", txn->config->hash);
    put_tls(&j, flow->stream->tls);
    put_geo(&j, txn);
    put_bots(&j, txn->facts.bots);
    put_words(&j, flow, trail);
    put_decision(&j, flow);
    *body = put_body(&j, flow);
    json_end_object(&j);
    return text_span(out);
}

bool flow_capture(struct flow *flow)
{
    struct capture_parts parts = { .head = flow->stream->head };
    struct worker *worker = flow->txn.worker;

    if (!is_wanted(flow))
        return false;
    struct text out = text_growing(flow->txn.arena, FACTS_BYTES);
    parts.facts = write_facts(flow, &out, &parts.body);
    bool kept = !out.overflow && worker->capturing->take(worker, &parts);
    worker->capturing->lost += !kept;
    return kept;
}
