/*
 * The list of fingerprints that libinjection fires on: whether one is in it, and whether one of
 * them begins so.
 */
#ifndef SALLYPORT_RULES_SQL_LIST_H
#define SALLYPORT_RULES_SQL_LIST_H

#include "gateway/base/span.h"
#include "rules/sql_tokens.h"

enum { SQL_FINGERPRINT_MAX = 5, SQL_FOURTH_BITS = 1 << 16 };

/* By types, with sets of types as bits. */
extern struct sql_list {
    /* What may stand behind one, in a fingerprint of the list; and behind two. */
    uint32_t second[SQL_TYPE_COUNT], third[SQL_TYPE_COUNT][SQL_TYPE_COUNT];
    /* Fingerprints of two types, and of three. */
    uint32_t pairs[SQL_TYPE_COUNT], triples[SQL_TYPE_COUNT][SQL_TYPE_COUNT];
    /* Four types that one begins with have a bit, as have some that none does. */
    uint64_t fourth[SQL_FOURTH_BITS / 64];
} sql_list;

static inline uint32_t sql_fourth_bit(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return ((((a * 32 + b) * 32 + c) * 32 + d) * 0x9e3779b1u) >> 16;
}

static inline bool sql_may_begin_with_three(unsigned a, unsigned b, unsigned c)
{
    return (sql_list.third[a][b] >> c & 1) != 0;
}

static inline bool sql_may_begin_with_four(unsigned a, unsigned b, unsigned c, unsigned d)
{
    uint32_t bit = sql_fourth_bit(a, b, c, d);
    return (sql_list.fourth[bit / 64] >> bit % 64 & 1) != 0;
}

/* Of up to SQL_FINGERPRINT_MAX types. */
bool sql_is_listed(const uint8_t *types, size_t count);

/* At load, once the words are ready. False: the list is not what rules/sql_fold.c takes it for.
 */
bool sql_list_prepare(void);

#endif
