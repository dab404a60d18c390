/*
 * At which places of a text something may begin: what edges (edge.h) look at first, 64 places
 * at a time. With AVX2, where the processor has it, 32 of them at once.
 */
#ifndef SALLYPORT_RULES_EDGE_PLACES_H
#define SALLYPORT_RULES_EDGE_PLACES_H

#include "rules/engine/edge.h"
#include "rules/transform/blocks.h"

enum { EDGE_PLACES = 64 };

/* At which of 16 places something may begin, by the bytes there and beside them: those from
 * at[-1] to at[16] are read. */
static inline unsigned edge_places16(const struct edges *e, const char *at)
{
    __m128i here = classes16(load16(at), e->here.low, e->here.high);
    __m128i ahead = classes16(load16(at + 1), e->ahead.low, e->ahead.high);
    __m128i before = classes16(load16(at - 1), e->before.low, e->before.high);
    __m128i both = _mm_and_si128(here, _mm_or_si128(ahead, before));
    return ~mask16(_mm_cmpeq_epi8(both, _mm_setzero_si128())) & 0xffff;
}

/* The same of EDGE_PLACES: bytes from at[-1] to at[EDGE_PLACES]. */
uint64_t edge_places(const struct edges *e, const char *at);

/* ---- the two ways, which say the same ---- */

bool edge_places_are_wide(void);
uint64_t edge_places_narrow(const struct edges *e, const char *at);
uint64_t edge_places_wide(const struct edges *e, const char *at); /* only with AVX2 */

#endif
