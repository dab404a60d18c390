/* Heads of responses. An upstream is as hostile as a client: nothing is repaired. */
#include "gateway/http/chars.h"
#include "gateway/http/head.h"
#include "gateway/http/head_common.h"
#include "gateway/http/section.h"
#include "gateway/http/websocket.h"

enum { STATUS_AT = 9, REASON_AT = 13 };

/* `HTTP/1.x SP 3DIGIT SP reason CR LF` (RFC 9112 section 4), the reason possibly empty. */
static enum http_error status_line(struct response *rsp, struct span *rest)
{
    const char *p = rest->p, *end = span_end(*rest);
    int status = 0;

    if (end - p < REASON_AT + 2)
        return HTTP_STATUS;
    int minor = version_minor(p);
    if (minor < 0 || p[STATUS_AT - 1] != ' ' || p[REASON_AT - 1] != ' ')
        return HTTP_STATUS;
    for (const char *digit = p + STATUS_AT; digit < p + STATUS_AT + 3; digit++) {
        if (*digit < '0' || *digit > '9')
            return HTTP_STATUS;
        status = status * 10 + (*digit - '0');
    }
    if (status < 100 || status > 599) /* RFC 9110 section 15: anything else is invalid */
        return HTTP_STATUS;
    const char *stop = scan_value(p + REASON_AT, end);
    if (end - stop < 2 || stop[0] != '\r' || stop[1] != '\n')
        return HTTP_STATUS;
    rsp->minor = (uint8_t)minor;
    rsp->status = status;
    rsp->reason = span_range(p + REASON_AT, stop);
    *rest = span_range(stop + 2, end);
    return HTTP_OK;
}

/* RFC 6455 section 4.1, the client's checks. Anything else switches to a protocol nobody asked
 * for. */
static bool switch_is_right(const struct response *rsp, const struct request *req)
{
    const struct fields *fields = &rsp->fields;
    char accept[WEBSOCKET_ACCEPT_BYTES];

    if (!req->websocket || rsp->minor < 1 || rsp->body != BODY_NONE)
        return false;
    if (!span_equal_nocase(fields_value(fields, FIELD_UPGRADE), SPAN("websocket")))
        return false;
    struct span key = fields_value(&req->fields, FIELD_SEC_WEBSOCKET_KEY);
    if (!websocket_key_valid(key)) /* a stage may have taken it away */
        return false;
    websocket_accept(key, accept);
    return span_equal(fields_value(fields, FIELD_SEC_WEBSOCKET_ACCEPT),
                      span_of(accept, sizeof accept));
}

enum http_error response_parse(struct response *rsp, struct span head, struct arena *arena,
                               const struct head_limits *limits, const struct request *req)
{
    struct span rest = head;

    *rsp = (struct response){ 0 };
    if (head.len > limits->head_bytes)
        return HTTP_FIELDS_LARGE;
    enum http_error error = status_line(rsp, &rest);
    if (error != HTTP_OK)
        return error;
    error = section_parse(&rsp->fields, rest, limits->fields, arena);
    if (error != HTTP_OK)
        return error;
    error = framing_parse(&rsp->fields, rsp->minor, &rsp->body, &rsp->length);
    if (error != HTTP_OK)
        return error;
    struct connection_said said = connection_read(&rsp->fields, rsp->minor);
    if (rsp->status == 101) {
        if (!said.upgrade || !switch_is_right(rsp, req))
            return HTTP_UPGRADE;
        rsp->websocket = true;
    }
    rsp->keep_alive = said.keep_alive && !rsp->websocket;
    if (!fields_drop_hop_by_hop(&rsp->fields))
        return HTTP_CONNECTION;

    if (rsp->status < 200 || rsp->status == 204 || rsp->status == 304 ||
        req->method_id == METHOD_HEAD) {
        rsp->body = BODY_NONE;
    } else if (rsp->body == BODY_NONE) {
        rsp->body = BODY_CLOSE;
        rsp->keep_alive = false;
    }
    return HTTP_OK;
}
