/* Sets of four; the entry that runs out first makes room. A tag is keyed, so nobody picks its
 * set. */
#include "auth/credcache.h"

#include <sodium.h>
#include <stdlib.h>

#include "gateway/base/secret.h"

struct entry {
    struct cred_tag tag;
    uint64_t until_ms; /* 0: free */
};

struct credcache {
    crypto_auth_hmacsha256_state keyed; /* the key is absorbed: each tag begins with a copy */
    struct entry sets[CREDCACHE_ENTRIES / CREDCACHE_WAYS][CREDCACHE_WAYS];
};

struct credcache *credcache_new(const uint8_t *boot_key)
{
    static const uint8_t use[] = "basic credential cache";
    uint8_t key[crypto_auth_hmacsha256_BYTES];
    struct credcache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    crypto_auth_hmacsha256_init(&cache->keyed, boot_key, 32);
    crypto_auth_hmacsha256_update(&cache->keyed, use, sizeof(use));
    crypto_auth_hmacsha256_final(&cache->keyed, key);
    crypto_auth_hmacsha256_init(&cache->keyed, key, sizeof(key));
    wipe(key, sizeof(key));
    return cache;
}

void credcache_free(struct credcache *cache)
{
    if (cache == NULL)
        return;
    wipe(cache, sizeof(*cache));
    free(cache);
}

/* The length goes first, so that no two lists of parts read the same. */
static void absorb(crypto_auth_hmacsha256_state *state, struct span part)
{
    uint64_t len = part.len;
    crypto_auth_hmacsha256_update(state, (const unsigned char *)&len, sizeof(len));
    if (len > 0)
        crypto_auth_hmacsha256_update(state, (const unsigned char *)part.p, len);
}

struct cred_tag credcache_tag(const struct credcache *cache, struct span user, struct span hash,
                              struct span password)
{
    struct cred_tag tag;
    crypto_auth_hmacsha256_state state = cache->keyed;
    absorb(&state, user);
    absorb(&state, hash);
    absorb(&state, password);
    crypto_auth_hmacsha256_final(&state, tag.bytes);
    wipe(&state, sizeof(state));
    return tag;
}

static size_t set_of(const struct cred_tag *tag)
{
    uint32_t word;
    memcpy(&word, tag->bytes, sizeof(word));
    return word % (CREDCACHE_ENTRIES / CREDCACHE_WAYS);
}

bool credcache_has(const struct credcache *cache, const struct cred_tag *tag, uint64_t now_ms)
{
    const struct entry *set = cache->sets[set_of(tag)];
    bool found = false;
    for (unsigned way = 0; way < CREDCACHE_WAYS; way++)
        found |= bytes_equal_constant_time(set[way].tag.bytes, tag->bytes, sizeof(tag->bytes)) &
                 (set[way].until_ms > now_ms);
    return found;
}

void credcache_add(struct credcache *cache, const struct cred_tag *tag, uint64_t now_ms)
{
    struct entry *set = cache->sets[set_of(tag)], *oldest = &set[0];
    for (unsigned way = 0; way < CREDCACHE_WAYS; way++) {
        if (bytes_equal_constant_time(set[way].tag.bytes, tag->bytes, sizeof(tag->bytes))) {
            oldest = &set[way];
            break;
        }
        if (set[way].until_ms < oldest->until_ms)
            oldest = &set[way];
    }
    *oldest = (struct entry){ .tag = *tag, .until_ms = now_ms + CREDCACHE_TTL_MS };
}
