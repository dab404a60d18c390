/*
 * What an ACME client signs (RFC 8555 section 6.2): flattened JWS by ES256, with the account's
 * key; the key's thumbprint (RFC 7638); and the binding to a customer's account
 * (section 7.3.4).
 */
#ifndef SALLYPORT_ACME_JWS_H
#define SALLYPORT_ACME_JWS_H

#include <openssl/evp.h>

#include "gateway/base/text.h"

enum { ACME_THUMBPRINT_BYTES = 43 };

struct acme_signed {
    EVP_PKEY *key;
    struct span kid; /* the account's URL; empty: the key itself stands in it */
    struct span nonce, url;
    struct span payload; /* JSON; empty: POST-as-GET */
};

/* SHA-256 of the public key, base64url. */
MUST_USE bool acme_thumbprint(const EVP_PKEY *key, char out[static ACME_THUMBPRINT_BYTES]);
MUST_USE bool acme_sign(struct text *out, const struct acme_signed *what);
/* The value of externalAccountBinding; `mac` is base64url as the authority gave it. */
MUST_USE bool acme_bind(struct text *out, const EVP_PKEY *key, struct span url, struct span kid,
                        struct span mac);
/* Whether `mac` can be such a key. */
MUST_USE bool acme_mac_valid(struct span mac);

#endif
