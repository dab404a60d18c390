/*
 * XML bodies. Values are UTF-8 and within the limits; what is told does not depend on slices;
 * no text with a document type declaration passes. Input: the first byte picks the limits.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/base/text.h"
#include "gateway/http/uri.h"
#include "gateway/http/xmlscan.h"

struct told {
    struct text text;
    size_t bytes;
    unsigned texts, others;
};

static bool tell(void *ctx, struct span name, struct span value, enum xmlscan_kind kind)
{
    struct told *told = ctx;

    INVARIANT(utf8_valid(name) && utf8_valid(value));
    told->bytes += name.len + value.len;
    if (kind == XMLSCAN_TEXT)
        told->texts++;
    else
        told->others++;
    text_char(&told->text, (char)('0' + kind));
    text_add(&told->text, name);
    text_char(&told->text, '=');
    text_add(&told->text, value);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span xml = span_of((const char *)data + 1, size - 1);
    struct xmlscan_limits limits = { .depth = 1 + data[0] % 16,
                                     .attributes = data[0] % 32,
                                     .text_bytes = 16 * (size_t)data[0] };
    struct told whole = { .bytes = 0 }, slow = { .bytes = 0 };
    struct xmlscan scan, sliced;
    struct arena arena;

    fuzz_arena(&arena);
    whole.text = text_growing(&arena, 256);
    slow.text = text_growing(&arena, 256);
    xmlscan_begin(&scan, xml, &limits, &arena, tell, &whole);
    INVARIANT(xmlscan_run(&scan, SIZE_MAX));
    xmlscan_begin(&sliced, xml, &limits, &arena, tell, &slow);
    while (!xmlscan_run(&sliced, 1))
        ;
    INVARIANT(scan.err == OK && sliced.err == OK && scan.findings == sliced.findings);
    INVARIANT(span_equal(text_span(&whole.text), text_span(&slow.text)));
    INVARIANT(whole.bytes <= limits.text_bytes && whole.others <= limits.attributes);
    INVARIANT(whole.texts == 1);
    /* UTF-8 without a comment before it: there is no other way to begin with one. */
    if (span_starts(xml, SPAN("<!DOCTYPE a")))
        INVARIANT(scan.findings != 0);
    arena_reset(&arena);
    return 0;
}
