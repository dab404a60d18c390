/*
 * Bearer tokens. Nothing but what the one key signed is ever let in: the fuzzer has no key, so
 * whatever is verified is a forgery. What is taken apart is within the limits. The first byte
 * says whether claims, a header, or the whole token are given.
 */
#include "auth/base64url.h"
#include "auth/strictjson.h"
#include "auth/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char keys[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"a\",\"crv\":\"Ed25519\",\"x\":"
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"oct\",\"kid\":\"b\",\"k\":"
    "\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\""
    "}]}";

static void try_token(struct span token, struct arena *arena)
{
    static struct span audience[] = { SPAN_INIT("api") };
    struct token_issuer issuer = { .name = SPAN("i"),
                                   .audience = { audience, 1 },
                                   .user_claim = SPAN("sub"),
                                   .groups_claim = SPAN("a.groups"),
                                   .lifetime_s = 86400 };
    INVARIANT(jwks_parse(&issuer.keys, span_text(keys), JOSE_ALL_ALGS, arena) == NULL);
    INVARIANT(issuer.keys.count == 2);
    struct jws jws;
    struct verified *verified = NULL;
    enum jose_error parsed = jws_parse(&jws, token, arena);
    enum jose_error error = token_verify(&issuer, 1, token, 1800000000, arena, &verified);
    INVARIANT(error != JOSE_OK);
    INVARIANT(parsed == JOSE_OK || error == parsed);
    if (parsed == JOSE_OK) {
        INVARIANT(jws.alg < JOSE_ALGS && jws.signature_len <= SIGNATURE_BYTES_MAX);
        INVARIANT(jws.kid.len <= TOKEN_KID_BYTES_MAX && token.len <= TOKEN_BYTES_MAX);
        INVARIANT(jws.signed_text.p == token.p && jws.signed_text.len < token.len);
    }
    jwks_free(&issuer.keys);
}

/* What is decoded is encoded to the same text again: there is one spelling. */
static void check_base64url(struct span text, struct arena *arena)
{
    size_t max = base64url_size(text.len), len;
    char *bytes = arena_alloc(arena, max);
    INVARIANT(bytes != NULL);
    if (!base64url_decode(text, bytes, max, &len))
        return;
    INVARIANT(len == max);
    struct text again = text_growing(arena, text.len);
    base64url_encode(&again, span_of(bytes, len));
    INVARIANT(span_equal(text_span(&again), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size < 1 || size > 16 * 1024)
        return 0;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    struct span rest = span_of((const char *)data + 1, size - 1);
    struct text token = text_growing(&arena, 2 * size + 64);
    check_base64url(rest, &arena);
    if (data[0] == 'c') {
        text_lit(&token, "eyJhbGciOiJIUzI1NiJ9.");
        base64url_encode(&token, rest);
        text_lit(&token, ".AAAA");
    } else if (data[0] == 'h') {
        base64url_encode(&token, rest);
        text_lit(&token, ".eyJpc3MiOiJpIn0.AAAA");
    } else {
        text_add(&token, rest);
    }
    try_token(text_span(&token), &arena);
    arena_reset(&arena);
    return 0;
}
