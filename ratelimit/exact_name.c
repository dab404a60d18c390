/*
 * Names and lanes of keys in the store.
 *
 * HMAC-SHA-256 (RFC 2104) over OpenSSL's SHA256_*: a key that was not asked about of late costs
 * one, and what came after these functions (EVP) allocates each time, while others' SHA-256 has
 * no use for what processors have for it, and takes ten times as long.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "ratelimit/exact_name.h"

#include <openssl/crypto.h>

static void begin_mac(SHA256_CTX *state, const uint8_t *key, size_t len, uint8_t pad)
{
    uint8_t block[SHA256_CBLOCK] = { 0 };
    INVARIANT(len <= sizeof(block));
    memcpy(block, key, len);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= pad;
    INVARIANT(SHA256_Init(state) == 1 && SHA256_Update(state, block, sizeof(block)) == 1);
    OPENSSL_cleanse(block, sizeof(block));
}

void exact_names_open(struct exact_names *names, const struct store *store)
{
    _Static_assert(STORE_KEY_BYTES >= sizeof(struct siphash_key), "a part of it is a key");
    struct siphash_key store_key;
    memcpy(&store_key, store->key, sizeof(store_key));
    names->prefix = store->prefix;
    names->lane_count = store->kind == STORE_CLUSTER ? EXACT_LANES : 1;
    names->lane_key = (struct siphash_key){ .k0 = siphash(&store_key, "lanes 0", 7),
                                            .k1 = siphash(&store_key, "lanes 1", 7) };
    begin_mac(&names->inner, store->key, sizeof(store->key), 0x36);
    begin_mac(&names->outer, store->key, sizeof(store->key), 0x5c);
    struct text tag = text_fixed(names->tag, sizeof(names->tag));
    text_add(&tag, names->prefix);
    text_lit(&tag, ":l:");
    names->tag_len = tag.len;
}

unsigned exact_names_lane(const struct exact_names *names, struct span subject)
{
    if (names->lane_count == 1)
        return 0;
    return (unsigned)(siphash(&names->lane_key, subject.p, subject.len) % names->lane_count);
}

void exact_names_mac(const struct exact_names *names, struct span key,
                     char name[EXACT_NAME_BYTES])
{
    _Static_assert(SHA256_DIGEST_LENGTH >= EXACT_NAME_BYTES, "a name is a part of one");
    UNCLEARED unsigned char digest[SHA256_DIGEST_LENGTH];
    UNCLEARED SHA256_CTX state;
    state = names->inner;
    bool done = SHA256_Update(&state, key.p, key.len) == 1 && SHA256_Final(digest, &state) == 1;
    state = names->outer;
    done = done && SHA256_Update(&state, digest, sizeof(digest)) == 1 &&
           SHA256_Final(digest, &state) == 1;
    INVARIANT(done); /* they have nothing that could fail */
    memcpy(name, digest, EXACT_NAME_BYTES);
}

static bool is_named(const struct exact_named *named, const struct cell_key *local)
{
    return named->local.place == local->place && named->local.fingerprint == local->fingerprint;
}

void exact_names_find(const struct exact_names *names, struct exact_kept *kept,
                      const struct cell_key *local, struct span key,
                      char name[EXACT_NAME_BYTES])
{
    struct exact_named *set = kept->sets[local->place % EXACT_KEPT_SETS];
    if (!is_named(&set[0], local)) {
        struct exact_named found = set[1];
        if (!is_named(&found, local)) {
            found.local = *local;
            exact_names_mac(names, key, found.name);
        }
        set[1] = set[0];
        set[0] = found;
    }
    memcpy(name, set[0].name, EXACT_NAME_BYTES);
}

void exact_names_soon(const struct exact_kept *kept, uint64_t place)
{
    __builtin_prefetch(&kept->sets[place % EXACT_KEPT_SETS], 1);
}

void exact_names_tag(const struct exact_names *names, unsigned lane, struct text *text)
{
    text_add(text, span_of(names->tag, names->tag_len));
    if (names->lane_count == 1)
        return;
    text_char(text, '{');
    text_uint(text, lane);
    text_char(text, '}');
}

void exact_names_write(const struct exact_names *names, unsigned lane,
                       const char name[EXACT_NAME_BYTES], struct text *text)
{
    exact_names_tag(names, lane, text);
    text_hex(text, name, EXACT_NAME_BYTES);
}
