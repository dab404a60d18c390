/* Growth and number formats of texts. */
#include "gateway/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef __SSSE3__
#include <tmmintrin.h>
#endif

enum { TEXT_FIRST_BYTES = 64 };

struct text text_fixed(void *buffer, size_t size)
{
    return (struct text){ .p = buffer, .size = size };
}

struct text text_growing(struct arena *arena, size_t first_size)
{
    struct text t = { .arena = arena };
    if (first_size > 0 && !text_reserve(&t, first_size))
        t.overflow = true;
    return t;
}

bool text_reserve_slow(struct text *t, size_t more)
{
    size_t need;
    if (t->overflow)
        return false;
    t->overflow = true; /* until it turns out otherwise */
    if (t->arena == NULL || __builtin_add_overflow(t->len, more, &need))
        return false;

    size_t size = t->size < TEXT_FIRST_BYTES / 2 ? TEXT_FIRST_BYTES : t->size * 2;
    if (t->size > SIZE_MAX / 2 || size < need)
        size = need;
    char *p = arena_alloc(t->arena, size);
    if (p == NULL)
        return false;
    if (t->len > 0)
        memcpy(p, t->p, t->len);
    t->p = p;
    t->size = size;
    t->overflow = false;
    return true;
}

static void add_number(struct text *t, bool negative, uint64_t value)
{
    char digits[21];
    char *p = digits + sizeof(digits);
    do {
        *--p = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (negative)
        *--p = '-';
    text_add(t, span_range(p, digits + sizeof(digits)));
}

void text_uint(struct text *t, uint64_t value)
{
    add_number(t, false, value);
}

void text_int(struct text *t, int64_t value)
{
    add_number(t, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

#ifdef __SSSE3__
/* Sixteen bytes at once: names of shared limits are, a hundred of them in a call. */
static void write_hex16(char *out, const unsigned char *in)
{
    const __m128i digits = _mm_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a',
                                         'b', 'c', 'd', 'e', 'f');
    const __m128i low = _mm_set1_epi8(15);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    __m128i first = _mm_shuffle_epi8(digits, _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
    __m128i second = _mm_shuffle_epi8(digits, _mm_and_si128(bytes, low));
    _mm_storeu_si128((__m128i *)(void *)out, _mm_unpacklo_epi8(first, second));
    _mm_storeu_si128((__m128i *)(void *)(out + 16), _mm_unpackhi_epi8(first, second));
}
#endif

void text_hex(struct text *t, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;
    size_t size, i = 0;
    if (__builtin_mul_overflow(len, 2u, &size))
        size = SIZE_MAX;
    if (!text_reserve(t, size))
        return;
    char *p = t->p + t->len;
#ifdef __SSSE3__
    for (; len - i >= 16; i += 16, p += 32)
        write_hex16(p, in + i);
#endif
    for (; i < len; i++) {
        *p++ = digits[in[i] >> 4];
        *p++ = digits[in[i] & 15];
    }
    t->len += size;
}

void text_lower(struct text *t, struct span s)
{
    if (s.len == 0 || !text_reserve(t, s.len))
        return;
    char *p = t->p + t->len;
    for (size_t i = 0; i < s.len; i++)
        p[i] = ascii_lower(s.p[i]);
    t->len += s.len;
}

void text_format(struct text *t, const char *format, ...)
{
    char usual[512];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(usual, sizeof(usual), format, args);
    va_end(args);
    INVARIANT(len >= 0);
    if ((size_t)len < sizeof(usual)) {
        text_add(t, span_of(usual, (size_t)len));
        return;
    }

    size_t size = (size_t)len + 1; /* vsnprintf wants room for its NUL */
    if (!text_reserve(t, size))
        return;
    va_start(args, format);
    len = vsnprintf(t->p + t->len, size, format, args);
    va_end(args);
    INVARIANT((size_t)len + 1 == size);
    t->len += (size_t)len;
}

const char *text_cstring(struct text *t)
{
    if (!text_reserve(t, 1))
        return NULL;
    t->p[t->len] = '\0';
    return t->p;
}
