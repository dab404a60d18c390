/* Looking up in an address list. */
#include "gateway/base/addrlist.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "gateway/base/addrlist_block.h"

/* ---- layout ----------------------------------------------------------------------------- */

static uint32_t part(uint64_t *bytes, size_t count, size_t size)
{
    uint64_t at = *bytes;
    *bytes +=
        (count * size + ADDRLIST_PART_ALIGN - 1) / ADDRLIST_PART_ALIGN * ADDRLIST_PART_ALIGN;
    return (uint32_t)at;
}

/* There is no more than one mark for each prefix. */
static bool counts_good(const struct addrlist_head *head)
{
    const struct addrlist_family *v4 = &head->v4, *v6 = &head->v6;
    return v4->count <= ADDRLIST_ENTRIES_MAX && v6->count <= ADDRLIST_ENTRIES_MAX &&
           v4->count <= v4->slots && v4->slots <= 2 * v4->count && v6->count <= v6->slots &&
           v6->slots <= 2 * v6->count && head->low_count <= v6->count &&
           head->place_count <= ADDRLIST_PLACES_MAX && head->info_count <= ADDRLIST_INFOS_MAX;
}

static size_t lines_of(size_t count, size_t in_line)
{
    return (count + in_line - 1) / in_line;
}

bool addrlist_lay_out(struct addrlist_head *head)
{
    struct addrlist_family *v4 = &head->v4, *v6 = &head->v6;
    uint64_t bytes = 0;
    if (!counts_good(head))
        return false;
    size_t lines4 = lines_of(v4->slots, ADDRLIST_LINE4);
    size_t lines6 = lines_of(v6->slots, ADDRLIST_LINE6);
    bool indexed4 = v4->count >= ADDRLIST_INDEXED_FROM;
    bool indexed6 = v6->count >= ADDRLIST_INDEXED_FROM;
    (void)part(&bytes, 1, sizeof(*head));
    v4->index = v6->index = 0;
    if (indexed4)
        v4->index = part(&bytes, ADDRLIST_INDEX_ENTRIES, sizeof(uint32_t));
    head->around = part(&bytes, indexed4 ? ADDRLIST_INDEX_ENTRIES : 0, sizeof(uint32_t));
    head->firsts = part(&bytes, indexed4 ? 0 : v4->slots, sizeof(uint32_t));
    v4->lines = part(&bytes, lines4, sizeof(struct addrlist_line4));
    v4->ranks = part(&bytes, lines4, sizeof(uint32_t));
    v4->what = part(&bytes, v4->count, sizeof(struct addrlist_what));
    if (indexed6)
        v6->index = part(&bytes, ADDRLIST_INDEX_ENTRIES, sizeof(uint32_t));
    head->heads = part(&bytes, lines6, sizeof(uint64_t));
    v6->lines = part(&bytes, lines6, sizeof(struct addrlist_line6));
    v6->ranks = part(&bytes, lines6, sizeof(uint32_t));
    head->low_ranks = part(&bytes, lines6, sizeof(uint32_t));
    head->lows = part(&bytes, head->low_count, sizeof(uint64_t));
    v6->what = part(&bytes, v6->count, sizeof(struct addrlist_what));
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
    struct addrlist_head expected = { .magic = ADDRLIST_MAGIC,
                                      .v4 = { .count = head.v4.count, .slots = head.v4.slots },
                                      .v6 = { .count = head.v6.count, .slots = head.v6.slots },
                                      .soonest_s = head.soonest_s,
                                      .low_count = head.low_count,
                                      .place_count = head.place_count,
                                      .info_count = head.info_count,
                                      .text_bytes = head.text_bytes };
    return addrlist_lay_out(&expected) && memcmp(&expected, &head, sizeof(head)) == 0 &&
           head.bytes == block.len;
}

size_t addrlist_count(struct span block)
{
    const struct addrlist_head *head = addrlist_head_of(block);
    return head != NULL ? (size_t)head->v4.count + head->v6.count : 0;
}

/* ---- reading ---------------------------------------------------------------------------- */

static inline const void *part_of(const struct addrlist_head *head, uint32_t offset)
{
    return addrlist_part(head, offset);
}

/* Both families: slots in a line, and of one of them whether it is a mark. */
static inline size_t line_size(const struct addrlist_reader *reader)
{
    return reader->width == 32 ? ADDRLIST_LINE4 : ADDRLIST_LINE6;
}

static inline bool is_mark(const struct addrlist_reader *reader, size_t slot)
{
    return addrlist_bits(reader, slot) > reader->width;
}

const struct addrlist_what *addrlist_what_of(const struct addrlist_reader *reader, size_t slot)
{
    const uint32_t *ranks = part_of(reader->head, reader->family->ranks);
    size_t line = slot / line_size(reader), number = ranks[line];
    for (size_t k = line * line_size(reader); k < slot; k++)
        number += !is_mark(reader, k);
    return number < reader->family->count
               ? (const struct addrlist_what *)part_of(reader->head, reader->family->what) +
                     number
               : NULL;
}

bool addrlist_slot_of(const struct addrlist_reader *reader, size_t number, size_t *slot)
{
    const uint32_t *ranks = part_of(reader->head, reader->family->ranks);
    size_t in_line = line_size(reader), slots = reader->family->slots;
    size_t low = 0, high = lines_of(slots, in_line);
    while (high - low > 1) { /* the last line before which there are no more than that */
        size_t middle = low + (high - low) / 2;
        if (ranks[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    if (low >= high || ranks[low] > number)
        return false;
    size_t left = number - ranks[low], end = (low + 1) * in_line;
    for (*slot = low * in_line; *slot < end && *slot < slots; ++*slot)
        if (!is_mark(reader, *slot) && left-- == 0)
            return true;
    return false;
}

/* The top bits under which a slot begins, in their place. */
static uint32_t top_of(const struct addrlist_head *head, size_t slot)
{
    const uint32_t *index = part_of(head, head->v4.index);
    uint32_t low = 0, high = ADDRLIST_INDEX_ENTRIES - 2;
    while (low < high) { /* the last one of which the slots begin at or before it */
        uint32_t middle = low + (high - low + 1) / 2;
        if (index[middle] >> 1 <= slot)
            low = middle;
        else
            high = middle - 1;
    }
    return low << 16;
}

static key128 first6(const struct addrlist_head *head, size_t slot)
{
    const struct addrlist_line6 *line = addrlist_lines6(head) + slot / ADDRLIST_LINE6;
    const uint32_t *ranks = part_of(head, head->low_ranks);
    key128 high = (key128)line->high[slot % ADDRLIST_LINE6] << 64;
    if ((line->code[slot % ADDRLIST_LINE6] & ADDRLIST_LOW) == 0)
        return high;
    size_t at = ranks[slot / ADDRLIST_LINE6];
    for (size_t k = 0; k < slot % ADDRLIST_LINE6; k++)
        at += line->code[k] & ADDRLIST_LOW;
    return at < head->low_count ? high | ((const uint64_t *)part_of(head, head->lows))[at]
                                : high;
}

key128 addrlist_first(const struct addrlist_reader *reader, size_t slot)
{
    const struct addrlist_head *head = reader->head;
    if (reader->width == 128)
        return first6(head, slot);
    if (head->v4.index == 0)
        return ((const uint32_t *)part_of(head, head->firsts))[slot];
    return top_of(head, slot) |
           addrlist_lines4(head)[slot / ADDRLIST_LINE4].first[slot % ADDRLIST_LINE4];
}

/* ---- the last slot at or below ---------------------------------------------------------- */

/* ---- IPv4 ---- */

/* Which of a line's first addresses are at or below the wanted one, a bit each. */
static inline unsigned below4(const struct addrlist_line4 *line, uint16_t wanted)
{
    unsigned all = (1u << ADDRLIST_LINE4) - 1;
#ifdef __SSE2__
    __m128i limit = _mm_set1_epi16((short)wanted), none = _mm_setzero_si128();
    const __m128i *at = (const void *)line; /* what follows is read, too, and means nothing */
    __m128i one = _mm_subs_epu16(_mm_loadu_si128(at), limit);
    __m128i two = _mm_subs_epu16(_mm_loadu_si128(at + 1), limit);
    __m128i three = _mm_subs_epu16(_mm_loadu_si128(at + 2), limit);
    one = _mm_packs_epi16(_mm_cmpeq_epi16(one, none), _mm_cmpeq_epi16(two, none));
    three = _mm_packs_epi16(_mm_cmpeq_epi16(three, none), none);
    return ((unsigned)_mm_movemask_epi8(one) | (unsigned)_mm_movemask_epi8(three) << 16) & all;
#else
    unsigned below = 0;
    for (unsigned i = 0; i < ADDRLIST_LINE4; i++)
        below |= (unsigned)(line->first[i] <= wanted) << i;
    return below & all;
#endif
}

/*
 * Behind the last of the slots [from, to), which begin under the same top bits, that is at or
 * below the wanted one; or `from`. Mostly they stand in one line or two. Both are read, without
 * a branch: which one it is, is a coin toss.
 */
static inline size_t end_below4(const struct addrlist_line4 *lines, size_t from, size_t to,
                                uint16_t wanted)
{
    size_t low = from / ADDRLIST_LINE4, high = (to - 1) / ADDRLIST_LINE4;
    while (__builtin_expect(high - low > 1, 0)) {
        size_t half = (high - low) / 2;
        bool up = lines[low + half].first[0] <= wanted;
        high = up ? high : low + half;
        low += up * half;
    }
    size_t begun = low * ADDRLIST_LINE4, valid = to - begun;
    valid = valid < (size_t)2 * ADDRLIST_LINE4 ? valid : (size_t)2 * ADDRLIST_LINE4;
    uint64_t below = below4(&lines[low], wanted) | (uint64_t)below4(&lines[high], wanted)
                                                       << ADDRLIST_LINE4;
    below &= (UINT64_C(1) << valid) - 1; /* of one line, not twice */
    size_t end = begun + (63 - (size_t)__builtin_clzll(below << 1 | 1));
    return end > from ? end : from; /* those before `from` begin under other bits */
}

/* How many of the sorted keys are at or below the wanted one; halving without a branch. */
static inline size_t count_below32(const uint32_t *keys, size_t count, uint32_t wanted)
{
    size_t base = 0;
    for (; count > 1; count -= count / 2)
        base += count / 2 * (keys[base + count / 2 - 1] <= wanted);
    return base + (count > 0 && keys[base] <= wanted);
}

/* The slots [from, to) that begin under the top bits of an address, and whether one that begins
 * before reaches in. */
struct bucket {
    size_t from, to;
    bool covered;
};

static inline struct bucket bucket_of(const struct addrlist_head *head, uint32_t wanted)
{
    const uint32_t *index = part_of(head, head->v4.index);
    uint32_t one = index[wanted >> 16], next = index[(wanted >> 16) + 1];
    size_t to = next >> 1 < head->v4.slots ? next >> 1 : head->v4.slots;
    return (struct bucket){ one >> 1 < to ? one >> 1 : to, to, (one & 1) != 0 };
}

/* ---- IPv6 ---- */

/* In which lines the last slot at or below the upper half may be: first and last. */
static inline void lines_for(const struct addrlist_head *head, uint64_t high, size_t *first,
                             size_t *last)
{
    size_t from = 0, to = head->v6.slots;
    if (head->v6.index != 0) {
        const uint32_t *index = part_of(head, head->v6.index);
        size_t top = (size_t)(high >> ADDRLIST_INDEX6_SHIFT);
        bool given = top >> 16 == 1;
        from = given ? index[top & 0xffff] : top >> 16 == 0 ? 0 : index[65536];
        size_t end = given ? index[(top & 0xffff) + 1] : top >> 16 == 0 ? index[0] : to;
        to = end < to ? end : to;
        from = from < to ? from : to;
    }
    /* The one before may be it, if none of these is. */
    *first = from > 0 ? (from - 1) / ADDRLIST_LINE6 : 0;
    *last = to > 0 ? (to - 1) / ADDRLIST_LINE6 : 0;
}

/* Behind the last slot of which the upper half is at or below this one; 0: there is none. There
 * is a slot at all. */
__attribute__((always_inline)) static inline size_t end_below6(const struct addrlist_head *head,
                                                               uint64_t high)
{
    const uint64_t *heads = part_of(head, head->heads);
    size_t line, last, some = 0;
    lines_for(head, high, &line, &last);
    while (__builtin_expect(last - line > 2, 0)) {
        size_t half = (last - line) / 2;
        bool up = heads[line + half] <= high;
        last = up ? last : line + half - 1;
        line += up * half;
    }
    size_t left = last - line; /* of up to three, without a branch */
    size_t second = line + (left > 0), third = line + left;
    line += (size_t)(left > 0) & (size_t)(heads[second] <= high);
    line += (size_t)(left > 1) & (size_t)(heads[third] <= high);
    const struct addrlist_line6 *at = addrlist_lines6(head) + line;
    size_t begun = line * ADDRLIST_LINE6, valid = head->v6.slots - begun;
#pragma GCC unroll 6
    for (size_t i = 0; i < ADDRLIST_LINE6; i++)
        some += at->high[i] <= high;
    return begun + (some < valid ? some : valid);
}

/* ---- the most specific one -------------------------------------------------------------- */

/* Of slots of one upper half, up to `end`: behind the last at or below the wanted one. */
static size_t end_among_equals(const struct addrlist_head *head, size_t end, key128 wanted)
{
    size_t low = 0, high = end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (first6(head, middle) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A prefix: where it stands and begins. */
struct found {
    size_t slot;
    key128 first;
};

/* The most specific prefix of IPv4 that begins under earlier top bits and reaches in. */
static bool around4(const struct addrlist_reader *reader, uint32_t wanted, struct found *found)
{
    const struct addrlist_head *head = reader->head;
    if (head->v4.index == 0)
        return false;
    uint32_t around = ((const uint32_t *)part_of(head, head->around))[wanted >> 16];
    if (around == 0 || around > head->v4.slots || is_mark(reader, around - 1))
        return false;
    unsigned host = 32 - addrlist_bits(reader, around - 1);
    *found = (struct found){ around - 1, (uint64_t)wanted >> host << host };
    return true;
}

/*
 * The last prefix in the order of (first address, length) at or before (`wanted`, `bits`), or
 * for IPv4 the most specific one that reaches in from before. No more prefixes begin at one
 * address than there are lengths.
 */
static bool last_before(const struct addrlist_reader *reader, key128 wanted, unsigned bits,
                        struct found *found)
{
    const struct addrlist_head *head = reader->head;
    size_t from = 0, end;
    bool indexed4 = reader->width == 32 && head->v4.index != 0;
    if (indexed4) {
        struct bucket bucket = bucket_of(head, (uint32_t)wanted);
        from = bucket.from;
        end = from < bucket.to
                  ? end_below4(addrlist_lines4(head), from, bucket.to, (uint16_t)wanted)
                  : from;
    } else if (reader->width == 32) {
        end = count_below32(part_of(head, head->firsts), head->v4.slots, (uint32_t)wanted);
    } else {
        end = end_below6(head, (uint64_t)(wanted >> 64));
        if (end > 0 && first6(head, end - 1) > wanted)
            end = end_among_equals(head, end, wanted);
    }
    for (unsigned steps = 0; end > from && steps <= reader->width + 1; steps++) {
        size_t slot = --end;
        key128 first =
            indexed4
                ? ((key128)wanted >> 16 << 16) |
                      addrlist_lines4(head)[slot / ADDRLIST_LINE4].first[slot % ADDRLIST_LINE4]
                : addrlist_first(reader, slot);
        unsigned length = addrlist_bits(reader, slot);
        *found = (struct found){ slot, first };
        if (length <= reader->width && (first != wanted || length <= bits))
            return true;
    }
    return reader->width == 32 && around4(reader, (uint32_t)wanted, found);
}

/* How many of the first bits are alike. */
static unsigned alike(key128 x, key128 y, unsigned width)
{
    key128 differing = (x ^ y) << (128 - width);
    uint64_t high = (uint64_t)(differing >> 64), low = (uint64_t)differing;
    if (differing == 0)
        return width;
    return (unsigned)(high != 0 ? __builtin_clzll(high) : 64 + __builtin_clzll(low));
}

/*
 * From the address outwards: what holds it begins at or before it, and holds what stands
 * between; so it is no longer than the bits that are alike in both. Lengths go down by one at
 * least, which ends this in a forged block, too.
 */
bool addrlist_longest(const struct addrlist_reader *reader, key128 wanted, uint32_t now_s,
                      size_t *slot)
{
    unsigned bits = reader->width;
    key128 key = wanted;
    struct found found;
    while (last_before(reader, key, bits, &found)) {
        unsigned length = addrlist_bits(reader, found.slot);
        unsigned same = alike(found.first, wanted, reader->width);
        bool holds = length <= same;
        *slot = found.slot;
        if (holds && addrlist_lives(reader, found.slot, now_s))
            return true;
        unsigned most = bits < (holds ? length : same + 1) ? bits : holds ? length : same + 1;
        if (most == 0)
            return false;
        bits = most - 1;
        unsigned host = reader->width - bits;
        key = host == 128 ? 0 : wanted >> host << host;
    }
    return false;
}

/* ---- finding ---------------------------------------------------------------------------- */

/* What a look-up says: found or not, or that it is so if nothing there has expired. */
enum answer { NOT_FOUND, FOUND, SEARCH };

static inline enum answer answer_of(unsigned held, bool stale)
{
    return (enum answer)(held << stale);
}

static inline enum answer find4(const struct addrlist_head *head, uint32_t wanted,
                                uint32_t now_s)
{
    const struct addrlist_line4 *lines = addrlist_lines4(head);
    struct bucket bucket = { 0, head->v4.slots, false };
    size_t end, slot;
    uint32_t differing;
    if (head->v4.index != 0) {
        bucket = bucket_of(head, wanted);
        if (bucket.from == bucket.to)
            return !bucket.covered ? NOT_FOUND : head->soonest_s > now_s ? FOUND : SEARCH;
        end = end_below4(lines, bucket.from, bucket.to, (uint16_t)wanted);
        slot = end - (end > bucket.from);
        differing =
            lines[slot / ADDRLIST_LINE4].first[slot % ADDRLIST_LINE4] ^ (wanted & 0xffff);
    } else {
        const uint32_t *firsts = part_of(head, head->firsts);
        end = count_below32(firsts, bucket.to, wanted);
        slot = end - (end > 0);
        differing = firsts[slot] ^ wanted;
    }
    const struct addrlist_line4 *line = lines + slot / ADDRLIST_LINE4;
    unsigned code = line->code[slot % ADDRLIST_LINE4], length = code & ADDRLIST_LENGTH4;
    unsigned held =
        (unsigned)(length <= 32) & (unsigned)((uint64_t)differing >> ((32 - length) & 63) == 0);
    unsigned any = held | (unsigned)((code & ADDRLIST_AFTER) != 0);
    unsigned begun = end > bucket.from;
    return answer_of((any & begun) | ((unsigned)bucket.covered & (begun ^ 1)),
                     line->soonest_s <= now_s);
}

static inline enum answer find6(const struct addrlist_head *head, key128 wanted, uint32_t now_s)
{
    uint64_t high = (uint64_t)(wanted >> 64);
    size_t end = end_below6(head, high);
    if (end == 0)
        return NOT_FOUND;
    size_t slot = end - 1, at = slot % ADDRLIST_LINE6;
    const struct addrlist_line6 *line = addrlist_lines6(head) + slot / ADDRLIST_LINE6;
    uint64_t differing = line->high[at] ^ high;
    unsigned length = line->bits[at];
    bool stale = line->soonest_s <= now_s;
    if ((differing == 0) & (length > 64) & (length <= 128)) /* for the lower half to say */
        return (first6(head, slot) ^ wanted) >> (128 - length) == 0 ? answer_of(1, stale)
                                                                    : SEARCH;
    unsigned held = (unsigned)(length <= 64) &
                    ((unsigned)(differing >> ((64 - length) & 63) == 0) | (length == 0));
    return answer_of(held | (unsigned)((line->code[at] & ADDRLIST_AFTER) != 0), stale);
}

/* Apart, so that what is rare costs the others no registers. */
__attribute__((noinline, cold)) static bool search(struct span block, const struct addr *addr,
                                                   uint32_t now_s, uint32_t *place)
{
    struct addrlist_reader reader;
    size_t slot;
    if (!addrlist_open(block, addr->family, &reader) ||
        !addrlist_longest(&reader, addrlist_number(addr), now_s, &slot))
        return false;
    *place = (uint32_t)slot;
    return true;
}

bool addrlist_find(struct span block, const struct addr *addr, uint32_t now_s, uint32_t *place)
{
    const struct addrlist_head *head = addrlist_head_of(block);
    enum answer answer = NOT_FOUND;
    if (head == NULL)
        return false;
    *place = ADDRLIST_LONGEST;
    if (addr->family == ADDR_V4 && head->v4.slots > 0)
        answer = find4(head, (uint32_t)addrlist_number(addr), now_s);
    else if (addr->family == ADDR_V6 && head->v6.slots > 0)
        answer = find6(head, addrlist_number(addr), now_s);
    if (__builtin_expect(answer == SEARCH, 0))
        return search(block, addr, now_s, place);
    return answer == FOUND;
}
