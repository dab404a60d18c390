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

union cell {
    struct {
        uint64_t fingerprint, number;
    };
    unsigned __int128 whole;
};

struct cells {
    struct cells_head *head;
    union cell *entries;
    uint64_t set_mask;
};

/* `entries` is a power of two, at least CELLS_WAYS. */
size_t cells_bytes(size_t entries);
/* Over zeroed or used memory of cells_bytes(entries), aligned to 128. */
void cells_over(struct cells *cells, void *memory, size_t entries);

/* The number of a key, 0 when there is none. */
uint64_t cells_get(const struct cells *cells, struct cell_key key);
enum {
    CELL_FREE = 0, /* fingerprints that no key has */
    CELL_GIVEN_BACK = 1,
    CELL_LINE_WAYS = 64 / 16, /* entries in a cache line */
    CELL_TRIES_MAX = 1000,    /* a failed swap means that another process got ahead */
};

struct cell_found {
    union cell *entry, seen;
    bool match; /* else: the entry to put it in */
};

static inline union cell *cells_set(const struct cells *cells, uint64_t place)
{
    return &cells->entries[(place & cells->set_mask) * CELLS_WAYS];
}

/* Ways are counted from the line where the key begins; so every process sees one order. */
static inline unsigned cells_first_way(uint64_t place)
{
    return (unsigned)(place >> 32) & CELL_LINE_WAYS;
}

static inline uint64_t cell_fingerprint(struct cell_key key)
{
    return key.fingerprint > CELL_GIVEN_BACK ? key.fingerprint : key.fingerprint + 2;
}

static inline bool cell_swap(union cell *entry, union cell from, union cell to)
{
    return __sync_bool_compare_and_swap(&entry->whole, from.whole, to.whole);
}

/*
 * Has the system give and map all of the memory at once, as far as it lets itself be advised.
 * Else it does with the first touch of each page, in the midst of a request and for ten times
 * as long as that has to do with it; and with keys that stand anywhere all pages are touched
 * soon enough.
 */
void cells_bring(const struct cells *cells);

/* Where a key is looked for first. */
static inline union cell *cells_line(const struct cells *cells, uint64_t place)
{
    return &cells_set(cells, place)[cells_first_way(place)];
}

/* Has the memory bring the key's line while the caller hashes its fingerprint. */
static inline void cells_soon(const struct cells *cells, uint64_t place)
{
    __builtin_prefetch(cells_line(cells, place), 1);
}

/* cells.c: what is not in the first line, or changes while it is read. */
struct cell_found cells_find_far(const struct cells *cells, struct cell_key key);
/* True when `taken` stands in the table for good; false: try again. */
MUST_USE bool cells_settle(const struct cells *cells, struct cell_key key,
                           const struct cell_found *found, union cell taken, uint64_t stale,
                           bool *evicted);

/*
 * Nobody can guess in which of a line's entries a key stands, a processor neither: so the four
 * are compared without a branch. Both halves as they stood together, or near enough, for a swap
 * compares them again, and for a mere look the fingerprint is read twice.
 */
static inline struct cell_found cells_find(const struct cells *cells, struct cell_key key)
{
    union cell *line = cells_line(cells, key.place);
    uint64_t fingerprint = cell_fingerprint(key);
    unsigned hits = 0;
#pragma GCC unroll 4
    for (unsigned way = 0; way < CELL_LINE_WAYS; way++)
        hits |=
            (unsigned)(__atomic_load_n(&line[way].fingerprint, __ATOMIC_ACQUIRE) == fingerprint)
            << way;
    if (__builtin_expect(hits == 0, 0))
        return cells_find_far(cells, key);
    union cell *entry = &line[__builtin_ctz(hits)];
    union cell seen = { { fingerprint, __atomic_load_n(&entry->number, __ATOMIC_ACQUIRE) } };
    if (__builtin_expect(__atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE) != fingerprint,
                         0))
        return cells_find_far(cells, key);
    return (struct cell_found){ entry, seen, true };
}

/*
 * Asks `step` what is to follow the number that stands there (0: none), in one step against all
 * other processes; it may be asked again with another one. False from it: nothing. Entries with
 * numbers up to `stale` are of no use any more. ERR_BUSY when the entry changed under us over
 * and over: nothing was changed. `*evicted` (may be NULL): another key that was of use made
 * room. Here, so that a step is a part of it, and no call.
 */
typedef bool cell_step(void *ctx, uint64_t seen, uint64_t *next);
MUST_USE static inline __attribute__((always_inline)) enum err
cells_change(const struct cells *cells, struct cell_key key, uint64_t stale, cell_step *step,
             void *ctx, bool *evicted)
{
    if (evicted != NULL)
        *evicted = false;
    for (unsigned tries = 0; tries < CELL_TRIES_MAX; tries++) {
        struct cell_found found = cells_find(cells, key);
        union cell next = { { .fingerprint = cell_fingerprint(key) } };
        if (!step(ctx, found.match ? found.seen.number : 0, &next.number))
            return OK;
        if (__builtin_expect(found.match, 1)
                ? cell_swap(found.entry, found.seen, next)
                : cells_settle(cells, key, &found, next, stale, evicted))
            return OK;
    }
    return ERR_BUSY;
}

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
