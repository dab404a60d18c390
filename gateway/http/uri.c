/* Request targets: the canonical path, its one encoding, and the query as it came. */
#include "gateway/http/uri.h"

#include "gateway/http/chars.h"
#include "gateway/http/escapes.h"

/* ---- percent-encoding ---- */

/* The byte of the escape at `p`, or -1 when it is none. */
static inline int escape_value(const char *p, const char *end)
{
    if (end - p < 3 || *p != '%')
        return -1;
    int high = hex_value(p[1]), low = hex_value(p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* `out` has room for the text, and is not it: where there is a block to read, there is room for
 * one. */
static size_t decode_into(char *out, struct span text, bool plus, struct escapes_met *met)
{
    const char *p = text.p, *end = span_end(text);
    char *at = out;

    p = escapes_decode(p, end, plus ? '+' : ' ', false, &at, met);
    while (p < end) {
        int value = escape_value(p, end);
        met->broken = met->broken || (value < 0 && *p == '%');
        *at++ = value >= 0 ? (char)value : plus && *p == '+' ? ' ' : *p;
        p += value >= 0 ? 3 : 1;
    }
    return (size_t)(at - out);
}

static size_t decode_path(char *out, struct span path)
{
    struct escapes_met met = { 0 };

    return decode_into(out, path, false, &met);
}

static struct span decode(struct span text, bool plus, struct escapes_met *met,
                          struct arena *arena)
{
    if (text.len == 0)
        return SPAN("");
    if (memchr(text.p, '%', text.len) == NULL &&
        !(plus && memchr(text.p, '+', text.len) != NULL))
        return text;
    char *out = arena_alloc(arena, text.len);
    if (out == NULL)
        return (struct span){ NULL, 0 };
    return span_of(out, decode_into(out, text, plus, met));
}

struct span uri_decode(struct span text, bool plus, struct arena *arena)
{
    struct escapes_met met = { 0 };

    return decode(text, plus, &met, arena);
}

struct span uri_decode_form(struct span text, bool *broken, struct arena *arena)
{
    struct escapes_met met = { .broken = *broken };
    struct span decoded = decode(text, true, &met, arena);

    *broken = met.broken;
    return decoded;
}

/* ---- UTF-8 ---- */

/* Sequences of RFC 3629 section 4: lead bytes, length, and what the second byte may be. */
static const struct {
    uint8_t lead_from, lead_to, len, second_from, second_to;
} sequences[] = {
    { 0xc2, 0xdf, 2, 0x80, 0xbf }, { 0xe0, 0xe0, 3, 0xa0, 0xbf }, { 0xe1, 0xec, 3, 0x80, 0xbf },
    { 0xed, 0xed, 3, 0x80, 0x9f }, { 0xee, 0xef, 3, 0x80, 0xbf }, { 0xf0, 0xf0, 4, 0x90, 0xbf },
    { 0xf1, 0xf3, 4, 0x80, 0xbf }, { 0xf4, 0xf4, 4, 0x80, 0x8f },
};

/* Length of the well-formed sequence at `p`, whose first byte is not ASCII; 0 when it is none.
 */
static size_t utf8_sequence(const uint8_t *p, const uint8_t *end)
{
    for (size_t i = 0; i < ARRAY_LEN(sequences); i++) {
        if (*p < sequences[i].lead_from || *p > sequences[i].lead_to)
            continue;
        size_t len = sequences[i].len;
        if ((size_t)(end - p) < len || p[1] < sequences[i].second_from ||
            p[1] > sequences[i].second_to)
            return 0;
        for (size_t k = 2; k < len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return len;
    }
    return 0;
}

bool utf8_valid(struct span text)
{
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.len;

    while (p < end) {
        size_t len = *p < 0x80 ? 1 : utf8_sequence(p, end);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

/* ---- paths ---- */

/*
 * Writes the one spelling of each byte of `raw` (RFC 3986 section 6.2.2): what may stand raw
 * stands raw, the rest in upper-case escapes. With `preserve`, only unreserved bytes lose their
 * escape. The result is never longer than `raw`, since only escapes become escapes.
 */
static enum http_error spell(struct span raw, bool preserve, char *out, size_t *len)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned plain = preserve ? CHAR_UNRESERVED : CHAR_PATH;
    const char *p = raw.p, *end = span_end(raw);
    size_t n = 0;

    while (p < end) {
        if (*p != '%') {
            if (!char_is(*p, CHAR_PATH))
                return *p == '\\' ? HTTP_TARGET_ENCODING : HTTP_TARGET;
            out[n++] = *p++;
            continue;
        }
        int value = escape_value(p, end);
        if (value < 0x20 || value == 0x7f)
            return HTTP_TARGET_ENCODING;
        if (!preserve && (value == '/' || value == '\\'))
            return HTTP_TARGET_ENCODING;
        if (char_is((char)value, plain)) {
            out[n++] = (char)value;
        } else {
            out[n++] = '%';
            out[n++] = digits[value >> 4];
            out[n++] = digits[value & 15];
        }
        p += 3;
    }
    *len = n;
    return HTTP_OK;
}

/* First `%2F` or `%5C`, or `end`. */
static const char *find_encoded_slash(const char *p, const char *end)
{
    for (; end - p >= 3; p++)
        if (*p == '%' && (memcmp(p + 1, "2F", 2) == 0 || memcmp(p + 1, "5C", 2) == 0))
            return p;
    return end;
}

/* The name of a piece without `;` parameters, as Tomcat and its kin see it. */
static struct span without_parameters(struct span piece)
{
    const char *p = piece.p, *end = span_end(piece);

    while (p < end && *p != ';' && !(end - p >= 3 && memcmp(p, "%3B", 3) == 0))
        p++;
    return span_range(piece.p, p);
}

static bool is_dots(struct span s)
{
    return span_equal(s, SPAN(".")) || span_equal(s, SPAN(".."));
}

/*
 * A segment that is a dot segment, or none at all, to somebody who strips parameters (`..;`,
 * `/;/`) or decodes %2F and %5C first. A plain `.` or `..` is not meant: the caller resolves
 * that.
 */
static bool segment_is_trap(struct span segment)
{
    if (is_dots(segment))
        return false;
    const char *p = segment.p, *end = span_end(segment);

    while (p <= end) {
        const char *stop = find_encoded_slash(p, end);
        struct span piece = span_range(p, stop);
        struct span name = without_parameters(piece);
        if (is_dots(name) || (name.len == 0 && piece.len > 0))
            return true;
        if (stop == end)
            break;
        p = stop + 3;
    }
    return false;
}

/*
 * Resolves dot segments in place (RFC 3986 section 5.2.4), but a climb above the root is
 * refused. Without `preserve` empty segments are merged, since most backends do: else
 * `//private` would walk past a rule for /private.
 */
static enum http_error resolve(char *path, size_t *len, bool preserve)
{
    const char *p = path, *end = path + *len;
    size_t n = 0; /* path[0..n) is resolved and has no slash at its end */

    while (p < end) {
        const char *start = p + 1; /* *p is a slash */
        const char *stop = memchr(start, '/', (size_t)(end - start));
        bool last = stop == NULL;
        if (last)
            stop = end;
        struct span segment = span_range(start, stop);
        p = stop;

        if (segment_is_trap(segment))
            return HTTP_TARGET;
        bool up = span_equal(segment, SPAN(".."));
        if (up) {
            if (n == 0)
                return HTTP_TARGET_ROOT;
            while (path[--n] != '/')
                ;
        }
        bool gone = up || span_equal(segment, SPAN(".")) || (segment.len == 0 && !preserve);
        if (gone && !last)
            continue;
        path[n++] = '/';
        if (!gone) {
            memmove(path + n, segment.p, segment.len);
            n += segment.len;
        }
    }
    *len = n;
    return HTTP_OK;
}

/* The canonical path without parameters. No segment can become a dot segment by that: those are
 * traps. */
static enum http_error strip_parameters(struct uri *uri, struct arena *arena)
{
    const char *p = uri->path.p, *end = span_end(uri->path);

    uri->path_plain = uri->path;
    if (memchr(p, ';', uri->path.len) == NULL && span_find(uri->path, SPAN("%3B")) < 0)
        return HTTP_OK;
    char *out = arena_alloc(arena, uri->path.len);
    size_t n = 0;
    if (out == NULL)
        return HTTP_MEMORY;
    while (p < end) {
        const char *stop = memchr(p + 1, '/', (size_t)(end - p - 1)); /* *p is a slash */
        struct span name = without_parameters(span_range(p, stop != NULL ? stop : end));
        memcpy(out + n, name.p, name.len);
        n += name.len;
        p = stop != NULL ? stop : end;
    }
    uri->path_plain = span_of(out, n);
    return HTTP_OK;
}

/*
 * Where encoded slashes and empty segments are preserved, upstream may still decode and merge
 * them: routes are found by the path as it would be then, or /open//closed and /open/closed%2Fx
 * would walk past a route for /open/closed.
 */
static enum http_error plain_decoded(struct uri *uri, struct arena *arena)
{
    char *out = arena_alloc(arena, uri->path_plain.len);
    size_t len = 0;

    if (out == NULL)
        return HTTP_MEMORY;
    size_t decoded = decode_path(out, uri->path_plain);
    for (size_t i = 0; i < decoded; i++) {
        char c = out[i] == '\\' ? '/' : out[i];
        if (c != '/' || len == 0 || out[len - 1] != '/')
            out[len++] = c;
    }
    uri->path_plain = span_of(out, len);
    return HTTP_OK;
}

static enum http_error path_slow(struct uri *uri, struct span raw, bool preserve,
                                 struct arena *arena)
{
    char *wire = arena_alloc(arena, raw.len);
    char *decoded = arena_alloc(arena, raw.len);
    size_t len = 0;

    if (wire == NULL || decoded == NULL)
        return HTTP_MEMORY;
    enum http_error error = spell(raw, preserve, wire, &len);
    if (error != HTTP_OK)
        return error;
    /* Before dot segments take anything away: what is refused is refused everywhere. */
    if (!utf8_valid(span_of(decoded, decode_path(decoded, span_of(wire, len)))))
        return HTTP_TARGET_ENCODING;
    error = resolve(wire, &len, preserve);
    if (error != HTTP_OK)
        return error;
    uri->path_wire = uri->path = span_of(wire, len);
    if (!preserve && memchr(wire, '%', len) != NULL)
        uri->path = span_of(decoded, decode_path(decoded, uri->path_wire));
    error = strip_parameters(uri, arena);
    return error == HTTP_OK && preserve ? plain_decoded(uri, arena) : error;
}

/*
 * Most paths are canonical as they come: no escape, no `;`, no dot or slash behind a slash.
 * Those are taken as they stand.
 */
static enum http_error path_parse(struct uri *uri, struct span raw, bool preserve,
                                  struct arena *arena)
{
    if (scan_path(raw.p, span_end(raw)) != span_end(raw))
        return path_slow(uri, raw, preserve, arena);
    uri->path = uri->path_wire = uri->path_plain = raw;
    return HTTP_OK;
}

/* ---- targets ---- */

/* Cuts `scheme://authority` off an absolute-form target. */
static enum http_error cut_authority(struct uri *uri, struct span *target)
{
    static const struct {
        struct span prefix, scheme;
    } schemes[] = {
        { SPAN_INIT("http://"), SPAN_INIT("http") },
        { SPAN_INIT("https://"), SPAN_INIT("https") },
    };

    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (!span_starts_nocase(*target, schemes[i].prefix))
            continue;
        const char *start = target->p + schemes[i].prefix.len, *end = span_end(*target);
        const char *p = start;
        while (p < end && *p != '/' && *p != '?' && *p != '#')
            p++;
        if (p == start)
            return HTTP_TARGET;
        uri->scheme = schemes[i].scheme;
        uri->authority = span_range(start, p);
        *target = span_range(p, end);
        return HTTP_OK;
    }
    return HTTP_TARGET;
}

enum http_error uri_parse(struct uri *uri, struct span target, enum method method,
                          bool preserve_encoded, struct arena *arena)
{
    *uri = (struct uri){ 0 };
    if (span_equal(target, SPAN("*"))) {
        uri->path = uri->path_wire = uri->path_plain = target;
        return method == METHOD_OPTIONS ? HTTP_OK : HTTP_TARGET;
    }
    if (target.len == 0)
        return HTTP_TARGET;
    if (*target.p != '/') {
        enum http_error error = cut_authority(uri, &target);
        if (error != HTTP_OK)
            return error;
    }

    /* The query goes first: an escaped question mark is part of the path (CVE-2024-1019). */
    struct span raw = target;
    const char *mark = target.len > 0 ? memchr(target.p, '?', target.len) : NULL;
    if (mark != NULL) {
        raw = span_range(target.p, mark);
        uri->query = span_range(mark + 1, span_end(target));
        uri->has_query = true;
        if (scan_query(mark + 1, span_end(target)) != span_end(target))
            return HTTP_TARGET;
    }
    if (raw.len == 0) { /* RFC 9112 section 3.2.4: `OPTIONS http://host` is about the server */
        bool server = method == METHOD_OPTIONS && !uri->has_query;
        uri->path = uri->path_wire = uri->path_plain = server ? SPAN("*") : SPAN("/");
        return HTTP_OK;
    }
    if (raw.p[0] != '/') /* a fragment right behind the authority */
        return HTTP_TARGET;
    return path_parse(uri, raw, preserve_encoded, arena);
}
