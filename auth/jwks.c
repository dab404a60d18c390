/* The members of a JWK that make a key, by kind; then PEM. */
#include "auth/jwks.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

#include "auth/base64url.h"
#include "auth/strictjson.h"
#include "gateway/base/secret.h"

enum { NUMBER_BYTES_MAX = 1024, POINT_BYTES_MAX = 1 + 2 * 48 };

/* ---- one JWK ---- */

/* False when the member is not there, empty, or no base64url of at most `max` bytes. */
static bool read_bytes(const json_t *jwk, const char *name, uint8_t *out, size_t max,
                       size_t *len)
{
    struct span text = strict_json_text(jwk, name);
    return text.len > 0 && base64url_decode(text, out, max, len) && *len > 0;
}

static EVP_PKEY *from_params(const char *kind, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    EVP_PKEY *pkey = NULL;
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    return pkey;
}

static const char *read_rsa(struct jose_key *key, const json_t *jwk)
{
    uint8_t n[NUMBER_BYTES_MAX], e[NUMBER_BYTES_MAX];
    size_t n_len, e_len;
    if (!read_bytes(jwk, "n", n, sizeof(n), &n_len) ||
        !read_bytes(jwk, "e", e, sizeof(e), &e_len))
        return "an RSA key has n and e";
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn = BN_bin2bn(n, (int)n_len, NULL), *be = BN_bin2bn(e, (int)e_len, NULL);
    EVP_PKEY *pkey = NULL;
    if (build != NULL && bn != NULL && be != NULL &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, be) == 1)
        pkey = from_params("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn);
    BN_free(be);
    return pkey != NULL ? jose_key_public(key, pkey) : "the RSA key cannot be read";
}

static const char *read_ec(struct jose_key *key, const json_t *jwk)
{
    static const struct {
        struct span crv;
        const char *group;
        size_t half;
    } curves[] = { { SPAN_INIT("P-256"), "P-256", 32 }, { SPAN_INIT("P-384"), "P-384", 48 } };
    uint8_t point[POINT_BYTES_MAX];
    struct span crv = strict_json_text(jwk, "crv");
    size_t i = 0, x_len, y_len;
    while (i < ARRAY_LEN(curves) && !span_equal(curves[i].crv, crv))
        i++;
    if (i == ARRAY_LEN(curves))
        return "an EC key is on P-256 or P-384";
    /* RFC 7518 section 6.2.1.2: always the curve's full length. */
    size_t half = curves[i].half;
    point[0] = 4; /* uncompressed */
    if (!read_bytes(jwk, "x", point + 1, half, &x_len) || x_len != half ||
        !read_bytes(jwk, "y", point + 1 + half, half, &y_len) || y_len != half)
        return "an EC key has x and y of the curve's length";
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group,
                                        0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * half) ==
            1)
        pkey = from_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey != NULL ? jose_key_public(key, pkey) : "the point is not on its curve";
}

static const char *read_okp(struct jose_key *key, const json_t *jwk)
{
    uint8_t x[NUMBER_BYTES_MAX];
    size_t len;
    if (!span_equal(strict_json_text(jwk, "crv"), SPAN("Ed25519")))
        return "an OKP key is on Ed25519";
    if (!read_bytes(jwk, "x", x, sizeof(x), &len))
        return "an Ed25519 key has x";
    return jose_key_ed25519(key, span_of((char *)x, len));
}

static const char *read_oct(struct jose_key *key, const json_t *jwk)
{
    uint8_t k[NUMBER_BYTES_MAX];
    size_t len;
    if (!read_bytes(jwk, "k", k, sizeof(k), &len))
        return "an oct key has k";
    const char *wrong = jose_key_secret(key, span_of((char *)k, len));
    wipe(k, sizeof(k));
    return wrong;
}

/* `use` and `key_ops` of RFC 7517: a key that is there to encrypt signs nothing. */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *ops = json_object_get(jwk, "key_ops"), *op;
    const json_t *use = json_object_get(jwk, "use");
    size_t i;
    if (use != NULL && !span_equal(strict_json_text(jwk, "use"), SPAN("sig")))
        return false;
    if (ops == NULL)
        return true;
    json_array_foreach(ops, i, op) if (json_is_string(op) && strcmp(json_string_value(op),
                                                                    "verify") == 0) return true;
    return false;
}

static const char *read_names(struct jose_key *key, const json_t *jwk, uint32_t *algs,
                              struct arena *arena)
{
    struct span kid = strict_json_text(jwk, "kid"), alg = strict_json_text(jwk, "alg");
    if (json_object_get(jwk, "kid") != NULL) {
        if (kid.len == 0 || kid.len > TOKEN_KID_BYTES_MAX)
            return "kid is a text of 1 to 256 bytes";
        key->kid = arena_copy(arena, kid);
        if (key->kid.p == NULL)
            return "out of memory";
    }
    if (json_object_get(jwk, "alg") != NULL) {
        enum jose_alg one = jose_alg_of(alg);
        *algs &= one < JOSE_ALGS ? 1u << one : 0;
    }
    return NULL;
}

static const char *read_jwk(struct jose_key *key, const json_t *jwk, uint32_t algs,
                            struct arena *arena)
{
    static const struct {
        struct span kty;
        const char *(*read)(struct jose_key *key, const json_t *jwk);
    } kinds[] = {
        { SPAN_INIT("RSA"), read_rsa },
        { SPAN_INIT("EC"), read_ec },
        { SPAN_INIT("OKP"), read_okp },
        { SPAN_INIT("oct"), read_oct },
    };
    struct span kty = strict_json_text(jwk, "kty");
    size_t i = 0;
    while (i < ARRAY_LEN(kinds) && !span_equal(kinds[i].kty, kty))
        i++;
    if (i == ARRAY_LEN(kinds))
        return "a key is RSA, EC, OKP or oct";
    if (!is_for_signatures(jwk))
        return "the key is not for signatures";
    const char *wrong = read_names(key, jwk, &algs, arena);
    if (wrong == NULL)
        wrong = kinds[i].read(key, jwk);
    if (wrong == NULL && !jose_key_ready(key, algs))
        wrong = "out of memory";
    if (wrong == NULL && key->algs == 0)
        wrong = "the key is for none of the algorithms that are allowed";
    return wrong;
}

/* ---- sets ---- */

static void skip(struct jwks *set, struct jose_key *key, const char *why)
{
    jose_key_free(key);
    set->skipped++;
    set->skipped_why = why;
}

static const char *parse_set(struct jwks *set, struct span text, uint32_t algs,
                             struct arena *arena)
{
    json_t *root = strict_json_object(text, JWKS_BYTES_MAX), *jwk;
    const json_t *keys = json_object_get(root, "keys");
    const char *wrong = NULL;
    size_t i;
    if (root == NULL)
        wrong = "not one JSON object that has each name once";
    else if (!json_is_array(keys))
        wrong = "a JWK set is an object with an array `keys`";
    else if (json_array_size(keys) > JWKS_KEYS_MAX)
        wrong = "a set has at most 64 keys";
    if (wrong == NULL)
        json_array_foreach(keys, i, jwk)
        {
            const char *why = read_jwk(&set->keys[set->count], jwk, algs, arena);
            if (why == NULL)
                set->count++;
            else
                skip(set, &set->keys[set->count], why);
        }
    json_decref(root);
    return wrong;
}

static EVP_PKEY *read_pem(BIO *bio)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    long len;
    EVP_PKEY *pkey = NULL;
    if (PEM_read_bio(bio, &name, &header, &data, &len) != 1)
        return NULL;
    const unsigned char *at = data;
    if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
        pkey = d2i_PUBKEY(NULL, &at, len);
    } else if (strcmp(name, PEM_STRING_X509) == 0) {
        X509 *certificate = d2i_X509(NULL, &at, len);
        pkey = certificate != NULL ? X509_get_pubkey(certificate) : NULL;
        X509_free(certificate);
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(data);
    return pkey;
}

/* Public keys and certificates; a private key has no business here and is refused. */
static const char *parse_pem(struct jwks *set, struct span text, uint32_t algs)
{
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.len);
    const char *wrong = bio == NULL ? "out of memory" : NULL;
    EVP_PKEY *pkey;
    while (wrong == NULL && (pkey = read_pem(bio)) != NULL) {
        struct jose_key *key = &set->keys[set->count];
        if (set->count == JWKS_KEYS_MAX) {
            EVP_PKEY_free(pkey);
            wrong = "a set has at most 64 keys";
            break;
        }
        wrong = jose_key_public(key, pkey);
        if (wrong == NULL && !jose_key_ready(key, algs))
            wrong = "out of memory";
        if (wrong != NULL)
            jose_key_free(key);
        else if (key->algs == 0)
            skip(set, key, "the key is for none of the algorithms that are allowed");
        else
            set->count++;
    }
    bool ended = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PEM &&
                 ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (wrong == NULL && !ended)
        wrong = "something in it is neither a public key nor a certificate";
    ERR_clear_error();
    BIO_free(bio);
    return wrong;
}

const char *jwks_parse(struct jwks *set, struct span text, uint32_t algs, struct arena *arena)
{
    *set = (struct jwks){ .keys = arena_array(arena, struct jose_key, JWKS_KEYS_MAX) };
    struct span begin = text;
    while (begin.len > 0 && strchr(" \t\r\n", begin.p[0]) != NULL)
        begin = span_sub(begin, 1, begin.len);
    const char *wrong;
    if (set->keys == NULL)
        wrong = "out of memory";
    else if (text.len > JWKS_BYTES_MAX)
        wrong = "a set of keys has at most 256 KiB";
    else if (begin.len > 0 && begin.p[0] == '{')
        wrong = parse_set(set, text, algs, arena);
    else
        wrong = parse_pem(set, text, algs);
    if (wrong == NULL && set->count == 0)
        wrong = set->skipped > 0 ? set->skipped_why : "there is no key in it";
    if (wrong != NULL)
        jwks_free(set);
    return wrong;
}

void jwks_free(struct jwks *set)
{
    for (size_t i = 0; i < set->count; i++)
        jose_key_free(&set->keys[i]);
    set->count = 0;
}

static bool fits(const struct jose_key *key, enum jose_alg alg, struct span kid, bool by_id)
{
    if ((key->algs >> alg & 1) == 0)
        return false;
    if (by_id)
        return kid.p != NULL && key->kid.p != NULL && span_equal(key->kid, kid);
    return kid.p == NULL || key->kid.p == NULL;
}

size_t jwks_fitting(const struct jwks *set, enum jose_alg alg, struct span kid,
                    const struct jose_key *out[JWKS_FITTING_MAX])
{
    size_t count = 0;
    for (unsigned round = 0; round < 2; round++)
        for (size_t i = 0; i < set->count && count < JWKS_FITTING_MAX; i++)
            if (fits(&set->keys[i], alg, kid, round == 0))
                out[count++] = &set->keys[i];
    return count;
}
