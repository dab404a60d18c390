/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): the hash for every table whose keys a client may
 * choose, under a key made at boot; and the source of random bytes.
 */
#ifndef SALLYPORT_SIPHASH_H
#define SALLYPORT_SIPHASH_H

#include "gateway/base/span.h"

struct siphash_key {
    uint64_t k0, k1;
};

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t len);

/*
 * SipHash-2-4-128 of texts that begin alike: the beginning, a multiple of eight bytes, is
 * absorbed once. The halves come one after the other, for who can use the first at once.
 */
struct siphash_state {
    uint64_t v0, v1, v2, v3, len;
};
struct siphash_state siphash128_begin(const struct siphash_key *key, const void *bytes,
                                      size_t len);
uint64_t siphash128_first(struct siphash_state *state, const void *bytes, size_t len);
uint64_t siphash128_second(struct siphash_state *state);

/* Fills from getrandom; ends the process if the kernel has none. */
void random_bytes(void *out, size_t len);

#endif
