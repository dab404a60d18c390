/* Documents of providers: see providerdoc.h. */
#include "auth/providerdoc.h"

#include "auth/strictjson.h"
#include "gateway/base/json.h"
#include "gateway/upstream/fetch_url.h"
#include "gateway/upstream/lookup.h"

/* Secrets shared with a provider do not come out of a public set (RFC 8725 section 3.5). */
#define PUBLIC_ALGS (JOSE_ALL_ALGS & ~(1u << JOSE_HS256 | 1u << JOSE_HS384 | 1u << JOSE_HS512))

enum { DISCOVERY_BYTES_MAX = 64 * 1024 };

static const struct {
    const char *name;
    bool asked; /* by us: a browser looks up the others' addresses itself */
    bool needed;
} endpoints[ENDPOINT_COUNT] = {
    [ENDPOINT_AUTHORIZATION] = { "authorization_endpoint", false, true },
    [ENDPOINT_TOKEN] = { "token_endpoint", true, true },
    [ENDPOINT_USERINFO] = { "userinfo_endpoint", true, false },
    [ENDPOINT_END_SESSION] = { "end_session_endpoint", false, false },
    [ENDPOINT_JWKS] = { "jwks_uri", true, true },
};

/* ---- discovery ---- */

const char *provider_url_check(const struct url *url)
{
    bool secure = span_equal(url->scheme, SPAN("https"));

    return secure || host_is_loopback(url->host) ? NULL : "it is not https";
}

bool provider_discovery_url(struct span issuer, struct text *out)
{
    while (issuer.len > 0 && issuer.p[issuer.len - 1] == '/')
        issuer.len--;
    text_add(out, issuer);
    text_lit(out, "/.well-known/openid-configuration");
    return !out->overflow;
}

static bool lists(const json_t *array, const char *wanted)
{
    const json_t *one;
    size_t i;

    json_array_foreach(array, i, one)
    {
        const char *text = json_string_value(one);
        if (text != NULL && strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

static const char *add_host(struct provider_meta *meta, struct span host)
{
    for (unsigned i = 0; i < meta->host_count; i++)
        if (span_equal(meta->hosts[i].name, host))
            return NULL;
    if (meta->host_count == PROVIDER_HOSTS_MAX)
        return "it is on more than 4 hosts";
    meta->hosts[meta->host_count++] = (struct provider_host){ .name = host };
    return NULL;
}

static const char *read_endpoint(const json_t *root, enum provider_endpoint which,
                                 struct arena *arena, struct provider_meta *meta)
{
    struct span text = strict_json_text(root, endpoints[which].name);
    struct url url;

    if (json_object_get(root, endpoints[which].name) == NULL && !endpoints[which].needed)
        return NULL;
    if (text.len == 0)
        return "an endpoint that is needed is not in it";
    const char *why = fetch_url(text, arena, &url);
    if (why == NULL)
        why = provider_url_check(&url);
    if (why != NULL)
        return why;
    meta->endpoints[which] = url.text;
    return endpoints[which].asked ? add_host(meta, url.host) : NULL;
}

const char *provider_discovered(struct span text, struct span issuer, struct arena *arena,
                                struct provider_meta *meta)
{
    json_t *root = strict_json_object(text, DISCOVERY_BYTES_MAX);
    const char *why = NULL;

    *meta = (struct provider_meta){ 0 };
    if (root == NULL)
        return "it is not one JSON object that has each name once";
    /* Discovery section 4.3: another name is another provider, or somebody in between. */
    if (!span_equal(strict_json_text(root, "issuer"), issuer))
        why = "it is of another issuer";
    for (int i = 0; i < ENDPOINT_COUNT && why == NULL; i++)
        why = read_endpoint(root, (enum provider_endpoint)i, arena, meta);
    const json_t *methods = json_object_get(root, "code_challenge_methods_supported");
    if (why == NULL && methods != NULL && !lists(methods, "S256"))
        why = "it does not know PKCE with S256";
    meta->tells_issuer =
        json_is_true(json_object_get(root, "authorization_response_iss_parameter_supported"));
    const json_t *ways = json_object_get(root, "token_endpoint_auth_methods_supported");
    meta->basic_refused = json_is_array(ways) && !lists(ways, "client_secret_basic") &&
                          lists(ways, "client_secret_post");
    json_decref(root);
    return why;
}

/* ---- writing ---- */

static void write_meta(struct json *j, const struct provider_meta *meta)
{
    json_begin_object(j, "provider");
    for (int i = 0; i < ENDPOINT_COUNT; i++)
        if (meta->endpoints[i].len > 0)
            json_text(j, endpoints[i].name, meta->endpoints[i]);
    json_bool(j, "tells_issuer", meta->tells_issuer);
    json_bool(j, "basic_refused", meta->basic_refused);
    json_begin_array(j, "hosts");
    for (unsigned i = 0; i < meta->host_count; i++) {
        const struct provider_host *host = &meta->hosts[i];
        json_begin_object(j, NULL);
        json_text(j, "name", host->name);
        json_begin_array(j, "addresses");
        for (unsigned k = 0; k < host->addr_count; k++) {
            char buffer[64];
            struct text text = text_fixed(buffer, sizeof buffer);
            addr_write(&text, &host->addrs[k]);
            json_text(j, NULL, text_span(&text));
        }
        json_end_array(j);
        json_end_object(j);
    }
    json_end_array(j);
    json_end_object(j);
}

/* Of a JWK what public keys are made of; a private half that was published by mistake stays
 * behind. */
static void write_jwk(struct json *j, const json_t *jwk)
{
    static const char *const members[] = {
        "kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"
    };
    const json_t *ops = json_object_get(jwk, "key_ops");

    if (!json_is_object(jwk) || span_equal(strict_json_text(jwk, "kty"), SPAN("oct")))
        return;
    /* A key without `use` says by its operations what it is for; that is known here. */
    if (ops != NULL && !lists(ops, "verify"))
        return;
    json_begin_object(j, NULL);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        struct span text = strict_json_text(jwk, members[i]);
        if (text.p != NULL)
            json_text(j, members[i], text);
    }
    json_end_object(j);
}

const char *provider_write(struct text *out, const uint8_t key[PROVIDER_KEY_BYTES],
                           const struct provider_meta *meta, struct span jwks, uint32_t algs,
                           struct arena *arena)
{
    char hex[2 * PROVIDER_KEY_BYTES];
    struct text of = text_fixed(hex, sizeof hex);
    struct jwks set;
    const char *why = jwks_parse(&set, jwks, algs & PUBLIC_ALGS, arena);

    if (why != NULL)
        return why;
    jwks_free(&set);
    json_t *root = strict_json_object(jwks, JWKS_BYTES_MAX), *jwk;
    if (root == NULL)
        return "it is not a JWK set";
    size_t i;
    struct json j = json_writer(out);
    text_hex(&of, key, PROVIDER_KEY_BYTES);
    json_begin_object(&j, NULL);
    json_text(&j, "of", text_span(&of));
    json_begin_array(&j, "keys");
    json_array_foreach(json_object_get(root, "keys"), i, jwk) write_jwk(&j, jwk);
    json_end_array(&j);
    if (meta != NULL)
        write_meta(&j, meta);
    json_end_object(&j);
    json_decref(root);
    return out->overflow || out->len > PROVIDER_DOC_BYTES_MAX ? "it is too large" : NULL;
}

/* ---- reading ---- */

bool provider_document_valid(struct span document)
{
    json_t *root = strict_json_object(document, PROVIDER_DOC_BYTES_MAX);
    bool good = root != NULL && json_is_array(json_object_get(root, "keys"));

    json_decref(root);
    return good;
}

static bool read_host(const json_t *from, struct arena *arena, struct provider_host *host)
{
    const json_t *addresses = json_object_get(from, "addresses"), *one;
    size_t i;

    host->name = arena_copy(arena, strict_json_text(from, "name"));
    json_array_foreach(addresses, i, one)
    {
        if (host->addr_count == PROVIDER_ADDRESSES_MAX || !json_is_string(one) ||
            !addr_parse(span_text(json_string_value(one)), &host->addrs[host->addr_count]))
            return false;
        host->addr_count++;
    }
    return host->name.p != NULL;
}

static bool read_meta(const json_t *from, struct arena *arena, struct provider_meta *meta)
{
    const json_t *hosts = json_object_get(from, "hosts"), *one;
    size_t i;

    for (int at = 0; at < ENDPOINT_COUNT; at++) {
        struct span text = strict_json_text(from, endpoints[at].name);
        struct url url;
        if (text.len == 0)
            continue;
        if (fetch_url(text, arena, &url) != NULL)
            return false;
        meta->endpoints[at] = url.text;
    }
    meta->tells_issuer = json_is_true(json_object_get(from, "tells_issuer"));
    meta->basic_refused = json_is_true(json_object_get(from, "basic_refused"));
    json_array_foreach(hosts, i, one)
    {
        if (meta->host_count == PROVIDER_HOSTS_MAX ||
            !read_host(one, arena, &meta->hosts[meta->host_count]))
            return false;
        meta->host_count++;
    }
    return true;
}

bool provider_read(struct span document, const uint8_t key[PROVIDER_KEY_BYTES], uint32_t algs,
                   struct arena *arena, struct jwks *keys, struct provider_meta *meta)
{
    char hex[2 * PROVIDER_KEY_BYTES];
    struct text of = text_fixed(hex, sizeof hex);
    json_t *root = strict_json_object(document, PROVIDER_DOC_BYTES_MAX);
    const json_t *provider = json_object_get(root, "provider");

    text_hex(&of, key, PROVIDER_KEY_BYTES);
    *meta = (struct provider_meta){ 0 };
    *keys = (struct jwks){ 0 };
    /* A worker of an earlier configuration counts its snapshots in another way. */
    bool good = root != NULL && span_equal(strict_json_text(root, "of"), text_span(&of));
    good = good && (provider == NULL || read_meta(provider, arena, meta));
    json_decref(root);
    return good && jwks_parse(keys, document, algs & PUBLIC_ALGS, arena) == NULL;
}

unsigned provider_addresses(const struct provider_meta *meta, struct span host,
                            struct addr *out, unsigned max)
{
    for (unsigned i = 0; i < meta->host_count; i++) {
        const struct provider_host *from = &meta->hosts[i];
        unsigned count = from->addr_count < max ? from->addr_count : max;
        if (!span_equal(from->name, host))
            continue;
        memcpy(out, from->addrs, count * sizeof *out);
        return count;
    }
    return 0;
}
