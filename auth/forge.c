/* Signing over EVP: nothing else of the gateway has private keys of this kind. */
#include "auth/forge.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "auth/base64url.h"
#include "gateway/base/siphash.h"

enum { FORGE_ARENA = 8 * 1024 * 1024, NUMBER_BYTES = 512 };

static const char *digest_of(enum jose_alg alg)
{
    const char *name = jose_alg_name(alg);
    return strstr(name, "256") != NULL   ? "SHA256"
           : strstr(name, "384") != NULL ? "SHA384"
           : strstr(name, "512") != NULL ? "SHA512"
                                         : NULL;
}

static struct span bytes_of(struct forge *forge, const void *bytes, size_t len)
{
    return arena_copy(&forge->arena, span_of(bytes, len));
}

/* ---- what the issuer publishes ---- */

static void add_number(struct text *out, const char *name, EVP_PKEY *key, const char *param,
                       size_t size)
{
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_BYTES];
    if (EVP_PKEY_get_bn_param(key, param, &number) == 1) {
        size_t len = size != 0 ? size : (size_t)BN_num_bytes(number);
        (void)BN_bn2binpad(number, bytes, (int)len);
        text_format(out, ",\"%s\":\"", name);
        base64url_encode(out, span_of((char *)bytes, len));
        text_lit(out, "\"");
    }
    BN_free(number);
}

static void add_ec(struct text *out, const char *kid, const char *crv, EVP_PKEY *key,
                   size_t size)
{
    text_format(out, "{\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"%s\"", kid, crv);
    add_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, size);
    add_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, size);
    text_lit(out, "},");
}

static bool publish(struct forge *forge)
{
    struct text out = text_growing(&forge->arena, 4096);
    uint8_t raw[32];
    size_t len = sizeof(raw);
    text_lit(&out, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"rsa\",\"use\":\"sig\"");
    add_number(&out, "n", forge->keys[FORGE_RSA], OSSL_PKEY_PARAM_RSA_N, 0);
    add_number(&out, "e", forge->keys[FORGE_RSA], OSSL_PKEY_PARAM_RSA_E, 0);
    text_lit(&out, "},");
    add_ec(&out, "p256", "P-256", forge->keys[FORGE_P256], 32);
    add_ec(&out, "p384", "P-384", forge->keys[FORGE_P384], 48);
    if (EVP_PKEY_get_raw_public_key(forge->keys[FORGE_ED25519], raw, &len) != 1)
        return false;
    text_lit(&out, "{\"kty\":\"OKP\",\"kid\":\"ed\",\"crv\":\"Ed25519\",\"x\":\"");
    base64url_encode(&out, span_of((char *)raw, len));
    text_lit(&out, "\"},{\"kty\":\"oct\",\"kid\":\"oct\",\"k\":\"");
    base64url_encode(&out, forge->secret);
    text_lit(&out, "\"}]}");
    forge->jwks = text_span(&out);
    return !out.overflow;
}

static struct span from_bio(struct forge *forge, BIO *bio)
{
    char *p;
    long len = BIO_get_mem_data(bio, &p);
    return len > 0 ? bytes_of(forge, p, (size_t)len) : span_of(NULL, 0);
}

/* As those had it who used the text of a public key as an HMAC's secret. */
static bool encode_public(struct forge *forge)
{
    EVP_PKEY *key = forge->keys[FORGE_RSA];
    BIO *pem = BIO_new(BIO_s_mem()), *der = BIO_new(BIO_s_mem());
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_BYTES];
    bool good = pem != NULL && der != NULL && PEM_write_bio_PUBKEY(pem, key) == 1 &&
                i2d_PUBKEY_bio(der, key) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &number) == 1;
    if (good) {
        forge->pem = from_bio(forge, pem);
        forge->pem_bare = span_sub(forge->pem, 0, forge->pem.len - 1);
        forge->der = from_bio(forge, der);
        forge->modulus = bytes_of(forge, bytes, (size_t)BN_bn2bin(number, bytes));
    }
    BN_free(number);
    BIO_free(pem);
    BIO_free(der);
    return good && forge->pem.p != NULL && forge->der.p != NULL && forge->modulus.p != NULL;
}

bool forge_open(struct forge *forge)
{
    uint8_t secret[HMAC_KEY_BYTES_MIN];
    *forge = (struct forge){ 0 };
    arena_init(&forge->arena, NULL, 0, NULL, FORGE_ARENA);
    random_bytes(secret, sizeof(secret));
    forge->secret = bytes_of(forge, secret, sizeof(secret));
    forge->keys[FORGE_RSA] = EVP_RSA_gen(2048);
    forge->keys[FORGE_P256] = EVP_EC_gen("P-256");
    forge->keys[FORGE_P384] = EVP_EC_gen("P-384");
    forge->keys[FORGE_ED25519] = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    forge->thief = EVP_RSA_gen(2048);
    for (unsigned i = 0; i < FORGE_SECRET; i++)
        if (forge->keys[i] == NULL)
            return false;
    return forge->thief != NULL && forge->secret.p != NULL && encode_public(forge) &&
           publish(forge);
}

void forge_close(struct forge *forge)
{
    for (unsigned i = 0; i < FORGE_KEYS; i++)
        EVP_PKEY_free(forge->keys[i]);
    EVP_PKEY_free(forge->thief);
    arena_reset(&forge->arena);
}

/* ---- tokens ---- */

struct span forge_signing_text(struct forge *forge, const char *header, const char *claims)
{
    struct text out = text_growing(&forge->arena, 512);
    base64url_encode(&out, span_text(header));
    text_char(&out, '.');
    base64url_encode(&out, span_text(claims));
    return text_span(&out);
}

struct span forge_join(struct forge *forge, struct span text, struct span signature)
{
    struct text out = text_growing(&forge->arena, text.len + 512);
    text_add(&out, text);
    text_char(&out, '.');
    base64url_encode(&out, signature);
    return text_span(&out);
}

struct span forge_hmac(struct forge *forge, struct span key, enum jose_alg alg,
                       struct span text)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len;
    if (HMAC(EVP_get_digestbyname(digest_of(alg)), key.p, (int)key.len, (const uint8_t *)text.p,
             text.len, mac, &len) == NULL)
        return span_of(NULL, 0);
    return bytes_of(forge, mac, len);
}

/* DER, as OpenSSL makes it, to two numbers of fixed length. */
static struct span raw_of(struct forge *forge, const uint8_t *der, size_t len, size_t half)
{
    uint8_t raw[96];
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good = sig != NULL &&
                BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)half) == (int)half &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + half, (int)half) == (int)half;
    ECDSA_SIG_free(sig);
    return good ? bytes_of(forge, raw, 2 * half) : span_of(NULL, 0);
}

struct span forge_sign(struct forge *forge, EVP_PKEY *key, enum jose_alg alg, struct span text)
{
    uint8_t signature[SIGNATURE_BYTES_MAX];
    size_t len = sizeof(signature);
    EVP_PKEY_CTX *options;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit_ex(ctx, &options, digest_of(alg), NULL, NULL,
                                                     key, NULL) == 1;
    if (good && jose_alg_name(alg)[0] == 'P')
        good = EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1;
    good = good && EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text.p, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!good)
        return span_of(NULL, 0);
    if (jose_alg_name(alg)[0] == 'E' && alg != JOSE_EDDSA)
        return raw_of(forge, signature, len, alg == JOSE_ES256 ? 32 : 48);
    return bytes_of(forge, signature, len);
}
