/*
 * Tokens that were verified a moment ago. Kept under a keyed hash (BLAKE2b, a key of this
 * boot), so that the cache holds no token and nobody picks his set; until the token ends, at
 * most TOKENCACHE_TTL_S. Only good ones are kept: bad ones are of any number.
 */
#ifndef SALLYPORT_TOKENCACHE_H
#define SALLYPORT_TOKENCACHE_H

#include "auth/token.h"

enum { TOKENCACHE_ENTRIES = 1024, TOKENCACHE_WAYS = 4, TOKENCACHE_TTL_S = 60 };

struct tokencache;

struct token_tag {
    uint8_t bytes[32];
};

/* `boot_key` has 32 bytes. NULL: out of memory. */
struct tokencache *tokencache_new(const uint8_t *boot_key);
void tokencache_free(struct tokencache *cache);
/* Keys have changed: what was verified with the old ones is to be verified again. */
void tokencache_clear(struct tokencache *cache);

struct token_tag tokencache_tag(const struct tokencache *cache, struct span token);
/* With a reference for the caller, or NULL. */
struct verified *tokencache_get(struct tokencache *cache, const struct token_tag *tag,
                                uint64_t now_s);
/* Takes a reference of its own. */
void tokencache_put(struct tokencache *cache, const struct token_tag *tag,
                    struct verified *verified, uint64_t now_s);

#endif
