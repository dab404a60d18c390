/*
 * What may be kept beyond a transaction of the values that were scanned (scan.c): never what
 * could be a secret, as values of arguments, cookies and most fields could.
 */
#include "rules/engine/build.h"

static const enum variable whole[] = {
    VAR_ARGS_GET_NAMES,        VAR_ARGS_POST_NAMES,        VAR_REQUEST_COOKIES_NAMES,
    VAR_REQUEST_HEADERS_NAMES, VAR_RESPONSE_HEADERS_NAMES, VAR_REQUEST_METHOD,
    VAR_REQUEST_PROTOCOL,      VAR_RESPONSE_STATUS,
};

static const enum variable by_name[] = { VAR_REQUEST_HEADERS, VAR_RESPONSE_HEADERS };

static const struct span fields[] = {
    SPAN_INIT("accept"),
    SPAN_INIT("accept-charset"),
    SPAN_INIT("accept-encoding"),
    SPAN_INIT("accept-language"),
    SPAN_INIT("accept-ranges"),
    SPAN_INIT("cache-control"),
    SPAN_INIT("connection"),
    SPAN_INIT("content-encoding"),
    SPAN_INIT("content-length"),
    SPAN_INIT("content-type"),
    SPAN_INIT("dnt"),
    SPAN_INIT("host"),
    SPAN_INIT("origin"),
    SPAN_INIT("pragma"),
    SPAN_INIT("priority"),
    SPAN_INIT("sec-ch-ua"),
    SPAN_INIT("sec-ch-ua-arch"),
    SPAN_INIT("sec-ch-ua-full-version"),
    SPAN_INIT("sec-ch-ua-full-version-list"),
    SPAN_INIT("sec-ch-ua-mobile"),
    SPAN_INIT("sec-ch-ua-model"),
    SPAN_INIT("sec-ch-ua-platform"),
    SPAN_INIT("sec-ch-ua-platform-version"),
    SPAN_INIT("sec-fetch-dest"),
    SPAN_INIT("sec-fetch-mode"),
    SPAN_INIT("sec-fetch-site"),
    SPAN_INIT("sec-fetch-storage-access"),
    SPAN_INIT("sec-fetch-user"),
    SPAN_INIT("server"),
    SPAN_INIT("te"),
    SPAN_INIT("upgrade-insecure-requests"),
    SPAN_INIT("user-agent"),
    SPAN_INIT("vary"),
};

static bool is_kept(struct span name)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (span_equal_nocase(fields[i], name))
            return true;
    }
    return false;
}

struct span plan_kept_field(unsigned i)
{
    return i < ARRAY_LEN(fields) ? fields[i] : (struct span){ 0 };
}

void plan_keep_values(struct sec_plan *plan)
{
    for (size_t i = 0; i < ARRAY_LEN(whole); i++)
        bit_add(plan->kept_vars, whole[i]);
    for (unsigned i = 0; i < plan->named_count; i++) {
        struct plan_named *named = &plan->named[i];
        named->kept = bit_has(plan->kept_vars, named->var);
        for (size_t j = 0; j < ARRAY_LEN(by_name); j++)
            named->kept = named->kept || (named->var == by_name[j] && is_kept(named->name));
    }
}
