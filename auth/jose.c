/* Everything about an algorithm stands in one row of `algs`. */
#include "auth/jose.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/base64url.h"
#include "auth/rsa52.h"
#include "auth/strictjson.h"
#include "gateway/base/secret.h"

enum { EC_HALF_MAX = 48, DER_BYTES_MAX = 128 };

struct alg_row {
    struct span name;
    enum jose_kind kind;
    const EVP_MD *(*md)(void); /* NULL: the algorithm has its own */
    int padding;               /* RSA */
    enum rsa_hash hash;        /* RSA_PKCS1_PADDING */
};

static const struct alg_row algs[JOSE_ALGS] = {
    [JOSE_RS256] = { SPAN_INIT("RS256"), JOSE_RSA, EVP_sha256, RSA_PKCS1_PADDING, RSA_SHA256 },
    [JOSE_RS384] = { SPAN_INIT("RS384"), JOSE_RSA, EVP_sha384, RSA_PKCS1_PADDING, RSA_SHA384 },
    [JOSE_RS512] = { SPAN_INIT("RS512"), JOSE_RSA, EVP_sha512, RSA_PKCS1_PADDING, RSA_SHA512 },
    [JOSE_PS256] = { SPAN_INIT("PS256"), JOSE_RSA, EVP_sha256, RSA_PKCS1_PSS_PADDING, 0 },
    [JOSE_PS384] = { SPAN_INIT("PS384"), JOSE_RSA, EVP_sha384, RSA_PKCS1_PSS_PADDING, 0 },
    [JOSE_PS512] = { SPAN_INIT("PS512"), JOSE_RSA, EVP_sha512, RSA_PKCS1_PSS_PADDING, 0 },
    [JOSE_ES256] = { SPAN_INIT("ES256"), JOSE_P256, EVP_sha256, 0, 0 },
    [JOSE_ES384] = { SPAN_INIT("ES384"), JOSE_P384, EVP_sha384, 0, 0 },
    [JOSE_EDDSA] = { SPAN_INIT("EdDSA"), JOSE_ED25519, NULL, 0, 0 },
    [JOSE_HS256] = { SPAN_INIT("HS256"), JOSE_SECRET, EVP_sha256, 0, 0 },
    [JOSE_HS384] = { SPAN_INIT("HS384"), JOSE_SECRET, EVP_sha384, 0, 0 },
    [JOSE_HS512] = { SPAN_INIT("HS512"), JOSE_SECRET, EVP_sha512, 0, 0 },
};

const char *jose_slug(enum jose_error error)
{
    static const char *const slugs[] = {
#define JOSE(name, slug) slug,
#include "auth/jose.def"
#undef JOSE
    };
    INVARIANT(error < JOSE_ERROR_COUNT);
    return slugs[error];
}

enum jose_alg jose_alg_of(struct span name)
{
    unsigned i = 0;
    while (i < JOSE_ALGS && !span_equal(algs[i].name, name))
        i++;
    return (enum jose_alg)i;
}

const char *jose_alg_name(enum jose_alg alg)
{
    INVARIANT(alg < JOSE_ALGS);
    return algs[alg].name.p;
}

uint32_t jose_algs_of(enum jose_kind kind)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < JOSE_ALGS; i++)
        bits |= algs[i].kind == kind ? 1u << i : 0;
    return bits;
}

/* ---- keys ---- */

/* RFC 7518 section 3.3 asks for 2,048 bits; above 4,096 one check costs more than a request. An
 * exponent below 2^16 has no use but mistakes (FIPS 186-5), a huge one is a lever on our time.
 */
static const char *check_rsa(EVP_PKEY *pkey)
{
    BIGNUM *e = NULL;
    int bits = EVP_PKEY_get_bits(pkey);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return "an RSA key has 2048 to 4096 bits";
    bool good = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                BN_num_bits(e) >= 17 && BN_num_bits(e) <= 33 && BN_is_odd(e);
    BN_free(e);
    return good ? NULL : "an RSA key has an odd exponent from 65537 to 2^33";
}

static const char *check_ec(EVP_PKEY *pkey, enum jose_kind *kind)
{
    char curve[32];
    size_t len;
    if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                       &len) != 1)
        return "an EC key names its curve";
    if (strcmp(curve, "prime256v1") == 0 || strcmp(curve, "P-256") == 0)
        *kind = JOSE_P256;
    else if (strcmp(curve, "secp384r1") == 0 || strcmp(curve, "P-384") == 0)
        *kind = JOSE_P384;
    else
        return "an EC key is on P-256 or P-384";
    return NULL;
}

static const char *check_public(struct jose_key *key, EVP_PKEY *pkey)
{
    const char *wrong = NULL;
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        key->kind = JOSE_RSA;
        wrong = check_rsa(pkey);
    } else if (EVP_PKEY_is_a(pkey, "EC")) {
        wrong = check_ec(pkey, &key->kind);
    } else {
        wrong = "a key is RSA, EC or Ed25519";
    }
    if (wrong != NULL)
        return wrong;
    /* A point that is not on its curve, say. */
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    if (ctx == NULL || EVP_PKEY_public_check(ctx) != 1)
        wrong = "the key's numbers do not belong together";
    EVP_PKEY_CTX_free(ctx);
    return wrong;
}

const char *jose_key_public(struct jose_key *key, EVP_PKEY *pkey)
{
    uint8_t raw[crypto_sign_ed25519_PUBLICKEYBYTES];
    size_t len = sizeof(raw);
    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        bool got = EVP_PKEY_get_raw_public_key(pkey, raw, &len) == 1;
        EVP_PKEY_free(pkey);
        return got ? jose_key_ed25519(key, span_of((char *)raw, len)) : "not an Ed25519 key";
    }
    const char *wrong = check_public(key, pkey);
    ERR_clear_error();
    if (wrong != NULL) {
        EVP_PKEY_free(pkey);
        return wrong;
    }
    key->pkey = pkey;
    return NULL;
}

static bool keep_bytes(struct jose_key *key, struct span bytes)
{
    char *copy = malloc(bytes.len);
    if (copy == NULL)
        return false;
    memcpy(copy, bytes.p, bytes.len);
    key->bytes = span_of(copy, bytes.len);
    return true;
}

const char *jose_key_ed25519(struct jose_key *key, struct span bytes)
{
    key->kind = JOSE_ED25519;
    if (bytes.len != crypto_sign_ed25519_PUBLICKEYBYTES)
        return "an Ed25519 key has 32 bytes";
    return keep_bytes(key, bytes) ? NULL : "out of memory";
}

const char *jose_key_secret(struct jose_key *key, struct span bytes)
{
    key->kind = JOSE_SECRET;
    if (bytes.len < HMAC_KEY_BYTES_MIN || bytes.len > HMAC_KEY_BYTES_MAX)
        return "a secret has 32 to 512 bytes";
    return keep_bytes(key, bytes) ? NULL : "out of memory";
}

static EVP_PKEY_CTX *verifier(EVP_PKEY *pkey, const struct alg_row *row)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, row->md()) == 1;
    if (good && row->kind == JOSE_RSA)
        good = EVP_PKEY_CTX_set_rsa_padding(ctx, row->padding) == 1;
    /* RFC 7518 section 3.5: the salt is as long as the hash, MGF1 with the same hash. */
    if (good && row->padding == RSA_PKCS1_PSS_PADDING)
        good = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, row->md()) == 1;
    if (good)
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

bool jose_key_ready(struct jose_key *key, uint32_t allowed)
{
    key->algs = jose_algs_of(key->kind) & allowed;
    for (unsigned i = 0; i < JOSE_ALGS; i++) {
        if (key->pkey == NULL || (key->algs >> i & 1) == 0)
            continue;
        /* Looked up now: behind EVP_sha256() it is looked up with each token. */
        key->md[i] = EVP_MD_fetch(NULL, EVP_MD_get0_name(algs[i].md()), NULL);
        key->ctx[i] = verifier(key->pkey, &algs[i]);
        if (key->ctx[i] == NULL || key->md[i] == NULL)
            return false;
        if (algs[i].padding == RSA_PKCS1_PADDING && key->rsa == NULL)
            key->rsa = rsa_public_new(key->pkey, rsa52_available());
    }
    return true;
}

void jose_key_free(struct jose_key *key)
{
    for (unsigned i = 0; i < JOSE_ALGS; i++) {
        EVP_PKEY_CTX_free(key->ctx[i]);
        EVP_MD_free(key->md[i]);
    }
    rsa_public_free(key->rsa);
    EVP_PKEY_free(key->pkey);
    if (key->bytes.p != NULL) {
        wipe((void *)(uintptr_t)key->bytes.p, key->bytes.len);
        free((void *)(uintptr_t)key->bytes.p);
    }
    *key = (struct jose_key){ 0 };
}

/* ---- taking a token apart ---- */

/* The header's members, as far as we know any. */
static enum jose_error read_header(struct jws *jws, const json_t *header, struct arena *arena)
{
    /* RFC 7515 section 4.1.11: what must be understood and is not. None of these is understood,
     * named in `crit` or not. */
    static const char *const extensions[] = { "crit", "b64", "zip", "enc" };
    /* Keys and where to get them are the configuration's business. */
    static const char *const keys[] = { "jwk", "jku", "x5u", "x5c" };
    static const char *const texts[] = { "kid", "typ" };
    struct span found[ARRAY_LEN(texts)];

    jws->alg = jose_alg_of(strict_json_text(header, "alg"));
    if (jws->alg == JOSE_ALGS)
        return JOSE_ALGORITHM;
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        if (json_object_get(header, extensions[i]) != NULL)
            return JOSE_CRITICAL;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (json_object_get(header, keys[i]) != NULL)
            return JOSE_KEY_INSIDE;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct span value = strict_json_text(header, texts[i]);
        if (json_object_get(header, texts[i]) != NULL &&
            (value.p == NULL || value.len == 0 || value.len > TOKEN_KID_BYTES_MAX))
            return JOSE_HEADER;
        found[i] = value.p != NULL ? arena_copy(arena, value) : value;
        if (value.p != NULL && found[i].p == NULL)
            return JOSE_MEMORY;
    }
    jws->kid = found[0];
    jws->type = found[1];
    return JOSE_OK;
}

static enum jose_error parse_header(struct jws *jws, struct span encoded, struct arena *arena)
{
    char bytes[TOKEN_HEADER_BYTES_MAX];
    size_t len;
    if (!base64url_decode(encoded, bytes, sizeof(bytes), &len))
        return JOSE_BASE64;
    json_t *header = strict_json_object(span_of(bytes, len), sizeof(bytes));
    if (header == NULL)
        return JOSE_HEADER;
    enum jose_error error = read_header(jws, header, arena);
    json_decref(header);
    return error;
}

enum jose_error jws_parse(struct jws *jws, struct span token, struct arena *arena)
{
    struct span rest = token, header, payload, signature;
    *jws = (struct jws){ 0 };
    if (token.len > TOKEN_BYTES_MAX)
        return JOSE_TOO_LONG;
    if (!span_cut(&rest, '.', &header) || !span_cut(&rest, '.', &payload) || rest.p == NULL)
        return JOSE_PARTS;
    signature = rest;
    if (header.len == 0 || payload.len == 0 || signature.len == 0 ||
        span_index(signature, '.') >= 0)
        return JOSE_PARTS;
    enum jose_error error = parse_header(jws, header, arena);
    if (error != JOSE_OK)
        return error;
    jws->signed_text = span_range(token.p, span_end(payload));
    jws->payload = payload;
    return base64url_decode(signature, jws->signature, sizeof(jws->signature),
                            &jws->signature_len)
               ? JOSE_OK
               : JOSE_BASE64;
}

/* ---- verification ---- */

static bool verify_secret(const struct jose_key *key, const struct alg_row *row,
                          struct span text, struct span signature)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (HMAC(row->md(), key->bytes.p, (int)key->bytes.len, (const uint8_t *)text.p, text.len,
             mac, &len) == NULL)
        return false;
    bool same = signature.len == len && bytes_equal_constant_time(signature.p, mac, len);
    wipe(mac, sizeof(mac));
    return same;
}

/*
 * RFC 7518 section 3.4: two numbers of fixed length. OpenSSL wants them as DER. Both zero
 * (CVE-2022-21449) never comes to the curve.
 */
static size_t ec_signature(enum jose_kind kind, struct span signature, uint8_t *der)
{
    size_t half = kind == JOSE_P256 ? 32 : EC_HALF_MAX;
    if (signature.len != 2 * half)
        return 0;
    size_t len = 0;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const uint8_t *)signature.p, (int)half, NULL);
    BIGNUM *s = BN_bin2bn((const uint8_t *)signature.p + half, (int)half, NULL);
    if (sig == NULL || r == NULL || s == NULL || BN_is_zero(r) || BN_is_zero(s)) {
        BN_free(r);
        BN_free(s);
    } else {
        ECDSA_SIG_set0(sig, r, s); /* both are not NULL: it takes them */
        int made = i2d_ECDSA_SIG(sig, NULL);
        if (made > 0 && made <= DER_BYTES_MAX && i2d_ECDSA_SIG(sig, &der) == made)
            len = (size_t)made;
    }
    ECDSA_SIG_free(sig);
    return len;
}

static bool verify_public(const struct jose_key *key, enum jose_alg alg, struct span text,
                          struct span signature)
{
    uint8_t digest[EVP_MAX_MD_SIZE], der[DER_BYTES_MAX];
    unsigned len;
    const uint8_t *sig = (const uint8_t *)signature.p;
    size_t sig_len = signature.len;
    if (key->ctx[alg] == NULL ||
        EVP_Digest(text.p, text.len, digest, &len, key->md[alg], NULL) != 1)
        return false;
    if (key->rsa != NULL && algs[alg].padding == RSA_PKCS1_PADDING)
        return rsa_public_verify(key->rsa, algs[alg].hash, digest, signature);
    if (key->kind != JOSE_RSA) {
        sig_len = ec_signature(key->kind, signature, der);
        sig = der;
    } else if (sig_len != (size_t)EVP_PKEY_get_size(key->pkey)) {
        return false; /* RFC 8017 section 8.2.2: one length, so one spelling */
    }
    bool good = sig_len > 0 && EVP_PKEY_verify(key->ctx[alg], sig, sig_len, digest, len) == 1;
    ERR_clear_error();
    return good;
}

bool jose_verify(const struct jose_key *key, enum jose_alg alg, struct span text,
                 struct span signature)
{
    if (alg >= JOSE_ALGS || (key->algs >> alg & 1) == 0 || algs[alg].kind != key->kind)
        return false;
    switch (key->kind) {
    case JOSE_SECRET:
        return verify_secret(key, &algs[alg], text, signature);
    case JOSE_ED25519:
        return signature.len == crypto_sign_ed25519_BYTES &&
               crypto_sign_ed25519_verify_detached((const uint8_t *)signature.p,
                                                   (const uint8_t *)text.p, text.len,
                                                   (const uint8_t *)key->bytes.p) == 0;
    case JOSE_RSA:
    case JOSE_P256:
    case JOSE_P384:
        break;
    }
    return verify_public(key, alg, text, signature);
}
