/*
 * Why no key is ever counted in two entries. An entry once used is never empty again, and a new
 * key goes to the first free entry of its set; so of two processes that bring the same key,
 * both aim at the same entry and one of the swaps fails. Only in a full set could they give up
 * different entries; there the one that has swapped looks again, and takes its own back if the
 * other is there too.
 */
#include "gateway/store/cells.h"

#include <sys/mman.h>
#include <unistd.h>

enum { LOOKS_MAX = 4 };

/* As large as a set, so that no set stands in three lines. */
struct cells_head {
    _Alignas(128) uint64_t evicted;
};

size_t cells_bytes(size_t entries)
{
    INVARIANT(entries >= CELLS_WAYS && (entries & (entries - 1)) == 0);
    return sizeof(struct cells_head) + entries * sizeof(union cell);
}

void cells_over(struct cells *cells, void *memory, size_t entries)
{
    INVARIANT((uintptr_t)memory % _Alignof(struct cells_head) == 0);
    *cells = (struct cells){
        .head = memory,
        .entries = (union cell *)(void *)((char *)memory + sizeof(struct cells_head)),
        .set_mask = entries / CELLS_WAYS - 1,
    };
}

void cells_bring(const struct cells *cells)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)cells->head;
    uintptr_t to = (uintptr_t)(cells->entries + (cells->set_mask + 1) * CELLS_WAYS);
    uintptr_t begin = (from + page - 1) & -page, end = to & -page; /* whole pages of ours */
    if (begin < end)
        (void)madvise((char *)cells->head + (begin - from), end - begin, MADV_POPULATE_WRITE);
}

/*
 * Both halves as they stood together, or near enough: a swap compares them again, and for a
 * mere look the fingerprint is read twice. Not for ever: a hostile process could change it
 * endlessly.
 */
static inline union cell look(union cell *entry)
{
    union cell seen;
    for (unsigned tries = 0; tries < LOOKS_MAX; tries++) {
        seen.fingerprint = __atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE);
        seen.number = __atomic_load_n(&entry->number, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE) == seen.fingerprint)
            break;
    }
    return seen;
}

/* Fingerprints alone, as long as they do not fit: the second line is mostly not needed. */
struct cell_found cells_find_far(const struct cells *cells, struct cell_key key)
{
    union cell *set = cells_set(cells, key.place);
    uint64_t fingerprint = cell_fingerprint(key);
    unsigned first = cells_first_way(key.place);
    struct cell_found oldest = { .entry = NULL };
    for (unsigned way = 0; way < CELLS_WAYS; way++) {
        union cell *entry = &set[way ^ first];
        if (__atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE) != fingerprint)
            continue;
        union cell seen = look(entry);
        if (seen.fingerprint == fingerprint)
            return (struct cell_found){ entry, seen, true };
    }
    for (unsigned way = 0; way < CELLS_WAYS; way++) {
        union cell *entry = &set[way ^ first];
        union cell seen = look(entry);
        if (seen.fingerprint == fingerprint) /* put there since */
            return (struct cell_found){ entry, seen, true };
        if (oldest.entry == NULL || seen.number < oldest.seen.number)
            oldest = (struct cell_found){ entry, seen, false };
    }
    return oldest;
}

uint64_t cells_get(const struct cells *cells, struct cell_key key)
{
    struct cell_found found = cells_find(cells, key);
    return found.match ? found.seen.number : 0;
}

/* Whether another entry of the set has the fingerprint of `own`. */
static bool stands_twice(const struct cells *cells, struct cell_key key, union cell *own)
{
    union cell *set = cells_set(cells, key.place);
    uint64_t fingerprint = cell_fingerprint(key);
    for (unsigned way = 0; way < CELLS_WAYS; way++)
        if (&set[way] != own && look(&set[way]).fingerprint == fingerprint)
            return true;
    return false;
}

bool cells_settle(const struct cells *cells, struct cell_key key,
                  const struct cell_found *found, union cell taken, uint64_t stale,
                  bool *evicted)
{
    if (!cell_swap(found->entry, found->seen, taken))
        return false;
    if (found->match || found->seen.fingerprint == CELL_FREE)
        return true;
    if (stands_twice(cells, key, found->entry) &&
        cell_swap(found->entry, taken, (union cell){ { .fingerprint = CELL_GIVEN_BACK } }))
        return false;
    if (found->seen.number <= stale)
        return true;
    __atomic_fetch_add(&cells->head->evicted, 1, __ATOMIC_RELAXED); /* it was still of use */
    if (evicted != NULL)
        *evicted = true;
    return true;
}

static bool step_store(void *ctx, uint64_t seen, uint64_t *next)
{
    *next = *(const uint64_t *)ctx;
    return *next != seen;
}

/* Under a storm of changes to one key it is as if one of the others had come after. */
void cells_store(const struct cells *cells, struct cell_key key, uint64_t number,
                 uint64_t stale)
{
    enum err err = cells_change(cells, key, stale, step_store, &number, NULL);
    (void)err;
}

bool cells_read(const struct cells *cells, size_t index, uint64_t *fingerprint,
                uint64_t *number)
{
    INVARIANT(index < (cells->set_mask + 1) * CELLS_WAYS);
    union cell seen = look(&cells->entries[index]);
    *fingerprint = seen.fingerprint;
    *number = seen.number;
    return seen.fingerprint > CELL_GIVEN_BACK;
}

void cells_put_back(const struct cells *cells, size_t index, uint64_t fingerprint,
                    uint64_t number)
{
    INVARIANT(index < (cells->set_mask + 1) * CELLS_WAYS);
    union cell none = { { .fingerprint = CELL_FREE } };
    union cell back = { { .fingerprint = fingerprint, .number = number } };
    if (fingerprint > CELL_GIVEN_BACK)
        (void)cell_swap(&cells->entries[index], none, back);
}

uint64_t cells_evicted(const struct cells *cells)
{
    return __atomic_load_n(&cells->head->evicted, __ATOMIC_RELAXED);
}
