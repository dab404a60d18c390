/*
 * Collections that outlive a transaction (initcol, setsid, setuid, setrsc), in memory that all
 * workers share.
 *
 * A collection under one key is one record of bounded size in a fixed table: sets of eight
 * entries under a keyed hash of the collection's name and key. A full set gives up the entry
 * that was changed longest ago, and says so. Readers take no lock: an entry bears a
 * keyed checksum, and what does not verify is not there. Writers lock a set for some
 * microseconds; a lock that was held for a second belongs to a process that is gone and is
 * taken over.
 *
 * The memory may be written by a compromised worker: nothing read from it is trusted as a size,
 * an index or a pointer, and all that it can forge are the rules' own counters.
 */
#ifndef SALLYPORT_RULES_STORE_H
#define SALLYPORT_RULES_STORE_H

#include "gateway/base/siphash.h"
#include "rules/engine/run.h"

enum {
    STORE_LAYOUT = 2,
    STORE_WAYS = 8,
    STORE_ENTRIES = 16384, /* a multiple of STORE_WAYS */
    STORE_WORDS = 124,     /* a record: an entry is 1 KiB */
    STORE_RECORD_BYTES = STORE_WORDS * 8,
    STORE_VARIABLES_MAX = 64, /* of one record */
    STORE_NAME_BYTES_MAX = 255,
    STORE_TIMEOUT_S = 3600, /* where SecCollectionTimeout does not say */
};

struct store_set;

struct sec_store {
    struct store_set *sets;
    size_t set_count;
    struct siphash_key place, mark, check;
};

/* Over zeroed or used memory of sec_store_bytes(entries), aligned to 64. */
size_t sec_store_bytes(size_t entries);
void sec_store_over(struct sec_store *store, void *memory, size_t entries,
                    const uint8_t boot_key[32]);
struct store_key {
    uint64_t place, mark;
};

struct store_record {
    size_t len;
    uint64_t expires; /* wall clock, seconds */
    union {
        uint64_t words[STORE_WORDS];
        char bytes[STORE_RECORD_BYTES];
    };
};

struct store_key sec_store_key(const struct sec_store *store, struct span name);
/* False: there is none that has not expired. */
bool sec_store_read(const struct sec_store *store, struct store_key key, uint64_t now,
                    struct store_record *record);
/*
 * Asks `step` what is to follow the record that stands there (len 0: none), in one step against
 * all other processes. ERR_BUSY: the set stayed locked, and nothing was changed. `*evicted`
 * (may be NULL): another record made room before its time.
 */
typedef void store_step(void *ctx, struct store_record *record);
MUST_USE enum err sec_store_change(const struct sec_store *store, struct store_key key,
                                   uint64_t now, store_step *step, void *ctx, bool *evicted);

/* ---- collection.c: between records and a transaction's variables ---------------------------
 */

/* Begins a collection: what is kept under run->collection_key, or a new one, which is all there
 * is without a store. False: out of memory. */
MUST_USE bool sec_collection_begin(struct sec_run *run, enum sec_collection collection);
struct sec_kept {
    unsigned evicted; /* records given up for these before their time */
    unsigned lost;    /* changes that had no room in the record, or found it locked */
};
/* At a transaction's end: keeps the collections that rules have changed. */
struct sec_kept sec_collections_keep(const struct sec_run *run);

#endif
