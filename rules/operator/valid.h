/*
 * Sets of bytes, and the check of UTF-8: what validateByteRange prepares and the plan asks for.
 */
#ifndef SALLYPORT_RULES_OPERATOR_VALID_H
#define SALLYPORT_RULES_OPERATOR_VALID_H

#include "gateway/base/span.h"

struct byte_set {
    uint64_t bits[4];
};

static inline bool byte_set_has(const struct byte_set *set, uint8_t byte)
{
    return (set->bits[byte / 64] >> byte % 64 & 1) != 0;
}

static inline void byte_set_add(struct byte_set *set, unsigned byte)
{
    set->bits[byte / 64 & 3] |= UINT64_C(1) << byte % 64;
}

/* Bytes from the start that are UTF-8 by RFC 3629: s.len when all of it is. */
size_t utf8_valid_len(struct span s);

#endif
