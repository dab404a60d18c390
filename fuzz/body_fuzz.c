/*
 * Request bodies. Slices make no difference; limits hold; what no processor could show stands
 * there raw; nothing that is refused for its coding is read. Input: a byte for the processor
 * and the coding, a line that is Content-Type, the body.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/body.h"

static const struct body_limits limits = {
    .values = 16,
    .decode = { .bytes = 64 * 1024, .ratio = 50 },
    .multipart = { .parts = 8, .files = 4, .headers = 8, .header_bytes = 512 },
    .json = { .depth = 8, .values = 32, .name_bytes = 128, .seed = { 3, 4 } },
    .xml = { .depth = 8, .attributes = 16, .text_bytes = 1024 },
};

static void check(const struct body *body)
{
    bool raw = false;

    INVARIANT(body->count <= 1000);
    INVARIANT((body->error != NULL) == ((body->findings & BODY_FOUND_UNPARSED) != 0));
    INVARIANT((body->error != NULL) == (body->error_prefix != NULL));
    for (unsigned i = 0; i < body->count; i++) {
        raw |= body->values[i].where == WHERE_RAW;
        if (body->values[i].where == WHERE_RAW)
            INVARIANT(span_equal(body->values[i].value, body->text));
    }
    unsigned unshown = BODY_FOUND_UNPARSED | BODY_FOUND_CODING | BODY_FOUND_CODED |
                       BODY_FOUND_BOMB | BODY_FOUND_VALUES;
    if (body->automatic && (body->findings & unshown) != 0)
        INVARIANT(raw);
    if (!body->automatic)
        INVARIANT(!raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct span codings[] = { SPAN_INIT(""), SPAN_INIT("gzip"),
                                           SPAN_INIT("deflate"), SPAN_INIT("br, gzip"),
                                           SPAN_INIT("zstd") };
    if (size == 0)
        return 0;
    struct span held = span_of((const char *)data + 1, size - 1), type;
    enum body_processor processor = data[0] % (PROCESSOR_XML + 1);
    struct span coding = codings[data[0] / 8 % ARRAY_LEN(codings)];
    struct fields fields;
    struct arena arena;

    fuzz_arena(&arena);
    INVARIANT(fields_init(&fields, &arena, 4) == OK);
    if (!span_cut(&held, '\n', &type) || held.p == NULL ||
        fields_add(&fields, &arena, SPAN("Content-Type"), type) != OK ||
        fields_add(&fields, &arena, SPAN("Content-Encoding"), coding) != OK) {
        arena_reset(&arena);
        return 0;
    }
    struct body *whole = body_open(&fields, held, processor, &limits, &arena);
    struct body *slow = body_open(&fields, held, processor, &limits, &arena);
    INVARIANT(whole != NULL && slow != NULL);
    INVARIANT(body_run(whole, SIZE_MAX));
    while (!body_run(slow, 1 + data[0] % 7))
        ;
    if (whole->err == OK && slow->err == OK) {
        check(whole);
        INVARIANT(whole->findings == slow->findings && whole->count == slow->count);
        INVARIANT(whole->processor == slow->processor && whole->error == slow->error);
        for (unsigned i = 0; i < whole->count; i++) {
            INVARIANT(span_equal(whole->values[i].name, slow->values[i].name));
            INVARIANT(span_equal(whole->values[i].value, slow->values[i].value));
            INVARIANT(whole->values[i].where == slow->values[i].where);
        }
    }
    arena_reset(&arena);
    return 0;
}
