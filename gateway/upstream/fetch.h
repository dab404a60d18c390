/*
 * What the gateway itself asks of other servers: key sets, discovery documents, tokens,
 * address lists. One request and its answer, whole and bounded, by an exchange of its own. From
 * a worker's loop or the steward's.
 *
 * The other side is hostile. Certificates are verified. The answer has a limit in bytes, as
 * sent and decoded, and one deadline for all of it. Redirects are followed only where the
 * policy says so, and never from https to http. Where private addresses are refused, the
 * address that is connected to is what counts, not the name: a name that leads to another
 * address the second time gains nothing.
 */
#ifndef SALLYPORT_FETCH_H
#define SALLYPORT_FETCH_H

#include "gateway/upstream/exchange.h"
#include "gateway/upstream/fetch_url.h"

enum {
    FETCH_REDIRECTS_MAX = 5,
    FETCH_FIELDS_MAX = 24,
    FETCH_ADDRESSES_MAX = 4,   /* of a name, tried one after the other */
    FETCH_MEMORY = 512 * 1024, /* of one fetch, its answer's body not counted */
    FETCH_RATIO_MAX = 100,     /* decoded bytes for each byte that came */
};

/* Of whoever asks; lives as long as the fetches. */
struct fetch_policy {
    struct tls_client *tls; /* NULL: https cannot be asked */
    bool https_only;
    bool private_refused; /* addresses that are not global, see addr_is_global */
    bool gzip;            /* the answer may be coded */
    unsigned redirects;   /* at most FETCH_REDIRECTS_MAX */
    size_t body_bytes;    /* of the answer */
    uint64_t connect_ms, total_ms;
    struct span socket; /* not empty: who is asked, by unix socket, whatever the URL's host */
    /* The addresses that `host` has now; 0: not known. NULL: URLs have addresses in them. */
    unsigned (*resolve)(void *names, struct span host, struct addr *out, unsigned max);
    void *names;
};

struct fetch_field {
    struct span name, value;
};

/* All of it is copied. */
struct fetch_ask {
    struct span url;
    struct span post; /* a body; NULL pointer: GET */
    bool deletes;     /* DELETE, without a body */
    struct span post_type;
    struct span accept;        /* empty: anything */
    struct span if_none_match; /* an ETag; empty: none. Then 304 is an answer */
    const struct fetch_field *fields;
    unsigned field_count;
};

struct fetch {
    /* Called from the loop, once, unless fetch_close came before; may close and free it. */
    void (*done)(struct fetch *f);
    /* The server to ask, whose connections are kept; NULL: the URL's, once. Set before. */
    struct upstream_local *via;
    /* The outcome. The spans live until fetch_close. */
    enum err err;
    const char *why; /* a sentence, with any error */
    int status;
    const struct fields *fields;
    struct span body;
    struct url url; /* that answered: behind redirects another one */
    /* the fetch's own */
    const struct fetch_policy *policy;
    struct worker *worker;
    struct arena arena;
    struct request req;
    struct span post;
    bool conditional;
    struct exchange exchange;
    struct upstream upstream;
    struct upstream_server servers[FETCH_ADDRESSES_MAX]; /* one for each address */
    struct upstream_local local;
    struct server_local locals[FETCH_ADDRESSES_MAX];
    char *bytes; /* the body as it comes */
    size_t len, size;
    uint64_t began_ms;
    unsigned redirects;
    bool again; /* `url` is to be asked next */
    struct task task;
};

/*
 * `f` is zeroed but for `done` and `via`. An error that is known at once is told by `done`,
 * too, so there is one path.
 */
void fetch_start(struct fetch *f, struct worker *worker, const struct fetch_policy *policy,
                 const struct fetch_ask *ask);
/* At any time but from inside an exchange's event; idempotent. Frees what it holds; tells
 * nothing. */
void fetch_close(struct fetch *f);

/* The answer's ETag, or an empty span: too long ones are not taken. */
struct span fetch_etag(const struct fetch *f);

#endif
