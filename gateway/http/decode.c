/*
 * Content codings, by zlib, brotli and zstd. Each library decodes a slice of output at a time
 * into a buffer that doubles; the bounds are asked after every slice, so no bomb gets further
 * than one slice past them.
 */
#include "gateway/http/decode.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    OUT_FIRST = 16 * 1024,
    GZIP_WINDOW = 15 + 16, /* as zlib wants to be told */
    ZSTD_WINDOW_LOG = 23,  /* 8 MiB: RFC 9659 */
    STEP_INPUT = 16 * 1024,
    STEP_COST = 256, /* of a slice: empty members and blocks cost, too */
};

const char *decode_error_text(enum decode_error error)
{
    static const char *const texts[] = {
        [DECODE_OK] = "no error",
        [DECODE_UNKNOWN] = "a content coding that is not known, or too many",
        [DECODE_MALFORMED] = "not of the content coding that is declared",
        [DECODE_TRUNCATED] = "the coded body ends too early",
        [DECODE_TRAILING] = "something follows the coded body",
        [DECODE_OVER_BYTES] = "too long when decoded",
        [DECODE_OVER_RATIO] = "far longer when decoded than it was",
        [DECODE_MEMORY] = "out of memory",
    };
    return texts[error];
}

enum decode_error codings_of(struct codings *codings, const struct fields *fields)
{
    static const struct {
        struct span name;
        enum coding coding;
    } names[] = {
        { SPAN_INIT("identity"), CODING_IDENTITY },
        { SPAN_INIT("gzip"), CODING_GZIP },
        { SPAN_INIT("x-gzip"), CODING_GZIP },
        { SPAN_INIT("deflate"), CODING_DEFLATE },
        { SPAN_INIT("br"), CODING_BR },
        { SPAN_INIT("zstd"), CODING_ZSTD },
    };
    struct list_walk walk = list_walk(fields, FIELD_CONTENT_ENCODING);
    struct span member;

    codings->count = 0;
    while (list_next(&walk, &member)) {
        size_t i = 0;
        while (i < ARRAY_LEN(names) && !span_equal_nocase(member, names[i].name))
            i++;
        if (i == ARRAY_LEN(names))
            return DECODE_UNKNOWN;
        if (names[i].coding == CODING_IDENTITY)
            continue;
        if (codings->count == DECODE_CODINGS_MAX)
            return DECODE_UNKNOWN;
        codings->items[codings->count++] = names[i].coding;
    }
    return DECODE_OK;
}

/* ---- the libraries -------------------------------------------------------------------------
 *
 * A step decodes from d->input at `taken` into `room` bytes at `out`, counts both, and answers.
 * It is given STEP_INPUT bytes at most, since some blocks are all input and no output.
 */

enum step { STEP_MORE, STEP_END, STEP_STARVED, STEP_BAD };

static void zlib_free(void *stream)
{
    (void)inflateEnd(stream);
}

static bool zlib_begin(struct decode *d, int window)
{
    z_stream *z = arena_new(d->arena, z_stream);

    if (z == NULL || inflateInit2(z, window) != Z_OK)
        return false;
    if (!arena_defer(d->arena, zlib_free, z)) {
        (void)inflateEnd(z);
        return false;
    }
    d->stream = z;
    return true;
}

static size_t step_input(const struct decode *d)
{
    size_t left = d->input.len - d->taken;

    return left < STEP_INPUT ? left : STEP_INPUT;
}

static enum step hungry(const struct decode *d)
{
    return d->taken == d->input.len ? STEP_STARVED : STEP_MORE;
}

static bool begins(const struct decode *d, struct span magic)
{
    return span_starts(span_sub(d->input, d->taken, magic.len), magic);
}

/*
 * RFC 9110 means zlib's frame when it says deflate; many send it without. The first two bytes
 * tell: a frame has method 8 and a check that divides by 31, and no stream without one that a
 * compressor makes looks like that.
 */
static bool deflate_is_raw(struct span input)
{
    if (input.len < 2)
        return false;
    unsigned first = (uint8_t)input.p[0], second = (uint8_t)input.p[1];
    return (first & 0x0f) != 8 || (first << 8 | second) % 31 != 0;
}

/* With a frame, yet good without it as well: a stored block with its complement (RFC 1951). */
static bool deflate_is_both(struct span input)
{
    return input.len >= 5 && (uint8_t)(input.p[1] ^ input.p[3]) == 0xff &&
           (uint8_t)(input.p[2] ^ input.p[4]) == 0xff;
}

static bool gzip_begin(struct decode *d)
{
    return zlib_begin(d, GZIP_WINDOW);
}

static bool deflate_begin(struct decode *d)
{
    d->raw = deflate_is_raw(d->input);
    return zlib_begin(d, d->raw ? -MAX_WBITS : MAX_WBITS);
}

static enum step zlib_step(struct decode *d, char *out, size_t room)
{
    z_stream *z = d->stream;
    uInt in = (uInt)step_input(d);

    z->next_in = (z_const Bytef *)(uintptr_t)(d->input.p + d->taken);
    z->avail_in = in;
    z->next_out = (Bytef *)out;
    z->avail_out = room > UINT32_MAX ? UINT32_MAX : (uInt)room;
    uInt offered = z->avail_out;
    int result = inflate(z, Z_NO_FLUSH);
    d->taken += in - z->avail_in;
    d->len += offered - z->avail_out;
    if (result == Z_STREAM_END)
        return STEP_END;
    if (result != Z_OK && result != Z_BUF_ERROR)
        return STEP_BAD;
    return z->avail_out > 0 ? hungry(d) : STEP_MORE;
}

/* RFC 1952 section 2.2: members one behind the other are one text. */
static bool gzip_again(struct decode *d)
{
    return begins(d, SPAN("\x1f\x8b")) && inflateReset2(d->stream, GZIP_WINDOW) == Z_OK;
}

static bool no_more(struct decode *d)
{
    (void)d;
    return false;
}

static void brotli_free(void *stream)
{
    BrotliDecoderDestroyInstance(stream);
}

static bool brotli_begin(struct decode *d)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);

    if (state == NULL)
        return false;
    if (!arena_defer(d->arena, brotli_free, state)) {
        BrotliDecoderDestroyInstance(state);
        return false;
    }
    d->stream = state;
    return true;
}

static enum step brotli_step(struct decode *d, char *out, size_t room)
{
    const uint8_t *next_in = (const uint8_t *)d->input.p + d->taken;
    uint8_t *next_out = (uint8_t *)out;
    size_t offered = step_input(d), in = offered, left = room;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(d->stream, &in, &next_in, &left, &next_out, NULL);

    d->taken += offered - in;
    d->len += room - left;
    switch (result) {
    case BROTLI_DECODER_RESULT_SUCCESS:
        return STEP_END;
    case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
        return hungry(d);
    case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
        return STEP_MORE;
    case BROTLI_DECODER_RESULT_ERROR:
        break;
    }
    return STEP_BAD;
}

static void zstd_free(void *stream)
{
    (void)ZSTD_freeDStream(stream);
}

static bool zstd_begin(struct decode *d)
{
    ZSTD_DStream *stream = ZSTD_createDStream();

    if (stream == NULL)
        return false;
    if (!arena_defer(d->arena, zstd_free, stream)) {
        (void)ZSTD_freeDStream(stream);
        return false;
    }
    if (ZSTD_isError(ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG)))
        return false;
    d->stream = stream;
    return true;
}

static enum step zstd_step(struct decode *d, char *out, size_t room)
{
    ZSTD_inBuffer in = { d->input.p, d->taken + step_input(d), d->taken };
    ZSTD_outBuffer to = { out, room, 0 };
    size_t result = ZSTD_decompressStream(d->stream, &to, &in);

    d->taken = in.pos;
    d->len += to.pos;
    if (ZSTD_isError(result))
        return STEP_BAD;
    if (result == 0)
        return STEP_END;
    return to.pos < room ? hungry(d) : STEP_MORE;
}

/* RFC 8878 section 3: frames one behind the other are one text, and the stream takes them. */
static bool zstd_again(struct decode *d)
{
    if (begins(d, SPAN("\x28\xb5\x2f\xfd")))
        return true;
    struct span next = span_sub(d->input, d->taken, 4);
    return next.len == 4 && ((uint8_t)next.p[0] & 0xf0) == 0x50 &&
           span_starts(span_sub(next, 1, 3), SPAN("\x2a\x4d\x18")); /* a skippable one */
}

static const struct {
    bool (*begin)(struct decode *d);
    enum step (*step)(struct decode *d, char *out, size_t room);
    bool (*again)(struct decode *d); /* at an end: whether another begins there */
} decoders[] = {
    [CODING_GZIP] = { gzip_begin, zlib_step, gzip_again },
    [CODING_DEFLATE] = { deflate_begin, zlib_step, no_more },
    [CODING_BR] = { brotli_begin, brotli_step, no_more },
    [CODING_ZSTD] = { zstd_begin, zstd_step, zstd_again },
};

/* ---- running -------------------------------------------------------------------------------
 */

static bool fail(struct decode *d, enum decode_error error)
{
    d->error = error;
    d->codings.count = 0;
    return false;
}

struct decode_memory {
    char *p;
    size_t size;
    size_t *held, *share;
};

static void memory_free(void *ptr)
{
    struct decode_memory *memory = ptr;

    if (memory->held != NULL)
        *memory->held -= memory->size;
    if (memory->share != NULL)
        *memory->share -= memory->size;
    free(memory->p);
}

static bool memory_begin(struct decode *d)
{
    d->memory = arena_new(d->arena, struct decode_memory);
    if (d->memory == NULL || !arena_defer(d->arena, memory_free, d->memory))
        return fail(d, DECODE_MEMORY);
    d->memory->held = d->limits.held;
    d->memory->share = d->limits.share;
    return true;
}

static bool may_count(const size_t *count, size_t max, size_t more)
{
    return count == NULL || (*count <= max && more <= max - *count);
}

/* Room for one byte past the limit: whether there is one is what is asked. */
static bool reserve(struct decode *d)
{
    struct decode_memory *memory = d->memory;
    size_t most = d->limits.bytes < SIZE_MAX ? d->limits.bytes + 1 : SIZE_MAX;

    if (d->len < memory->size)
        return true;
    size_t size = memory->size == 0         ? OUT_FIRST
                  : memory->size > most / 2 ? most
                                            : memory->size * 2;
    if (size > most)
        size = most;
    size_t more = size - memory->size;
    if (!may_count(memory->held, d->limits.held_max, more) ||
        !may_count(memory->share, d->limits.share_max, more))
        return fail(d, DECODE_MEMORY);
    char *p = realloc(memory->p, size);
    if (p == NULL)
        return fail(d, DECODE_MEMORY);
    memory->p = p;
    memory->size = size;
    if (memory->held != NULL)
        *memory->held += more;
    if (memory->share != NULL)
        *memory->share += more;
    return true;
}

static bool within_bounds(struct decode *d)
{
    size_t allowed;

    if (d->len > d->limits.bytes)
        return fail(d, DECODE_OVER_BYTES);
    if (__builtin_mul_overflow(d->input.len, (size_t)d->limits.ratio, &allowed))
        allowed = SIZE_MAX;
    if (d->len > DECODE_RATIO_FREE && d->len > allowed)
        return fail(d, DECODE_OVER_RATIO);
    return true;
}

static bool coding_begin(struct decode *d)
{
    d->len = d->taken = 0;
    if (!memory_begin(d))
        return false;
    if (d->input.len == 0)
        return fail(d, DECODE_TRUNCATED);
    enum coding coding = d->codings.items[d->codings.count - 1];
    if (!decoders[coding].begin(d))
        return fail(d, DECODE_MEMORY);
    if (coding == CODING_DEFLATE && !d->raw && deflate_is_both(d->input))
        return fail(d, DECODE_MALFORMED);
    return true;
}

static void coding_end(struct decode *d)
{
    if (d->taken < d->input.len) {
        fail(d, DECODE_TRAILING);
        return;
    }
    d->input = d->output = d->len > 0 ? span_of(d->memory->p, d->len) : SPAN("");
    d->stream = NULL;
    d->codings.count--;
}

void decode_begin(struct decode *d, const struct codings *codings, struct span input,
                  const struct decode_limits *limits, struct arena *arena)
{
    *d = (struct decode){
        .output = input, .input = input, .codings = *codings, .limits = *limits, .arena = arena
    };
}

/* Up to `bytes` of output; answers the bytes made, or taken if these are more. */
static size_t decode_step(struct decode *d, size_t bytes)
{
    enum coding coding = d->codings.items[d->codings.count - 1];

    if ((d->stream == NULL && !coding_begin(d)) || !reserve(d))
        return 0;
    size_t len = d->len, taken = d->taken;
    size_t left = d->memory->size - d->len, room = left < bytes ? left : bytes;
    enum step step = decoders[coding].step(d, d->memory->p + d->len, room);
    size_t made = d->len - len, read = d->taken - taken;
    if (!within_bounds(d))
        return made;
    if (step == STEP_BAD)
        fail(d, DECODE_MALFORMED);
    else if (step == STEP_STARVED)
        fail(d, DECODE_TRUNCATED);
    else if (step == STEP_END && !decoders[coding].again(d))
        coding_end(d);
    return made > read ? made : read;
}

bool decode_run(struct decode *d, size_t bytes)
{
    size_t left = bytes;

    while (d->codings.count > 0 && left > 0) {
        size_t cost = decode_step(d, left) + STEP_COST;
        left -= cost < left ? cost : left;
    }
    return d->codings.count == 0;
}
