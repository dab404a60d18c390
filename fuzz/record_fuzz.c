/*
 * The audit line under any bytes. The line is one line of printable ASCII that jansson reads as
 * an object without duplicate keys, and no longer than a record may be. A secret that is
 * planted where redaction must find it (in queries, fields, cookies, samples of them, bodies)
 * is in no line.
 *
 * Input: pieces, each behind a byte of length; they fill the record's fields in turn, again
 * from the start when there are too few.
 */
#include <jansson.h>
#include <stdlib.h>

#include "gateway/audit/record.h"

static const char secret[] = "Zq7hunter2Zq7";

static const struct span params[] = { SPAN_INIT("password"), SPAN_INIT("*token*"),
                                      SPAN_INIT("api_*") };
static const struct redaction redaction = { .params = params,
                                            .param_count = ARRAY_LEN(params),
                                            .key = { 5, 6 } };

struct pieces {
    const uint8_t *p, *end, *start;
};

static struct span piece(struct pieces *pieces)
{
    if (pieces->p == pieces->end)
        pieces->p = pieces->start;
    if (pieces->p == pieces->end)
        return SPAN("");
    size_t len = *pieces->p++;
    if (len > (size_t)(pieces->end - pieces->p))
        len = (size_t)(pieces->end - pieces->p);
    struct span s = span_of((const char *)pieces->p, len);
    pieces->p += len;
    return s;
}

static uint8_t byte(struct pieces *pieces)
{
    struct span s = piece(pieces);
    return s.len > 0 ? (uint8_t)s.p[0] : 0;
}

static const char *name(struct pieces *pieces, struct arena *arena)
{
    return arena_cstring(arena, piece(pieces));
}

/* before & name = secret & behind */
static struct span planted(struct pieces *pieces, struct arena *arena)
{
    static const char *const names[] = { "password",       "PassWord",  "p%61ssword",
                                         "user[password]", "x_token_y", "api_key",
                                         "a.password" };
    struct text text = text_growing(arena, 64);
    text_add(&text, piece(pieces));
    text_char(&text, byte(pieces) & 1 ? '&' : '?');
    /* What stands before may be a secret's value up to the next &; then all of this is. */
    text_add(&text, span_text(names[byte(pieces) % ARRAY_LEN(names)]));
    text_char(&text, '=');
    text_add(&text, span_text(secret));
    if (byte(pieces) & 1)
        text_char(&text, '&');
    text_add(&text, piece(pieces));
    INVARIANT(!text.overflow);
    return text_span(&text);
}

static struct finding plant_finding(struct pieces *pieces, const struct record *record,
                                    struct arena *arena)
{
    static const struct span fields[] = {
        SPAN_INIT("args:password"),
        SPAN_INIT("args:user[Password]"),
        SPAN_INIT("header:authorization"),
        SPAN_INIT("cookie:sid"),
        SPAN_INIT("header:Cookie"),
        SPAN_INIT("json:a.password"),
        SPAN_INIT("body"),
        SPAN_INIT("query"),
        SPAN_INIT("header:referer"),
        SPAN_INIT("unheard-of"),
        SPAN_INIT(""),
    };
    struct finding finding = { .rule = piece(pieces),
                               .message = piece(pieces),
                               .score = (int8_t)byte(pieces),
                               .sample = span_text(secret),
                               .logdata = span_text(secret),
                               .offset = byte(pieces) };
    finding.field = fields[byte(pieces) % ARRAY_LEN(fields)];
    if (span_equal(finding.field, SPAN("query")))
        finding.offset = (uint32_t)span_find(record->query, span_text(secret));
    if (span_equal(finding.field, SPAN("header:referer")))
        finding.offset = (uint32_t)span_find(record->referrer, span_text(secret));
    if (byte(pieces) & 1) {
        struct span value = planted(pieces, arena);
        finding.value = value;
        if (span_equal(finding.field, SPAN("body")))
            finding.offset = (uint32_t)span_find(value, span_text(secret));
    }
    return finding;
}

static struct finding any_finding(struct pieces *pieces)
{
    return (struct finding){ .rule = piece(pieces),
                             .field = piece(pieces),
                             .message = piece(pieces),
                             .sample = piece(pieces),
                             .logdata = piece(pieces),
                             .value = piece(pieces),
                             .offset = byte(pieces) };
}

static struct record make(struct pieces *pieces, struct arena *arena, struct finding *findings)
{
    static const char *const actions[] = { "pass", "block",  "reply", "refuse",
                                           "fail", "detect", "odd" };
    struct record record = {
        .wall_us = (uint64_t)byte(pieces) << 50,
        .duration_us = (uint64_t)byte(pieces) << 56,
        .id = piece(pieces),
        .traceparent = piece(pieces),
        .forwarded = piece(pieces),
        .method = piece(pieces),
        .host = piece(pieces),
        .path = planted(pieces, arena),
        .query = planted(pieces, arena),
        .version = piece(pieces),
        .user_agent = piece(pieces),
        .scheme = piece(pieces),
        .referrer = planted(pieces, arena),
        .list = piece(pieces),
        .limit = piece(pieces),
        .site = name(pieces, arena),
        .route = name(pieces, arena),
        .action = actions[byte(pieces) % ARRAY_LEN(actions)],
        .reason = name(pieces, arena),
        .status = byte(pieces),
        .upstream_status = byte(pieces),
        .request_bytes = byte(pieces),
        .upstream = piece(pieces),
        .upstream_tries = byte(pieces),
        .body_unseen = byte(pieces) & 1,
        .user = piece(pieces),
        .auth = piece(pieces),
        .config_hash = piece(pieces),
        .node = piece(pieces),
    };
    record.client.family = byte(pieces) % 4;
    record.peer.family = byte(pieces) % 4;
    record.client.port = byte(pieces);
    record.finding_count = byte(pieces) % 7 == 0 ? FINDINGS_MAX : byte(pieces) % 7;
    for (size_t i = 0; i < record.finding_count; i++)
        findings[i] = i % 3 == 0 ? any_finding(pieces) : plant_finding(pieces, &record, arena);
    record.findings = findings;
    record.findings_dropped = byte(pieces);
    return record;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char line[RECORD_BYTES_MAX];
    static struct finding findings[FINDINGS_MAX];
    /* The secret's own letters in the input would be the input's doing. */
    if (span_find(span_of((const char *)data, size), SPAN("unter2Z")) >= 0)
        return 0;
    struct pieces pieces = { data, data + size, data };
    struct arena arena;
    arena_init(&arena, NULL, 0, NULL, 16 * 1024 * 1024);
    struct record record = make(&pieces, &arena, findings);

    struct text out = text_fixed(line, sizeof(line));
    record_write(&out, &record, &redaction);
    INVARIANT(!out.overflow);
    struct span text = text_span(&out);
    for (size_t i = 0; i < text.len; i++)
        INVARIANT((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f);
    json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    INVARIANT(json_is_object(root));
    json_decref(root);
    INVARIANT(span_find(text, span_text(secret)) < 0);
    arena_reset(&arena);
    return 0;
}
