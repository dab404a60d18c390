/* Looking up in an address list. */
#include "gateway/base/addrlist.h"

#include <endian.h>

#include "gateway/base/addrlist_block.h"

typedef unsigned __int128 key128;

/* ---- layout ----------------------------------------------------------------------------- */

static uint32_t part(uint64_t *bytes, size_t count, size_t size)
{
    uint64_t at = *bytes;
    *bytes += (count * size + ADDRLIST_ALIGN - 1) / ADDRLIST_ALIGN * ADDRLIST_ALIGN;
    return (uint32_t)at;
}

static void lay_out_family(struct addrlist_family *family, size_t first, size_t low,
                           uint64_t *bytes)
{
    size_t ranks = ((size_t)family->count + ADDRLIST_RANK_BITS - 1) / ADDRLIST_RANK_BITS;
    family->first = part(bytes, family->count, first);
    family->low = part(bytes, family->count, low);
    family->bits = part(bytes, family->count, 1);
    family->what = part(bytes, family->count, sizeof(struct addrlist_what));
    family->rank = part(bytes, ranks, sizeof(struct addrlist_rank));
    family->parents = part(bytes, family->nested, sizeof(uint32_t));
}

static bool counts_good(const struct addrlist_head *head)
{
    return head->v4.count <= ADDRLIST_ENTRIES_MAX && head->v6.count <= ADDRLIST_ENTRIES_MAX &&
           head->v4.nested <= head->v4.count && head->v6.nested <= head->v6.count &&
           head->place_count <= ADDRLIST_PLACES_MAX && head->info_count <= ADDRLIST_INFOS_MAX;
}

bool addrlist_lay_out(struct addrlist_head *head)
{
    uint64_t bytes = 0;
    if (!counts_good(head))
        return false;
    (void)part(&bytes, 1, sizeof(*head));
    bool indexed = head->v4.count >= ADDRLIST_INDEXED_FROM;
    head->index =
        indexed ? part(&bytes, ADDRLIST_INDEX_ENTRIES, sizeof(struct addrlist_index)) : 0;
    lay_out_family(&head->v4, indexed ? sizeof(uint16_t) : sizeof(uint32_t), 0, &bytes);
    head->levels = 0;
    for (size_t keys = head->v6.count; keys > ADDRLIST_FAN;) {
        keys = (keys + ADDRLIST_FAN - 1) / ADDRLIST_FAN;
        head->level_keys[head->levels] = (uint32_t)keys;
        head->level[head->levels++] = part(&bytes, keys, sizeof(uint64_t));
    }
    lay_out_family(&head->v6, sizeof(uint64_t), sizeof(uint64_t), &bytes);
    head->places = part(&bytes, head->place_count, sizeof(struct addrlist_place));
    head->infos = part(&bytes, head->info_count, sizeof(struct addrlist_info));
    head->texts = part(&bytes, head->text_bytes, 1);
    head->bytes = (uint32_t)bytes;
    return bytes <= UINT32_MAX;
}

bool addrlist_valid(struct span block)
{
    struct addrlist_head head;
    if (block.len < sizeof(head) || (uintptr_t)block.p % ADDRLIST_ALIGN != 0)
        return false;
    memcpy(&head, block.p, sizeof(head));
    struct addrlist_head expected = {
        .magic = ADDRLIST_MAGIC,
        .v4 = { .count = head.v4.count, .nested = head.v4.nested },
        .v6 = { .count = head.v6.count, .nested = head.v6.nested },
        .place_count = head.place_count,
        .info_count = head.info_count,
        .text_bytes = head.text_bytes
    };
    return addrlist_lay_out(&expected) && memcmp(&expected, &head, sizeof(head)) == 0 &&
           head.bytes == block.len;
}

/* NULL: an empty span, which is a list of nobody. */
static inline const struct addrlist_head *head_of(struct span block)
{
    return block.len >= sizeof(struct addrlist_head) ? (const void *)block.p : NULL;
}

size_t addrlist_count(struct span block)
{
    const struct addrlist_head *head = head_of(block);
    return head != NULL ? (size_t)head->v4.count + head->v6.count : 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

struct reader {
    const struct addrlist_head *head;
    const struct addrlist_family *family;
    unsigned width;
};

/* A prefix, by its number and its first address. */
struct place {
    size_t i;
    key128 first;
};

static inline const void *at(const struct addrlist_head *head, uint32_t offset)
{
    return (const char *)head + offset;
}

static inline key128 key6(const struct addrlist_head *head, size_t i)
{
    const uint64_t *high = at(head, head->v6.first), *low = at(head, head->v6.low);
    return (key128)high[i] << 64 | low[i];
}

/* The prefix that encloses prefix `i`; false: none does. Always a smaller number. */
static inline bool parent_of(const struct reader *reader, struct addrlist_rank rank, size_t i,
                             size_t *parent)
{
    uint32_t bit = UINT32_C(1) << i % ADDRLIST_RANK_BITS;
    if ((rank.bits & bit) == 0)
        return false;
    size_t place = (size_t)rank.before + (size_t)__builtin_popcount(rank.bits & (bit - 1));
    if (place >= reader->family->nested)
        return false;
    *parent = ((const uint32_t *)at(reader->head, reader->family->parents))[place];
    return *parent < i;
}

/* ---- finding ---------------------------------------------------------------------------- */

/*
 * How many of the sorted keys are at or below the wanted one. Halving goes without a branch:
 * which way is a coin toss, and a processor that guesses wrong waits longer than for the
 * memory.
 */
#define COUNT_BELOW(name, type)                                                                \
    static inline size_t name(const type *keys, size_t count, type wanted)                     \
    {                                                                                          \
        size_t base = 0;                                                                       \
        for (; count > 1; count -= count / 2)                                                  \
            base += count / 2 * (keys[base + count / 2 - 1] <= wanted);                        \
        return base + (count > 0 && keys[base] <= wanted);                                     \
    }
COUNT_BELOW(count_below16, uint16_t)
COUNT_BELOW(count_below32, uint32_t)
COUNT_BELOW(count_below64, uint64_t)
#undef COUNT_BELOW

/* The last prefix that begins at or below the address; false: none that could hold it. */
static inline bool candidate4(const struct addrlist_head *head, uint32_t wanted,
                              struct place *found)
{
    if (head->index == 0) {
        const uint32_t *firsts = at(head, head->v4.first);
        size_t some = count_below32(firsts, head->v4.count, wanted);
        if (some == 0)
            return false;
        *found = (struct place){ some - 1, firsts[some - 1] };
        return true;
    }
    const uint16_t *firsts = at(head, head->v4.first);
    const struct addrlist_index *index = at(head, head->index);
    index += wanted >> 16;
    size_t to = index[1].from < head->v4.count ? index[1].from : head->v4.count;
    size_t from = index[0].from < to ? index[0].from : to;
    size_t some = count_below16(firsts + from, to - from, (uint16_t)wanted);
    if (some == 0) { /* what reaches in from before holds all of these 65,536 addresses */
        *found = (struct place){ (size_t)index[0].around - 1, wanted };
        return index[0].around != 0 && index[0].around <= head->v4.count;
    }
    found->i = from + some - 1;
    found->first = (wanted & 0xffff0000) | firsts[found->i];
    return true;
}

/* The same of one node, which may be the last and short. */
static inline size_t below_in_node(const uint64_t *keys, size_t count, size_t node,
                                   uint64_t wanted)
{
    size_t some = 0;
    keys += node * ADDRLIST_FAN;
    count -= node * ADDRLIST_FAN;
    if (count < ADDRLIST_FAN)
        return count_below64(keys, count, wanted);
#pragma GCC unroll 8
    for (size_t i = 0; i < ADDRLIST_FAN; i++)
        some += keys[i] <= wanted;
    return some;
}

/* `last` is the last with the upper half of the address; of those the last at or below it. */
static bool among_equals(const struct addrlist_head *head, size_t last, key128 wanted,
                         struct place *found)
{
    size_t low = 0, high = last + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key6(head, middle) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *found = (struct place){ low - 1, key6(head, low - 1) };
    return true;
}

static inline bool candidate6(const struct addrlist_head *head, key128 wanted,
                              struct place *found)
{
    uint64_t high = (uint64_t)(wanted >> 64);
    size_t node = 0, some;
    for (unsigned i = head->levels; i-- > 0;) {
        some = below_in_node(at(head, head->level[i]), head->level_keys[i], node, high);
        if (some == 0)
            return false;
        node = node * ADDRLIST_FAN + some - 1;
    }
    some = below_in_node(at(head, head->v6.first), head->v6.count, node, high);
    if (some == 0)
        return false;
    size_t last = node * ADDRLIST_FAN + some - 1;
    *found = (struct place){ last, key6(head, last) };
    return found->first <= wanted || among_equals(head, last, wanted, found);
}

static inline key128 number_of(const struct addr *addr)
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

static inline bool candidate(const struct reader *reader, key128 wanted, struct place *found)
{
    if (reader->family->count == 0)
        return false;
    return reader->width == 128 ? candidate6(reader->head, wanted, found)
                                : candidate4(reader->head, (uint32_t)wanted, found);
}

static inline bool open_reader(struct span block, uint8_t family, struct reader *reader)
{
    const struct addrlist_head *head = head_of(block);
    if (head == NULL || (family != ADDR_V4 && family != ADDR_V6))
        return false;
    reader->head = head;
    reader->width = family == ADDR_V6 ? 128 : 32;
    reader->family = family == ADDR_V6 ? &head->v6 : &head->v4;
    return true;
}

static inline bool lives(const struct reader *reader, struct addrlist_rank rank, size_t i,
                         uint32_t now_s)
{
    if (rank.soonest_s > now_s)
        return true;
    const struct addrlist_what *whats = at(reader->head, reader->family->what);
    return whats[i].expires_s == 0 || whats[i].expires_s > now_s;
}

/*
 * From a prefix outwards, to one that lives and holds the address. A parent has the first bits
 * of what it encloses, a smaller number, and there are no more of them than bits.
 */
static inline bool climb(const struct reader *reader, struct place *place, key128 wanted,
                         uint32_t now_s)
{
    const uint8_t *bits = at(reader->head, reader->family->bits);
    const struct addrlist_rank *ranks = at(reader->head, reader->family->rank);
    key128 differing = place->first ^ wanted;
    for (unsigned steps = 0; steps <= 128; steps++) {
        size_t i = place->i;
        struct addrlist_rank rank = ranks[i / ADDRLIST_RANK_BITS];
        unsigned host = reader->width - (bits[i] < reader->width ? bits[i] : reader->width);
        bool held = reader->width == 32 ? (uint64_t)differing >> host == 0
                                        : host == 128 || differing >> host == 0;
        if (held && lives(reader, rank, i, now_s))
            return true;
        if (!parent_of(reader, rank, i, &place->i))
            return false;
    }
    return false;
}

/* ---- telling ---------------------------------------------------------------------------- */

static struct span text_at(const struct addrlist_head *head, uint32_t place)
{
    const char *texts = at(head, head->texts);
    size_t bytes = head->text_bytes;
    if (place >= bytes)
        return SPAN("");
    size_t len = (unsigned char)texts[place];
    return len < bytes - place ? span_of(texts + place + 1, len) : SPAN("");
}

static void put_address(struct addr *addr, key128 number, unsigned width)
{
    *addr = (struct addr){ .family = width == 128 ? ADDR_V6 : ADDR_V4 };
    if (width == 128) {
        uint64_t halves[2] = { htobe64((uint64_t)(number >> 64)), htobe64((uint64_t)number) };
        memcpy(addr->bytes, halves, sizeof(halves));
    } else {
        uint32_t value = htobe32((uint32_t)number);
        memcpy(addr->bytes, &value, sizeof(value));
    }
}

static void tell_what(const struct addrlist_head *head, struct addrlist_what what,
                      struct addrlist_hit *hit)
{
    hit->expires_s = what.expires_s;
    hit->source = hit->reason = SPAN("");
    if (what.info >= head->info_count)
        return;
    struct addrlist_info info =
        ((const struct addrlist_info *)at(head, head->infos))[what.info];
    hit->source = text_at(head, info.source);
    hit->reason = text_at(head, info.reason);
}

/* `inside` is any address of the prefix. */
static void tell(const struct reader *reader, size_t i, key128 inside, struct addrlist_hit *hit)
{
    const struct addrlist_head *head = reader->head;
    const struct addrlist_what *whats = at(head, reader->family->what);
    unsigned bits = ((const uint8_t *)at(head, reader->family->bits))[i];
    hit->place = 0;
    hit->prefix.bits = (uint8_t)(bits <= reader->width ? bits : reader->width);
    put_address(&hit->prefix.addr, inside, reader->width);
    addr_mask(&hit->prefix.addr, hit->prefix.bits);
    tell_what(head, whats[i], hit);
}

bool addrlist_find(struct span block, const struct addr *addr, uint32_t now_s, uint32_t *found)
{
    struct reader reader;
    struct place place;
    if (!open_reader(block, addr->family, &reader))
        return false;
    key128 wanted = number_of(addr);
    if (!candidate(&reader, wanted, &place) || !climb(&reader, &place, wanted, now_s))
        return false;
    *found = (uint32_t)place.i;
    return true;
}

void addrlist_tell(struct span block, const struct addr *addr, uint32_t place,
                   struct addrlist_hit *hit)
{
    struct reader reader;
    *hit = (struct addrlist_hit){ .expires_s = 0 };
    if (open_reader(block, addr->family, &reader) && place < reader.family->count)
        tell(&reader, place, number_of(addr), hit);
}

/* ---- the whole list --------------------------------------------------------------------- */

/* The first address of prefix `i`: of IPv4, its top is where the index says that it begins. */
static key128 first_of(const struct reader *reader, size_t i)
{
    const struct addrlist_head *head = reader->head;
    if (reader->width == 128)
        return key6(head, i);
    if (head->index == 0)
        return ((const uint32_t *)at(head, head->v4.first))[i];
    const struct addrlist_index *index = at(head, head->index);
    uint32_t low = 0, high = ADDRLIST_INDEX_ENTRIES - 2;
    while (low < high) { /* the last top of which the prefixes begin at or before `i` */
        uint32_t middle = low + (high - low + 1) / 2;
        if (index[middle].from <= i)
            low = middle;
        else
            high = middle - 1;
    }
    return low << 16 | ((const uint16_t *)at(head, head->v4.first))[i];
}

/* What begins inside of `cidr`; or else what encloses it. */
bool addrlist_overlaps(struct span block, const struct cidr *cidr, uint32_t now_s,
                       struct addrlist_hit *hit)
{
    struct reader reader;
    if (!open_reader(block, cidr->addr.family, &reader) || cidr->bits > reader.width)
        return false;
    unsigned host = reader.width - cidr->bits;
    key128 first = number_of(&cidr->addr);
    key128 last = first | (host == 128 ? ~(key128)0 : ((key128)1 << host) - 1);
    const struct addrlist_rank *ranks = at(reader.head, reader.family->rank);
    size_t low = 0, high = reader.family->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (first_of(&reader, middle) < first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < reader.family->count && first_of(&reader, low) <= last; low++) {
        if (!lives(&reader, ranks[low / ADDRLIST_RANK_BITS], low, now_s))
            continue;
        tell(&reader, low, first_of(&reader, low), hit);
        return true;
    }
    uint32_t place;
    if (!addrlist_find(block, &cidr->addr, now_s, &place))
        return false;
    addrlist_tell(block, &cidr->addr, place, hit);
    return true;
}

bool addrlist_at(struct span block, size_t i, struct addrlist_hit *hit, bool *nested)
{
    struct reader reader;
    size_t parent;
    if (i >= addrlist_count(block))
        return false;
    size_t v4 = head_of(block)->v4.count;
    if (!open_reader(block, i < v4 ? ADDR_V4 : ADDR_V6, &reader))
        return false;
    i -= i < v4 ? 0 : v4;
    const struct addrlist_rank *ranks = at(reader.head, reader.family->rank);
    tell(&reader, i, first_of(&reader, i), hit);
    *nested = parent_of(&reader, ranks[i / ADDRLIST_RANK_BITS], i, &parent);
    return true;
}

/* ---- places ----------------------------------------------------------------------------- */

size_t addrlist_places(struct span block)
{
    const struct addrlist_head *head = head_of(block);
    return head != NULL ? head->place_count : 0;
}

bool addrlist_place_at(struct span block, size_t i, struct addrlist_hit *hit)
{
    const struct addrlist_head *head = head_of(block);
    if (i >= addrlist_places(block))
        return false;
    const struct addrlist_place *place =
        (const struct addrlist_place *)at(head, head->places) + i;
    *hit = (struct addrlist_hit){ .place = place->place };
    tell_what(head, place->what, hit);
    return true;
}

bool addrlist_find_place(struct span block, uint64_t place, uint32_t now_s,
                         struct addrlist_hit *hit)
{
    size_t low = 0, high = addrlist_places(block);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (!addrlist_place_at(block, middle, hit))
            return false;
        if (hit->place == place)
            return hit->expires_s == 0 || hit->expires_s > now_s;
        if (hit->place < place)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

void addrlist_place_write(struct text *out, uint64_t place)
{
    if (place >> 32 == 2) {
        text_lit(out, "asn:");
        text_uint(out, place & UINT32_MAX);
        return;
    }
    text_lit(out, "country:");
    for (unsigned shift = 8; shift <= 8; shift -= 8) {
        char c = (char)(place >> shift);
        text_char(out, c >= 'A' && c <= 'Z' ? c : '?'); /* a forged block may hold anything */
    }
}
