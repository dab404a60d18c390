/* Places at which something may begin, 64 at a time. */
#include "rules/engine/edge_places.h"

#include "rules/transform/blocks32.h"

bool edge_places_are_wide(void)
{
    return has_avx2();
}

uint64_t edge_places_narrow(const struct edges *e, const char *at)
{
    uint64_t places = 0;
    for (unsigned i = 0; i < EDGE_PLACES; i += BLOCK)
        places |= (uint64_t)edge_places16(e, at + i) << i;
    return places;
}

WITH_AVX2 static inline uint32_t places32(const struct edges *e, const char *at)
{
    __m256i here = classes32(load32(at), e->here.low, e->here.high);
    __m256i ahead = classes32(load32(at + 1), e->ahead.low, e->ahead.high);
    __m256i before = classes32(load32(at - 1), e->before.low, e->before.high);
    return not_zero32(_mm256_and_si256(here, _mm256_or_si256(ahead, before)));
}

WITH_AVX2 uint64_t edge_places_wide(const struct edges *e, const char *at)
{
    return places32(e, at) | (uint64_t)places32(e, at + EDGE_PLACES / 2) << EDGE_PLACES / 2;
}

uint64_t edge_places(const struct edges *e, const char *at)
{
    return edge_places_are_wide() ? edge_places_wide(e, at) : edge_places_narrow(e, at);
}
