/* Documents of providers: what discovery may say, what goes on to workers, what they read. */
#include "auth/providerdoc.h"

#include <stdio.h>

#include "auth/strictjson.h"
#include "gateway/upstream/fetch_url.h"

#include "tests/unit/check.h"

#define ISSUER "https://id.example"
#define KEYS                                                                                   \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","                           \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":\"c2VjcmV0\"},"               \
    "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}"

static struct arena arena;
static const uint8_t key[PROVIDER_KEY_BYTES] = { 1, 2, 3 };

static int set_up(void **state)
{
    (void)state;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 4 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static struct span document(const char *more)
{
    struct text text = text_growing(&arena, 1024);
    text_lit(&text, "{\"issuer\":\"" ISSUER "\","
                    "\"authorization_endpoint\":\"" ISSUER "/a?p=1\","
                    "\"token_endpoint\":\"https://Tokens.example/t\","
                    "\"jwks_uri\":\"" ISSUER "/k\"");
    text_add(&text, span_text(more));
    text_lit(&text, "}");
    return text_span(&text);
}

static void discovery_is_read(void **state)
{
    (void)state;
    struct provider_meta meta;
    const char *more = ",\"userinfo_endpoint\":\"" ISSUER "/u\","
                       "\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
                       "\"token_endpoint_auth_methods_supported\":[\"client_secret_post\"],"
                       "\"authorization_response_iss_parameter_supported\":true";
    assert_null(provider_discovered(document(more), SPAN(ISSUER), &arena, &meta));
    assert_text(meta.endpoints[ENDPOINT_AUTHORIZATION], ISSUER "/a?p=1");
    assert_text(meta.endpoints[ENDPOINT_USERINFO], ISSUER "/u");
    assert_int_equal(meta.endpoints[ENDPOINT_END_SESSION].len, 0);
    assert_true(meta.tells_issuer && meta.basic_refused);
    assert_int_equal(meta.host_count, 2);
    assert_text(meta.hosts[0].name, "tokens.example");
    assert_text(meta.hosts[1].name, "id.example");
}

static void discovery_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"issuer\":\"" ISSUER "\"}",
        /* another issuer, also one that is only nearly the same */
        "{\"issuer\":\"" ISSUER "/\",\"authorization_endpoint\":\"" ISSUER
        "/a\",\"token_endpoint\":\"" ISSUER "/t\",\"jwks_uri\":\"" ISSUER "/k\"}",
        /* http, elsewhere */
        "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"" ISSUER
        "/a\",\"token_endpoint\":\"http://id.example/t\",\"jwks_uri\":\"" ISSUER "/k\"}",
        "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":\"javascript:alert(1)\","
        "\"token_endpoint\":\"" ISSUER "/t\",\"jwks_uri\":\"" ISSUER "/k\"}",
        "{\"issuer\":\"" ISSUER "\",\"authorization_endpoint\":5,"
        "\"token_endpoint\":\"" ISSUER "/t\",\"jwks_uri\":\"" ISSUER "/k\"}",
    };
    struct provider_meta meta;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_non_null(provider_discovered(span_text(texts[i]), SPAN(ISSUER), &arena, &meta));
    assert_non_null(
        provider_discovered(document(",\"code_challenge_methods_supported\":[\"plain\"]"),
                            SPAN(ISSUER), &arena, &meta));
    assert_non_null(provider_discovered(document(",\"userinfo_endpoint\":\"ftp://x/\""),
                                        SPAN(ISSUER), &arena, &meta));
    assert_non_null(provider_discovered(document(",\"issuer\":\"https://other.example\""),
                                        SPAN(ISSUER), &arena, &meta));
}

static void only_public_halves_go_on(void **state)
{
    (void)state;
    struct text out = text_growing(&arena, 1024);
    struct provider_meta meta, read;
    struct jwks keys;
    assert_null(provider_discovered(document(""), SPAN(ISSUER), &arena, &meta));
    assert_true(addr_parse(SPAN("192.0.2.7"), &meta.hosts[0].addrs[0]));
    meta.hosts[0].addr_count = 1;
    assert_null(provider_write(&out, key, &meta, SPAN(KEYS), JOSE_ALL_ALGS, &arena));
    assert_true(span_find(text_span(&out), SPAN("c2VjcmV0")) < 0);
    assert_true(span_find(text_span(&out), SPAN("oct")) < 0);
    assert_true(provider_document_valid(text_span(&out)));

    assert_true(provider_read(text_span(&out), key, JOSE_ALL_ALGS, &arena, &keys, &read));
    assert_int_equal(keys.count, 1);
    jwks_free(&keys);
    assert_text(read.endpoints[ENDPOINT_TOKEN], "https://Tokens.example/t");
    struct addr addr;
    assert_int_equal(provider_addresses(&read, SPAN("tokens.example"), &addr, 1), 1);
    assert_true(addr_equal(&addr, &meta.hosts[0].addrs[0]));
    assert_int_equal(provider_addresses(&read, SPAN("id.example"), &addr, 1), 0);
    assert_int_equal(provider_addresses(&read, SPAN("other.example"), &addr, 1), 0);

    /* A worker of another configuration gets it under the same number. */
    uint8_t other[PROVIDER_KEY_BYTES] = { 1, 2, 4 };
    assert_false(provider_read(text_span(&out), other, JOSE_ALL_ALGS, &arena, &keys, &read));
}

static void a_secret_is_no_key_of_a_public_set(void **state)
{
    (void)state;
    struct text out = text_growing(&arena, 1024);
    struct provider_meta meta;
    struct jwks keys;
    static const char secret[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}";
    assert_non_null(provider_write(&out, key, NULL, span_text(secret), JOSE_ALL_ALGS, &arena));

    /* Nor where the steward itself has been taken over. */
    struct text forged = text_growing(&arena, 1024);
    text_lit(&forged, "{\"of\":\"");
    text_hex(&forged, key, sizeof key);
    text_lit(&forged, "\",");
    text_add(&forged, span_of(secret + 1, sizeof secret - 2));
    assert_true(provider_document_valid(text_span(&forged)));
    assert_false(provider_read(text_span(&forged), key, JOSE_ALL_ALGS, &arena, &keys, &meta));
}

static void urls_are_https_or_of_this_machine(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        { "https://id.example/", true },        { "http://id.example/", false },
        { "http://127.0.0.1:99/", true },       { "http://[::1]/", true },
        { "http://localhost/", true },          { "http://localhost.example/", false },
        { "http://128.0.0.1/", false },         { "http://[::2]/", false },
        { "http://127.0.0.1.example/", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url url;
        assert_null(fetch_url(span_text(rows[i].url), &arena, &url));
        if ((provider_url_check(&url) == NULL) != rows[i].good)
            fail_msg("%s", rows[i].url);
    }
    char buffer[64];
    struct text text = text_fixed(buffer, sizeof buffer);
    assert_true(provider_discovery_url(SPAN("https://a//"), &text));
    assert_text(text_span(&text), "https://a/.well-known/openid-configuration");
}

#define DOC(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    return RUN(DOC(discovery_is_read), DOC(discovery_is_refused), DOC(only_public_halves_go_on),
               DOC(a_secret_is_no_key_of_a_public_set), DOC(urls_are_https_or_of_this_machine));
}
