/* Looking for any of a set of bytes. */
#include "rules/engine/bytes.h"

#include <tmmintrin.h>

void byte_gate_make(struct byte_gate *gate, const struct byte_set *set)
{
    *gate = (struct byte_gate){ .low = { 0 } };
    for (unsigned c = 0; c < 256; c++) {
        uint8_t *table = c < 128 ? gate->low : gate->high;
        if (byte_set_has(set, (uint8_t)c))
            table[c & 15] |= (uint8_t)(1u << (c >> 4 & 7));
    }
}

static inline __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Not all zero: one of the 16 is in the set. PSHUFB answers 0 where the top bit is set. */
static inline __m128i members(const struct byte_gate *gate, __m128i bytes)
{
    const __m128i bits = _mm_set1_epi64x((long long)0x8040201008040201ull);
    __m128i rows = _mm_or_si128(
        _mm_shuffle_epi8(load(gate->low), bytes),
        _mm_shuffle_epi8(load(gate->high), _mm_xor_si128(bytes, _mm_set1_epi8((char)0x80))));
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(7));
    return _mm_and_si128(rows, _mm_shuffle_epi8(bits, high));
}

static inline bool any(__m128i found)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(found, _mm_setzero_si128())) != 0xffff;
}

bool byte_gate_any(const struct byte_gate *gate, struct span text)
{
    if (text.len == 0)
        return false;
    if (text.len < 16) {
        char bytes[16];
        memset(bytes, text.p[0], sizeof(bytes));
        memcpy(bytes, text.p, text.len);
        return any(members(gate, load(bytes)));
    }
    const char *p = text.p, *last = span_end(text) - 16;
    for (; p < last; p += 16) {
        if (any(members(gate, load(p))))
            return true;
    }
    return any(members(gate, load(last)));
}
