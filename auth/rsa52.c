/*
 * Almost Montgomery multiplication (Gueron, "Efficient software implementations of modular
 * exponentiation", 2011). With R = 2^(52 limbs) and 4n < R, from a < 2n and b < 2n comes
 *
 *     (ab + mn) / R < (4n^2 + Rn) / R < 2n
 *
 * so that nothing is to be subtracted before the last step, and there at most n, once.
 */
#include "auth/rsa52.h"

#include <immintrin.h>
#include <string.h>

enum { LIMB_BITS = 52, LANES = 8, SQUARINGS = 16, BLOCKS_MAX = RSA52_LIMBS_MAX / LANES };
#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)
#define WITH_IFMA __attribute__((target("avx512f,avx512ifma")))

typedef void multiply_fn(uint64_t *out, const uint64_t *a, const uint64_t *b,
                         const struct rsa52 *key);

bool rsa52_available(void)
{
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512ifma") != 0;
}

/* To 52 bits each. */
static void carry(uint64_t *out, const uint64_t *lanes, unsigned limbs)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < limbs; i++) {
        sum += lanes[i];
        out[i] = sum & LIMB_MASK;
        sum >>= LIMB_BITS;
    }
}

/*
 * Limb after limb of `b`: adds a * b[i], and so much of n that the lowest limb becomes zero,
 * and drops that. What decides how much, the lowest limb itself, is kept outside of the
 * vectors, whose first lane holds nothing of use. A lane takes four products of less than 2^52
 * a round: with 80 rounds it stays below 2^61, and carries wait for the end.
 *
 * `blocks` is a constant where this is inlined, so that the sums stay in registers.
 */
WITH_IFMA static inline __attribute__((always_inline)) void
multiply(uint64_t *out, const uint64_t *a, const uint64_t *b, const struct rsa52 *key,
         const unsigned blocks)
{
    __m512i sum[BLOCKS_MAX];
    const uint64_t *n = key->n;
    uint64_t low = 0;
#pragma GCC unroll 10
    for (unsigned j = 0; j < blocks; j++)
        sum[j] = _mm512_setzero_si512();

    for (unsigned i = 0; i < LANES * blocks; i++) {
        unsigned __int128 lowest = (unsigned __int128)a[0] * b[i] + low;
        uint64_t times = (uint64_t)lowest * key->inverse & LIMB_MASK;
        __m512i by = _mm512_set1_epi64((long long)b[i]);
        __m512i and = _mm512_set1_epi64((long long)times);
        low = (uint64_t)((lowest + (unsigned __int128)n[0] * times) >> LIMB_BITS);
#pragma GCC unroll 10
        for (unsigned j = 0; j < blocks; j++) {
            sum[j] = _mm512_madd52lo_epu64(sum[j], _mm512_load_si512(a + LANES * j), by);
            sum[j] = _mm512_madd52lo_epu64(sum[j], _mm512_load_si512(n + LANES * j), and);
        }
#pragma GCC unroll 10
        for (unsigned j = 0; j < blocks; j++)
            sum[j] = _mm512_alignr_epi64(j + 1 < blocks ? sum[j + 1] : _mm512_setzero_si512(),
                                         sum[j], 1);
        low += (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(sum[0]));
        /* The upper halves belong to the limb above, which now has this one's place. */
#pragma GCC unroll 10
        for (unsigned j = 0; j < blocks; j++) {
            sum[j] = _mm512_madd52hi_epu64(sum[j], _mm512_load_si512(a + LANES * j), by);
            sum[j] = _mm512_madd52hi_epu64(sum[j], _mm512_load_si512(n + LANES * j), and);
        }
    }

    _Alignas(64) uint64_t lanes[RSA52_LIMBS_MAX];
#pragma GCC unroll 10
    for (unsigned j = 0; j < blocks; j++)
        _mm512_store_si512(lanes + LANES * j, sum[j]);
    lanes[0] = low;
    carry(out, lanes, LANES * blocks);
}

WITH_IFMA static void multiply_5(uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 const struct rsa52 *key)
{
    multiply(out, a, b, key, 5);
}

WITH_IFMA static void multiply_8(uint64_t *out, const uint64_t *a, const uint64_t *b,
                                 const struct rsa52 *key)
{
    multiply(out, a, b, key, 8);
}

WITH_IFMA static void multiply_10(uint64_t *out, const uint64_t *a, const uint64_t *b,
                                  const struct rsa52 *key)
{
    multiply(out, a, b, key, 10);
}

/* For keys of 2,048, 3,072 and 4,096 bits; others take the next. */
static const struct size {
    unsigned limbs;
    multiply_fn *multiply;
} sizes[] = { { 40, multiply_5 }, { 64, multiply_8 }, { RSA52_LIMBS_MAX, multiply_10 } };

/* ---- numbers ---- */

static void read_number(uint64_t *out, const uint8_t *bytes, size_t len, unsigned limbs)
{
    /* The lowest byte first, and room for a word at the last limb. */
    uint8_t turned[RSA52_LIMBS_MAX * LIMB_BITS / 8 + sizeof(uint64_t)] = { 0 };
    INVARIANT(8 * len <= (size_t)limbs * LIMB_BITS);
    for (size_t i = 0; i < len; i++)
        turned[i] = bytes[len - 1 - i];
    for (unsigned i = 0; i < limbs; i++) {
        uint64_t word;
        memcpy(&word, turned + (size_t)i * LIMB_BITS / 8, sizeof(word));
        out[i] = word >> (i * LIMB_BITS % 8) & LIMB_MASK;
    }
}

static bool is_less(const uint64_t *a, const uint64_t *b, unsigned limbs)
{
    for (unsigned i = limbs; i-- > 0;)
        if (a[i] != b[i])
            return a[i] < b[i];
    return false;
}

static void subtract(uint64_t *from, const uint64_t *n, unsigned limbs)
{
    uint64_t borrow = 0;
    for (unsigned i = 0; i < limbs; i++) {
        uint64_t left = from[i] - n[i] - borrow;
        from[i] = left & LIMB_MASK;
        borrow = left >> 63;
    }
}

/* ---- keys ---- */

static bool read_bignum(uint64_t *out, const BIGNUM *number, unsigned limbs)
{
    uint8_t bytes[RSA52_LIMBS_MAX * LIMB_BITS / 8];
    int len = BN_num_bytes(number);
    if (len > (int)sizeof(bytes) || BN_bn2binpad(number, bytes, len) != len)
        return false;
    read_number(out, bytes, (size_t)len, limbs);
    return true;
}

/* Each round of Newton's doubles the bits that are right; three are before the first. */
static uint64_t negative_inverse(uint64_t n)
{
    uint64_t inverse = n;
    for (unsigned bits = 3; bits < 64; bits *= 2)
        inverse *= 2 - n * inverse;
    return (0 - inverse) & LIMB_MASK;
}

bool rsa52_init(struct rsa52 *key, const BIGNUM *n)
{
    *key = (struct rsa52){ 0 };
    if (!BN_is_odd(n) || BN_is_negative(n) || BN_num_bits(n) > RSA52_BITS_MAX)
        return false;
    while (BN_num_bits(n) > (int)sizes[key->size].limbs * LIMB_BITS - 2)
        key->size++;
    unsigned limbs = sizes[key->size].limbs;
    BIGNUM *square = BN_new();
    BN_CTX *work = BN_CTX_new();
    bool good = square != NULL && work != NULL &&
                BN_set_bit(square, 2 * (int)limbs * LIMB_BITS) == 1 &&
                BN_mod(square, square, n, work) == 1 && read_bignum(key->n, n, limbs) &&
                read_bignum(key->square, square, limbs);
    BN_free(square);
    BN_CTX_free(work);
    key->inverse = negative_inverse(key->n[0]);
    return good;
}

bool rsa52_opens_to(const struct rsa52 *key, const uint8_t *signature, const uint8_t *message,
                    size_t len)
{
    _Alignas(64) uint64_t s[RSA52_LIMBS_MAX], x[RSA52_LIMBS_MAX];
    uint64_t want[RSA52_LIMBS_MAX];
    const struct size *size = &sizes[key->size];
    if (8 * len > (size_t)size->limbs * LIMB_BITS)
        return false;
    read_number(s, signature, len, size->limbs);
    if (!is_less(s, key->n, size->limbs))
        return false;
    size->multiply(x, s, key->square, key); /* sR */
    for (unsigned i = 0; i < SQUARINGS; i++)
        size->multiply(x, x, x, key);
    size->multiply(x, x, s, key); /* s has no R in it: nor has the product */
    if (!is_less(x, key->n, size->limbs))
        subtract(x, key->n, size->limbs);
    read_number(want, message, len, size->limbs);
    return memcmp(x, want, size->limbs * sizeof(x[0])) == 0;
}
