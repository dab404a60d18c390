/*
 * Sets of 128 bits, in two words: signs, conditions, ways (plan.h).
 */
#ifndef SALLYPORT_RULES_SET128_H
#define SALLYPORT_RULES_SET128_H

#include <smmintrin.h>
#include <stdbool.h>
#include <stdint.h>

static inline __m128i set128_load(const void *words)
{
    return _mm_loadu_si128((const __m128i *)words);
}

static inline void set128_store(void *words, __m128i from)
{
    _mm_storeu_si128((__m128i *)words, from);
}

static inline bool set128_any(__m128i set)
{
    return !_mm_testz_si128(set, set);
}

/* Adds what is in `more`. */
static inline void set128_unite(void *words, const void *more)
{
    set128_store(words, _mm_or_si128(set128_load(words), set128_load(more)));
}

/* Whether they have one in common. */
static inline bool set128_meet(const void *a, const void *b)
{
    return !_mm_testz_si128(set128_load(a), set128_load(b));
}

#endif
