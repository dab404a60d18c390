/*
 * Which values the records between two seals have: what a seal signs, so that somebody who has
 * no more than the seals can be shown that no other record answers a query.
 *
 * An entry is a record's number and a tag, the hash of one of its values that a query may name
 * (blocks.h). The ten highest bits of its tag choose the entry's bucket of 1,024; over these
 * stands a tree of hashes, and its root is signed:
 *
 *     bucket = BLAKE2b-256(0 | entries)             entry: tag (8), number - first (4), low
 * first node   = BLAKE2b-256(1 | left | right)
 *
 * in the order of the records. To show all records of one value is to show one bucket and the
 * ten nodes beside its way to the root. What else is in the bucket is told by that, to who
 * tries values: one in a thousand of them.
 */
#ifndef SALLYPORT_ROSTER_H
#define SALLYPORT_ROSTER_H

#include "gateway/audit/blocks.h"

enum {
    ROSTER_LEVELS = 10,
    ROSTER_BUCKETS = 1 << ROSTER_LEVELS,
    ROSTER_HASH = 32,
    ROSTER_ENTRY = 12,
    /* Between two seals; where there is more, there is no roster. */
    ROSTER_RECORDS_MAX = 1 << 14,
    ROSTER_ENTRIES_MAX = 1 << 18,
    ROSTER_BUCKET_MAX = 1 << 15,
};

struct roster_entry {
    uint64_t tag;
    uint32_t number; /* of the record, from the first one on */
    uint32_t bucket;
};

struct roster {
    uint64_t first, next; /* numbers of records: of the first here, of the one to come */
    uint64_t from_us, to_us;
    bool broken; /* a record was passed over, or there are too many */
    size_t count;
    struct roster_entry entries[ROSTER_ENTRIES_MAX];
    /* By roster_root: */
    uint32_t order[ROSTER_ENTRIES_MAX], begins[ROSTER_BUCKETS + 1];
    uint8_t nodes[2 * ROSTER_BUCKETS][ROSTER_HASH]; /* 1: the root; 2n and 2n+1 below n */
};

/* A roster that begins with this record. */
void roster_begin(struct roster *roster, uint64_t first);
/* The line as the worker made it, or sealed: its values are the same. */
void roster_add(struct roster *roster, uint64_t seq, struct span line);
/* False: it is not that of these records, and nothing is to be said of them. */
MUST_USE bool roster_root(struct roster *roster, uint64_t first, uint64_t last,
                          uint8_t root[ROSTER_HASH]);

/* What shows the records of one value; spans point into the roster or `bytes`. */
struct roster_proof {
    struct span entries; /* as they are hashed */
    uint8_t path[ROSTER_LEVELS][ROSTER_HASH];
};
/* Behind a good roster_root. `bytes` has room for ROSTER_BUCKET_MAX entries. */
void roster_prove(const struct roster *roster, uint64_t tag, char *bytes,
                  struct roster_proof *proof);
/* Whether these are all entries of the tag's bucket under that root. */
MUST_USE bool roster_check(const uint8_t root[ROSTER_HASH], uint64_t tag,
                           const struct roster_proof *proof);
/* The number of the next record with this tag, counted from the first one of the roster; false:
 * there is no further one. `*at` begins with 0. */
MUST_USE bool roster_next(const struct roster_proof *proof, uint64_t tag, size_t *at,
                          uint32_t *number);

#endif
