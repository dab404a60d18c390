/*
 * Ranges become prefixes, prefixes a binary tree, and the tree is written node by node, as a
 * walk from the root meets them. IPv4 hangs below 96 zero bits, and below ::ffff:0:0/96 too.
 * Each country's value is written once, each continent's too, with pointers between.
 */
#include "geoip/build.h"

#include <stdlib.h>

#include "geoip/countries.h"
#include "geoip/geofile.h"

enum {
    LETTERS = 26,
    CODES = LETTERS * LETTERS,
    NODES_MAX = 64 * 1000 * 1000,
    SEPARATOR_BYTES = 16,
    VALUES_BYTES_MAX = 64 * 1024, /* all values and the metadata */
    V4_BITS = 96,
    TYPE_POINTER = 1,
    TYPE_TEXT = 2,
    TYPE_U16 = 5,
    TYPE_U32 = 6,
    TYPE_MAP = 7,
    TYPE_U64 = 9,
    TYPE_ARRAY = 11,
};
#define LEAF 0x80000000u /* with a country's number plus 1, or 0 for nothing */

struct geo_node {
    uint32_t child[2]; /* a node, or LEAF and a value */
};

struct geo_tree {
    struct geo_node *nodes;
    size_t count, capacity;
};

/* ---- the tree ---- */

static unsigned bit_of(unsigned __int128 address, unsigned depth)
{
    return (unsigned)(address >> (127 - depth)) & 1;
}

/* Index of a new node whose children both say `value`; 0: no room. */
static uint32_t split(struct geo_tree *tree, uint32_t value)
{
    if (tree->count == tree->capacity) {
        size_t capacity = tree->capacity * 2;
        if (capacity > NODES_MAX)
            return 0;
        struct geo_node *nodes = realloc(tree->nodes, capacity * sizeof(*nodes));
        if (nodes == NULL)
            return 0;
        tree->nodes = nodes;
        tree->capacity = capacity;
    }
    tree->nodes[tree->count] = (struct geo_node){ { value, value } };
    return (uint32_t)tree->count++;
}

static bool insert(struct geo_tree *tree, unsigned __int128 address, unsigned bits,
                   uint32_t value)
{
    uint32_t at = 0;
    for (unsigned depth = 0; depth + 1 < bits; depth++) {
        unsigned bit = bit_of(address, depth);
        uint32_t next = tree->nodes[at].child[bit];
        if ((next & LEAF) != 0) {
            next = split(tree, next);
            if (next == 0)
                return false;
            tree->nodes[at].child[bit] = next;
        }
        at = next;
    }
    tree->nodes[at].child[bit_of(address, bits - 1)] = value;
    return true;
}

/* The fewest prefixes that are the range. Half of everything is the shortest one. */
static bool insert_range(struct geo_tree *tree, const struct geo_range *range)
{
    unsigned __int128 first = range->first, one = 1;
    for (;;) {
        unsigned host = 0;
        while (host < 127 && (first >> host & 1) == 0 &&
               first + ((one << (host + 1)) - 1) <= range->last)
            host++;
        if (!insert(tree, first, 128 - host, LEAF | (range->country + 1u)))
            return false;
        unsigned __int128 last = first + ((one << host) - 1);
        if (last == range->last)
            return true;
        first = last + 1;
    }
}

static int widest_first(const void *a, const void *b)
{
    const struct geo_range *x = a, *y = b;
    unsigned __int128 wide_x = x->last - x->first, wide_y = y->last - y->first;
    if (wide_x != wide_y)
        return wide_x > wide_y ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Two halves that say the same are one. Answers what stands for the node. */
static uint32_t pruned(struct geo_tree *tree, uint32_t at)
{
    if ((at & LEAF) != 0)
        return at;
    struct geo_node *node = &tree->nodes[at];
    node->child[0] = pruned(tree, node->child[0]);
    node->child[1] = pruned(tree, node->child[1]);
    return node->child[0] == node->child[1] && (node->child[0] & LEAF) != 0 ? node->child[0]
                                                                            : at;
}

/* ::ffff:0:0/96 leads to where IPv4 is. */
static bool alias_mapped(struct geo_tree *tree)
{
    uint32_t v4 = 0;
    for (unsigned depth = 0; depth < V4_BITS && (v4 & LEAF) == 0; depth++)
        v4 = tree->nodes[v4].child[0];
    return insert(tree, (unsigned __int128)0xffff << 32, V4_BITS, v4);
}

int geo_tree_find(const struct geo_tree *tree, const struct addr *addr)
{
    unsigned __int128 address = geo_number(addr);
    uint32_t at = 0;
    for (unsigned depth = 0; depth < 128 && (at & LEAF) == 0; depth++)
        at = tree->nodes[at].child[bit_of(address, depth)];
    return (int)(at & ~LEAF) - 1;
}

/* ---- values ---- */

static void put_control(struct text *out, unsigned type, size_t size)
{
    INVARIANT(size < 29);
    text_char(out, (char)((type < 8 ? type << 5 : 0) | size));
    if (type >= 8)
        text_char(out, (char)(type - 7));
}

static void put_text(struct text *out, struct span text)
{
    INVARIANT(text.len < 29 + 256);
    if (text.len < 29)
        put_control(out, TYPE_TEXT, text.len);
    else {
        text_char(out, (char)(TYPE_TEXT << 5 | 29));
        text_char(out, (char)(text.len - 29));
    }
    text_add(out, text);
}

static void put_uint(struct text *out, const char *key, unsigned type, uint64_t value)
{
    size_t len = 0;
    while (len < 8 && value >> 8 * len != 0)
        len++;
    put_text(out, span_text(key));
    put_control(out, type, len);
    for (size_t i = len; i-- > 0;)
        text_char(out, (char)(value >> 8 * i));
}

/* Targets of pointers stand at the beginning, where 11 bits reach. */
static void put_pointer(struct text *out, size_t target)
{
    INVARIANT(target < 2048);
    text_char(out, (char)(TYPE_POINTER << 5 | target >> 8));
    text_char(out, (char)target);
}

/* Values of all countries in the table; `offsets` by country. Answers how many. */
static size_t put_values(struct text *out, const struct geo_table *table,
                         uint32_t offsets[CODES])
{
    static const char continents[][3] = { "AF", "AN", "AS", "EU", "NA", "OC", "SA" };
    size_t at[ARRAY_LEN(continents)], count = 0;
    bool used[CODES] = { false };
    for (size_t i = 0; i < table->count; i++)
        used[table->ranges[i].country] = true;
    for (size_t i = 0; i < ARRAY_LEN(continents); i++) {
        at[i] = out->len;
        put_control(out, TYPE_MAP, 1);
        put_text(out, SPAN("code"));
        put_text(out, span_text(continents[i]));
    }
    for (unsigned number = 0; number < CODES; number++) {
        char code[] = { (char)('A' + number / LETTERS), (char)('A' + number % LETTERS), '\0' };
        const char *continent = used[number] ? country_continent(code) : NULL;
        if (continent == NULL)
            continue;
        offsets[number] = (uint32_t)out->len;
        count++;
        put_control(out, TYPE_MAP, 2);
        put_text(out, SPAN("continent"));
        for (size_t i = 0; i < ARRAY_LEN(continents); i++)
            if (strcmp(continents[i], continent) == 0)
                put_pointer(out, at[i]);
        put_text(out, SPAN("country"));
        put_control(out, TYPE_MAP, 1);
        put_text(out, SPAN("iso_code"));
        put_text(out, span_of(code, 2));
    }
    return count;
}

static void put_metadata(struct text *out, const struct geo_build *build)
{
    text_lit(out, "\xab\xcd\xef"
                  "MaxMind.com");
    put_control(out, TYPE_MAP, 9);
    put_uint(out, "binary_format_major_version", TYPE_U16, 2);
    put_uint(out, "binary_format_minor_version", TYPE_U16, 0);
    put_uint(out, "build_epoch", TYPE_U64, build->epoch);
    put_text(out, SPAN("database_type"));
    put_text(out, SPAN("Sallyport-Country"));
    put_text(out, SPAN("description"));
    put_control(out, TYPE_MAP, 1);
    put_text(out, SPAN("en"));
    put_text(out, SPAN("Countries, made by sallyport geoip build"));
    put_uint(out, "ip_version", TYPE_U16, 6);
    put_text(out, SPAN("languages"));
    put_control(out, TYPE_ARRAY, 0);
    put_uint(out, "node_count", TYPE_U32, build->nodes);
    put_uint(out, "record_size", TYPE_U16, build->record_size);
}

/* ---- the file ---- */

/* Numbers by node, in the order in which a walk meets them; UINT32_MAX: not met. */
struct numbering {
    const struct geo_tree *tree;
    uint32_t *number, *node; /* and the other way round */
    uint32_t count;
};

static void number_below(struct numbering *n, uint32_t at)
{
    if ((at & LEAF) != 0 || n->number[at] != UINT32_MAX)
        return;
    n->number[at] = n->count;
    n->node[n->count++] = at;
    number_below(n, n->tree->nodes[at].child[0]);
    number_below(n, n->tree->nodes[at].child[1]);
}

static void put_node(struct text *out, unsigned size, const uint32_t records[2])
{
    uint64_t bits = (uint64_t)records[0] << size | records[1];
    if (size == 28) { /* the high bits of both share the byte in the middle */
        uint64_t left = records[0], right = records[1];
        bits = (left & 0xffffff) << 32 | (left >> 24) << 28 | right;
    }
    for (unsigned i = size / 4; i-- > 0;)
        text_char(out, (char)(bits >> 8 * i));
}

static void put_tree(struct text *out, const struct numbering *n, unsigned size,
                     const uint32_t offsets[CODES])
{
    for (uint32_t i = 0; i < n->count; i++) {
        uint32_t records[2];
        for (unsigned side = 0; side < 2; side++) {
            uint32_t child = n->tree->nodes[n->node[i]].child[side];
            if ((child & LEAF) == 0)
                records[side] = n->number[child];
            else if (child == LEAF)
                records[side] = n->count;
            else
                records[side] = n->count + SEPARATOR_BYTES + offsets[(child & ~LEAF) - 1];
        }
        put_node(out, size, records);
    }
}

static unsigned least_size(uint64_t largest)
{
    return largest < 1u << 24 ? 24 : largest < 1u << 28 ? 28 : 32;
}

static enum err write_file(struct geo_build *build, const struct geo_table *table,
                           struct numbering *n, struct arena *arena)
{
    static const char zero[SEPARATOR_BYTES];
    uint32_t *offsets = arena_array(arena, uint32_t, CODES);
    struct text values = text_growing(arena, VALUES_BYTES_MAX);
    if (offsets == NULL)
        return ERR_MEMORY;
    build->countries = put_values(&values, table, offsets);
    build->nodes = n->count;
    uint64_t largest = (uint64_t)n->count + SEPARATOR_BYTES + values.len;
    if (build->record_size == 0)
        build->record_size = least_size(largest);
    size_t size = (size_t)n->count * build->record_size / 4 + VALUES_BYTES_MAX;
    if (build->record_size < least_size(largest) || size > GEOFILE_BYTES_MAX)
        return ERR_LIMIT;
    void *memory = arena_alloc(arena, size);
    if (memory == NULL || values.overflow)
        return ERR_MEMORY;
    struct text out = text_fixed(memory, size);
    put_tree(&out, n, build->record_size, offsets);
    text_add(&out, span_of(zero, sizeof(zero)));
    text_add(&out, text_span(&values));
    put_metadata(&out, build);
    build->bytes = text_span(&out);
    return out.overflow ? ERR_LIMIT : OK;
}

static void free_nodes(void *p)
{
    free(((struct geo_tree *)p)->nodes);
}

static enum err grow(struct geo_tree *tree, struct geo_table *table)
{
    tree->nodes[tree->count++] = (struct geo_node){ { LEAF, LEAF } };
    if (table->count > 0)
        qsort(table->ranges, table->count, sizeof(*table->ranges), widest_first);
    for (size_t i = 0; i < table->count; i++)
        if (!insert_range(tree, &table->ranges[i]))
            return ERR_LIMIT;
    (void)pruned(tree, 0);
    return alias_mapped(tree) ? OK : ERR_LIMIT;
}

enum err geo_build(struct geo_build *build, struct geo_table *table, struct arena *arena)
{
    struct geo_tree *tree = arena_new(arena, struct geo_tree);
    if (tree == NULL)
        return ERR_MEMORY;
    tree->capacity = 1024;
    tree->nodes = malloc(tree->capacity * sizeof(*tree->nodes));
    if (tree->nodes == NULL)
        return ERR_MEMORY;
    if (!arena_defer(arena, free_nodes, tree)) {
        free_nodes(tree);
        return ERR_MEMORY;
    }
    TRY(grow(tree, table));
    struct numbering n = { .tree = tree,
                           .number = arena_alloc(arena, tree->count * sizeof(uint32_t)),
                           .node = arena_alloc(arena, tree->count * sizeof(uint32_t)) };
    if (n.number == NULL || n.node == NULL)
        return ERR_MEMORY;
    memset(n.number, 0xff, tree->count * sizeof(uint32_t));
    number_below(&n, 0);
    build->tree = tree;
    return write_file(build, table, &n, arena);
}
