/*
 * The audit line. Written by appending only: every member ends with a comma, and the end of an
 * object or array takes the last one back. Each value has a cap of its own, so that all but the
 * matches (record_matches.c) fit whatever comes in.
 */
#include "gateway/audit/record.h"

#include "gateway/audit/record_bots.h"
#include "gateway/audit/record_line.h"
#include "gateway/base/clock.h"

/* Caps in bytes of output; one unit of a surrogate escape may go over. */
enum {
    METHOD_MAX = 64,
    HOST_MAX = 512,
    PATH_MAX_BYTES = 8 * 1024,
    QUERY_MAX = 12 * 1024,
    AGENT_MAX = 1024,
    REFERRER_MAX = 2048,
    FORWARDED_MAX = 1024,
    USER_MAX = 256,
    DN_MAX = 512, /* a certificate's subject or issuer */
};

/* ---- parts ---- */

static const struct action_row {
    const char *action, *kind, *outcome;
} action_rows[] = {
    { "pass", "event", "success" },   { "reply", "event", "success" },
    { "detect", "alert", "success" }, { "block", "alert", "failure" },
    { "refuse", "event", "failure" }, { "fail", "event", "failure" },
};

static void put_event(struct line *line, const struct record *record)
{
    static const struct action_row unknown = { "unknown", "event", "unknown" };
    struct text *out = line->out;
    const struct action_row *row = &unknown;
    for (size_t i = 0; record->action != NULL && i < ARRAY_LEN(action_rows); i++)
        if (strcmp(action_rows[i].action, record->action) == 0)
            row = &action_rows[i];

    text_lit(out, "{\"@timestamp\":\"");
    clock_write_iso(out, record->wall_us);
    text_lit(out, "\",\"ecs\":{\"version\":\"8.11\"},\"event\":{\"kind\":\"");
    text_add(out, span_text(row->kind));
    text_lit(out, "\",\"category\":[\"web\"],\"action\":\"");
    text_add(out, span_text(row->action));
    text_lit(out, "\",\"outcome\":\"");
    text_add(out, span_text(row->outcome));
    text_lit(out, "\",");
    if (record->reason != NULL) {
        MEMBER(out, "reason");
        line_name(out, record->reason);
    }
    uint64_t ns;
    MEMBER(out, "duration");
    line_uint(out, __builtin_mul_overflow(record->duration_us, 1000u, &ns) ? UINT64_MAX : ns);
    line_end(out, '}');
}

static void put_http(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "http");
    if (record->version.len > 0) {
        MEMBER(out, "version");
        line_text(line, "http.version", record->version, METHOD_MAX);
    }
    OBJECT(out, "request");
    MEMBER(out, "id");
    line_text(line, "http.request.id", record->id, METHOD_MAX);
    if (record->method.len > 0) {
        MEMBER(out, "method");
        line_text(line, "http.request.method", record->method, METHOD_MAX);
    }
    if (record->referrer.len > 0) {
        MEMBER(out, "referrer");
        line_pairs(line, "http.request.referrer", record->referrer, REFERRER_MAX);
    }
    OBJECT(out, "body");
    MEMBER(out, "bytes");
    line_uint(out, record->request_bytes);
    line_end(out, '}');
    line_end(out, '}');
    if (record->status != 0) {
        text_lit(out, "\"response\":{\"status_code\":");
        text_int(out, record->status);
        text_lit(out, ",\"body\":{\"bytes\":");
        line_uint(out, record->response_bytes);
        line_end(out, '}');
        line_end(out, '}');
    }
    line_end(out, '}');
}

static void put_url(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "url");
    if (record->scheme.len > 0) {
        MEMBER(out, "scheme");
        line_text(line, "url.scheme", record->scheme, METHOD_MAX);
    }
    if (record->host.len > 0) {
        MEMBER(out, "domain");
        line_text(line, "url.domain", record->host, HOST_MAX);
    }
    if (record->path.len > 0) {
        /* A target that could not be parsed stands here with its query. */
        MEMBER(out, "path");
        line_pairs(line, "url.path", record->path, PATH_MAX_BYTES);
    }
    if (record->query.len > 0) {
        MEMBER(out, "query");
        line_pairs(line, "url.query", record->query, QUERY_MAX);
    }
    line_end(out, '}');
}

static void put_endpoint(struct text *out, const struct addr *addr)
{
    text_lit(out, "{\"ip\":");
    line_addr(out, addr);
    if (addr->port != 0) {
        MEMBER(out, "port");
        line_uint(out, addr->port);
    }
    line_end(out, '}');
}

static void put_place(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "geo");
    MEMBER(out, "country_iso_code");
    line_text(line, "client.geo.country_iso_code", span_text(record->country), METHOD_MAX);
    if (record->continent != NULL && record->continent[0] != '\0') {
        MEMBER(out, "continent_code");
        line_text(line, "client.geo.continent_code", span_text(record->continent), METHOD_MAX);
    }
    if (record->city.len > 0) {
        MEMBER(out, "city_name");
        line_text(line, "client.geo.city_name", record->city, LINE_FIELD_MAX);
    }
    line_end(out, '}');
}

static void put_network(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "as");
    MEMBER(out, "number");
    line_uint(out, record->asn);
    if (record->as_org.len > 0) {
        OBJECT(out, "organization");
        MEMBER(out, "name");
        line_text(line, "client.as.organization.name", record->as_org, LINE_FIELD_MAX);
        line_end(out, '}');
    }
    line_end(out, '}');
}

/* The endpoint that stands last in `out`, and what is known about it. */
static void put_whereabouts(struct line *line, const struct record *record)
{
    bool placed = record->country != NULL && record->country[0] != '\0';
    if ((!placed && record->asn == 0) || line->out->overflow)
        return;
    line->out->len -= 2; /* the brace and the comma behind it */
    text_char(line->out, ',');
    if (placed)
        put_place(line, record);
    if (record->asn != 0)
        put_network(line, record);
    line_end(line->out, '}');
}

static void put_certificate(struct line *line, const struct tls_info *tls)
{
    struct text *out = line->out;
    MEMBER(out, "subject");
    line_text(line, "tls.client.subject", tls->client_subject, DN_MAX);
    MEMBER(out, "issuer");
    line_text(line, "tls.client.issuer", tls->client_issuer, DN_MAX);
    OBJECT(out, "x509");
    MEMBER(out, "serial_number");
    line_text(line, "tls.client.x509.serial_number", tls->client_serial, METHOD_MAX);
    line_end(out, '}');
    OBJECT(out, "hash");
    MEMBER(out, "sha256");
    line_text(line, "tls.client.hash.sha256", tls->client_fingerprint, METHOD_MAX);
    line_end(out, '}');
}

static void put_tls(struct line *line, const struct tls_info *tls)
{
    struct text *out = line->out;
    struct span version = tls->version;
    if (span_starts(version, SPAN("TLSv")))
        version = span_sub(version, 4, version.len);
    OBJECT(out, "tls");
    MEMBER(out, "version");
    line_text(line, "tls.version", version, METHOD_MAX);
    if (tls->cipher.len > 0) {
        MEMBER(out, "cipher");
        line_text(line, "tls.cipher", tls->cipher, METHOD_MAX);
    }
    if (tls->alpn.len > 0) {
        MEMBER(out, "next_protocol");
        line_text(line, "tls.next_protocol", tls->alpn, METHOD_MAX);
    }
    if (tls->resumed)
        text_lit(out, "\"resumed\":true,");
    if (tls->sni.len > 0 || tls->client_cert) {
        OBJECT(out, "client");
        if (tls->sni.len > 0) {
            MEMBER(out, "server_name");
            line_text(line, "tls.client.server_name", tls->sni, HOST_MAX);
        }
        if (tls->client_cert)
            put_certificate(line, tls);
        line_end(out, '}');
    }
    line_end(out, '}');
}

static void put_client(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    if (record->client.family == ADDR_V4 || record->client.family == ADDR_V6) {
        MEMBER(out, "source");
        put_endpoint(out, &record->client);
        MEMBER(out, "client");
        put_endpoint(out, &record->client);
        put_whereabouts(line, record);
    }
    if (record->user_agent.len > 0) {
        OBJECT(out, "user_agent");
        MEMBER(out, "original");
        line_text(line, "user_agent.original", record->user_agent, AGENT_MAX);
        line_end(out, '}');
    }
    if (record->user.len > 0) {
        OBJECT(out, "user");
        MEMBER(out, "name");
        line_text(line, "user.name", record->user, USER_MAX);
        line_end(out, '}');
    }
    if (record->tls != NULL)
        put_tls(line, record->tls);
    if (record->traceparent.len >=
        35) { /* version-traceid-...: W3C Trace Context, section 3.2 */
        OBJECT(out, "trace");
        MEMBER(out, "id");
        line_text(line, "trace.id", span_sub(record->traceparent, 3, 32), METHOD_MAX);
        line_end(out, '}');
    }
    if (record->finding_count > 0) {
        OBJECT(out, "rule");
        MEMBER(out, "id");
        line_text(line, "rule.id", record->findings[0].rule, LINE_NAME_MAX);
        line_end(out, '}');
    }
}

static void put_stages(struct text *out, const struct record *record)
{
    size_t count = record->trail_count < TRAIL_MAX ? record->trail_count : TRAIL_MAX;
    if (count == 0)
        return;
    text_lit(out, "\"stages\":[");
    for (size_t i = 0; i < count; i++) {
        const struct trail_entry *entry = &record->trail[i];
        text_lit(out, "{\"stage\":\"");
        text_add(out, span_text(entry->stage)); /* constants of the code: nothing to escape */
        text_lit(out, "\",\"phase\":\"");
        text_add(out, span_text(entry->phase));
        text_lit(out, "\",\"action\":\"");
        text_add(out, span_text(entry->action));
        if (entry->reason != NULL) {
            text_lit(out, "\",\"reason\":\"");
            text_add(out, span_text(entry->reason));
        }
        text_add(out, entry->enforced ? SPAN("\",\"enforced\":true,\"us\":")
                                      : SPAN("\",\"enforced\":false,\"us\":"));
        text_uint(out, entry->us);
        if (entry->resumes > 0) {
            text_lit(out, ",\"resumes\":");
            text_uint(out, entry->resumes);
        }
        text_lit(out, "},");
    }
    line_end(out, ']');
}

static void put_limit(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    if (record->limit.len == 0 && record->limit_shadow.len == 0)
        return;
    OBJECT(out, "limit");
    if (record->limit.len > 0) {
        MEMBER(out, "name");
        line_text(line, "sallyport.limit.name", record->limit, LINE_NAME_MAX);
        text_lit(out, "\"remaining\":");
        line_uint(out, record->limit_left);
    }
    if (record->limit_store != NULL) {
        text_lit(out, "\"store\":");
        line_name(out, record->limit_store);
    }
    if (record->limit_shadow.len > 0) {
        MEMBER(out, "shadow");
        line_text(line, "sallyport.limit.shadow", record->limit_shadow, LINE_NAME_MAX);
    }
    line_end(out, '}');
}

static void put_upstream(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    if (record->upstream.len == 0 && record->upstream_tries == 0)
        return;
    OBJECT(out, "upstream");
    if (record->upstream.len > 0) {
        MEMBER(out, "address");
        line_text(line, "sallyport.upstream.address", record->upstream, LINE_NAME_MAX);
    }
    if (record->upstream_status != 0) {
        MEMBER(out, "status");
        text_int(out, record->upstream_status);
        text_char(out, ',');
    }
    text_lit(out, "\"us\":");
    line_uint(out, record->upstream_us);
    text_lit(out, "\"tries\":");
    line_uint(out, record->upstream_tries);
    line_end(out, '}');
}

static void put_names(struct text *out, const struct record *record)
{
    const struct {
        struct span key;
        const char *value;
    } names[] = {
        { SPAN("\"site\":"), record->site },     { SPAN("\"route\":"), record->route },
        { SPAN("\"action\":"), record->action }, { SPAN("\"reason\":"), record->reason },
        { SPAN("\"detail\":"), record->detail }, { SPAN("\"cut\":"), record->cut },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].value == NULL)
            continue;
        text_add(out, names[i].key);
        line_name(out, names[i].value);
    }
}

static void put_list_hit(struct line *line, const struct list_hit *hit)
{
    struct text *out = line->out;
    text_char(out, '{');
    MEMBER(out, "list");
    line_text(line, "sallyport.lists.list", hit->list, LINE_NAME_MAX);
    if (hit->what.prefix.addr.family != ADDR_NONE) {
        text_lit(out, "\"prefix\":\"");
        cidr_write(out, &hit->what.prefix);
        text_lit(out, "\",");
    } else if (hit->what.place != 0) {
        text_lit(out, "\"place\":\"");
        addrlist_place_write(out, hit->what.place);
        text_lit(out, "\",");
    }
    if (hit->what.source.len > 0) {
        MEMBER(out, "source");
        line_text(line, "sallyport.lists.source", hit->what.source, ADDRLIST_TEXT_MAX);
    }
    if (hit->what.reason.len > 0) {
        MEMBER(out, "reason");
        line_text(line, "sallyport.lists.reason", hit->what.reason, ADDRLIST_TEXT_MAX);
    }
    if (hit->what.expires_s != 0) {
        text_lit(out, "\"expires\":\"");
        clock_write_iso(out, hit->what.expires_s * UINT64_C(1000000));
        text_lit(out, "\",");
    }
    line_end(out, '}');
}

static void put_lists(struct line *line, const struct record *record)
{
    if (record->list_hit_count == 0)
        return;
    text_lit(line->out, "\"lists\":[");
    for (size_t i = 0; i < record->list_hit_count; i++)
        put_list_hit(line, &record->list_hits[i]);
    line_end(line->out, ']');
}

static void put_ours(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "sallyport");
    put_names(out, record);
    if (record->auth.len > 0) {
        MEMBER(out, "auth");
        line_text(line, "sallyport.auth", record->auth, METHOD_MAX);
    }
    if (record->list.len > 0) {
        MEMBER(out, "list");
        line_text(line, "sallyport.list", record->list, LINE_NAME_MAX);
    }
    put_lists(line, record);
    put_upstream(line, record);
    if (record->body_unseen)
        text_lit(out, "\"body_unseen\":true,");
    if (record->captured)
        text_lit(out, "\"captured\":true,");
    if (record->response_unseen)
        text_lit(out, "\"response_unseen\":true,");
    OBJECT(out, "client");
    if (record->peer.family == ADDR_V4 || record->peer.family == ADDR_V6) {
        MEMBER(out, "peer");
        line_addr(out, &record->peer);
    }
    if (record->forwarded.len > 0) {
        MEMBER(out, "forwarded");
        line_pairs(line, "sallyport.client.forwarded", record->forwarded, FORWARDED_MAX);
    }
    if (record->ja4.len > 0) {
        MEMBER(out, "ja4");
        line_text(line, "sallyport.client.ja4", record->ja4, METHOD_MAX);
    }
    if (record->field_order.len > 0) {
        MEMBER(out, "field_order");
        line_text(line, "sallyport.client.field_order", record->field_order, METHOD_MAX);
    }
    line_end(out, '}');
    if (record->config_hash.len > 0) {
        MEMBER(out, "config");
        line_text(line, "sallyport.config", record->config_hash, LINE_NAME_MAX);
    }
    if (record->node.len > 0) {
        MEMBER(out, "node");
        line_text(line, "sallyport.node", record->node, LINE_NAME_MAX);
    }
    put_stages(out, record);
    put_limit(line, record);
    record_put_bots(line, record->bots);
    record_put_matches(line, record);
    if (line->cut_count > 0) {
        text_lit(out, "\"truncated\":[");
        for (unsigned i = 0; i < line->cut_count; i++)
            line_name(out, line->cut[i]);
        line_end(out, ']');
    }
    line_end(out, '}');
}

void record_write(struct text *out, const struct record *record,
                  const struct redaction *redaction)
{
    struct line line = { .out = out, .start = out->len, .redaction = redaction };
    put_event(&line, record);
    put_http(&line, record);
    put_url(&line, record);
    put_client(&line, record);
    put_ours(&line, record);
    line_end(out, '}');
    if (!out->overflow)
        out->len--; /* the comma behind the last bracket */
}

void record_gap(struct text *out, uint64_t wall_us, const char *reason,
                const uint64_t lost[RECORD_CLASSES])
{
    static const char *const classes[RECORD_CLASSES] = {
        [RECORD_FORWARDED] = "forwarded",
        [RECORD_DETECTED] = "detected",
        [RECORD_DECIDED] = "decided",
    };
    text_lit(out, "{\"@timestamp\":\"");
    clock_write_iso(out, wall_us);
    text_lit(
        out,
        "\",\"ecs\":{\"version\":\"8.11\"},\"event\":{\"kind\":\"pipeline_error\","
        "\"category\":[\"process\"],\"action\":\"gap\",\"outcome\":\"failure\",\"reason\":\"");
    text_add(out, span_text(reason));
    text_lit(out, "\"},\"sallyport\":{\"action\":\"gap\",\"reason\":\"");
    text_add(out, span_text(reason));
    text_lit(out, "\",\"lost\":{");
    for (size_t i = 0; i < RECORD_CLASSES; i++) {
        text_char(out, '"');
        text_add(out, span_text(classes[i]));
        text_lit(out, "\":");
        line_uint(out, lost[i]);
    }
    line_end(out, '}');
    line_end(out, '}');
    line_end(out, '}');
    if (!out->overflow)
        out->len--;
}
