/* What an OpenID provider says: each check by itself, with vectors of the specifications. */
#include "auth/oidc_tokens.h"

#include <jansson.h>
#include <stdio.h>

#include "auth/forge.h"
#include "auth/strictjson.h"

#include "tests/unit/check.h"

#define NOW 1700000000
#define ACCESS "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"

static struct forge forge;
static struct token_issuer issuer;
static struct arena arena;
static struct span audience[] = { SPAN_INIT("us") };
static struct span types[] = { SPAN_INIT("JWT"), SPAN_INIT("logout+jwt") };

static int open_all(void **state)
{
    (void)state;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 8 << 20);
    assert_true(forge_open(&forge));
    issuer = (struct token_issuer){ .name = SPAN("https://id.test"),
                                    .audience = { audience, 1 },
                                    .types = { types, 2 },
                                    .user_claim = SPAN("sub"),
                                    .lifetime_s = 86400,
                                    .skew_s = 60 };
    assert_null(jwks_parse(&issuer.keys, forge.jwks, JOSE_ALL_ALGS, &arena));
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    jwks_free(&issuer.keys);
    forge_close(&forge);
    arena_reset(&arena);
    return 0;
}

static struct span token_of(const char *claims)
{
    struct span text = forge_signing_text(&forge, "{\"alg\":\"RS256\"}", claims);
    return forge_join(&forge, text,
                      forge_sign(&forge, forge.keys[FORGE_RSA], JOSE_RS256, text));
}

#define CLAIMS(more)                                                                           \
    "{\"iss\":\"https://id.test\",\"aud\":\"us\",\"iat\":1700000000,\"exp\":1700000300," more  \
    "}"

static const char *check(const char *claims, struct oidc_expect expect)
{
    struct trusted trusted;
    expect.issuer = &issuer;
    expect.client_id = SPAN("us");
    const char *why = oidc_id_token(&expect, token_of(claims), NOW, &arena, &trusted);
    assert_true((why == NULL) == (trusted.claims != NULL));
    json_decref(trusted.claims);
    return why;
}

static void id_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *why; /* NULL: taken */
    } rows[] = {
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\""), NULL },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"azp\":\"us\""), NULL },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"m\""), "oidc-nonce" },
        { CLAIMS("\"sub\":\"a\""), "oidc-nonce" },
        { CLAIMS("\"sub\":\"a\",\"nonce\":[\"n\"]"), "oidc-nonce" },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"azp\":\"them\""), "oidc-azp" },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"azp\":5"), "oidc-azp" },
        { CLAIMS("\"nonce\":\"n\""), "oidc-subject" },
        { CLAIMS("\"sub\":\"\",\"nonce\":\"n\""), "oidc-subject" },
        { CLAIMS("\"sub\":\"a\\u0001\",\"nonce\":\"n\""), "oidc-subject" },
        /* Core, appendix A.3's access token and its hash; then another one. */
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RQ\""),
          NULL },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RA\""),
          "oidc-at-hash" },
        { CLAIMS("\"sub\":\"a\",\"nonce\":\"n\",\"at_hash\":7"), "oidc-at-hash" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why =
            check(rows[i].claims,
                  (struct oidc_expect){ .nonce = SPAN("n"), .access_token = SPAN(ACCESS) });
        if ((why == NULL) != (rows[i].why == NULL) ||
            (why != NULL && strcmp(why, rows[i].why) != 0))
            fail_msg("%s: %s", rows[i].claims, why != NULL ? why : "taken");
    }
    assert_string_equal(check("{\"iss\":\"https://id.test\",\"aud\":[\"us\",\"them\"],"
                              "\"iat\":1700000000,\"exp\":1700000300,\"sub\":\"a\"}",
                              (struct oidc_expect){ 0 }),
                        "oidc-azp");
    assert_string_equal(check("{\"iss\":\"https://id.test\",\"aud\":\"us\",\"exp\":1700000300,"
                              "\"sub\":\"a\"}",
                              (struct oidc_expect){ 0 }),
                        "token-claims");
    assert_string_equal(
        check(CLAIMS("\"sub\":\"b\""), (struct oidc_expect){ .subject = SPAN("a") }),
        "oidc-other-subject");
    assert_null(check(CLAIMS("\"sub\":\"a\""), (struct oidc_expect){ .subject = SPAN("a") }));
}

static void proofs_and_names(void **state)
{
    (void)state;
    char one[OIDC_NONCE_BYTES], other[OIDC_NONCE_BYTES];
    struct text out = text_growing(&arena, 64);
    /* RFC 7636, appendix B. */
    oidc_challenge(&out, SPAN("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert_text(text_span(&out), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    oidc_random(one);
    oidc_random(other);
    assert_memory_not_equal(one, other, sizeof one);

    out = text_growing(&arena, 64);
    oidc_basic(&out, SPAN("a:b"), SPAN("s+/&\xc3\xa4"));
    assert_text(text_span(&out), "Basic YSUzQWI6cyUyQiUyRiUyNiVDMyVBNA==");
    out = text_growing(&arena, 64);
    oidc_param(&out, SPAN("a"), SPAN("b c&d=e"));
    oidc_param(&out, SPAN("f"), SPAN("~\n"));
    assert_text(text_span(&out), "a=b%20c%26d%3De&f=~%0A");
}

static void returns(void **state)
{
    (void)state;
    static const struct {
        const char *query, *why;
    } rows[] = {
        { "code=c&state=s", NULL },
        { "code=c&state=s&session_state=x", NULL },
        { "error=access_denied&state=s", NULL },
        { "code=c", "oidc-state" },
        { "state=s", "oidc-code" },
        { "code=&state=s", "oidc-code" },
        { "code=c&state=s&state=t", "oidc-parameters" },
        { "code=c&code=d&state=s", "oidc-parameters" },
        { "co%64e=c&code=d&state=s", "oidc-parameters" },
        { "", "oidc-state" },
    };
    struct oidc_return back;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why = oidc_returned(span_text(rows[i].query), &arena, &back);
        if ((why == NULL) != (rows[i].why == NULL) ||
            (why != NULL && strcmp(why, rows[i].why) != 0))
            fail_msg("%s: %s", rows[i].query, why != NULL ? why : "taken");
    }
    assert_null(oidc_returned(SPAN("error=%3Cscript%3E&state=s"), &arena, &back));
    assert_text(back.error, "unknown");

    char query[OIDC_CODE_MAX + 32];
    for (unsigned over = 0; over < 2; over++) {
        int len = snprintf(query, sizeof query, "state=s&code=");
        memset(query + len, 'x', OIDC_CODE_MAX + over);
        const char *why =
            oidc_returned(span_of(query, (size_t)len + OIDC_CODE_MAX + over), &arena, &back);
        assert_true((why == NULL) == (over == 0));
    }
}

static void token_answers(void **state)
{
    (void)state;
    struct oidc_tokens tokens;
    bool gone;
    assert_null(oidc_answer(200,
                            SPAN("{\"token_type\":\"bearer\",\"access_token\":\"a\","
                                 "\"refresh_token\":\"r\",\"expires_in\":60}"),
                            &arena, &tokens, &gone));
    assert_text(tokens.refresh_token, "r");
    assert_int_equal(tokens.lasts_s, 60);
    assert_null(oidc_answer(200,
                            SPAN("{\"token_type\":\"Bearer\",\"access_token\":\"a\","
                                 "\"expires_in\":-60}"),
                            &arena, &tokens, &gone));
    assert_int_equal(tokens.lasts_s, 0);
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"token_type\":\"mac\",\"access_token\":\"a\"}",
        "{\"token_type\":\"Bearer\"}",
        "{\"token_type\":\"Bearer\",\"access_token\":7}",
        "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"access_token\":\"b\"}",
        "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"id_token\":{}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_non_null(oidc_answer(200, span_text(bad[i]), &arena, &tokens, &gone));
        assert_false(gone);
    }
    assert_non_null(
        oidc_answer(400, SPAN("{\"error\":\"invalid_grant\"}"), &arena, &tokens, &gone));
    assert_true(gone);
    assert_non_null(
        oidc_answer(400, SPAN("{\"error\":\"invalid_client\"}"), &arena, &tokens, &gone));
    assert_false(gone); /* our trouble, not the user's */
    assert_non_null(oidc_answer(503, SPAN(""), &arena, &tokens, &gone));
    assert_false(gone);

    struct text text = text_growing(&arena, 4096);
    text_lit(&text, "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"refresh_token\":\"");
    for (unsigned i = 0; i < OIDC_REFRESH_TOKEN_MAX + 1; i++)
        text_char(&text, 'r');
    text_lit(&text, "\"}");
    assert_non_null(oidc_answer(200, text_span(&text), &arena, &tokens, &gone));
}

static void userinfo_is_of_the_same_one(void **state)
{
    (void)state;
    static const struct {
        const char *type, *body;
        bool good;
    } rows[] = {
        { "application/json", "{\"sub\":\"a\",\"email\":\"x\",\"groups\":[\"g\"]}", true },
        { "Application/JSON; charset=utf-8", "{\"sub\":\"a\"}", true },
        { "application/jwt", "{\"sub\":\"a\"}", false },
        { "application/json", "{\"sub\":\"b\"}", false },
        { "application/json", "{\"email\":\"x\"}", false },
        { "application/json", "{\"sub\":[\"a\"]}", false },
        { "application/json", "{\"sub\":\"a\",\"sub\":\"a\"}", false },
        { "", "{\"sub\":\"a\"}", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct trusted trusted = { .claims =
                                       json_pack("{s:s,s:s}", "sub", "a", "email", "signed") };
        const char *why =
            oidc_userinfo(&trusted, 200, span_text(rows[i].type), span_text(rows[i].body));
        if ((why == NULL) != rows[i].good)
            fail_msg("%s", rows[i].body);
        assert_text(strict_json_text(trusted.claims, "email"), "signed");
        json_decref(trusted.claims);
    }
}

#define EVENT "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static void logout_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *claims, *why;
    } rows[] = {
        { CLAIMS(EVENT ",\"jti\":\"1\",\"sub\":\"a\""), NULL },
        { CLAIMS(EVENT ",\"jti\":\"1\",\"sid\":\"s\""), NULL },
        { CLAIMS(EVENT ",\"jti\":\"1\""), "oidc-logout-subject" },
        { CLAIMS(EVENT ",\"sub\":\"a\""), "token-claims" },
        { CLAIMS(EVENT ",\"jti\":\"1\",\"sub\":\"a\",\"nonce\":\"n\""), "oidc-logout-nonce" },
        { CLAIMS("\"jti\":\"1\",\"sub\":\"a\""), "oidc-logout-event" },
        { CLAIMS("\"events\":[],\"jti\":\"1\",\"sub\":\"a\""), "oidc-logout-event" },
        { CLAIMS(EVENT ",\"jti\":\"1\",\"sub\":7"), "oidc-logout-subject" },
    };
    struct oidc_logout out;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why =
            oidc_logout_token(&issuer, token_of(rows[i].claims), NOW, &arena, &out);
        if ((why == NULL) != (rows[i].why == NULL) ||
            (why != NULL && strcmp(why, rows[i].why) != 0))
            fail_msg("%s: %s", rows[i].claims, why != NULL ? why : "taken");
    }
    assert_string_equal(oidc_logout_token(&issuer, SPAN("a.b.c"), NOW, &arena, &out),
                        "token-base64");
}

#define ALL(fn) cmocka_unit_test_setup_teardown(fn, open_all, close_all)

int main(void)
{
    return RUN(ALL(id_tokens), ALL(proofs_and_names), ALL(returns), ALL(token_answers),
               ALL(userinfo_is_of_the_same_one), ALL(logout_tokens));
}
