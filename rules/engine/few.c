/* A few plain texts, looked for by hand. */
#include "rules/engine/few.h"

#include <emmintrin.h>

enum { BLOCK = 16 };

static bool is_at(const struct few_text *few, const char *at)
{
    for (size_t i = 0; i < few->len; i++) {
        if (((uint8_t)at[i] | few->folds[i]) != few->bytes[i])
            return false;
    }
    return true;
}

/* Which of 16 bytes are the text's at `i`. */
static __m128i bytes_at(const struct few_text *few, const char *at, size_t i)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(at + i));
    bytes = _mm_or_si128(bytes, _mm_set1_epi8((char)few->folds[i]));
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)few->bytes[i]));
}

/* Whether it begins at one of 16 places: first and last byte rule out most of them. */
static bool is_among(const struct few_text *few, const char *at)
{
    __m128i both = _mm_and_si128(bytes_at(few, at, 0), bytes_at(few, at, few->len - 1));
    unsigned left = (unsigned)_mm_movemask_epi8(both);
    for (; left != 0; left &= left - 1) {
        if (is_at(few, at + __builtin_ctz(left)))
            return true;
    }
    return false;
}

bool few_text_in(const struct few_text *few, struct span text)
{
    if (text.len < few->len)
        return false;
    const size_t places = text.len - few->len + 1;
    size_t i = 0;
    for (; places - i >= BLOCK; i += BLOCK) {
        if (is_among(few, text.p + i))
            return true;
    }
    if (places >= BLOCK) /* some of the last ones a second time */
        return i < places && is_among(few, text.p + places - BLOCK);
    for (; i < places; i++) {
        if (is_at(few, text.p + i))
            return true;
    }
    return false;
}
