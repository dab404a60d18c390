/*
 * Sites and routes as the request path sees them: made at load, read-only. A route carries its
 * chain flattened per phase; what is off or idle is absent, not tested.
 */
#ifndef SALLYPORT_ROUTE_H
#define SALLYPORT_ROUTE_H

#include "gateway/base/table.h"
#include "gateway/chain/stage.h"
#include "gateway/http/decode.h"

struct level;
struct site_conf;
struct upstream;
struct request;
struct template;
struct txn;
struct expr;

struct source; /* conf/source.h */

struct stage_instance {
    const struct stage_type *type;
    const void *conf;
    const struct stage_common *common;
    enum mode mode;              /* effective */
    unsigned local;              /* index in worker->locals */
    unsigned meter;              /* gateway/chain/meter.h */
    const struct source *source; /* where the configuration speaks of it; NULL: nowhere */
    unsigned line;
    uint32_t state_offset; /* in the transaction's state */
};

enum handler {
    HANDLER_UPSTREAM,
    HANDLER_RESPOND,
    HANDLER_REDIRECT,
    HANDLER_INTERNAL,
    HANDLER_NONE
};
#define PAGE_PREFIX "/.sallyport/"

enum body_policy { BODY_STRICT, BODY_COMPAT };

/* Exact "/x"; "/x/" followed by two stars: that folder and all below; a leading or lone `*`
 * glob per segment. */
struct path_pattern {
    struct span text;
    struct span prefix; /* literal start */
    bool exact, below;  /* neither: a glob */
};

/* What upstream gets in place of the path and query that were asked for. */
struct rewrite {
    struct span strip, add; /* prefixes of the path, as on the wire */
    struct template *path;  /* NULL: as it is */
    struct template *query;
};

/* Which answers are compressed. */
enum { COMPRESS_CODINGS_MAX = 3 };
struct compress_conf {
    enum coding codings[COMPRESS_CODINGS_MAX]; /* the most wanted first */
    unsigned coding_count;
    struct texts types; /* of media, `/` and a star at the end for all of one kind */
    uint64_t min;       /* bytes, where the length is known */
    bool breach_guard;
};

struct route {
    const char *name; /* "path" as configured; "default" */
    const struct site *site;
    struct path_pattern path;
    unsigned pattern;        /* id in config->patterns and 1, in place of `path`; 0: none */
    uint32_t methods;        /* bit per enum method; 0: any */
    const struct expr *when; /* NULL: always */
    unsigned withheld;       /* percent of the clients that pass by */
    struct stage_instance *chain[PHASE_COUNT];
    unsigned chain_count[PHASE_COUNT];
    uint32_t state_size; /* of all stages of this route */
    bool holds_body;
    uint64_t body_limit; /* held for inspection; over it 413 in block mode */
    uint64_t body_max;   /* any body, streamed or held */
    bool holds_response; /* some stage looks at answers' bodies */
    bool response_over_denies;
    uint64_t response_limit; /* of an answer's body, held for inspection */
    int body_policy;         /* enum body_policy */
    bool preserve_encoded, websocket;
    struct texts keep_fields; /* gateway/http/claims.h */
    enum handler handler;
    const struct upstream *upstream;
    int respond_status;
    struct span respond_body, respond_type;
    struct span redirect_to;
    struct template *redirect;
    int redirect_status;
    struct rewrite rewrite;
    const struct compress_conf *compress; /* NULL: off */
    const struct level *level; /* the options it was made from: gateway/load_site.h */
};

struct site {
    const char *name;
    unsigned meter;     /* gateway/chain/meter.h */
    struct span *hosts; /* lower case; "*" any; "*.x" one or more labels before .x */
    size_t host_count;
    struct route *routes; /* the last one is the default route: every site has it */
    struct route *room;   /* where the array begins: pages are put in front */
    size_t route_count;
    bool tls, client_cert_required;
    bool https_only;              /* plain requests are sent to HTTPS */
    int tls_site;                 /* as the TLS server counts them, or -1 */
    const struct site_conf *conf; /* its options: gateway/load_rows.h */
};

const struct site *site_find(const struct config *config, struct span host);
/*
 * First match in order of the file. NULL: a condition could not be decided, and what comes
 * behind it may be open to more. Without `txn`, routes with conditions match nothing.
 */
const struct route *route_find(const struct site *site, const struct request *req,
                               struct txn *txn);
MUST_USE bool path_pattern_parse(struct span text, struct path_pattern *pattern);
bool path_pattern_matches(const struct path_pattern *pattern, struct span path);

#endif
