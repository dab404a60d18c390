/*
 * What cannot be SQL injection, decided without libinjection and exactly as it would.
 *
 * libinjection reads a value in up to five ways: as it stands, and as what stands behind each
 * of the quotes that it has; as ANSI SQL has it, and as MySQL where that reads another thing.
 * It fires on none whose fingerprint it has not in its list. rules/sql_fold.h tells
 * fingerprints; those of the list are left to libinjection, which looks at more than them.
 */
#include <tmmintrin.h>

#include "rules/detect.h"
#include "rules/load.h"
#include "rules/sql_fold.h"
#include "rules/sql_words.h"

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
    BRACE = 0x04,   /* { */
    TICK = 0x08,    /* ` and @ */
    EVIL = 0x10,    /* a slash with a star behind it */
    REST = 0xe0,    /* what else may end words; and bytes like it that need not */
};

/* By each half of a byte the sets that it may be in: REST is 0x, 1x, 2x and ax as a whole; b to
 * e of 3x, 5x and 7x; and 3a and 3f. */
static inline __m128i marks_of_bytes(__m128i bytes, __m128i next)
{
    const __m128i by_high =
        _mm_setr_epi8(0x20, 0x20, 0x23, (char)0xc0, TICK, 0x40, TICK, 0x44, /* 0 to 7 */
                      0, 0, 0x20, 0, 0, 0, 0, 0);
    const __m128i by_low =
        _mm_setr_epi8(0x28, 0x20, 0x22, 0x20, 0x20, 0x20, 0x20, 0x21, /* 0 to 7 */
                      0x20, 0x20, (char)0xa0, 0x64, 0x60, 0x60, 0x60, (char)0xa0);
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(bytes, half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), half);
    __m128i marks =
        _mm_and_si128(_mm_shuffle_epi8(by_high, high), _mm_shuffle_epi8(by_low, low));
    __m128i evil = _mm_and_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')),
                                 _mm_cmpeq_epi8(next, _mm_set1_epi8('*')));
    return _mm_or_si128(marks, _mm_and_si128(evil, _mm_set1_epi8(EVIL)));
}

/* Of a value that is not empty. */
static unsigned marks_of(struct span value)
{
    const char *p = value.p;
    bool few = value.len < sizeof(__m128i);
    __m128i rest = few ? load_few(value) : load16(p + value.len - sizeof(rest));
    __m128i all = marks_of_bytes(rest, _mm_srli_si128(rest, 1));
    for (; !few && p < value.p + value.len - sizeof(rest); p += sizeof(rest))
        all = _mm_or_si128(all, marks_of_bytes(load16(p), load16(p + 1)));
    all = _mm_or_si128(all, _mm_srli_si128(all, 8));
    uint64_t marks = (uint64_t)_mm_cvtsi128_si64(all);
    marks |= marks >> 32;
    marks |= marks >> 16;
    return (unsigned)(marks | marks >> 8) & 0xff;
}

/* A comment between slashes, or what may be as bad. */
static bool is_evil(struct span value, unsigned marks)
{
    if ((marks & EVIL) != 0)
        return true;
    return (marks & BRACE) != 0 && (marks & TICK) != 0 &&
           memchr(value.p, '`', value.len) != NULL;
}

static bool is_number(struct span value)
{
    const char *p = value.p, *end = span_end(value);
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    if (p == value.p || p == end || *p != '.')
        return false;
    for (p++; p < end && *p >= '0' && *p <= '9'; p++)
        continue;
    return p == end;
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
    if (marks == 0 || is_number(value)) /* see is_plain in rules/sql_fold.c */
        return false;
    if (is_evil(value, marks) || is_possible(value, '\0'))
        return true;
    if ((marks & SINGLE) != 0 && is_possible(value, '\''))
        return true;
    return (marks & TWOFOLD) != 0 &&
           sql_fold(value, (struct sql_context){ '"', .mysql = true }, &folded);
}
