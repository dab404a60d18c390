/*
 * What is slow to make is kept in files from one start to the next: entries of bytes, each with
 * a name of 32 bytes that says all it was made of.
 *
 * Whoever could write such a file would own the process that reads it: Hyperscan takes a
 * database at its word. So the folder must be ours and closed to all others, each file ours,
 * regular, with one name only, and closed as well; nothing is read through a symbolic link.
 * What is in a file must have the digest that it was written with: that finds what a disk or a
 * crash has damaged. It is no signature, since a secret beside the files would be as open to
 * who can write them as they are. Anything that is not as it must be is passed over, told in
 * the log, and made anew.
 *
 * Workers cannot reach the folder: their sandbox opens no file.
 */
#ifndef SALLYPORT_RULES_CACHE_H
#define SALLYPORT_RULES_CACHE_H

#include "gateway/base/span.h"

enum {
    CACHE_NAME_BYTES = 32,
    CACHE_FILES_MAX = 512,
    CACHE_STALE_S = 60 * 60, /* after which what a killed process left half written is removed
                              */
};

#define CACHE_ENTRY_MAX ((size_t)256 << 20)

struct cache;

struct cache_name {
    uint8_t bytes[CACHE_NAME_BYTES];
};

/* The folder, made when it is not there. NULL: it cannot be used, and `*why` says why not. */
struct cache *cache_open(const char *folder, uint64_t limit, const char **why);
/* What was used longest ago goes, until the rest is within `limit` and CACHE_FILES_MAX. */
void cache_close(struct cache *cache);

/* What entries are read into, one after the other; `p` is to be freed at the end. */
struct cache_room {
    char *p;
    size_t size;
};

/* The entry, in `room` until the next is read. `p` NULL: there is none, or none that can be
 * trusted, and then `*why` says why not. From any thread that has a room of its own. */
struct span cache_read(const struct cache *cache, const struct cache_name *name,
                       struct cache_room *room, const char **why);
/* Tells in the log what is wrong with an entry. */
void cache_distrust(const struct cache_name *name, const char *why);
/* Both; to be freed. */
struct span cache_get(const struct cache *cache, const struct cache_name *name);
/* From any thread. errno or 0: who cannot write it, goes without. */
int cache_put(struct cache *cache, const struct cache_name *name, struct span content);

#endif
