/* Sets of bytes, and whether a text has any of them: 16 bytes at a time. */
#ifndef SALLYPORT_RULES_BYTES_H
#define SALLYPORT_RULES_BYTES_H

#include "gateway/base/span.h"

struct byte_set {
    uint64_t words[4];
};

static inline bool byte_set_has(const struct byte_set *set, uint8_t byte)
{
    return (set->words[byte / 64] >> byte % 64 & 1) != 0;
}

static inline void byte_set_add(struct byte_set *set, uint8_t byte)
{
    set->words[byte / 64] |= UINT64_C(1) << byte % 64;
}

static inline void byte_set_unite(struct byte_set *set, const struct byte_set *other)
{
    for (unsigned i = 0; i < 4; i++)
        set->words[i] |= other->words[i];
}

/* A set as it is looked up: by the low nibble, a bit for each high one; of bytes below 0x80,
 * and of those above. */
struct byte_gate {
    uint8_t low[16], high[16];
};

void byte_gate_make(struct byte_gate *gate, const struct byte_set *set);
bool byte_gate_any(const struct byte_gate *gate, struct span text);

#endif
