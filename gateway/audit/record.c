/*
 * The audit line. Written by appending only: every member ends with a comma, and the end of an
 * object or array takes the last one back. Each value has a cap of its own, so that all but the
 * matches fit whatever comes in; matches are written as long as there is room, and the rest is
 * counted.
 */
#include "gateway/audit/record.h"

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
    NAME_MAX_BYTES = 256, /* names of the configuration */
    FIELD_MAX = 256,
    MESSAGE_MAX = 512,
    SAMPLE_MAX = 6 * SAMPLE_BYTES_MAX,
    MATCH_MAX = 2 * NAME_MAX_BYTES + FIELD_MAX + MESSAGE_MAX + SAMPLE_MAX + 256,
    TAIL_MAX = 1024, /* what follows the matches */
};

struct line {
    struct text *out;
    size_t start;
    const struct redaction *redaction;
    const char *cut[16]; /* names of values that were cut */
    unsigned cut_count;
};

#define MEMBER(out, name) text_lit((out), "\"" name "\":")
#define OBJECT(out, name) text_lit((out), "\"" name "\":{")

/* ---- pieces ---- */

static void end_with(struct text *out, char bracket)
{
    if (out->overflow)
        return;
    if (out->len > 0 && out->p[out->len - 1] == ',')
        out->p[out->len - 1] = bracket;
    else
        text_char(out, bracket);
    text_char(out, ',');
}

/* Many readers of JSON hold integers in 64 bits with a sign. */
static void put_uint(struct text *out, uint64_t value)
{
    text_uint(out, value <= INT64_MAX ? value : INT64_MAX);
    text_char(out, ',');
}

/* Whether all bytes are printable ASCII that JSON leaves alone. Eight at a time: this is most
 * of a line. */
static bool is_plain(struct span s)
{
    static const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t i = 0;
    uint64_t odd = 0;
    for (; s.len - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, sizeof(w));
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\', del = w ^ ones * 0x7f;
        odd |= w | ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) |
               ((slash - ones) & ~slash) | ((del - ones) & ~del);
    }
    if ((odd & highs) != 0)
        return false;
    for (; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

/* At most `max` bytes of `s`, and no half of a UTF-8 sequence. */
static struct span cut_to(struct span s, size_t max)
{
    if (s.len <= max)
        return s;
    size_t len = max;
    while (len > 0 && max - len < 3 && ((unsigned char)s.p[len] & 0xc0) == 0x80)
        len--;
    return span_of(s.p, len);
}

/* Escapes as much of `s` as fits in `room` bytes; true when that is all. */
static bool escape(struct text *out, struct span s, size_t room)
{
    struct span part = cut_to(s, room);
    if (is_plain(part)) {
        text_add(out, part);
        return part.len == s.len;
    }
    /* No byte takes more than six; what the last piece left over is room for the next. */
    size_t end = out->len + room;
    while (s.len > 0 && out->len < end && !out->overflow) {
        part = cut_to(s, (end - out->len) / 6);
        if (part.len == 0)
            break;
        json_escape(out, part);
        s = span_sub(s, part.len, s.len);
    }
    return s.len == 0;
}

static void note_cut(struct line *line, const char *name)
{
    for (unsigned i = 0; i < line->cut_count; i++)
        if (strcmp(line->cut[i], name) == 0)
            return;
    if (line->cut_count < ARRAY_LEN(line->cut))
        line->cut[line->cut_count++] = name;
}

static void put_text(struct line *line, const char *name, struct span value, size_t max)
{
    text_char(line->out, '"');
    if (!escape(line->out, value, max))
        note_cut(line, name);
    text_lit(line->out, "\",");
}

static void put_name(struct text *out, const char *name)
{
    text_char(out, '"');
    (void)escape(out, span_text(name), NAME_MAX_BYTES);
    text_lit(out, "\",");
}

static void put_addr(struct text *out, const struct addr *addr)
{
    text_char(out, '"');
    addr_write(out, addr);
    text_lit(out, "\",");
}

/* A query or URL; what is secret in it stays behind. */
static void put_pairs(struct line *line, const char *name, struct span value, size_t max)
{
    struct text *out = line->out;
    struct redaction_pair pair;
    size_t end = out->len + max;

    text_char(out, '"');
    while (redaction_pair(line->redaction, &value, &pair)) {
        bool whole = out->len < end && escape(out, pair.name, end - out->len);
        if (whole && pair.has_value)
            text_char(out, '=');
        if (whole && pair.secret && pair.value.len > 0)
            redaction_pseudonym(out, line->redaction, pair.value);
        else if (whole)
            whole = escape(out, pair.value, out->len < end ? end - out->len : 0);
        if (!whole) {
            note_cut(line, name);
            break;
        }
        text_add(out, pair.end); /* one of & ; ? # */
    }
    text_lit(out, "\",");
}

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
        put_name(out, record->reason);
    }
    uint64_t ns;
    MEMBER(out, "duration");
    put_uint(out, __builtin_mul_overflow(record->duration_us, 1000u, &ns) ? UINT64_MAX : ns);
    end_with(out, '}');
}

static void put_http(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "http");
    if (record->version.len > 0) {
        MEMBER(out, "version");
        put_text(line, "http.version", record->version, METHOD_MAX);
    }
    OBJECT(out, "request");
    MEMBER(out, "id");
    put_text(line, "http.request.id", record->id, METHOD_MAX);
    if (record->method.len > 0) {
        MEMBER(out, "method");
        put_text(line, "http.request.method", record->method, METHOD_MAX);
    }
    if (record->referrer.len > 0) {
        MEMBER(out, "referrer");
        put_pairs(line, "http.request.referrer", record->referrer, REFERRER_MAX);
    }
    OBJECT(out, "body");
    MEMBER(out, "bytes");
    put_uint(out, record->request_bytes);
    end_with(out, '}');
    end_with(out, '}');
    if (record->status != 0) {
        text_lit(out, "\"response\":{\"status_code\":");
        text_int(out, record->status);
        text_lit(out, ",\"body\":{\"bytes\":");
        put_uint(out, record->response_bytes);
        end_with(out, '}');
        end_with(out, '}');
    }
    end_with(out, '}');
}

static void put_url(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "url");
    if (record->scheme.len > 0) {
        MEMBER(out, "scheme");
        put_text(line, "url.scheme", record->scheme, METHOD_MAX);
    }
    if (record->host.len > 0) {
        MEMBER(out, "domain");
        put_text(line, "url.domain", record->host, HOST_MAX);
    }
    if (record->path.len > 0) {
        /* A target that could not be parsed stands here with its query. */
        MEMBER(out, "path");
        put_pairs(line, "url.path", record->path, PATH_MAX_BYTES);
    }
    if (record->query.len > 0) {
        MEMBER(out, "query");
        put_pairs(line, "url.query", record->query, QUERY_MAX);
    }
    end_with(out, '}');
}

static void put_endpoint(struct text *out, const struct addr *addr)
{
    text_lit(out, "{\"ip\":");
    put_addr(out, addr);
    if (addr->port != 0) {
        MEMBER(out, "port");
        put_uint(out, addr->port);
    }
    end_with(out, '}');
}

static void put_client(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    if (record->client.family == ADDR_V4 || record->client.family == ADDR_V6) {
        MEMBER(out, "source");
        put_endpoint(out, &record->client);
        MEMBER(out, "client");
        put_endpoint(out, &record->client);
    }
    if (record->user_agent.len > 0) {
        OBJECT(out, "user_agent");
        MEMBER(out, "original");
        put_text(line, "user_agent.original", record->user_agent, AGENT_MAX);
        end_with(out, '}');
    }
    if (record->user.len > 0) {
        OBJECT(out, "user");
        MEMBER(out, "name");
        put_text(line, "user.name", record->user, USER_MAX);
        end_with(out, '}');
    }
    if (record->tls_version.len > 0) {
        struct span version = record->tls_version;
        if (span_starts(version, SPAN("TLSv")))
            version = span_sub(version, 4, version.len);
        OBJECT(out, "tls");
        MEMBER(out, "version");
        put_text(line, "tls.version", version, METHOD_MAX);
        if (record->tls_cipher.len > 0) {
            MEMBER(out, "cipher");
            put_text(line, "tls.cipher", record->tls_cipher, METHOD_MAX);
        }
        end_with(out, '}');
    }
    if (record->traceparent.len >=
        35) { /* version-traceid-...: W3C Trace Context, section 3.2 */
        OBJECT(out, "trace");
        MEMBER(out, "id");
        put_text(line, "trace.id", span_sub(record->traceparent, 3, 32), METHOD_MAX);
        end_with(out, '}');
    }
    if (record->finding_count > 0) {
        OBJECT(out, "rule");
        MEMBER(out, "id");
        put_text(line, "rule.id", record->findings[0].rule, NAME_MAX_BYTES);
        end_with(out, '}');
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
    end_with(out, ']');
}

static void put_match(struct line *line, const struct record *record,
                      const struct finding *finding)
{
    struct text *out = line->out;
    bool hidden = redaction_hides(line->redaction, record, finding);

    text_lit(out, "{\"rule\":");
    put_text(line, "matches.rule", finding->rule, NAME_MAX_BYTES);
    if (finding->message.len > 0) {
        MEMBER(out, "msg");
        put_text(line, "matches.msg", finding->message, MESSAGE_MAX);
    }
    MEMBER(out, "field");
    put_text(line, "matches.field", finding->field, FIELD_MAX);
    if (hidden) {
        MEMBER(out, "sample");
        text_char(out, '"');
        redaction_pseudonym(out, line->redaction, finding->sample);
        text_lit(out, "\",");
    } else if (finding->sample.len > 0) {
        MEMBER(out, "sample");
        text_char(out, '"');
        struct span shown = cut_to(finding->sample, SAMPLE_BYTES_MAX);
        (void)escape(out, shown, SAMPLE_MAX);
        text_lit(out, "\",");
        if (shown.len < finding->sample.len) {
            MEMBER(out, "sample_bytes");
            put_uint(out, finding->sample.len);
        }
    }
    MEMBER(out, "offset");
    put_uint(out, finding->offset);
    if (finding->score != 0) {
        MEMBER(out, "score");
        text_int(out, finding->score);
        text_char(out, ',');
    }
    end_with(out, '}');
}

static void put_matches(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    size_t count = record->finding_count < FINDINGS_MAX ? record->finding_count : FINDINGS_MAX;
    size_t dropped = record->findings_dropped, i = 0;
    int64_t score = 0;
    bool scored = false;

    for (size_t k = 0; k < count; k++) {
        score += record->findings[k].score;
        scored = scored || record->findings[k].score != 0;
    }
    if (count > 0) {
        text_lit(out, "\"matches\":[");
        for (; i < count; i++) {
            if (out->len - line->start + MATCH_MAX + TAIL_MAX > RECORD_BYTES_MAX)
                break;
            put_match(line, record, &record->findings[i]);
        }
        dropped += count - i;
        end_with(out, ']');
    }
    if (dropped > 0) {
        MEMBER(out, "matches_dropped");
        put_uint(out, dropped);
    }
    if (scored) {
        text_lit(out, "\"score\":{\"inbound\":");
        text_int(out, score);
        text_lit(out, "},");
    }
}

static void put_upstream(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    if (record->upstream.len == 0 && record->upstream_tries == 0)
        return;
    OBJECT(out, "upstream");
    if (record->upstream.len > 0) {
        MEMBER(out, "address");
        put_text(line, "sallyport.upstream.address", record->upstream, NAME_MAX_BYTES);
    }
    if (record->upstream_status != 0) {
        MEMBER(out, "status");
        text_int(out, record->upstream_status);
        text_char(out, ',');
    }
    text_lit(out, "\"us\":");
    put_uint(out, record->upstream_us);
    text_lit(out, "\"tries\":");
    put_uint(out, record->upstream_tries);
    end_with(out, '}');
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
        put_name(out, names[i].value);
    }
}

static void put_ours(struct line *line, const struct record *record)
{
    struct text *out = line->out;
    OBJECT(out, "sallyport");
    put_names(out, record);
    if (record->auth.len > 0) {
        MEMBER(out, "auth");
        put_text(line, "sallyport.auth", record->auth, METHOD_MAX);
    }
    put_upstream(line, record);
    if (record->body_unseen)
        text_lit(out, "\"body_unseen\":true,");
    if (record->response_unseen)
        text_lit(out, "\"response_unseen\":true,");
    OBJECT(out, "client");
    if (record->peer.family == ADDR_V4 || record->peer.family == ADDR_V6) {
        MEMBER(out, "peer");
        put_addr(out, &record->peer);
    }
    if (record->forwarded.len > 0) {
        MEMBER(out, "forwarded");
        put_pairs(line, "sallyport.client.forwarded", record->forwarded, FORWARDED_MAX);
    }
    end_with(out, '}');
    if (record->config_hash.len > 0) {
        MEMBER(out, "config");
        put_text(line, "sallyport.config", record->config_hash, NAME_MAX_BYTES);
    }
    if (record->node.len > 0) {
        MEMBER(out, "node");
        put_text(line, "sallyport.node", record->node, NAME_MAX_BYTES);
    }
    put_stages(out, record);
    put_matches(line, record);
    if (line->cut_count > 0) {
        text_lit(out, "\"truncated\":[");
        for (unsigned i = 0; i < line->cut_count; i++)
            put_name(out, line->cut[i]);
        end_with(out, ']');
    }
    end_with(out, '}');
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
    end_with(out, '}');
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
        put_uint(out, lost[i]);
    }
    end_with(out, '}');
    end_with(out, '}');
    end_with(out, '}');
    if (!out->overflow)
        out->len--;
}
