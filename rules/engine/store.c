/* The shared table of records. */
#include "rules/engine/store.h"

#include <time.h>

enum {
    LOCK_TRIES_MAX = 10000,  /* some hundred microseconds */
    LOCK_LIFETIME_MS = 1000, /* whoever held it longer is gone */
};

struct entry {
    uint64_t check, expires, changed, len;
    uint64_t words[STORE_WORDS];
};
_Static_assert(sizeof(struct entry) == 1024, "an entry is 1 KiB");

struct store_set {
    _Alignas(64) uint64_t lock; /* 0: free; else since when, in milliseconds */
    /* Of the entries: that a key is none of them is seen in one line of the cache. */
    _Alignas(64) uint64_t marks[STORE_WAYS];
    struct entry entries[STORE_WAYS];
};

/* ---- the table ------------------------------------------------------------------------------
 */

size_t sec_store_bytes(size_t entries)
{
    INVARIANT(entries >= STORE_WAYS && entries % STORE_WAYS == 0);
    return entries / STORE_WAYS * sizeof(struct store_set);
}

void sec_store_over(struct sec_store *store, void *memory, size_t entries,
                    const uint8_t boot_key[32])
{
    INVARIANT((uintptr_t)memory % _Alignof(struct store_set) == 0);
    struct siphash_key boot[2];
    _Static_assert(sizeof(boot) == 32, "two keys");
    memcpy(boot, boot_key, sizeof(boot));
    *store = (struct sec_store){
        .sets = memory,
        .set_count = entries / STORE_WAYS,
    };
    struct siphash_key *derived[] = { &store->place, &store->mark, &store->check };
    for (unsigned i = 0; i < ARRAY_LEN(derived); i++) {
        char label[] = { 's', 't', 'o', 'r', 'e', (char)('0' + i) };
        derived[i]->k0 = siphash(&boot[0], label, sizeof(label));
        derived[i]->k1 = siphash(&boot[1], label, sizeof(label));
    }
}

struct store_key sec_store_key(const struct sec_store *store, struct span name)
{
    uint64_t mark = siphash(&store->mark, name.p, name.len);
    return (struct store_key){ .place = siphash(&store->place, name.p, name.len),
                               .mark = mark != 0 ? mark : 1 };
}

static struct store_set *set_of(const struct sec_store *store, struct store_key key)
{
    return &store->sets[key.place % store->set_count];
}

/* ---- entries --------------------------------------------------------------------------------
 */

static uint64_t checksum(const struct sec_store *store, uint64_t mark,
                         const struct store_record *record)
{
    uint64_t summed[STORE_WORDS + 3] = { mark, record->expires, record->len };
    memcpy(summed + 3, record->words, record->len);
    return siphash(&store->check, summed, 3 * sizeof(uint64_t) + record->len);
}

static size_t words_of(size_t bytes)
{
    return (bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t);
}

/* A copy that verifies; word by word, since somebody may be writing. */
static bool take(const struct sec_store *store, struct store_set *set, unsigned way,
                 uint64_t mark, struct store_record *record)
{
    struct entry *entry = &set->entries[way];
    uint64_t check = __atomic_load_n(&entry->check, __ATOMIC_ACQUIRE);
    uint64_t len = __atomic_load_n(&entry->len, __ATOMIC_RELAXED);
    if (__atomic_load_n(&set->marks[way], __ATOMIC_RELAXED) != mark || len > STORE_RECORD_BYTES)
        return false;
    record->len = (size_t)len;
    record->expires = __atomic_load_n(&entry->expires, __ATOMIC_RELAXED);
    for (size_t i = 0; i < words_of(record->len); i++)
        record->words[i] = __atomic_load_n(&entry->words[i], __ATOMIC_RELAXED);
    return check == checksum(store, mark, record);
}

static void put(const struct sec_store *store, struct store_set *set, unsigned way,
                uint64_t mark, uint64_t now, const struct store_record *record)
{
    struct entry *entry = &set->entries[way];
    __atomic_store_n(&entry->check, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&set->marks[way], mark, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->expires, record->expires, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->changed, now, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->len, record->len, __ATOMIC_RELAXED);
    for (size_t i = 0; i < words_of(record->len); i++)
        __atomic_store_n(&entry->words[i], record->words[i], __ATOMIC_RELAXED);
    __atomic_store_n(&entry->check, checksum(store, mark, record), __ATOMIC_RELEASE);
}

/* STORE_WAYS: it is not there. */
static unsigned way_of(const struct store_set *set, uint64_t mark)
{
    unsigned way = 0;
    while (way < STORE_WAYS && __atomic_load_n(&set->marks[way], __ATOMIC_RELAXED) != mark)
        way++;
    return way;
}

/* Where a new record goes. */
static unsigned oldest_of(const struct store_set *set, uint64_t now)
{
    unsigned oldest = 0;
    uint64_t least = UINT64_MAX;
    for (unsigned way = 0; way < STORE_WAYS; way++) {
        const struct entry *entry = &set->entries[way];
        uint64_t mark = __atomic_load_n(&set->marks[way], __ATOMIC_RELAXED);
        uint64_t expires = __atomic_load_n(&entry->expires, __ATOMIC_RELAXED);
        uint64_t changed = __atomic_load_n(&entry->changed, __ATOMIC_RELAXED);
        uint64_t worth = mark == 0 || expires <= now ? 0 : changed + 1;
        if (worth < least) {
            least = worth;
            oldest = way;
        }
    }
    return oldest;
}

bool sec_store_read(const struct sec_store *store, struct store_key key, uint64_t now,
                    struct store_record *record)
{
    enum { LOOKS_MAX = 16 }; /* one that is being written verifies a moment later */
    struct store_set *set = set_of(store, key);
    for (unsigned i = 0; i < LOOKS_MAX; i++) {
        unsigned way = way_of(set, key.mark);
        if (way == STORE_WAYS)
            break;
        if (take(store, set, way, key.mark, record) && record->expires > now)
            return true;
        if (__atomic_load_n(&set->entries[way].expires, __ATOMIC_RELAXED) <= now)
            break;
    }
    record->len = 0;
    return false;
}

/* ---- changes --------------------------------------------------------------------------------
 */

static uint64_t moment(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

static bool lock(struct store_set *set)
{
    uint64_t now = moment();
    for (unsigned i = 0; i < LOCK_TRIES_MAX; i++) {
        uint64_t held = __atomic_load_n(&set->lock, __ATOMIC_RELAXED);
        /* One from the future is as good as none. */
        bool free = held == 0 || (held > now ? held - now : now - held) > LOCK_LIFETIME_MS;
        if (free && __atomic_compare_exchange_n(&set->lock, &held, now, false, __ATOMIC_ACQUIRE,
                                                __ATOMIC_RELAXED))
            return true;
        __builtin_ia32_pause();
    }
    return false;
}

enum err sec_store_change(const struct sec_store *store, struct store_key key, uint64_t now,
                          store_step *step, void *ctx, bool *evicted)
{
    struct store_set *set = set_of(store, key);
    struct store_record record;
    if (!lock(set))
        return ERR_BUSY;
    unsigned way = way_of(set, key.mark);
    bool known = way < STORE_WAYS;
    if (!known)
        way = oldest_of(set, now);
    bool there = known && take(store, set, way, key.mark, &record) && record.expires > now;
    record.len = there ? record.len : 0;
    uint64_t mark = set->marks[way], expires = set->entries[way].expires;
    step(ctx, &record);
    INVARIANT(record.len <= STORE_RECORD_BYTES);
    if (evicted != NULL)
        *evicted = mark != 0 && mark != key.mark && expires > now;
    put(store, set, way, key.mark, now, &record);
    __atomic_store_n(&set->lock, 0, __ATOMIC_RELEASE);
    return OK;
}
