/*
 * The check of MMDB files. Every count, offset and length in one is hostile. Each record of the
 * tree is another node, nothing, or a value's offset, whether the root leads to it or not; and
 * from the root no path is longer than an address. Nodes are shared (IPv4 hangs in several
 * places), so those that are met again at a greater depth are walked again. Values are followed
 * with a memory of what was seen, because thousands of records share one, and with a budget,
 * because values can be made to overlap.
 */
#include "geoip/geofile.h"

#include <stdlib.h>

enum {
    SEPARATOR_BYTES = 16,
    MARKER_BYTES = 14,
    STEPS_PER_BYTE = 4,
    STEPS_PER_NODE = 8,
    STEPS_LEAST = 4096,
    FORMAT_MAJOR = 2,
};

static const char marker_bytes[] = "\xab\xcd\xefMaxMind.com";

enum type {
    TYPE_EXTENDED,
    TYPE_POINTER,
    TYPE_TEXT,
    TYPE_DOUBLE,
    TYPE_BYTES,
    TYPE_U16,
    TYPE_U32,
    TYPE_MAP,
    TYPE_I32,
    TYPE_U64,
    TYPE_U128,
    TYPE_ARRAY,
    TYPE_CACHE,
    TYPE_END,
    TYPE_BOOL,
    TYPE_FLOAT,
    TYPE_COUNT
};

/* How many bytes a value of the type has; maps and arrays have members instead, a boolean is
 * its size, and the two that are left out may not stand in a file. */
static const struct size_row {
    uint32_t least, most;
} sizes[TYPE_COUNT] = {
    [TYPE_TEXT] = { 0, UINT32_MAX },
    [TYPE_DOUBLE] = { 8, 8 },
    [TYPE_BYTES] = { 0, UINT32_MAX },
    [TYPE_U16] = { 0, 2 },
    [TYPE_U32] = { 0, 4 },
    [TYPE_MAP] = { 0, UINT32_MAX },
    [TYPE_I32] = { 0, 4 },
    [TYPE_U64] = { 0, 8 },
    [TYPE_U128] = { 0, 16 },
    [TYPE_ARRAY] = { 0, UINT32_MAX },
    [TYPE_CACHE] = { 1, 0 },
    [TYPE_END] = { 1, 0 },
    [TYPE_BOOL] = { 0, 1 },
    [TYPE_FLOAT] = { 4, 4 },
};

struct section {
    const uint8_t *p;
    size_t len;
};

struct item {
    enum type type;
    uint32_t size;  /* bytes, members, or of a pointer its target */
    size_t payload; /* where bytes or members begin; of a pointer what follows it */
};

static uint32_t big_endian(const uint8_t *p, size_t len)
{
    uint32_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | p[i];
    return value;
}

/* ---- values ---- */

static bool read_pointer(struct section s, size_t at, struct item *item)
{
    static const uint32_t base[] = { 0, 2048, 526336, 0 };
    unsigned control = s.p[at], size = control >> 3 & 3, count = size + 1;
    if (s.len - at - 1 < count)
        return false;
    uint32_t high = size < 3 ? control & 7 : 0;
    uint32_t low = big_endian(s.p + at + 1, count);
    item->type = TYPE_POINTER;
    item->size = (size < 3 ? high << (8 * count) | low : low) + base[size];
    item->payload = at + 1 + count;
    return true;
}

/* What stands at `at`; its bytes, or the first byte of its members, are inside the section. */
static bool read_item(struct section s, size_t at, struct item *item)
{
    static const uint32_t base[] = { 29, 285, 65821 };
    if (at >= s.len)
        return false;
    unsigned type = s.p[at] >> 5;
    if (type == TYPE_POINTER)
        return read_pointer(s, at, item);
    uint32_t size = s.p[at++] & 31;
    if (type == TYPE_EXTENDED) {
        if (at >= s.len)
            return false;
        type = s.p[at++] + 7u;
        if (type < TYPE_I32 || type >= TYPE_COUNT)
            return false;
    }
    if (size >= 29) {
        size_t count = size - 28;
        if (s.len - at < count)
            return false;
        size = big_endian(s.p + at, count) + base[count - 1];
        at += count;
    }
    *item = (struct item){ (enum type)type, size, at };
    if (size < sizes[type].least || size > sizes[type].most)
        return false;
    bool bytes = type != TYPE_MAP && type != TYPE_ARRAY && type != TYPE_BOOL;
    return !bytes || s.len - at >= size;
}

struct walk {
    struct section s;
    uint8_t *seen; /* a bit per offset at which a good value begins; NULL: no memory */
    uint64_t steps;
};

static bool walk_value(struct walk *w, size_t at, unsigned depth, size_t *behind);

/* A pointer's target may be anything but a pointer. */
static bool walk_target(struct walk *w, size_t at, unsigned depth)
{
    struct item item;
    size_t behind;
    if (!read_item(w->s, at, &item) || item.type == TYPE_POINTER)
        return false;
    if (w->seen != NULL && (w->seen[at / 8] & 1u << at % 8) != 0)
        return true;
    return walk_value(w, at, depth, &behind);
}

/* A key is a text, here or where a pointer leads. */
static bool read_key(struct section s, size_t at, struct span *key, size_t *behind)
{
    struct item item;
    if (!read_item(s, at, &item))
        return false;
    *behind = item.payload + (item.type == TYPE_POINTER ? 0 : item.size);
    if (item.type == TYPE_POINTER && !read_item(s, item.size, &item))
        return false;
    *key = span_of((const char *)s.p + item.payload, item.size);
    return item.type == TYPE_TEXT;
}

/* Checks the value at `at` and all below it; `*behind` is where the next one begins. */
static bool walk_value(struct walk *w, size_t at, unsigned depth, size_t *behind)
{
    struct item item;
    struct span key;
    if (depth == GEOFILE_DEPTH_MAX || w->steps == 0 || !read_item(w->s, at, &item))
        return false;
    w->steps--;
    *behind = item.payload;
    if (item.type == TYPE_POINTER)
        return walk_target(w, item.size, depth + 1);
    if (item.type != TYPE_MAP && item.type != TYPE_ARRAY)
        *behind += item.type == TYPE_BOOL ? 0 : item.size;
    else
        for (uint32_t i = 0; i < item.size; i++)
            if ((item.type == TYPE_MAP && !read_key(w->s, *behind, &key, behind)) ||
                !walk_value(w, *behind, depth + 1, behind))
                return false;
    if (w->seen != NULL)
        w->seen[at / 8] |= (uint8_t)(1u << at % 8);
    return true;
}

static uint64_t steps_for(size_t len)
{
    return (uint64_t)STEPS_PER_BYTE * len + STEPS_LEAST;
}

/* ---- metadata ---- */

/* An unsigned number at the top of the metadata, which has been walked. */
static bool metadata_uint(struct section s, const char *name, uint64_t *value)
{
    struct walk w = { .s = s, .steps = steps_for(s.len) };
    struct item map, item;
    struct span key;
    if (!read_item(s, 0, &map) || map.type != TYPE_MAP)
        return false;
    size_t at = map.payload;
    for (uint32_t i = 0; i < map.size; i++) {
        if (!read_key(s, at, &key, &at) || !read_item(s, at, &item))
            return false;
        if (item.type == TYPE_POINTER && !read_item(s, item.size, &item))
            return false;
        bool is_number =
            item.type == TYPE_U16 || item.type == TYPE_U32 || item.type == TYPE_U64;
        if (span_equal(key, span_text(name)) && is_number) {
            uint32_t low = item.size < 4 ? item.size : 4;
            uint64_t high = big_endian(s.p + item.payload, item.size - low);
            *value = high << 32 | big_endian(s.p + item.payload + item.size - low, low);
            return true;
        }
        if (!walk_value(&w, at, 0, &at))
            return false;
    }
    return false;
}

/* Behind the last marker, which must be near the end. */
static bool find_metadata(struct span bytes, size_t *marker, struct section *s)
{
    size_t len = MARKER_BYTES;
    if (bytes.len < len)
        return false;
    size_t least = bytes.len > GEOFILE_METADATA_MAX ? bytes.len - GEOFILE_METADATA_MAX : 0;
    for (size_t at = bytes.len - len + 1; at-- > least;) {
        if (memcmp(bytes.p + at, marker_bytes, len) != 0)
            continue;
        *marker = at;
        *s = (struct section){ (const uint8_t *)bytes.p + at + len, bytes.len - at - len };
        return true;
    }
    return false;
}

static const char *read_metadata(MMDB_s *db, struct section s)
{
    struct walk w = { .s = s, .steps = steps_for(s.len) };
    uint64_t nodes, record, version, major, epoch = 0;
    size_t behind;
    if (!walk_value(&w, 0, 0, &behind))
        return "its metadata is damaged";
    if (!metadata_uint(s, "node_count", &nodes) || !metadata_uint(s, "record_size", &record) ||
        !metadata_uint(s, "ip_version", &version) ||
        !metadata_uint(s, "binary_format_major_version", &major))
        return "its metadata is not complete";
    if (major != FORMAT_MAJOR)
        return "it is of another version of the format";
    if (record != 24 && record != 28 && record != 32)
        return "its records have a size that the format does not know";
    if (version != 4 && version != 6)
        return "its addresses are neither IPv4 nor IPv6";
    if (nodes == 0 || nodes > UINT32_MAX)
        return "its tree has no node, or too many";
    (void)metadata_uint(s, "build_epoch", &epoch);
    db->metadata.node_count = (uint32_t)nodes;
    db->metadata.record_size = (uint16_t)record;
    db->metadata.ip_version = (uint16_t)version;
    db->metadata.binary_format_major_version = FORMAT_MAJOR;
    db->metadata.build_epoch = epoch;
    return NULL;
}

/* ---- the tree ---- */

/* Left and right record of a node that is there. */
static void read_node(const MMDB_s *db, uint32_t node, uint32_t records[2])
{
    const uint8_t *p = db->file_content + (size_t)node * db->full_record_byte_size;
    switch (db->metadata.record_size) {
    case 24:
        records[0] = big_endian(p, 3);
        records[1] = big_endian(p + 3, 3);
        return;
    case 28: /* the odd byte in the middle holds the high bits of both */
        records[0] = (uint32_t)(p[3] >> 4) << 24 | big_endian(p, 3);
        records[1] = (uint32_t)(p[3] & 15) << 24 | big_endian(p + 4, 3);
        return;
    default:
        records[0] = big_endian(p, 4);
        records[1] = big_endian(p + 4, 4);
    }
}

/* Where IPv4 begins in a tree of IPv6: below 96 zero bits. */
static void find_ipv4(MMDB_s *db)
{
    uint32_t records[2], node = 0;
    uint16_t bits = 0;
    for (; db->depth == 128 && bits < 96 && node < db->metadata.node_count; bits++) {
        read_node(db, node, records);
        node = records[0];
    }
    db->ipv4_start_node.node_value = node;
    db->ipv4_start_node.netmask = bits;
}

const char *geofile_open(MMDB_s *db, struct span bytes)
{
    struct section s;
    size_t marker;
    *db = (MMDB_s){ .filename = NULL };
    if (bytes.len > GEOFILE_BYTES_MAX)
        return "it is longer than 256 MiB";
    if (!find_metadata(bytes, &marker, &s))
        return "it is not an MMDB file, or not a whole one";
    const char *trouble = read_metadata(db, s);
    if (trouble != NULL)
        return trouble;
    db->full_record_byte_size = (uint16_t)(db->metadata.record_size * 2 / 8);
    uint64_t tree = (uint64_t)db->metadata.node_count * db->full_record_byte_size;
    if (tree + SEPARATOR_BYTES >= marker)
        return "its tree is longer than the file";
    db->file_size = (ssize_t)bytes.len;
    db->file_content = (const uint8_t *)bytes.p;
    db->data_section = db->file_content + tree + SEPARATOR_BYTES;
    /* The library counts the metadata in: a record's number has the separator in it. */
    db->data_section_size = (uint32_t)(bytes.len - tree - SEPARATOR_BYTES);
    db->metadata_section = s.p;
    db->metadata_section_size = (uint32_t)s.len;
    db->depth = db->metadata.ip_version == 6 ? 128 : 32;
    find_ipv4(db);
    return NULL;
}

/* ---- look-ups ---- */

static inline uint32_t child(const MMDB_s *db, uint32_t node, unsigned bit)
{
    const uint8_t *p = db->file_content + (size_t)node * db->full_record_byte_size;
    switch (db->metadata.record_size) {
    case 24:
        p += 3 * bit;
        return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
    case 28:
        return (uint32_t)(bit != 0 ? p[3] & 15 : p[3] >> 4) << 24 | (uint32_t)p[4 * bit] << 16 |
               (uint32_t)p[4 * bit + 1] << 8 | p[4 * bit + 2];
    default:
        return big_endian(p + 4 * bit, 4);
    }
}

uint32_t geofile_descend(const MMDB_s *db, uint32_t record, const uint8_t *address,
                         unsigned from, unsigned to)
{
    for (unsigned i = from; i < to && record < db->metadata.node_count; i++)
        record = child(db, record, address[i / 8] >> (7 - i % 8) & 1);
    return record;
}

bool geofile_entry(const MMDB_s *db, uint32_t record, MMDB_entry_s *entry)
{
    uint32_t nodes = db->metadata.node_count;
    if (record <= nodes || record - nodes < SEPARATOR_BYTES ||
        record - nodes - SEPARATOR_BYTES >= db->data_section_size)
        return false;
    *entry = (MMDB_entry_s){ .mmdb = db, .offset = record - nodes - SEPARATOR_BYTES };
    return true;
}

static void fill(const MMDB_s *db, uint32_t top[GEOFILE_TOP], uint32_t record, unsigned depth,
                 uint32_t first)
{
    uint32_t count = GEOFILE_TOP >> depth;
    if (depth < GEOFILE_TOP_BITS && record < db->metadata.node_count) {
        fill(db, top, child(db, record, 0), depth + 1, first);
        fill(db, top, child(db, record, 1), depth + 1, first + count / 2);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        top[first + i] = record;
}

void geofile_fill_top(const MMDB_s *db, uint32_t top[GEOFILE_TOP])
{
    fill(db, top, db->ipv4_start_node.node_value, 0, 0);
}

/* ---- the whole check ---- */

static const char *verify_tree(const MMDB_s *db, struct walk *w)
{
    uint32_t nodes = db->metadata.node_count, records[2];
    for (uint32_t node = 0; node < nodes; node++) {
        read_node(db, node, records);
        for (unsigned side = 0; side < 2; side++) {
            if (records[side] <= nodes)
                continue;
            uint32_t offset = records[side] - nodes;
            if (offset < SEPARATOR_BYTES || offset - SEPARATOR_BYTES >= w->s.len)
                return "its tree leads out of the file";
            if (!walk_target(w, offset - SEPARATOR_BYTES, 0))
                return w->steps > 0 ? "a value in it is damaged" : "values in it overlap";
        }
    }
    return NULL;
}

struct descent {
    const MMDB_s *db;
    uint8_t *depths; /* the greatest at which a node was met, plus 1 */
    uint64_t steps;
};

/* Recursion as deep as an address has bits. */
static bool descend(struct descent *d, uint32_t node, unsigned depth)
{
    uint32_t records[2];
    if (depth == d->db->depth || d->steps == 0)
        return false;
    if (d->depths[node] > depth)
        return true;
    d->depths[node] = (uint8_t)(depth + 1);
    d->steps--;
    read_node(d->db, node, records);
    for (unsigned side = 0; side < 2; side++)
        if (records[side] < d->db->metadata.node_count && !descend(d, records[side], depth + 1))
            return false;
    return true;
}

static const char *verify_depth(const MMDB_s *db)
{
    struct descent d = { .db = db,
                         .depths = calloc(db->metadata.node_count, 1),
                         .steps =
                             (uint64_t)STEPS_PER_NODE * db->metadata.node_count + STEPS_LEAST };
    if (d.depths == NULL)
        return "there is no memory to check it";
    bool good = descend(&d, 0, 0);
    free(d.depths);
    return good ? NULL : "its tree is deeper than an address, or goes in circles";
}

const char *geofile_verify(struct span bytes)
{
    MMDB_s db;
    const char *trouble = geofile_open(&db, bytes);
    if (trouble != NULL)
        return trouble;
    size_t len = (size_t)(db.metadata_section - db.data_section) - MARKER_BYTES;
    struct walk w = { .s = { db.data_section, len },
                      .steps = steps_for(len),
                      .seen = calloc(len / 8 + 1, 1) };
    if (w.seen == NULL)
        return "there is no memory to check it";
    static const uint8_t zero[SEPARATOR_BYTES];
    if (memcmp(db.data_section - SEPARATOR_BYTES, zero, SEPARATOR_BYTES) != 0)
        trouble = "there is something between its tree and its values";
    else
        trouble = verify_tree(&db, &w);
    free(w.seen);
    if (trouble == NULL)
        trouble = verify_depth(&db);
    return trouble;
}
