/*
 * SecLang's encoders, and those that answer a number or a digest. The room they need is in the
 * table.
 */
/* The plain functions are no longer recommended; but digests by name allocate memory, with
 * every field. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "rules/transform/blocks.h"
#include "rules/transform/drive.h"
#include "rules/transform/rows.h"

static const char hex_digits[] = "0123456789abcdef";

static inline void put_hex(char **out, uint8_t byte)
{
    *(*out)++ = hex_digits[byte >> 4];
    *(*out)++ = hex_digits[byte & 0x0f];
}

struct span sec_hex_encode(struct span in, char *room)
{
    char *out = room;
    for (size_t i = 0; i < in.len; i++)
        put_hex(&out, (uint8_t)in.p[i]);
    return in.len > 0 ? span_range(room, out) : in;
}

struct span sec_url_encode(struct span in, char *room)
{
    char *out = room;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.p[i];
        if (c == '*' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
            (c >= 'a' && c <= 'z')) {
            *out++ = c;
        } else if (c == ' ') {
            *out++ = '+';
        } else {
            *out++ = '%';
            put_hex(&out, (uint8_t)c);
        }
    }
    return made(in, room, out);
}

struct span sec_base64_encode(struct span in, char *room)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = room;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t bits = (uint32_t)(uint8_t)in.p[i] << 16;
        bits |= left > 1 ? (uint32_t)(uint8_t)in.p[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)(uint8_t)in.p[i + 2] : 0;
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 0x3f];
        *out++ = left > 1 ? digits[bits >> 6 & 0x3f] : '=';
        *out++ = left > 2 ? digits[bits & 0x3f] : '=';
    }
    return in.len > 0 ? span_range(room, out) : in;
}

/* ---- utf8toUnicode --------------------------------------------------------------------------
 */

/*
 * What stands at `p` by the first byte and the shape of those behind it: its length, 0 when a
 * byte behind it is missing or none of a character. Overlong forms, surrogates and points
 * beyond U+10FFFF are taken.
 */
static inline size_t loose_utf8(const char *p, const char *end, uint32_t *point)
{
    uint8_t first = (uint8_t)*p;
    size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if ((size_t)(end - p) < len)
        return 0;
    *point = first & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | ((uint8_t)p[i] & 0x3fu);
    }
    return len;
}

/* Four digits of hexadecimal at once, the highest first: a byte has one each. */
static inline uint32_t hex_of(uint32_t unit)
{
    uint32_t digits =
        unit >> 12 | (unit >> 8 & 0x0f) << 8 | (unit >> 4 & 0x0f) << 16 | (unit & 0x0f) << 24;
    uint32_t letters = (digits + 0x06060606) >> 4 & 0x01010101;
    return digits + 0x30303030 + letters * ('a' - '0' - 10);
}

/* %uHHHH, with more digits where it needs them. */
static inline void put_unicode(char **out, uint32_t point)
{
    uint32_t last = hex_of(point & 0xffff);
    *(*out)++ = '%';
    *(*out)++ = 'u';
    if (point > 0xfffff)
        *(*out)++ = hex_digits[point >> 20];
    if (point > 0xffff)
        *(*out)++ = hex_digits[point >> 16 & 0x0f];
    memcpy(*out, &last, sizeof(last));
    *out += sizeof(last);
}

/*
 * As mod_security2 does it: a first byte without the rest of its character goes, a byte that
 * cannot be a first one stays, and behind a form that is overlong or a surrogate the first byte
 * stands once more (it counts as suspicious). Unlike there, a NUL does not end the value.
 */
static inline size_t unicode_step(const char *p, const char *end, char **out)
{
    static const uint32_t least[] = { [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
    uint8_t first = (uint8_t)*p;
    uint32_t point;
    if (first < 0xc0 || first >= 0xf8)
        return 0;
    if (first >= 0xf5)
        *(*out)++ = *p;
    size_t len = loose_utf8(p, end, &point);
    if (len == 0)
        return 1;
    put_unicode(out, point);
    if (point < least[len] || (point >= 0xd800 && point <= 0xdfff))
        *(*out)++ = *p;
    return len;
}

/* What is ASCII at once, then the characters that follow each other. */
struct span sec_utf8_to_unicode(struct span in, char *room)
{
    const char *p = in.p, *end = span_end(in);
    char *out = room;
    while (p < end) {
        size_t len = part_len(p, end);
        __m128i bytes = load_part(p, len);
        unsigned high = mask16(bytes);
        store_part(out, bytes, len);
        len = high != 0 ? (size_t)__builtin_ctz(high) : len;
        p += len;
        out += len;
        while (p < end && (*p & 0x80) != 0) {
            size_t taken = unicode_step(p, end, &out);
            if (taken == 0)
                *out++ = *p;
            p += taken != 0 ? taken : 1;
        }
    }
    return made(in, room, out);
}

/* ---- numbers and digests --------------------------------------------------------------------
 */

struct span sec_length(struct span in, char *room)
{
    struct text out = text_fixed(room, LENGTH_DIGITS);
    text_uint(&out, in.len);
    return made(in, room, room + out.len);
}

struct span sec_md5(struct span in, char *room)
{
    MD5_CTX md5;
    INVARIANT(MD5_Init(&md5) == 1 && MD5_Update(&md5, in.p, in.len) == 1 &&
              MD5_Final((unsigned char *)room, &md5) == 1);
    return made(in, room, room + MD5_DIGEST_LENGTH);
}

struct span sec_sha1(struct span in, char *room)
{
    SHA_CTX sha1;
    INVARIANT(SHA1_Init(&sha1) == 1 && SHA1_Update(&sha1, in.p, in.len) == 1 &&
              SHA1_Final((unsigned char *)room, &sha1) == 1);
    return made(in, room, room + SHA_DIGEST_LENGTH);
}
