/*
 * Character sets. What is decoded is UTF-8, and when nothing was lost, encoding it again gives
 * the bytes that came; slices make no difference; no label is read as two. Input: the first
 * byte picks the character set.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/base/text.h"
#include "gateway/http/charset.h"
#include "gateway/http/uri.h"

static const char *point_at(const char *p, uint32_t *point)
{
    static const uint8_t masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint8_t lead = (uint8_t)*p;
    size_t len = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    *point = lead & masks[len];
    for (size_t i = 1; i < len; i++)
        *point = *point << 6 | ((uint8_t)p[i] & 0x3fu);
    return p + len;
}

static void put_unit(struct text *out, uint32_t unit, unsigned size, bool little)
{
    for (unsigned i = 0; i < size; i++)
        text_char(out, (char)(uint8_t)(unit >> 8 * (little ? i : size - 1 - i)));
}

static void check_round_trip(const struct transcode *t, struct span body, struct arena *arena)
{
    struct text out = text_growing(arena, 256);
    const char *p = t->output.p, *end = span_end(t->output);

    while (p < end) {
        uint32_t point;
        p = point_at(p, &point);
        if (t->size == 2 && point >= 0x10000) {
            put_unit(&out, 0xd800 + ((point - 0x10000) >> 10), 2, t->little);
            put_unit(&out, 0xdc00 + ((point - 0x10000) & 0x3ff), 2, t->little);
        } else {
            put_unit(&out, point, t->size, t->little);
        }
    }
    INVARIANT(span_ends(body, text_span(&out)) && body.len - out.len <= t->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span body = span_of((const char *)data + 1, size - 1);
    enum charset charset = CHARSET_UTF16LE + data[0] % 6;
    struct transcode whole, slow;
    struct arena arena;

    fuzz_arena(&arena);
    transcode_begin(&whole, charset, body, &arena);
    INVARIANT(transcode_run(&whole, SIZE_MAX) && whole.err == OK);
    transcode_begin(&slow, charset, body, &arena);
    while (!transcode_run(&slow, 1))
        ;
    INVARIANT(span_equal(whole.output, slow.output) && whole.lossy == slow.lossy);
    INVARIANT(utf8_valid(whole.output));
    if (!whole.lossy)
        check_round_trip(&whole, body, &arena);

    (void)content_sniff(body);
    (void)content_declared(body);
    enum charset declared = charset_of(body);
    char *twice = arena_alloc(&arena, 2 * body.len + 1);
    memcpy(twice, body.p, body.len);
    twice[body.len] = ';';
    memcpy(twice + body.len + 1, body.p, body.len);
    enum charset both = charset_of(span_of(twice, 2 * body.len + 1));
    INVARIANT(declared == CHARSET_NONE ? both <= CHARSET_AMBIGUOUS : both == CHARSET_AMBIGUOUS);
    arena_reset(&arena);
    return 0;
}
