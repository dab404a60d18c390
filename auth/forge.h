/*
 * Keys and tokens made on the spot, for the self-test: signing as an issuer would, and as
 * somebody who wants to be taken for one.
 */
#ifndef SALLYPORT_FORGE_H
#define SALLYPORT_FORGE_H

#include "auth/jose.h"
#include "gateway/base/text.h"

enum forge_key { FORGE_RSA, FORGE_P256, FORGE_P384, FORGE_ED25519, FORGE_SECRET, FORGE_KEYS };

struct forge {
    struct arena arena;
    EVP_PKEY *keys[FORGE_KEYS]; /* the issuer's; NULL for the secret */
    EVP_PKEY *thief;            /* RSA, nobody's */
    struct span secret;
    struct span jwks;               /* the set that the issuer publishes */
    struct span pem, der, pem_bare; /* the issuer's public RSA key in three encodings */
    struct span modulus;
};

MUST_USE bool forge_open(struct forge *forge);
void forge_close(struct forge *forge);

/* base64url of these JSON texts with a dot between them. */
struct span forge_signing_text(struct forge *forge, const char *header, const char *claims);
/* The signature of that, as the algorithm has it; NULL pointer when it cannot be made. */
struct span forge_sign(struct forge *forge, EVP_PKEY *key, enum jose_alg alg, struct span text);
struct span forge_hmac(struct forge *forge, struct span key, enum jose_alg alg,
                       struct span text);
/* text, dot, base64url of the signature */
struct span forge_join(struct forge *forge, struct span text, struct span signature);

#endif
