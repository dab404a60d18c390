/* Redirects and Cache-Control: see fetch_url.h. */
#include "gateway/upstream/fetch_url.h"

#include "conf/network.h"
#include "gateway/base/text.h"

const char *fetch_url(struct span text, struct arena *arena, struct url *url)
{
    if (text.len > FETCH_URL_BYTES_MAX)
        return "it is longer than 2048 bytes";
    /* To some readers a backslash is a slash, and what stands before it another host. */
    if (span_index(text, '\\') >= 0)
        return "it has a backslash";
    struct span own = arena_copy(arena, text);
    if (own.p == NULL)
        return "out of memory";
    const char *why = url_read(own, url);
    if (why != NULL)
        return why;
    struct text host = text_growing(arena, url->host.len + 1);
    text_lower(&host, url->host);
    if (host.overflow)
        return "out of memory";
    url->host = text_span(&host);
    return NULL;
}

/* "https://host:port" of `base`, IPv6 in its brackets. */
static void add_origin(struct text *out, const struct url *base)
{
    bool brackets = span_index(base->host, ':') >= 0;

    text_add(out, base->scheme);
    text_lit(out, "://");
    if (brackets)
        text_char(out, '[');
    text_add(out, base->host);
    if (brackets)
        text_char(out, ']');
    text_char(out, ':');
    text_uint(out, base->port);
}

const char *fetch_url_join(const struct url *base, struct span location, struct arena *arena,
                           struct url *url)
{
    ssize_t fragment = span_index(location, '#');
    struct span target = span_sub(location, 0, fragment >= 0 ? (size_t)fragment : location.len);
    struct text out = text_growing(arena, base->host.len + target.len + 32);

    if (span_starts(target, SPAN("//"))) {
        text_add(&out, base->scheme);
        text_char(&out, ':');
    } else if (span_starts(target, SPAN("/"))) {
        add_origin(&out, base);
    }
    text_add(&out, target);
    if (out.overflow)
        return "out of memory";
    const char *why = fetch_url(text_span(&out), arena, url);
    if (why == NULL && span_equal(base->scheme, SPAN("https")) &&
        !span_equal(url->scheme, SPAN("https")))
        return "it leads from https to http";
    return why;
}

static bool read_age(struct span member, uint64_t *age)
{
    struct span name, value = member;

    if (!span_cut(&value, '=', &name) || !span_equal_nocase(span_trim(name), SPAN("max-age")))
        return false;
    value = span_trim(value);
    if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
        value = span_sub(value, 1, value.len - 2); /* RFC 9111 section 5.2 lets it be quoted */
    return span_uint(value, age);
}

uint64_t fetch_max_age(const struct fields *fields, uint64_t otherwise)
{
    struct list_walk walk = list_walk(fields, FIELD_CACHE_CONTROL);
    uint64_t age = otherwise, said;
    bool found = false;
    struct span member;

    while (list_next(&walk, &member)) {
        if (span_equal_nocase(member, SPAN("no-store")) ||
            span_equal_nocase(member, SPAN("no-cache")))
            return 0;
        if (!read_age(member, &said))
            continue;
        /* Said twice: the shorter one. */
        age = found && age < said ? age : said;
        found = true;
    }
    return age;
}
