/*
 * Certificates that are got by ACME: what certificates.c (life, files, workers), acme.c (at the
 * authority) and certificates_tell.c (commands and metrics) share.
 */
#ifndef SALLYPORT_STEWARD_CERTIFICATES_H
#define SALLYPORT_STEWARD_CERTIFICATES_H

#include "gateway/acme/order.h"
#include "gateway/steward/steward.h"
#include "gateway/upstream/dnslookup.h"
#include "gateway/upstream/fetch.h"

/* One site's. Times are wall clock, in seconds. */
struct certificate {
    struct steward *steward;
    const struct watched_certificate *settings;
    struct acme_hosts hosts;
    char file[ACME_NAME_MAX];
    struct acme_dates dates;
    bool held;  /* there is one; else the workers' own, self-signed */
    bool asked; /* by hand: it does not wait for its time */
    struct acme_tries tries;
    int64_t got_s;             /* when it came */
    int64_t due_s;             /* when it is to be renewed */
    int64_t info_s;            /* when the authority is asked for its wish */
    struct acme_window window; /* its wish */
    bool window_known;
    uint64_t got, failed; /* orders */
    int memfd;            /* the published snapshot; -1: none */
    uint64_t bytes;
    uint32_t version;
};

/* Of one order or question at a time: authorities count, and nobody is in a hurry. */
struct order {
    struct certificate *of; /* NULL: none is under way */
    struct acme_run *run;
    struct acme_tries before; /* as they stood */
    bool info;
    unsigned settling; /* times that it waited for the workers */
    struct fetch fetch;
    struct lookup lookup;
    struct discovery looked_for;
    struct addr addrs[FETCH_ADDRESSES_MAX]; /* of the authority */
    unsigned addr_count;
    struct timer timer;
};

struct certificates {
    struct steward *steward;
    const struct acme_settings *settings;
    struct certificate *items;
    size_t count;
    int folder;
    struct acme_account account;
    struct acme_url account_kept; /* its URL, as it is in the file */
    char account_file[ACME_NAME_MAX];
    struct fetch_policy policy;
    struct resolver *resolver;
    struct span host; /* of the directory */
    uint16_t port;
    struct order order;
    struct timer timer; /* until the next one is due */
    int proofs_memfd;
    uint64_t proofs_bytes;
    uint32_t proofs_version;
};

/* acme.c: an order for this one begins, or a question when it should be renewed. */
void order_start(struct certificates *all, struct certificate *certificate, bool info);
/* Nothing is told of it any more. */
void order_drop(struct certificates *all);

/* certificates.c: what came of it. Each ends the order. */
void order_done(struct certificates *all);
void order_failed(struct certificates *all, const char *why, int64_t retry_after_s);
/* As soon as there is one, or another: who is killed now need not register again. */
void account_keep(struct certificates *all);
/* To the workers; a block without entries takes the proofs back. */
MUST_USE bool proofs_publish(struct certificates *all, const struct challenges *block);
/* Whether every worker has read what it was sent. */
bool workers_follow(const struct steward *steward);
/* What is due is begun. */
void certificates_look(struct certificates *all);
int64_t certificates_now(const struct certificates *all);

#endif
