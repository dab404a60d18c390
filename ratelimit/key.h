/*
 * What a limit counts by: one or several properties of a request, in the bytes that are hashed.
 *
 *     client.ip   header:X-Tenant   client.ip+field:username   user+route
 *
 * A property that a client writes may be written twice, and gateway and backend may then read
 * different ones: such a value counts as missing, as one that is not there does. Long values
 * are hashed, so that a key is bounded whatever a client sends.
 */
#ifndef SALLYPORT_RATELIMIT_KEY_H
#define SALLYPORT_RATELIMIT_KEY_H

#include "gateway/chain/txn.h"

enum {
    KEY_PROPERTIES_MAX = 4,
    KEY_PARTS_MAX = KEY_PROPERTIES_MAX + 1, /* a route's site is one more */
    KEY_ID_BYTES = 16,
    KEY_VALUE_BYTES = 32, /* longer ones become a SHA-256 */
    KEY_BYTES_MAX = KEY_ID_BYTES + KEY_PARTS_MAX * (2 + KEY_VALUE_BYTES) + 8,
    KEY_V4_BYTES = 4,
    KEY_WIDEST_BITS = 48,  /* of the networks that are counted, too */
    KEY_NETWORK_BITS = 64, /* of IPv6: what one client has at the least */
};

/* When all parts are known: this is where in the chain the limit is asked. */
enum key_stage { KEY_AT_HEAD, KEY_AT_SUBJECT, KEY_AT_BODY };

enum on_missing { MISSING_ADDRESS, MISSING_BUCKET, MISSING_SKIP, MISSING_REJECT };

struct key_kind;

struct key_part {
    const struct key_kind *kind;
    struct span name; /* of the header, cookie, argument */
};

struct key_plan {
    struct key_part parts[KEY_PARTS_MAX];
    unsigned count;
    enum key_stage stage;
    bool by_address; /* client.ip is one of the parts */
    bool by_geo;     /* country or network is: needs a database */
};

struct key {
    size_t len;
    char bytes[KEY_BYTES_MAX];
};

enum key_found { KEY_FOUND, KEY_SKIPPED, KEY_REJECTED, KEY_FAILED };

struct identity;
struct claim;
/* The claim of that name, if there is one and not several; or NULL. */
const struct claim *only_claim(const struct identity *identity, struct span name);
/* The id of the API key that the request came with, as it was verified; or empty. */
struct span api_key_of(const struct txn *txn);

/* NULL, or what is wrong with the text. An empty text is client.ip. */
const char *key_plan_parse(struct key_plan *plan, struct span text);
/* As it would be configured; what is added of itself (a route's site) stands there, too. */
void key_plan_write(const struct key_plan *plan, struct text *text);
bool key_plan_equal(const struct key_plan *a, const struct key_plan *b);
/* `v6_bits` of an IPv6 client count. */
enum key_found key_write(struct key *key, const struct key_plan *plan,
                         const uint8_t id[KEY_ID_BYTES], enum on_missing on_missing,
                         unsigned v6_bits, struct txn *txn);
/*
 * The key of a client that a person names: `values` as the plan has its parts, joined by +.
 * False when there are more or fewer, or one is no address.
 */
MUST_USE bool key_of_text(struct key *key, const struct key_plan *plan,
                          const uint8_t id[KEY_ID_BYTES], unsigned v6_bits, struct span values);

#endif
