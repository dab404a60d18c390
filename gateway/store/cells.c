/*
 * Why no key is ever counted in two entries. An entry once used is never empty again, and a new
 * key goes to the first free entry of its set; so of two processes that bring the same key,
 * both aim at the same entry and one of the swaps fails. Only in a full set could they give up
 * different entries; there the one that has swapped looks again, and takes its own back if the
 * other is there too.
 */
#include "gateway/store/cells.h"

enum {
    FREE = 0, /* fingerprints that no key has */
    GIVEN_BACK = 1,
    TRIES_MAX = 1000, /* a failed swap means that another process got ahead */
    LOOKS_MAX = 4,
    LINE_WAYS = 64 / 16, /* entries in a cache line */
};

/* As large as a set, so that no set stands in three lines. */
struct cells_head {
    _Alignas(128) uint64_t evicted;
};

union cell {
    struct {
        uint64_t fingerprint, number;
    };
    unsigned __int128 whole;
};

struct found {
    union cell *entry;
    union cell seen;
    bool match; /* else: the entry to put it in */
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

static uint64_t fingerprint_of(struct cell_key key)
{
    return key.fingerprint > GIVEN_BACK ? key.fingerprint : key.fingerprint + 2;
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

static bool swap(union cell *entry, union cell from, union cell to)
{
    return __sync_bool_compare_and_swap(&entry->whole, from.whole, to.whole);
}

/* Ways are counted from the line where the key begins; so every process sees one order. */
static unsigned first_way(uint64_t place)
{
    return (unsigned)(place >> 32) & LINE_WAYS;
}

static union cell *set_of(const struct cells *cells, uint64_t place)
{
    return &cells->entries[(place & cells->set_mask) * CELLS_WAYS];
}

void cells_soon(const struct cells *cells, uint64_t place)
{
    __builtin_prefetch(&set_of(cells, place)[first_way(place)], 1);
}

/* Fingerprints alone, as long as they do not fit: the second line is mostly not needed. */
static struct found find(const struct cells *cells, struct cell_key key)
{
    union cell *set = set_of(cells, key.place);
    uint64_t fingerprint = fingerprint_of(key);
    unsigned first = first_way(key.place);
    struct found oldest = { .entry = NULL };
    for (unsigned way = 0; way < CELLS_WAYS; way++) {
        union cell *entry = &set[way ^ first];
        if (__atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE) != fingerprint)
            continue;
        union cell seen = look(entry);
        if (seen.fingerprint == fingerprint)
            return (struct found){ entry, seen, true };
    }
    for (unsigned way = 0; way < CELLS_WAYS; way++) {
        union cell *entry = &set[way ^ first];
        union cell seen = look(entry);
        if (seen.fingerprint == fingerprint) /* put there since */
            return (struct found){ entry, seen, true };
        if (oldest.entry == NULL || seen.number < oldest.seen.number)
            oldest = (struct found){ entry, seen, false };
    }
    return oldest;
}

uint64_t cells_get(const struct cells *cells, struct cell_key key)
{
    struct found found = find(cells, key);
    return found.match ? found.seen.number : 0;
}

/* Whether another entry of the set has the fingerprint of `own`. */
static bool stands_twice(const struct cells *cells, struct cell_key key, union cell *own)
{
    union cell *set = set_of(cells, key.place);
    uint64_t fingerprint = fingerprint_of(key);
    for (unsigned way = 0; way < CELLS_WAYS; way++)
        if (&set[way] != own && look(&set[way]).fingerprint == fingerprint)
            return true;
    return false;
}

/* Whether the place belonged to another key that was still of use. */
static bool evicts(const struct found *found, uint64_t stale)
{
    return !found->match && found->seen.fingerprint != FREE && found->seen.number > stale;
}

/* True when `taken` stands in the table for good; false: try again. */
static bool settle(const struct cells *cells, struct cell_key key, const struct found *found,
                   union cell taken, uint64_t stale)
{
    if (!swap(found->entry, found->seen, taken))
        return false;
    if (found->match || found->seen.fingerprint == FREE)
        return true;
    if (stands_twice(cells, key, found->entry) &&
        swap(found->entry, taken, (union cell){ { .fingerprint = GIVEN_BACK } }))
        return false;
    if (evicts(found, stale))
        __atomic_fetch_add(&cells->head->evicted, 1, __ATOMIC_RELAXED);
    return true;
}

enum err cells_change(const struct cells *cells, struct cell_key key, uint64_t stale,
                      cell_step *step, void *ctx, bool *evicted)
{
    if (evicted != NULL)
        *evicted = false;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct found found = find(cells, key);
        union cell next = { { .fingerprint = fingerprint_of(key) } };
        if (!step(ctx, found.match ? found.seen.number : 0, &next.number))
            return OK;
        if (!settle(cells, key, &found, next, stale))
            continue;
        if (evicted != NULL)
            *evicted = evicts(&found, stale);
        return OK;
    }
    return ERR_BUSY;
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
    return seen.fingerprint > GIVEN_BACK;
}

void cells_put_back(const struct cells *cells, size_t index, uint64_t fingerprint,
                    uint64_t number)
{
    INVARIANT(index < (cells->set_mask + 1) * CELLS_WAYS);
    union cell none = { { .fingerprint = FREE } };
    union cell back = { { .fingerprint = fingerprint, .number = number } };
    if (fingerprint > GIVEN_BACK)
        (void)swap(&cells->entries[index], none, back);
}

uint64_t cells_evicted(const struct cells *cells)
{
    return __atomic_load_n(&cells->head->evicted, __ATOMIC_RELAXED);
}
