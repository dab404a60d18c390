/*
 * SecLang's decoders of the web: percent-escapes, character references, hexadecimal, base64.
 */
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

/* ---- urlDecode, urlDecodeUni ----------------------------------------------------------------
 */

static size_t percent_step(const char *p, const char *end, char **out)
{
    if (*p == '+') {
        *(*out)++ = ' ';
        return 1;
    }
    int32_t byte = *p == '%' ? fixed_hex(p + 1, end, 2) : -1;
    if (byte < 0)
        return 0;
    *(*out)++ = (char)byte;
    return 3;
}

struct span sec_url_decode(struct span in, char *room)
{
    return drive_from_either(in, room, '%', '+', percent_step);
}

static size_t percent_uni_step(const char *p, const char *end, char **out)
{
    if (*p == '%' && end - p >= 6 && (p[1] == 'u' || p[1] == 'U')) {
        int32_t point = fixed_hex(p + 2, end, 4);
        if (point < 0)
            return 0;
        *(*out)++ = low_byte(point);
        return 6;
    }
    return percent_step(p, end, out);
}

struct span sec_url_decode_uni(struct span in, char *room)
{
    return drive_from_either(in, room, '%', '+', percent_uni_step);
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

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Behind `&`, which is at `p`: all letters and digits there are the name. */
static size_t named_entity(const char *p, const char *end, char **out)
{
    const char *at = p + 1;
    while (at < end && is_alphanumeric(*at))
        at++;
    struct span name = span_range(p + 1, at);
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (!span_equal_nocase(name, entities[i].name))
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
        int digit = hex_digit(*at);
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

/* Of how many bytes that decodes to: three of four digits, and what is whole of the rest. */
size_t sec_base64_bound(struct span in, size_t enough)
{
    size_t digits = 0, needed = enough < SIZE_MAX / 4 ? (4 * enough + 2) / 3 : SIZE_MAX;
    while (digits < in.len && digits < needed && base64_value(in.p[digits]) >= 0)
        digits++;
    return digits - (digits + 3) / 4;
}

/* As far as base64 goes: what is behind the first other byte is left out. */
struct span sec_base64_decode(struct span in, char *room)
{
    struct sextets sextets = { 0 };
    char *out = room;
    for (size_t i = 0; i < in.len && base64_value(in.p[i]) >= 0; i++)
        add_sextet(&sextets, base64_value(in.p[i]), &out);
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
