/* As Apache's htpasswd makes them. */
#include "auth/oldhash.h"

#include <openssl/evp.h>

#include "gateway/base/secret.h"

enum { MD5_BYTES = 16, ROUNDS = 1000 };

static const char digit_of[] =
    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static bool add(EVP_MD_CTX *md, struct span bytes)
{
    return bytes.len == 0 || EVP_DigestUpdate(md, bytes.p, bytes.len) == 1;
}

static bool begin(EVP_MD_CTX *md)
{
    return EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1;
}

static bool end(EVP_MD_CTX *md, uint8_t digest[MD5_BYTES])
{
    return EVP_DigestFinal_ex(md, digest, NULL) == 1;
}

/* Of the password and salt twice over, in the way of 1994. */
static bool first(EVP_MD_CTX *md, struct span password, struct span salt,
                  uint8_t digest[MD5_BYTES])
{
    static const char zero = '\0';
    struct span all = span_of((const char *)digest, MD5_BYTES);
    bool good = begin(md) && add(md, password) && add(md, salt) && add(md, password) &&
                end(md, digest) && begin(md) && add(md, password) && add(md, SPAN("$apr1$")) &&
                add(md, salt);
    for (size_t left = password.len; good && left > 0;
         left -= left < MD5_BYTES ? left : (size_t)MD5_BYTES)
        good = add(md, span_sub(all, 0, left));
    for (size_t bits = password.len; good && bits > 0; bits >>= 1)
        good = add(md, (bits & 1) != 0 ? span_of(&zero, 1) : span_sub(password, 0, 1));
    return good && end(md, digest);
}

static bool one_round(EVP_MD_CTX *md, unsigned i, struct span password, struct span salt,
                      uint8_t digest[MD5_BYTES])
{
    struct span so_far = span_of((const char *)digest, MD5_BYTES);
    return begin(md) && add(md, i % 2 != 0 ? password : so_far) &&
           (i % 3 == 0 || add(md, salt)) && (i % 7 == 0 || add(md, password)) &&
           add(md, i % 2 != 0 ? so_far : password) && end(md, digest);
}

static void write_digits(const uint8_t digest[MD5_BYTES], char digits[APR1_HASH_DIGITS])
{
    static const uint8_t order[][3] = {
        { 0, 6, 12 }, { 1, 7, 13 }, { 2, 8, 14 }, { 3, 9, 15 }, { 4, 10, 5 }
    };
    char *at = digits;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        unsigned word = (unsigned)digest[order[i][0]] << 16 |
                        (unsigned)digest[order[i][1]] << 8 | digest[order[i][2]];
        for (unsigned k = 0; k < 4; k++, word >>= 6)
            *at++ = digit_of[word & 63];
    }
    *at++ = digit_of[digest[11] & 63];
    *at++ = digit_of[digest[11] >> 6];
}

bool apr1_make(struct span password, struct span salt, char digits[APR1_HASH_DIGITS])
{
    uint8_t digest[MD5_BYTES];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md != NULL && first(md, password, salt, digest);
    for (unsigned i = 0; good && i < ROUNDS; i++)
        good = one_round(md, i, password, salt, digest);
    EVP_MD_CTX_free(md);
    if (good)
        write_digits(digest, digits);
    wipe(digest, sizeof(digest));
    return good;
}

bool sha1_make(struct span password, char digits[SHA1_DIGITS + 1])
{
    uint8_t digest[20];
    bool good = EVP_Digest(password.p, password.len, digest, NULL, EVP_sha1(), NULL) == 1 &&
                EVP_EncodeBlock((unsigned char *)digits, digest, sizeof(digest)) == SHA1_DIGITS;
    wipe(digest, sizeof(digest));
    return good;
}
