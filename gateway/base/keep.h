/*
 * Some of 16 bytes, moved together.
 */
#ifndef SALLYPORT_KEEP_H
#define SALLYPORT_KEEP_H

#include <stdint.h>
#include <tmmintrin.h>

/* By a bit for each of eight places: those with a bit in their order, a byte each. */
extern const uint64_t keep_places[256];

/* Of the bytes those that have a bit; up to 16 are written. The end of them. */
static inline char *keep16(char *out, __m128i bytes, unsigned kept)
{
    const void *low = &keep_places[kept & 0xff], *high = &keep_places[kept >> 8];
    __m128i first = _mm_shuffle_epi8(bytes, _mm_loadl_epi64(low));
    __m128i second = _mm_shuffle_epi8(_mm_srli_si128(bytes, 8), _mm_loadl_epi64(high));
    _mm_storel_epi64((void *)out, first);
    out += __builtin_popcount(kept & 0xff);
    _mm_storel_epi64((void *)out, second);
    return out + __builtin_popcount(kept >> 8);
}

#endif
