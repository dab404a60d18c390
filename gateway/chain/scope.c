/*
 * The names of the expression language, and where their values come from. Arguments and cookies
 * are parsed when an expression first asks for one, and kept for the transaction.
 */
#include "gateway/chain/scope.h"

#include "gateway/audit/record_bots.h"
#include "gateway/chain/pattern.h"
#include "gateway/http/params.h"

/* ---- values ---- */

static struct expr_value missing(void)
{
    return (struct expr_value){ .missing = true };
}

/* An empty text with a pointer is there; one without is not. */
static struct expr_value text_value(struct span text)
{
    return (struct expr_value){ .type = EXPR_TEXT, .missing = text.p == NULL, .text = text };
}

static struct expr_value text_if_any(struct span text)
{
    return text.len > 0 ? text_value(text) : missing();
}

static struct expr_value number_value(uint64_t number)
{
    return (struct expr_value){ .type = EXPR_NUMBER,
                                .number = number <= INT64_MAX ? (int64_t)number : INT64_MAX };
}

static struct expr_value undecided(struct txn *txn)
{
    txn->undecided = true;
    return missing();
}

/* ---- arguments, cookies, fields ---- */

struct scope_cache {
    struct params query, form, cookies;
    bool query_parsed, form_parsed, cookies_parsed;
    bool query_bad, form_bad, cookies_bad;
};

static struct scope_cache *cache_of(struct txn *txn)
{
    if (txn->scope == NULL)
        txn->scope = arena_new(txn->arena, struct scope_cache);
    return txn->scope;
}

static void parse_cookies(struct txn *txn, struct scope_cache *cache)
{
    const struct field *line = fields_get(&txn->req->fields, FIELD_COOKIE);
    for (; line != NULL && !cache->cookies_bad; line = fields_next(&txn->req->fields, line))
        cache->cookies_bad =
            cookies_parse(&cache->cookies, line->value, SCOPE_COOKIES_MAX, txn->arena) != OK;
    cache->cookies_parsed = true;
}

static bool has_form(const struct txn *txn)
{
    struct span type = fields_value(&txn->req->fields, FIELD_CONTENT_TYPE), essence;
    if (!span_cut(&type, ';', &essence))
        return false;
    return span_equal_nocase(span_trim(essence), SPAN("application/x-www-form-urlencoded"));
}

static struct expr_value found(struct txn *txn, const struct params *params, bool bad,
                               struct span name)
{
    const struct param *param = params_find(params, name);
    if (param != NULL)
        return text_value(param->value);
    /* Not among those that were read: there may be more. */
    return bad ? undecided(txn) : missing();
}

static void parse_query(struct txn *txn, struct scope_cache *cache)
{
    cache->query_bad =
        params_parse(&cache->query, txn->req->query, SCOPE_PARAMS_MAX, txn->arena) != OK;
    cache->query_parsed = true;
}

static void parse_form(struct txn *txn, struct scope_cache *cache)
{
    cache->form_bad =
        params_parse(&cache->form, txn->run.body, SCOPE_PARAMS_MAX, txn->arena) != OK;
    cache->form_parsed = true;
}

const struct params *scope_params(struct txn *txn, enum scope_params which)
{
    static const struct params none;
    struct scope_cache *cache = cache_of(txn);

    if (cache == NULL)
        return NULL;
    switch (which) {
    case SCOPE_QUERY:
        if (!cache->query_parsed)
            parse_query(txn, cache);
        return cache->query_bad ? NULL : &cache->query;
    case SCOPE_FORM:
        if (txn->run.phase != PHASE_REQUEST_BODY || !has_form(txn))
            return &none;
        if (!cache->form_parsed)
            parse_form(txn, cache);
        return cache->form_bad ? NULL : &cache->form;
    case SCOPE_COOKIES:
        if (!cache->cookies_parsed)
            parse_cookies(txn, cache);
        return cache->cookies_bad ? NULL : &cache->cookies;
    }
    return NULL;
}

static struct expr_value get_cookie(struct txn *txn, struct span name)
{
    struct scope_cache *cache = cache_of(txn);
    if (cache == NULL)
        return undecided(txn);
    if (!cache->cookies_parsed)
        parse_cookies(txn, cache);
    return found(txn, &cache->cookies, cache->cookies_bad, name);
}

static struct expr_value get_arg(struct txn *txn, struct span name)
{
    struct scope_cache *cache = cache_of(txn);
    if (cache == NULL)
        return undecided(txn);
    if (!cache->query_parsed)
        parse_query(txn, cache);
    struct expr_value value = found(txn, &cache->query, cache->query_bad, name);
    /* The body is in memory in its own phase only. */
    if (!value.missing || txn->run.phase != PHASE_REQUEST_BODY || !has_form(txn))
        return value;
    if (!cache->form_parsed)
        parse_form(txn, cache);
    return found(txn, &cache->form, cache->form_bad, name);
}

static struct expr_value joined(struct txn *txn, const struct fields *fields,
                                const struct field *first)
{
    struct span between = first->id == FIELD_COOKIE ? SPAN("; ") : SPAN(", ");
    struct text text = text_growing(txn->arena, 0);
    for (const struct field *line = first; line != NULL; line = fields_next(fields, line)) {
        if (line != first)
            text_add(&text, between);
        text_add(&text, line->value);
    }
    return text.overflow ? undecided(txn) : text_value(text_span(&text));
}

static struct expr_value field_of(struct txn *txn, const struct fields *fields,
                                  struct span name)
{
    const struct field *first = fields_find(fields, name);
    if (first == NULL)
        return missing();
    if (fields_next(fields, first) == NULL)
        return text_value(first->value.p != NULL ? first->value : SPAN(""));
    return joined(txn, fields, first);
}

static struct expr_value get_header(struct txn *txn, struct span name)
{
    return field_of(txn, &txn->req->fields, name);
}

/* ---- the answer ---- */

static struct expr_value get_response_status(struct txn *txn, struct span none)
{
    (void)none;
    return txn->rsp != NULL ? number_value((uint64_t)txn->rsp->status) : missing();
}

static struct expr_value get_response_header(struct txn *txn, struct span name)
{
    return txn->rsp != NULL ? field_of(txn, &txn->rsp->fields, name) : missing();
}

/* ---- fields with names of their own ---- */

static struct expr_value get_user_agent(struct txn *txn, struct span none)
{
    (void)none;
    return get_header(txn, SPAN("user-agent"));
}

static struct expr_value get_referer(struct txn *txn, struct span none)
{
    (void)none;
    return get_header(txn, SPAN("referer"));
}

/* ---- the plain names ---- */

static struct expr_value get_method(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->req->method);
}

static struct expr_value get_path(struct txn *txn, struct span none)
{
    /* What routes are found by: a condition on /admin holds for /admin;x, too. */
    struct span plain = txn->req->path_plain;

    (void)none;
    return text_if_any(plain.len > 0 ? plain : txn->req->path);
}

static struct expr_value get_query(struct txn *txn, struct span none)
{
    (void)none;
    if (!txn->req->has_query)
        return missing();
    return text_value(txn->req->query.p != NULL ? txn->req->query : SPAN(""));
}

static struct expr_value get_host(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->req->host);
}

static struct expr_value get_scheme(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->req->scheme);
}

static struct expr_value get_size(struct txn *txn, struct span none)
{
    (void)none;
    if (txn->run.phase == PHASE_REQUEST_BODY)
        return number_value(txn->run.body.len);
    if (txn->req->body == BODY_CHUNKED)
        return missing();
    return number_value(txn->req->body == BODY_LENGTH ? txn->req->length : 0);
}

static struct expr_value get_client_ip(struct txn *txn, struct span none)
{
    (void)none;
    if (txn->client.family != ADDR_V4 && txn->client.family != ADDR_V6)
        return missing();
    return (struct expr_value){ .type = EXPR_ADDR, .addr = txn->client };
}

static struct expr_value get_user(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->facts.user);
}

static struct expr_value get_authenticated(struct txn *txn, struct span none)
{
    (void)none;
    return (struct expr_value){ .type = EXPR_BOOL, .number = txn->facts.user.len > 0 };
}

static struct expr_value get_auth(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->facts.auth);
}

static struct expr_value get_group(struct txn *txn, struct span group)
{
    const struct identity *identity = txn->facts.identity;
    return (struct expr_value){ .type = EXPR_BOOL,
                                .number =
                                    identity != NULL && identity_in_group(identity, group) };
}

static struct expr_value get_claim(struct txn *txn, struct span name)
{
    const struct identity *identity = txn->facts.identity;
    const struct claim *claim = identity != NULL ? identity_claim(identity, name, NULL) : NULL;
    return claim != NULL ? text_value(claim->value) : missing();
}

static struct expr_value get_site(struct txn *txn, struct span none)
{
    (void)none;
    return text_value(span_text(txn->site != NULL ? txn->site->name : NULL));
}

static struct expr_value get_sni(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->sni);
}

static struct expr_value get_ja4(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn_ja4(txn));
}

static struct expr_value get_field_order(struct txn *txn, struct span none)
{
    (void)none;
    struct span order = txn_field_order(txn);
    return order.len > 0 ? text_value(order) : undecided(txn);
}

static struct expr_value get_bot_score(struct txn *txn, struct span none)
{
    const struct bots_told *bots = txn->facts.bots;
    (void)none;
    return bots != NULL && bots->scored ? number_value((uint64_t)bots->score) : missing();
}

static struct expr_value get_bot_verified(struct txn *txn, struct span none)
{
    (void)none;
    return txn->facts.bots != NULL ? text_if_any(txn->facts.bots->verified) : missing();
}

static struct expr_value bool_value(bool is)
{
    return (struct expr_value){ .type = EXPR_BOOL, .number = is };
}

static struct expr_value get_bot_cleared(struct txn *txn, struct span none)
{
    (void)none;
    return bool_value(txn->facts.bots != NULL && txn->facts.bots->cleared);
}

static struct expr_value get_bot_attack(struct txn *txn, struct span none)
{
    (void)none;
    return bool_value(txn->facts.bots != NULL && txn->facts.bots->attack);
}

static struct expr_value get_tls_version(struct txn *txn, struct span none)
{
    (void)none;
    return text_if_any(txn->tls_version);
}

static struct expr_value get_country(struct txn *txn, struct span none)
{
    (void)none;
    const struct geo *geo = txn_geo(txn, false);
    return geo != NULL ? text_value(span_text(geo->country)) : undecided(txn);
}

static struct expr_value get_continent(struct txn *txn, struct span none)
{
    (void)none;
    const struct geo *geo = txn_geo(txn, false);
    return geo != NULL ? text_if_any(span_text(geo->continent)) : undecided(txn);
}

static struct expr_value get_asn(struct txn *txn, struct span none)
{
    (void)none;
    const struct geo *geo = txn_geo(txn, false);
    if (geo == NULL)
        return undecided(txn);
    return geo->asn != 0 ? number_value(geo->asn) : missing();
}

static struct expr_value get_city(struct txn *txn, struct span none)
{
    (void)none;
    const struct geo *geo = txn_geo(txn, true);
    return geo != NULL && geo->named ? text_if_any(geo->city) : undecided(txn);
}

static struct expr_value get_as_org(struct txn *txn, struct span none)
{
    (void)none;
    const struct geo *geo = txn_geo(txn, true);
    return geo != NULL && geo->named ? text_if_any(geo->as_org) : undecided(txn);
}

/* ---- the tables ---- */

enum name_id {
    NAME_METHOD,
    NAME_PATH,
    NAME_QUERY,
    NAME_HOST,
    NAME_SCHEME,
    NAME_USER_AGENT,
    NAME_REFERER,
    NAME_SIZE,
    NAME_HEADER,
    NAME_COOKIE,
    NAME_ARG,
    NAME_FIELD_ORDER,
    NAME_RESPONSE_STATUS,
    NAME_RESPONSE_HEADER,
    NAME_CLIENT_IP, /* from here on known without a request */
    NAME_CLIENT_USER,
    NAME_USER,
    NAME_AUTHENTICATED,
    NAME_AUTH,
    NAME_GROUP,
    NAME_CLAIM,
    NAME_SITE,
    NAME_SNI,
    NAME_JA4,
    NAME_TLS_VERSION,
    NAME_BOT_SCORE,
    NAME_BOT_VERIFIED,
    NAME_BOT_CLEARED,
    NAME_BOT_ATTACK,
    NAME_COUNTRY, /* from here on known to databases */
    NAME_CONTINENT,
    NAME_CITY,
    NAME_ASN,
    NAME_AS_ORG,
    NAME_COUNT
};

const struct expr_name scope_names[] = {
    { "method", EXPR_TEXT, false, NAME_METHOD, "The request's method, as sent." },
    { "path", EXPR_TEXT, false, NAME_PATH,
      "The canonical path, decoded, without `;` parameters: what routes are found by." },
    { "query", EXPR_TEXT, false, NAME_QUERY, "The query without its ?, as sent." },
    { "host", EXPR_TEXT, false, NAME_HOST, "The host asked for: lower case, no port." },
    { "scheme", EXPR_TEXT, false, NAME_SCHEME, "http or https: how the client reached us." },
    { "user_agent", EXPR_TEXT, false, NAME_USER_AGENT, "The User-Agent field." },
    { "referer", EXPR_TEXT, false, NAME_REFERER, "The Referer field." },
    { "size", EXPR_NUMBER, false, NAME_SIZE, "Bytes of the request's body, when known." },
    { "header", EXPR_TEXT, true, NAME_HEADER,
      "A request field by name; several lines are joined." },
    { "cookie", EXPR_TEXT, true, NAME_COOKIE, "The first cookie of that name." },
    { "arg", EXPR_TEXT, true, NAME_ARG,
      "The first argument of that name, of the query, or of a form once its body is known." },
    { "response.status", EXPR_NUMBER, false, NAME_RESPONSE_STATUS,
      "The answer's status. This and the next are for `when` of `waf.rules` alone." },
    { "response.header", EXPR_TEXT, true, NAME_RESPONSE_HEADER,
      "A field of the answer by name; several lines are joined." },
    { "client.ip", EXPR_ADDR, false, NAME_CLIENT_IP,
      "The client's address, after trusted proxies." },
    { "client.user", EXPR_TEXT, false, NAME_CLIENT_USER, "The same as user." },
    { "user", EXPR_TEXT, false, NAME_USER, "Who was authenticated." },
    { "authenticated", EXPR_BOOL, false, NAME_AUTHENTICATED, "Whether anybody was." },
    { "auth", EXPR_TEXT, false, NAME_AUTH,
      "By which stage: certificate, api_keys, jwt, basic." },
    { "group", EXPR_BOOL, true, NAME_GROUP, "Whether the user is in that group." },
    { "claim", EXPR_TEXT, true, NAME_CLAIM,
      "A claim of the user's token, or `plan` or `key` of an API key; of several the first." },
    { "site", EXPR_TEXT, false, NAME_SITE, "The site's name." },
    { "tls.sni", EXPR_TEXT, false, NAME_SNI, "The name asked for in the TLS handshake." },
    { "client.ja4", EXPR_TEXT, false, NAME_JA4,
      "JA4 of the client's TLS; missing on plain connections and behind a proxy." },
    { "client.field_order", EXPR_TEXT, false, NAME_FIELD_ORDER,
      "A hash of the names of its fields in their order, like h1-07-2f9be1c04d33." },
    { "tls.version", EXPR_TEXT, false, NAME_TLS_VERSION, "TLSv1.2 or TLSv1.3." },
    { "bot.score", EXPR_NUMBER, false, NAME_BOT_SCORE,
      "What `bots` has come to, 0 to 100; missing where it did not look. This and the next "
      "three "
      "are known to what comes behind `bots` in the chain." },
    { "bot.verified", EXPR_TEXT, false, NAME_BOT_VERIFIED,
      "The name of the crawler that it was proved to be." },
    { "bot.cleared", EXPR_BOOL, false, NAME_BOT_CLEARED,
      "Whether it has passed a challenge a while ago." },
    { "bot.attack", EXPR_BOOL, false, NAME_BOT_ATTACK, "Whether the route is under attack." },
    { "client.country", EXPR_TEXT, false, NAME_COUNTRY,
      "The client's country, two letters; ZZ: a private address, XX: not known. This and the "
      "next four need `geoip`." },
    { "client.continent", EXPR_TEXT, false, NAME_CONTINENT, "AF AN AS EU NA OC or SA." },
    { "client.city", EXPR_TEXT, false, NAME_CITY, "The client's city, in English." },
    { "client.asn", EXPR_NUMBER, false, NAME_ASN, "The number of the client's network." },
    { "client.as_org", EXPR_TEXT, false, NAME_AS_ORG, "Who runs the client's network." },
    { NULL, EXPR_TEXT, false, 0, NULL },
};

typedef struct expr_value value_fn(struct txn *txn, struct span argument);

static value_fn *const values[NAME_COUNT] = {
    [NAME_METHOD] = get_method,
    [NAME_PATH] = get_path,
    [NAME_QUERY] = get_query,
    [NAME_HOST] = get_host,
    [NAME_SCHEME] = get_scheme,
    [NAME_USER_AGENT] = get_user_agent,
    [NAME_REFERER] = get_referer,
    [NAME_SIZE] = get_size,
    [NAME_HEADER] = get_header,
    [NAME_COOKIE] = get_cookie,
    [NAME_ARG] = get_arg,
    [NAME_RESPONSE_STATUS] = get_response_status,
    [NAME_RESPONSE_HEADER] = get_response_header,
    [NAME_CLIENT_IP] = get_client_ip,
    [NAME_CLIENT_USER] = get_user,
    [NAME_USER] = get_user,
    [NAME_AUTHENTICATED] = get_authenticated,
    [NAME_AUTH] = get_auth,
    [NAME_GROUP] = get_group,
    [NAME_CLAIM] = get_claim,
    [NAME_SITE] = get_site,
    [NAME_SNI] = get_sni,
    [NAME_JA4] = get_ja4,
    [NAME_FIELD_ORDER] = get_field_order,
    [NAME_TLS_VERSION] = get_tls_version,
    [NAME_BOT_SCORE] = get_bot_score,
    [NAME_BOT_VERIFIED] = get_bot_verified,
    [NAME_BOT_CLEARED] = get_bot_cleared,
    [NAME_BOT_ATTACK] = get_bot_attack,
    [NAME_COUNTRY] = get_country,
    [NAME_CONTINENT] = get_continent,
    [NAME_CITY] = get_city,
    [NAME_ASN] = get_asn,
    [NAME_AS_ORG] = get_as_org,
};

/* ---- run time ---- */

static struct expr_value value_of(void *ctx, int id, struct span argument)
{
    struct txn *txn = ctx;
    INVARIANT(id >= 0 && id < NAME_COUNT);
    if (id < NAME_CLIENT_IP && txn->req == NULL)
        return missing();
    return values[id](txn, argument);
}

static bool in_list(void *ctx, int list, const struct expr_value *value)
{
    struct txn *txn = ctx;
    const struct config *config = txn->config;
    INVARIANT(list >= 0 && (size_t)list < config->list_count);
    if (value->type != EXPR_ADDR)
        return false;
    struct list_hit hit;
    if (config->list_why != NULL) {
        bool found = config->list_why(config, txn->worker, list, &value->addr, &hit);
        if (found && addr_equal(&value->addr, &txn->client))
            txn_list_hit(txn, &hit);
        return found;
    }
    if (config->list_contains != NULL)
        return config->list_contains(config, txn->worker, list, &value->addr);
    /* What stands in a file is not known here. */
    if (config->lists[list].file.text.len > 0)
        txn->undecided = true;
    return cidrs_contain(&config->lists[list].ips, &value->addr);
}

static bool matches(void *ctx, int pattern, struct span text)
{
    struct txn *txn = ctx;
    enum pattern_answer said = pattern_match(txn->config->patterns, pattern, text);
    if (said == PATTERN_LIMIT)
        txn->undecided = true;
    return said == PATTERN_YES;
}

struct expr_source scope_source(struct txn *txn)
{
    return (struct expr_source){
        .value = value_of, .in_list = in_list, .matches = matches, .ctx = txn
    };
}

/* ---- load time ---- */

bool scope_of_answer(int id)
{
    return id == NAME_RESPONSE_STATUS || id == NAME_RESPONSE_HEADER;
}

static const char *unusable(const struct expr_scope *scope, int id)
{
    const struct config *config = scope->owner;
    if (scope_of_answer(id) && !scope->answers)
        return "nothing is known of the answer here: only `when` of `waf.rules` may ask";
    return id >= NAME_COUNTRY && config->geo_lookup == NULL
               ? "this name needs a database: set `geoip`"
               : NULL;
}

static int find_list(void *owner, struct span name)
{
    return config_list(owner, name);
}

static int add_pattern(void *owner, struct span pattern, struct arena *arena, struct span *why)
{
    struct config *config = owner;
    if (config->patterns == NULL)
        config->patterns = patterns_new(config->arena);
    if (config->patterns == NULL) {
        *why = SPAN("out of memory");
        return -1;
    }
    return patterns_add(config->patterns, pattern, arena, why);
}

struct expr_scope scope_make(struct config *config)
{
    return (struct expr_scope){ .names = scope_names,
                                .list = find_list,
                                .pattern = add_pattern,
                                .unusable = unusable,
                                .owner = config };
}
