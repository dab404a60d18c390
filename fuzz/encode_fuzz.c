/*
 * Content codings that we make. Whatever is put in, in any pieces, with any flushes and room,
 * comes back whole from our decoder. And Accept-Encoding: what is chosen was offered, and is
 * not refused by the client. Input: the first byte picks the coding; each further piece begins
 * with its length and operation.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/accept.h"
#include "gateway/http/encode.h"

enum { OUT_BYTES = 512 * 1024 };

static char out[OUT_BYTES];

static size_t put(struct encoder *encoder, struct span bytes, enum encode_op op, size_t room,
                  size_t len)
{
    for (;;) {
        size_t made = 0;
        struct span to = span_of(out + len, room < OUT_BYTES - len ? room : OUT_BYTES - len);
        INVARIANT(to.len >= ENCODE_ROOM_LEAST);
        enum encode_result result = encoder_run(encoder, &bytes, op, to, &made);
        INVARIANT(result != ENCODE_FAILED && made <= to.len);
        len += made;
        if (result == ENCODE_DONE)
            return len;
    }
}

static void check_coder(enum coding coding, struct span pieces, struct arena *arena)
{
    struct encoder encoder;
    struct text whole = text_growing(arena, 256);
    size_t len = 0;

    INVARIANT(encoder_open(&encoder, coding, NULL));
    while (pieces.len >= 2) {
        unsigned head = (unsigned char)pieces.p[0];
        size_t room = ENCODE_ROOM_LEAST + (size_t)(unsigned char)pieces.p[1] * 8;
        struct span piece = span_sub(pieces, 2, head >> 1);
        pieces = span_sub(pieces, 2 + piece.len, pieces.len);
        text_add(&whole, piece);
        len = put(&encoder, piece, (head & 1) != 0 ? ENCODE_FLUSH : ENCODE_MORE, room, len);
    }
    len = put(&encoder, span_of(NULL, 0), ENCODE_END, 1000, len);
    encoder_close(&encoder);
    struct codings codings = { { coding }, 1 };
    struct decode_limits limits = { .bytes = OUT_BYTES, .ratio = 1000000 };
    struct decode d;
    decode_begin(&d, &codings, span_of(out, len), &limits, arena);
    while (!decode_run(&d, 4096))
        ;
    INVARIANT(d.error == DECODE_OK && span_equal(d.output, text_span(&whole)));
}

static void check_accept(struct span value, struct arena *arena)
{
    static const enum coding ours[] = { CODING_GZIP, CODING_BR };
    struct fields fields = { 0 };

    if (fields_add(&fields, arena, SPAN("Accept-Encoding"), value) != OK)
        return;
    enum coding coding = coding_accepted(&fields, ours, ARRAY_LEN(ours));
    INVARIANT(coding == CODING_IDENTITY || coding == CODING_GZIP || coding == CODING_BR);
    INVARIANT(coding_accepted(&fields, ours, 0) == CODING_IDENTITY);
    /* What is chosen of many is chosen alone. */
    if (coding != CODING_IDENTITY)
        INVARIANT(coding_accepted(&fields, &coding, 1) == coding);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum coding codings[] = { CODING_GZIP, CODING_BR, CODING_ZSTD };
    struct arena arena;

    if (size == 0 || size > 16 * 1024)
        return 0;
    fuzz_arena(&arena);
    struct span rest = span_of((const char *)data + 1, size - 1);
    if (data[0] % 4 < ARRAY_LEN(codings))
        check_coder(codings[data[0] % 4], rest, &arena);
    else
        check_accept(rest, &arena);
    arena_reset(&arena);
    return 0;
}
