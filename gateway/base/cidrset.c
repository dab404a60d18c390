/*
 * The block: a head, then per family the index and the ranges. All offsets follow from the two
 * counts of the head, so there is no offset to forge; what could still lead a look-up astray is
 * the index, and cidrset_valid counts it again.
 *
 * Index entry i is the number of ranges that begin below i << (width - 16), so the ranges that
 * begin under the same top 16 bits as an address are [index[top], index[top + 1]). Small sets
 * have none: 256 KiB would serve three office addresses badly.
 */
#include "gateway/base/cidrset.h"

#include <endian.h>
#include <stdlib.h>

enum {
    BLOCK_MAGIC = 0x31524443, /* "CDR1" */
    INDEXED_FROM = 256,       /* ranges; fewer are searched without an index */
    INDEX_ENTRIES = 65536 + 1,
};

struct head {
    uint32_t magic;
    uint32_t v4_count, v6_count;
    uint32_t reserved;
};

struct range4 {
    uint32_t first, last;
};

struct range6 {
    unsigned __int128 first, last;
};

/* A block cut into its parts. They are read by memcpy: a block may stand at any address. */
struct parts {
    struct head head;
    const char *v4_index, *v4; /* index NULL: there is none */
    const char *v6_index, *v6;
};

static inline uint32_t index_at(const char *index, size_t i)
{
    uint32_t value;
    memcpy(&value, index + i * sizeof(value), sizeof(value));
    return value;
}

static inline struct range4 range4_at(const char *ranges, size_t i)
{
    struct range4 range;
    memcpy(&range, ranges + i * sizeof(range), sizeof(range));
    return range;
}

static inline struct range6 range6_at(const char *ranges, size_t i)
{
    struct range6 range;
    memcpy(&range, ranges + i * sizeof(range), sizeof(range));
    return range;
}

static size_t index_bytes(uint32_t count)
{
    return count >= INDEXED_FROM ? INDEX_ENTRIES * sizeof(uint32_t) : 0;
}

static size_t block_bytes(uint32_t v4_count, uint32_t v6_count)
{
    return sizeof(struct head) + index_bytes(v4_count) + v4_count * sizeof(struct range4) +
           index_bytes(v6_count) + v6_count * sizeof(struct range6);
}

/* For a block whose length has been compared with its counts. */
static inline struct parts cut(struct span block)
{
    struct parts parts;
    memcpy(&parts.head, block.p, sizeof(parts.head));
    const char *p = block.p + sizeof(parts.head);
    parts.v4_index = parts.head.v4_count >= INDEXED_FROM ? p : NULL;
    p += index_bytes(parts.head.v4_count);
    parts.v4 = p;
    p += parts.head.v4_count * sizeof(struct range4);
    parts.v6_index = parts.head.v6_count >= INDEXED_FROM ? p : NULL;
    parts.v6 = p + index_bytes(parts.head.v6_count);
    return parts;
}

static uint32_t number4(const struct addr *addr)
{
    uint32_t value;
    memcpy(&value, addr->bytes, sizeof(value));
    return be32toh(value);
}

static unsigned __int128 number6(const struct addr *addr)
{
    uint64_t high, low;
    memcpy(&high, addr->bytes, sizeof(high));
    memcpy(&low, addr->bytes + 8, sizeof(low));
    return (unsigned __int128)be64toh(high) << 64 | be64toh(low);
}

/* ---- looking up ------------------------------------------------------------------------- */

/*
 * Halving without a branch: which way it goes is a coin toss, and a processor that guesses
 * wrong waits longer than for the memory. `low` starts one below the ranges that begin under
 * the address's top bits, because the range before them may reach in.
 */
static bool contains4(const struct parts *parts, uint32_t wanted)
{
    size_t low = 0, high = parts->head.v4_count;
    if (parts->v4_index != NULL) {
        low = index_at(parts->v4_index, wanted >> 16);
        high = index_at(parts->v4_index, (wanted >> 16) + 1);
    }
    low -= low > 0;
    for (size_t left = high - low; left > 1; left -= left / 2)
        low += left / 2 * (range4_at(parts->v4, low + left / 2).first <= wanted);
    if (low == high)
        return false;
    struct range4 range = range4_at(parts->v4, low);
    return range.first <= wanted && wanted <= range.last;
}

/* Here guessing wins: the ranges are four times as large, and a guess fetches ahead. */
static bool contains6(const struct parts *parts, unsigned __int128 wanted)
{
    size_t low = 0, high = parts->head.v6_count;
    size_t top = (size_t)(wanted >> 112);
    if (parts->v6_index != NULL) {
        low = index_at(parts->v6_index, top);
        high = index_at(parts->v6_index, top + 1);
    }
    low -= low > 0;
    for (size_t left = high - low; left > 1; left -= left / 2)
        low += range6_at(parts->v6, low + left / 2).first <= wanted ? left / 2 : 0;
    if (low == high)
        return false;
    struct range6 range = range6_at(parts->v6, low);
    return range.first <= wanted && wanted <= range.last;
}

bool cidrset_contains(struct span block, const struct addr *addr)
{
    if (block.len < sizeof(struct head))
        return false;
    struct parts parts = cut(block);
    if (addr->family == ADDR_V4)
        return contains4(&parts, number4(addr));
    return addr->family == ADDR_V6 && contains6(&parts, number6(addr));
}

size_t cidrset_ranges(struct span block)
{
    if (block.len < sizeof(struct head))
        return 0;
    struct parts parts = cut(block);
    return (size_t)parts.head.v4_count + parts.head.v6_count;
}

/* ---- checking --------------------------------------------------------------------------- */

/* Counts the index again while the ranges are walked: `at` is the next entry to compare. */
struct recount {
    const char *index;
    size_t at;
};

static bool recount_up_to(struct recount *recount, size_t top, size_t ranges)
{
    for (; recount->index != NULL && recount->at <= top; recount->at++)
        if (index_at(recount->index, recount->at) != ranges)
            return false;
    return true;
}

static bool valid4(const struct parts *parts)
{
    struct recount recount = { .index = parts->v4_index };
    struct range4 before = { 0, 0 };
    for (size_t i = 0; i < parts->head.v4_count; i++) {
        struct range4 range = range4_at(parts->v4, i);
        if (range.last < range.first || (i > 0 && range.first <= before.last) ||
            !recount_up_to(&recount, range.first >> 16, i))
            return false;
        before = range;
    }
    return recount_up_to(&recount, INDEX_ENTRIES - 1, parts->head.v4_count);
}

static bool valid6(const struct parts *parts)
{
    struct recount recount = { .index = parts->v6_index };
    struct range6 before = { 0, 0 };
    for (size_t i = 0; i < parts->head.v6_count; i++) {
        struct range6 range = range6_at(parts->v6, i);
        if (range.last < range.first || (i > 0 && range.first <= before.last) ||
            !recount_up_to(&recount, (size_t)(range.first >> 112), i))
            return false;
        before = range;
    }
    return recount_up_to(&recount, INDEX_ENTRIES - 1, parts->head.v6_count);
}

bool cidrset_valid(struct span block)
{
    struct head head;
    if (block.len < sizeof(head))
        return false;
    memcpy(&head, block.p, sizeof(head));
    if (head.magic != BLOCK_MAGIC || head.reserved != 0 ||
        head.v4_count > CIDRSET_ENTRIES_MAX || head.v6_count > CIDRSET_ENTRIES_MAX ||
        block.len != block_bytes(head.v4_count, head.v6_count))
        return false;
    struct parts parts = cut(block);
    return valid4(&parts) && valid6(&parts);
}

/* ---- building --------------------------------------------------------------------------- */

static int compare4(const void *a, const void *b)
{
    const struct range4 *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static int compare6(const void *a, const void *b)
{
    const struct range6 *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Sorted ranges that neither overlap nor touch; answers how many are left. */
static size_t merge4(struct range4 *ranges, size_t count)
{
    size_t kept = 0;
    qsort(ranges, count, sizeof(*ranges), compare4);
    for (size_t i = 0; i < count; i++) {
        struct range4 *last = kept > 0 ? &ranges[kept - 1] : NULL;
        if (last == NULL || (ranges[i].first > last->last && ranges[i].first - last->last > 1))
            ranges[kept++] = ranges[i];
        else if (ranges[i].last > last->last)
            last->last = ranges[i].last;
    }
    return kept;
}

static size_t merge6(struct range6 *ranges, size_t count)
{
    size_t kept = 0;
    qsort(ranges, count, sizeof(*ranges), compare6);
    for (size_t i = 0; i < count; i++) {
        struct range6 *last = kept > 0 ? &ranges[kept - 1] : NULL;
        if (last == NULL || (ranges[i].first > last->last && ranges[i].first - last->last > 1))
            ranges[kept++] = ranges[i];
        else if (ranges[i].last > last->last)
            last->last = ranges[i].last;
    }
    return kept;
}

static struct range4 range4_of(const struct cidr *cidr)
{
    uint32_t host = cidr->bits == 0 ? UINT32_MAX : (UINT32_C(1) << (32 - cidr->bits)) - 1;
    uint32_t first = number4(&cidr->addr) & ~host;
    return (struct range4){ first, first | host };
}

static struct range6 range6_of(const struct cidr *cidr)
{
    unsigned __int128 all = ~(unsigned __int128)0;
    unsigned __int128 host = cidr->bits == 0 ? all : cidr->bits == 128 ? 0 : all >> cidr->bits;
    unsigned __int128 first = number6(&cidr->addr) & ~host;
    return (struct range6){ first, first | host };
}

struct building {
    struct range4 *v4;
    struct range6 *v6;
    size_t v4_count, v6_count;
};

static bool gather(struct building *building, const struct cidr *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].addr.family == ADDR_V4 && items[i].bits <= 32)
            building->v4[building->v4_count++] = range4_of(&items[i]);
        else if (items[i].addr.family == ADDR_V6 && items[i].bits <= 128)
            building->v6[building->v6_count++] = range6_of(&items[i]);
        else
            return false;
    }
    return true;
}

static char *put(char *p, const void *bytes, size_t len)
{
    return len == 0 ? p : (char *)memcpy(p, bytes, len) + len;
}

/* Entries up to and with `top` say `ranges`; answers the next entry to write. */
static size_t index_up_to(char *index, size_t at, size_t top, size_t ranges)
{
    uint32_t value = (uint32_t)ranges;
    for (; at <= top; at++)
        memcpy(index + at * sizeof(value), &value, sizeof(value));
    return at;
}

static char *put_index4(char *p, const struct building *building)
{
    if (building->v4_count < INDEXED_FROM)
        return p;
    size_t at = 0;
    for (size_t i = 0; i < building->v4_count; i++)
        at = index_up_to(p, at, building->v4[i].first >> 16, i);
    index_up_to(p, at, INDEX_ENTRIES - 1, building->v4_count);
    return p + index_bytes((uint32_t)building->v4_count);
}

static char *put_index6(char *p, const struct building *building)
{
    if (building->v6_count < INDEXED_FROM)
        return p;
    size_t at = 0;
    for (size_t i = 0; i < building->v6_count; i++)
        at = index_up_to(p, at, (size_t)(building->v6[i].first >> 112), i);
    index_up_to(p, at, INDEX_ENTRIES - 1, building->v6_count);
    return p + index_bytes((uint32_t)building->v6_count);
}

static enum err write_block(const struct building *building, struct arena *arena,
                            struct span *out)
{
    struct head head = {
        .magic = BLOCK_MAGIC,
        .v4_count = (uint32_t)building->v4_count,
        .v6_count = (uint32_t)building->v6_count,
    };
    size_t bytes = block_bytes(head.v4_count, head.v6_count);
    char *block = arena_alloc(arena, bytes);
    if (block == NULL)
        return ERR_MEMORY;

    char *p = put(block, &head, sizeof(head));
    p = put_index4(p, building);
    p = put(p, building->v4, building->v4_count * sizeof(struct range4));
    p = put_index6(p, building);
    p = put(p, building->v6, building->v6_count * sizeof(struct range6));
    INVARIANT(p == block + bytes);
    *out = span_of(block, bytes);
    return OK;
}

/* Sorting needs the ranges twice; only the merged block stays in the arena. */
enum err cidrset_build(const struct cidr *items, size_t count, struct arena *arena,
                       struct span *out)
{
    if (count > CIDRSET_ENTRIES_MAX)
        return ERR_LIMIT;

    struct building building = {
        .v4 = malloc((count + 1) * sizeof(struct range4)),
        .v6 = malloc((count + 1) * sizeof(struct range6)),
    };
    enum err err = ERR_MEMORY;
    if (building.v4 != NULL && building.v6 != NULL) {
        err = gather(&building, items, count) ? OK : ERR_RANGE;
        if (err == OK) {
            building.v4_count = merge4(building.v4, building.v4_count);
            building.v6_count = merge6(building.v6, building.v6_count);
            err = write_block(&building, arena, out);
        }
    }
    free(building.v4);
    free(building.v6);
    return err;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* The entry of one line, without comment and white space; empty when there is none. */
static struct span line_entry(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.p[i] == '#' || line.p[i] == ';')
            line.len = i;
    if (span_ends(line, SPAN("\r")))
        line.len--;
    return span_trim(line);
}

static size_t count_entries(struct span text)
{
    size_t count = 0;
    struct span line;
    while (span_cut(&text, '\n', &line))
        count += line_entry(line).len > 0;
    return count;
}

enum err cidrset_parse(struct span text, struct arena *arena, struct cidrs *out, unsigned *line)
{
    *line = 0;
    if (text.len > CIDRSET_FILE_MAX)
        return ERR_LIMIT;
    /* Counted first: comments and blank lines, of which a file may be full, cost no memory. */
    size_t count = count_entries(text);
    if (count > CIDRSET_ENTRIES_MAX)
        return ERR_LIMIT;

    struct cidrs made = { .items = arena_array(arena, struct cidr, count) };
    if (made.items == NULL)
        return ERR_MEMORY;
    struct span rest;
    while (span_cut(&text, '\n', &rest)) {
        ++*line;
        struct span entry = line_entry(rest);
        if (entry.len == 0)
            continue;
        if (!cidr_parse(entry, true, &made.items[made.count++]))
            return ERR_SYNTAX;
    }
    *line = 0;
    *out = made;
    return OK;
}
