/*
 * Request heads. The scan answers the same whole or byte by byte; what was parsed lies inside
 * the input, also what is read of a head that is refused; and what is written from it parses to
 * the same message.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/evidence.h"
#include "gateway/http/write.h"

static void check_same(const struct request *a, const struct request *b)
{
    INVARIANT(span_equal(a->method, b->method) && a->method_id == b->method_id);
    INVARIANT(span_equal(a->path, b->path) && span_equal(a->path_wire, b->path_wire));
    INVARIANT(span_equal(a->query, b->query) && a->has_query == b->has_query);
    INVARIANT(span_equal(a->host, b->host) && a->port == b->port);
    INVARIANT(a->body == b->body && a->length == b->length);
    INVARIANT(a->websocket == b->websocket);
    INVARIANT(same_fields(&a->fields, &b->fields));
}

static void check_request(const struct request *req, struct span head)
{
    INVARIANT(span_within(req->method, head) && req->method.len > 0);
    INVARIANT(span_within(req->target, head) && req->target.len > 0);
    INVARIANT(req->method_id != METHOD_CONNECT && req->method_id != METHOD_TRACE);
    INVARIANT(req->host.len > 0);
    INVARIANT(req->path.len > 0 && (req->path.p[0] == '/' || span_equal(req->path, SPAN("*"))));
    INVARIANT(req->body == BODY_NONE || req->body == BODY_LENGTH || req->body == BODY_CHUNKED);
    INVARIANT(req->length <= INT64_MAX);
    INVARIANT(!req->websocket || req->minor == 1);
}

static void round_trip(const struct request *req, struct arena *arena,
                       const struct head_limits *limits)
{
    /* Escapes and canonical names may make it longer than what came. */
    struct head_limits wide = *limits;
    wide.head_bytes *= 4;
    wide.uri_bytes *= 4;
    wide.fields += 4;

    struct text out = text_growing(arena, 0);
    write_request_head(&out, req,
                       (struct wire_framing){ .body = req->body,
                                              .length = req->length,
                                              .keep_alive = req->keep_alive,
                                              .websocket = req->websocket });
    INVARIANT(!out.overflow);
    struct span head = text_span(&out);
    INVARIANT(check_scan(head, head.len) == (ssize_t)head.len);
    struct request again;
    INVARIANT(request_parse(&again, head, arena, &wide) == HTTP_OK);
    check_same(req, &again);
    INVARIANT(again.minor == 1);
    INVARIANT(req->websocket || again.keep_alive == req->keep_alive);
}

/* What is read of a head that may be anything lies in it, within the limits. */
static void check_evidence(struct arena *arena, const struct head_limits *limits,
                           struct span head)
{
    struct request req;
    request_evidence(&req, head, arena, limits);
    INVARIANT(req.method.len == 0 || span_within(req.method, head));
    INVARIANT(req.target.len == 0 || span_within(req.target, head));
    INVARIANT(req.protocol.len == 0 || span_within(req.protocol, head));
    INVARIANT(req.query.len == 0 || span_within(req.query, req.target));
    INVARIANT(req.target.len <= limits->uri_bytes && req.fields.count <= limits->fields);
    INVARIANT(req.body == BODY_NONE);
    for (unsigned i = 0; i < req.fields.count; i++) {
        INVARIANT(req.fields.items[i].name.len > 0);
        INVARIANT(span_within(req.fields.items[i].name, head));
        INVARIANT(span_within(req.fields.items[i].value, head));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span input = span_of((const char *)data + 1, size - 1);
    struct head_limits limits = fuzz_limits;
    struct arena arena;
    struct request req;

    limits.preserve_encoded = data[0] & 1;
    fuzz_arena(&arena);
    ssize_t len = check_scan(input, limits.head_bytes);
    /* The parser alone stays within bounds on anything. */
    struct span head = len > 0 ? span_of(input.p, (size_t)len) : input;
    check_evidence(&arena, &limits, head);
    enum http_error error = request_parse(&req, head, &arena, &limits);
    check_fields(&req.fields, head);
    if (error == HTTP_OK) {
        INVARIANT(len > 0);
        check_request(&req, head);
        round_trip(&req, &arena, &limits);
    }
    arena_reset(&arena);
    return 0;
}
