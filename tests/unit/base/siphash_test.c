/* SipHash against the paper's vector and libsodium's own; and the kernel's random bytes. */
#include "tests/unit/check.h"

#include <sodium.h>

#include "gateway/base/siphash.h"

static void vector_of_the_paper(void **state)
{
    (void)state;
    /* Appendix A: key 00..0f, message 00..0e */
    const struct siphash_key key = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
    unsigned char message[15];
    for (unsigned char i = 0; i < sizeof(message); i++)
        message[i] = i;
    assert_true(siphash(&key, message, sizeof(message)) == 0xa129ca6149be45e5u);
    assert_true(siphash(&key, NULL, 0) == 0x726fdb47dd0e0e31u);
}

static void agrees_with_libsodium(void **state)
{
    (void)state;
    struct siphash_key key;
    unsigned char message[130], expected[crypto_shorthash_BYTES];
    assert_int_equal(sizeof(key), crypto_shorthash_KEYBYTES);
    random_bytes(&key, sizeof(key));
    random_bytes(message, sizeof(message));
    for (size_t len = 0; len < sizeof(message); len++) {
        uint64_t hash = siphash(&key, message + len % 2, len - len % 2);
        assert_int_equal(crypto_shorthash(expected, message + len % 2, len - len % 2,
                                          (const unsigned char *)&key),
                         0);
        assert_memory_equal(&hash, expected, sizeof(hash));
    }
}

/* In one piece, and behind a beginning of 0, 8, 16 ... bytes. */
static void long_hashes_agree_too(void **state)
{
    (void)state;
    struct siphash_key key;
    unsigned char message[100], expected[crypto_shorthash_siphashx24_BYTES];
    random_bytes(&key, sizeof(key));
    random_bytes(message, sizeof(message));
    for (size_t len = 0; len < sizeof(message); len++)
        for (size_t first = 0; first <= len; first += 8) {
            struct siphash_state hash = siphash128_begin(&key, message, first);
            uint64_t halves[2];
            halves[0] = siphash128_first(&hash, message + first, len - first);
            halves[1] = siphash128_second(&hash);
            assert_int_equal(crypto_shorthash_siphashx24(expected, message, len,
                                                         (const unsigned char *)&key),
                             0);
            assert_memory_equal(halves, expected, sizeof(halves));
        }
}

static void random_is_not_constant(void **state)
{
    (void)state;
    unsigned char a[1000] = { 0 }, b[1000] = { 0 };
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b) - 1);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a + 900, b + 900, 32);
    assert_int_equal(b[999], 0); /* not one byte more than asked for */
    random_bytes(NULL, 0);
}

int main(void)
{
    return RUN(TEST(vector_of_the_paper), TEST(agrees_with_libsodium),
               TEST(long_hashes_agree_too), TEST(random_is_not_constant));
}
