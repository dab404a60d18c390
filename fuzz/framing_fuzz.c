/*
 * Bodies. Data lies inside the input, and the outcome is the same whole, byte by byte, or cut
 * where the input says; a chunked body that is written anew has the same data and the same
 * trailers. Input: a byte for the kind, one for the length or the cut, then the bytes.
 */
#include <stdlib.h>

#include "fuzz/http_fuzz.h"
#include "gateway/http/framing.h"
#include "gateway/http/write.h"

struct outcome {
    struct text data;
    struct fields trailers;
    enum http_error error, trailer_error;
    bool ended, closed;
    size_t taken;
    uint64_t total;
};

static void run(struct outcome *out, struct span input, enum body_kind kind, uint64_t length,
                size_t step, struct arena *arena)
{
    struct body_reader body;

    *out = (struct outcome){ .data = text_growing(arena, 64) };
    body_begin(&body, kind, length, arena);
    while (out->taken < input.len && !body.ended && body.error == HTTP_OK) {
        struct span piece = span_sub(input, out->taken, step), whole = piece, data;
        while ((data = body_next(&body, &piece)).len > 0) {
            INVARIANT(span_within(data, whole) && span_end(data) <= piece.p);
            text_add(&out->data, data);
        }
        INVARIANT(span_end(piece) == span_end(whole));
        INVARIANT(piece.len == 0 || body.ended || body.error != HTTP_OK);
        out->taken += whole.len - piece.len;
    }
    INVARIANT(!out->data.overflow);
    out->error = body.error;
    out->total = body.total;
    out->closed = body_at_close(&body);
    out->ended = body.ended;
    INVARIANT(!(out->ended && out->error != HTTP_OK));
    INVARIANT(out->total == out->data.len);
    if (out->ended)
        out->trailer_error = body_trailers(&body, &out->trailers);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    INVARIANT(span_equal(text_span(&a->data), text_span(&b->data)));
    INVARIANT(a->error == b->error && a->ended == b->ended && a->closed == b->closed);
    INVARIANT(a->taken == b->taken && a->trailer_error == b->trailer_error);
    INVARIANT(same_fields(&a->trailers, &b->trailers));
}

static void round_trip(const struct outcome *first, struct arena *arena)
{
    struct text out = text_growing(arena, 64);
    struct outcome again;

    if (first->data.len > 0) {
        write_chunk_head(&out, first->data.len);
        text_add(&out, text_span(&first->data));
        text_lit(&out, "\r\n");
    }
    write_last_chunk(&out, &first->trailers);
    INVARIANT(!out.overflow);
    run(&again, text_span(&out), BODY_CHUNKED, 0, SIZE_MAX, arena);
    INVARIANT(again.ended && again.trailer_error == HTTP_OK && again.taken == out.len);
    INVARIANT(span_equal(text_span(&again.data), text_span(&first->data)));
    INVARIANT(same_fields(&again.trailers, &first->trailers));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum body_kind kinds[] = { BODY_CHUNKED, BODY_CHUNKED, BODY_LENGTH, BODY_CLOSE,
                                            BODY_NONE };
    if (size < 2)
        return 0;
    struct span input = span_of((const char *)data + 2, size - 2);
    enum body_kind kind = kinds[data[0] % ARRAY_LEN(kinds)];
    uint64_t length = data[1];
    struct arena arena;
    struct outcome whole, bytes, cut;

    fuzz_arena(&arena);
    run(&whole, input, kind, length, SIZE_MAX, &arena);
    run(&bytes, input, kind, length, 1, &arena);
    run(&cut, input, kind, length, (size_t)data[1] + 1, &arena);
    check_same(&whole, &bytes);
    check_same(&whole, &cut);
    if (kind == BODY_CHUNKED && whole.ended && whole.trailer_error == HTTP_OK)
        round_trip(&whole, &arena);
    arena_reset(&arena);
    return 0;
}
