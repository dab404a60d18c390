/*
 * Sets of keys. Whatever is taken is within the limits, is for no algorithm but those of its
 * kind that were allowed, and checks nothing that is not a signature.
 */
#include "auth/jwks.h"
#include "auth/strictjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const struct jose_key *key, uint32_t allowed)
{
    static const char zeros[SIGNATURE_BYTES_MAX];
    INVARIANT(key->algs != 0 && (key->algs & ~allowed) == 0);
    INVARIANT((key->algs & ~jose_algs_of(key->kind)) == 0);
    INVARIANT(key->kid.len <= TOKEN_KID_BYTES_MAX);
    if (key->kind == JOSE_RSA)
        INVARIANT(EVP_PKEY_get_bits(key->pkey) >= RSA_BITS_MIN &&
                  EVP_PKEY_get_bits(key->pkey) <= RSA_BITS_MAX);
    if (key->kind == JOSE_SECRET)
        INVARIANT(key->bytes.len >= HMAC_KEY_BYTES_MIN && key->bytes.len <= HMAC_KEY_BYTES_MAX);
    for (unsigned alg = 0; alg < JOSE_ALGS; alg++) {
        INVARIANT(!jose_verify(key, (enum jose_alg)alg, SPAN("text"), span_of(zeros, 64)));
        INVARIANT(!jose_verify(key, (enum jose_alg)alg, SPAN("text"), span_of(zeros, 256)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t allowed = JOSE_ALL_ALGS & ~(1u << JOSE_RS512);
    struct arena arena;
    struct jwks set;
    if (size > 64 * 1024)
        return 0;
    strict_json_init();
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    const char *why = jwks_parse(&set, span_of((const char *)data, size), allowed, &arena);
    INVARIANT((why == NULL) == (set.count > 0));
    INVARIANT(set.count <= JWKS_KEYS_MAX);
    for (size_t i = 0; i < set.count; i++)
        check_key(&set.keys[i], allowed);
    jwks_free(&set);
    arena_reset(&arena);
    return 0;
}
