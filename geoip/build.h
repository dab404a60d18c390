/*
 * Writes country databases in the MMDB format, from a table of ranges. Where ranges overlap the
 * narrower one holds, and of two that are the same the later.
 */
#ifndef SALLYPORT_GEOIP_BUILD_H
#define SALLYPORT_GEOIP_BUILD_H

#include "geoip/table.h"

struct geo_tree;

struct geo_build {
    unsigned record_size; /* 24, 28, 32; 0: the least that suffices */
    uint64_t epoch;       /* seconds since 1970 */
    /* Made: */
    struct span bytes;
    uint32_t nodes;
    size_t countries;
    const struct geo_tree *tree;
};

/* Sorts the table. ERR_LIMIT: the file would be too large, or its numbers too large for the
 * size of record that was asked for. */
MUST_USE enum err geo_build(struct geo_build *build, struct geo_table *table,
                            struct arena *arena);
/* What the tree says about an address, without the file: country_number(), or -1. */
int geo_tree_find(const struct geo_tree *tree, const struct addr *addr);

#endif
