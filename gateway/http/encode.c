/* Encoders over zlib, brotli and zstd: see encode.h. */
#include "gateway/http/encode.h"

#include <stdlib.h>

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

enum {
    GZIP_LEVEL = 5,
    GZIP_WINDOW = 15 + 16, /* with gzip's own head and sum */
    GZIP_MEMORY = 8,
    BR_QUALITY = 4,
    BR_WINDOW = 17,
    BR_BLOCK = 16,
    ZSTD_LEVEL = 3,
    ZSTD_WINDOW = 17,
};

/* ---- gzip ---- */

static bool gzip_open(struct encoder *encoder)
{
    z_stream *z = calloc(1, sizeof *z);

    if (z == NULL)
        return false;
    if (deflateInit2(z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(z);
        return false;
    }
    encoder->state = z;
    return true;
}

static void gzip_close(void *state)
{
    (void)deflateEnd(state); /* Z_DATA_ERROR: it was not at its end */
    free(state);
}

static bool gzip_reset(void *state)
{
    return deflateReset(state) == Z_OK;
}

static enum encode_result gzip_run(void *state, struct span *input, enum encode_op op,
                                   struct span room, size_t *made)
{
    static const int flush[] = {
        [ENCODE_MORE] = Z_NO_FLUSH, [ENCODE_FLUSH] = Z_SYNC_FLUSH, [ENCODE_END] = Z_FINISH
    };
    z_stream *z = state;

    z->next_in = (Bytef *)(uintptr_t)input->p;
    z->avail_in = (uInt)input->len;
    z->next_out = (Bytef *)(uintptr_t)room.p;
    z->avail_out = (uInt)room.len;
    int result = deflate(z, flush[op]);
    *made = room.len - z->avail_out;
    *input = span_sub(*input, input->len - z->avail_in, z->avail_in);
    if (result == Z_STREAM_ERROR)
        return ENCODE_FAILED;
    if (op == ENCODE_END)
        return result == Z_STREAM_END ? ENCODE_DONE : ENCODE_ROOM;
    return input->len == 0 && z->avail_out > 0 ? ENCODE_DONE : ENCODE_ROOM;
}

/* ---- br ---- */

/*
 * The library cannot begin anew with what it has, so its memory is what is kept: a region from
 * which it takes and into which it gives nothing back until it ends. What does not fit comes
 * from the C library.
 */
enum { BR_REGION = 2304 * 1024 };
struct br_coder {
    BrotliEncoderState *state;
    size_t used;
    _Alignas(16) char region[BR_REGION];
};

static void *br_alloc(void *opaque, size_t size)
{
    struct br_coder *coder = opaque;
    size_t rounded = (size + 15) & ~(size_t)15;

    if (size > BR_REGION || rounded > BR_REGION - coder->used)
        return malloc(size);
    void *p = coder->region + coder->used;
    coder->used += rounded;
    return p;
}

static void br_free(void *opaque, void *p)
{
    struct br_coder *coder = opaque;
    const char *at = p;

    if (at < coder->region || at >= coder->region + BR_REGION)
        free(p);
}

static bool br_begin(struct br_coder *coder)
{
    coder->used = 0;
    coder->state = BrotliEncoderCreateInstance(br_alloc, br_free, coder);
    return coder->state != NULL &&
           BrotliEncoderSetParameter(coder->state, BROTLI_PARAM_QUALITY, BR_QUALITY) &&
           BrotliEncoderSetParameter(coder->state, BROTLI_PARAM_LGWIN, BR_WINDOW) &&
           BrotliEncoderSetParameter(coder->state, BROTLI_PARAM_LGBLOCK, BR_BLOCK);
}

static bool br_open(struct encoder *encoder)
{
    struct br_coder *coder = malloc(sizeof *coder);

    encoder->state = coder;
    return coder != NULL && br_begin(coder);
}

static bool br_reset(void *state)
{
    struct br_coder *coder = state;

    BrotliEncoderDestroyInstance(coder->state);
    return br_begin(coder);
}

static void br_close(void *state)
{
    struct br_coder *coder = state;

    BrotliEncoderDestroyInstance(coder->state);
    free(coder);
}

static enum encode_result br_run(void *opened, struct span *input, enum encode_op op,
                                 struct span room, size_t *made)
{
    BrotliEncoderState *state = ((struct br_coder *)opened)->state;
    static const BrotliEncoderOperation ops[] = { [ENCODE_MORE] = BROTLI_OPERATION_PROCESS,
                                                  [ENCODE_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                  [ENCODE_END] = BROTLI_OPERATION_FINISH };
    size_t in = input->len, out = room.len;
    const uint8_t *next_in = (const uint8_t *)input->p;
    uint8_t *next_out = (uint8_t *)(uintptr_t)room.p;

    bool good =
        BrotliEncoderCompressStream(state, ops[op], &in, &next_in, &out, &next_out, NULL);
    *made = room.len - out;
    *input = span_sub(*input, input->len - in, in);
    if (!good)
        return ENCODE_FAILED;
    if (in > 0 || BrotliEncoderHasMoreOutput(state))
        return ENCODE_ROOM;
    return op != ENCODE_END || BrotliEncoderIsFinished(state) ? ENCODE_DONE : ENCODE_ROOM;
}

/* ---- zstd ---- */

static bool zstd_open(struct encoder *encoder)
{
    ZSTD_CCtx *state = ZSTD_createCCtx();

    encoder->state = state;
    return state != NULL &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(state, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(state, ZSTD_c_windowLog, ZSTD_WINDOW));
}

static void zstd_close(void *state)
{
    (void)ZSTD_freeCCtx(state);
}

static bool zstd_reset(void *state)
{
    return !ZSTD_isError(ZSTD_CCtx_reset(state, ZSTD_reset_session_only));
}

static enum encode_result zstd_run(void *state, struct span *input, enum encode_op op,
                                   struct span room, size_t *made)
{
    static const ZSTD_EndDirective ends[] = { [ENCODE_MORE] = ZSTD_e_continue,
                                              [ENCODE_FLUSH] = ZSTD_e_flush,
                                              [ENCODE_END] = ZSTD_e_end };
    ZSTD_inBuffer in = { input->p, input->len, 0 };
    ZSTD_outBuffer out = { (char *)(uintptr_t)room.p, room.len, 0 };
    size_t left = ZSTD_compressStream2(state, &out, &in, ends[op]);

    *made = out.pos;
    *input = span_sub(*input, in.pos, in.size - in.pos);
    if (ZSTD_isError(left))
        return ENCODE_FAILED;
    bool done = op == ENCODE_MORE ? input->len == 0 : input->len == 0 && left == 0;
    return done ? ENCODE_DONE : ENCODE_ROOM;
}

/* ---- all ---- */

static const struct {
    size_t bytes; /* tests/unit/http/encode_test.c measures it */
    bool (*open)(struct encoder *encoder);
    bool (*reset)(void *state); /* as if it were new */
    void (*close)(void *state);
    enum encode_result (*run)(void *state, struct span *input, enum encode_op op,
                              struct span room, size_t *made);
} coders[] = {
    [CODING_GZIP] = { 288 * 1024, gzip_open, gzip_reset, gzip_close, gzip_run },
    [CODING_BR] = { 2560 * 1024, br_open, br_reset, br_close, br_run },
    [CODING_ZSTD] = { 2048 * 1024, zstd_open, zstd_reset, zstd_close, zstd_run },
};

size_t encoder_bytes(enum coding coding)
{
    return coding < ARRAY_LEN(coders) ? coders[coding].bytes : 0;
}

/* ---- those that are kept ---- */

static bool take_kept(struct encoder *encoder)
{
    struct encoder_pool *pool = encoder->pool;

    if (pool == NULL || pool->kinds[encoder->coding].count == 0)
        return false;
    unsigned left = --pool->kinds[encoder->coding].count;
    if (left < pool->kinds[encoder->coding].least)
        pool->kinds[encoder->coding].least = left;
    encoder->state = pool->kinds[encoder->coding].states[left];
    pool->bytes -= coders[encoder->coding].bytes;
    return true;
}

/* Made ready before it is kept, so that nothing of what it coded stays behind. */
static bool keep(struct encoder *encoder)
{
    struct encoder_pool *pool = encoder->pool;
    size_t bytes = coders[encoder->coding].bytes;

    if (pool == NULL || pool->kinds[encoder->coding].count == ENCODERS_KEPT ||
        bytes > pool->bytes_max || pool->bytes > pool->bytes_max - bytes ||
        !coders[encoder->coding].reset(encoder->state))
        return false;
    pool->kinds[encoder->coding].states[pool->kinds[encoder->coding].count++] = encoder->state;
    pool->bytes += bytes;
    return true;
}

static void drop_kept(struct encoder_pool *pool, enum coding coding, unsigned count)
{
    for (; count > 0 && pool->kinds[coding].count > 0; count--) {
        coders[coding].close(pool->kinds[coding].states[--pool->kinds[coding].count]);
        pool->bytes -= coders[coding].bytes;
    }
}

void encoder_pool_trim(struct encoder_pool *pool)
{
    for (size_t c = 0; c < ARRAY_LEN(coders); c++) {
        drop_kept(pool, (enum coding)c, pool->kinds[c].least);
        pool->kinds[c].least = pool->kinds[c].count;
    }
}

void encoder_pool_close(struct encoder_pool *pool)
{
    for (size_t c = 0; c < ARRAY_LEN(coders); c++)
        drop_kept(pool, (enum coding)c, ENCODERS_KEPT);
    INVARIANT(pool->bytes == 0);
}

/* ---- one ---- */

bool encoder_open(struct encoder *encoder, enum coding coding, struct encoder_pool *pool)
{
    *encoder = (struct encoder){ .coding = coding };
    if (coding >= ARRAY_LEN(coders) || coders[coding].open == NULL)
        return false;
    encoder->pool = pool;
    if (take_kept(encoder) || coders[coding].open(encoder))
        return true;
    encoder->pool = NULL;
    encoder_close(encoder);
    return false;
}

void encoder_close(struct encoder *encoder)
{
    if (encoder->state != NULL && !keep(encoder))
        coders[encoder->coding].close(encoder->state);
    encoder->state = NULL;
}

enum encode_result encoder_run(struct encoder *encoder, struct span *input, enum encode_op op,
                               struct span room, size_t *made)
{
    INVARIANT(room.len >= ENCODE_ROOM_LEAST);
    return coders[encoder->coding].run(encoder->state, input, op, room, made);
}
