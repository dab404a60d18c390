/*
 * Signatures of RSA: each way to compute them answers as EVP does. The first byte says which
 * key and hash, and what the others are laid over, byte by byte: a good signature, or the block
 * that one opens to, which is then signed. So no bytes at all are a good one, and few bytes
 * stand in the middle of what matters.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "auth/rsa.h"
#include "auth/rsa52.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEYS = 2, WAYS = 2 };

/* Made for this; nobody has them for anything else. */
static const struct {
    const char *n, *d;
} numbers[KEYS] = {
    { "bbca65becca2efc4dd625f696a055dc6029d4fd50953f552f1f73a271e66a7acf9e751528eab0e3e"
      "8dc47f9b69c03b051f763bafca8f224e417f84079b7284d71bc639e734a42319d6832b5fe04eb030"
      "77cbb171256061dde94ec47eb2f3d8c816796726ab4cb33548e1e49ed7e8dc5eae8ea35f9d93414d"
      "825d0e7aa0d3762565d1b4d8d8dea0901a4e5a0f106fc342838647d424b1f5815c8e77921042752c"
      "6ca4e734ca38cb8dfdef1991076efea217897b147cfae7141d392f54e5e922f4caf7b9dee68d79ee"
      "5edf61ec3cf1fcf10a858a3c4d7f0aeab4ad6803619145858fa8366a7ced736d54581879d9c42d4e"
      "5520909b85dbaddb9818ce5631762189",
      "d745d60d3b992d338875d4da8ae74bf049defc3d434c33d6b9faa77760aa5d5d35bdaec3ed38ba43"
      "8b50ced7e20ab39dd3cb3df0ef4bd60fcf95d64cc22e2d8a4a149b1c28846098a608081908922bf7"
      "e3dc65b5471b8e154df735d9e85b110f8e73ed83aeab666497001d8cda05df59cad14907bb23aba0"
      "a6e8f6482d453c10f9bfe699292e7dbd89dd7ecfd7329ac5f84997dd71d17d0327bfa58982dbde79"
      "c85daeb6fe34b8dfdfcf8cda2b6b6d836bebe9ea107b6ea6a3644102804b06f644bdb6a6d386fc5e"
      "3aafaa0923192660107dab219e9a93f32e4e6b915e071f5de03aad7cf82f752989aa5db9303a1af4"
      "17599890dd1c031525129ee75ff6181" },
    { "c0329e66a4603278217d04c846689de9624a377b0ebf44e9eea43fd92a4d069f595cc9b783c86d1b"
      "2a9550a14fdccf0387a0611789415d09bd08c750a5bcbfd88437f5264884d2c6c4c6d66df9200ca9"
      "163d294b56e9530c9833b1c84253d6bb21ccd9073a7e2579257420080da9113dd5306aaa502d7417"
      "e8f6d4acb0d8cbae6824da9b360a8ad391053e6a341f183f4cddcd217432f28ff29c1eba7488ac4e"
      "d30c9b3ad57cac0def1c7e0a2cd70d4ac73e0d5e257fd03a2cd006d34b4b95a6d6a3ee11ffddf25d"
      "c151a321ead394c7d56a897f2e974f8b25592761495a05f8cd939b6818466337f69025198020e37c"
      "e27d3c69cfa3cb63243a56ebe250d11c7b",
      "543a3aa9afb28a9b93cd767990458ba27a151d403c03bd5f295a68b2b2738409f43f12156ed6b85d"
      "d5e90ea74ad8f10dd27389e92718f27d708eb6ce547ba5b56ca81b3296484318a1a6a3d518fe9f1d"
      "c0a5b80190ca7abf43ba2fd89b9ca3376a061c3c2b399a117fc4e6beb0c1dd50f42b1e2b9a2c793a"
      "7b392495b380a6ae31458494539e9f8f18f6c05784b8dbe73bf2aa6e08d0ad73d9a6f98fd171a144"
      "da0603ffc21fa6d92c869f6ad4e549c8aaab8ae62dd9f9b1bb6da32b27fad934589d3d8596939439"
      "5560620c83d1172666a703e8ae6e63ae16e6b24662faa5e7848c73f3493e4dd60858ee88246ad388"
      "a15414c9ab0228cc98ecfeb395cf05b61d" },
};

static struct key {
    BIGNUM *n, *d;
    size_t len;
    struct rsa_public *ways[WAYS];
    EVP_PKEY_CTX *evp[RSA_HASHES];
} keys[KEYS];
static BN_CTX *work;

static const struct {
    const EVP_MD *(*md)(void);
    size_t len;
} mds[RSA_HASHES] = { { EVP_sha256, 32 }, { EVP_sha384, 48 }, { EVP_sha512, 64 } };
static const uint8_t digest[65] =
    "A digest is bytes like others, as far as a key can tell of them.";

static EVP_PKEY *public_of(const BIGNUM *n)
{
    EVP_PKEY *pkey = NULL;
    BIGNUM *e = BN_new();
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    INVARIANT(BN_set_word(e, 65537) == 1);
    INVARIANT(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
              OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    INVARIANT(EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(e);
    return pkey;
}

static void open_key(struct key *key, const char *n, const char *d)
{
    INVARIANT(BN_hex2bn(&key->n, n) > 0 && BN_hex2bn(&key->d, d) > 0);
    key->len = (size_t)BN_num_bytes(key->n);
    EVP_PKEY *pkey = public_of(key->n);
    for (unsigned way = 0; way < WAYS; way++) {
        key->ways[way] = rsa_public_new(pkey, way == 1 && rsa52_available());
        INVARIANT(key->ways[way] != NULL);
    }
    for (unsigned hash = 0; hash < RSA_HASHES; hash++) {
        key->evp[hash] = EVP_PKEY_CTX_new(pkey, NULL);
        INVARIANT(EVP_PKEY_verify_init(key->evp[hash]) == 1 &&
                  EVP_PKEY_CTX_set_rsa_padding(key->evp[hash], RSA_PKCS1_PADDING) == 1 &&
                  EVP_PKEY_CTX_set_signature_md(key->evp[hash], mds[hash].md()) == 1);
    }
    EVP_PKEY_free(pkey);
}

/* What a signature of the digest opens to, written down a second time: not by the code that is
 * tried. */
static void write_block(uint8_t *block, size_t len, unsigned hash)
{
    static const uint8_t names[RSA_HASHES][3] = { { 0x31, 1, 0x20 },
                                                  { 0x41, 2, 0x30 },
                                                  { 0x51, 3, 0x40 } };
    uint8_t name[] = { 0x30,           names[hash][0], 0x30, 0x0d, 0x06,          0x09, 0x60,
                       0x86,           0x48,           0x01, 0x65, 0x03,          0x04, 0x02,
                       names[hash][1], 0x05,           0x00, 0x04, names[hash][2] };
    size_t end = len - mds[hash].len - sizeof(name);
    memset(block, 0xff, len);
    block[0] = 0;
    block[1] = 1;
    block[end - 1] = 0;
    memcpy(block + end, name, sizeof(name));
    memcpy(block + end + sizeof(name), digest, mds[hash].len);
}

static void raise(const struct key *key, uint8_t *bytes)
{
    BIGNUM *number = BN_bin2bn(bytes, (int)key->len, NULL);
    INVARIANT(BN_mod_exp(number, number, key->d, key->n, work) == 1);
    INVARIANT(BN_bn2binpad(number, bytes, (int)key->len) == (int)key->len);
    BN_free(number);
}

static void lay_over(uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && i < len; i++)
        bytes[len - 1 - i] ^= data[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[RSA_BYTES_MAX];
    if (work == NULL) {
        work = BN_CTX_new();
        for (unsigned i = 0; i < KEYS; i++)
            open_key(&keys[i], numbers[i].n, numbers[i].d);
    }
    if (size < 1)
        return 0;
    struct key *key = &keys[data[0] & 1];
    unsigned hash = (data[0] >> 1) % RSA_HASHES;
    bool of_block = (data[0] & 0x40) != 0, shorter = (data[0] & 0x80) != 0;
    write_block(bytes, key->len, hash);
    if (of_block)
        lay_over(bytes, key->len, data + 1, size - 1);
    raise(key, bytes);
    if (!of_block)
        lay_over(bytes, key->len, data + 1, size - 1);

    size_t len = shorter ? key->len - 1 : key->len;
    struct span signature = span_of((const char *)bytes, len);
    bool right = EVP_PKEY_verify(key->evp[hash], bytes, len, digest, mds[hash].len) == 1;
    ERR_clear_error();
    for (unsigned way = 0; way < WAYS; way++)
        INVARIANT(rsa_public_verify(key->ways[way], hash, digest, signature) == right);
    /* Neither does anybody sign without the key, nor is what the key has signed refused. */
    bool changed = shorter;
    for (size_t i = 1; i < size && i <= key->len; i++)
        changed = changed || data[i] != 0;
    if (!changed || !of_block)
        INVARIANT(right == !changed);
    return 0;
}
