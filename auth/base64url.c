/* Four characters make three bytes; whether one was none of ours is asked at the end. */
#include "auth/base64url.h"

enum { NO = 64 }; /* a bit that no value has */

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* clang-format off */
static const uint8_t values[128] = {
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
    NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
    NO,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
    NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
};
/* clang-format on */

static uint32_t value_of(char c)
{
    uint8_t byte = (uint8_t)c;
    return byte < sizeof(values) ? values[byte] : NO;
}

/* The last two or three characters. */
static bool decode_end(const char *p, size_t left, uint8_t *to)
{
    uint32_t a = value_of(p[0]), b = value_of(p[1]), c = left > 2 ? value_of(p[2]) : 0;
    to[0] = (uint8_t)(a << 2 | b >> 4);
    if (left > 2)
        to[1] = (uint8_t)(b << 4 | c >> 2);
    /* Two characters carry 12 bits for one byte, three carry 18 for two. */
    uint32_t spare = left == 2 ? b & 0xf : c & 0x3;
    return ((a | b | c) & NO) == 0 && spare == 0;
}

bool base64url_decode(struct span text, void *out, size_t max, size_t *len)
{
    uint8_t *to = out;
    uint32_t all = 0;
    size_t left = text.len % 4, i = 0;
    if (left == 1 || base64url_size(text.len) > max)
        return false;
    for (; i < text.len - left; i += 4, to += 3) {
        const char *p = text.p + i;
        uint32_t a = value_of(p[0]), b = value_of(p[1]), c = value_of(p[2]), d = value_of(p[3]);
        all |= a | b | c | d;
        to[0] = (uint8_t)(a << 2 | b >> 4);
        to[1] = (uint8_t)(b << 4 | c >> 2);
        to[2] = (uint8_t)(c << 6 | d);
    }
    *len = base64url_size(text.len);
    return (all & NO) == 0 && (left == 0 || decode_end(text.p + i, left, to));
}

void base64url_encode(struct text *out, struct span bytes)
{
    const uint8_t *from = (const uint8_t *)bytes.p;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)from[i] << 16;
        bits |= left > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        bits |= left > 2 ? from[i + 2] : 0;
        text_char(out, letters[bits >> 18]);
        text_char(out, letters[bits >> 12 & 63]);
        if (left > 1)
            text_char(out, letters[bits >> 6 & 63]);
        if (left > 2)
            text_char(out, letters[bits & 63]);
    }
}
