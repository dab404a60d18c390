/*
 * The same as blocks.h, 32 bytes at a time: only where the processor has AVX2.
 */
#ifndef SALLYPORT_RULES_TRANSFORM_BLOCKS32_H
#define SALLYPORT_RULES_TRANSFORM_BLOCKS32_H

#include <immintrin.h>

#include "rules/transform/blocks.h"

#define WITH_AVX2 __attribute__((target("avx2")))

static inline bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

WITH_AVX2 static inline __m256i load32(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* For both halves. */
WITH_AVX2 static inline __m256i table32(const uint8_t table[16])
{
    return _mm256_broadcastsi128_si256(load16((const char *)table));
}

WITH_AVX2 static inline __m256i classes32(__m256i bytes, const uint8_t rows[16],
                                          const uint8_t columns[16])
{
    const __m256i half = _mm256_set1_epi8(0x0f);
    __m256i low = _mm256_and_si256(bytes, half);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
    return _mm256_and_si256(_mm256_shuffle_epi8(table32(rows), low),
                            _mm256_shuffle_epi8(table32(columns), high));
}

/* A bit for each byte that is not 0. */
WITH_AVX2 static inline uint32_t not_zero32(__m256i bytes)
{
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
}

#endif
