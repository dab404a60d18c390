/*
 * Numbers by key in shared memory: sets of eight entries, each a fingerprint and a number
 * changed together by one 16-byte compare-and-swap. No lock, so a process that is killed
 * half-way holds up nobody. A full set gives up the entry with the smallest number; so numbers
 * are points in time, or begin with one, and what goes is what is nearest to being forgotten
 * anyway. If that was still of use it is counted.
 *
 * A set is two cache lines, and a key begins to look for its entry in one of the two: most
 * keys stand in the line where they begin, and cost one miss.
 *
 * The memory may be written by a compromised worker: no value read from it is an index or a
 * size.
 */
#ifndef SALLYPORT_CELLS_H
#define SALLYPORT_CELLS_H

#include "gateway/base/base.h"

enum { CELLS_WAYS = 8, CELLS_LAYOUT = 2 };

/* Two keyed hashes of what is counted: which set, and what stands there. */
struct cell_key {
    uint64_t place, fingerprint;
};

struct cells_head;
union cell;

struct cells {
    struct cells_head *head;
    union cell *entries;
    uint64_t set_mask;
};

/* `entries` is a power of two, at least CELLS_WAYS. */
size_t cells_bytes(size_t entries);
/* Over zeroed or used memory of cells_bytes(entries), aligned to 128. */
void cells_over(struct cells *cells, void *memory, size_t entries);

/* Has the memory bring the key's line while the caller hashes its fingerprint. */
void cells_soon(const struct cells *cells, uint64_t place);
/* The number of a key, 0 when there is none. */
uint64_t cells_get(const struct cells *cells, struct cell_key key);
/*
 * Asks `step` what is to follow the number that stands there (0: none), in one step against all
 * other processes; it may be asked again with another one. False from it: nothing. Entries with
 * numbers up to `stale` are of no use any more. ERR_BUSY when the entry changed under us over
 * and over: nothing was changed. `*evicted` (may be NULL): another key that was of use made
 * room.
 */
typedef bool cell_step(void *ctx, uint64_t seen, uint64_t *next);
MUST_USE enum err cells_change(const struct cells *cells, struct cell_key key, uint64_t stale,
                               cell_step *step, void *ctx, bool *evicted);
/* In place of whatever stands there. */
void cells_store(const struct cells *cells, struct cell_key key, uint64_t number,
                 uint64_t stale);
/*
 * For who keeps a table over a restart, under the same keys: what stands at one of its places;
 * false: nothing does. And back, where nothing does.
 */
MUST_USE bool cells_read(const struct cells *cells, size_t index, uint64_t *fingerprint,
                         uint64_t *number);
void cells_put_back(const struct cells *cells, size_t index, uint64_t fingerprint,
                    uint64_t number);
/* Entries given up while they were of use. */
uint64_t cells_evicted(const struct cells *cells);

#endif
