/*
 * Targets and authorities. The path and its encoding are canonical: parsed again they are the
 * same; no dot segment, control byte or invalid UTF-8 is left; and both agree by a decoder of
 * our own.
 */
#include "fuzz/http_fuzz.h"
#include "gateway/http/uri.h"

/* Decodes what the parser calls canonical, where every `%` begins an escape. */
static bool decodes_to(struct span wire, struct span path)
{
    size_t at = 0;

    for (size_t i = 0; i < wire.len; i++, at++) {
        int c = (unsigned char)wire.p[i];
        if (c == '%') {
            INVARIANT(i + 2 < wire.len);
            c = hex_value(wire.p[i + 1]) * 16 + hex_value(wire.p[i + 2]);
            i += 2;
        }
        if (at == path.len || (unsigned char)path.p[at] != c)
            return false;
    }
    return at == path.len;
}

static void check_path(const struct uri *uri, bool preserve)
{
    struct span path = uri->path, wire = uri->path_wire, rest = wire, segment;

    if (span_equal(path, SPAN("*")))
        return;
    INVARIANT(path.len > 0 && path.p[0] == '/' && wire.p[0] == '/');
    INVARIANT(preserve ? span_equal(path, wire) : decodes_to(wire, path));
    INVARIANT(utf8_valid(path));
    for (size_t i = 0; i < path.len; i++)
        INVARIANT((unsigned char)path.p[i] >= 0x20 && path.p[i] != 0x7f && path.p[i] != '\\');
    for (size_t i = 0; i < wire.len; i++)
        INVARIANT(wire.p[i] > ' ' && wire.p[i] < 0x7f && wire.p[i] != '?' && wire.p[i] != '#');
    while (span_cut(&rest, '/', &segment)) {
        INVARIANT(!span_equal(segment, SPAN(".")) && !span_equal(segment, SPAN("..")));
        INVARIANT(!span_starts(segment, SPAN("..;")) && !span_starts(segment, SPAN(".;")));
        INVARIANT(!span_starts(segment, SPAN(";")));
    }
    INVARIANT(preserve || span_find(wire, SPAN("//")) < 0);
}

static void check_uri(struct span target, bool preserve, enum method method,
                      struct arena *arena)
{
    struct uri uri, again;

    if (uri_parse(&uri, target, method, preserve, arena) != HTTP_OK)
        return;
    INVARIANT(span_within(uri.query, target) && span_within(uri.authority, target));
    INVARIANT(uri.has_query || uri.query.len == 0);
    check_path(&uri, preserve);
    INVARIANT(uri_parse(&again, uri.path_wire, method, preserve, arena) == HTTP_OK);
    INVARIANT(span_equal(again.path, uri.path) && span_equal(again.path_wire, uri.path_wire));
    INVARIANT(span_equal(again.path_plain, uri.path_plain));
    INVARIANT(uri.path_plain.len > 0 && span_index(uri.path_plain, ';') < 0);
    INVARIANT(!again.has_query);
    /* What is refused without it may pass with it, and never the other way round. */
    if (!preserve)
        INVARIANT(uri_parse(&again, uri.path_wire, method, true, arena) == HTTP_OK);
}

static void check_authority(struct span text, struct arena *arena)
{
    struct span host, again;
    uint16_t port, none;

    if (authority_parse(text, arena, &host, &port) != HTTP_OK)
        return;
    INVARIANT(host.len > 0);
    for (size_t i = 0; i < host.len; i++)
        INVARIANT(host.p[i] == ascii_lower(host.p[i]) && host.p[i] > ' ');
    INVARIANT(authority_parse(host, arena, &again, &none) == HTTP_OK);
    INVARIANT(none == 0 && span_equal(again, host));
}

static bool is_escaped_well(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '%' &&
            (text.len - i < 3 || hex_value(text.p[i + 1]) < 0 || hex_value(text.p[i + 2]) < 0))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    enum method method = data[0] & 2 ? METHOD_OPTIONS : METHOD_GET;
    struct arena arena;

    fuzz_arena(&arena);
    check_uri(text, data[0] & 1, method, &arena);
    check_authority(text, &arena);
    struct span decoded = uri_decode(text, data[0] & 4, &arena);
    INVARIANT(decoded.p != NULL && decoded.len <= text.len);
    bool broken = false;
    struct span pair = uri_decode_form(text, &broken, &arena);
    INVARIANT(span_equal(pair, uri_decode(text, true, &arena)));
    INVARIANT(broken == !is_escaped_well(text));
    arena_reset(&arena);
    return 0;
}
