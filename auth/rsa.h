/*
 * Signatures of RSA after PKCS #1 v1.5, checked by keys whose exponent is 65537, as nearly all
 * are. It is what EVP_PKEY_verify answers, at a half to a quarter of its time: what follows
 * from the modulus is computed once per key, and not a byte is allocated per signature.
 *
 * What a signature opens to comes from an attacker. Nothing is read out of it: what it must be
 * is written down whole, padding and name of the hash included, and compared (RFC 8017 section
 * 8.2.2). Who takes that block apart and looks for the digest lets those sign who have no key
 * (Bleichenbacher 2006: CVE-2006-4339, and again CVE-2014-1568, CVE-2016-1494).
 */
#ifndef SALLYPORT_RSA_H
#define SALLYPORT_RSA_H

#include <openssl/evp.h>

#include "gateway/base/span.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 4096, RSA_BYTES_MAX = RSA_BITS_MAX / 8 };

enum rsa_hash { RSA_SHA256, RSA_SHA384, RSA_SHA512, RSA_HASHES };

/* Has room to compute in: one thread at a time, as with an EVP_PKEY_CTX. */
struct rsa_public;

/*
 * NULL: another exponent or size, an even modulus, no RSA, or out of memory; EVP has the last
 * word on those. `vectors`: with rsa52.h, where it agrees with libcrypto about this key.
 */
struct rsa_public *rsa_public_new(const EVP_PKEY *pkey, bool vectors);
void rsa_public_free(struct rsa_public *key); /* NULL is OK */
/* Which way it computes. */
bool rsa_public_has_vectors(const struct rsa_public *key);

/* Whether `signature` is this key's of the digest, which is as long as the hash makes it. */
MUST_USE bool rsa_public_verify(struct rsa_public *key, enum rsa_hash hash,
                                const uint8_t *digest, struct span signature);

#endif
