/* The client's address behind trusted proxies: X-Forwarded-For and Forwarded (RFC 7239). */
#include "gateway/http/forwarded.h"

#include "gateway/http/chars.h"

/* The last members of a list: a client may send more before them, which nobody vouches for. */
struct hops {
    struct span items[FORWARDED_HOPS_MAX]; /* the right one first */
    size_t count;
};

/* What a walk found. */
struct found {
    struct addr client;
    struct span scheme;
};

/*
 * Cut off from the right, quoted strings, too. From the left a quote that a client leaves open
 * would swallow what its proxy adds behind, and the client would have the proxy's address.
 */
static struct span last_member(struct span *rest)
{
    const char *end = span_end(*rest), *p = end;
    bool quoted = false;

    while (p > rest->p && (quoted || p[-1] != ','))
        if (*--p == '"')
            quoted = !quoted;
    *rest = span_range(rest->p, p > rest->p ? p - 1 : p);
    return span_trim(span_range(p, end));
}

static void collect(const struct fields *fields, enum field_id id, struct hops *hops)
{
    hops->count = 0;
    for (unsigned i = fields->count; i > 0; i--) {
        const struct field *field = &fields->items[i - 1];
        struct span rest = field->value;
        if (field->id != id || field->dropped)
            continue;
        while (rest.len > 0 && hops->count < FORWARDED_HOPS_MAX) {
            struct span member = last_member(&rest);
            if (member.len > 0)
                hops->items[hops->count++] = member;
        }
    }
}

static struct span known_scheme(struct span said)
{
    if (span_equal_nocase(said, SPAN("https")))
        return SPAN("https");
    if (span_equal_nocase(said, SPAN("http")))
        return SPAN("http");
    return (struct span){ NULL, 0 };
}

/* ---- one element of Forwarded: `for=192.0.2.1;proto=https` ---- */

struct element {
    struct span node, proto;
};

/* Token or quoted string without escapes: no address and no scheme needs one. Moves `*p`. */
static bool element_value(const char **p, const char *end, struct span *value)
{
    if (*p < end && **p == '"') {
        const char *start = *p + 1;
        const char *stop = memchr(start, '"', (size_t)(end - start));
        if (stop == NULL || memchr(start, '\\', (size_t)(stop - start)) != NULL)
            return false;
        *value = span_range(start, stop);
        *p = stop + 1;
        return true;
    }
    const char *stop = chars_skip(*p, end, CHAR_TOKEN);
    *value = span_range(*p, stop);
    *p = stop;
    return value->len > 0;
}

/* RFC 7239 section 4: each parameter at most once. */
static bool element_parse(struct span text, struct element *element)
{
    const char *p = text.p, *end = span_end(text);

    *element = (struct element){ 0 };
    while (p < end) {
        const char *stop = chars_skip(p, end, CHAR_TOKEN);
        struct span name = span_range(p, stop), value;
        if (name.len == 0 || stop == end || *stop != '=')
            return false;
        p = stop + 1;
        if (!element_value(&p, end, &value))
            return false;
        struct span *wanted = NULL;
        if (span_equal_nocase(name, SPAN("for")))
            wanted = &element->node;
        else if (span_equal_nocase(name, SPAN("proto")))
            wanted = &element->proto;
        if (wanted != NULL && wanted->p != NULL)
            return false;
        if (wanted != NULL)
            *wanted = value;
        if (p == end)
            break;
        if (*p++ != ';' || p == end)
            return false;
    }
    return element->node.p != NULL;
}

static bool hop_parse(struct span member, bool forwarded, struct addr *addr,
                      struct span *scheme)
{
    struct element element;

    if (!forwarded)
        return addr_parse_port(member, addr);
    if (!element_parse(member, &element))
        return false;
    *scheme = known_scheme(element.proto);
    return addr_parse_port(element.node, addr);
}

static struct found walk_hops(const struct hops *hops, bool forwarded, const struct addr *peer,
                              const struct cidrs *trusted)
{
    struct found found = { .client = *peer };

    for (size_t i = 0; i < hops->count; i++) {
        struct span scheme = { NULL, 0 };
        struct addr addr = { 0 };
        if (!hop_parse(hops->items[i], forwarded, &addr, &scheme))
            break;
        found.client = addr;
        found.scheme = scheme;
        if (!cidrs_contain(trusted, &addr))
            break;
    }
    return found;
}

enum http_error forwarded_client(const struct fields *fields, const struct addr *peer,
                                 const struct cidrs *trusted, struct addr *client,
                                 struct span *scheme)
{
    bool rfc7239 = fields_have(fields, FIELD_FORWARDED);
    bool x_forwarded = fields_have(fields, FIELD_X_FORWARDED_FOR);
    struct hops hops;

    *client = *peer;
    *scheme = (struct span){ NULL, 0 };
    if (!cidrs_contain(trusted, peer))
        return HTTP_OK;

    struct found x = { .client = *peer };
    if (x_forwarded) {
        collect(fields, FIELD_X_FORWARDED_FOR, &hops);
        x = walk_hops(&hops, false, peer, trusted);
    }
    /* The right one, since only that was written by the hop that we trust. */
    collect(fields, FIELD_X_FORWARDED_PROTO, &hops);
    if (hops.count > 0)
        x.scheme = known_scheme(hops.items[0]);
    if (!rfc7239) {
        *client = x.client;
        *scheme = x.scheme;
        return HTTP_OK;
    }

    collect(fields, FIELD_FORWARDED, &hops);
    struct found rfc = walk_hops(&hops, true, peer, trusted);
    if (x_forwarded && !addr_equal(&rfc.client, &x.client))
        return HTTP_FORWARDED;
    *client = rfc.client;
    *scheme = rfc.scheme.p != NULL ? rfc.scheme : x.scheme;
    return HTTP_OK;
}
