/*
 * Signatures of PKCS #1 v1.5, by both ways to compute them: what is right, every block that has
 * once been taken for right, numbers at their edges, and EVP's opinion of some thousands.
 */
#include "auth/rsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "auth/jose.h"
#include "auth/rsa52.h"
#include "tests/unit/check.h"

enum { WAYS = 2, DIGEST_MAX = 64 };

/* On both sides of where numbers get longer, in bytes and in vectors. */
static const unsigned sizes[] = { 2048, 2049, 2056, 2079, 3072, 4096 };

static struct pair {
    EVP_PKEY *pkey;
    BIGNUM *n, *d;
    size_t bytes;
    struct rsa_public *ways[WAYS]; /* the second one with vectors, where they are */
    EVP_PKEY_CTX *evp[RSA_HASHES];
} pairs[ARRAY_LEN(sizes)];

static BN_CTX *work;
static const uint8_t digest[DIGEST_MAX + 1] =
    "A digest is bytes like others, as far as a key can tell of them.";

static const struct {
    const EVP_MD *(*md)(void);
    size_t len;
} mds[RSA_HASHES] = { { EVP_sha256, 32 }, { EVP_sha384, 48 }, { EVP_sha512, 64 } };

/* `init`: EVP_PKEY_sign_init or EVP_PKEY_verify_init. */
static EVP_PKEY_CTX *evp_of(EVP_PKEY *pkey, enum rsa_hash hash, int (*init)(EVP_PKEY_CTX *))
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(ctx, mds[hash].md()), 1);
    return ctx;
}

static EVP_PKEY *key_of(unsigned bits, unsigned exponent)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *e = BN_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    assert_int_equal(BN_set_word(e, exponent), 1);
    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &pkey), 1);
    EVP_PKEY_CTX_free(ctx);
    BN_free(e);
    return pkey;
}

static int make_pairs(void **state)
{
    (void)state;
    work = BN_CTX_new();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct pair *pair = &pairs[i];
        pair->pkey = key_of(sizes[i], 65537);
        assert_int_equal(EVP_PKEY_get_bn_param(pair->pkey, OSSL_PKEY_PARAM_RSA_N, &pair->n), 1);
        assert_int_equal(EVP_PKEY_get_bn_param(pair->pkey, OSSL_PKEY_PARAM_RSA_D, &pair->d), 1);
        pair->bytes = (size_t)BN_num_bytes(pair->n);
        for (unsigned way = 0; way < WAYS; way++) {
            pair->ways[way] = rsa_public_new(pair->pkey, way == 1 && rsa52_available());
            assert_non_null(pair->ways[way]);
            assert_int_equal(rsa_public_has_vectors(pair->ways[way]),
                             way == 1 && rsa52_available());
        }
        for (unsigned hash = 0; hash < RSA_HASHES; hash++)
            pair->evp[hash] = evp_of(pair->pkey, hash, EVP_PKEY_verify_init);
    }
    return 0;
}

static int drop_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (unsigned hash = 0; hash < RSA_HASHES; hash++)
            EVP_PKEY_CTX_free(pairs[i].evp[hash]);
        for (unsigned way = 0; way < WAYS; way++)
            rsa_public_free(pairs[i].ways[way]);
        BN_free(pairs[i].n);
        BN_free(pairs[i].d);
        EVP_PKEY_free(pairs[i].pkey);
    }
    BN_CTX_free(work);
    return 0;
}

/* All ways and EVP say so. */
static void expect(struct pair *pair, enum rsa_hash hash, const uint8_t *hashed,
                   const uint8_t *signature, size_t len, bool right)
{
    struct span span = span_of((const char *)signature, len);
    for (unsigned way = 0; way < WAYS; way++)
        assert_int_equal(rsa_public_verify(pair->ways[way], hash, hashed, span), right);
    assert_int_equal(
        EVP_PKEY_verify(pair->evp[hash], signature, len, hashed, mds[hash].len) == 1, right);
    ERR_clear_error();
}

/* The signature that opens to this block. */
static void sign_block(const struct pair *pair, const uint8_t *block, uint8_t *signature)
{
    BIGNUM *m = BN_bin2bn(block, (int)pair->bytes, NULL);
    assert_int_equal(BN_mod_exp(m, m, pair->d, pair->n, work), 1);
    assert_int_equal(BN_bn2binpad(m, signature, (int)pair->bytes), (int)pair->bytes);
    BN_free(m);
}

static void sign(const struct pair *pair, enum rsa_hash hash, const uint8_t *hashed,
                 uint8_t *signature)
{
    size_t len = pair->bytes;
    EVP_PKEY_CTX *ctx = evp_of(pair->pkey, hash, EVP_PKEY_sign_init);
    assert_int_equal(EVP_PKEY_sign(ctx, signature, &len, hashed, mds[hash].len), 1);
    assert_int_equal(len, pair->bytes);
    EVP_PKEY_CTX_free(ctx);
}

static void test_good(void **state)
{
    (void)state;
    uint8_t signature[RSA_BYTES_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (unsigned hash = 0; hash < RSA_HASHES; hash++) {
            sign(&pairs[i], hash, digest, signature);
            expect(&pairs[i], hash, digest, signature, pairs[i].bytes, true);
            /* Of another hash, and of another text. */
            expect(&pairs[i], (hash + 1) % RSA_HASHES, digest, signature, pairs[i].bytes,
                   false);
            expect(&pairs[i], hash, digest + 1, signature, pairs[i].bytes, false);
        }
}

/* ---- blocks ---- */

#define SHA256_OID "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
#define SHA256_INFO "\x30\x31\x30\x0d" SHA256_OID "\x05\x00\x04\x20"

/* `before` the digest and `behind` it; the padding has `pad` bytes, or what is left (0). */
static const struct forged {
    const char *what;
    struct span before, behind;
    uint8_t first, type, fill, end;
    size_t pad;
    bool right;
} forged[] = {
    { "as it must be", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 1, 0xff, 0, 0, true },
    { "garbage behind, short padding (CVE-2006-4339)", SPAN_INIT(SHA256_INFO),
      SPAN_INIT("garbage"), 0, 1, 0xff, 0, 8, false },
    { "garbage behind, full padding", SPAN_INIT(SHA256_INFO), SPAN_INIT("\x00\x00"), 0, 1, 0xff,
      0, 0, false },
    { "no padding", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 1, 0xff, 0, 1, false },
    { "no parameters", SPAN_INIT("\x30\x2f\x30\x0b" SHA256_OID "\x04\x20"), SPAN_INIT(""), 0, 1,
      0xff, 0, 0, false },
    { "garbage for parameters", SPAN_INIT("\x30\x35\x30\x11" SHA256_OID "\x04\x04junk\x04\x20"),
      SPAN_INIT(""), 0, 1, 0xff, 0, 0, false },
    { "lengths in a long form (CVE-2014-1568)",
      SPAN_INIT("\x30\x81\x31\x30\x0d" SHA256_OID "\x05\x00\x04\x20"), SPAN_INIT(""), 0, 1,
      0xff, 0, 0, false },
    { "another hash's name",
      SPAN_INIT("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x20"),
      SPAN_INIT(""), 0, 1, 0xff, 0, 0, false },
    { "no name at all", SPAN_INIT(""), SPAN_INIT(""), 0, 1, 0xff, 0, 0, false },
    { "padding of another byte", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 1, 0xfe, 0, 0,
      false },
    { "the type for secrets", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 2, 0xff, 0, 0, false },
    { "the type without padding", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 0, 0x00, 0, 0,
      false },
    { "a first byte", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 1, 1, 0xff, 0, 0, false },
    { "no end of the padding", SPAN_INIT(SHA256_INFO), SPAN_INIT(""), 0, 1, 0xff, 0xff, 0,
      false },
};

/* Behind what it holds, a block is filled with what an attacker is free to choose. */
static void write_block(const struct forged *forgery, uint8_t *block, size_t len)
{
    size_t held = forgery->before.len + 32 + forgery->behind.len;
    size_t pad = forgery->pad != 0 ? forgery->pad - 1 : len - held - 3;
    uint8_t *p = block;
    memset(block, 0x42, len);
    *p++ = forgery->first;
    *p++ = forgery->type;
    memset(p, forgery->fill, pad);
    p += pad;
    *p++ = forgery->end;
    memcpy(p, forgery->before.p, forgery->before.len);
    memcpy(p + forgery->before.len, digest, 32);
    memcpy(p + forgery->before.len + 32, forgery->behind.p, forgery->behind.len);
}

static void test_blocks(void **state)
{
    (void)state;
    uint8_t block[RSA_BYTES_MAX], signature[RSA_BYTES_MAX];
    for (size_t i = 0; i < ARRAY_LEN(forged); i++)
        for (size_t at = 0; at < 3; at++) {
            write_block(&forged[i], block, pairs[at].bytes);
            /* Where the first byte of the modulus is 1, a block with a first byte is over it.
             */
            if (sizes[at] % 8 == 1 && forged[i].first != 0)
                continue;
            sign_block(&pairs[at], block, signature);
            print_message("%u bits: %s\n", sizes[at], forged[i].what);
            expect(&pairs[at], RSA_SHA256, digest, signature, pairs[at].bytes, forged[i].right);
        }
}

/* ---- numbers at their edges ---- */

static void expect_number(struct pair *pair, const BIGNUM *number, bool right)
{
    uint8_t signature[RSA_BYTES_MAX];
    if (BN_num_bytes(number) > (int)pair->bytes)
        return;
    assert_int_equal(BN_bn2binpad(number, signature, (int)pair->bytes), (int)pair->bytes);
    expect(pair, RSA_SHA256, digest, signature, pair->bytes, right);
}

static void test_edges(void **state)
{
    (void)state;
    uint8_t signature[RSA_BYTES_MAX];
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct pair *pair = &pairs[i];
        BIGNUM *s = BN_new();
        BN_zero(s);
        expect_number(pair, s, false);
        for (int add = -2; add <= 2; add++) {
            assert_int_equal(BN_copy(s, pair->n) == s &&
                                 (add < 0 ? BN_sub_word(s, 1) : BN_add_word(s, (BN_ULONG)add)),
                             1);
            expect_number(pair, s, false);
        }
        assert_int_equal(BN_one(s), 1);
        expect_number(pair, s, false);
        /* The same residue again, where there is room for it: another spelling. */
        sign(pair, RSA_SHA256, digest, signature);
        assert_non_null(BN_bin2bn(signature, (int)pair->bytes, s));
        expect_number(pair, s, true);
        assert_int_equal(BN_add(s, s, pair->n), 1);
        expect_number(pair, s, false);
        BN_free(s);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    uint8_t signature[RSA_BYTES_MAX + 1] = { 0 }, hashed[32] = { 0 };
    struct pair *pair = &pairs[0];
    size_t len = pair->bytes;
    sign(pair, RSA_SHA256, digest, signature + 1);
    expect(pair, RSA_SHA256, digest, signature + 1, len, true);
    expect(pair, RSA_SHA256, digest, signature + 1, len - 1, false);
    expect(pair, RSA_SHA256, digest, signature + 1, 0, false);
    expect(pair, RSA_SHA256, digest, signature, len + 1, false);
    expect(pair, RSA_SHA256, digest, signature, len, false);
    /* One that begins with a zero is a signature; without the zero it is none. */
    for (unsigned i = 1; signature[0] != 0 || signature[1] == 0 || i == 1; i++) {
        assert_in_range(i, 0, 20000);
        memcpy(hashed, &i, sizeof(i));
        sign(pair, RSA_SHA256, hashed, signature);
    }
    expect(pair, RSA_SHA256, hashed, signature, len, true);
    expect(pair, RSA_SHA256, hashed, signature + 1, len - 1, false);
}

/* ---- as EVP has it ---- */

static void mutate(uint8_t *signature, size_t *len, const struct pair *pair)
{
    BIGNUM *s = NULL;
    size_t at = (size_t)random() % *len;
    switch (random() % 6) {
    case 0:
        signature[at] ^= (uint8_t)(1 << random() % 8);
        break;
    case 1:
        signature[at] = (uint8_t)random();
        break;
    case 2: /* all of it */
        for (size_t i = 0; i < *len; i++)
            signature[i] = (uint8_t)random();
        break;
    case 3:
        *len -= (size_t)random() % 3;
        break;
    case 4: /* its opposite */
        s = BN_bin2bn(signature, (int)*len, NULL);
        assert_int_equal(BN_mod_sub(s, pair->n, s, pair->n, work), 1);
        assert_int_equal(BN_bn2binpad(s, signature, (int)*len), (int)*len);
        BN_free(s);
        break;
    default: /* as it is */
        break;
    }
}

static void test_as_evp(void **state)
{
    (void)state;
    enum { SIGNATURES = 12, MUTATIONS = 40 };
    uint8_t hashed[DIGEST_MAX], good[RSA_BYTES_MAX], signature[RSA_BYTES_MAX];
    srandom(2006);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (unsigned round = 0; round < SIGNATURES * MUTATIONS; round++) {
            struct pair *pair = &pairs[i];
            enum rsa_hash hash = round / MUTATIONS % RSA_HASHES;
            size_t len = pair->bytes;
            if (round % MUTATIONS == 0) {
                for (size_t k = 0; k < sizeof(hashed); k++)
                    hashed[k] = (uint8_t)random();
                sign(pair, hash, hashed, good);
            }
            memcpy(signature, good, len);
            mutate(signature, &len, pair);
            int said = EVP_PKEY_verify(pair->evp[hash], signature, len, hashed, mds[hash].len);
            expect(pair, hash, hashed, signature, len, said == 1);
        }
}

/* ---- which keys ---- */

static void test_keys(void **state)
{
    (void)state;
    EVP_PKEY *small = key_of(RSA_BITS_MIN - 1, 65537), *curve = EVP_EC_gen("P-256");
    assert_null(rsa_public_new(small, true));
    assert_null(rsa_public_new(curve, true));
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
}

/* Other exponents go by EVP, and go well. */
static void test_other_exponent(void **state)
{
    (void)state;
    struct span text = SPAN("header.payload");
    uint8_t signature[256];
    size_t len = sizeof(signature);
    EVP_PKEY *pkey = key_of(2048, 65539);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_null(rsa_public_new(pkey, true));
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text.p, text.len),
                     1);
    EVP_MD_CTX_free(ctx);

    struct jose_key key = { 0 };
    assert_null(jose_key_public(&key, pkey));
    assert_true(jose_key_ready(&key, JOSE_ALL_ALGS));
    assert_null(key.rsa);
    struct span signed_by = span_of((const char *)signature, len);
    assert_true(jose_verify(&key, JOSE_RS256, text, signed_by));
    assert_false(jose_verify(&key, JOSE_RS384, text, signed_by));
    assert_false(jose_verify(&key, JOSE_PS256, text, signed_by));
    assert_false(jose_verify(&key, JOSE_RS256, SPAN("header.other"), signed_by));
    jose_key_free(&key);
}

/* ---- the vectors' arithmetic ---- */

/* With a modulus of this form, whatever it is made of: s^65537 of numbers at the edges. */
static void try_modulus(const BIGNUM *n)
{
    struct rsa52 *key = aligned_alloc(_Alignof(struct rsa52), sizeof(*key));
    BIGNUM *s = BN_new(), *x = BN_new(), *e = BN_new();
    int len = BN_num_bytes(n);
    uint8_t from[1024], to[1024];
    assert_true(rsa52_init(key, n));
    assert_int_equal(BN_set_word(e, 65537), 1);
    for (unsigned round = 0; round < 24; round++) {
        if (round < 2)
            assert_int_equal(BN_set_word(s, round), 1);
        else if (round < 4)
            assert_true(BN_sub(s, n, BN_value_one()) == 1 &&
                        (round == 2 || BN_rshift1(s, s) == 1));
        else
            assert_int_equal(BN_rand_range(s, n), 1);
        assert_int_equal(BN_mod_exp(x, s, e, n, work), 1);
        assert_int_equal(BN_bn2binpad(s, from, len), len);
        assert_int_equal(BN_bn2binpad(x, to, len), len);
        assert_true(rsa52_opens_to(key, from, to, (size_t)len));
        to[(size_t)random() % (size_t)len] ^= (uint8_t)(1 << random() % 8);
        assert_false(rsa52_opens_to(key, from, to, (size_t)len));
        /* Not reduced is not equal. */
        if (BN_add(x, x, n) == 1 && BN_num_bytes(x) == len) {
            assert_int_equal(BN_bn2binpad(x, to, len), len);
            assert_false(rsa52_opens_to(key, from, to, (size_t)len));
        }
    }
    assert_int_equal(BN_bn2binpad(n, from, len), len);
    memset(to, 0, sizeof(to));
    assert_false(rsa52_opens_to(key, from, to, (size_t)len));
    BN_free(s);
    BN_free(x);
    BN_free(e);
    free(key);
}

static void test_vectors(void **state)
{
    (void)state;
    /* To either side of what fits 5, 8 and 10 vectors. */
    static const int bits[] = { 64, 2047, 2048, 2078, 2079, 3326, 3327, 4096, RSA52_BITS_MAX };
    if (!rsa52_available())
        skip();
    for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
        BIGNUM *n = BN_new();
        assert_int_equal(BN_set_bit(n, bits[i]), 1);
        assert_int_equal(BN_sub_word(n, 1), 1); /* all ones */
        try_modulus(n);
        BN_zero(n);
        assert_true(BN_set_bit(n, bits[i] - 1) == 1 && BN_set_bit(n, 0) == 1);
        try_modulus(n);
        assert_int_equal(BN_rand(n, bits[i], BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
        try_modulus(n);
        BN_free(n);
    }
}

static void test_vectors_limits(void **state)
{
    (void)state;
    static struct rsa52 key;
    BIGNUM *n = BN_new();
    assert_true(BN_set_bit(n, RSA52_BITS_MAX) == 1 && BN_set_bit(n, 0) == 1);
    assert_false(rsa52_init(&key, n)); /* one bit too many */
    BN_zero(n);
    assert_int_equal(BN_set_bit(n, 2047), 1);
    assert_false(rsa52_init(&key, n)); /* even */
    assert_int_equal(BN_set_bit(n, 0), 1);
    BN_set_negative(n, 1);
    assert_false(rsa52_init(&key, n));
    BN_free(n);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_good),           TEST(test_blocks),  TEST(test_edges),
        TEST(test_lengths),        TEST(test_as_evp),  TEST(test_keys),
        TEST(test_other_exponent), TEST(test_vectors), TEST(test_vectors_limits),
    };
    return cmocka_run_group_tests(tests, make_pairs, drop_pairs);
}
