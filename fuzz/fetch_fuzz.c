/*
 * What a redirect says, and Cache-Control. The first line is the URL that was asked, the rest a
 * Location and, behind a NUL, a Cache-Control value. A URL that is taken stays the same when it
 * is written and read again; no redirect leaves https, changes the scheme to another than http
 * and https, or names a host with a byte that no host has.
 */
#include "gateway/base/text.h"
#include "gateway/upstream/fetch_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_url(struct text *out, const struct url *url)
{
    bool brackets = span_index(url->host, ':') >= 0;

    text_add(out, url->scheme);
    text_lit(out, "://");
    text_add(out, brackets ? SPAN("[") : SPAN(""));
    text_add(out, url->host);
    text_add(out, brackets ? SPAN("]") : SPAN(""));
    text_char(out, ':');
    text_uint(out, url->port);
    text_add(out, url->path);
}

static void check_url(const struct url *url, struct arena *arena)
{
    bool brackets = span_index(url->host, ':') >= 0;

    INVARIANT(span_equal(url->scheme, SPAN("http")) || span_equal(url->scheme, SPAN("https")));
    INVARIANT(url->port != 0 && url->host.len > 0);
    INVARIANT(url->path.len == 0 || url->path.p[0] == '/');
    for (size_t i = 0; i < url->host.len; i++) {
        char c = url->host.p[i];
        INVARIANT((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                  c == '_' || (brackets && c == ':'));
    }
    for (size_t i = 0; i < url->path.len; i++)
        INVARIANT(url->path.p[i] > 0x20 && url->path.p[i] < 0x7f && url->path.p[i] != '\\' &&
                  url->path.p[i] != '#');

    struct text written = text_growing(arena, 256);
    struct url again;
    write_url(&written, url);
    /* The port may have made it longer than is taken. */
    if (written.len > FETCH_URL_BYTES_MAX)
        return;
    INVARIANT(fetch_url(text_span(&written), arena, &again) == NULL);
    INVARIANT(span_equal(again.host, url->host) && again.port == url->port &&
              span_equal(again.path, url->path) && span_equal(again.scheme, url->scheme));
}

static void check_age(struct span value, struct arena *arena)
{
    struct fields fields;

    if (fields_init(&fields, arena, 2) == OK &&
        fields_add(&fields, arena, SPAN("Cache-Control"), value) == OK)
        INVARIANT(fetch_max_age(&fields, 5) == 5 || value.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of((const char *)data, size), first, location;
    struct arena arena;
    struct url base, next;

    if (size == 0 || size > 8192)
        return 0;
    arena_init(&arena, NULL, 0, NULL, 1 << 20);
    (void)span_cut(&rest, '\n', &first);
    if (rest.p != NULL && fetch_url(first, &arena, &base) == NULL) {
        check_url(&base, &arena);
        (void)span_cut(&rest, '\0', &location);
        if (fetch_url_join(&base, location, &arena, &next) == NULL) {
            check_url(&next, &arena);
            INVARIANT(!span_equal(base.scheme, SPAN("https")) ||
                      span_equal(next.scheme, SPAN("https")));
        }
        if (rest.p != NULL)
            check_age(rest, &arena);
    }
    arena_reset(&arena);
    return 0;
}
