/*
 * The public operation of RSA, s^65537 mod n, over the 52-bit multipliers of AVX-512 (IFMA):
 * some three times as fast as what libcrypto does with one number after the other. For public
 * values alone: its time tells all that it computes with.
 */
#ifndef SALLYPORT_RSA52_H
#define SALLYPORT_RSA52_H

#include <openssl/bn.h>

#include "gateway/base/base.h"

enum { RSA52_LIMBS_MAX = 80, RSA52_BITS_MAX = 52 * RSA52_LIMBS_MAX - 2 };

/* Of one modulus; read-only after rsa52_init, and aligned in memory as it is here. */
struct rsa52 {
    _Alignas(64) uint64_t n[RSA52_LIMBS_MAX];      /* 52 bits each, the lowest first */
    _Alignas(64) uint64_t square[RSA52_LIMBS_MAX]; /* R^2 mod n */
    uint64_t inverse;                              /* -1/n mod 2^52 */
    unsigned size;                                 /* of the numbers: an index of ours */
};

/* Whether this processor, and the system on it, can. */
bool rsa52_available(void);
/* False: out of memory, or `n` is even, negative, or over RSA52_BITS_MAX. */
MUST_USE bool rsa52_init(struct rsa52 *key, const BIGNUM *n);
/*
 * Whether `signature` is less than n and opens to `message`. Both have `len` bytes, as many as
 * n, the highest first.
 */
MUST_USE bool rsa52_opens_to(const struct rsa52 *key, const uint8_t *signature,
                             const uint8_t *message, size_t len);

#endif
