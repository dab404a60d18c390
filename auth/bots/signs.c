/* Claims held against what was sent. */
#include "auth/bots/signs.h"

#include "gateway/chain/reply.h"
#include "gateway/net/ja4.h"

const struct sign_row sign_rows[SIGN_COUNT] = {
#define SIGN(name, slug_text, usual, what)                                                     \
    [SIGN_##name] = { .slug = SPAN_INIT(slug_text), .weight = (usual), .help = (what) },
#include "auth/bots/signs.def"
#undef SIGN
};

_Static_assert(SIGN_COUNT <= 32, "one bit each");

/* First versions that send Sec-Fetch fields, and that are old enough for nobody to lack. */
enum { FETCH_CHROME = 85, FETCH_FIREFOX = 95, FETCH_SAFARI = 17, HINTS_CHROME = 95 };
enum { MODERN_CHROME = 85, MODERN_FIREFOX = 85, MODERN_SAFARI = 14 };

/* ---- fields ---- */

static struct span value_of(const struct request *req, struct span name)
{
    const struct field *field = fields_find(&req->fields, name);
    return field != NULL ? field->value : span_of(NULL, 0);
}

static bool is_among(struct span value, const struct span *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(value, known[i]))
            return true;
    return false;
}

/* ---- visits ---- */

enum visit visit_of(const struct request *req)
{
    static const struct span pages[] = { SPAN_INIT("document"), SPAN_INIT("iframe"),
                                         SPAN_INIT("frame") };
    struct span mode = value_of(req, SPAN("Sec-Fetch-Mode"));
    struct span dest = value_of(req, SPAN("Sec-Fetch-Dest"));
    /* A body makes no difference: of a GET it means nothing (RFC 9110 section 9.3.1). */
    if (req->method_id != METHOD_GET || req->websocket)
        return VISIT_OTHER;
    if (mode.p == NULL)
        return reply_wants_page(req) ? VISIT_PAGE : VISIT_OTHER;
    bool page = span_equal(mode, SPAN("navigate")) &&
                (dest.p == NULL || is_among(dest, pages, ARRAY_LEN(pages)));
    return page ? VISIT_PAGE : VISIT_OTHER;
}

/* ---- TLS ---- */

/* Ciphers of the three families (the middle part of JA4), which change with years and not with
 * releases; as seen, and as others have published. */
static const struct {
    struct span ciphers;
    enum agent_kind kind;
} tls_rows[] = {
    { SPAN_INIT("8daaf6152771"), AGENT_CHROME },
    { SPAN_INIT("5b57614c22b0"), AGENT_FIREFOX },
    { SPAN_INIT("a09f3c656075"), AGENT_SAFARI },
};

static bool is_modern(const struct agent *agent)
{
    return (agent->kind == AGENT_CHROME && agent->version >= MODERN_CHROME) ||
           (agent->kind == AGENT_FIREFOX && agent->version >= MODERN_FIREFOX) ||
           (agent->kind == AGENT_SAFARI && agent->version >= MODERN_SAFARI);
}

/*
 * Another family's ciphers are a lie, and so is a browser of these years without TLS 1.3 or
 * HTTP/2. Ciphers of nobody are none: a policy of somebody's employer can take some away.
 */
static bool tls_differs(const struct sight *sight)
{
    struct span ja4 = sight->ja4;
    if (ja4.len != JA4_BYTES || !is_modern(&sight->agent))
        return false;
    struct span ciphers = span_sub(ja4, 11, 12);
    for (size_t i = 0; i < ARRAY_LEN(tls_rows); i++)
        if (span_equal(ciphers, tls_rows[i].ciphers))
            return tls_rows[i].kind != sight->agent.kind;
    return !span_equal(span_sub(ja4, 1, 2), SPAN("13")) ||
           !span_equal(span_sub(ja4, 8, 2), SPAN("h2"));
}

/* ---- the order of fields ---- */

/* Each of these browsers writes those that it sends in this order, and has for years. */
static const enum field_id chrome_order[] = { FIELD_USER_AGENT, FIELD_ACCEPT,
                                              FIELD_ACCEPT_ENCODING, FIELD_ACCEPT_LANGUAGE };
static const enum field_id firefox_order[] = { FIELD_USER_AGENT, FIELD_ACCEPT,
                                               FIELD_ACCEPT_LANGUAGE, FIELD_ACCEPT_ENCODING };

static bool follows(const struct fields *fields, const enum field_id *order, size_t count)
{
    size_t at = 0;
    for (unsigned i = 0; i < fields->count; i++) {
        size_t k = 0;
        while (k < count && order[k] != fields->items[i].id)
            k++;
        if (k == count)
            continue;
        if (k < at)
            return false;
        at = k;
    }
    return true;
}

static bool order_differs(const struct sight *sight)
{
    const struct request *req = sight->req;
    if (!sight->direct || !is_modern(&sight->agent))
        return false;
    if (!req->http2 && req->fields.count > 0 && req->fields.items[0].id != FIELD_HOST)
        return true;
    /* Of scripts' requests the order depends on the script. */
    if (visit_of(req) != VISIT_PAGE)
        return false;
    if (sight->agent.kind == AGENT_CHROME)
        return !follows(&req->fields, chrome_order, ARRAY_LEN(chrome_order));
    if (sight->agent.kind == AGENT_FIREFOX)
        return !follows(&req->fields, firefox_order, ARRAY_LEN(firefox_order));
    return false;
}

/* ---- Sec-Fetch and Sec-CH-UA ---- */

static bool sends_fetch(const struct sight *sight)
{
    const struct agent *agent = &sight->agent;
    if (!span_equal(sight->req->scheme, SPAN("https")))
        return false; /* browsers send them to trustworthy origins only */
    return (agent->kind == AGENT_CHROME && agent->version >= FETCH_CHROME) ||
           (agent->kind == AGENT_FIREFOX && agent->version >= FETCH_FIREFOX) ||
           (agent->kind == AGENT_SAFARI && agent->version >= FETCH_SAFARI);
}

/* W3C Fetch Metadata: what the fields can say, and what they cannot say together. */
static bool fetch_is_odd(const struct request *req)
{
    static const struct span sites[] = { SPAN_INIT("none"), SPAN_INIT("same-origin"),
                                         SPAN_INIT("same-site"), SPAN_INIT("cross-site") };
    static const struct span modes[] = { SPAN_INIT("navigate"), SPAN_INIT("cors"),
                                         SPAN_INIT("no-cors"), SPAN_INIT("same-origin"),
                                         SPAN_INIT("websocket") };
    struct span site = value_of(req, SPAN("Sec-Fetch-Site"));
    struct span mode = value_of(req, SPAN("Sec-Fetch-Mode"));
    struct span dest = value_of(req, SPAN("Sec-Fetch-Dest"));
    struct span user = value_of(req, SPAN("Sec-Fetch-User"));
    if ((site.p != NULL && !is_among(site, sites, ARRAY_LEN(sites))) ||
        (mode.p != NULL && !is_among(mode, modes, ARRAY_LEN(modes))) ||
        (user.p != NULL && !span_equal(user, SPAN("?1"))))
        return true;
    bool navigates = span_equal(mode, SPAN("navigate"));
    /* A document comes of a navigation, and a person's gesture leads to one. */
    return (mode.p != NULL && !navigates &&
            (span_equal(dest, SPAN("document")) || user.p != NULL)) ||
           (mode.p != NULL && site.p == NULL);
}

static bool hints_are_odd(const struct sight *sight)
{
    struct span brands = value_of(sight->req, SPAN("Sec-CH-UA"));
    const struct agent *agent = &sight->agent;
    if (!agent_is_browser(agent))
        return false;
    if (agent->kind != AGENT_CHROME)
        return brands.p != NULL;
    if (brands.p == NULL)
        return agent->version >= HINTS_CHROME && sends_fetch(sight);
    char digits[24];
    struct text wanted = text_fixed(digits, sizeof(digits));
    text_lit(&wanted, ";v=\"");
    text_uint(&wanted, agent->version);
    text_char(&wanted, '"');
    return agent->version > 0 && span_find(brands, text_span(&wanted)) < 0;
}

/* ---- all of them ---- */

static uint32_t bit(bool seen, enum sign sign)
{
    return seen ? UINT32_C(1) << sign : 0;
}

static bool fields_lack(const struct request *req)
{
    return !fields_have(&req->fields, FIELD_ACCEPT) ||
           !fields_have(&req->fields, FIELD_ACCEPT_LANGUAGE) ||
           !fields_have(&req->fields, FIELD_ACCEPT_ENCODING);
}

uint32_t signs_of_request(struct sight *sight)
{
    const struct request *req = sight->req;
    sight->agent = agent_read(fields_value(&req->fields, FIELD_USER_AGENT));
    const struct agent *agent = &sight->agent;
    uint32_t signs = bit(agent->kind == AGENT_ABSENT, SIGN_AGENT_NONE) |
                     bit(agent->kind == AGENT_TOOL, SIGN_AGENT_TOOL) |
                     bit(agent->kind == AGENT_HEADLESS, SIGN_AGENT_HEADLESS) |
                     bit(agent->kind == AGENT_ROBOT, SIGN_AGENT_ROBOT) |
                     bit(fetch_is_odd(req), SIGN_FETCH_ODD);
    if (!agent_is_browser(agent) || req->websocket)
        return signs;
    return signs | bit(tls_differs(sight), SIGN_TLS_MISMATCH) |
           bit(order_differs(sight), SIGN_ORDER_MISMATCH) |
           bit(fields_lack(req), SIGN_FIELDS_MISSING) |
           bit(sends_fetch(sight) && value_of(req, SPAN("Sec-Fetch-Mode")).p == NULL,
               SIGN_FETCH_MISSING) |
           bit(hints_are_odd(sight), SIGN_HINTS_ODD);
}

int32_t signs_score(uint32_t signs, const int32_t weights[SIGN_COUNT])
{
    int32_t sum = 0;
    for (unsigned i = 0; i < SIGN_COUNT; i++)
        if ((signs >> i & 1) != 0)
            sum += weights[i];
    return sum < 0 ? 0 : sum > SCORE_MAX ? SCORE_MAX : sum;
}
