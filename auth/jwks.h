/*
 * Sets of keys: a JWK set (RFC 7517) or public keys and certificates in PEM. Read whole or not
 * at all as far as form goes; a key of a kind that we do not take (an elliptic curve of the
 * future, one for encryption) is passed over and counted, since providers publish such beside
 * those that matter.
 */
#ifndef SALLYPORT_JWKS_H
#define SALLYPORT_JWKS_H

#include "auth/jose.h"

enum { JWKS_BYTES_MAX = 256 * 1024, JWKS_KEYS_MAX = 64, JWKS_FITTING_MAX = 4 };

struct jwks {
    struct jose_key *keys; /* JWKS_KEYS_MAX at most */
    size_t count, skipped;
    const char *skipped_why; /* of the last one, or NULL */
};

/*
 * NULL, or a sentence why the text cannot be used. `algs` are the algorithms that may be asked
 * of these keys; a key to which none is left is skipped. Keys belong to OpenSSL's and our own
 * heap: jwks_free.
 */
const char *jwks_parse(struct jwks *set, struct span text, uint32_t algs, struct arena *arena);
void jwks_free(struct jwks *set);

/* The keys that a token with this key id (NULL pointer: none) may be signed with, the likely
 * ones first; at most JWKS_FITTING_MAX. A key without an id fits any. */
size_t jwks_fitting(const struct jwks *set, enum jose_alg alg, struct span kid,
                    const struct jose_key *out[JWKS_FITTING_MAX]);

#endif
