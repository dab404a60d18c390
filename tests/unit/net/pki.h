/*
 * Certificates for tests, made by OpenSSL in a folder that is removed at the end. P-256
 * throughout.
 */
#ifndef SALLYPORT_TESTS_PKI_H
#define SALLYPORT_TESTS_PKI_H

#include <openssl/x509.h>

#include "gateway/base/span.h"

enum { PKI_PATH_BYTES = 160 };

struct pki {
    char folder[64];
};

struct pki_pair {
    X509 *cert;
    EVP_PKEY *key;
};

struct pki_spec {
    const char *name;              /* common name */
    const char *alt;               /* "DNS:a.example,IP:127.0.0.1", or NULL */
    const struct pki_pair *issuer; /* NULL: signs itself */
    bool ca;
    long from_s, to_s; /* from now; both 0: an hour ago, for a day */
};

void pki_open(struct pki *pki);
void pki_close(struct pki *pki); /* removes the folder */
struct pki_pair pki_make(const struct pki_spec *spec);
void pki_free(struct pki_pair *pair);

/* The path in the folder, NUL-terminated. */
struct span pki_path(const struct pki *pki, const char *name, char path[static PKI_PATH_BYTES]);
void pki_save(const struct pki *pki, const char *name, const void *bytes, size_t len);
void pki_save_certs(const struct pki *pki, const char *name, const struct pki_pair *pairs,
                    size_t count);
void pki_save_key(const struct pki *pki, const char *name, const struct pki_pair *pair,
                  const char *passphrase);
/* An OCSP response that calls `pair` good, until `to_s` from now. */
void pki_save_staple(const struct pki *pki, const char *name, const struct pki_pair *pair,
                     const struct pki_pair *issuer, long to_s);

#endif
