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

/* Fills from getrandom; ends the process if the kernel has none. */
void random_bytes(void *out, size_t len);

#endif
