/*
 * Why no key is ever counted in two entries. An entry once used is never empty again, and a new
 * key goes to the first free entry of its set; so of two processes that bring the same key,
 * both aim at the same entry and one of the swaps fails. Only in a full set could they give up
 * different entries; there the one that has swapped looks again, and takes its own back if the
 * other is there too.
 */
#include "ratelimit/table.h"

enum {
    FREE = 0, /* fingerprints that no key has */
    GIVEN_BACK = 1,
    TRIES_MAX = 1000, /* a failed swap means that another process got ahead */
    LOOKS_MAX = 4,
    FORGIVEN_NS = 1000 * 1000 * 1000, /* clocks of two loops hardly ever differ by more */
};

struct tats_head {
    _Alignas(64) uint64_t evicted;
};

union tat_entry {
    struct {
        uint64_t fingerprint, tat;
    };
    unsigned __int128 whole;
};

struct found {
    union tat_entry *entry;
    union tat_entry seen;
    bool match; /* else: the entry to put it in */
};

size_t tats_bytes(size_t entries)
{
    INVARIANT(entries >= TATS_WAYS && (entries & (entries - 1)) == 0);
    return sizeof(struct tats_head) + entries * sizeof(union tat_entry);
}

void tats_over(struct tats *tats, void *memory, size_t entries)
{
    INVARIANT((uintptr_t)memory % _Alignof(struct tats_head) == 0);
    *tats = (struct tats){
        .head = memory,
        .entries = (union tat_entry *)(void *)((char *)memory + sizeof(struct tats_head)),
        .set_mask = entries / TATS_WAYS - 1,
    };
}

static uint64_t fingerprint_of(struct tat_key key)
{
    return key.fingerprint > GIVEN_BACK ? key.fingerprint : key.fingerprint + 2;
}

/*
 * Both halves as they stood together, or near enough: a swap compares them again, and for a
 * mere look the fingerprint is read twice. Not for ever: a hostile process could change it
 * endlessly.
 */
static union tat_entry look(union tat_entry *entry)
{
    union tat_entry seen;
    for (unsigned tries = 0; tries < LOOKS_MAX; tries++) {
        seen.fingerprint = __atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE);
        seen.tat = __atomic_load_n(&entry->tat, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&entry->fingerprint, __ATOMIC_ACQUIRE) == seen.fingerprint)
            break;
    }
    return seen;
}

static bool swap(union tat_entry *entry, union tat_entry from, union tat_entry to)
{
    return __sync_bool_compare_and_swap(&entry->whole, from.whole, to.whole);
}

static struct found find(const struct tats *tats, struct tat_key key)
{
    union tat_entry *set = &tats->entries[(key.place & tats->set_mask) * TATS_WAYS];
    uint64_t fingerprint = fingerprint_of(key);
    struct found oldest = { .entry = NULL };
    for (unsigned way = 0; way < TATS_WAYS; way++) {
        union tat_entry seen = look(&set[way]);
        if (seen.fingerprint == fingerprint)
            return (struct found){ &set[way], seen, true };
        if (oldest.entry == NULL || seen.tat < oldest.seen.tat)
            oldest = (struct found){ &set[way], seen, false };
    }
    return oldest;
}

uint64_t tats_get(const struct tats *tats, struct tat_key key)
{
    struct found found = find(tats, key);
    return found.match ? found.seen.tat : 0;
}

/* Whether another entry of the set has the fingerprint of `own`. */
static bool stands_twice(const struct tats *tats, struct tat_key key, union tat_entry *own)
{
    union tat_entry *set = &tats->entries[(key.place & tats->set_mask) * TATS_WAYS];
    uint64_t fingerprint = fingerprint_of(key);
    for (unsigned way = 0; way < TATS_WAYS; way++)
        if (&set[way] != own && look(&set[way]).fingerprint == fingerprint)
            return true;
    return false;
}

/* Whether the place belonged to another key that still counted. */
static bool evicts(const struct found *found, uint64_t now_ns)
{
    return !found->match && found->seen.fingerprint != FREE && found->seen.tat > now_ns;
}

/* True when `taken` stands in the table for good; false: try again. */
static bool settle(const struct tats *tats, struct tat_key key, const struct found *found,
                   union tat_entry taken, uint64_t now_ns)
{
    if (!swap(found->entry, found->seen, taken))
        return false;
    if (found->match || found->seen.fingerprint == FREE)
        return true;
    if (stands_twice(tats, key, found->entry) &&
        swap(found->entry, taken, (union tat_entry){ { .fingerprint = GIVEN_BACK } }))
        return false;
    if (evicts(found, now_ns))
        __atomic_fetch_add(&tats->head->evicted, 1, __ATOMIC_RELAXED);
    return true;
}

/* A TAT that no request can have set is put right, or it would lock a client out for years. */
static void heal(const struct found *found, const struct gcra *limit, uint64_t now_ns)
{
    uint64_t full = now_ns + limit->tolerance_ns;
    union tat_entry healed = { { .fingerprint = found->seen.fingerprint, .tat = full } };
    if (found->match && found->seen.tat > full + FORGIVEN_NS)
        (void)swap(found->entry, found->seen, healed);
}

enum err tats_take(const struct tats *tats, struct tat_key key, const struct gcra *limit,
                   uint64_t now_ns, uint64_t cost_ns, struct gcra_answer *answer)
{
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct found found = find(tats, key);
        *answer = gcra_ask(limit, found.match ? found.seen.tat : 0, now_ns, cost_ns);
        if (!answer->allowed) {
            heal(&found, limit, now_ns);
            return OK;
        }
        union tat_entry taken = { { .fingerprint = fingerprint_of(key), .tat = answer->tat } };
        if (settle(tats, key, &found, taken, now_ns)) {
            answer->evicted = evicts(&found, now_ns);
            return OK;
        }
    }
    return ERR_BUSY;
}

void tats_store(const struct tats *tats, struct tat_key key, uint64_t tat, uint64_t now_ns)
{
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct found found = find(tats, key);
        union tat_entry told = { { .fingerprint = fingerprint_of(key), .tat = tat } };
        if ((found.match && found.seen.tat == tat) || settle(tats, key, &found, told, now_ns))
            return;
    }
}

void tats_charge(const struct tats *tats, struct tat_key key, const struct gcra *limit,
                 uint64_t now_ns, uint64_t cost_ns)
{
    uint64_t tat = tats_get(tats, key), full = now_ns + limit->tolerance_ns;
    if (tat < now_ns)
        tat = now_ns;
    /* One that is lost to another worker at the same moment is a penalty less. */
    if (tat < full)
        tats_store(tats, key, cost_ns < full - tat ? tat + cost_ns : full, now_ns);
}

void tats_refund(const struct tats *tats, struct tat_key key, uint64_t cost_ns)
{
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct found found = find(tats, key);
        if (!found.match)
            return;
        union tat_entry less = found.seen;
        less.tat = less.tat > cost_ns ? less.tat - cost_ns : 0;
        if (swap(found.entry, found.seen, less))
            return;
    }
}

uint64_t tats_evicted(const struct tats *tats)
{
    return __atomic_load_n(&tats->head->evicted, __ATOMIC_RELAXED);
}
