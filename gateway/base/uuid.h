/*
 * UUIDv7 (RFC 9562 section 5.7): ids of requests, connections and records. They sort by time,
 * and those of one source in the order in which they were written. No system call per id: the
 * random part comes from siphash in counter mode under a seed of the worker. Ids are unique,
 * not secret.
 */
#ifndef SALLYPORT_UUID_H
#define SALLYPORT_UUID_H

#include "gateway/base/siphash.h"

enum { UUID_TEXT_BYTES = 36 };

struct uuid_source {
    struct siphash_key seed;
    uint64_t counter;
    uint64_t stamp; /* of the last id: milliseconds << 12 | part of the millisecond */
    unsigned order; /* of the last id among those of its stamp */
};

void uuid_source_init(struct uuid_source *source);
/* Writes 36 bytes, lower case, no NUL. */
void uuid_write(struct uuid_source *source, uint64_t wall_us, char out[UUID_TEXT_BYTES]);

#endif
