/*
 * A list of address prefixes, each with where it comes from, why it is there and until when:
 * one position-independent block of bytes, built by the generation or the steward, mapped
 * read-only by workers as a snapshot.
 *
 * The most specific prefix that holds an address and has not expired is the one that counts.
 * Lookups trust nothing in the block but the lengths that addrlist_valid has checked: a forged
 * block can answer wrongly, which whoever sends lists can anyway, but never make a lookup read
 * outside or go round. So a worker takes a list of a million prefixes without walking it.
 *
 * A list may also hold places: countries and networks (AS), which somebody else has to know of
 * an address.
 */
#ifndef SALLYPORT_ADDRLIST_H
#define SALLYPORT_ADDRLIST_H

#include "gateway/base/addr.h"
#include "gateway/base/arena.h"

enum {
    ADDRLIST_ENTRIES_MAX = 2 * 1000 * 1000,
    ADDRLIST_PLACES_MAX = 65536,
    ADDRLIST_TEXT_MAX = 120, /* bytes of a source or a reason; longer ones are cut */
};

/* A country or a network as one number; 0 is none. */
static inline uint64_t addrlist_country(const char code[2])
{
    return UINT64_C(1) << 32 | (uint64_t)(unsigned char)code[0] << 8 | (unsigned char)code[1];
}

static inline bool addrlist_is_country(uint64_t place)
{
    return place >> 32 == 1;
}

static inline uint64_t addrlist_network(uint32_t asn)
{
    return UINT64_C(2) << 32 | asn;
}

/* "country:DE" or "asn:3320". */
void addrlist_place_write(struct text *out, uint64_t place);

/* What a list is built of. */
struct addrlist_entry {
    struct cidr cidr;
    uint64_t place;             /* not 0: this, and no prefix */
    struct span source, reason; /* may be empty */
    uint32_t expires_s;         /* wall clock; 0: never */
};

struct addrlist_entries {
    struct addrlist_entry *items;
    size_t count;
};

/* What a lookup tells. The spans are in the block. */
struct addrlist_hit {
    struct cidr prefix; /* no family: it is a place */
    uint64_t place;
    struct span source, reason;
    uint32_t expires_s;
};

/* One that is on record. Neither prefix nor place: the address stands in the configuration
 * itself. */
struct list_hit {
    struct span list; /* its name */
    struct addrlist_hit what;
};

static inline bool list_hit_named(const struct list_hit *hit)
{
    return hit->what.prefix.addr.family != ADDR_NONE || hit->what.place != 0;
}

/*
 * Of equal prefixes the one that lives longest is taken, then the first; what has expired at
 * `now_s` is left out. `*out` is allocated in the arena.
 */
MUST_USE enum err addrlist_build(const struct addrlist_entry *entries, size_t count,
                                 uint32_t now_s, struct arena *arena, struct span *out);
/* Constant time: lengths and counts only. */
bool addrlist_valid(struct span block);
size_t addrlist_count(struct span block); /* of prefixes */
size_t addrlist_places(struct span block);

/* Whether the address is on the list. The block is empty or valid, and so below. */
bool addrlist_find(struct span block, const struct addr *addr, uint32_t now_s, uint32_t *place);
/* By which of its prefixes, which is what addrlist_find left in `place`: of those that were
 * found only, for it reads more memory than the search. */
void addrlist_tell(struct span block, const struct addr *addr, uint32_t place,
                   struct addrlist_hit *hit);
/* Whether any address of `cidr` is on the list; `hit` tells one prefix that is to blame. */
bool addrlist_overlaps(struct span block, const struct cidr *cidr, uint32_t now_s,
                       struct addrlist_hit *hit);

/* Whether a place is on the list; `hit` tells about it. */
bool addrlist_find_place(struct span block, uint64_t place, uint32_t now_s,
                         struct addrlist_hit *hit);

/* Each prefix in the order of addresses, families one after the other. */
bool addrlist_at(struct span block, size_t i, struct addrlist_hit *hit, bool *nested);
/* The same one after the other, which costs much less; all but the block begins as zeros. */
struct addrlist_walk {
    struct span block;
    bool second; /* the family */
    uint32_t slot, number, top, low;
};
bool addrlist_next(struct addrlist_walk *walk, struct addrlist_hit *hit, bool *nested);
bool addrlist_place_at(struct span block, size_t i, struct addrlist_hit *hit);

#endif
