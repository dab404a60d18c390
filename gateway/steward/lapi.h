/*
 * How the steward asks a CrowdSec's local API: one question at a time, by whichever of its
 * files. The server is the operator's and may be private; what it answers is hostile all the
 * same. Redirects are not followed, and by http nobody is asked at a public address: the key
 * would be seen.
 */
#ifndef SALLYPORT_LAPI_H
#define SALLYPORT_LAPI_H

#include "gateway/steward/steward.h"
#include "gateway/upstream/dnslookup.h"
#include "gateway/upstream/fetch.h"

enum { LAPI_URL_BYTES = 2048, LAPI_FIELDS = 2 };

struct lapi {
    struct steward *steward;
    struct arena arena;
    struct url url;         /* its path without a slash at the end */
    struct span socket;     /* not empty: asked there */
    struct tls_client *tls; /* NULL: https has nobody to trust */
    struct resolver *resolver;
};

struct lapi_call {
    /* From the loop, once. With `why` NULL the fetch has status and body, until lapi_close. */
    void (*done)(struct lapi_call *call);
    const char *why;
    struct fetch fetch;
    /* its own */
    struct lapi *lapi;
    struct fetch_policy policy;
    struct fetch_field fields[LAPI_FIELDS];
    struct span post;
    bool deletes;
    char url[LAPI_URL_BYTES];
    size_t url_len;
    struct lookup lookup;
    struct discovery looked_for;
    struct addr addrs[FETCH_ADDRESSES_MAX];
    unsigned addr_count;
};

/* Before the sandbox closes: authorities are read. */
MUST_USE enum err lapi_open(struct lapi *lapi, struct steward *steward,
                            const struct watched_list *settings);
/* `path` with its query; `field` lives until the end, and so does `post` (NULL pointer: GET).
 * `body` is how long an answer may be. */
void lapi_ask(struct lapi *lapi, struct lapi_call *call, const char *path,
              const struct fetch_field *field, struct span post, size_t body);
/* The same by DELETE. */
void lapi_delete(struct lapi *lapi, struct lapi_call *call, const char *path,
                 const struct fetch_field *field, size_t body);
void lapi_close(struct lapi_call *call);

#endif
