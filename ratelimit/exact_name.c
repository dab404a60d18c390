/* Names and lanes of keys in the store. */
#include "ratelimit/exact_name.h"

void exact_names_open(struct exact_names *names, const struct store *store)
{
    _Static_assert(STORE_KEY_BYTES >= sizeof(struct siphash_key), "a part of it is a key");
    struct siphash_key store_key;
    memcpy(&store_key, store->key, sizeof(store_key));
    names->prefix = store->prefix;
    names->lane_count = store->kind == STORE_CLUSTER ? EXACT_LANES : 1;
    names->lane_key = (struct siphash_key){ .k0 = siphash(&store_key, "lanes 0", 7),
                                            .k1 = siphash(&store_key, "lanes 1", 7) };
    (void)crypto_auth_hmacsha256_init(&names->hmac, store->key, sizeof(store->key));
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
    _Static_assert(crypto_auth_hmacsha256_BYTES >= EXACT_NAME_BYTES, "a name is a part of one");
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state = names->hmac;
    (void)crypto_auth_hmacsha256_update(&state, (const unsigned char *)key.p, key.len);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    memcpy(name, mac, EXACT_NAME_BYTES);
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
    text_add(text, names->prefix);
    text_lit(text, ":l:");
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
