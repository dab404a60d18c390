/*
 * URLs of servers, and addresses with prefixes, as values of options.
 */
#include "conf/network.h"
#include "conf/scalar.h"
#include "conf/source.h"

struct scheme {
    struct span name, prefix;
    uint16_t port;
};

static const struct scheme schemes[] = {
    { SPAN_INIT("http"), SPAN_INIT("http://"), 80 },
    { SPAN_INIT("https"), SPAN_INIT("https://"), 443 },
};

/* Names that servers are found by; only where a server is meant. */
static const struct scheme found_schemes[] = {
    { SPAN_INIT("dns"), SPAN_INIT("dns://"), 80 },
    { SPAN_INIT("dns+https"), SPAN_INIT("dns+https://"), 443 },
    { SPAN_INIT("srv"), SPAN_INIT("srv://"), 0 },
    { SPAN_INIT("srv+https"), SPAN_INIT("srv+https://"), 0 },
};

static bool host_acceptable(struct span host)
{
    struct addr addr;
    bool numeric = host.len > 0, good = host.len > 0 && host.len <= 253;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.p[i];
        bool digit = c >= '0' && c <= '9';
        bool letter = ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
        good = good && (digit || letter || c == '.' || c == '-' || c == '_');
        numeric = numeric && (digit || c == '.');
    }
    /* 127.1 and 2130706433 are addresses to some resolvers and names to others. */
    return good && (!numeric || addr_parse(host, &addr));
}

/* "host", "host:port" or "[address]:port"; answers why not. */
static const char *parse_authority(struct span authority, struct url *url)
{
    struct span host = authority, port = { NULL, 0 };
    struct addr addr;

    if (span_index(authority, '@') >= 0)
        return "a user name or password cannot stand in a URL";
    if (span_starts(authority, SPAN("["))) {
        ssize_t close = span_index(authority, ']');
        if (close < 0)
            return "the bracket of its address is not closed";
        host = span_sub(authority, 1, (size_t)close - 1);
        struct span rest = span_sub(authority, (size_t)close + 1, authority.len);
        if (!addr_parse(host, &addr) || span_index(host, ':') < 0)
            return "the brackets do not hold an IPv6 address";
        if (rest.len > 0 && rest.p[0] != ':')
            return "only a port can follow the address";
        if (rest.len > 0)
            port = span_sub(rest, 1, rest.len);
    } else {
        port = authority;
        (void)span_cut(&port, ':', &host);
        if (!host_acceptable(host))
            return "it has no valid host";
    }
    uint64_t number = url->port;
    if (port.p != NULL && (!span_uint(port, &number) || number == 0 || number > UINT16_MAX))
        return "its port is not between 1 and 65535";
    url->port = (uint16_t)number;
    url->host = host;
    return NULL;
}

static bool visible_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] <= 0x20 || s.p[i] > 0x7e)
            return false;
    }
    return true;
}

static const char *parse_http(struct span text, const struct scheme *scheme, struct url *url)
{
    url->text = text;
    struct span rest = span_sub(text, scheme->prefix.len, text.len);
    size_t end = 0;
    if (!visible_ascii(text))
        return "it has a space or a character that must be percent-encoded";
    if (span_index(text, '#') >= 0)
        return "a fragment (#) has no meaning here";
    while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    url->scheme = scheme->name;
    url->port = scheme->port;
    url->path = span_sub(rest, end, rest.len);
    if (url->path.len > 0 && url->path.p[0] == '?')
        return "its path must begin with /";
    if (url->path.len == 0)
        url->path = SPAN("");
    return parse_authority(span_sub(rest, 0, end), url);
}

const char *url_read(struct span text, struct url *url)
{
    *url = (struct url){ .port = 0 };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
        if (span_starts(text, schemes[i].prefix))
            return parse_http(text, &schemes[i], url);
    return "it begins with neither http:// nor https://";
}

static bool parse_unix(const struct given *given, struct url *url)
{
    struct span written = span_sub(given->node->text, 5, given->node->text.len);
    struct text text = text_growing(given->schema->arena, 128);
    if (written.len == 0)
        return refuse_value(given, DIAG_VALUE, SPAN("for example unix:/run/app.sock"),
                            "%s names no socket", given->row->name);
    const char *path = source_path(given->node->place.source, written, given->schema->arena);
    text_lit(&text, "unix:");
    text_add(&text, span_text(path));
    if (path == NULL || text.overflow)
        return refuse_memory(given);
    url->scheme = SPAN("unix");
    url->path = span_text(path);
    url->text = text_span(&text);
    return true;
}

static const struct scheme *scheme_of(struct span text)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (span_starts(text, schemes[i].prefix))
            return &schemes[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(found_schemes); i++) {
        if (span_starts(text, found_schemes[i].prefix))
            return &found_schemes[i];
    }
    return NULL;
}

static bool parse_written(const struct given *given, struct url *url)
{
    struct span text = given->node->text;
    if (span_starts(text, SPAN("unix:")))
        return parse_unix(given, url);
    const struct scheme *scheme = scheme_of(text);
    if (scheme != NULL) {
        const char *why = parse_http(text, scheme, url);
        struct addr addr;
        if (why == NULL && scheme->port == 0 && url->port != 0)
            why = "the port is the record's to say";
        if (why == NULL && span_find(scheme->name, SPAN("http")) != 0 &&
            addr_parse(url->host, &addr))
            why = "an address needs no finding";
        if (why != NULL)
            return refuse_value(given, DIAG_VALUE, SPAN("for example http://127.0.0.1:3000"),
                                "%s is not a URL that can be used: %s", given->row->name, why);
        return true;
    }
    return refuse_value(given, DIAG_VALUE, SPAN("write http://, https:// or unix: before it"),
                        "%s must be a URL, not %s", given->row->name, shown_value(given));
}

bool parse_url(const struct given *given, struct url *url)
{
    struct url value = { .port = 0 };
    if (!parse_written(given, &value))
        return false;
    struct text host = text_growing(given->schema->arena, value.host.len + 1);
    text_lower(&host, value.host);
    if (host.overflow)
        return refuse_memory(given);
    value.host = text_span(&host);
    *url = value;
    return true;
}

bool parse_cidr(const struct given *given, struct cidr *cidr)
{
    struct text hint = text_growing(given->schema->arena, 64);
    struct cidr lenient;
    if (cidr_parse(given->node->text, false, cidr))
        return true;
    if (cidr_parse(given->node->text, true, &lenient)) {
        text_lit(&hint, "bits behind the prefix are set: did you mean \"");
        cidr_write(&hint, &lenient);
        text_lit(&hint, "\"?");
    } else {
        text_lit(&hint, "for example 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32");
    }
    return refuse_value(given, DIAG_VALUE, text_span(&hint),
                        "%s takes addresses and prefixes, not %s", given->row->name,
                        shown_value(given));
}
