/*
 * SecLang's transformations that look at one byte at a time: case, white space, NUL, parity.
 */
#include "rules/transform/blocks.h"
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
static inline bool lower_at(const char *p, char *out)
{
    __m128i bytes = load16(p), made = lower16(bytes);
    store16(out, made);
    return mask16(_mm_cmpeq_epi8(bytes, made)) != 0xffff;
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
        changed |= lower_at(in.p + i, room + i);
    changed |= lower_at(in.p + in.len - 16, room + in.len - 16);
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
static inline __m128i white16(__m128i bytes)
{
    __m128i control = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('\t' - 1)),
                                    _mm_cmplt_epi8(bytes, _mm_set1_epi8('\r' + 1)));
    __m128i blank = _mm_or_si128(equal16(bytes, ' '), equal16(bytes, '\xa0'));
    return _mm_or_si128(control, blank);
}

/* White space: of each run one space, or none. */
static inline struct span squeeze(struct span in, char *room, bool one)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    unsigned after = 0;
    __m128i changed = _mm_setzero_si128();
    for (size_t len; p < end; p += len) {
        len = part_len(p, end);
        __m128i bytes = load_part(p, len), white = white16(bytes);
        __m128i made = choose16(white, _mm_set1_epi8(' '), bytes);
        unsigned blanks = mask16(white);
        after = one ? behind_blanks(blanks, 0, after >> BLOCK) : ~0u;
        changed = _mm_or_si128(changed, _mm_xor_si128(made, bytes));
        out = put_without(out, made, blanks & after, len);
    }
    return made_of(in, room, out, changed);
}

struct span sec_remove_whitespace(struct span in, char *room)
{
    return squeeze(in, room, false);
}

struct span sec_compress_whitespace(struct span in, char *room)
{
    return squeeze(in, room, true);
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
