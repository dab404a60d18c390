/*
 * Traits: which classes of bytes stand in a value, 16 bytes at a time.
 *
 * A byte has a trait when the row of its low nibble and the column of its high nibble both have
 * the bit: two table look-ups by PSHUFB for eight traits. TRAIT_UPPER, TRAIT_SPACE and
 * TRAIT_SHELL take in a few neighbours that way, which costs a walk and nothing else.
 */
#include <tmmintrin.h>

#include "rules/transform.h"

#define BIT(trait) ((trait) < 256 ? (trait) : (trait) >> 8)

enum {
    ALL_LOW = TRAIT_UPPER,         /* A to Z and the six beside them: any low nibble */
    ALL_LOW_TWO = BIT(TRAIT_HIGH), /* of the second table */
    COMMENT = BIT(TRAIT_COMMENT),
    QUOTE = BIT(TRAIT_QUOTE),
    SHELL = BIT(TRAIT_SHELL),
    LETTER_X = BIT(TRAIT_X),
    MARKUP = BIT(TRAIT_MARKUP),
};

struct table {
    uint8_t rows[16], columns[16];
};

static const struct table first_traits = {
    .rows = {
        [0x0] = ALL_LOW | TRAIT_NUL | TRAIT_SPACE,
        [0x1] = ALL_LOW,
        [0x2] = ALL_LOW,
        [0x3] = ALL_LOW,
        [0x4] = ALL_LOW,
        [0x5] = ALL_LOW | TRAIT_ESCAPE,
        [0x6] = ALL_LOW | TRAIT_AMPERSAND,
        [0x7] = ALL_LOW,
        [0x8] = ALL_LOW,
        [0x9] = ALL_LOW | TRAIT_SPACE,
        [0xa] = ALL_LOW | TRAIT_SPACE | TRAIT_STAR,
        [0xb] = ALL_LOW | TRAIT_SPACE | TRAIT_ESCAPE,
        [0xc] = ALL_LOW | TRAIT_SPACE | TRAIT_BACKSLASH | TRAIT_PATH,
        [0xd] = ALL_LOW | TRAIT_SPACE,
        [0xe] = ALL_LOW | TRAIT_PATH,
        [0xf] = ALL_LOW | TRAIT_PATH,
    },
    .columns = {
        [0x0] = TRAIT_NUL | TRAIT_SPACE,
        [0x2] = TRAIT_ESCAPE | TRAIT_AMPERSAND | TRAIT_STAR | TRAIT_SPACE | TRAIT_PATH,
        [0x4] = TRAIT_UPPER,
        [0x5] = TRAIT_UPPER | TRAIT_BACKSLASH | TRAIT_PATH,
        [0xa] = TRAIT_SPACE,
    },
};

static const struct table second_traits = {
    .rows = {
        [0x0] = ALL_LOW_TWO,
        [0x1] = ALL_LOW_TWO,
        [0x2] = ALL_LOW_TWO | QUOTE,
        [0x3] = ALL_LOW_TWO | COMMENT,
        [0x4] = ALL_LOW_TWO,
        [0x5] = ALL_LOW_TWO,
        [0x6] = ALL_LOW_TWO,
        [0x7] = ALL_LOW_TWO | QUOTE,
        [0x8] = ALL_LOW_TWO | LETTER_X,
        [0x9] = ALL_LOW_TWO,
        [0xa] = ALL_LOW_TWO,
        [0xb] = ALL_LOW_TWO | SHELL,
        [0xc] = ALL_LOW_TWO | QUOTE | MARKUP,
        [0xd] = ALL_LOW_TWO | COMMENT | MARKUP,
        [0xe] = ALL_LOW_TWO | SHELL,
        [0xf] = ALL_LOW_TWO,
    },
    .columns = {
        [0x2] = COMMENT | QUOTE,
        [0x3] = SHELL | MARKUP,
        [0x5] = SHELL | LETTER_X,
        [0x7] = LETTER_X,
        [0x8] = ALL_LOW_TWO,
        [0x9] = ALL_LOW_TWO,
        [0xa] = ALL_LOW_TWO,
        [0xb] = ALL_LOW_TWO,
        [0xc] = ALL_LOW_TWO,
        [0xd] = ALL_LOW_TWO,
        [0xe] = ALL_LOW_TWO,
        [0xf] = ALL_LOW_TWO,
    },
};

/* Breaks stand where row and column have a bit in common: in columns 0, 1 and 2, all; in 4, 6
 * and a, the first; in 3, those from a on; in 5 and 7, b to e. */
static const struct table breaks = {
    .rows = {
        [0x0] = 1 | 8,
        [0x1 ... 0x9] = 1,
        [0xa] = 1 | 2,
        [0xb ... 0xe] = 1 | 2 | 4,
        [0xf] = 1 | 2,
    },
    .columns = {
        [0x0 ... 0x2] = 1,
        [0x3] = 2,
        [0x4] = 8,
        [0x5] = 4,
        [0x6] = 8,
        [0x7] = 4,
        [0xa] = 8,
    },
};

/* What was seen so far of the tables. */
struct seen {
    __m128i first, second, breaks;
};

static inline __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline __m128i look_up(const struct table *table, __m128i low, __m128i high)
{
    return _mm_and_si128(_mm_shuffle_epi8(load(table->rows), low),
                         _mm_shuffle_epi8(load(table->columns), high));
}

/* Of what is long, breaks need not be looked for. */
static inline void see(struct seen *seen, __m128i bytes, bool is_long)
{
    const __m128i nibble = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(bytes, nibble);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    seen->first = _mm_or_si128(seen->first, look_up(&first_traits, low, high));
    seen->second = _mm_or_si128(seen->second, look_up(&second_traits, low, high));
    if (!is_long)
        seen->breaks = _mm_or_si128(seen->breaks, look_up(&breaks, low, high));
}

/* All bytes in one: of the first table in the low half, of the second in the high one. */
static inline uint32_t gather(const struct seen *seen)
{
    __m128i whole = _mm_cmpeq_epi8(seen->breaks, _mm_setzero_si128());
    uint32_t broken = _mm_movemask_epi8(whole) != 0xffff ? TRAIT_BREAK : 0;
    __m128i both = _mm_or_si128(_mm_unpacklo_epi64(seen->first, seen->second),
                                _mm_unpackhi_epi64(seen->first, seen->second));
    both = _mm_or_si128(both, _mm_srli_epi64(both, 32));
    both = _mm_or_si128(both, _mm_srli_epi64(both, 16));
    both = _mm_or_si128(both, _mm_srli_epi64(both, 8));
    return ((uint32_t)_mm_cvtsi128_si32(both) & 0xff) | broken |
           ((uint32_t)_mm_cvtsi128_si32(_mm_srli_si128(both, 8)) & 0xff) << 8;
}

/* Fewer than 16 bytes, as 16: what is looked at twice changes nothing. */
static inline __m128i short_bytes(const char *p, size_t len)
{
    uint64_t first = 0, last = 0;
    if (len >= 8) {
        memcpy(&first, p, 8);
        memcpy(&last, p + len - 8, 8);
        return _mm_set_epi64x((long long)last, (long long)first);
    }
    if (len >= 4) {
        uint32_t head, tail;
        memcpy(&head, p, 4);
        memcpy(&tail, p + len - 4, 4);
        return _mm_set_epi32((int)tail, (int)head, (int)tail, (int)head);
    }
    char all[4] = { p[0], p[len / 2], p[len - 1], p[0] };
    int four;
    memcpy(&four, all, 4);
    return _mm_set1_epi32(four);
}

/* ---- gaps ---- */

static inline bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0';
}

static inline __m128i equal(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* White space but for the space itself. */
static inline __m128i odd_white(__m128i bytes)
{
    __m128i from_tab = _mm_sub_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i controls = _mm_cmpeq_epi8(_mm_min_epu8(from_tab, _mm_set1_epi8(4)), from_tab);
    return _mm_or_si128(controls, equal(bytes, '\xa0'));
}

static inline bool gap_at(const char *p)
{
    __m128i bytes = load(p), next = load(p + 1);
    __m128i bad = _mm_or_si128(_mm_or_si128(odd_white(next), equal(next, ' ')),
                               _mm_or_si128(equal(next, '/'), equal(next, '(')));
    __m128i gaps = _mm_or_si128(odd_white(bytes), _mm_and_si128(equal(bytes, ' '), bad));
    return _mm_movemask_epi8(gaps) != 0;
}

/* Nothing but the end stands behind the last byte. */
static bool has_gap(struct span s)
{
    char room[32];
    if (s.len < 17) {
        memset(room, '.', sizeof(room));
        memcpy(room, s.p, s.len);
        return gap_at(room);
    }
    for (size_t i = 0; i + 17 < s.len; i += 16) {
        if (gap_at(s.p + i))
            return true;
    }
    char last = span_end(s)[-1];
    return gap_at(span_end(s) - 17) || (last != ' ' && is_white(last));
}

/* ---- paths ---- */

/* Two slashes, a dot before one, or a backslash. */
static inline bool odd_path_at(const char *p)
{
    __m128i bytes = load(p), slash = equal(load(p + 1), '/');
    __m128i before = _mm_or_si128(equal(bytes, '/'), equal(bytes, '.'));
    __m128i odd = _mm_or_si128(_mm_and_si128(slash, before), equal(bytes, '\\'));
    return _mm_movemask_epi8(odd) != 0;
}

static bool is_odd_path(struct span s)
{
    char room[32] = { 0 }, last = span_end(s)[-1];
    if (last == '.' || last == '\\')
        return true;
    if (s.len < 17) {
        memcpy(room, s.p, s.len);
        return odd_path_at(room);
    }
    for (size_t i = 0; i + 17 < s.len; i += 16) {
        if (odd_path_at(s.p + i))
            return true;
    }
    return odd_path_at(span_end(s) - 17);
}

/* ---- all ---- */

/* What depends on neighbours is looked at only where it may be. */
static uint32_t in_full(uint32_t traits, struct span s)
{
    if ((traits & TRAIT_SPACE) != 0 && has_gap(s))
        traits |= TRAIT_GAP;
    if ((traits & TRAIT_PATH) != 0 && !is_odd_path(s))
        traits &= ~(uint32_t)TRAIT_PATH;
    return traits | TRAIT_ANY;
}

uint32_t traits_of(struct span s)
{
    if (s.len == 0)
        return TRAIT_ANY;
    struct seen seen = { _mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128() };
    if (s.len < 16) {
        see(&seen, short_bytes(s.p, s.len), false);
        return in_full(gather(&seen), s);
    }
    const char *p = s.p, *last = span_end(s) - 16;
    if (s.len >= 64) /* it nearly always has one */
        seen.breaks = _mm_set1_epi8(1);
    for (; last - p >= 48; p += 64) {
        see(&seen, load(p), true);
        see(&seen, load(p + 16), true);
        see(&seen, load(p + 32), true);
        see(&seen, load(p + 48), true);
    }
    for (; p < last; p += 16)
        see(&seen, load(p), false);
    see(&seen, load(last), false);
    return in_full(gather(&seen), s);
}
