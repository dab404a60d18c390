/*
 * What cannot be SQL injection, decided without libinjection and exactly as it would.
 *
 * libinjection reads a value in up to five ways: as it stands, and as what stands behind each
 * of the quotes that it has; as ANSI SQL has it, and as MySQL where that reads another thing.
 * It fires on none whose fingerprint it has not in its list. rules/sql_fold.h tells
 * fingerprints; those of the list are left to libinjection, which looks at more than them.
 */
#include "rules/detect.h"
#include "rules/sql_fold.h"
#include "rules/sql_words.h"

#include <tmmintrin.h>

static bool ready;

void sqli_prepare(void)
{
    sql_words_prepare();
    if (!ready)
        ready = sql_words_ready && sql_fold_prepare();
}

/* ---- what bytes a value has -----------------------------------------------------------------
 */

/* Sets of bytes: each is of those with one of some high halves and one of some low ones. */
enum {
    SINGLE = 0x01,  /* ' */
    TWOFOLD = 0x02, /* " */
    COMMENT = 0x04, /* / and * */
    BRACE = 0x08,   /* { */
    TICK = 0x10,    /* ` and @ */
    REST = 0xe0,    /* what else may end words; and bytes like it that need not */
};

/* By each half of a byte the sets that it may be in: REST is 0x, 1x, 2x and ax as a whole; b to
 * e of 3x, 5x and 7x; and 3a and 3f. */
static inline __m128i marks_of_bytes(__m128i bytes)
{
    const __m128i by_high =
        _mm_setr_epi8(0x20, 0x20, 0x27, (char)0xc0, 0x10, 0x40, 0x10, 0x48, /* 0 to 7 */
                      0, 0, 0x20, 0, 0, 0, 0, 0);
    const __m128i by_low =
        _mm_setr_epi8(0x30, 0x20, 0x22, 0x20, 0x20, 0x20, 0x20, 0x21, /* 0 to 7 */
                      0x20, 0x20, (char)0xa4, 0x68, 0x60, 0x60, 0x60, (char)0xa4);
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(bytes, half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), half);
    return _mm_and_si128(_mm_shuffle_epi8(by_high, high), _mm_shuffle_epi8(by_low, low));
}

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

/* Of a value that is not empty. */
static unsigned marks_of(struct span value)
{
    __m128i all;
    if (value.len < sizeof(all)) {
        all = marks_of_bytes(load_few(value));
    } else {
        const char *p = value.p, *last = p + value.len - sizeof(all);
        all = marks_of_bytes(load16(last));
        for (; p < last; p += sizeof(all))
            all = _mm_or_si128(all, marks_of_bytes(load16(p)));
    }
    all = _mm_or_si128(all, _mm_srli_si128(all, 8));
    uint64_t marks = (uint64_t)_mm_cvtsi128_si64(all);
    marks |= marks >> 32;
    marks |= marks >> 16;
    return (unsigned)(marks | marks >> 8) & 0xff;
}

/* A comment between slashes, or what may be as bad. */
static bool is_evil(struct span value, unsigned marks)
{
    const char *p = value.p, *end = span_end(value);
    if ((marks & BRACE) != 0 && (marks & TICK) != 0 && memchr(p, '`', value.len) != NULL)
        return true;
    if ((marks & COMMENT) == 0)
        return false;
    while ((p = memchr(p, '*', (size_t)(end - p))) != NULL) {
        if (p > value.p && p[-1] == '/')
            return true;
        p++;
    }
    return false;
}

/* One word, or one number: tokens that are alone are no fingerprint. Of a value without marks,
 * which is letters, digits and what else does not end words; DEL does not begin one. */
static bool is_alone(struct span value)
{
    size_t digits = 0;
    while (digits < value.len && value.p[digits] >= '0' && value.p[digits] <= '9')
        digits++;
    return digits == value.len || (digits == 0 && value.p[0] != 0x7f);
}

/* ---- contexts -------------------------------------------------------------------------------
 */

/* As ANSI SQL, and as MySQL if that is another thing. */
static bool is_possible(struct span value, char quote)
{
    struct sql_folded folded;
    if (sql_fold(value, (struct sql_context){ .quote = quote }, &folded))
        return true;
    return folded.again &&
           sql_fold(value, (struct sql_context){ quote, .mysql = true }, &folded);
}

bool sqli_possible(struct span value)
{
    struct sql_folded folded;
    if (value.len == 0)
        return false;
    if (!ready)
        return true;
    unsigned marks = marks_of(value);
    if (marks == 0 && is_alone(value))
        return false;
    if (is_evil(value, marks) || is_possible(value, '\0'))
        return true;
    if ((marks & SINGLE) != 0 && is_possible(value, '\''))
        return true;
    return (marks & TWOFOLD) != 0 &&
           sql_fold(value, (struct sql_context){ '"', .mysql = true }, &folded);
}
