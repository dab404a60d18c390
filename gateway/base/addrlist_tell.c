/* What stands in an address list, beside looking up: what is said of a prefix, the prefixes in
 * order, what overlaps, and places. */
#include "gateway/base/addrlist_block.h"

static inline const void *part(const struct addrlist_head *head, uint32_t offset)
{
    return addrlist_part(head, offset);
}

/* ---- telling ---------------------------------------------------------------------------- */

static struct span text_at(const struct addrlist_head *head, uint32_t place)
{
    const char *texts = part(head, head->texts);
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
        ((const struct addrlist_info *)part(head, head->infos))[what.info];
    hit->source = text_at(head, info.source);
    hit->reason = text_at(head, info.reason);
}

/* `inside` is any address of the prefix. */
static void tell_prefix(const struct addrlist_reader *reader, size_t slot, key128 inside,
                        const struct addrlist_what *what, struct addrlist_hit *hit)
{
    unsigned bits = addrlist_bits(reader, slot);
    *hit = (struct addrlist_hit){ .expires_s = 0 };
    hit->prefix.bits = (uint8_t)(bits <= reader->width ? bits : reader->width);
    put_address(&hit->prefix.addr, inside, reader->width);
    addr_mask(&hit->prefix.addr, hit->prefix.bits);
    if (what != NULL)
        tell_what(reader->head, *what, hit);
}

static void tell(const struct addrlist_reader *reader, size_t slot, key128 inside,
                 struct addrlist_hit *hit)
{
    tell_prefix(reader, slot, inside, addrlist_what_of(reader, slot), hit);
}

void addrlist_tell(struct span block, const struct addr *addr, uint32_t place,
                   struct addrlist_hit *hit)
{
    struct addrlist_reader reader;
    *hit = (struct addrlist_hit){ .expires_s = 0 };
    if (!addrlist_open(block, addr->family, &reader) || reader.family->slots == 0)
        return;
    size_t slot = place;
    if (place == ADDRLIST_LONGEST &&
        !addrlist_longest(&reader, addrlist_number(addr), 0, &slot))
        return;
    if (slot < reader.family->slots)
        tell(&reader, slot, addrlist_number(addr), hit);
}

/* ---- the whole list --------------------------------------------------------------------- */

/* What begins inside of `cidr`; or else what encloses it. */
bool addrlist_overlaps(struct span block, const struct cidr *cidr, uint32_t now_s,
                       struct addrlist_hit *hit)
{
    struct addrlist_reader reader;
    if (!addrlist_open(block, cidr->addr.family, &reader) || cidr->bits > reader.width)
        return false;
    unsigned host = reader.width - cidr->bits;
    key128 first = addrlist_number(&cidr->addr);
    key128 last = first | (host == 128 ? ~(key128)0 : ((key128)1 << host) - 1);
    size_t low = 0, high = reader.family->slots;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (addrlist_first(&reader, middle) < first)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < reader.family->slots && addrlist_first(&reader, low) <= last; low++) {
        if (addrlist_bits(&reader, low) > reader.width || !addrlist_lives(&reader, low, now_s))
            continue;
        tell(&reader, low, addrlist_first(&reader, low), hit);
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
    struct addrlist_reader reader;
    if (i >= addrlist_count(block))
        return false;
    size_t v4 = addrlist_head_of(block)->v4.count, slot;
    if (!addrlist_open(block, i < v4 ? ADDR_V4 : ADDR_V6, &reader) ||
        !addrlist_slot_of(&reader, i < v4 ? i : i - v4, &slot))
        return false;
    *nested = addrlist_inside(&reader, slot);
    tell(&reader, slot, addrlist_first(&reader, slot), hit);
    return true;
}

/* The first address of the walk's slot, which is one behind the last one that was asked for. */
static key128 next_first(const struct addrlist_reader *reader, struct addrlist_walk *walk)
{
    const struct addrlist_head *head = reader->head;
    if (reader->width == 32 && head->v4.index == 0)
        return ((const uint32_t *)part(head, head->firsts))[walk->slot];
    if (reader->width == 32) {
        const uint32_t *index = part(head, head->v4.index);
        while (walk->top < ADDRLIST_INDEX_ENTRIES - 2 &&
               index[walk->top + 1] >> 1 <= walk->slot)
            walk->top++;
        return walk->top << 16 | addrlist_lines4(head)[walk->slot / ADDRLIST_LINE4]
                                     .first[walk->slot % ADDRLIST_LINE4];
    }
    const struct addrlist_line6 *line = addrlist_lines6(head) + walk->slot / ADDRLIST_LINE6;
    key128 high = (key128)line->high[walk->slot % ADDRLIST_LINE6] << 64;
    bool has_low = (line->code[walk->slot % ADDRLIST_LINE6] & ADDRLIST_LOW) != 0;
    if (!has_low || walk->low >= head->low_count)
        return high;
    return high | ((const uint64_t *)part(head, head->lows))[walk->low++];
}

bool addrlist_next(struct addrlist_walk *walk, struct addrlist_hit *hit, bool *nested)
{
    struct addrlist_reader reader;
    while (addrlist_open(walk->block, walk->second ? ADDR_V6 : ADDR_V4, &reader)) {
        const struct addrlist_what *whats = part(reader.head, reader.family->what);
        for (; walk->slot < reader.family->slots; walk->slot++) {
            key128 first = next_first(&reader, walk);
            if (addrlist_bits(&reader, walk->slot) > reader.width)
                continue;
            const struct addrlist_what *what =
                walk->number < reader.family->count ? &whats[walk->number] : NULL;
            *nested = addrlist_inside(&reader, walk->slot);
            tell_prefix(&reader, walk->slot, first, what, hit);
            walk->number++;
            walk->slot++;
            return true;
        }
        if (walk->second)
            return false;
        *walk = (struct addrlist_walk){ .block = walk->block, .second = true };
    }
    return false;
}

/* ---- places ----------------------------------------------------------------------------- */

size_t addrlist_places(struct span block)
{
    const struct addrlist_head *head = addrlist_head_of(block);
    return head != NULL ? head->place_count : 0;
}

bool addrlist_place_at(struct span block, size_t i, struct addrlist_hit *hit)
{
    const struct addrlist_head *head = addrlist_head_of(block);
    if (i >= addrlist_places(block))
        return false;
    const struct addrlist_place *place =
        (const struct addrlist_place *)part(head, head->places) + i;
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
