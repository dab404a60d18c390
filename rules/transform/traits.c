/*
 * Traits: which classes of bytes stand in a value, and which pairs, 16 bytes at a time.
 *
 * A byte has a trait when the row of its low nibble and the column of its high nibble both have
 * the bit: two table look-ups by PSHUFB for eight traits. So it is with the second byte of a
 * pair; the first one, which stands one place before, needs a row alone, as its high nibble is
 * always 2. TRAIT_UPPER and the pairs with letters take in a few neighbours that way, which
 * costs a walk and nothing else.
 */
#include "rules/transform.h"

#include <smmintrin.h>

#include "rules/transform/blocks.h"

enum {
    LONG = 64,
    SECOND_FROM = 8, /* bits of the second table, as the others have them */
    PAIRS_FROM = 16,
    ALL_LOW = TRAIT_UPPER, /* A to Z and the six beside them: any low nibble */
    COMMENT = TRAIT_COMMENT >> SECOND_FROM,
    QUOTE = TRAIT_QUOTE >> SECOND_FROM,
    SEMICOLON = TRAIT_SEMICOLON >> SECOND_FROM,
    CARET = TRAIT_CARET >> SECOND_FROM,
    LETTER_X = TRAIT_X >> SECOND_FROM,
    MARKUP = TRAIT_MARKUP >> SECOND_FROM,
    CONTROL = TRAIT_CONTROL >> SECOND_FROM,
    NO_BREAK = TRAIT_NO_BREAK >> SECOND_FROM,
    GAP = TRAIT_GAP >> PAIRS_FROM,
    BLANKS = TRAIT_BLANKS >> PAIRS_FROM,
    PATH = TRAIT_PATH >> PAIRS_FROM,
    NUMBER = TRAIT_ENTITY_NUMBER >> PAIRS_FROM,
    NAME = TRAIT_ENTITY_NAME >> PAIRS_FROM,
    DIGIT = TRAIT_ESCAPE_DIGIT >> PAIRS_FROM,
    LETTER = TRAIT_ESCAPE_LETTER >> PAIRS_FROM,
};

struct table {
    uint8_t rows[16], columns[16];
};

static const struct table first_traits = {
    .rows = {
        [0x0] = ALL_LOW | TRAIT_NUL | TRAIT_BLANK,
        [0x1 ... 0x4] = ALL_LOW,
        [0x5] = ALL_LOW | TRAIT_PERCENT,
        [0x6] = ALL_LOW | TRAIT_AMPERSAND,
        [0x7 ... 0x9] = ALL_LOW,
        [0xa] = ALL_LOW | TRAIT_STAR,
        [0xb] = ALL_LOW | TRAIT_PLUS,
        [0xc] = ALL_LOW | TRAIT_BACKSLASH,
        [0xd ... 0xf] = ALL_LOW,
    },
    .columns = {
        [0x0] = TRAIT_NUL,
        [0x2] = TRAIT_BLANK | TRAIT_PERCENT | TRAIT_AMPERSAND | TRAIT_STAR | TRAIT_PLUS,
        [0x4] = TRAIT_UPPER,
        [0x5] = TRAIT_UPPER | TRAIT_BACKSLASH,
    },
};

static const struct table second_traits = {
    .rows = {
        [0x0] = NO_BREAK,
        [0x2] = QUOTE,
        [0x3] = COMMENT,
        [0x7] = QUOTE,
        [0x8] = LETTER_X,
        [0x9] = CONTROL,
        [0xa] = CONTROL,
        [0xb] = CONTROL | SEMICOLON,
        [0xc] = CONTROL | QUOTE | MARKUP,
        [0xd] = CONTROL | COMMENT | MARKUP,
        [0xe] = CARET,
    },
    .columns = {
        [0x0] = CONTROL,
        [0x2] = COMMENT | QUOTE,
        [0x3] = SEMICOLON | MARKUP,
        [0x5] = CARET | LETTER_X,
        [0x7] = LETTER_X,
        [0xa] = NO_BREAK,
    },
};

static const uint8_t pairs_begin[16] = {
    [0x0] = GAP | BLANKS,   /* space */
    [0x5] = DIGIT | LETTER, /* % */
    [0x6] = NUMBER | NAME,  /* & */
    [0xe] = PATH,           /* . */
    [0xf] = PATH,           /* slash */
};

static const struct table pairs_end = {
    .rows = {
        [0x0] = GAP | BLANKS | DIGIT,
        [0x1] = DIGIT | LETTER | NAME,
        [0x2] = DIGIT | LETTER,
        [0x3] = DIGIT | LETTER | NUMBER,
        [0x4 ... 0x6] = DIGIT | LETTER,
        [0x7] = DIGIT | NAME,
        [0x8] = DIGIT | GAP,
        [0x9] = DIGIT,
        [0xc] = NAME,
        [0xe] = NAME,
        [0xf] = GAP | PATH,
    },
    .columns = {
        [0x2] = GAP | BLANKS | PATH | NUMBER,
        [0x3] = DIGIT,
        [0x4 ... 0x7] = LETTER | NAME,
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

/* What was seen so far: of each table, of pairs, and all bytes in one. */
struct seen {
    __m128i first, second, pairs, breaks, all;
};

/* By the low nibble of those bytes of which the high one is 2; 0 of others: PSHUFB's answer
 * where the highest bit is set. */
static inline __m128i begin_pairs(__m128i bytes)
{
    __m128i others = _mm_xor_si128(bytes, _mm_set1_epi8(0x20));
    return _mm_shuffle_epi8(load16((const char *)pairs_begin),
                            _mm_adds_epu8(others, _mm_set1_epi8(0x70)));
}

static inline __m128i look_up(const struct table *table, __m128i bytes)
{
    return classes16(bytes, table->rows, table->columns);
}

/* `before`: those one place before each. Of what is long, breaks need not be looked for. */
static inline void see(struct seen *seen, __m128i before, __m128i bytes, bool is_long)
{
    __m128i pairs = _mm_and_si128(begin_pairs(before), look_up(&pairs_end, bytes));
    seen->first = _mm_or_si128(seen->first, look_up(&first_traits, bytes));
    seen->second = _mm_or_si128(seen->second, look_up(&second_traits, bytes));
    seen->pairs = _mm_or_si128(seen->pairs, pairs);
    seen->all = _mm_or_si128(seen->all, bytes);
    if (!is_long)
        seen->breaks = _mm_or_si128(seen->breaks, look_up(&breaks, bytes));
}

/* Fewer than 16 bytes, and behind them a letter that has no trait and ends no pair. */
static inline __m128i load_short(struct span s)
{
    static const char filler[2 * BLOCK] = { [BLOCK... 2 * BLOCK - 1] = 'z' };
    return _mm_or_si128(load_part(s.p, s.len), load16(filler + BLOCK - s.len));
}

/* All bytes of both in one each: the low and the high half. */
static inline __m128i gather_two(__m128i low, __m128i high)
{
    __m128i both = _mm_or_si128(_mm_unpacklo_epi64(low, high), _mm_unpackhi_epi64(low, high));
    both = _mm_or_si128(both, _mm_srli_epi64(both, 32));
    both = _mm_or_si128(both, _mm_srli_epi64(both, 16));
    return _mm_or_si128(both, _mm_srli_epi64(both, 8));
}

static inline uint32_t gather(const struct seen *seen)
{
    __m128i bytes = gather_two(seen->first, seen->second);
    __m128i pairs = gather_two(seen->pairs, seen->pairs);
    __m128i words = _mm_cmpeq_epi8(seen->breaks, _mm_setzero_si128());
    return (uint32_t)_mm_extract_epi8(bytes, 0) |
           (uint32_t)_mm_extract_epi8(bytes, 8) << SECOND_FROM |
           (uint32_t)_mm_extract_epi8(pairs, 0) << PAIRS_FROM |
           (mask16(words) != 0xffff ? TRAIT_BREAK : 0) |
           (mask16(seen->all) != 0 ? TRAIT_HIGH : 0);
}

/* Nothing stands before the first of all: a NUL begins no pair. */
static inline uint32_t walk(struct span s, bool is_long)
{
    const __m128i none = _mm_setzero_si128();
    struct seen seen = { none, none, none, none, none };
    __m128i bytes = s.len < BLOCK ? load_short(s) : load16(s.p);
    see(&seen, _mm_slli_si128(bytes, 1), bytes, is_long);
    if (s.len > BLOCK) {
        const char *p = s.p + BLOCK, *last = span_end(s) - BLOCK;
        for (; p < last; p += BLOCK)
            see(&seen, load16(p - 1), load16(p), is_long);
        see(&seen, load16(last - 1), load16(last), is_long);
    }
    return gather(&seen);
}

uint32_t traits_of(struct span s)
{
    if (s.len == 0)
        return TRAIT_ANY;
    uint32_t traits = TRAIT_ANY | (span_end(s)[-1] == '.' ? TRAIT_PATH : 0);
    if (s.len < LONG)
        return traits | walk(s, false);
    return traits | walk(s, true) | TRAIT_BREAK; /* it nearly always has one */
}
