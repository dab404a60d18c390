/* One table for both ways would be slower to read than these two. */
#include "auth/base64url.h"

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool base64url_decode(struct span text, void *out, size_t max, size_t *len)
{
    uint8_t *to = out;
    uint32_t bits = 0;
    size_t made = 0;
    if (text.len % 4 == 1 || base64url_size(text.len) > max)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 1)
            to[made++] = (uint8_t)(bits >> 4);
        else if (i % 4 == 2)
            to[made++] = (uint8_t)(bits >> 2);
        else if (i % 4 == 3)
            to[made++] = (uint8_t)bits;
    }
    *len = made;
    /* Two characters carry 12 bits for one byte, three carry 18 for two. */
    unsigned spare = text.len % 4 == 2 ? 0xf : text.len % 4 == 3 ? 0x3 : 0;
    return (bits & spare) == 0;
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
