/*
 * MMDB files, read from memory (https://maxmind.github.io/MaxMind-DB/). libmaxminddb opens
 * paths only, and maps what it opens: who truncates the file kills whoever reads. So the bytes
 * are copied first, checked whole, and then given to the library.
 */
#ifndef SALLYPORT_GEOFILE_H
#define SALLYPORT_GEOFILE_H

#include <maxminddb.h>

#include "gateway/base/span.h"

enum {
    GEOFILE_BYTES_MAX = 256 * 1024 * 1024,
    GEOFILE_METADATA_MAX = 128 * 1024, /* the marker stands this near the end */
    GEOFILE_DEPTH_MAX = 32,            /* of nested maps, arrays and pointers */
};

/*
 * NULL, or what is wrong with head and layout; `db` is then ready for look-ups, as long as the
 * bytes live, and is never given to MMDB_close. Takes microseconds: the metadata only.
 */
const char *geofile_open(MMDB_s *db, struct span bytes);

/*
 * What the tree says behind bits `from` to `to` of an address, beginning at `record`; below the
 * number of nodes it is a node, and there is more to come. As the library's look-up, but from
 * where one likes, and with no detour by way of socket addresses. Every step is checked.
 */
uint32_t geofile_descend(const MMDB_s *db, uint32_t record, const uint8_t *address,
                         unsigned from, unsigned to);
/* The value that a record stands for; false: none. */
bool geofile_entry(const MMDB_s *db, uint32_t record, MMDB_entry_s *entry);

enum { GEOFILE_TOP_BITS = 16, GEOFILE_TOP = 1 << GEOFILE_TOP_BITS };
/* Records behind the first 16 bits of IPv4 addresses: where most of a look-up is done. */
void geofile_fill_top(const MMDB_s *db, uint32_t top[GEOFILE_TOP]);

/*
 * NULL, or what is wrong anywhere: every record of the tree, every value it leads to. Takes a
 * bounded number of steps per byte.
 */
const char *geofile_verify(struct span bytes);

#endif
