/*
 * How an address list lies in memory. Private to addrlist*.c.
 *
 * Per family the prefixes stand in the order of (first address, length), some of them in each
 * line of a cache: what a lookup reads of a prefix stands together, mostly it waits for one
 * line, and there are few lines. The most specific prefix of an address is the last one that
 * begins at or below it, or one that encloses that one.
 *
 * IPv4 is indexed by the top 16 bits of the address, so that 16 bits of a first address are
 * kept; of a million prefixes about fifteen begin under the same bits. What encloses a prefix
 * is told by two bits beside its length: whether another one of its line does (and begins under
 * the same top bits), and whether one of an earlier line, which then stands in `parents`. What
 * begins under other top bits and reaches in stands in the index.
 *
 * IPv6 is indexed by the 16 bits behind the first three, which are alike in all addresses that
 * are given out (2000::/3); between two entries of the index, heads of lines are halved. The
 * upper halves of first addresses stand in the lines, and lower ones that are not 0 elsewhere.
 * A link says how many places before a prefix the nearest one stands that encloses it; where
 * that is too far, a word in `parents` does.
 */
#ifndef SALLYPORT_ADDRLIST_BLOCK_H
#define SALLYPORT_ADDRLIST_BLOCK_H

#include <endian.h>

#include "gateway/base/addrlist.h"

enum {
    ADDRLIST_MAGIC = 0x3454534c, /* "LST4" */
    ADDRLIST_ALIGN = 8,          /* of the block */
    ADDRLIST_PART_ALIGN = 64,    /* of every part in it */
    ADDRLIST_INDEXED_FROM =
        2048,                   /* prefixes of a family; fewer are searched without an index */
    ADDRLIST_INDEX6_SHIFT = 45, /* of an upper half */
    ADDRLIST_INDEX_ENTRIES = 65536 + 1,
    ADDRLIST_LINE4 = 20, /* prefixes in a line */
    ADDRLIST_LINE6 = 6,
    ADDRLIST_INFOS_MAX = ADDRLIST_ENTRIES_MAX,
    ADDRLIST_LENGTH4 = 0x3f, /* of a code of IPv4: the length of the prefix */
    ADDRLIST_NEAR4 = 0x40,   /* a prefix of the same line encloses it */
    ADDRLIST_FAR4 = 0x80,    /* one of an earlier line does */
    ADDRLIST_FAR = 127,      /* a link: see `parents` */
    ADDRLIST_LOW = 128,      /* a bit of a link: the first address has a lower half */
};

/* What is known of a prefix beside its first address and its length. */
struct addrlist_what {
    uint32_t info, expires_s;
};

/* By the top 16 bits: the first prefix that begins there, and one more than the number of the
 * most specific prefix that begins before and reaches in (0: none). */
struct addrlist_index {
    uint32_t from, around;
};

/* `soonest_s` is when the first of them expires (UINT32_MAX: none ever). */
struct addrlist_line4 {
    uint16_t first[ADDRLIST_LINE4];
    uint8_t code[ADDRLIST_LINE4];
    uint32_t soonest_s;
};
struct addrlist_line6 {
    uint64_t high[ADDRLIST_LINE6];
    uint8_t bits[ADDRLIST_LINE6], link[ADDRLIST_LINE6];
    uint32_t soonest_s;
};
/* Of the lines before: how many words in `parents`, and how many lower halves. */
struct addrlist_rare6 {
    uint32_t far, low;
};
_Static_assert(sizeof(struct addrlist_line4) == 64 && sizeof(struct addrlist_line6) == 64,
               "a line of a cache each");

struct addrlist_info {
    uint32_t source, reason; /* where in the texts: a byte of length, then the text */
};

/* In the order of their numbers. */
struct addrlist_place {
    uint64_t place;
    struct addrlist_what what;
};

/* Counts, then offsets of the parts. */
struct addrlist_family {
    uint32_t count, far;
    uint32_t index; /* 0: there is none */
    uint32_t lines, what, parents;
};

/* The offsets follow from the counts. They are kept so that a lookup need not add them up;
 * addrlist_valid does, and compares. */
struct addrlist_head {
    uint32_t magic, bytes;
    struct addrlist_family v4, v6;
    uint32_t soonest_s;       /* when the first of all expires; nothing follows from it */
    uint32_t firsts, rare4;   /* IPv4: without an index, 32 bits each; as rare6, of each line */
    uint32_t heads, rare6;    /* IPv6: of each line its first, and struct addrlist_rare6 */
    uint32_t low_count, lows; /* IPv6: lower halves */
    uint32_t place_count, places;
    uint32_t info_count, infos;
    uint32_t text_bytes, texts;
};

/* Fills in all that follows from the counts; false when those are over their limits. */
MUST_USE bool addrlist_lay_out(struct addrlist_head *head);

/* ---- reading ---------------------------------------------------------------------------- */

typedef unsigned __int128 key128;

struct addrlist_reader {
    const struct addrlist_head *head;
    const struct addrlist_family *family;
    unsigned width;
};

/* NULL: an empty span, which is a list of nobody. */
static inline const struct addrlist_head *addrlist_head_of(struct span block)
{
    return block.len >= sizeof(struct addrlist_head) ? (const void *)block.p : NULL;
}

static inline bool addrlist_open(struct span block, uint8_t family,
                                 struct addrlist_reader *reader)
{
    const struct addrlist_head *head = addrlist_head_of(block);
    if (head == NULL || (family != ADDR_V4 && family != ADDR_V6))
        return false;
    reader->head = head;
    reader->width = family == ADDR_V6 ? 128 : 32;
    reader->family = family == ADDR_V6 ? &head->v6 : &head->v4;
    return true;
}

static inline const void *addrlist_part(const struct addrlist_head *head, uint32_t offset)
{
    return (const char *)head + offset;
}

static inline const struct addrlist_line4 *addrlist_lines4(const struct addrlist_head *head)
{
    return addrlist_part(head, head->v4.lines);
}

static inline const struct addrlist_line6 *addrlist_lines6(const struct addrlist_head *head)
{
    return addrlist_part(head, head->v6.lines);
}

static inline unsigned addrlist_bits(const struct addrlist_reader *reader, size_t i)
{
    if (reader->width == 32)
        return addrlist_lines4(reader->head)[i / ADDRLIST_LINE4].code[i % ADDRLIST_LINE4] &
               ADDRLIST_LENGTH4;
    return addrlist_lines6(reader->head)[i / ADDRLIST_LINE6].bits[i % ADDRLIST_LINE6];
}

/* The first address of a prefix of IPv4, and whether another one encloses it. */
uint32_t addrlist_first4(const struct addrlist_head *head, size_t i);
bool addrlist_nested4(const struct addrlist_head *head, size_t i);
/* The first address of a prefix of IPv6. */
key128 addrlist_key6(const struct addrlist_head *head, size_t i);
static inline key128 addrlist_number(const struct addr *addr)
{
    if (addr->family == ADDR_V4) {
        uint32_t value;
        memcpy(&value, addr->bytes, sizeof(value));
        return be32toh(value);
    }
    uint64_t high, low;
    memcpy(&high, addr->bytes, sizeof(high));
    memcpy(&low, addr->bytes + 8, sizeof(low));
    return (key128)be64toh(high) << 64 | be64toh(low);
}

static inline bool addrlist_lives(const struct addrlist_reader *reader, size_t i,
                                  uint32_t now_s)
{
    const struct addrlist_what *whats = addrlist_part(reader->head, reader->family->what);
    return reader->head->soonest_s > now_s || whats[i].expires_s == 0 ||
           whats[i].expires_s > now_s;
}

#endif
