/* Encoders: what goes in comes out of our decoders, flushed or not, in no more memory than they
 * say. */
#include "gateway/http/encode.h"

#include <malloc.h>

#include "tests/unit/http/http.h"

enum { BODY = 300 * 1000, OUT = 400 * 1000, WINDOWED = 4 << 20 };

static const enum coding all[] = { CODING_GZIP, CODING_BR, CODING_ZSTD };
static char body[BODY], out[OUT];
static size_t out_len;

/* Half text and half noise. */
static void make_body(void)
{
    uint64_t x = 1;

    for (size_t i = 0; i < BODY; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        body[i] = i / 1000 % 2 == 0 ? "the quick brown fox "[i % 20] : (char)(x >> 56);
    }
}

static void put(struct encoder *encoder, struct span bytes, enum encode_op op, size_t room)
{
    enum encode_result result = ENCODE_ROOM;

    while (result == ENCODE_ROOM) {
        size_t made = 0, left = OUT - out_len;
        assert_true(left > 0);
        result = encoder_run(encoder, &bytes, op,
                             span_of(out + out_len, room < left ? room : left), &made);
        out_len += made;
    }
    assert_int_equal(result, ENCODE_DONE);
    assert_int_equal(bytes.len, 0);
}

static void assert_decodes(enum coding coding, struct span expected, bool whole)
{
    struct codings codings = { { coding }, 1 };
    struct decode_limits limits = { .bytes = BODY + 1, .ratio = 1000000 };
    struct decode d;

    decode_begin(&d, &codings, span_of(out, out_len), &limits, fresh_arena());
    assert_true(decode_run(&d, SIZE_MAX));
    assert_int_equal(d.error, whole ? DECODE_OK : DECODE_TRUNCATED);
    if (whole)
        assert_span(d.output, expected);
    else
        assert_int_equal(d.len, expected.len); /* all of it can be read */
}

static void what_goes_in_comes_out(void **state)
{
    static const size_t lengths[] = { 0, 1, 1000, BODY },
                        rooms[] = { ENCODE_ROOM_LEAST, 100, OUT };

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(all); c++) {
        for (size_t i = 0; i < ARRAY_LEN(lengths) * ARRAY_LEN(rooms); i++) {
            size_t len = lengths[i % ARRAY_LEN(lengths)];
            struct encoder encoder;
            assert_true(encoder_open(&encoder, all[c], NULL));
            out_len = 0;
            for (size_t at = 0; at < len; at += 7000)
                put(&encoder, span_sub(span_of(body, len), at, 7000), ENCODE_MORE,
                    rooms[i / ARRAY_LEN(lengths)]);
            put(&encoder, span_of(NULL, 0), ENCODE_END, rooms[i / ARRAY_LEN(lengths)]);
            encoder_close(&encoder);
            assert_decodes(all[c], span_of(body, len), true);
            assert_true(len < BODY || out_len < len * 3 / 4);
        }
    }
}

static void what_is_flushed_can_be_read(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(all); c++) {
        struct encoder encoder;
        assert_true(encoder_open(&encoder, all[c], NULL));
        out_len = 0;
        for (size_t len = 10; len <= 1000; len += 10) {
            put(&encoder, span_of(body + len - 10, 10), ENCODE_MORE, 64);
            put(&encoder, span_of(NULL, 0), ENCODE_FLUSH, ENCODE_ROOM_LEAST);
            assert_decodes(all[c], span_of(body, len), false);
        }
        put(&encoder, span_of(NULL, 0), ENCODE_END, 64);
        assert_decodes(all[c], span_of(body, 1000), true);
        encoder_close(&encoder);
        encoder_close(&encoder);
    }
}

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

static size_t allocated(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#endif
}

/* Nothing is kept beyond the window, however much goes through. */
static void memory_is_what_is_said(void **state)
{
    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(all); c++) {
        struct encoder encoder;
        size_t most = 0, before = allocated();
        assert_true(encoder_open(&encoder, all[c], NULL));
        for (size_t at = 0; at < WINDOWED; at += BODY) {
            out_len = 0;
            put(&encoder, span_of(body, BODY), ENCODE_MORE, OUT);
            size_t now = allocated() - before;
            most = now > most ? now : most;
        }
        encoder_close(&encoder);
        assert_true(most > 100 * 1024);
        if (most > encoder_bytes(all[c]))
            fail_msg("coding %d: %zu bytes", (int)all[c], most);
    }
}

static void others_are_not_made(void **state)
{
    struct encoder encoder;

    (void)state;
    assert_false(encoder_open(&encoder, CODING_IDENTITY, NULL));
    assert_false(encoder_open(&encoder, CODING_DEFLATE, NULL));
    assert_int_equal(encoder_bytes(CODING_IDENTITY), 0);
    encoder_close(&encoder);
}

/* ---- those that are kept ---- */

static size_t coded(enum coding coding, struct encoder_pool *pool, char *to)
{
    struct encoder encoder;

    assert_true(encoder_open(&encoder, coding, pool));
    out_len = 0;
    put(&encoder, span_of(body, BODY), ENCODE_END, OUT);
    encoder_close(&encoder);
    memcpy(to, out, out_len);
    return out_len;
}

static void kept_ones_code_as_new_ones_do(void **state)
{
    static char fresh[OUT], again[OUT];

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(all); c++) {
        struct encoder_pool pool = { .bytes_max = (size_t)64 << 20 };
        size_t len = coded(all[c], NULL, fresh);
        assert_int_equal(coded(all[c], &pool, again), len);
        assert_int_equal(pool.bytes, encoder_bytes(all[c]));
        void *kept = pool.kinds[all[c]].states[0];
        struct encoder half; /* one that ends in the middle */
        assert_true(encoder_open(&half, all[c], &pool));
        assert_ptr_equal(half.state, kept);
        assert_int_equal(pool.bytes, 0);
        out_len = 0;
        put(&half, span_of(body, BODY / 2), ENCODE_MORE, OUT);
        encoder_close(&half);
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(coded(all[c], &pool, again), len);
            assert_memory_equal(again, fresh, len);
            assert_int_equal(pool.kinds[all[c]].count, 1);
        }
        encoder_pool_close(&pool);
        assert_int_equal(pool.bytes, 0);
    }
}

static void the_pool_has_bounds(void **state)
{
    struct encoder_pool pool = { .bytes_max = 3 * encoder_bytes(CODING_GZIP) };
    struct encoder many[ENCODERS_KEPT + 2];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_true(encoder_open(&many[i], CODING_GZIP, &pool));
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        encoder_close(&many[i]);
    assert_int_equal(pool.kinds[CODING_GZIP].count, 3); /* bytes */
    assert_true(encoder_open(&many[0], CODING_BR, &pool));
    encoder_close(&many[0]);
    assert_int_equal(pool.kinds[CODING_BR].count, 0);

    pool.bytes_max = (size_t)64 << 20;
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        assert_true(encoder_open(&many[i], CODING_GZIP, &pool));
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        encoder_close(&many[i]);
    assert_int_equal(pool.kinds[CODING_GZIP].count, ENCODERS_KEPT); /* number */

    encoder_pool_trim(&pool); /* all were used since the last time */
    assert_int_equal(pool.kinds[CODING_GZIP].count, ENCODERS_KEPT);
    assert_true(encoder_open(&many[0], CODING_GZIP, &pool));
    encoder_close(&many[0]);
    encoder_pool_trim(&pool); /* one was */
    assert_int_equal(pool.kinds[CODING_GZIP].count, 1);
    encoder_pool_trim(&pool);
    assert_int_equal(pool.kinds[CODING_GZIP].count, 0);
    encoder_pool_close(&pool);
}

int main(void)
{
    make_body();
    return finish(RUN(TEST(what_goes_in_comes_out), TEST(what_is_flushed_can_be_read),
                      TEST(memory_is_what_is_said), TEST(others_are_not_made),
                      TEST(kept_ones_code_as_new_ones_do), TEST(the_pool_has_bounds)));
}
