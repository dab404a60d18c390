/*
 * SecLang's decoders of the web: percent-escapes, character references, hexadecimal, base64.
 */
#include "gateway/http/escapes.h"
#include "rules/transform/blocks.h"
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

/* ---- urlDecode, urlDecodeUni ----------------------------------------------------------------
 */

/* What stands at the percent sign at `p` is one byte: how many it takes; 0: it is none. */
static inline size_t escape(const char *p, const char *end, bool uni, char *byte)
{
    bool wide = uni && end - p >= 6 && (p[1] == 'u' || p[1] == 'U');
    int32_t value = wide ? fixed_hex(p + 2, end, 4) : fixed_hex(p + 1, end, 2);
    if (value < 0)
        return 0;
    *byte = wide ? low_byte(value) : (char)value;
    return wide ? 6 : 3;
}

/* What is left where there are wide escapes, and of the end: the bytes before an escape at
 * once, then those escapes that follow each other. */
static inline struct span url_decode(struct span in, char *room, bool uni)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room, byte = 0;
    struct escapes_met met = { 0 };
    while (p < end) {
        p = escapes_decode(p, end, '+', uni, &out, &met);
        size_t len = part_len(p, end), at = len, taken = 0;
        __m128i bytes = load_part(p, len), plus = equal16(bytes, '+');
        unsigned signs = mask16(equal16(bytes, '%'));
        for (; signs != 0 && taken == 0; signs &= signs - 1) {
            at = (size_t)__builtin_ctz(signs);
            taken = escape(p + at, end, uni, &byte);
        }
        store_part(out, choose16(plus, _mm_set1_epi8(' '), bytes), len);
        met.changed = met.changed || taken != 0 || mask16(plus) != 0;
        at = taken != 0 ? at : len;
        p += at;
        out += at;
        while (taken != 0) {
            *out++ = byte;
            p += taken;
            taken = p < end && *p == '%' ? escape(p, end, uni, &byte) : 0;
        }
    }
    return met.changed ? span_range(room, out) : in;
}

struct span sec_url_decode(struct span in, char *room)
{
    return url_decode(in, room, false);
}

struct span sec_url_decode_uni(struct span in, char *room)
{
    return url_decode(in, room, true);
}

/* ---- htmlEntityDecode -----------------------------------------------------------------------
 */

/* Those that mod_security2 knows, in either case; NBSP is Latin-1's. */
static const struct {
    struct span name;
    char byte;
} entities[] = {
    { SPAN_INIT("lt"), '<' },   { SPAN_INIT("gt"), '>' },          { SPAN_INIT("amp"), '&' },
    { SPAN_INIT("quot"), '"' }, { SPAN_INIT("nbsp"), (char)0xa0 },
};

enum { ENTITY_MAX = 4 };

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Behind `&`, which is at `p`: all letters and digits there are the name. Of one that is longer
 * than any that is known, as many as tell so are looked at. */
static size_t named_entity(const char *p, const char *end, char **out)
{
    const char *at = p + 1;
    while (at < end && at - p <= ENTITY_MAX + 1 && is_alphanumeric(*at))
        at++;
    struct span name = span_range(p + 1, at);
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (name.len != entities[i].name.len || !span_equal_nocase(name, entities[i].name))
            continue;
        *(*out)++ = entities[i].byte;
        return 1 + name.len + (at < end && *at == ';');
    }
    return 0;
}

/* The low byte of the number; of one that a long does not hold, 0xff. */
static size_t numeric_entity(const char *p, const char *end, char **out)
{
    const char *at = p + 2;
    bool hex = at < end && (*at == 'x' || *at == 'X');
    at += hex;
    const char *digits = at;
    int64_t number = 0;
    for (; at < end; at++) {
        int digit = hex_value(*at);
        if (digit < 0 || (!hex && digit > 9))
            break;
        if (__builtin_mul_overflow(number, hex ? 16 : 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            number = INT64_MAX;
    }
    if (at == digits)
        return 0;
    *(*out)++ = (char)(number & 0xff);
    return (size_t)(at - p) + (at < end && *at == ';');
}

static size_t entity_step(const char *p, const char *end, char **out)
{
    if (end - p < 2)
        return 0;
    return p[1] == '#' ? numeric_entity(p, end, out) : named_entity(p, end, out);
}

struct span sec_html_entity_decode(struct span in, char *room)
{
    return drive_from(in, room, '&', entity_step);
}

/* ---- hexDecode, sqlHexDecode ----------------------------------------------------------------
 */

/* Any byte is a digit to mod_security2's hexDecode; those that are none give nonsense. */
static unsigned loose_digit(char c)
{
    uint8_t byte = (uint8_t)c;
    return byte >= 'A' ? (byte & 0xdfu) - 'A' + 10 : byte - (unsigned)'0';
}

struct span sec_hex_decode(struct span in, char *room)
{
    char *out = room;
    for (size_t i = 0; i + 2 <= in.len; i += 2)
        *out++ = (char)(loose_digit(in.p[i]) * 16 + loose_digit(in.p[i + 1]));
    return made(in, room, out);
}

/* 0x with pairs of digits: MySQL's literals. */
static size_t sql_hex_step(const char *p, const char *end, char **out)
{
    if (end - p < 4 || (p[1] != 'x' && p[1] != 'X') || fixed_hex(p + 2, end, 2) < 0)
        return 0;
    const char *at = p + 2;
    int32_t byte;
    for (; (byte = fixed_hex(at, end, 2)) >= 0; at += 2)
        *(*out)++ = (char)byte;
    return (size_t)(at - p);
}

struct span sec_sql_hex_decode(struct span in, char *room)
{
    return drive_from(in, room, '0', sql_hex_step);
}

/* ---- base64 ---------------------------------------------------------------------------------
 */

/* One more than the value of a digit; 0: it is none. */
static const uint8_t base64_digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
    ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
    ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
    ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
    ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63,
    ['/'] = 64,
};

static inline int base64_value(char c)
{
    return base64_digits[(uint8_t)c] - 1;
}

/* Six bits more; a byte goes out as soon as it is whole. */
struct sextets {
    uint32_t bits;
    unsigned count;
};

static inline void add_sextet(struct sextets *sextets, int value, char **out)
{
    sextets->bits = sextets->bits << 6 | (uint32_t)value;
    if (sextets->count++ % 4 != 0)
        *(*out)++ = (char)(sextets->bits >> (3 - (sextets->count - 1) % 4) * 2 & 0xff);
}

/* Whether bytes are digits, by their low half and by the high one. */
enum { SIGN = 1 << 0, FIGURE = 1 << 1, LETTER = 1 << 2, LATE_LETTER = 1 << 3 };
static const uint8_t base64_rows[16] = {
    [0x0] = FIGURE | LATE_LETTER, [0x1 ... 0x9] = FIGURE | LETTER | LATE_LETTER,
    [0xa] = LETTER | LATE_LETTER, [0xb] = LETTER | SIGN,
    [0xc ... 0xe] = LETTER,       [0xf] = LETTER | SIGN,
};
static const uint8_t base64_columns[16] = {
    [0x2] = SIGN,        [0x3] = FIGURE, [0x4] = LETTER,
    [0x5] = LATE_LETTER, [0x6] = LETTER, [0x7] = LATE_LETTER,
};

/* How many digits there are before anything else; with `enough` of them it may stop. */
static inline size_t count_digits(struct span in, size_t enough)
{
    const __m128i none = _mm_setzero_si128();
    size_t count = 0;
    while (count < in.len && count < enough) {
        size_t len = part_len(in.p + count, span_end(in));
        __m128i classes = classes16(load_part(in.p + count, len), base64_rows, base64_columns);
        unsigned others = mask16(_mm_cmpeq_epi8(classes, none));
        count += others != 0 ? (size_t)__builtin_ctz(others) : BLOCK;
        if (others != 0)
            break;
    }
    return count;
}

/* Of so many digits: three of four, and what is whole of the rest. */
static inline size_t decoded_len(size_t digits)
{
    return digits - (digits + 3) / 4;
}

size_t sec_base64_bound(struct span in, size_t enough)
{
    size_t needed = enough < SIZE_MAX / 4 ? (4 * enough + 2) / 3 : SIZE_MAX;
    return decoded_len(count_digits(in, needed));
}

/* 12 bytes of 16 digits; zeros count as digits that are 0. */
static inline __m128i decode16(__m128i digits)
{
    /* By the high half, what is to be added; '/' has the place before that of '+'. */
    const __m128i by_half = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a',
                                          26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i order = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    __m128i high = _mm_and_si128(_mm_srli_epi16(digits, 4), _mm_set1_epi8(0x0f));
    __m128i add = _mm_shuffle_epi8(by_half, _mm_add_epi8(high, equal16(digits, '/')));
    __m128i pairs = _mm_maddubs_epi16(_mm_add_epi8(digits, add), _mm_set1_epi16(0x0140));
    __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000));
    return _mm_shuffle_epi8(fours, order);
}

/* As far as base64 goes: what is behind the first other byte is left out. */
struct span sec_base64_decode(struct span in, char *room)
{
    struct span digits = span_of(in.p, count_digits(in, SIZE_MAX));
    const char *p = digits.p, *end = span_end(digits);
    char *out = room;
    for (size_t len; p < end; p += len) {
        len = part_len(p, end);
        __m128i bytes = decode16(load_part(p, len));
        store_part(out, bytes, len == BLOCK ? BLOCK : decoded_len(len));
        out += decoded_len(len);
    }
    return made(in, room, out);
}

/*
 * What is not base64 is passed over, as PHP does; so is a NUL, where mod_security2 stops: an
 * attacker could hide the rest behind one. Padding right behind the first of four means that it
 * is no base64 at all.
 */
struct span sec_base64_decode_ext(struct span in, char *room)
{
    struct sextets sextets = { 0 };
    char *out = room;
    for (size_t i = 0; i < in.len; i++) {
        int value = base64_value(in.p[i]);
        if (value >= 0)
            add_sextet(&sextets, value, &out);
        else if (in.p[i] == '=' && sextets.count % 4 == 1 &&
                 (i + 1 == in.len || in.p[i + 1] != '='))
            return made(in, room, room);
    }
    return made(in, room, out);
}
