/*
 * Heads to bytes. Each head is measured by a bound first and reserved once; then the pieces are
 * copied without further checks.
 */
#include "gateway/http/write.h"

#include "gateway/http/chars.h"
#include "gateway/http/names.h"

enum {
    STATUS_FIRST = 100,
    STATUS_LAST = 599,
    NUMBER_BYTES = 20,   /* a 64-bit number in decimal */
    FRAMING_BYTES = 128, /* Connection, Upgrade, framing and the empty line */
};

static const struct span reasons[STATUS_LAST - STATUS_FIRST + 1] = {
#define STATUS(code, text) [(code)-STATUS_FIRST] = SPAN_INIT(text),
#include "gateway/http/status.def"
#undef STATUS
};

struct span status_reason(int status)
{
    if (status < STATUS_FIRST || status > STATUS_LAST ||
        reasons[status - STATUS_FIRST].len == 0)
        return SPAN("Unknown");
    return reasons[status - STATUS_FIRST];
}

/* ---- raw copies: room was reserved ---- */

static inline char *put(char *p, struct span s)
{
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    return p + s.len;
}

#define put_lit(p, literal)                                                                    \
    (memcpy((p), "" literal, sizeof(literal) - 1), (p) + sizeof(literal) - 1)

static char *put_number(char *p, uint64_t value)
{
    char digits[NUMBER_BYTES];
    char *first = digits + sizeof digits;

    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(p, span_range(first, digits + sizeof digits));
}

/* The same for the short pieces that most values are: no call, and no byte past either end. */
static inline char *put_short(char *p, struct span s)
{
    size_t len = s.len, at = 0;

    if (len > 64)
        return put(p, s);
    if (len >= 16) {
        for (; at + 16 < len; at += 16)
            memcpy(p + at, s.p + at, 16);
        memcpy(p + len - 16, s.p + len - 16, 16);
    } else if (len >= 8) {
        memcpy(p, s.p, 8);
        memcpy(p + len - 8, s.p + len - 8, 8);
    } else if (len >= 4) {
        memcpy(p, s.p, 4);
        memcpy(p + len - 4, s.p + len - 4, 4);
    } else {
        for (; at < len; at++)
            p[at] = s.p[at];
    }
    return p + len;
}

static inline char *put_value(char *p, struct span value)
{
    p = put_short(p, value);
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

/* Writes FIELD_WIRE_BYTES whatever the name's length: the bound has room for that. */
static inline char *put_field(char *p, const struct field *field)
{
    const struct known_name *known = &known_names[field->id];

    if (field->id != FIELD_OTHER) {
        memcpy(p, known->wire, FIELD_WIRE_BYTES);
        return put_value(p + known->len + 2, field->value);
    }
    p = put_short(p, field->name);
    *p++ = ':';
    *p++ = ' ';
    return put_value(p, field->value);
}

static size_t fields_bound(const struct fields *fields)
{
    size_t bytes = FIELD_WIRE_BYTES;
    for (unsigned i = 0; i < fields->count; i++)
        bytes += fields->items[i].name.len + fields->items[i].value.len + 4;
    return bytes;
}

/* All but the dropped ones and those of `without`. A known name is written in our spelling. */
static char *put_fields(char *p, const struct fields *fields, uint64_t without)
{
    const struct field *field = fields->items, *end = field + fields->count;

    for (; field < end; field++) {
        if (field->dropped || field_in(without, field->id))
            continue;
        p = put_field(p, field);
    }
    return p;
}

/* Connection, framing and the empty line. */
static char *put_framing(char *p, struct wire_framing framing, bool may_frame)
{
    if (framing.websocket)
        p = put_lit(p, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
    else if (!framing.keep_alive || framing.body == BODY_CLOSE)
        p = put_lit(p, "Connection: close\r\n");
    else if (framing.keep_told)
        p = put_lit(p, "Connection: keep-alive\r\n");
    if (may_frame && framing.body == BODY_LENGTH) {
        p = put_lit(p, "Content-Length: ");
        p = put_number(p, framing.length);
        p = put_lit(p, "\r\n");
    } else if (may_frame && framing.body == BODY_CHUNKED) {
        p = put_lit(p, "Transfer-Encoding: chunked\r\n");
    }
    return put_lit(p, "\r\n");
}

static char *put_start(struct text *out, size_t bound)
{
    return text_reserve(out, bound) ? out->p + out->len : NULL;
}

static void put_end(struct text *out, const char *p)
{
    out->len = (size_t)(p - out->p);
    INVARIANT(out->len <= out->size);
}

void write_request_head(struct text *out, const struct request *req,
                        struct wire_framing framing)
{
    size_t bound = req->method.len + req->path_wire.len + req->query.len + req->host.len +
                   fields_bound(&req->fields) + FRAMING_BYTES + 64;
    char *p = put_start(out, bound);

    if (p == NULL)
        return;
    p = put(p, req->method);
    *p++ = ' ';
    p = put(p, req->path_wire);
    if (req->has_query) {
        *p++ = '?';
        p = put(p, req->query);
    }
    p = put_lit(p, " HTTP/1.1\r\nHost: ");
    p = put(p, req->host);
    if (req->port != 0) {
        *p++ = ':';
        p = put_number(p, req->port);
    }
    p = put_lit(p, "\r\n");
    p = put_fields(p, &req->fields, fields_hop | FIELD_BIT(HOST) | FIELD_BIT(CONTENT_LENGTH));
    put_end(out, put_framing(p, framing, framing.body != BODY_CLOSE));
}

void write_response_head(struct text *out, const struct response *rsp,
                         struct wire_framing framing)
{
    struct span reason = status_reason(rsp->status);
    char *p = put_start(out, fields_bound(&rsp->fields) + reason.len + FRAMING_BYTES + 64);

    INVARIANT(rsp->status >= STATUS_FIRST && rsp->status <= STATUS_LAST);
    if (p == NULL)
        return;
    p = put_lit(p, "HTTP/1.1 ");
    p = put_number(p, (uint64_t)rsp->status);
    *p++ = ' ';
    p = put(p, reason);
    p = put_lit(p, "\r\n");
    p = put_fields(p, &rsp->fields, fields_hop | FIELD_BIT(CONTENT_LENGTH));
    bool may_frame = rsp->status >= 200 && rsp->status != 204; /* RFC 9112 section 6.1 */
    if (rsp->status < 200 && !framing.websocket)
        framing.keep_alive = true; /* an interim answer says nothing about the connection */
    put_end(out, put_framing(p, framing, may_frame));
}

void write_chunk_head(struct text *out, uint64_t size)
{
    static const char digits[] = "0123456789abcdef";
    char line[18];
    char *p = line + sizeof line;

    *--p = '\n';
    *--p = '\r';
    do {
        *--p = digits[size & 15];
        size >>= 4;
    } while (size > 0);
    text_add(out, span_range(p, line + sizeof line));
}

void write_last_chunk(struct text *out, const struct fields *trailers)
{
    char *p = put_start(out, (trailers != NULL ? fields_bound(trailers) : 0) + 16);

    if (p == NULL)
        return;
    p = put_lit(p, "0\r\n");
    for (unsigned i = 0; trailers != NULL && i < trailers->count; i++) {
        const struct field *field = &trailers->items[i];
        if (!field->dropped && field_may_trail(field))
            p = put_field(p, field);
    }
    put_end(out, put_lit(p, "\r\n"));
}
