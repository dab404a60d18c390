/* Places at which something may begin, 64 at a time. */
#include "rules/engine/edge_places.h"

#include <immintrin.h>

#define WITH_AVX2 __attribute__((target("avx2")))

bool edge_places_are_wide(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

uint64_t edge_places_narrow(const struct edges *e, const char *at)
{
    uint64_t places = 0;
    for (unsigned i = 0; i < EDGE_PLACES; i += BLOCK)
        places |= (uint64_t)edge_places16(e, at + i) << i;
    return places;
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

WITH_AVX2 static inline __m256i classes32(__m256i bytes, const struct edge_bytes *of)
{
    const __m256i half = _mm256_set1_epi8(0x0f);
    __m256i low = _mm256_and_si256(bytes, half);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
    return _mm256_and_si256(_mm256_shuffle_epi8(table32(of->low), low),
                            _mm256_shuffle_epi8(table32(of->high), high));
}

WITH_AVX2 static inline uint32_t places32(const struct edges *e, const char *at)
{
    __m256i here = classes32(load32(at), &e->here);
    __m256i ahead = classes32(load32(at + 1), &e->ahead);
    __m256i before = classes32(load32(at - 1), &e->before);
    __m256i both = _mm256_and_si256(here, _mm256_or_si256(ahead, before));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(both, _mm256_setzero_si256()));
}

WITH_AVX2 uint64_t edge_places_wide(const struct edges *e, const char *at)
{
    return places32(e, at) | (uint64_t)places32(e, at + EDGE_PLACES / 2) << EDGE_PLACES / 2;
}

uint64_t edge_places(const struct edges *e, const char *at)
{
    return edge_places_are_wide() ? edge_places_wide(e, at) : edge_places_narrow(e, at);
}
