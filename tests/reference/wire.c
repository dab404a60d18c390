/* Bytes to messages. */
#include "tests/reference/wire.h"

#include "gateway/http/evidence.h"
#include "gateway/http/framing.h"
#include "gateway/http/head.h"

static const struct head_limits limits = { .head_bytes = 64 * 1024,
                                           .uri_bytes = 16 * 1024,
                                           .fields = 200 };

/* What the rest of the bytes holds of a body. False: more is missing, or it is malformed. */
static bool read_body(struct body_reader *reader, struct span rest, struct arena *arena,
                      struct span *body)
{
    char *out = must(arena_alloc(arena, rest.len + 1));
    size_t len = 0;
    while (!reader->ended && reader->error == HTTP_OK) {
        struct span data = body_next(reader, &rest);
        if (data.len == 0)
            break;
        memcpy(out + len, data.p, data.len);
        len += data.len;
    }
    *body = span_of(out, len);
    return reader->ended || (rest.len == 0 && body_at_close(reader));
}

static void read_request(struct wire *wire, struct span bytes, struct arena *arena)
{
    struct head_scan scan = { 0 };
    ssize_t len = head_scan(&scan, bytes.p, bytes.len, limits.head_bytes);
    if (len == HEAD_BAD || len == HEAD_LARGE)
        wire->refused = len == HEAD_BAD ? 400 : 431;
    if (len <= 0)
        return;
    struct span head = span_sub(bytes, 0, (size_t)len);
    enum http_error error = request_parse(&wire->req, head, arena, &limits);
    if (error != HTTP_OK) {
        wire->refused = http_error_status(error);
        request_evidence(&wire->req, head, arena, &limits);
        return;
    }
    struct body_reader reader;
    body_begin(&reader, wire->req.body, wire->req.length, arena);
    wire->complete =
        wire->req.body == BODY_NONE ||
        read_body(&reader, span_sub(bytes, (size_t)len, bytes.len), arena, &wire->body);
    if (wire->req.body == BODY_CHUNKED && reader.error != HTTP_OK)
        wire->refused = http_error_status(reader.error);
}

static void read_answer(struct wire *wire, struct span bytes, struct arena *arena)
{
    struct head_scan scan = { 0 };
    ssize_t len = head_scan(&scan, bytes.p, bytes.len, limits.head_bytes);
    if (len <= 0 || response_parse(&wire->rsp, span_sub(bytes, 0, (size_t)len), arena, &limits,
                                   &wire->req) != HTTP_OK)
        return;
    struct body_reader reader;
    body_begin(&reader, wire->rsp.body, wire->rsp.length, arena);
    wire->answered =
        wire->rsp.body == BODY_NONE ||
        read_body(&reader, span_sub(bytes, (size_t)len, bytes.len), arena, &wire->answer);
}

void wire_read(struct wire *wire, struct span request, struct span answer, struct arena *arena)
{
    *wire = (struct wire){ 0 };
    read_request(wire, request, arena);
    if (wire->complete && wire->refused == 0 && answer.len > 0)
        read_answer(wire, answer, arena);
}
