/* Sets of bytes. */
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

static inline bool byte_set_is_within(const struct byte_set *part, const struct byte_set *whole)
{
    uint64_t beyond = 0;
    for (unsigned i = 0; i < 4; i++)
        beyond |= part->words[i] & ~whole->words[i];
    return beyond == 0;
}

/* Whether a text has any of them. */
static inline bool byte_set_any(const struct byte_set *set, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (byte_set_has(set, (uint8_t)text.p[i]))
            return true;
    }
    return false;
}

#endif
