/*
 * SecLang's transformations that look at one byte at a time: case, white space, NUL, parity.
 */
#include <emmintrin.h>

#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

/* A byte for a byte. */
typedef char map_fn(char c);

static inline struct span map(struct span in, char *room, map_fn *fn)
{
    unsigned changed = 0;
    for (size_t i = 0; i < in.len; i++) {
        room[i] = fn(in.p[i]);
        changed |= (unsigned)(uint8_t)(room[i] ^ in.p[i]);
    }
    return changed != 0 ? span_of(room, in.len) : in;
}

/* 16 bytes at `p` in lower case at `out`; whether one was not. */
static inline bool lower_16(const char *p, char *out)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('A' - 1)),
                                  _mm_cmplt_epi8(bytes, _mm_set1_epi8('Z' + 1)));
    bytes = _mm_or_si128(bytes, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
    _mm_storeu_si128((__m128i *)(void *)out, bytes);
    return _mm_movemask_epi8(upper) != 0;
}

static inline char lower(char c)
{
    return (char)(c | ((uint8_t)(c - 'A') < 26) << 5);
}

struct span sec_lowercase(struct span in, char *room)
{
    if (in.len < 16)
        return map(in, room, lower);
    bool changed = false;
    for (size_t i = 0; i + 16 < in.len; i += 16)
        changed |= lower_16(in.p + i, room + i);
    changed |= lower_16(in.p + in.len - 16, room + in.len - 16);
    return changed ? span_of(room, in.len) : in;
}

static inline char upper(char c)
{
    return (char)(c & ~(((uint8_t)(c - 'a') < 26) << 5));
}

struct span sec_uppercase(struct span in, char *room)
{
    return map(in, room, upper);
}

static inline char zero_parity(char c)
{
    return (char)(c & 0x7f);
}

struct span sec_parity_zero(struct span in, char *room)
{
    return map(in, room, zero_parity);
}

/* The eighth bit so that all are even in number; mod_security2 counts it among those it reckons
 * from. */
static inline char even_parity(char c)
{
    return (char)((c & 0x7f) | __builtin_parity((uint8_t)c) << 7);
}

struct span sec_parity_even(struct span in, char *room)
{
    return map(in, room, even_parity);
}

static inline char odd_parity(char c)
{
    return (char)((c & 0x7f) | !__builtin_parity((uint8_t)c) << 7);
}

struct span sec_parity_odd(struct span in, char *room)
{
    return map(in, room, odd_parity);
}

static inline char blank_for_nul(char c)
{
    return c == '\0' ? ' ' : c;
}

struct span sec_replace_nulls(struct span in, char *room)
{
    return map(in, room, blank_for_nul);
}

/* ---- what is left out -----------------------------------------------------------------------
 */

static size_t nul_step(const char *p, const char *end, char **out)
{
    (void)p, (void)end, (void)out;
    return 1;
}

struct span sec_remove_nulls(struct span in, char *room)
{
    return drive_from(in, room, '\0', nul_step);
}

/* mod_security2 counts Latin-1's no-break space, wherever the byte stands. */
static const bool wide_white[256] = { ['\t' ... '\r'] = true, [' '] = true, [0xa0] = true };

static inline bool is_wide_white(char c)
{
    return wide_white[(uint8_t)c];
}

static size_t white_step(const char *p, const char *end, char **out)
{
    (void)end, (void)out;
    return is_wide_white(*p);
}

struct span sec_remove_whitespace(struct span in, char *room)
{
    return drive(in, room, white_step);
}

static size_t run_step(const char *p, const char *end, char **out)
{
    const char *at = p;
    while (at < end && is_wide_white(*at))
        at++;
    if (at == p || (at == p + 1 && *p == ' '))
        return 0;
    *(*out)++ = ' ';
    return (size_t)(at - p);
}

/* A bit for each of 16 bytes: white space of any kind, and plain spaces. */
static inline void white_16(const char *p, unsigned *white, unsigned *spaces)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
    __m128i other = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('\t' - 1)),
                                  _mm_cmplt_epi8(bytes, _mm_set1_epi8('\r' + 1)));
    other = _mm_or_si128(other, _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)0xa0)));
    *spaces = (unsigned)_mm_movemask_epi8(space);
    *white = (unsigned)_mm_movemask_epi8(_mm_or_si128(space, other));
}

/* Whether there is anything but single spaces. What is left of the last 16 is not looked at. */
static bool has_runs(struct span in)
{
    unsigned before = 0; /* the last byte of the 16 before was white */
    for (size_t i = 0; i + 16 <= in.len; i += 16) {
        unsigned white, spaces;
        white_16(in.p + i, &white, &spaces);
        if (white != spaces || (white & (white << 1 | before)) != 0)
            return true;
        before = white >> 15;
    }
    return false;
}

/* Prose has a space every few bytes, and nothing to change. */
struct span sec_compress_whitespace(struct span in, char *room)
{
    size_t whole = in.len & ~(size_t)15;
    if (whole > 0 && !has_runs(in)) {
        /* Only the rest is left, with the byte before it. */
        struct span rest = span_of(in.p + whole - 1, in.len - whole + 1);
        if (drive(rest, room, run_step).p == rest.p)
            return in;
    }
    return drive(in, room, run_step);
}

/* These answer a part of the input: no byte is copied. */
struct span sec_trim_left(struct span in, char *room)
{
    (void)room;
    size_t i = 0;
    while (i < in.len && is_white(in.p[i]))
        i++;
    return i == 0 ? in : span_of(in.p + i, in.len - i);
}

struct span sec_trim_right(struct span in, char *room)
{
    (void)room;
    while (in.len > 0 && is_white(in.p[in.len - 1]))
        in.len--;
    return in;
}

struct span sec_trim(struct span in, char *room)
{
    return sec_trim_right(sec_trim_left(in, room), room);
}
