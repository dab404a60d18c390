/*
 * Percent-escapes, 16 places at a time, however many there are among them.
 */
#ifndef SALLYPORT_ESCAPES_H
#define SALLYPORT_ESCAPES_H

#include <smmintrin.h>

#include "gateway/base/keep.h"
#include "gateway/base/span.h"

enum {
    ESCAPES_BLOCK = 16,
    ESCAPES_READ = ESCAPES_BLOCK + 2, /* an escape may begin at the last place of a block */
};

/* What was met while decoding. */
struct escapes_met {
    bool changed; /* an escape, or a byte that became a space */
    bool broken;  /* a percent sign that begins no escape */
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

/* What digits are worth; of others, more than 15. */
static inline __m128i escapes_digits(__m128i bytes)
{
    /* Figures to the end of what a byte holds, and all others away from them; then to 0. */
    __m128i figure = _mm_add_epi8(bytes, _mm_set1_epi8((char)(0xff - '9')));
    figure = _mm_subs_epu8(figure, _mm_set1_epi8(6));
    figure = _mm_add_epi8(figure, _mm_set1_epi8(0x10));
    __m128i letter = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    letter = _mm_adds_epu8(_mm_sub_epi8(letter, _mm_set1_epi8('a')), _mm_set1_epi8(10));
    return _mm_min_epu8(figure, letter);
}

/* Reads ESCAPES_READ bytes. */
static inline struct escapes escapes_at(const char *p)
{
    const __m128i half = _mm_set1_epi8(0x0f);
    struct escapes found;
    __m128i high = escapes_digits(escapes_load(p + 1));
    __m128i low = escapes_digits(escapes_load(p + 2));
    __m128i digits = _mm_cmpeq_epi8(_mm_max_epu8(_mm_max_epu8(high, low), half), half);
    found.percent = _mm_cmpeq_epi8(escapes_load(p), _mm_set1_epi8('%'));
    found.escaped = _mm_and_si128(found.percent, digits);
    found.bytes = _mm_or_si128(_mm_slli_epi16(_mm_and_si128(high, half), 4), low);
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

/* As far as there is no percent sign, two blocks at once. */
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
 * a space; a space where none does. What is met is added to `*met`.
 *
 * No block waits for what is found in the one before: an escape's digits that are in the next
 * one are taken off there. Nor is one of them copied where escapes are many: which blocks are
 * without is not foretold.
 */
static inline const char *escapes_decode(const char *p, const char *end, char plus,
                                         bool stops_at_wide, char **out,
                                         struct escapes_met *met)
{
    __m128i changes = _mm_setzero_si128(), broken = changes;
    uint64_t recent = 0; /* where escapes begin in the last four blocks */
    unsigned gone = 0;   /* of the places of the next one */
    for (;; p += ESCAPES_BLOCK) {
        if (recent == 0)
            p = escapes_copy(p, end, plus, out, &changes);
        if (end - p < ESCAPES_READ || (stops_at_wide && escapes_are_wide(p)))
            break;
        struct escapes found = escapes_at(p);
        __m128i bytes = escapes_spaced(escapes_load(p), plus, &changes);
        changes = _mm_or_si128(changes, found.escaped);
        broken = _mm_or_si128(broken, _mm_andnot_si128(found.escaped, found.percent));
        bytes = _mm_blendv_epi8(bytes, found.bytes, found.escaped);
        unsigned begin = (unsigned)_mm_movemask_epi8(found.escaped);
        recent = recent << ESCAPES_BLOCK | begin;
        gone |= begin << 1 | begin << 2;
        *out = keep16(*out, bytes, ~gone & 0xffff);
        gone >>= ESCAPES_BLOCK;
    }
    met->changed = met->changed || _mm_movemask_epi8(changes) != 0;
    met->broken = met->broken || _mm_movemask_epi8(broken) != 0;
    return p + __builtin_popcount(gone);
}

#endif
