/*
 * Certificates and keys for sites: the first, self-signed one; what is asked for (CSR); what an
 * authority answered, checked and written anew; the one that proves a name (RFC 8737). Keys are
 * ECDSA over P-256. A site's certificate is one text, its bundle: private key, certificate,
 * chain, each as PEM.
 */
#ifndef SALLYPORT_ACME_CERTIFICATE_H
#define SALLYPORT_ACME_CERTIFICATE_H

#include <openssl/evp.h>

#include "gateway/base/text.h"

struct challenge; /* gateway/net/challenge.h */

enum {
    ACME_SERIAL_MAX = 20, /* RFC 5280 section 4.1.2.2 */
    ACME_KEYID_MAX = 64,
    ACME_LIFE_LEAST_S = 10, /* a certificate that lives shorter is refused */
};

/* Names of one certificate, lower case. */
struct acme_hosts {
    const struct span *items;
    size_t count;
};

/* What is known of a bundle. */
struct acme_dates {
    int64_t from_s, until_s;             /* of the certificate */
    uint8_t serial[ACME_SERIAL_MAX + 1]; /* as in its DER; with key_id: its name for ARI */
    size_t serial_len;
    uint8_t key_id[ACME_KEYID_MAX]; /* of the authority's key; 0 bytes: it says none */
    size_t key_id_len;
    bool self_signed;
};

EVP_PKEY *acme_key_new(void);
/* Private key as PEM; the text is a secret. */
MUST_USE bool acme_key_write(struct text *out, const EVP_PKEY *key);
EVP_PKEY *acme_key_read(struct span pem);
/* The point's coordinates, 32 bytes each. */
MUST_USE bool acme_key_point(const EVP_PKEY *key, uint8_t x[static 32], uint8_t y[static 32]);

/* A bundle of our own, which no client trusts, for as long as there is no other. */
MUST_USE bool acme_self_signed(struct text *bundle, struct acme_hosts hosts);
/* A request for a certificate, DER. */
MUST_USE bool acme_request(struct text *der, EVP_PKEY *key, struct acme_hosts hosts);
/* Certificate and key for CHALLENGE_PROTOCOL. */
MUST_USE bool acme_prove(struct challenge *to, struct span name, struct span authorization);

/*
 * The bundle from the chain that an authority sent (PEM, hostile) and the key that was asked
 * with. NULL, or why it is refused: it is malformed or too long, is for another key, lacks a
 * name of `hosts`, or does not hold now.
 */
const char *acme_bundle(struct text *bundle, struct span chain, const EVP_PKEY *key,
                        struct acme_hosts hosts, int64_t now_s);
/* What a kept bundle is; NULL, or why it is not to be used for these names. One that has run
 * out is a good one. */
const char *acme_bundle_read(struct span bundle, struct acme_hosts hosts,
                             struct acme_dates *dates);

/* How many of the names a kept bundle is good for now; 0: none, or it is none. */
size_t acme_bundle_covers(struct span bundle, struct acme_hosts hosts, int64_t now_s);

#endif
