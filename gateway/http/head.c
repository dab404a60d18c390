/* Heads of requests: where they end, and what they say. */
#include "gateway/http/head.h"

#include "gateway/http/chars.h"
#include "gateway/http/head_common.h"
#include "gateway/http/names.h"
#include "gateway/http/section.h"
#include "gateway/http/uri.h"
#include "gateway/http/websocket.h"

enum { METHOD_BYTES_MAX = 32, VERSION_BYTES = 8 };

enum { SEAM = 3, STRETCH = 16 }; /* an empty line has three bytes before its last */

/*
 * Looks byte by byte only where skip_lines stops. Each stretch, and each call, begins SEAM
 * bytes back, so that an empty line across the seam is met from its start; all before is known
 * good.
 */
ssize_t head_scan(struct head_scan *scan, const char *p, size_t len, size_t limit)
{
    const char *end = p + (len < limit ? len : limit);
    const char *at = p + scan->seen;

    if (p < end && (*p == '\r' || *p == '\n'))
        return HEAD_BAD;
    while (at < end) {
        at = skip_lines(at, end);
        const char *stop = end - at > STRETCH + SEAM ? at + STRETCH + SEAM : end;
        for (; at < stop; at++) {
            if (*at == '\0' || (*at == '\n' && at[-1] != '\r'))
                return HEAD_BAD;
            if (*at == '\n' && at - p >= SEAM && at[-2] == '\n')
                return at + 1 - p;
        }
        if (at < end)
            at -= SEAM;
    }
    scan->seen = at - p > SEAM ? (size_t)(at - p) - SEAM : 0;
    return len >= limit ? HEAD_LARGE : HEAD_MORE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * A version of the right form that is not ours is told apart from garbage; HTTP/0.x is none:
 * what came before 1.0 had no version to say.
 */
static enum http_error version_error(const char *p, const char *end)
{
    bool formed = end - p >= VERSION_BYTES && memcmp(p, "HTTP/", 5) == 0 && is_digit(p[5]) &&
                  p[5] != '0' && p[6] == '.' && is_digit(p[7]);
    return formed ? HTTP_VERSION : HTTP_SYNTAX;
}

/* `host:port`, the one form of CONNECT's target (RFC 9112 section 3.2.3). */
static bool is_authority_form(struct span target)
{
    size_t port = target.len;
    while (port > 0 && is_digit(target.p[port - 1]))
        port--;
    return port > 1 && port < target.len && target.p[port - 1] == ':';
}

/* `method SP target SP version CR LF`, single spaces (RFC 9112 section 3). Moves `*rest` behind
 * it. */
static enum http_error request_line(struct request *req, struct span *rest,
                                    const struct head_limits *limits)
{
    const char *p = rest->p, *end = span_end(*rest);
    bool odd = false;

    const char *stop = scan_name(p, end, &odd);
    if (stop == p || stop == end || *stop != ' ' || stop - p > METHOD_BYTES_MAX)
        return HTTP_METHOD;
    req->method = span_range(p, stop);
    req->method_id = method_of(req->method);

    p = stop + 1;
    stop = scan_word(p, end);
    req->target = span_range(p, stop);
    if (req->target.len > limits->uri_bytes)
        return HTTP_TARGET_LONG;
    if (stop == p || stop == end || *stop != ' ') /* HTTP/0.9 ends here with a CR */
        return HTTP_SYNTAX;

    p = stop + 1;
    if (end - p < VERSION_BYTES + 2)
        return HTTP_SYNTAX;
    int minor = version_minor(p);
    if (minor < 0)
        return version_error(p, end);
    if (p[VERSION_BYTES] != '\r' || p[VERSION_BYTES + 1] != '\n')
        return p[VERSION_BYTES] == '\n' ? HTTP_LINE_END : HTTP_SYNTAX;
    req->minor = (uint8_t)minor;
    req->protocol = span_of(p, VERSION_BYTES);
    *rest = span_range(p + VERSION_BYTES + 2, end);
    if (req->method_id == METHOD_CONNECT && !is_authority_form(req->target))
        return HTTP_TARGET;
    if (req->method_id == METHOD_CONNECT || req->method_id == METHOD_TRACE)
        return HTTP_METHOD_REFUSED;
    return HTTP_OK;
}

static unsigned port_or_default(uint16_t port, struct span scheme)
{
    if (port != 0)
        return port;
    return span_equal(scheme, SPAN("https")) ? 443 : 80;
}

/* Host and, in absolute-form, an authority that must say the same (RFC 9112 section 3.2.2). */
static enum http_error read_host(struct request *req, const struct uri *uri,
                                 struct arena *arena)
{
    const struct field *field = fields_get(&req->fields, FIELD_HOST);
    struct span host = { NULL, 0 };
    uint16_t port = 0;

    if (uri->authority.p != NULL) {
        enum http_error error = authority_parse(uri->authority, arena, &host, &port);
        if (error != HTTP_OK)
            return error;
    }
    if (field == NULL) {
        if (req->minor > 0 || host.len == 0)
            return HTTP_HOST;
        req->host = host;
        req->port = port;
        return HTTP_OK;
    }
    enum http_error error = authority_parse(field->value, arena, &req->host, &req->port);
    if (error != HTTP_OK || uri->authority.p == NULL)
        return error;
    if (!span_equal(host, req->host) ||
        port_or_default(port, uri->scheme) != port_or_default(req->port, uri->scheme))
        return HTTP_HOST;
    return HTTP_OK;
}

/* RFC 9110 section 10.1.1: there is one expectation, and a 1.0 client has none. */
static enum http_error read_expect(struct request *req)
{
    if (!fields_have(&req->fields, FIELD_EXPECT))
        return HTTP_OK;
    if (!span_equal_nocase(fields_value(&req->fields, FIELD_EXPECT), SPAN("100-continue")))
        return HTTP_EXPECT;
    bool content = req->body == BODY_CHUNKED || (req->body == BODY_LENGTH && req->length > 0);
    req->expect_continue = req->minor >= 1 && content;
    fields_drop(&req->fields, FIELD_EXPECT);
    return HTTP_OK;
}

/*
 * Called before the hop-by-hop fields go. Any other protocol (h2c) is passed over: we do not
 * switch, and Upgrade never travels. A handshake with a body or half of one is refused: the
 * bytes behind it would be read in two ways.
 */
static enum http_error read_upgrade(struct request *req, bool nominated)
{
    const struct fields *fields = &req->fields;

    if (!nominated || !fields_list_has(fields, FIELD_UPGRADE, SPAN("websocket")))
        return HTTP_OK;
    bool empty = req->body == BODY_NONE || (req->body == BODY_LENGTH && req->length == 0);
    if (req->method_id != METHOD_GET || req->minor < 1 || !empty)
        return HTTP_UPGRADE;
    if (!span_equal(fields_value(fields, FIELD_SEC_WEBSOCKET_VERSION), SPAN("13")) ||
        !websocket_key_valid(fields_value(fields, FIELD_SEC_WEBSOCKET_KEY)))
        return HTTP_UPGRADE;
    req->websocket = true;
    return HTTP_OK;
}

static enum http_error read_connection(struct request *req)
{
    struct connection_said said = connection_read(&req->fields, req->minor);

    req->keep_alive = said.keep_alive;
    if (fields_have(&req->fields, FIELD_UPGRADE)) {
        enum http_error error = read_upgrade(req, said.upgrade);
        if (error != HTTP_OK)
            return error;
    }
    return fields_drop_hop_by_hop(&req->fields) ? HTTP_OK : HTTP_CONNECTION;
}

enum http_error request_parse(struct request *req, struct span head, struct arena *arena,
                              const struct head_limits *limits)
{
    struct span rest = head;
    struct uri uri;

    *req = (struct request){ 0 };
    if (head.len > limits->head_bytes)
        return HTTP_FIELDS_LARGE;
    enum http_error error = request_line(req, &rest, limits);
    if (error != HTTP_OK)
        return error;
    error = section_parse(&req->fields, rest, limits->fields, arena);
    if (error != HTTP_OK)
        return error;
    error = uri_parse(&uri, req->target, req->method_id, limits->preserve_encoded, arena);
    if (error != HTTP_OK)
        return error;
    req->path = uri.path;
    req->path_wire = uri.path_wire;
    req->path_plain = uri.path_plain;
    req->query = uri.query;
    req->has_query = uri.has_query;
    error = read_host(req, &uri, arena);
    if (error != HTTP_OK)
        return error;
    error = framing_parse(&req->fields, req->minor, &req->body, &req->length);
    if (error != HTTP_OK)
        return error;
    error = read_expect(req);
    if (error != HTTP_OK)
        return error;
    return read_connection(req);
}
