/*
 * How an address list lies in memory. Private to addrlist*.c.
 *
 * Per family the prefixes stand in the order of (first address, length), some of them in each
 * line of a cache. What decides about an address is the last one that begins at or below it:
 * either that one holds the address, or it is told beside it whether others do that enclose it
 * and reach further. Where such others end and nothing begins, a mark stands among the
 * prefixes, so that this holds up to the next of them. So a look-up reads an index and one line
 * or two, and goes on from there without a branch that depends on the address: a processor that
 * guesses wrong waits for memory, and one that need not guess is at the next address meanwhile.
 *
 * Which prefix it was, and which ones have expired, is searched for when it is asked, from the
 * most specific outwards.
 *
 * IPv4 is indexed by the top 16 bits of the address, so that 16 bits of a first address are
 * kept; of a million prefixes about fifteen begin under the same bits. What begins under others
 * and reaches in stands in the index.
 *
 * IPv6 is indexed by the 16 bits behind the first three, which are alike in all addresses that
 * are given out (2000::/3). The upper halves of first addresses stand in the lines, and lower
 * ones that are not 0 elsewhere: only who asks for an address in the /64 of such a prefix pays
 * for it. Marks stand at whole /64s.
 */
#ifndef SALLYPORT_ADDRLIST_BLOCK_H
#define SALLYPORT_ADDRLIST_BLOCK_H

#include <endian.h>

#include "gateway/base/addrlist.h"

enum {
    ADDRLIST_MAGIC = 0x3554534c,  /* "LST5" */
    ADDRLIST_ALIGN = 8,           /* of the block */
    ADDRLIST_PART_ALIGN = 64,     /* of every part in it */
    ADDRLIST_INDEXED_FROM = 2048, /* slots of a family; fewer are searched without an index */
    ADDRLIST_INDEX6_SHIFT = 45,   /* of an upper half */
    ADDRLIST_INDEX_ENTRIES = 65536 + 1,
    ADDRLIST_LINE4 = 20, /* slots in a line */
    ADDRLIST_LINE6 = 6,
    ADDRLIST_INFOS_MAX = ADDRLIST_ENTRIES_MAX,
    ADDRLIST_LENGTH4 = 0x3f, /* of a code of IPv4: the length of the prefix, */
    ADDRLIST_MARK4 = 0x3f,   /* or that it is a mark */
    ADDRLIST_MARK6 = 0xff,   /* as the length of a prefix of IPv6 */
    /* Codes: */
    ADDRLIST_LOW = 0x01,    /* IPv6: the first address has a lower half */
    ADDRLIST_AFTER = 0x40,  /* what is not held by it, up to the next slot, is so by another */
    ADDRLIST_INSIDE = 0x80, /* another one encloses it */
};

/* What is known of a prefix beside its first address and its length. */
struct addrlist_what {
    uint32_t info, expires_s;
};

/* `soonest_s` is when the first of them, or of what encloses them, expires (UINT32_MAX: none
 * ever). */
struct addrlist_line4 {
    uint16_t first[ADDRLIST_LINE4];
    uint8_t code[ADDRLIST_LINE4];
    uint32_t soonest_s;
};
struct addrlist_line6 {
    uint64_t high[ADDRLIST_LINE6]; /* behind the last slot: all bits */
    uint8_t bits[ADDRLIST_LINE6], code[ADDRLIST_LINE6];
    uint32_t soonest_s;
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

/* Counts, then offsets of the parts. Slots are prefixes and marks; `ranks` has of each line how
 * many prefixes stand before it, which is the number in `what`. */
struct addrlist_family {
    uint32_t count, slots;
    uint32_t index; /* 0: there is none */
    uint32_t lines, ranks, what;
};

/* The offsets follow from the counts. They are kept so that a lookup need not add them up;
 * addrlist_valid does, and compares. */
struct addrlist_head {
    uint32_t magic, bytes;
    struct addrlist_family v4, v6;
    uint32_t soonest_s; /* when the first of all expires; nothing follows from it */
    /* IPv4. The index has, by the top 16 bits, twice the first slot that begins there, and one
     * more where a prefix that begins before reaches in; `around` one more than the slot of the
     * most specific one (0: none). Without an index, first addresses of 32 bits. */
    uint32_t around, firsts;
    /* IPv6: of each line its first, and how many lower halves stand before it; those. */
    uint32_t heads, low_ranks;
    uint32_t low_count, lows;
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

/* The length of the prefix in a slot; over `width`: a mark. */
static inline unsigned addrlist_bits(const struct addrlist_reader *reader, size_t slot)
{
    if (reader->width == 32)
        return addrlist_lines4(reader->head)[slot / ADDRLIST_LINE4]
                   .code[slot % ADDRLIST_LINE4] &
               ADDRLIST_LENGTH4;
    return addrlist_lines6(reader->head)[slot / ADDRLIST_LINE6].bits[slot % ADDRLIST_LINE6];
}

static inline bool addrlist_inside(const struct addrlist_reader *reader, size_t slot)
{
    unsigned code =
        reader->width == 32
            ? addrlist_lines4(reader->head)[slot / ADDRLIST_LINE4].code[slot % ADDRLIST_LINE4]
            : addrlist_lines6(reader->head)[slot / ADDRLIST_LINE6].code[slot % ADDRLIST_LINE6];
    return (code & ADDRLIST_INSIDE) != 0;
}

/* What is known of the prefix in a slot; NULL: the block is forged. */
const struct addrlist_what *addrlist_what_of(const struct addrlist_reader *reader, size_t slot);
/* The slot of a prefix, by its number. */
bool addrlist_slot_of(const struct addrlist_reader *reader, size_t number, size_t *slot);
/* The first address of a slot. */
key128 addrlist_first(const struct addrlist_reader *reader, size_t slot);
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

static inline bool addrlist_lives(const struct addrlist_reader *reader, size_t slot,
                                  uint32_t now_s)
{
    if (reader->head->soonest_s > now_s)
        return true;
    const struct addrlist_what *what = addrlist_what_of(reader, slot);
    return what != NULL && (what->expires_s == 0 || what->expires_s > now_s);
}

/* As the place of what was found: nothing that holds the address has expired, so it is the most
 * specific of all. Else it is a slot. */
#define ADDRLIST_LONGEST UINT32_MAX

/* The slot of the most specific prefix that holds the address and lives. */
bool addrlist_longest(const struct addrlist_reader *reader, key128 wanted, uint32_t now_s,
                      size_t *slot);

#endif
