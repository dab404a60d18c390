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
 * NULL, or what is wrong anywhere: every record of the tree, every value it leads to. Takes a
 * bounded number of steps per byte.
 */
const char *geofile_verify(struct span bytes);

#endif
