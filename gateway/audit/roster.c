/*
 * Rosters: gathering, hashing, showing.
 */
#include "gateway/audit/roster.h"

#include <sodium.h>

static unsigned bucket_of(uint64_t tag)
{
    return (unsigned)(tag >> (64 - ROSTER_LEVELS));
}

void roster_begin(struct roster *roster, uint64_t first)
{
    roster->first = roster->next = first;
    roster->from_us = UINT64_MAX;
    roster->to_us = 0;
    roster->broken = false;
    roster->count = 0;
}

/* A rule that matched in ten fields is one value of the record. */
static bool has_entry(const struct roster *roster, size_t from, uint64_t tag)
{
    for (size_t i = from; i < roster->count; i++)
        if (roster->entries[i].tag == tag)
            return true;
    return false;
}

void roster_add(struct roster *roster, uint64_t seq, struct span line)
{
    size_t from = roster->count;
    uint64_t us = line_time(line);
    struct span value;
    roster->broken |= seq != roster->next || seq - roster->first >= ROSTER_RECORDS_MAX;
    if (roster->broken)
        return;
    roster->next = seq + 1;
    roster->from_us = us < roster->from_us ? us : roster->from_us;
    roster->to_us = us > roster->to_us ? us : roster->to_us;
    struct line_walk walk = { .line = line };
    enum block_key key;
    while (line_walk_next(&walk, &key, &value)) {
        uint64_t tag = block_tag(key, value);
        if (has_entry(roster, from, tag))
            continue;
        roster->broken |= roster->count == ROSTER_ENTRIES_MAX;
        if (roster->broken)
            return;
        roster->entries[roster->count++] = (struct roster_entry){
            .tag = tag, .number = (uint32_t)(seq - roster->first), .bucket = bucket_of(tag)
        };
    }
}

/* ---- hashes ---- */

static void put_number(uint8_t *to, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const char *from, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)from[i] << (8 * i);
    return value;
}

static void begin_bucket(crypto_generichash_state *state)
{
    static const uint8_t label = 0;
    (void)crypto_generichash_init(state, NULL, 0, ROSTER_HASH);
    (void)crypto_generichash_update(state, &label, sizeof(label));
}

static void hash_node(const uint8_t *left, const uint8_t *right, uint8_t node[ROSTER_HASH])
{
    uint8_t block[1 + 2 * ROSTER_HASH] = { 1 };
    memcpy(block + 1, left, ROSTER_HASH);
    memcpy(block + 1 + ROSTER_HASH, right, ROSTER_HASH);
    (void)crypto_generichash(node, ROSTER_HASH, block, sizeof(block), NULL, 0);
}

static void put_entry(const struct roster_entry *entry, uint8_t bytes[ROSTER_ENTRY])
{
    put_number(bytes, entry->tag, 8);
    put_number(bytes + 8, entry->number, 4);
}

/* By bucket, and there in the order of the records. False: a bucket has too many. */
static bool sort(struct roster *roster)
{
    uint32_t at[ROSTER_BUCKETS];
    memset(roster->begins, 0, sizeof(roster->begins));
    for (size_t i = 0; i < roster->count; i++)
        roster->begins[roster->entries[i].bucket + 1]++;
    for (unsigned b = 0; b < ROSTER_BUCKETS; b++) {
        roster->begins[b + 1] += roster->begins[b];
        at[b] = roster->begins[b];
    }
    for (size_t i = 0; i < roster->count; i++)
        roster->order[at[roster->entries[i].bucket]++] = (uint32_t)i;
    for (unsigned b = 0; b < ROSTER_BUCKETS; b++)
        if (roster->begins[b + 1] - roster->begins[b] > ROSTER_BUCKET_MAX)
            return false;
    return true;
}

static void hash_bucket(const struct roster *roster, unsigned bucket, uint8_t *hash)
{
    crypto_generichash_state state;
    uint8_t bytes[ROSTER_ENTRY];
    begin_bucket(&state);
    for (uint32_t i = roster->begins[bucket]; i < roster->begins[bucket + 1]; i++) {
        put_entry(&roster->entries[roster->order[i]], bytes);
        (void)crypto_generichash_update(&state, bytes, sizeof(bytes));
    }
    (void)crypto_generichash_final(&state, hash, ROSTER_HASH);
}

/* Of a tree without entries: many have few. */
static void hash_empty(uint8_t empty[ROSTER_LEVELS + 1][ROSTER_HASH])
{
    crypto_generichash_state state;
    begin_bucket(&state);
    (void)crypto_generichash_final(&state, empty[0], ROSTER_HASH);
    for (int level = 0; level < ROSTER_LEVELS; level++)
        hash_node(empty[level], empty[level], empty[level + 1]);
}

static void build(struct roster *roster)
{
    uint8_t empty[ROSTER_LEVELS + 1][ROSTER_HASH];
    hash_empty(empty);
    for (unsigned b = 0; b < ROSTER_BUCKETS; b++) {
        uint8_t *leaf = roster->nodes[ROSTER_BUCKETS + b];
        if (roster->begins[b] == roster->begins[b + 1])
            memcpy(leaf, empty[0], ROSTER_HASH);
        else
            hash_bucket(roster, b, leaf);
    }
    for (int level = 1; level <= ROSTER_LEVELS; level++) {
        unsigned width = ROSTER_BUCKETS >> level; /* of this level; its buckets are ranges */
        for (unsigned i = 0; i < width; i++) {
            uint8_t *node = roster->nodes[width + i];
            if (roster->begins[i << level] == roster->begins[(i + 1) << level])
                memcpy(node, empty[level], ROSTER_HASH);
            else
                hash_node(roster->nodes[2 * (width + i)], roster->nodes[2 * (width + i) + 1],
                          node);
        }
    }
}

bool roster_root(struct roster *roster, uint64_t first, uint64_t last,
                 uint8_t root[ROSTER_HASH])
{
    if (roster->broken || roster->first != first || roster->next != last + 1 || last < first ||
        !sort(roster))
        return false;
    build(roster);
    memcpy(root, roster->nodes[1], ROSTER_HASH);
    return true;
}

/* ---- showing ---- */

void roster_prove(const struct roster *roster, uint64_t tag, char *bytes,
                  struct roster_proof *proof)
{
    unsigned bucket = bucket_of(tag), node = ROSTER_BUCKETS + bucket;
    uint32_t begin = roster->begins[bucket], count = roster->begins[bucket + 1] - begin;
    for (uint32_t i = 0; i < count; i++)
        put_entry(&roster->entries[roster->order[begin + i]],
                  (uint8_t *)bytes + (size_t)i * ROSTER_ENTRY);
    proof->entries = span_of(bytes, (size_t)count * ROSTER_ENTRY);
    for (int level = 0; level < ROSTER_LEVELS; level++, node /= 2)
        memcpy(proof->path[level], roster->nodes[node ^ 1], ROSTER_HASH);
}

bool roster_check(const uint8_t root[ROSTER_HASH], uint64_t tag,
                  const struct roster_proof *proof)
{
    crypto_generichash_state state;
    uint8_t hash[ROSTER_HASH];
    unsigned node = ROSTER_BUCKETS + bucket_of(tag);
    if (proof->entries.len % ROSTER_ENTRY != 0)
        return false;
    begin_bucket(&state);
    (void)crypto_generichash_update(&state, (const unsigned char *)proof->entries.p,
                                    proof->entries.len);
    (void)crypto_generichash_final(&state, hash, ROSTER_HASH);
    for (int level = 0; level < ROSTER_LEVELS; level++, node /= 2) {
        const uint8_t *beside = proof->path[level];
        hash_node(node % 2 == 0 ? hash : beside, node % 2 == 0 ? beside : hash, hash);
    }
    return memcmp(hash, root, ROSTER_HASH) == 0;
}

bool roster_next(const struct roster_proof *proof, uint64_t tag, size_t *at, uint32_t *number)
{
    while (*at + ROSTER_ENTRY <= proof->entries.len) {
        const char *entry = proof->entries.p + *at;
        *at += ROSTER_ENTRY;
        if (get_number(entry, 8) != tag)
            continue;
        *number = (uint32_t)get_number(entry + 8, 4);
        return true;
    }
    return false;
}
