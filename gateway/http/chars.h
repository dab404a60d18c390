/*
 * Character classes of HTTP and URIs, and the two scans that every head goes through. A scan
 * looks at 16 bytes a step where the processor allows, never past `end`, and answers what the
 * table says.
 */
#ifndef SALLYPORT_CHARS_H
#define SALLYPORT_CHARS_H

#include "gateway/base/span.h"

enum {
    CHAR_TOKEN = 1,       /* RFC 9110 section 5.6.2 tchar */
    CHAR_VALUE = 2,       /* RFC 9110 section 5.5: VCHAR, obs-text, SP, HTAB */
    CHAR_PATH = 4,        /* RFC 3986 pchar without `%`, and `/` */
    CHAR_QUERY = 8,       /* RFC 3986 query with `%`, and what browsers send raw */
    CHAR_UNRESERVED = 16, /* RFC 3986 section 2.3 */
    CHAR_HOST = 32,       /* reg-name as we accept it: the unreserved */
};

extern const uint8_t char_classes[256];

static inline bool char_is(char c, unsigned classes)
{
    return (char_classes[(uint8_t)c] & classes) != 0;
}

/* First byte that is not of `class`, or `end`. */
static inline const char *chars_skip(const char *p, const char *end, unsigned class)
{
    while (p < end && char_is(*p, class))
        p++;
    return p;
}

/* True when `s` is not empty and all of `class`. */
static inline bool span_all(struct span s, unsigned class)
{
    return s.len != 0 && chars_skip(s.p, span_end(s), class) == span_end(s);
}

#if defined(__SSSE3__)
#include <tmmintrin.h>

/*
 * A class of ASCII in 16 rows, one for each low nibble, with a bit for each high nibble. No
 * byte from 0x80 on has a bit, so none is in such a class.
 */
#define TOKEN_ROWS                                                                             \
    {                                                                                          \
        0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54,    \
            0xf4, 0x70                                                                         \
    }
#define PATH_ROWS                                                                              \
    {                                                                                          \
        0xb8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x5c, 0x54, 0x5c,    \
            0xd4, 0x74                                                                         \
    }
#define QUERY_ROWS                                                                             \
    {                                                                                          \
        0xf8, 0xfc, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xd4, 0xfc,    \
            0xf4, 0x7c                                                                         \
    }

/* Those of the 16 bytes that are not in the class, one bit each. */
static inline unsigned class_stops(__m128i bytes, const uint8_t rows[16])
{
    const __m128i bits =
        _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i nibble = _mm_set1_epi8(0x0f);
    __m128i table = _mm_loadu_si128((const __m128i *)(const void *)rows);
    __m128i row = _mm_shuffle_epi8(table, _mm_and_si128(bytes, nibble));
    __m128i bit = _mm_shuffle_epi8(bits, _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble));
    __m128i none = _mm_cmpeq_epi8(_mm_and_si128(row, bit), _mm_setzero_si128());
    return (unsigned)_mm_movemask_epi8(none);
}

static inline __m128i load_bytes(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i bytes_equal(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* Bytes up to and with `most`, unsigned. */
static inline __m128i bytes_up_to(__m128i bytes, char most)
{
    const __m128i bound = _mm_set1_epi8(most);
    return _mm_cmpeq_epi8(_mm_max_epu8(bytes, bound), bound);
}
#endif

/* First byte that is no token character; `*odd` becomes true when `_` or `.` stood before it.
 */
static inline const char *scan_name(const char *p, const char *end, bool *odd)
{
#if defined(__SSSE3__)
    static const uint8_t rows[16] = TOKEN_ROWS;
    while (end - p >= 16) {
        __m128i bytes = load_bytes(p);
        __m128i strange = _mm_or_si128(bytes_equal(bytes, '_'), bytes_equal(bytes, '.'));
        unsigned stops = class_stops(bytes, rows);
        unsigned found = (unsigned)_mm_movemask_epi8(strange);
        *odd |= (found & (stops - 1) & ~stops) != 0; /* without stops: all that was found */
        if (stops != 0)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    for (; p < end && char_is(*p, CHAR_TOKEN); p++)
        *odd |= *p == '_' || *p == '.';
    return p;
}

/* First byte that may not stand in a field value: a control byte other than HTAB. */
static inline const char *scan_value(const char *p, const char *end)
{
#if defined(__SSSE3__)
    while (end - p >= 16) {
        __m128i bytes = load_bytes(p);
        __m128i control = _mm_andnot_si128(bytes_equal(bytes, '\t'), bytes_up_to(bytes, 0x1f));
        __m128i stop = _mm_or_si128(control, bytes_equal(bytes, 0x7f));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        if (stops != 0)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    return chars_skip(p, end, CHAR_VALUE);
}

/* First space, control byte or DEL. */
static inline const char *scan_word(const char *p, const char *end)
{
#if defined(__SSSE3__)
    while (end - p >= 16) {
        __m128i bytes = load_bytes(p);
        __m128i stop = _mm_or_si128(bytes_up_to(bytes, ' '), bytes_equal(bytes, 0x7f));
        unsigned stops = (unsigned)_mm_movemask_epi8(stop);
        if (stops != 0)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    while (p < end && (uint8_t)*p > ' ' && *p != 0x7f)
        p++;
    return p;
}

/* First byte that is not CHAR_QUERY. */
static inline const char *scan_query(const char *p, const char *end)
{
#if defined(__SSSE3__)
    static const uint8_t rows[16] = QUERY_ROWS;
    while (end - p >= 16) {
        unsigned stops = class_stops(load_bytes(p), rows);
        if (stops != 0)
            return p + __builtin_ctz(stops);
        p += 16;
    }
#endif
    return chars_skip(p, end, CHAR_QUERY);
}

/*
 * Somewhere before or at the first byte of p[1..end) that keeps a path from being canonical as
 * it stands: one that is not CHAR_PATH, a `;`, or a dot or slash behind a slash. `end` when
 * there is none. p[0] is a slash.
 */
static inline const char *scan_path(const char *p, const char *end)
{
    p++;
#if defined(__SSSE3__)
    static const uint8_t rows[16] = PATH_ROWS;
    while (end - p >= 16) {
        __m128i bytes = load_bytes(p);
        __m128i mark = _mm_or_si128(bytes_equal(bytes, '.'), bytes_equal(bytes, '/'));
        __m128i behind = _mm_and_si128(mark, bytes_equal(load_bytes(p - 1), '/'));
        __m128i stop = _mm_or_si128(behind, bytes_equal(bytes, ';'));
        if ((class_stops(bytes, rows) | (unsigned)_mm_movemask_epi8(stop)) != 0)
            return p;
        p += 16;
    }
#endif
    for (; p < end && char_is(*p, CHAR_PATH) && *p != ';'; p++)
        if ((*p == '.' || *p == '/') && p[-1] == '/')
            break;
    return p;
}

/*
 * Skips bytes, 16 a step, as long as none of them begins the end of a head or breaks its lines:
 * no NUL, no LF but behind a CR, no two CR with one byte between. p[0] is known to be no bare
 * LF.
 */
static inline const char *skip_lines(const char *p, const char *end)
{
#if defined(__SSSE3__)
    while (end - p >= 18) {
        __m128i bytes = load_bytes(p);
        __m128i cr = bytes_equal(bytes, '\r');
        __m128i bare = _mm_andnot_si128(cr, bytes_equal(load_bytes(p + 1), '\n'));
        __m128i empty = _mm_and_si128(cr, bytes_equal(load_bytes(p + 2), '\r'));
        __m128i stop = _mm_or_si128(_mm_or_si128(bare, empty), bytes_equal(bytes, '\0'));
        if (_mm_movemask_epi8(stop) != 0)
            break;
        p += 16;
    }
#else
    (void)end;
#endif
    return p;
}

#endif
