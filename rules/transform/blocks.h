/*
 * Bytes of a value in their order, 16 at a time, for steps that let most of them stay.
 *
 * A step that writes as many bytes as it reads, or fewer, has room for 16 wherever it still has
 * 16 to read; of fewer it writes no more than these.
 */
#ifndef SALLYPORT_RULES_TRANSFORM_BLOCKS_H
#define SALLYPORT_RULES_TRANSFORM_BLOCKS_H

#include <tmmintrin.h>

#include "gateway/base/keep.h"
#include "rules/load.h"

enum { BLOCK = 16 };

static inline __m128i equal16(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* A bit for each byte of which the highest bit is set. */
static inline unsigned mask16(__m128i bytes)
{
    return (unsigned)_mm_movemask_epi8(bytes);
}

static inline void store16(char *p, __m128i bytes)
{
    _mm_storeu_si128((__m128i *)(void *)p, bytes);
}

/* `yes` where the bytes of `where` are 0xff, else `no`. */
static inline __m128i choose16(__m128i where, __m128i yes, __m128i no)
{
    return _mm_or_si128(_mm_and_si128(where, yes), _mm_andnot_si128(where, no));
}

/* What each byte is, a bit for each class: by the low half and by the high one. */
static inline __m128i classes16(__m128i bytes, const uint8_t rows[16],
                                const uint8_t columns[16])
{
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(bytes, half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), half);
    return _mm_and_si128(_mm_shuffle_epi8(load16((const char *)rows), low),
                         _mm_shuffle_epi8(load16((const char *)columns), high));
}

/* Letters in lower case. */
static inline __m128i lower16(__m128i bytes)
{
    __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('A' - 1)),
                                  _mm_cmplt_epi8(bytes, _mm_set1_epi8('Z' + 1)));
    return _mm_or_si128(bytes, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
}

static inline size_t part_len(const char *p, const char *end)
{
    return (size_t)(end - p) < BLOCK ? (size_t)(end - p) : BLOCK;
}

/* `len` bytes, at most 16, and zeros behind them. */
static inline __m128i load_part(const char *p, size_t len)
{
    uint64_t low = 0, high = 0;
    if (len == BLOCK)
        return load16(p);
    if (len >= sizeof(low)) {
        memcpy(&low, p, sizeof(low));
        memcpy(&high, p + len - sizeof(high), sizeof(high));
        /* In two steps: none of 64 bits is defined. */
        high = high >> (BLOCK - 1 - len) * 8 >> 8;
    } else if (len >= sizeof(uint32_t)) {
        uint32_t begin, rest;
        memcpy(&begin, p, sizeof(begin));
        memcpy(&rest, p + len - sizeof(rest), sizeof(rest));
        low = begin | (uint64_t)rest << (len - sizeof(rest)) * 8;
    } else {
        for (size_t i = len; i > 0; i--)
            low = low << 8 | (uint8_t)p[i - 1];
    }
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* The first `len`, at most 16. */
static inline void store_part(char *p, __m128i bytes, size_t len)
{
    if (len == BLOCK) {
        store16(p, bytes);
        return;
    }
    uint64_t rest = (uint64_t)_mm_cvtsi128_si64(bytes);
    if ((len & 8) != 0) {
        memcpy(p, &rest, 8);
        p += 8;
        rest = (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(bytes, 8));
    }
    if ((len & 4) != 0) {
        memcpy(p, &rest, 4);
        p += 4;
        rest >>= 32;
    }
    for (size_t i = 0; i < (len & 3); i++, rest >>= 8)
        p[i] = (char)rest;
}

/* What is left of `len` bytes without those that `gone` has a bit for; where the next goes. */
static inline char *put_without(char *out, __m128i bytes, unsigned gone, size_t len)
{
    char room[BLOCK];
    if (len == BLOCK)
        return keep16(out, bytes, ~gone & 0xffff);
    if (gone == 0) {
        store_part(out, bytes, len);
        return out + len;
    }
    size_t left = (size_t)(keep16(room, bytes, ~gone & ((1u << len) - 1)) - room);
    memcpy(out, room, left);
    return out + left;
}

/* What was made of `in` byte by byte: `changed` has those that are others, none was added. */
static inline struct span made_of(struct span in, const char *room, const char *out,
                                  __m128i changed)
{
    bool same = mask16(_mm_cmpeq_epi8(changed, _mm_setzero_si128())) == 0xffff;
    struct span made = span_range(room, out);
    return same && made.len == in.len ? in : made;
}

/*
 * Before which bytes a blank stands, with none but such that go between; bit 16 and `before`
 * are of the next and the last bytes. To add one is to carry it through: from where both
 * numbers have a bit, over those where one has.
 */
static inline unsigned behind_blanks(unsigned blanks, unsigned gone, unsigned before)
{
    unsigned passed = blanks | gone;
    return (passed + blanks + before) ^ passed ^ blanks;
}

#endif
