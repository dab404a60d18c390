/*
 * Theoretical arrival times of many keys in shared memory: sets of eight entries, each a
 * fingerprint and a TAT changed together by one 16-byte compare-and-swap. No lock, so a process
 * that is killed half-way holds up nobody. A full set gives up the entry whose TAT is the
 * oldest, which is the one nearest to being forgotten anyway; if that was still of use it is
 * counted.
 *
 * The memory may be written by a compromised worker: no value read from it is an index or a
 * size.
 */
#ifndef SALLYPORT_RATELIMIT_TABLE_H
#define SALLYPORT_RATELIMIT_TABLE_H

#include "ratelimit/gcra.h"

enum { TATS_WAYS = 8, TATS_LAYOUT = 1 };

/* Two keyed hashes of what is counted: which set, and what stands there. */
struct tat_key {
    uint64_t place, fingerprint;
};

struct tats_head;
union tat_entry;

struct tats {
    struct tats_head *head;
    union tat_entry *entries;
    uint64_t set_mask;
};

/* `entries` is a power of two, at least TATS_WAYS. */
size_t tats_bytes(size_t entries);
/* Over zeroed or used memory of tats_bytes(entries), aligned to 64. */
void tats_over(struct tats *tats, void *memory, size_t entries);

/* The TAT of a key, 0 when there is none. */
uint64_t tats_get(const struct tats *tats, struct tat_key key);
/*
 * Asks and, if allowed, takes, in one step against all other processes. ERR_BUSY when the entry
 * changed under us over and over: nothing was taken.
 */
MUST_USE enum err tats_take(const struct tats *tats, struct tat_key key,
                            const struct gcra *limit, uint64_t now_ns, uint64_t cost_ns,
                            struct gcra_answer *answer);
/* A refused request's penalty: taken as far as a full burst goes, and no further. */
void tats_charge(const struct tats *tats, struct tat_key key, const struct gcra *limit,
                 uint64_t now_ns, uint64_t cost_ns);
/* What is known of a key from elsewhere, in place of what stands here. */
void tats_store(const struct tats *tats, struct tat_key key, uint64_t tat, uint64_t now_ns);
/* Gives back what tats_take took, if the entry is still there. */
void tats_refund(const struct tats *tats, struct tat_key key, uint64_t cost_ns);
/* Entries given up while they still held something back. */
uint64_t tats_evicted(const struct tats *tats);

#endif
