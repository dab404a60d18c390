/*
 * Content codings. Output is within both bounds and does not depend on slices; what zlib makes
 * of the input comes back whole. Input: the first byte picks codings and bounds.
 */
#include <zlib.h>

#include "fuzz/http_fuzz.h"
#include "gateway/http/decode.h"

static void check_round_trip(struct span text, struct arena *arena)
{
    static Bytef packed[64 * 1024];
    uLongf len = sizeof(packed);
    struct codings codings = { { CODING_DEFLATE }, 1 };
    struct decode_limits limits = { .bytes = text.len, .ratio = 2000 };
    struct decode d;

    if (text.len > sizeof(packed) / 2 ||
        compress(packed, &len, (const Bytef *)text.p, text.len) != Z_OK)
        return;
    decode_begin(&d, &codings, span_of((const char *)packed, len), &limits, arena);
    while (!decode_run(&d, 777))
        ;
    INVARIANT(d.error == DECODE_OK && span_equal(d.output, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    struct codings codings = { { 1 + data[0] % 4, 1 + data[0] / 4 % 4 }, 1 + data[0] / 16 % 2 };
    struct decode_limits limits = { .bytes = 1u << (8 + data[0] / 32 * 2), .ratio = 100 };
    struct decode whole, slow;
    struct arena arena;

    fuzz_arena(&arena);
    decode_begin(&whole, &codings, text, &limits, &arena);
    INVARIANT(decode_run(&whole, SIZE_MAX));
    decode_begin(&slow, &codings, text, &limits, &arena);
    while (!decode_run(&slow, 1 + data[0]))
        ;
    if (whole.error != DECODE_MEMORY && slow.error != DECODE_MEMORY) {
        INVARIANT(whole.error == slow.error);
        if (whole.error == DECODE_OK) {
            INVARIANT(span_equal(whole.output, slow.output));
            INVARIANT(whole.output.len <= limits.bytes);
            INVARIANT(codings.count > 1 || whole.output.len <= DECODE_RATIO_FREE ||
                      whole.output.len <= text.len * limits.ratio);
        }
    }
    check_round_trip(text, &arena);
    arena_reset(&arena);
    return 0;
}
