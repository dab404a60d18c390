/*
 * An order at an ACME server (RFC 8555 section 7), from its directory to the certificate, or
 * the question when to renew (RFC 9773), as steps without any socket: acme_next says what is to
 * be done, and whoever does it says what came of it. Whatever the server answers, it comes to
 * an end: after so many requests, and so much waiting.
 *
 *   directory -> (nonce) -> account -> order -> authorizations -> publish -> challenges
 *             -> authorizations again, until they are valid -> finalize -> order again
 *             -> certificate
 */
#ifndef SALLYPORT_ACME_ORDER_H
#define SALLYPORT_ACME_ORDER_H

#include "gateway/acme/account.h"
#include "gateway/acme/store.h"

enum {
    ACME_NONCE_MAX = 256,
    ACME_NONCE_TRIES = 10,              /* refused nonces in a row */
    ACME_ASKS_MAX = 1000,               /* requests of one run */
    ACME_WAIT_MOST_MS = 10 * 60 * 1000, /* of one run, together */
    ACME_POLL_FIRST_MS = 500,
    ACME_POLL_MOST_MS = 30 * 1000,
};

struct acme_job {
    struct span directory; /* URL */
    struct span email;     /* empty: no contact */
    struct span eab_kid, eab_key;
    const char *challenge; /* "http-01" or "tls-alpn-01" */
    struct acme_hosts hosts;
    struct acme_account *account;  /* its URL is set, and emptied, here */
    const struct acme_dates *held; /* of the certificate that is renewed; NULL: none */
    bool info_only;                /* ask when it should be renewed */
};

enum acme_need {
    ACME_ASK,     /* `url`; by POST of `post`, or by GET when that is empty */
    ACME_PUBLISH, /* `block` to where the names are served; then acme_published */
    ACME_WAIT,    /* `wait_ms`; then acme_next again */
    ACME_DONE,    /* `bundle`, or of info_only `window` */
    ACME_FAILED,  /* `why`, and perhaps `retry_after_s` */
};

enum acme_step {
    ACME_STEP_DIRECTORY,
    ACME_STEP_INFO,
    ACME_STEP_ACCOUNT,
    ACME_STEP_ORDER,
    ACME_STEP_AUTHORIZATION,
    ACME_STEP_PUBLISH,
    ACME_STEP_CHALLENGE,
    ACME_STEP_VALIDATION,
    ACME_STEP_FINALIZE,
    ACME_STEP_ISSUANCE,
    ACME_STEP_CERTIFICATE,
    ACME_STEP_DONE,
    ACME_STEP_FAILED,
};

/* An answer; what a field says twice is empty. */
struct acme_answer {
    int status;
    struct span body, nonce, location, retry_after;
};

struct acme_run {
    struct acme_job job;
    enum acme_step step;
    bool nonce_asked; /* what is under way is the question for a nonce */
    bool waited;      /* before the question that comes next */
    bool renewed_account, without_held;
    int64_t now_s;      /* wall clock, kept right by the caller */
    struct arena arena; /* of the request under way */
    struct span url, post;
    uint64_t wait_ms, waited_ms;
    unsigned asks, nonce_tries, polls;
    char nonce[ACME_NONCE_MAX + 1];
    struct acme_directory directory;
    struct acme_url order_url;
    struct acme_order order;
    size_t at; /* in the order's authorizations, or in the challenges */
    struct acme_url challenges[ACME_NAMES_MAX];
    struct challenges block;
    EVP_PKEY *key;
    /* the outcome */
    struct arena result_arena;
    struct text bundle; /* a secret */
    struct acme_window window;
    bool window_known; /* else the authority has no wish */
    char why[ACME_WHY_MAX];
    int64_t retry_after_s;
};

/* The job's spans outlive the run. */
void acme_begin(struct acme_run *run, const struct acme_job *job);
enum acme_need acme_next(struct acme_run *run);
void acme_answered(struct acme_run *run, const struct acme_answer *answer);
/* There was no answer. */
void acme_broken(struct acme_run *run, const char *why);
void acme_published(struct acme_run *run);
/* At any time; wipes what is secret. */
void acme_end(struct acme_run *run);

#endif
