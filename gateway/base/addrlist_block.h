/*
 * How an address list lies in memory. Private to addrlist*.c.
 *
 * Per family the prefixes stand in the order of (first address, length), in several arrays, so
 * that a lookup touches little memory. The nearest prefix that encloses a prefix is its parent;
 * only prefixes that have one have a word in `parents`, found by counting bits (`rank`). The
 * most specific prefix of an address is the last one that begins at or below it, or one of that
 * one's parents.
 *
 * IPv4 is indexed by the top 16 bits of the address, so that 16 bits of a first address are
 * kept; IPv6, where nearly all addresses share those, by a tree over the upper halves.
 */
#ifndef SALLYPORT_ADDRLIST_BLOCK_H
#define SALLYPORT_ADDRLIST_BLOCK_H

#include "gateway/base/addrlist.h"

enum {
    ADDRLIST_MAGIC = 0x3354534c, /* "LST3" */
    ADDRLIST_ALIGN = 8,          /* of the block, and of every part of it */
    ADDRLIST_INDEXED_FROM = 256, /* IPv4 prefixes; fewer are searched without an index */
    ADDRLIST_INDEX_ENTRIES = 65536 + 1,
    ADDRLIST_FAN = 8, /* keys in a node of the tree */
    ADDRLIST_LEVELS_MAX = 7,
    ADDRLIST_INFOS_MAX = ADDRLIST_ENTRIES_MAX,
    ADDRLIST_RANK_BITS = 32,
};

/* What is known of a prefix beside its first address and its length. */
struct addrlist_what {
    uint32_t info, expires_s;
};

/* Of 32 prefixes: which have a parent, how many before them do, and when the first of them
 * expires (UINT32_MAX: none ever). */
struct addrlist_rank {
    uint32_t bits, before, soonest_s;
};

/* By the top 16 bits: the first prefix that begins there, and one more than the number of the
 * most specific prefix that begins before and reaches in (0: none). */
struct addrlist_index {
    uint32_t from, around;
};

struct addrlist_info {
    uint32_t source, reason; /* where in the texts: a byte of length, then the text */
};

/* In the order of their numbers. */
struct addrlist_place {
    uint64_t place;
    struct addrlist_what what;
};

struct addrlist_family {
    uint32_t count, nested;
    uint32_t first; /* IPv4: 16 bits each, 32 without index. IPv6: the upper halves */
    uint32_t low;   /* IPv6: the lower halves; and below, offsets of the parts */
    uint32_t bits, what, rank, parents;
};

/* The offsets follow from the counts. They are kept so that a lookup need not add them up;
 * addrlist_valid does, and compares. */
struct addrlist_head {
    uint32_t magic, bytes;
    struct addrlist_family v4, v6;
    uint32_t index; /* 0: there is none */
    uint32_t levels, level[ADDRLIST_LEVELS_MAX], level_keys[ADDRLIST_LEVELS_MAX];
    uint32_t place_count, places;
    uint32_t info_count, infos;
    uint32_t text_bytes, texts;
};

/* Fills in all that follows from the counts; false when those are over their limits. */
MUST_USE bool addrlist_lay_out(struct addrlist_head *head);

#endif
