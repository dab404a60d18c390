/*
 * Response heads, as answers to several requests. What was parsed lies inside the input, no
 * answer switches protocols unasked, and what is written from it parses to the same message.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/write.h"

static struct field key_field = { .name = SPAN_INIT("Sec-WebSocket-Key"),
                                  .value = SPAN_INIT("dGhlIHNhbXBsZSBub25jZQ=="),
                                  .id = FIELD_SEC_WEBSOCKET_KEY };

static const struct request requests[] = {
    { .method_id = METHOD_GET },
    { .method_id = METHOD_HEAD },
    { .method_id = METHOD_GET,
      .websocket = true,
      .fields = { .items = &key_field,
                  .count = 1,
                  .capacity = 1,
                  .present = UINT64_C(1) << FIELD_SEC_WEBSOCKET_KEY } },
};

static void check_response(const struct response *rsp, const struct request *req,
                           struct span head)
{
    INVARIANT(span_within(rsp->reason, head));
    INVARIANT(rsp->status >= 100 && rsp->status <= 599);
    INVARIANT(rsp->websocket == (rsp->status == 101));
    INVARIANT(!rsp->websocket || req->websocket);
    INVARIANT(rsp->body != BODY_CLOSE || !rsp->keep_alive);
    INVARIANT(rsp->length <= INT64_MAX);
    bool bodiless = rsp->status < 200 || rsp->status == 204 || rsp->status == 304 ||
                    req->method_id == METHOD_HEAD;
    INVARIANT((rsp->body == BODY_NONE) == bodiless);
}

static void round_trip(const struct response *rsp, const struct request *req,
                       struct arena *arena)
{
    struct head_limits wide = fuzz_limits;
    wide.head_bytes *= 4;
    wide.fields += 4;

    struct text out = text_growing(arena, 0);
    write_response_head(&out, rsp,
                        (struct wire_framing){ .body = rsp->body,
                                               .length = rsp->length,
                                               .keep_alive = rsp->keep_alive,
                                               .websocket = rsp->websocket });
    INVARIANT(!out.overflow);
    struct span head = text_span(&out);
    INVARIANT(check_scan(head, head.len) == (ssize_t)head.len);
    struct response again;
    INVARIANT(response_parse(&again, head, arena, &wide, req) == HTTP_OK);
    INVARIANT(again.status == rsp->status && again.body == rsp->body);
    INVARIANT(again.websocket == rsp->websocket);
    INVARIANT(rsp->body != BODY_LENGTH || again.length == rsp->length);
    INVARIANT(rsp->status < 200 || again.keep_alive == rsp->keep_alive);
    INVARIANT(span_equal(again.reason, status_reason(rsp->status)));
    INVARIANT(same_fields(&rsp->fields, &again.fields));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span input = span_of((const char *)data + 1, size - 1);
    const struct request *req = &requests[data[0] % ARRAY_LEN(requests)];
    struct arena arena;
    struct response rsp;

    fuzz_arena(&arena);
    ssize_t len = check_scan(input, fuzz_limits.head_bytes);
    struct span head = len > 0 ? span_of(input.p, (size_t)len) : input;
    enum http_error error = response_parse(&rsp, head, &arena, &fuzz_limits, req);
    check_fields(&rsp.fields, head);
    if (error == HTTP_OK) {
        INVARIANT(len > 0);
        check_response(&rsp, req, head);
        round_trip(&rsp, req, &arena);
    }
    arena_reset(&arena);
    return 0;
}
