/* Building an address list: sorting, what encloses what, where marks stand, and every text
 * once. */
#include <stdlib.h>

#include "gateway/base/addrlist_block.h"
#include "gateway/base/siphash.h"

enum { TEXT_BYTES_MAX = 192 * 1024 * 1024 };
#define NO_PARENT UINT32_MAX

struct key {
    key128 first;
    uint32_t order; /* in the file */
    uint32_t expires_s;
    uint32_t info : 24, bits : 8;
};
_Static_assert(ADDRLIST_INFOS_MAX <= 1 << 24, "the number of an info fits");

struct keys {
    struct key *items;
    uint32_t *parents;        /* NO_PARENT: none */
    uint32_t *soonest;        /* when the first of it and of what encloses it expires */
    uint32_t *slots;          /* where each stands */
    size_t count, total, low; /* with marks; lower halves that are not 0 */
    uint32_t soonest_s;       /* when the first expires */
    unsigned width;
};

struct pair {
    uint64_t hash;
    struct addrlist_info info;
    struct span source, reason;
};

struct building {
    const struct addrlist_entry *entries;
    struct keys v4, v6, places;
    struct pair *pairs; /* each (source, reason) once */
    uint32_t *slots;    /* their numbers plus one, by hash */
    size_t pair_count, pair_room, slot_mask;
    char *texts;
    size_t text_len, text_room;
    struct siphash_key seed; /* a feed may choose its texts */
    struct span last_source; /* texts repeat: the hash of the last one is kept */
    uint64_t last_hash;
};

/* ---- texts ---- */

static struct span bounded(struct span text)
{
    size_t len = text.len < ADDRLIST_TEXT_MAX ? text.len : ADDRLIST_TEXT_MAX;
    while (len < text.len && len > 0 && ((unsigned char)text.p[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    return span_of(text.p, len);
}

static bool add_text(struct building *building, struct span text, uint32_t *at)
{
    size_t len = building->text_len + text.len + 1;
    if (len > TEXT_BYTES_MAX)
        return false;
    if (len > building->text_room) {
        size_t room = building->text_room * 2 + 4096;
        char *moved = realloc(building->texts, room);
        if (moved == NULL)
            return false;
        building->texts = moved;
        building->text_room = room;
    }
    *at = (uint32_t)building->text_len;
    building->texts[building->text_len] = (char)text.len;
    if (text.len > 0)
        memcpy(building->texts + building->text_len + 1, text.p, text.len);
    building->text_len = len;
    return true;
}

static bool grow_slots(struct building *building)
{
    size_t room = building->slot_mask == 0 ? 4096 : (building->slot_mask + 1) * 2;
    uint32_t *slots = calloc(room, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < building->pair_count; i++) {
        size_t at = (size_t)building->pairs[i].hash & (room - 1);
        while (slots[at] != 0)
            at = (at + 1) & (room - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(building->slots);
    building->slots = slots;
    building->slot_mask = room - 1;
    return true;
}

static bool grow_pairs(struct building *building)
{
    if (building->pair_count * 2 >= building->slot_mask && !grow_slots(building))
        return false;
    if (building->pair_count < building->pair_room)
        return true;
    size_t room = building->pair_room * 2 + 1024;
    struct pair *moved = realloc(building->pairs, room * sizeof(*moved));
    if (moved == NULL)
        return false;
    building->pairs = moved;
    building->pair_room = room;
    return true;
}

/* A pair of its own; one source with many reasons in a row is written once. */
static bool add_pair(struct building *building, const struct pair *wanted)
{
    struct pair *made = &building->pairs[building->pair_count];
    *made = *wanted;
    if (building->pair_count > 0 && span_equal(made[-1].source, made->source))
        made->info.source = made[-1].info.source;
    else if (!add_text(building, made->source, &made->info.source))
        return false;
    building->pair_count++;
    return add_text(building, made->reason, &made->info.reason);
}

static bool intern(struct building *building, struct span source, struct span reason,
                   uint32_t *number)
{
    if (building->pair_count >= ADDRLIST_INFOS_MAX - 1 || !grow_pairs(building))
        return false;
    struct pair wanted = { .source = source, .reason = reason };
    if (!span_equal(building->last_source, source) || building->last_hash == 0) {
        building->last_source = source;
        building->last_hash = siphash(&building->seed, source.p, source.len) | 1;
    }
    wanted.hash = building->last_hash * 31 + siphash(&building->seed, reason.p, reason.len);
    size_t at = (size_t)wanted.hash & building->slot_mask;
    for (; building->slots[at] != 0; at = (at + 1) & building->slot_mask) {
        const struct pair *pair = &building->pairs[building->slots[at] - 1];
        if (pair->hash != wanted.hash || !span_equal(pair->source, source) ||
            !span_equal(pair->reason, reason))
            continue;
        *number = building->slots[at] - 1;
        return true;
    }
    if (!add_pair(building, &wanted))
        return false;
    building->slots[at] = (uint32_t)building->pair_count;
    *number = (uint32_t)building->pair_count - 1;
    return true;
}

/* ---- prefixes ---- */

static uint64_t life(uint32_t expires_s)
{
    return expires_s == 0 ? UINT64_MAX : expires_s;
}

/* Shorter prefixes before those inside; of equal ones the longest life, then the first. */
static inline bool before(const struct key *x, const struct key *y)
{
    if (x->first != y->first)
        return x->first < y->first;
    if (x->bits != y->bits)
        return x->bits < y->bits;
    if (x->expires_s != y->expires_s)
        return life(x->expires_s) > life(y->expires_s);
    return x->order < y->order;
}

static void merge(struct key *to, const struct key *left, size_t left_count,
                  const struct key *right, size_t right_count)
{
    while (left_count > 0 && right_count > 0) {
        bool take = before(right, left);
        *to++ = take ? *right++ : *left++;
        left_count -= !take;
        right_count -= take;
    }
    memcpy(to, left, left_count * sizeof(*to));
    memcpy(to + left_count, right, right_count * sizeof(*to));
}

/* Runs of ever twice the length, from one array to the other and back. qsort asks the system
 * for the size of its memory, which the steward's sandbox does not let it. */
static bool sort(struct keys *keys)
{
    size_t count = keys->count;
    struct key *from = keys->items, *to = malloc((count + 1) * sizeof(*to));
    if (to == NULL)
        return false;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t left = count - at < run ? count - at : run;
            size_t right = count - at - left < run ? count - at - left : run;
            merge(to + at, from + at, left, from + at + left, right);
        }
        struct key *swapped = from;
        from = to;
        to = swapped;
    }
    keys->items = from;
    free(to);
    return true;
}

/* NULL: it is none of the three. */
static struct keys *keys_of(struct building *building, const struct addrlist_entry *entry)
{
    const struct cidr *cidr = &entry->cidr;
    if (entry->place != 0)
        return &building->places;
    if (cidr->addr.family == ADDR_V4 && cidr->bits <= 32)
        return &building->v4;
    return cidr->addr.family == ADDR_V6 && cidr->bits <= 128 ? &building->v6 : NULL;
}

static enum err gather(struct building *building, size_t count, uint32_t now_s)
{
    for (size_t i = 0; i < count; i++) {
        const struct addrlist_entry *entry = &building->entries[i];
        const struct cidr *cidr = &entry->cidr;
        struct keys *keys = keys_of(building, entry);
        struct addr first = cidr->addr;
        uint32_t info;
        if (keys == NULL)
            return ERR_RANGE;
        if (entry->expires_s != 0 && entry->expires_s <= now_s)
            continue;
        if (!intern(building, bounded(entry->source), bounded(entry->reason), &info))
            return ERR_MEMORY;
        addr_mask(&first, cidr->bits);
        bool place = entry->place != 0;
        keys->items[keys->count++] =
            (struct key){ .first = place ? entry->place : addrlist_number(&first),
                          .order = (uint32_t)i,
                          .expires_s = entry->expires_s,
                          .info = info & 0xffffff,
                          .bits = place ? 0 : cidr->bits };
    }
    return OK;
}

static void drop_equal(struct keys *keys)
{
    size_t kept = 0;
    for (size_t i = 0; i < keys->count; i++) {
        const struct key *last = kept > 0 ? &keys->items[kept - 1] : NULL;
        if (last == NULL || last->first != keys->items[i].first ||
            last->bits != keys->items[i].bits)
            keys->items[kept++] = keys->items[i];
    }
    keys->count = kept;
}

static bool holds(const struct key *key, key128 address, unsigned width)
{
    return key->bits == 0 || (key->first ^ address) >> (width - key->bits) == 0;
}

static uint32_t sooner(uint32_t soonest_s, const struct key *key)
{
    return key->expires_s != 0 && key->expires_s < soonest_s ? key->expires_s : soonest_s;
}

/* `open` are the prefixes that enclose the place where the walk is, outermost first. */
static void find_parents(struct keys *keys)
{
    uint32_t open[130];
    keys->soonest_s = UINT32_MAX;
    unsigned depth = 0;
    for (size_t i = 0; i < keys->count; i++) {
        while (depth > 0 &&
               !holds(&keys->items[open[depth - 1]], keys->items[i].first, keys->width))
            depth--;
        keys->parents[i] = depth > 0 ? open[depth - 1] : NO_PARENT;
        keys->soonest[i] =
            sooner(depth > 0 ? keys->soonest[open[depth - 1]] : UINT32_MAX, &keys->items[i]);
        keys->soonest_s = sooner(keys->soonest_s, &keys->items[i]);
        keys->low += (uint64_t)keys->items[i].first != 0;
        INVARIANT(depth < ARRAY_LEN(open));
        open[depth++] = (uint32_t)i;
    }
}

/* ---- slots ---- */

/* One slot: a prefix, or a mark where `key` is not less than their count. */
struct slot {
    size_t key;
    key128 first;
    uint8_t bits;
    unsigned flags;
    uint32_t soonest_s;
};

/* A walk over what stands in the lines. `end` is the last unit of the outermost prefix around;
 * units are addresses of IPv4 and /64s of IPv6. */
struct walk {
    const struct keys *keys;
    size_t next;
    uint64_t end;
    bool after, indexed; /* whether the last slot had ADDRLIST_AFTER; by top bits, IPv4 */
};

static uint64_t unit_of(const struct keys *keys, key128 first)
{
    return (uint64_t)(keys->width == 128 ? first >> 64 : first);
}

static uint64_t end_of(const struct keys *keys, const struct key *key)
{
    unsigned width = keys->width == 128 ? 64 : 32, bits = key->bits < width ? key->bits : width;
    uint64_t host =
        bits == 0 ? UINT64_MAX >> (64 - width) : (UINT64_C(1) << (width - bits)) - 1;
    return unit_of(keys, key->first) | host;
}

/*
 * Whether what encloses the last slot ends before the next one, so that somebody has to say so:
 * nothing begins right behind it. Where other top bits begin, the index says it.
 */
static bool ends_between(const struct walk *walk)
{
    const struct keys *keys = walk->keys;
    uint64_t most = keys->width == 128 ? UINT64_MAX : UINT32_MAX;
    bool left = walk->next < keys->count;
    if (!walk->after || walk->end == most || (left && keys->parents[walk->next] != NO_PARENT))
        return false;
    if (walk->indexed && (walk->end + 1) % 65536 == 0)
        return false;
    return !left || unit_of(keys, keys->items[walk->next].first) > walk->end + 1;
}

static bool next_slot(struct walk *walk, struct slot *slot)
{
    const struct keys *keys = walk->keys;
    bool wide = keys->width == 128;
    if (ends_between(walk)) {
        *slot = (struct slot){ .key = keys->count,
                               .first = (key128)(walk->end + 1) << (wide ? 64 : 0),
                               .bits = wide ? ADDRLIST_MARK6 : ADDRLIST_MARK4,
                               .soonest_s = UINT32_MAX };
        walk->after = false;
        return true;
    }
    if (walk->next == keys->count)
        return false;
    const struct key *key = &keys->items[walk->next];
    bool inside = keys->parents[walk->next] != NO_PARENT;
    uint64_t end = end_of(keys, key);
    walk->end = inside ? walk->end : end;
    walk->after = walk->end > end;
    *slot = (struct slot){ .key = walk->next,
                           .first = key->first,
                           .bits = key->bits,
                           .flags = (inside ? ADDRLIST_INSIDE : 0) |
                                    (walk->after ? ADDRLIST_AFTER : 0),
                           .soonest_s = keys->soonest[walk->next] };
    walk->next++;
    return true;
}

static struct walk walk_over(const struct keys *keys)
{
    bool indexed = keys->count >= ADDRLIST_INDEXED_FROM;
    return (struct walk){ .keys = keys, .indexed = indexed && keys->width == 32 };
}

/* With the marks. */
static void number_slots(struct keys *keys)
{
    struct walk walk = walk_over(keys);
    struct slot slot;
    for (keys->total = 0; next_slot(&walk, &slot); keys->total++)
        if (slot.key < keys->count)
            keys->slots[slot.key] = (uint32_t)keys->total;
    keys->slots[keys->count] = (uint32_t)keys->total;
}

static bool order_places(struct keys *keys)
{
    if (!sort(keys))
        return false;
    drop_equal(keys);
    return true;
}

static bool order(struct keys *keys)
{
    if (!order_places(keys))
        return false;
    keys->parents = malloc((keys->count + 1) * sizeof(uint32_t));
    keys->soonest = malloc((keys->count + 1) * sizeof(uint32_t));
    keys->slots = malloc((keys->count + 1) * sizeof(uint32_t));
    if (keys->parents == NULL || keys->soonest == NULL || keys->slots == NULL)
        return false;
    find_parents(keys);
    number_slots(keys);
    return true;
}

/* ---- writing ---- */

/* What reaches into a top from before: the nearest prefix shorter than 16 bits around it. */
static void put_index4(char *block, const struct addrlist_head *head, const struct keys *keys)
{
    uint32_t *index = (void *)(block + head->v4.index), next = 0, around = NO_PARENT;
    uint32_t *arounds = (void *)(block + head->around);
    for (uint32_t top = 0; top < ADDRLIST_INDEX_ENTRIES; top++) {
        while (around != NO_PARENT &&
               !holds(&keys->items[around], (key128)top << 16, keys->width))
            around = keys->parents[around];
        index[top] = keys->slots[next] << 1 | (around != NO_PARENT);
        arounds[top] = around != NO_PARENT ? keys->slots[around] + 1 : 0;
        for (; next < keys->count && (uint32_t)keys->items[next].first >> 16 == top; next++)
            around = keys->items[next].bits < 16 ? next : around;
    }
}

/* Of IPv6: how many slots begin below each entry, and the same behind the last one. Marks do,
 * too: `heads` and the lines say where. */
static void put_index6(char *block, const struct addrlist_head *head)
{
    uint32_t *index = (void *)(block + head->v6.index);
    const struct addrlist_line6 *lines = (const void *)(block + head->v6.lines);
    uint64_t first_top = UINT64_C(1) << 16;
    uint32_t next = 0;
    for (uint32_t top = 0; top < ADDRLIST_INDEX_ENTRIES; top++) {
        while (next < head->v6.slots &&
               lines[next / ADDRLIST_LINE6].high[next % ADDRLIST_LINE6] >>
                   ADDRLIST_INDEX6_SHIFT < first_top + top)
            next++;
        index[top] = next;
    }
}

static void put_lines4(char *block, const struct addrlist_head *head, const struct keys *keys)
{
    struct addrlist_line4 *lines = (void *)(block + head->v4.lines);
    uint32_t *firsts = (void *)(block + head->firsts), rank = 0;
    uint32_t *ranks = (void *)(block + head->v4.ranks);
    struct walk walk = walk_over(keys);
    struct slot slot;
    for (size_t i = 0; next_slot(&walk, &slot); i++) {
        struct addrlist_line4 *line = &lines[i / ADDRLIST_LINE4];
        if (i % ADDRLIST_LINE4 == 0) {
            ranks[i / ADDRLIST_LINE4] = rank;
            line->soonest_s = UINT32_MAX;
        }
        line->first[i % ADDRLIST_LINE4] = (uint16_t)slot.first;
        line->code[i % ADDRLIST_LINE4] = (uint8_t)(slot.bits | slot.flags);
        line->soonest_s = slot.soonest_s < line->soonest_s ? slot.soonest_s : line->soonest_s;
        rank += slot.key < keys->count;
        if (head->v4.index == 0)
            firsts[i] = (uint32_t)slot.first;
    }
}

static void put_lines6(char *block, const struct addrlist_head *head, const struct keys *keys)
{
    struct addrlist_line6 *lines = (void *)(block + head->v6.lines);
    uint32_t *ranks = (void *)(block + head->v6.ranks), rank = 0;
    uint32_t *low_ranks = (void *)(block + head->low_ranks), low = 0;
    uint64_t *heads = (void *)(block + head->heads), *lows = (void *)(block + head->lows);
    struct walk walk = walk_over(keys);
    struct slot slot;
    for (size_t i = 0; next_slot(&walk, &slot); i++) {
        struct addrlist_line6 *line = &lines[i / ADDRLIST_LINE6];
        size_t at = i % ADDRLIST_LINE6;
        if (at == 0) {
            heads[i / ADDRLIST_LINE6] = (uint64_t)(slot.first >> 64);
            ranks[i / ADDRLIST_LINE6] = rank;
            low_ranks[i / ADDRLIST_LINE6] = low;
            line->soonest_s = UINT32_MAX;
            memset(line->high, 0xff, sizeof(line->high));
        }
        bool has_low = (uint64_t)slot.first != 0;
        line->high[at] = (uint64_t)(slot.first >> 64);
        line->bits[at] = slot.bits;
        line->code[at] = (uint8_t)(slot.flags | (has_low ? ADDRLIST_LOW : 0));
        line->soonest_s = slot.soonest_s < line->soonest_s ? slot.soonest_s : line->soonest_s;
        rank += slot.key < keys->count;
        if (has_low)
            lows[low++] = (uint64_t)slot.first;
    }
}

static void put_whats(char *block, const struct addrlist_family *family,
                      const struct keys *keys)
{
    struct addrlist_what *whats = (void *)(block + family->what);
    for (size_t i = 0; i < keys->count; i++)
        whats[i] = (struct addrlist_what){ keys->items[i].info, keys->items[i].expires_s };
}

static void put_places(char *block, const struct addrlist_head *head, const struct keys *keys)
{
    struct addrlist_place *places = (void *)(block + head->places);
    for (size_t i = 0; i < keys->count; i++)
        places[i] =
            (struct addrlist_place){ (uint64_t)keys->items[i].first,
                                     { keys->items[i].info, keys->items[i].expires_s } };
}

static enum err write_block(const struct building *building, struct arena *arena,
                            struct span *out)
{
    struct addrlist_head head = {
        .magic = ADDRLIST_MAGIC,
        .v4 = { .count = (uint32_t)building->v4.count, .slots = (uint32_t)building->v4.total },
        .v6 = { .count = (uint32_t)building->v6.count, .slots = (uint32_t)building->v6.total },
        .soonest_s = building->v4.soonest_s < building->v6.soonest_s ? building->v4.soonest_s
                                                                     : building->v6.soonest_s,
        .low_count = (uint32_t)building->v6.low,
        .place_count = (uint32_t)building->places.count,
        .info_count = (uint32_t)building->pair_count,
        .text_bytes = (uint32_t)building->text_len,
    };
    if (!addrlist_lay_out(&head))
        return ERR_LIMIT;
    char *block = arena_zero(arena, 1, head.bytes);
    if (block == NULL)
        return ERR_MEMORY;

    memcpy(block, &head, sizeof(head));
    if (head.v4.index != 0)
        put_index4(block, &head, &building->v4);
    put_lines4(block, &head, &building->v4);
    put_lines6(block, &head, &building->v6);
    if (head.v6.index != 0)
        put_index6(block, &head);
    put_whats(block, &head.v4, &building->v4);
    put_whats(block, &head.v6, &building->v6);
    put_places(block, &head, &building->places);
    for (size_t i = 0; i < building->pair_count; i++)
        memcpy(block + head.infos + i * sizeof(struct addrlist_info), &building->pairs[i].info,
               sizeof(struct addrlist_info));
    if (building->text_len > 0)
        memcpy(block + head.texts, building->texts, building->text_len);
    *out = span_of(block, head.bytes);
    return OK;
}

static void count_kinds(const struct addrlist_entry *entries, size_t count, size_t *v4,
                        size_t *places)
{
    *v4 = *places = 0;
    for (size_t i = 0; i < count; i++) {
        *places += entries[i].place != 0;
        *v4 += entries[i].place == 0 && entries[i].cidr.addr.family == ADDR_V4;
    }
}

static void free_keys(struct keys *keys)
{
    free(keys->items);
    free(keys->parents);
    free(keys->soonest);
    free(keys->slots);
}

enum err addrlist_build(const struct addrlist_entry *entries, size_t count, uint32_t now_s,
                        struct arena *arena, struct span *out)
{
    if (count > ADDRLIST_ENTRIES_MAX)
        return ERR_LIMIT;

    size_t v4, places;
    count_kinds(entries, count, &v4, &places);
    if (places > ADDRLIST_PLACES_MAX)
        return ERR_LIMIT;
    struct building building = {
        .entries = entries,
        .v4 = { .items = malloc((v4 + 1) * sizeof(struct key)), .width = 32 },
        .v6 = { .items = malloc((count - v4 - places + 1) * sizeof(struct key)), .width = 128 },
        .places = { .items = malloc((places + 1) * sizeof(struct key)) },
    };
    random_bytes(&building.seed, sizeof(building.seed));
    bool room =
        building.v4.items != NULL && building.v6.items != NULL && building.places.items != NULL;
    enum err err = room ? gather(&building, count, now_s) : ERR_MEMORY;
    if (err == OK &&
        (!order(&building.v4) || !order(&building.v6) || !order_places(&building.places)))
        err = ERR_MEMORY;
    err = err == OK ? write_block(&building, arena, out) : err;
    free_keys(&building.v4);
    free_keys(&building.v6);
    free_keys(&building.places);
    free(building.pairs);
    free(building.slots);
    free(building.texts);
    return err;
}
