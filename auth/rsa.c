/* Two ways to compute s^65537, and one block that must come out of it. */
#include "auth/rsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "auth/rsa52.h"

enum { EXPONENT = 65537, SQUARINGS = 16, PREFIX_BYTES = 19 };

struct rsa_public {
    struct rsa52 vectors;
    bool has_vectors;
    size_t bytes; /* of the modulus */
    BIGNUM *n;
    BN_MONT_CTX *montgomery;
    /* To compute in. */
    BN_CTX *work;
    BIGNUM *s, *x;
};

/* RFC 8017 section 9.2, note 1: DER up to the digest, parameters NULL and present. */
static const struct {
    uint8_t prefix[PREFIX_BYTES];
    size_t digest_len;
} hashes[RSA_HASHES] = {
    [RSA_SHA256] = { { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
                       0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 },
                     32 },
    [RSA_SHA384] = { { 0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
                       0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30 },
                     48 },
    [RSA_SHA512] = { { 0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
                       0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40 },
                     64 },
};

/* ---- by libcrypto ---- */

/* x = s^65537 mod n. False: out of memory. */
static bool power(struct rsa_public *key)
{
    BIGNUM *x = key->x;
    bool good = BN_to_montgomery(x, key->s, key->montgomery, key->work) == 1;
    for (unsigned i = 0; good && i < SQUARINGS; i++)
        good = BN_mod_mul_montgomery(x, x, x, key->montgomery, key->work) == 1;
    /* s was left as it is: the product is out of Montgomery's form again. */
    return good && BN_mod_mul_montgomery(x, x, key->s, key->montgomery, key->work) == 1;
}

/* As rsa52_opens_to. */
static bool opens_to(struct rsa_public *key, const uint8_t *signature, const uint8_t *message)
{
    uint8_t opened[RSA_BYTES_MAX];
    int len = (int)key->bytes;
    return BN_bin2bn(signature, len, key->s) != NULL && BN_ucmp(key->s, key->n) < 0 &&
           power(key) && BN_bn2binpad(key->x, opened, len) == len &&
           memcmp(opened, message, key->bytes) == 0;
}

/* ---- keys ---- */

/* Whether the vectors make the same of key->s as libcrypto, and of no two things one. */
static bool agrees_on(struct rsa_public *key)
{
    uint8_t signature[RSA_BYTES_MAX], message[RSA_BYTES_MAX];
    int len = (int)key->bytes;
    if (!power(key) || BN_bn2binpad(key->s, signature, len) != len ||
        BN_bn2binpad(key->x, message, len) != len ||
        !rsa52_opens_to(&key->vectors, signature, message, key->bytes))
        return false;
    message[len / 2] ^= 1;
    return !rsa52_opens_to(&key->vectors, signature, message, key->bytes);
}

/* With this modulus on this processor: of a number, its opposite, and the largest there is. */
static bool agrees(struct rsa_public *key)
{
    return BN_rshift1(key->s, key->n) == 1 && agrees_on(key) &&
           BN_sub(key->s, key->n, key->s) == 1 && agrees_on(key) &&
           BN_sub(key->s, key->n, BN_value_one()) == 1 && agrees_on(key);
}

static bool read_modulus(struct rsa_public *key, const EVP_PKEY *pkey)
{
    BIGNUM *e = NULL;
    int bits = EVP_PKEY_get_bits(pkey);
    bool good = EVP_PKEY_is_a(pkey, "RSA") == 1 && bits >= RSA_BITS_MIN &&
                bits <= RSA_BITS_MAX &&
                EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                BN_is_word(e, EXPONENT) &&
                EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &key->n) == 1 &&
                BN_num_bits(key->n) == bits && BN_is_odd(key->n);
    BN_free(e);
    key->bytes = good ? (size_t)BN_num_bytes(key->n) : 0;
    return good;
}

static bool prepare(struct rsa_public *key)
{
    key->montgomery = BN_MONT_CTX_new();
    key->work = BN_CTX_new();
    key->s = BN_new();
    key->x = BN_new();
    return key->montgomery != NULL && key->work != NULL && key->s != NULL && key->x != NULL &&
           BN_MONT_CTX_set(key->montgomery, key->n, key->work) == 1;
}

struct rsa_public *rsa_public_new(const EVP_PKEY *pkey, bool vectors)
{
    _Static_assert((int)RSA_BITS_MAX <= (int)RSA52_BITS_MAX, "all sizes fit");
    struct rsa_public *key = aligned_alloc(_Alignof(struct rsa_public), sizeof(*key));
    if (key == NULL)
        return NULL;
    *key = (struct rsa_public){ 0 };
    if (!read_modulus(key, pkey) || !prepare(key)) {
        rsa_public_free(key);
        key = NULL;
    } else {
        key->has_vectors = vectors && rsa52_init(&key->vectors, key->n) && agrees(key);
    }
    ERR_clear_error();
    return key;
}

void rsa_public_free(struct rsa_public *key)
{
    if (key == NULL)
        return;
    BN_free(key->n);
    BN_MONT_CTX_free(key->montgomery);
    BN_CTX_free(key->work);
    BN_free(key->s);
    BN_free(key->x);
    free(key);
}

bool rsa_public_has_vectors(const struct rsa_public *key)
{
    return key->has_vectors;
}

/* ---- signatures ---- */

/* EMSA-PKCS1-v1_5 (RFC 8017 section 9.2): 00 01 FF..FF 00, then the prefix and the digest. */
static void encode(uint8_t *block, size_t len, enum rsa_hash hash, const uint8_t *digest)
{
    size_t digest_len = hashes[hash].digest_len, end = len - digest_len - PREFIX_BYTES;
    block[0] = 0x00;
    block[1] = 0x01;
    memset(block + 2, 0xff, end - 3);
    block[end - 1] = 0x00;
    memcpy(block + end, hashes[hash].prefix, PREFIX_BYTES);
    memcpy(block + end + PREFIX_BYTES, digest, digest_len);
}

bool rsa_public_verify(struct rsa_public *key, enum rsa_hash hash, const uint8_t *digest,
                       struct span signature)
{
    uint8_t message[RSA_BYTES_MAX];
    const uint8_t *bytes = (const uint8_t *)signature.p;
    INVARIANT(hash < RSA_HASHES);
    /* One length, and below the modulus: one spelling of each signature. */
    if (signature.len != key->bytes)
        return false;
    encode(message, key->bytes, hash, digest);
    return key->has_vectors ? rsa52_opens_to(&key->vectors, bytes, message, key->bytes)
                            : opens_to(key, bytes, message);
}
