/*
 * Prefixes that no other encloses are disjoint, so their sizes add up. Private, shared and
 * multicast ranges do not count: lists of networks that cannot be on the Internet are large and
 * harmless.
 */
#include "geoip/listguard.h"

#include "geoip/database.h"

/* Of IPv4, addresses that can be on the Internet; of IPv6, /64s of 2000::/3. */
#define PUBLIC_V4 UINT64_C(3702258432)
#define PUBLIC_V6 (UINT64_C(1) << 61)

static bool is_private(const struct cidr *cidr)
{
    struct addr last = cidr->addr;
    unsigned width = last.family == ADDR_V4 ? 32 : 128;
    for (unsigned bit = cidr->bits; bit < width; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    /* Both ends of the whole Internet are private, too; no private range is shorter. */
    return cidr->bits >= 3 && geo_is_private(&cidr->addr) && geo_is_private(&last);
}

/* Rounded up, at most 100. */
static unsigned percent(uint64_t part, uint64_t whole)
{
    unsigned __int128 share = ((unsigned __int128)part * 100 + whole - 1) / whole;
    return share < 100 ? (unsigned)share : 100;
}

/* How many /64s a prefix of IPv6 touches. */
static uint64_t sixty_fours(unsigned bits)
{
    return bits == 0 ? UINT64_MAX : bits < 64 ? UINT64_C(1) << (64 - bits) : 1;
}

unsigned listguard_share(const struct cidr *cidr)
{
    if (is_private(cidr))
        return 0;
    if (cidr->addr.family == ADDR_V4)
        return percent(UINT64_C(1) << (32 - cidr->bits), PUBLIC_V4);
    return percent(sixty_fours(cidr->bits), PUBLIC_V6);
}

struct listguard_size listguard_size(struct span block)
{
    struct listguard_size size = { 0, 0 };
    struct addrlist_walk walk = { .block = block };
    struct addrlist_hit hit;
    bool nested;
    while (addrlist_next(&walk, &hit, &nested)) {
        unsigned bits = hit.prefix.bits;
        if (nested || is_private(&hit.prefix))
            continue;
        if (hit.prefix.addr.family == ADDR_V4)
            size.v4 += UINT64_C(1) << (32 - bits);
        else if (__builtin_add_overflow(size.v6, sixty_fours(bits), &size.v6))
            size.v6 = UINT64_MAX;
    }
    return size;
}

unsigned listguard_percent(const struct listguard_size *size)
{
    unsigned first = percent(size->v4, PUBLIC_V4), second = percent(size->v6, PUBLIC_V6);
    return first > second ? first : second;
}

unsigned listguard_cover(struct span block)
{
    struct listguard_size size = listguard_size(block);
    return listguard_percent(&size);
}

static const char *refuse_spared(const struct listguard *guard, struct span fresh,
                                 uint32_t now_s, struct text *detail)
{
    struct addrlist_hit hit;
    for (size_t i = 0; i < guard->spared.count; i++) {
        if (!addrlist_overlaps(fresh, &guard->spared.items[i], now_s, &hit))
            continue;
        cidr_write(detail, &hit.prefix);
        text_lit(detail, " meets ");
        cidr_write(detail, &guard->spared.items[i]);
        return "it holds addresses of the allow-list or of a trusted proxy";
    }
    return NULL;
}

const char *listguard_refuses(const struct listguard *guard, struct span fresh, size_t was,
                              uint32_t now_s, struct text *detail)
{
    size_t is = addrlist_count(fresh);
    const char *why = refuse_spared(guard, fresh, now_s, detail);
    if (why != NULL)
        return why;
    unsigned cover = guard->max_cover < 100 ? listguard_cover(fresh) : 0;
    if (cover > guard->max_cover) {
        text_uint(detail, cover);
        text_lit(detail, " % of the public addresses");
        return "it covers more than max_cover";
    }
    if (was >= LISTGUARD_SHRINK_FROM && guard->max_shrink < 100 &&
        is * 100 < was * (100 - guard->max_shrink)) {
        text_uint(detail, is);
        text_lit(detail, " entries, before it were ");
        text_uint(detail, was);
        return "it has lost more than max_shrink of its entries";
    }
    return NULL;
}

void listguard_without(struct addrlist_entries *entries, const struct cidrs *without)
{
    size_t kept = 0;
    for (size_t i = 0; i < entries->count && without->count > 0; i++) {
        const struct cidr *cidr = &entries->items[i].cidr;
        bool inside = false;
        for (size_t k = 0; k < without->count && !inside; k++)
            inside = cidr->bits >= without->items[k].bits &&
                     cidr_contains(&without->items[k], &cidr->addr);
        if (!inside)
            entries->items[kept++] = entries->items[i];
    }
    if (without->count > 0)
        entries->count = kept;
}
