/* Content codings: each, stacked, cut, with a tail, and the two bounds. */
#include "gateway/http/decode.h"

#include <zlib.h>
#include <zstd.h>

#include "tests/unit/http/http.h"

#define SCRIPT "<script>alert(1)</script>"
#define BROTLI_SCRIPT                                                                          \
    "\x1b\x18\x00\xf8\xa5\x53\x5e\x62\x78\x24\x21\x86\x94\x92\x20\xfc\x52\x4c\x89\xe9\x58"
#define BROTLI_MEGABYTE "\x5b\xff\xff\x8f\x5f\x22\x2c\x1e\x0b\x04\x72\xef\x1f\x00"
#define MAGIC_SKIPPABLE "\x50\x2a\x4d\x18\x02\x00\x00\x00xx"

enum { MEGABYTE = 1 << 20, ROOM = 64 * 1024 };

static const struct decode_limits roomy = { .bytes = 4 * MEGABYTE, .ratio = 1000000 };
static struct decode d;
static char room[4][ROOM];

static struct span deflated(char *out, struct span in, int window)
{
    z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)in.p,
                   .avail_in = (uInt)in.len,
                   .next_out = (Bytef *)out,
                   .avail_out = ROOM };
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = ROOM - z.avail_out;
    deflateEnd(&z);
    return span_of(out, len);
}

static struct span gzipped(char *out, struct span in)
{
    return deflated(out, in, 31);
}

static struct span zstandard(char *out, struct span in)
{
    size_t len = ZSTD_compress(out, ROOM, in.p, in.len, 3);
    assert_false(ZSTD_isError(len));
    return span_of(out, len);
}

static struct span joined(char *out, struct span a, struct span b)
{
    memmove(out, a.p, a.len);
    memcpy(out + a.len, b.p, b.len);
    return span_of(out, a.len + b.len);
}

/* Byte by byte and whole are one. */
static void run(const struct codings *codings, struct span input, const struct decode_limits *l)
{
    struct arena *arena = fresh_arena();
    struct decode slow;
    input = exact(input);
    decode_begin(&d, codings, input, l, arena);
    assert_true(decode_run(&d, SIZE_MAX));
    if (d.output.len > ROOM || l->bytes > 4 * MEGABYTE)
        return;
    decode_begin(&slow, codings, input, l, arena);
    while (!decode_run(&slow, 1))
        ;
    assert_int_equal(slow.error, d.error);
    if (d.error == DECODE_OK)
        assert_span(slow.output, d.output);
}

static void run_one(enum coding coding, struct span input)
{
    run(&(struct codings){ { coding }, 1 }, input, &roomy);
}

#define assert_decoded(literal)                                                                \
    do {                                                                                       \
        assert_int_equal(d.error, DECODE_OK);                                                  \
        assert_text(d.output, literal);                                                        \
    } while (0)

static void test_each(void **state)
{
    (void)state;
    run(&(struct codings){ .count = 0 }, SPAN(SCRIPT), &roomy);
    assert_decoded(SCRIPT);
    run_one(CODING_GZIP, gzipped(room[0], SPAN(SCRIPT)));
    assert_decoded(SCRIPT);
    run_one(CODING_DEFLATE, deflated(room[0], SPAN(SCRIPT), 15));
    assert_decoded(SCRIPT);
    run_one(CODING_DEFLATE, deflated(room[0], SPAN(SCRIPT), -15));
    assert_decoded(SCRIPT);
    run_one(CODING_BR, SPAN(BROTLI_SCRIPT));
    assert_decoded(SCRIPT);
    run_one(CODING_ZSTD, zstandard(room[0], SPAN(SCRIPT)));
    assert_decoded(SCRIPT);
    run_one(CODING_GZIP, gzipped(room[0], SPAN("")));
    assert_decoded("");
    run_one(CODING_BR, SPAN("\x06"));
    assert_decoded("");
}

static void test_members(void **state)
{
    (void)state;
    struct span one = gzipped(room[0], SPAN("<scr")), two = gzipped(room[1], SPAN("ipt>"));
    run_one(CODING_GZIP, joined(room[2], one, two));
    assert_decoded("<script>");
    one = zstandard(room[0], SPAN("<scr"));
    two = zstandard(room[1], SPAN("ipt>"));
    run_one(CODING_ZSTD, joined(room[3], joined(room[2], one, SPAN(MAGIC_SKIPPABLE)), two));
    assert_decoded("<script>");
}

static void test_stacked(void **state)
{
    struct codings two = { { CODING_GZIP, CODING_ZSTD }, 2 };

    (void)state;
    run(&two, zstandard(room[1], gzipped(room[0], SPAN(SCRIPT))), &roomy);
    assert_decoded(SCRIPT);
    run(&two, gzipped(room[1], zstandard(room[0], SPAN(SCRIPT))), &roomy);
    assert_int_equal(d.error, DECODE_MALFORMED);
}

static void test_errors(void **state)
{
    static const enum coding codings[] = { CODING_GZIP, CODING_DEFLATE, CODING_BR,
                                           CODING_ZSTD };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        struct span good = codings[i] == CODING_GZIP      ? gzipped(room[0], SPAN(SCRIPT))
                           : codings[i] == CODING_DEFLATE ? deflated(room[0], SPAN(SCRIPT), 15)
                           : codings[i] == CODING_BR      ? SPAN(BROTLI_SCRIPT)
                                                          : zstandard(room[0], SPAN(SCRIPT));
        run_one(codings[i], SPAN(""));
        assert_int_equal(d.error, DECODE_TRUNCATED);
        run_one(codings[i], span_sub(good, 0, good.len - 1));
        assert_int_equal(d.error, DECODE_TRUNCATED);
        run_one(codings[i], joined(room[1], good, SPAN("tail")));
        assert_int_equal(d.error, DECODE_TRAILING);
        run_one(codings[i], SPAN("\xff\xff plain text that no coder has made"));
        assert_int_equal(d.error, DECODE_MALFORMED);
    }
    /* The check at the end of gzip counts. */
    struct span broken = gzipped(room[0], SPAN(SCRIPT));
    room[0][broken.len - 6] ^= 1;
    run_one(CODING_GZIP, broken);
    assert_int_equal(d.error, DECODE_MALFORMED);
    /* A text of its own in both readings of deflate. */
    run_one(CODING_DEFLATE, SPAN("\x78\x01\x00\xfe\xff\x00\x00\x00\xff\xff"));
    assert_int_equal(d.error, DECODE_MALFORMED);
    for (unsigned i = DECODE_OK; i <= DECODE_MEMORY; i++)
        assert_non_null(decode_error_text(i));
}

static void test_bounds(void **state)
{
    struct codings br = { { CODING_BR }, 1 };
    struct span bomb = SPAN(BROTLI_MEGABYTE);
    struct decode_limits limits = { .bytes = MEGABYTE, .ratio = 1000000 };

    (void)state;
    run(&br, bomb, &limits);
    assert_int_equal(d.error, DECODE_OK);
    assert_int_equal(d.output.len, MEGABYTE);
    limits.bytes--;
    run(&br, bomb, &limits);
    assert_int_equal(d.error, DECODE_OVER_BYTES);
    limits = (struct decode_limits){ .bytes = MEGABYTE,
                                     .ratio = (unsigned)(MEGABYTE / bomb.len + 1) };
    run(&br, bomb, &limits);
    assert_int_equal(d.error, DECODE_OK);
    limits.ratio--;
    run(&br, bomb, &limits);
    assert_int_equal(d.error, DECODE_OVER_RATIO);
    /* What is short may have any ratio. */
    static char zeros[DECODE_RATIO_FREE + 1];
    limits = (struct decode_limits){ .bytes = MEGABYTE, .ratio = 1 };
    struct codings gzip = { { CODING_GZIP }, 1 };
    run(&gzip, gzipped(room[0], span_of(zeros, DECODE_RATIO_FREE)), &limits);
    assert_int_equal(d.error, DECODE_OK);
    run(&gzip, gzipped(room[0], span_of(zeros, DECODE_RATIO_FREE + 1)), &limits);
    assert_int_equal(d.error, DECODE_OVER_RATIO);
}

/* What the worker holds is counted, bounded, and given back. */
static void test_held(void **state)
{
    struct codings br = { { CODING_BR }, 1 };
    size_t held = 1000;
    struct decode_limits limits = {
        .bytes = MEGABYTE, .ratio = 1000000, .held = &held, .held_max = 1000 + MEGABYTE
    };

    (void)state;
    decode_begin(&d, &br, SPAN(BROTLI_MEGABYTE), &limits, fresh_arena());
    assert_true(decode_run(&d, SIZE_MAX));
    assert_int_equal(d.error, DECODE_OK);
    assert_int_equal(held, limits.held_max);
    (void)fresh_arena();
    assert_int_equal(held, 1000);
    limits.held_max--;
    decode_begin(&d, &br, SPAN(BROTLI_MEGABYTE), &limits, fresh_arena());
    assert_true(decode_run(&d, SIZE_MAX));
    assert_int_equal(d.error, DECODE_MEMORY);
    (void)fresh_arena();
    assert_int_equal(held, 1000);
}

/* A window that would take more memory than we give. */
static void test_window(void **state)
{
    static char big[MEGABYTE];
    ZSTD_CCtx *coder = ZSTD_createCCtx();

    (void)state;
    assert_non_null(coder);
    for (int log = 23; log <= 24; log++) {
        ZSTD_CCtx_reset(coder, ZSTD_reset_session_and_parameters);
        ZSTD_CCtx_setParameter(coder, ZSTD_c_windowLog, log);
        ZSTD_inBuffer in = { big, sizeof(big), 0 };
        ZSTD_outBuffer out = { room[0], ROOM, 0 };
        /* In pieces, so that the length is not known and the window is told. */
        assert_false(ZSTD_isError(ZSTD_compressStream2(coder, &out, &in, ZSTD_e_flush)));
        assert_int_equal(ZSTD_compressStream2(coder, &out, &in, ZSTD_e_end), 0);
        run_one(CODING_ZSTD, span_of(room[0], out.pos));
        assert_int_equal(d.error, log == 23 ? DECODE_OK : DECODE_MALFORMED);
    }
    ZSTD_freeCCtx(coder);
}

static void test_names(void **state)
{
    static const struct {
        const char *value;
        enum decode_error error;
        struct codings codings;
    } cases[] = {
        { "gzip", DECODE_OK, { { CODING_GZIP }, 1 } },
        { "X-GZIP", DECODE_OK, { { CODING_GZIP }, 1 } },
        { "identity", DECODE_OK, { .count = 0 } },
        { "deflate, identity , br", DECODE_OK, { { CODING_DEFLATE, CODING_BR }, 2 } },
        { "zstd,gzip", DECODE_OK, { { CODING_ZSTD, CODING_GZIP }, 2 } },
        { "gzip, gzip, gzip", DECODE_UNKNOWN, { .count = 0 } },
        { "compress", DECODE_UNKNOWN, { .count = 0 } },
        { "gzip;q=1", DECODE_UNKNOWN, { .count = 0 } },
        { "", DECODE_OK, { .count = 0 } },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena *arena = fresh_arena();
        struct fields fields;
        struct codings codings;
        assert_int_equal(fields_init(&fields, arena, 4), OK);
        assert_int_equal(
            fields_add(&fields, arena, SPAN("Content-Encoding"), span_text(cases[i].value)),
            OK);
        assert_int_equal(codings_of(&codings, &fields), cases[i].error);
        if (cases[i].error != DECODE_OK)
            continue;
        assert_int_equal(codings.count, cases[i].codings.count);
        for (unsigned k = 0; k < codings.count; k++)
            assert_int_equal(codings.items[k], cases[i].codings.items[k]);
    }
}

static void test_memory(void **state)
{
    struct arena none;
    struct codings codings = { { CODING_GZIP }, 1 };

    (void)state;
    arena_init(&none, NULL, 0, NULL, 0);
    for (unsigned c = CODING_GZIP; c <= CODING_ZSTD; c++) {
        codings.items[0] = c;
        decode_begin(&d, &codings, SPAN("xyz"), &roomy, &none);
        assert_true(decode_run(&d, SIZE_MAX));
        assert_int_equal(d.error, DECODE_MEMORY);
    }
    arena_reset(&none);
}

int main(void)
{
    return finish(RUN(TEST(test_each), TEST(test_members), TEST(test_stacked),
                      TEST(test_errors), TEST(test_bounds), TEST(test_held), TEST(test_window),
                      TEST(test_names), TEST(test_memory)));
}
