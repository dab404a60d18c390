/*
 * Credentials that were verified a moment ago, so that a page with forty pictures costs one
 * hash and not forty-one. Only right ones are kept, as HMAC-SHA256 under a key of this boot
 * over the user, the stored hash and the password: the cache holds no password, and an entry
 * says nothing about another file in which the same name has another hash.
 */
#ifndef SALLYPORT_CREDCACHE_H
#define SALLYPORT_CREDCACHE_H

#include "gateway/base/span.h"

enum {
    CREDCACHE_ENTRIES = 1024,
    CREDCACHE_WAYS = 4,
    CREDCACHE_TTL_MS = 60 * 1000,
    CREDCACHE_TAG_BYTES = 32,
};

struct credcache;

struct cred_tag {
    uint8_t bytes[CREDCACHE_TAG_BYTES];
};

/* `boot_key` has 32 bytes. password_init comes first. NULL: out of memory. */
struct credcache *credcache_new(const uint8_t *boot_key);
void credcache_free(struct credcache *cache);

struct cred_tag credcache_tag(const struct credcache *cache, struct span user, struct span hash,
                              struct span password);
bool credcache_has(const struct credcache *cache, const struct cred_tag *tag, uint64_t now_ms);
void credcache_add(struct credcache *cache, const struct cred_tag *tag, uint64_t now_ms);

#endif
