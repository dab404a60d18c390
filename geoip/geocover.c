/*
 * The tree is walked from the root of IPv4 and from that of 2000::/3, in a bounded number of
 * steps, for parts of a tree can be shared so that walking it never ends. What a value says is
 * read once for each value, and not for each prefix.
 */
#include "geoip/geocover.h"

#include <stdlib.h>

#include "geoip/database.h"
#include "geoip/geofile.h"

enum {
    STEPS_PER_NODE = 4,
    STEPS_LEAST = 4096,
    SLOTS_LEAST = 1024,
    V4_BITS = 32,
    V6_BITS = 64, /* of an address; longer prefixes count as one /64 */
};

/* First by value, then by network. */
struct row {
    uint32_t key; /* offset of a value plus one; 0: free */
    uint32_t asn;
    uint64_t v4, v6;
};

struct geocover {
    struct row *rows; /* sorted by network */
    size_t count;
};

struct walk {
    const MMDB_s *db;
    struct row *rows; /* by hash of the key */
    size_t mask, used;
    uint64_t steps;
    bool v6;
};

/* ---- values ---- */

static struct row *row_of(struct row *rows, size_t mask, uint32_t key)
{
    size_t at = key * 2654435761u & mask;
    while (rows[at].key != 0 && rows[at].key != key)
        at = (at + 1) & mask;
    return &rows[at];
}

static bool grow(struct walk *w)
{
    size_t mask = w->mask == 0 ? SLOTS_LEAST - 1 : w->mask * 2 + 1;
    struct row *rows = calloc(mask + 1, sizeof(*rows));
    if (rows == NULL)
        return false;
    for (size_t i = 0; w->rows != NULL && i <= w->mask; i++)
        if (w->rows[i].key != 0)
            *row_of(rows, mask, w->rows[i].key) = w->rows[i];
    free(w->rows);
    w->rows = rows;
    w->mask = mask;
    return true;
}

static void add(uint64_t *sum, uint64_t more)
{
    if (__builtin_add_overflow(*sum, more, sum))
        *sum = UINT64_MAX;
}

static bool count_leaf(struct walk *w, uint32_t record, unsigned depth)
{
    MMDB_entry_s entry;
    if (!geofile_entry(w->db, record, &entry))
        return true;
    struct row *row = row_of(w->rows, w->mask, entry.offset + 1);
    if (row->key == 0) {
        if (w->used == GEOCOVER_VALUES_MAX || (w->used * 2 >= w->mask && !grow(w)))
            return false;
        row = row_of(w->rows, w->mask, entry.offset + 1);
        row->key = entry.offset + 1;
        w->used++;
    }
    unsigned width = w->v6 ? V6_BITS : V4_BITS;
    uint64_t size = depth < width ? UINT64_C(1) << (width - depth) : 1;
    add(w->v6 ? &row->v6 : &row->v4, size);
    return true;
}

/* ---- the tree ---- */

struct place {
    uint32_t record;
    unsigned depth;
    uint64_t high; /* the first bits */
};

/* 6to4 and Teredo, in which IPv4 is seen again (RFC 3056, RFC 4380). */
static bool is_tunnel(const struct walk *w, const struct place *at)
{
    return w->v6 && ((at->depth == 16 && at->high >> 48 == 0x2002) ||
                     (at->depth == 32 && at->high >> 32 == 0x20010000));
}

/* The deeper of two is taken first, so that no more wait than an address has bits. */
static bool walk(struct walk *w, struct place from)
{
    static const uint8_t sides[2] = { 0x00, 0x80 };
    struct place waiting[130];
    unsigned most = w->v6 ? 128 : 32, count = 0;
    waiting[count++] = from;
    while (count > 0) {
        struct place at = waiting[--count];
        if (w->steps-- == 0)
            return false;
        if (is_tunnel(w, &at))
            continue;
        if (at.record >= w->db->metadata.node_count || at.depth == most) {
            if (!count_leaf(w, at.record, at.depth))
                return false;
            continue;
        }
        for (unsigned side = 0; side < 2; side++) {
            uint64_t bit = at.depth < 64 ? (uint64_t)side << (63 - at.depth) : 0;
            waiting[count++] =
                (struct place){ geofile_descend(w->db, at.record, &sides[side], 0, 1),
                                at.depth + 1, at.high | bit };
        }
    }
    return true;
}

static bool walk_all(struct walk *w)
{
    static const uint8_t given[1] = { 0x20 };
    if (!walk(w, (struct place){ .record = w->db->ipv4_start_node.node_value }))
        return false;
    if (w->db->depth != 128)
        return true;
    w->v6 = true;
    return walk(w, (struct place){ .record = geofile_descend(w->db, 0, given, 0, 3),
                                   .depth = 3,
                                   .high = UINT64_C(1) << 61 });
}

/* ---- networks ---- */

static void sift(struct row *rows, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && rows[child + 1].asn > rows[child].asn)
            child++;
        if (rows[at].asn >= rows[child].asn)
            return;
        struct row swapped = rows[at];
        rows[at] = rows[child];
        rows[child] = swapped;
    }
}

/* A heap: qsort asks the system for the size of its memory, which the steward's sandbox does
 * not let it. */
static void sort_rows(struct row *rows, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sift(rows, i - 1, count);
    for (size_t end = count; end > 1; end--) {
        struct row most = rows[0];
        rows[0] = rows[end - 1];
        rows[end - 1] = most;
        sift(rows, 0, end - 1);
    }
}

/* The rows that say a network, which is what remains, each network once. */
static size_t name_networks(struct walk *w)
{
    size_t named = 0, count = 0;
    for (size_t i = 0; i <= w->mask; i++) {
        MMDB_entry_s entry = { .mmdb = w->db, .offset = w->rows[i].key - 1 };
        if (w->rows[i].key == 0)
            continue;
        struct row row = w->rows[i];
        row.asn = geo_entry_network(&entry);
        if (row.asn != 0)
            w->rows[named++] = row;
    }
    sort_rows(w->rows, named);
    for (size_t i = 0; i < named; i++) {
        struct row *last = count > 0 ? &w->rows[count - 1] : NULL;
        if (last == NULL || last->asn != w->rows[i].asn) {
            w->rows[count++] = w->rows[i];
            continue;
        }
        add(&last->v4, w->rows[i].v4);
        add(&last->v6, w->rows[i].v6);
    }
    return count;
}

struct geocover *geocover_new(struct span bytes)
{
    MMDB_s db;
    if (geofile_open(&db, bytes) != NULL)
        return NULL;
    struct walk w = { .db = &db,
                      .steps =
                          (uint64_t)STEPS_PER_NODE * db.metadata.node_count + STEPS_LEAST };
    struct geocover *cover = calloc(1, sizeof(*cover));
    if (cover != NULL && grow(&w) && walk_all(&w)) {
        cover->count = name_networks(&w);
        cover->rows = w.rows;
        w.rows = NULL;
    }
    free(w.rows);
    if (cover != NULL && cover->count > 0)
        return cover;
    geocover_free(cover);
    return NULL;
}

void geocover_free(struct geocover *cover)
{
    if (cover == NULL)
        return;
    free(cover->rows);
    free(cover);
}

size_t geocover_count(const struct geocover *cover)
{
    return cover->count;
}

void geocover_add(const struct geocover *cover, uint32_t asn, uint64_t *v4, uint64_t *v6)
{
    size_t low = 0, high = cover->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cover->rows[middle].asn < asn)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == cover->count || cover->rows[low].asn != asn)
        return;
    add(v4, cover->rows[low].v4);
    add(v6, cover->rows[low].v6);
}
