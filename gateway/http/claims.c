/* Fields that claim what a client cannot know, or may not say: see claims.h. */
#include "gateway/http/claims.h"

static const struct {
    struct span name;
    enum claim claim;
} claims[] = {
    { SPAN_INIT("CF-Connecting-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("CF-Connecting-IPv6"), CLAIM_ORIGIN },
    { SPAN_INIT("Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("Fastly-Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("Forwarded-For"), CLAIM_ORIGIN },
    { SPAN_INIT("Fly-Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("Forwarded-Host"), CLAIM_ORIGIN },
    { SPAN_INIT("Forwarded-Proto"), CLAIM_ORIGIN },
    { SPAN_INIT("Front-End-Https"), CLAIM_ORIGIN },
    { SPAN_INIT("Proxy-Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("WL-Proxy-Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Appengine-User-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Arr-SSL"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Azure-ClientIP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Cluster-Client-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Envoy-External-Address"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Forwarded"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Host"), CLAIM_ORIGIN },
    { SPAN_INIT("X-HTTP-Method"), CLAIM_METHOD },
    { SPAN_INIT("X-HTTP-Method-Override"), CLAIM_METHOD },
    { SPAN_INIT("X-Method-Override"), CLAIM_METHOD },
    { SPAN_INIT("X-Original-Forwarded-For"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Original-Host"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Original-Method"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Original-URI"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Originating-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-ProxyUser-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Remote-Addr"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Remote-IP"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Scheme"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Url-Scheme"), CLAIM_ORIGIN },
    { SPAN_INIT("X-Vercel-Forwarded-For"), CLAIM_ORIGIN },
};

/* All of this family: -Ssl, -Scheme, -Protocol, -Client-Cert, -User, -Method and what comes
 * next. */
static const struct span family = SPAN_INIT("X-Forwarded-");

enum claim field_claims(struct span name)
{
    char first = name.len > 0 ? ascii_lower(name.p[0]) : '\0';

    if (first != 'x' && first != 'c' && first != 'f' && first != 'p' && first != 'w')
        return CLAIM_NONE;
    if (name.len > family.len && field_name_alias(family, span_sub(name, 0, family.len)))
        return CLAIM_ORIGIN;
    for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
        if (claims[i].name.len == name.len && field_name_alias(claims[i].name, name))
            return claims[i].claim;
    }
    return CLAIM_NONE;
}

static bool is_named(struct span name, const struct span *keep, size_t keep_count)
{
    for (size_t i = 0; i < keep_count; i++) {
        if (field_name_alias(keep[i], name))
            return true;
    }
    return false;
}

void fields_drop_claims(struct fields *fields, const struct span *keep, size_t keep_count,
                        bool trusted)
{
    for (unsigned i = 0; i < fields->count; i++) {
        struct field *field = &fields->items[i];
        enum claim claim = field->id == FIELD_OTHER ? field_claims(field->name) : CLAIM_NONE;
        bool may_stay = claim == CLAIM_METHOD || trusted;
        if (claim != CLAIM_NONE && !(may_stay && is_named(field->name, keep, keep_count)))
            field->dropped = true;
    }
}
