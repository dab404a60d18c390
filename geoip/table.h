/*
 * Tables of address ranges and their countries, read from comma-separated text:
 *
 *     16777216,16777471,AU                 first and last address as numbers (Tor's geoip)
 *     2001:200::,2001:200:ffff::,JP        or as addresses (Tor's geoip6, and most others)
 *     "1.0.0.0/24","AU"                    or a prefix
 *
 * Quotes, comments (#), blank lines, a line of column names and further columns are passed
 * over. A code that is no country (??, -, EU, A1) makes the range one that nobody knows.
 */
#ifndef SALLYPORT_GEOIP_TABLE_H
#define SALLYPORT_GEOIP_TABLE_H

#include "gateway/base/addr.h"

enum { GEO_RANGES_MAX = 16 * 1000 * 1000, GEO_TABLE_BYTES_MAX = 512 * 1024 * 1024 };

/* IPv4 as in the tree of an MMDB file: below 96 zero bits. */
struct geo_range {
    unsigned __int128 first, last;
    uint32_t order;   /* of the lines */
    uint16_t country; /* country_number() */
};

struct geo_table {
    struct geo_range *ranges; /* in an arena of the caller's */
    size_t count, capacity;
    size_t unknown; /* lines that were passed over because they name no country */
};

/* Room for every line of this text, beside what is there. */
MUST_USE enum err geo_table_reserve(struct geo_table *table, struct span text,
                                    struct arena *arena);
/* ERR_SYNTAX with the number of the first line that is malformed. */
MUST_USE enum err geo_table_parse(struct geo_table *table, struct span text, unsigned *line);

unsigned __int128 geo_number(const struct addr *addr);

#endif
