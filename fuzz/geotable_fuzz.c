/*
 * Tables of ranges from hostile text: what is taken becomes a database that passes the check,
 * and its tree says of both ends of every range what the narrowest range there says.
 */
#include "geoip/build.h"
#include "geoip/geofile.h"

enum { RANGES_MAX = 64 };

static int naive(const struct geo_table *table, unsigned __int128 number)
{
    const struct geo_range *best = NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct geo_range *r = &table->ranges[i];
        if (number < r->first || number > r->last)
            continue;
        if (best == NULL || r->last - r->first < best->last - best->first ||
            (r->last - r->first == best->last - best->first && r->order > best->order))
            best = r;
    }
    return best != NULL ? best->country : -1;
}

static void compare(const struct geo_build *build, const struct geo_table *table,
                    unsigned __int128 number)
{
    struct addr addr = { .family = ADDR_V6 };
    for (size_t k = 0; k < 16; k++)
        addr.bytes[k] = (uint8_t)(number >> 8 * (15 - k));
    if (number >> 32 == 0xffff) /* ::ffff:0:0/96 says what IPv4 does, whatever the table */
        return;
    INVARIANT(geo_tree_find(build->tree, &addr) == naive(table, number));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct geo_table table = { .count = 0 };
    struct geo_build build = { .epoch = 1 };
    struct span text = span_of((const char *)data, size);
    unsigned line;
    if (size > 16 * 1024)
        return 0;
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    INVARIANT(geo_table_reserve(&table, text, &arena) == OK);
    enum err err = geo_table_parse(&table, text, &line);
    INVARIANT((err == OK) == (line == 0));
    if (err == OK && table.count <= RANGES_MAX) {
        INVARIANT(geo_build(&build, &table, &arena) == OK);
        INVARIANT(geofile_verify(build.bytes) == NULL);
        for (size_t i = 0; i < table.count; i++) {
            compare(&build, &table, table.ranges[i].first);
            compare(&build, &table, table.ranges[i].last);
        }
    }
    arena_reset(&arena);
    return 0;
}
