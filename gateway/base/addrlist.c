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

static bool counts_good(const struct addrlist_head *head)
{
    return head->v4.count <= ADDRLIST_ENTRIES_MAX && head->v6.count <= ADDRLIST_ENTRIES_MAX &&
           head->v4.far <= head->v4.count && head->v6.far <= head->v6.count &&
           head->low_count <= head->v6.count && head->place_count <= ADDRLIST_PLACES_MAX &&
           head->info_count <= ADDRLIST_INFOS_MAX;
}

static size_t lines_of(size_t count, size_t in_line)
{
    return (count + in_line - 1) / in_line;
}

bool addrlist_lay_out(struct addrlist_head *head)
{
    struct addrlist_family *v4 = &head->v4, *v6 = &head->v6;
    size_t lines4 = lines_of(v4->count, ADDRLIST_LINE4);
    size_t lines6 = lines_of(v6->count, ADDRLIST_LINE6);
    bool indexed4 = v4->count >= ADDRLIST_INDEXED_FROM;
    bool indexed6 = v6->count >= ADDRLIST_INDEXED_FROM;
    uint64_t bytes = 0;
    if (!counts_good(head))
        return false;
    (void)part(&bytes, 1, sizeof(*head));
    v4->index = v6->index = 0;
    if (indexed4)
        v4->index = part(&bytes, ADDRLIST_INDEX_ENTRIES, sizeof(struct addrlist_index));
    head->firsts = part(&bytes, indexed4 ? 0 : v4->count, sizeof(uint32_t));
    v4->lines = part(&bytes, lines4, sizeof(struct addrlist_line4));
    head->rare4 = part(&bytes, lines4, sizeof(uint32_t));
    v4->what = part(&bytes, v4->count, sizeof(struct addrlist_what));
    v4->parents = part(&bytes, v4->far, sizeof(uint32_t));
    if (indexed6)
        v6->index = part(&bytes, ADDRLIST_INDEX_ENTRIES, sizeof(uint32_t));
    head->heads = part(&bytes, lines6, sizeof(uint64_t));
    v6->lines = part(&bytes, lines6, sizeof(struct addrlist_line6));
    head->rare6 = part(&bytes, lines6, sizeof(struct addrlist_rare6));
    head->lows = part(&bytes, head->low_count, sizeof(uint64_t));
    v6->what = part(&bytes, v6->count, sizeof(struct addrlist_what));
    v6->parents = part(&bytes, v6->far, sizeof(uint32_t));
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
                                      .v4 = { .count = head.v4.count, .far = head.v4.far },
                                      .v6 = { .count = head.v6.count, .far = head.v6.far },
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

key128 addrlist_key6(const struct addrlist_head *head, size_t i)
{
    const struct addrlist_line6 *line = addrlist_lines6(head) + i / ADDRLIST_LINE6;
    const struct addrlist_rare6 *rare = addrlist_part(head, head->rare6);
    key128 high = (key128)line->high[i % ADDRLIST_LINE6] << 64;
    if ((line->link[i % ADDRLIST_LINE6] & ADDRLIST_LOW) == 0)
        return high;
    size_t at = rare[i / ADDRLIST_LINE6].low;
    for (size_t k = 0; k < i % ADDRLIST_LINE6; k++)
        at += line->link[k] / ADDRLIST_LOW;
    return at < head->low_count ? high | ((const uint64_t *)addrlist_part(head, head->lows))[at]
                                : high;
}

/* A word of `parents`, by its number; it is always of a smaller number than its child. */
static bool parent_at(const struct addrlist_reader *reader, size_t at, size_t child,
                      size_t *parent)
{
    if (at >= reader->family->far)
        return false;
    *parent = ((const uint32_t *)addrlist_part(reader->head, reader->family->parents))[at];
    return *parent < child;
}

/* ---- finding ---------------------------------------------------------------------------- */

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
 * One more than the number of the last of the prefixes [from, to), which begin under the same
 * top bits, that is at or below the wanted one; or `from`. Mostly they stand in one line or
 * two. Both are read, without a branch: which one it is, is a coin toss, and a processor that
 * guesses wrong waits longer than for the memory.
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

/* The prefixes that begin under the same top bits as one does, and what reaches in. */
struct bucket {
    uint32_t top; /* the bits, in their place */
    size_t from;
    uint32_t around; /* as in the index */
};

static struct bucket bucket_of(const struct addrlist_head *head, size_t i)
{
    const struct addrlist_index *index = addrlist_part(head, head->v4.index);
    uint32_t low = 0, high = ADDRLIST_INDEX_ENTRIES - 2;
    if (head->v4.index == 0)
        return (struct bucket){ .from = 0 };
    while (low < high) { /* the last top of which the prefixes begin at or before `i` */
        uint32_t middle = low + (high - low + 1) / 2;
        if (index[middle].from <= i)
            low = middle;
        else
            high = middle - 1;
    }
    return (struct bucket){ low << 16, index[low].from, index[low].around };
}

uint32_t addrlist_first4(const struct addrlist_head *head, size_t i)
{
    if (head->v4.index == 0)
        return ((const uint32_t *)addrlist_part(head, head->firsts))[i];
    return bucket_of(head, i).top |
           addrlist_lines4(head)[i / ADDRLIST_LINE4].first[i % ADDRLIST_LINE4];
}

bool addrlist_nested4(const struct addrlist_head *head, size_t i)
{
    const struct addrlist_line4 *line = addrlist_lines4(head) + i / ADDRLIST_LINE4;
    return (line->code[i % ADDRLIST_LINE4] & (ADDRLIST_NEAR4 | ADDRLIST_FAR4)) != 0 ||
           bucket_of(head, i).around != 0;
}

static inline bool holds4(const struct addrlist_head *head, const struct bucket *bucket,
                          size_t i, uint32_t wanted)
{
    const struct addrlist_line4 *line = addrlist_lines4(head) + i / ADDRLIST_LINE4;
    unsigned bits = line->code[i % ADDRLIST_LINE4] & ADDRLIST_LENGTH4;
    uint32_t first = head->v4.index != 0
                         ? bucket->top | line->first[i % ADDRLIST_LINE4]
                         : ((const uint32_t *)addrlist_part(head, head->firsts))[i];
    return (uint64_t)(first ^ wanted) >> (32 - (bits <= 32 ? bits : 32)) == 0;
}

static bool far_parent4(const struct addrlist_reader *reader, size_t i, size_t *parent)
{
    const struct addrlist_line4 *line = addrlist_lines4(reader->head) + i / ADDRLIST_LINE4;
    const uint32_t *rare = addrlist_part(reader->head, reader->head->rare4);
    size_t at = rare[i / ADDRLIST_LINE4];
    for (size_t k = 0; k < i % ADDRLIST_LINE4; k++)
        at += (line->code[k] & ADDRLIST_FAR4) != 0;
    return parent_at(reader, at, i, parent);
}

/*
 * From a prefix outwards, to one that lives and holds the address. Whatever stands before it
 * and holds the address encloses it, or is enclosed with it by what does. There are no more
 * turns than lengths of prefixes.
 */
static bool climb4(const struct addrlist_reader *reader, struct bucket bucket, size_t i,
                   uint32_t wanted, uint32_t now_s, uint32_t *found)
{
    const struct addrlist_head *head = reader->head;
    for (unsigned turns = 0; turns <= 33; turns++) {
        size_t begun = i / ADDRLIST_LINE4 * ADDRLIST_LINE4;
        uint8_t code = addrlist_lines4(head)[i / ADDRLIST_LINE4].code[i % ADDRLIST_LINE4];
        size_t least = begun > bucket.from ? begun : bucket.from;
        least = (code & ADDRLIST_NEAR4) != 0 && least < i ? least : i;
        for (size_t k = i + 1; k-- > least;) {
            *found = (uint32_t)k;
            if (holds4(head, &bucket, k, wanted) && addrlist_lives(reader, k, now_s))
                return true;
        }
        if ((code & ADDRLIST_FAR4) != 0) {
            if (!far_parent4(reader, i, &i))
                return false;
            continue;
        }
        if (bucket.around == 0 || bucket.around > head->v4.count)
            return false;
        i = bucket.around - 1;
        *found = (uint32_t)i;
        if (addrlist_lives(reader, i, now_s))
            return true;
        bucket = bucket_of(head, i);
    }
    return false;
}

static inline bool find4(const struct addrlist_reader *reader, uint32_t wanted, uint32_t now_s,
                         uint32_t *found)
{
    const struct addrlist_head *head = reader->head;
    const struct addrlist_line4 *lines = addrlist_lines4(head);
    if (head->v4.index == 0) {
        struct bucket all = { .from = 0 };
        size_t some = count_below32(addrlist_part(head, head->firsts), head->v4.count, wanted);
        return some > 0 && climb4(reader, all, some - 1, wanted, now_s, found);
    }
    const struct addrlist_index *index = addrlist_part(head, head->v4.index);
    index += wanted >> 16;
    size_t to = index[1].from < head->v4.count ? index[1].from : head->v4.count;
    size_t from = index[0].from < to ? index[0].from : to;
    struct bucket bucket = { wanted & 0xffff0000, from, index[0].around };
    size_t end = from < to ? end_below4(lines, from, to, (uint16_t)wanted) : from;
    bool around = bucket.around != 0 && bucket.around <= head->v4.count;
    size_t i = end > from ? end - 1 : (size_t)bucket.around - 1;
    if (end == from && !around)
        return false;
    *found = (uint32_t)i;
    if (head->soonest_s > now_s) { /* nothing has expired */
        if (end == from)
            return true;
        unsigned code = lines[i / ADDRLIST_LINE4].code[i % ADDRLIST_LINE4];
        if (holds4(head, &bucket, i, wanted))
            return true;
        if ((code & (ADDRLIST_NEAR4 | ADDRLIST_FAR4)) == 0) {
            *found = bucket.around - 1;
            return around;
        }
    } else if (end == from) {
        bucket = bucket_of(head, i);
    }
    return climb4(reader, bucket, i, wanted, now_s, found);
}

/* ---- IPv6 ---- */

/* A prefix, by its number and its first address. */
struct place {
    size_t i;
    key128 first;
};

/* `last` is the last with the upper half of the address; of those the last at or below it. */
static bool among_equals(const struct addrlist_head *head, size_t last, key128 wanted,
                         struct place *found)
{
    size_t low = 0, high = last + 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (addrlist_key6(head, middle) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *found = (struct place){ low - 1, addrlist_key6(head, low - 1) };
    return true;
}

/* Of which lines the last prefix at or below the upper half may be: first and last. */
static inline void lines_for(const struct addrlist_head *head, uint64_t high, size_t *first,
                             size_t *last)
{
    size_t from = 0, to = head->v6.count;
    if (head->v6.index != 0) {
        const uint32_t *index = addrlist_part(head, head->v6.index);
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

static inline bool candidate6(const struct addrlist_head *head, key128 wanted,
                              struct place *found)
{
    const uint64_t *heads = addrlist_part(head, head->heads);
    uint64_t high = (uint64_t)(wanted >> 64);
    size_t line, last, some = 0;
    lines_for(head, high, &line, &last);
    for (size_t left = last - line; left > 0;) {
        size_t half = (left + 1) / 2;
        bool up = heads[line + half] <= high;
        line += up ? half : 0;
        left = up ? left - half : half - 1;
    }
    const struct addrlist_line6 *lines = addrlist_lines6(head);
    size_t begun = line * ADDRLIST_LINE6;
    size_t count = head->v6.count - begun;
#pragma GCC unroll 6
    for (size_t i = 0; i < ADDRLIST_LINE6; i++)
        some += (size_t)(lines[line].high[i] <= high) & (size_t)(i < count);
    if (some == 0)
        return false;
    *found = (struct place){ begun + some - 1, (key128)lines[line].high[some - 1] << 64 };
    if (lines[line].high[some - 1] != high || (lines[line].link[some - 1] & ADDRLIST_LOW) == 0)
        return true;
    found->first = addrlist_key6(head, found->i);
    return found->first <= wanted || among_equals(head, found->i, wanted, found);
}

static bool parent6(const struct addrlist_reader *reader, size_t *i)
{
    const struct addrlist_line6 *line = addrlist_lines6(reader->head) + *i / ADDRLIST_LINE6;
    const struct addrlist_rare6 *rare = addrlist_part(reader->head, reader->head->rare6);
    unsigned link = line->link[*i % ADDRLIST_LINE6] & ~(unsigned)ADDRLIST_LOW;
    if (link == 0 || link > *i)
        return false;
    if (link != ADDRLIST_FAR) {
        *i -= link;
        return true;
    }
    size_t at = rare[*i / ADDRLIST_LINE6].far;
    for (size_t k = 0; k < *i % ADDRLIST_LINE6; k++)
        at += (line->link[k] & ~(unsigned)ADDRLIST_LOW) == ADDRLIST_FAR;
    return parent_at(reader, at, *i, i);
}

/*
 * From a prefix outwards, as climb4. A parent has the first bits of what it encloses, a smaller
 * number, and there are no more of them than bits.
 */
static inline bool find6(const struct addrlist_reader *reader, key128 wanted, uint32_t now_s,
                         uint32_t *found)
{
    struct place place;
    if (!candidate6(reader->head, wanted, &place))
        return false;
    key128 differing = place.first ^ wanted;
    for (unsigned steps = 0; steps <= 128; steps++) {
        const struct addrlist_line6 *line =
            addrlist_lines6(reader->head) + place.i / ADDRLIST_LINE6;
        unsigned bits = line->bits[place.i % ADDRLIST_LINE6];
        unsigned host = 128 - (bits < 128 ? bits : 128);
        *found = (uint32_t)place.i;
        if ((host == 128 || differing >> host == 0) &&
            (line->soonest_s > now_s || addrlist_lives(reader, place.i, now_s)))
            return true;
        if (!parent6(reader, &place.i))
            return false;
    }
    return false;
}

bool addrlist_find(struct span block, const struct addr *addr, uint32_t now_s, uint32_t *found)
{
    struct addrlist_reader reader;
    if (!addrlist_open(block, addr->family, &reader) || reader.family->count == 0)
        return false;
    key128 wanted = addrlist_number(addr);
    return addr->family == ADDR_V4 ? find4(&reader, (uint32_t)wanted, now_s, found)
                                   : find6(&reader, wanted, now_s, found);
}
