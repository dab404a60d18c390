/*
 * Percent-escapes, 16 places at a time, however many there are among them.
 */
#ifndef SALLYPORT_ESCAPES_H
#define SALLYPORT_ESCAPES_H

#include <tmmintrin.h>

#include "gateway/base/span.h"

enum {
    ESCAPES_BLOCK = 16,
    ESCAPES_READ = ESCAPES_BLOCK + 2, /* an escape may begin at the last place of a block */
};

/* At 16 places: where percent signs stand, where these are escapes, and of which bytes. */
struct escapes {
    __m128i percent, escaped, bytes;
};

static inline __m128i escapes_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void escapes_store(char *p, __m128i bytes)
{
    _mm_storeu_si128((__m128i *)(void *)p, bytes);
}

/* What digits are worth, and where there are others. */
static inline __m128i escapes_digits(__m128i bytes, __m128i *others)
{
    const __m128i most = _mm_set1_epi8(9), last = _mm_set1_epi8('f' - 'a');
    __m128i digit = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i letter = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, most), digit);
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, last), letter);
    *others = _mm_cmpeq_epi8(_mm_or_si128(is_digit, is_letter), _mm_setzero_si128());
    return _mm_add_epi8(_mm_and_si128(bytes, _mm_set1_epi8(0x0f)),
                        _mm_and_si128(is_letter, most));
}

/* Reads ESCAPES_READ bytes. */
static inline struct escapes escapes_at(const char *p)
{
    struct escapes found;
    __m128i no_high, no_low;
    __m128i high = escapes_digits(escapes_load(p + 1), &no_high);
    __m128i low = escapes_digits(escapes_load(p + 2), &no_low);
    found.percent = _mm_cmpeq_epi8(escapes_load(p), _mm_set1_epi8('%'));
    found.escaped = _mm_andnot_si128(_mm_or_si128(no_high, no_low), found.percent);
    found.bytes = _mm_or_si128(_mm_slli_epi16(high, 4), low);
    return found;
}

/* The first percent sign from `p` on that begins no escape; NULL: there is none. */
static inline const char *escapes_broken(const char *p, const char *end)
{
    for (; end - p >= ESCAPES_READ; p += ESCAPES_BLOCK) {
        struct escapes found = escapes_at(p);
        unsigned broken =
            (unsigned)_mm_movemask_epi8(_mm_andnot_si128(found.escaped, found.percent));
        if (broken != 0)
            return p + __builtin_ctz(broken);
    }
    while (p < end && (p = memchr(p, '%', (size_t)(end - p))) != NULL) {
        if (end - p < 3 || hex_value(p[1]) < 0 || hex_value(p[2]) < 0)
            return p;
        p += 3;
    }
    return NULL;
}

/* `bytes` without the two behind each escape: what is behind these moves up. */
static inline __m128i escapes_close_up(__m128i bytes, __m128i escaped)
{
    __m128i gone = _mm_or_si128(_mm_slli_si128(escaped, 1), _mm_slli_si128(escaped, 2));
    /* By how many pairs: the escapes before each place. */
    __m128i by = _mm_and_si128(_mm_slli_si128(escaped, 1), _mm_set1_epi8(1));
    by = _mm_add_epi8(by, _mm_slli_si128(by, 1));
    by = _mm_add_epi8(by, _mm_slli_si128(by, 2));
    by = _mm_add_epi8(by, _mm_slli_si128(by, 4));
    by = _mm_andnot_si128(gone, _mm_add_epi8(by, _mm_slli_si128(by, 8)));
    bytes = _mm_andnot_si128(gone, bytes);
#define MOVE(pairs)                                                                            \
    do {                                                                                       \
        const __m128i bit = _mm_set1_epi8(pairs);                                              \
        __m128i moves = _mm_cmpeq_epi8(_mm_and_si128(by, bit), bit);                           \
        bytes = _mm_or_si128(_mm_andnot_si128(moves, bytes),                                   \
                             _mm_srli_si128(_mm_and_si128(moves, bytes), 2 * (pairs)));        \
        by = _mm_or_si128(_mm_andnot_si128(moves, by),                                         \
                          _mm_srli_si128(_mm_and_si128(moves, by), 2 * (pairs)));              \
    } while (0)
    MOVE(1);
    MOVE(2);
    MOVE(4);
#undef MOVE
    return bytes;
}

/* Whether `%u` begins at one of the places. */
static inline bool escapes_are_wide(const char *p)
{
    __m128i next = _mm_or_si128(escapes_load(p + 1), _mm_set1_epi8(0x20));
    __m128i percent = _mm_cmpeq_epi8(escapes_load(p), _mm_set1_epi8('%'));
    __m128i wide = _mm_and_si128(percent, _mm_cmpeq_epi8(next, _mm_set1_epi8('u')));
    return _mm_movemask_epi8(wide) != 0;
}

/* Bytes that are plain or `plus`, which becomes a space. */
static inline __m128i escapes_spaced(__m128i bytes, char plus, __m128i *changes)
{
    __m128i spaces = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(plus));
    *changes = _mm_or_si128(*changes, spaces);
    return _mm_or_si128(_mm_andnot_si128(spaces, bytes),
                        _mm_and_si128(spaces, _mm_set1_epi8(' ')));
}

/* As far as there is no percent sign, two blocks at once: where there are many, one block is
 * often without. */
static inline const char *escapes_copy(const char *p, const char *end, char plus, char **out,
                                       __m128i *changes)
{
    const __m128i percent = _mm_set1_epi8('%');
    for (; end - p >= 2 * ESCAPES_BLOCK; p += 2 * ESCAPES_BLOCK, *out += 2 * ESCAPES_BLOCK) {
        __m128i first = escapes_load(p), second = escapes_load(p + ESCAPES_BLOCK);
        if (_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(first, percent),
                                           _mm_cmpeq_epi8(second, percent))) != 0)
            break;
        escapes_store(*out, escapes_spaced(first, plus, changes));
        escapes_store(*out + ESCAPES_BLOCK, escapes_spaced(second, plus, changes));
    }
    return p;
}

/*
 * Decodes block by block into the room at `*out`, which has as many bytes as there are from `p`
 * to `end`, and moves behind what was written. How far it came: to less than ESCAPES_READ bytes
 * before the end; if it is to stop at `%u`, to a block with one. `plus`: the byte that becomes
 * a space; a space where none does. `*changed`: there was such a byte, or an escape.
 *
 * No block waits for what is found in the one before: an escape's digits that are in the next
 * one are taken off there.
 */
static inline const char *escapes_decode(const char *p, const char *end, char plus,
                                         bool stops_at_wide, char **out, bool *changed)
{
    static const char places[ESCAPES_READ] = { 0, 1,  2,  3,  4,  5,  6,  7,  8,
                                               9, 10, 11, 12, 13, 14, 15, -1, -1 };
    __m128i changes = _mm_setzero_si128();
    size_t over = 0;
    for (;; p += ESCAPES_BLOCK) {
        if (over == 0)
            p = escapes_copy(p, end, plus, out, &changes);
        if (end - p < ESCAPES_READ || (stops_at_wide && escapes_are_wide(p)))
            break;
        struct escapes found = escapes_at(p);
        __m128i bytes = escapes_spaced(escapes_load(p), plus, &changes);
        changes = _mm_or_si128(changes, found.escaped);
        bytes = _mm_or_si128(_mm_andnot_si128(found.escaped, bytes),
                             _mm_and_si128(found.escaped, found.bytes));
        bytes = escapes_close_up(bytes, found.escaped);
        escapes_store(*out, _mm_shuffle_epi8(bytes, escapes_load(places + over)));
        unsigned begin = (unsigned)_mm_movemask_epi8(found.escaped);
        unsigned dropped = begin << 1 | begin << 2;
        *out += ESCAPES_BLOCK - over - (unsigned)__builtin_popcount(dropped & 0xffff);
        over = (size_t)__builtin_popcount(dropped >> ESCAPES_BLOCK);
    }
    *changed = *changed || _mm_movemask_epi8(changes) != 0;
    return p + over;
}

#endif
