/*
 * Multipart bodies. Every span lies in the body, in Content-Type or in the arena; the limits
 * hold; slices make no difference; a body without any finding says the same when its parts are
 * written again. Input: a line that is Content-Type (empty: a usual one), then the body; the
 * first byte picks the limits and the slices.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/multipart.h"

static void check_same(const struct multipart *a, const struct multipart *b)
{
    INVARIANT(a->findings == b->findings && a->count == b->count && a->error == b->error);
    INVARIANT(a->files == b->files && a->complete == b->complete);
    for (unsigned i = 0; i < a->count; i++) {
        const struct multipart_part *x = &a->parts[i], *y = &b->parts[i];
        INVARIANT(span_equal(x->name, y->name) && span_equal(x->filename, y->filename));
        INVARIANT(span_equal(x->content, y->content) && span_equal(x->decoded, y->decoded));
        INVARIANT(span_equal(x->type, y->type) && span_equal(x->extended, y->extended));
        INVARIANT(x->named == y->named && x->file == y->file);
        INVARIANT(x->header_count == y->header_count);
        for (unsigned k = 0; k < x->header_count; k++)
            INVARIANT(span_equal(x->headers[k].line, y->headers[k].line));
    }
}

static void check_bounds(const struct multipart *m, struct span body)
{
    const char *last = body.p;

    INVARIANT(m->count <= m->limits.parts);
    for (unsigned i = 0; i < m->count; i++) {
        const struct multipart_part *part = &m->parts[i];
        INVARIANT(span_within(part->content, body));
        INVARIANT(part->content.p >= last);
        last = span_end(part->content);
        INVARIANT(part->decoded.len <= part->content.len);
        INVARIANT(part->header_count <= m->limits.headers);
        INVARIANT(part->named || part->name.len == 0);
        INVARIANT(part->named || (m->findings & MULTIPART_INVALID_PART) != 0);
    }
    INVARIANT((m->error != NULL) == ((m->findings & MULTIPART_PROCESSOR) != 0));
    INVARIANT(m->complete || m->error != NULL || body.len == 0);
}

static void write_quoted(struct text *out, struct span value)
{
    text_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            text_char(out, '\\');
        text_char(out, value.p[i]);
    }
    text_char(out, '"');
}

/* What one reading has, written in the one plain form, has the same reading. */
static void check_written(const struct multipart *m, struct span type, struct arena *arena)
{
    struct text out = text_growing(arena, 256);
    struct multipart again;

    for (unsigned i = 0; i < m->count; i++) {
        const struct multipart_part *part = &m->parts[i];
        text_lit(&out, "--");
        text_add(&out, m->boundary);
        text_lit(&out, "\r\nContent-Disposition: form-data; name=");
        write_quoted(&out, part->name);
        if (part->file) {
            text_lit(&out, "; filename=");
            write_quoted(&out, part->filename);
        }
        text_lit(&out, "\r\n\r\n");
        text_add(&out, part->content);
        text_lit(&out, "\r\n");
    }
    text_lit(&out, "--");
    text_add(&out, m->boundary);
    text_lit(&out, "--\r\n");
    struct multipart_limits limits = m->limits;
    limits.headers = 1;
    limits.header_bytes = UINT32_MAX;
    multipart_begin(&again, type, text_span(&out), &limits, arena);
    INVARIANT(multipart_run(&again, SIZE_MAX));
    if (out.overflow || again.err != OK)
        return;
    INVARIANT((again.findings & ~(unsigned)MULTIPART_CRLF_LINE) == 0);
    INVARIANT(again.count == m->count && again.files == m->files);
    for (unsigned i = 0; i < m->count; i++) {
        INVARIANT(span_equal(again.parts[i].name, m->parts[i].name));
        INVARIANT(span_equal(again.parts[i].filename, m->parts[i].filename));
        INVARIANT(span_equal(again.parts[i].content, m->parts[i].content));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span body = span_of((const char *)data + 1, size - 1), type;
    struct multipart_limits limits = { .parts = 2 + data[0] % 16,
                                       .files = data[0] % 4,
                                       .headers = 1 + data[0] % 8,
                                       .header_bytes = 64 + 8 * (unsigned)data[0] };
    size_t slice = 1 + data[0] % 32;
    struct multipart whole, slow;
    struct arena arena;

    if (!span_cut(&body, '\n', &type) || body.p == NULL)
        return 0;
    if (type.len == 0)
        type = SPAN("multipart/form-data; boundary=b");
    fuzz_arena(&arena);
    multipart_begin(&whole, type, body, &limits, &arena);
    INVARIANT(multipart_run(&whole, SIZE_MAX));
    multipart_begin(&slow, type, body, &limits, &arena);
    while (!multipart_run(&slow, slice))
        ;
    if (whole.err == OK && slow.err == OK) {
        check_same(&whole, &slow);
        check_bounds(&whole, body);
        if ((whole.findings & ~(unsigned)MULTIPART_CRLF_LINE) == 0)
            check_written(&whole, type, &arena);
    }
    arena_reset(&arena);
    return 0;
}
