/*
 * Bytes of a value, 16 at a time, for what asks which of them there are.
 */
#ifndef SALLYPORT_RULES_LOAD_H
#define SALLYPORT_RULES_LOAD_H

#include <emmintrin.h>

#include "gateway/base/span.h"

static inline __m128i load16(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Of fewer than 16 bytes, but not of none; most of them twice. */
static inline __m128i load_few(struct span value)
{
    const char *p = value.p, *end = p + value.len;
    uint64_t first, last;
    uint32_t begin, rest;
    if (value.len >= sizeof(first)) {
        memcpy(&first, p, sizeof(first));
        memcpy(&last, end - sizeof(last), sizeof(last));
        return _mm_set_epi64x((int64_t)last, (int64_t)first);
    }
    if (value.len < sizeof(begin)) {
        begin = (uint8_t)p[0] * 0x10001u | (uint32_t)(uint8_t)p[value.len / 2] << 8 |
                (uint32_t)(uint8_t)end[-1] << 24;
        return _mm_set1_epi32((int32_t)begin);
    }
    memcpy(&begin, p, sizeof(begin));
    memcpy(&rest, end - sizeof(rest), sizeof(rest));
    return _mm_set1_epi64x((int64_t)((uint64_t)rest << 32 | begin));
}

#endif
