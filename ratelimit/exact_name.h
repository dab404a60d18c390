/*
 * What keys of limits are called in the store, and where in a Cluster they are: an HMAC by the
 * store's secret, so that who reads the store learns neither addresses nor tokens. The same on
 * all nodes of one configuration, and for the command line.
 */
#ifndef SALLYPORT_RATELIMIT_EXACT_NAME_H
#define SALLYPORT_RATELIMIT_EXACT_NAME_H

#include <openssl/sha.h>

#include "gateway/base/siphash.h"
#include "gateway/base/text.h"
#include "gateway/store/cells.h"
#include "gateway/store/store.h"

/*
 * In a Cluster all keys of a question have the same hash tag, one of EXACT_LANES; questions of
 * one tag go out in one call. Elsewhere there is one lane.
 */
enum { EXACT_LANES = 128, EXACT_NAME_BYTES = 16, EXACT_KEY_TEXT_MAX = 64 };

struct exact_names {
    struct span prefix;
    unsigned lane_count;
    struct siphash_key lane_key;
    SHA256_CTX inner, outer;      /* of the HMAC, with the key taken in */
    char tag[EXACT_KEY_TEXT_MAX]; /* where all keys have the same */
    size_t tag_len;
};

void exact_names_open(struct exact_names *names, const struct store *store);
unsigned exact_names_lane(const struct exact_names *names, struct span subject);
void exact_names_mac(const struct exact_names *names, struct span key,
                     char name[EXACT_NAME_BYTES]);
/* The same, for keys that are known here by `local`: those of the last ones are kept, for a MAC
 * takes half of a question's time. */
enum { EXACT_KEPT_SETS = 16384 };
struct exact_kept {
    /* A line of the cache each; of the two in a set the first was used last. */
    _Alignas(64) struct exact_named {
        struct cell_key local;
        char name[EXACT_NAME_BYTES];
    } sets[EXACT_KEPT_SETS][2];
};
void exact_names_find(const struct exact_names *names, struct exact_kept *kept,
                      const struct cell_key *local, struct span key,
                      char name[EXACT_NAME_BYTES]);
/* Has the memory bring what may be kept of a key, while the caller does something else. */
void exact_names_soon(const struct exact_kept *kept, uint64_t place);
/* sallyport:l:NAME, and in a Cluster sallyport:l:{LANE}NAME; the first writes all before NAME.
 */
void exact_names_tag(const struct exact_names *names, unsigned lane, struct text *text);
void exact_names_write(const struct exact_names *names, unsigned lane,
                       const char name[EXACT_NAME_BYTES], struct text *text);

#endif
