/*
 * An authority for tests of orders: it answers what acme_next asks, checks each signature, and
 * signs what is to be signed. What it says at one step can be replaced.
 */
#ifndef SALLYPORT_TESTS_ACME_AUTHORITY_H
#define SALLYPORT_TESTS_ACME_AUTHORITY_H

#include "gateway/acme/order.h"

#define TEST_DIRECTORY "https://ca.test/dir"

/* In place of the usual answer to the `nth` (1: first) question for a URL that ends so. */
struct replaced {
    const char *url;
    unsigned nth; /* 0: each */
    int status;   /* 0: there is no answer at all */
    const char *body, *location, *retry_after;
    bool without_nonce;
};

struct authority {
    const struct replaced *replaced;
    size_t replaced_count;
    unsigned authorizations; /* of an order; 0: one for each name */
    unsigned pending_polls;  /* questions for a validation before it is valid */
    unsigned processing_polls;
    bool renewal_info;
    /* what was asked */
    unsigned asked, waits, published, polls;
    unsigned count[ACME_STEP_FAILED + 1];
    char last_order[2048];
    char nonce[32];
    bool binding;
    struct challenges block; /* as published */
};

void authority_open(void);
void authority_close(void);
/* Answers until the end: ACME_DONE or ACME_FAILED. */
enum acme_need authority_serve(struct authority *ca, struct acme_run *run);
/* A chain for a request, DER, as PEM. */
size_t authority_issue(struct span request, char *pem, size_t size);
EVP_PKEY *authority_key(void);

#endif
