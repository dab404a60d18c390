/* Host and authority (RFC 9110 section 7.2, RFC 3986 section 3.2), narrower than the grammar.
 */
#include "gateway/http/chars.h"
#include "gateway/http/uri.h"

enum { HOST_BYTES_MAX = 255, IPV6_TEXT_MAX = 48 };

static bool parse_port(struct span text, uint16_t *port)
{
    uint64_t value;

    if (text.len == 0 || text.len > 5 || text.p[0] == '0')
        return false;
    if (!span_uint(text, &value) || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

/*
 * `[...]` in its one spelling (RFC 5952). A mapped IPv4 address is refused here: it would be a
 * second spelling of a host.
 */
static enum http_error ipv6_host(struct span inner, struct arena *arena, struct span *host)
{
    struct addr addr;

    if (!addr_parse(inner, &addr) || addr.family != ADDR_V6)
        return HTTP_HOST;
    struct text out = text_growing(arena, IPV6_TEXT_MAX);
    text_char(&out, '[');
    addr_write(&out, &addr);
    text_char(&out, ']');
    if (out.overflow)
        return HTTP_MEMORY;
    *host = text_span(&out);
    return HTTP_OK;
}

/* A name without empty labels; lower case; one trailing dot goes. Copied only if it changes. */
static enum http_error name_host(struct span name, struct arena *arena, struct span *host)
{
    bool upper = false;
    char before = '.';

    if (name.len > 1 && name.p[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > HOST_BYTES_MAX)
        return HTTP_HOST;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!char_is(c, CHAR_HOST) || (c == '.' && before == '.'))
            return HTTP_HOST;
        upper |= c >= 'A' && c <= 'Z';
        before = c;
    }
    if (before == '.')
        return HTTP_HOST;
    *host = name;
    if (!upper)
        return HTTP_OK;
    char *copy = arena_alloc(arena, name.len);
    if (copy == NULL)
        return HTTP_MEMORY;
    for (size_t i = 0; i < name.len; i++)
        copy[i] = ascii_lower(name.p[i]);
    *host = span_of(copy, name.len);
    return HTTP_OK;
}

enum http_error authority_parse(struct span text, struct arena *arena, struct span *host,
                                uint16_t *port)
{
    const char *end = span_end(text), *stop;
    bool bracket = text.len > 0 && text.p[0] == '[';

    *port = 0;
    *host = (struct span){ NULL, 0 };
    if (text.len == 0)
        return HTTP_HOST;
    stop = memchr(text.p, bracket ? ']' : ':', text.len);
    if (bracket) {
        if (stop == NULL)
            return HTTP_HOST;
        stop++;
    } else if (stop == NULL) {
        stop = end;
    }
    if (stop < end && (*stop != ':' || !parse_port(span_range(stop + 1, end), port)))
        return HTTP_HOST;
    if (bracket)
        return ipv6_host(span_range(text.p + 1, stop - 1), arena, host);
    return name_host(span_range(text.p, stop), arena, host);
}
