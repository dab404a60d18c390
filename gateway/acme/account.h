/*
 * An account at an ACME server: the key that signs for it, and its URL once it is registered.
 * Kept as one JSON object, which is a secret.
 */
#ifndef SALLYPORT_ACME_ACCOUNT_H
#define SALLYPORT_ACME_ACCOUNT_H

#include "gateway/acme/answers.h"
#include "gateway/acme/certificate.h"

struct acme_account {
    EVP_PKEY *key;
    struct acme_url url; /* empty: not registered yet */
};

/* NULL, or why what was kept is no account of that directory. */
const char *acme_account_read(struct span content, struct span directory,
                              struct acme_account *account);
MUST_USE bool acme_account_write(struct text *out, struct span directory,
                                 const struct acme_account *account);

#endif
