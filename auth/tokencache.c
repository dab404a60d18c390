/* Sets of four; the entry that runs out first makes room. */
#include "auth/tokencache.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base/secret.h"

struct entry {
    struct token_tag tag;
    struct verified *verified; /* NULL: free */
    uint64_t until_s;
};

struct tokencache {
    uint8_t key[32];
    struct entry sets[TOKENCACHE_ENTRIES / TOKENCACHE_WAYS][TOKENCACHE_WAYS];
};

struct tokencache *tokencache_new(const uint8_t *boot_key)
{
    static const uint8_t use[] = "verified token cache";
    struct tokencache *cache = calloc(1, sizeof(*cache));
    if (cache != NULL)
        (void)crypto_generichash(cache->key, sizeof(cache->key), use, sizeof(use), boot_key,
                                 32);
    return cache;
}

static void clear(struct entry *entry)
{
    if (entry->verified != NULL)
        verified_release(entry->verified);
    *entry = (struct entry){ 0 };
}

void tokencache_clear(struct tokencache *cache)
{
    for (size_t i = 0; i < TOKENCACHE_ENTRIES; i++)
        clear(&cache->sets[i / TOKENCACHE_WAYS][i % TOKENCACHE_WAYS]);
}

void tokencache_free(struct tokencache *cache)
{
    if (cache == NULL)
        return;
    tokencache_clear(cache);
    wipe(cache->key, sizeof(cache->key));
    free(cache);
}

struct token_tag tokencache_tag(const struct tokencache *cache, struct span token)
{
    struct token_tag tag;
    (void)crypto_generichash(tag.bytes, sizeof(tag.bytes), (const uint8_t *)token.p, token.len,
                             cache->key, sizeof(cache->key));
    return tag;
}

static struct entry *set_of(struct tokencache *cache, const struct token_tag *tag)
{
    uint32_t word;
    memcpy(&word, tag->bytes, sizeof(word));
    return cache->sets[word % (TOKENCACHE_ENTRIES / TOKENCACHE_WAYS)];
}

struct verified *tokencache_get(struct tokencache *cache, const struct token_tag *tag,
                                uint64_t now_s)
{
    struct entry *set = set_of(cache, tag);
    for (unsigned way = 0; way < TOKENCACHE_WAYS; way++) {
        if (set[way].verified == NULL || memcmp(&set[way].tag, tag, sizeof(*tag)) != 0)
            continue;
        if (set[way].until_s <= now_s) {
            clear(&set[way]);
            return NULL;
        }
        set[way].verified->references++;
        return set[way].verified;
    }
    return NULL;
}

void tokencache_put(struct tokencache *cache, const struct token_tag *tag,
                    struct verified *verified, uint64_t now_s)
{
    struct entry *set = set_of(cache, tag), *oldest = &set[0];
    uint64_t until_s = now_s + TOKENCACHE_TTL_S;
    if (until_s > verified->until_s)
        until_s = verified->until_s;
    for (unsigned way = 1; way < TOKENCACHE_WAYS; way++)
        if (set[way].until_s < oldest->until_s)
            oldest = &set[way];
    clear(oldest);
    verified->references++;
    *oldest = (struct entry){ .tag = *tag, .verified = verified, .until_s = until_s };
}
