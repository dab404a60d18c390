/*
 * A loaded configuration: what a generation holds, read-only once its workers are forked.
 */
#ifndef SALLYPORT_CONFIG_H
#define SALLYPORT_CONFIG_H

#include <sys/stat.h>

#include "gateway/base/addrlist.h"
#include "gateway/chain/geo.h"
#include "gateway/chain/route.h"

enum { WORKERS_MAX = 64, LISTEN_MAX = 60, RESOLVERS_MAX = 8 };

struct listen_address {
    struct span text;
    struct addr addr;
    bool tls, proxy_protocol;
};

struct limits_conf { /* server.limits */
    uint64_t header, uri, body;
    int64_t headers, connections, conns_per_ip, h2_streams, client_share;
    struct duration header_timeout, body_timeout, send_timeout, tls_timeout, idle;
    uint64_t body_min_rate;   /* bytes a second */
    uint64_t held;            /* bodies held for inspection in one worker */
    uint64_t request_memory;  /* ceiling of one transaction's arena */
    uint64_t compress;        /* what encoders of answers take together in one worker */
    uint64_t response_buffer; /* unsent answer held per connection before upstream is paused */
};

enum unknown_host { UNKNOWN_HOST_CLOSE, UNKNOWN_HOST_404 };

/* Where compiled rules are kept from one start to the next. */
struct cache_conf {
    int mode; /* 0 on, 1 off */
    struct path folder;
    uint64_t size;
};

struct server_conf {
    struct texts http, https; /* server.listen */
    int64_t workers;          /* 0: one per core */
    struct path control;
    struct span metrics; /* address; empty: none */
    struct span user;
    struct texts resolver; /* name servers; none: the system's */
    struct cidrs trusted_proxies;
    bool proxy_protocol;
    int http2; /* 0 on, 1 off */
    struct limits_conf limits;
    struct duration drain_timeout;
    int mode;         /* enum mode */
    int sandbox;      /* 0 auto, 1 off */
    int unknown_host; /* enum unknown_host */
    struct span node;
    struct cache_conf cache;
};

/* audit.capture: which requests are kept whole, sealed (gateway/audit/capture.h). */
struct capture_conf {
    bool on;
    uint8_t key[32]; /* public */
    uint32_t of;     /* bits: enum audit_select */
    int64_t sample;  /* and one in so many of all; 0: none */
    int64_t rate;    /* of one worker in a second, at most */
    uint64_t body;   /* bytes of it */
    uint64_t size;   /* of all that is kept */
};

struct audit_conf {
    bool on;
    struct path file; /* empty: standard output */
    uint32_t record;  /* bits: enum audit_select */
    int durability;   /* enum durability */
    int on_full;      /* enum on_full */
    int64_t flood;    /* refusals of one kind recorded one by one in a second; 0: all */
    uint64_t reserve; /* bytes set aside for a full disk */
    uint64_t rotate_size;
    struct duration rotate_every; /* 0: never, and so above */
    bool compress;
    struct duration keep_age;
    uint64_t keep_size; /* 0: all, and so above */
    struct redaction redaction;
    struct capture_conf capture;
};
enum audit_select {
    AUDIT_ALL = 1,
    AUDIT_BLOCKED = 2,
    AUDIT_DETECTED = 4,
    AUDIT_LIMITED = 8,
    AUDIT_AUTH = 16,
    AUDIT_ADMIN = 32
};

/* A named address list (top-level `lists:`). Its index is its snapshot id. */
struct list_conf {
    struct span name;
    struct cidrs ips; /* inline */
    struct path file; /* or from a file */
    struct span url;  /* or fetched; empty: not */
    struct path ca;
    uint64_t refresh_ms, max_age_ms, max_bytes;
    bool allow_private;
    bool watch;
    int format;           /* of the file: enum listfile_format */
    struct span reason;   /* of entries that say none */
    struct cidrs without; /* left out of what the file says */
    int64_t max_cover, max_shrink;
    bool denies; /* some stage refuses who is on it */
    int remedy;  /* of a CrowdSec's decisions: enum decision_kind + 1; 0: it is no such list */
    struct span built; /* the block made at load (gateway/base/addrlist.h); snapshots replace
                          it */
};

/* Addresses that no list which denies may hold, if it comes from a file. */
enum { SPARED_MAX = 256, LIST_WITHOUT_MAX = 32 };

/* A geo database (top-level `geoip:`). Its snapshot id is list_count plus its index. */
struct geo_conf {
    const char *name; /* the key that named it */
    struct span path;
    struct span bytes; /* the file as it was at load, checked; snapshots replace it */
    struct stat seen;
};

/* A watched file of API keys; its snapshot id: auth/apikeys.h. */
enum { KEY_FILES_MAX = 16 };
enum { USER_FILES_MAX = 4 }; /* stores of users: struct key_file, too; auth/userdb.h */
struct key_file {
    struct span path;
    struct span built; /* the block made at load (auth/keyfile.h); snapshots replace it */
    struct stat seen;
};

/*
 * Somebody who says who people are, and whose keys the steward fetches: by the address of the
 * key set, or by discovery from the issuer. Its snapshot id: auth/provider.h.
 */
enum { PROVIDERS_MAX = 16, PROVIDER_KEY_BYTES = 32, PROVIDER_ADDRESSES_MAX = 4 };
struct provider {
    struct span issuer; /* empty: keys alone */
    struct span url;    /* of the key set; empty: the issuer tells it */
    struct path ca;     /* PEM bundle; empty: the system's */
    uint32_t algs;      /* bits of enum jose_alg: all that anybody asks of these keys */
    uint8_t key[PROVIDER_KEY_BYTES]; /* digest of the above */
    struct addr addrs[PROVIDER_ADDRESSES_MAX];
    unsigned addr_count;
    struct tls_client *tls; /* for what workers ask themselves */
};

/*
 * A field that upstream takes as the gateway's word, on every route of the site: a client's own
 * copy is dropped where the stage that sends it is off, exempt or not there, too.
 */
struct lent_field {
    struct span name;
    const char *site; /* name; NULL: every site */
    struct lent_field *next;
};

/* What a stage has counted under a name of its own; the row is given at load: meter.h. */
struct metered {
    struct span name;
    unsigned row;
    struct metered *next;
};

/* Certificates that are asked for (top-level `acme:`), one for each site without its own. */
enum { ACME_SITES_MAX = 64, ACME_HOSTS_MAX = 100, ACME_HOSTS_BYTES = 4096 };
enum acme_challenge { ACME_HTTP_01, ACME_TLS_ALPN_01 };
struct acme_site {
    const struct site *site;
    int tls_site; /* index in `tls` */
};
struct acme_conf {
    struct span directory, email;
    struct path folder, ca;
    int challenge; /* enum acme_challenge */
    struct span eab_kid, eab_key;
    struct duration retry;
    struct acme_site *sites;
    size_t site_count; /* 0: none is asked for */
};

/*
 * A CrowdSec's local API (top-level `crowdsec:`), asked by the steward. What it has decided
 * stands in two lists of these names.
 */
#define CROWDSEC_BANS "crowdsec"
#define CROWDSEC_CHALLENGES "crowdsec-challenge"
enum crowdsec_as { CROWDSEC_DECISIONS, CROWDSEC_SIGNALS };
struct crowdsec_conf {
    int mode; /* 0 on, 1 off */
    struct url lapi;
    struct secret key;
    struct duration refresh, resync, max_age;
    struct cidrs without;
    int64_t max_cover;
    uint64_t max_bytes;
    struct path ca;
    struct {
        struct span machine; /* empty: nothing is told */
        struct secret password;
        int as; /* enum crowdsec_as */
    } alerts;
};

struct top_conf;
struct store;
struct discovery;

struct config {
    struct arena *arena;
    const struct top_conf *top; /* the options outside the sites: gateway/load_rows.h */
    struct span hash;           /* SHA-256 of the sources, hex */
    struct server_conf server;
    struct audit_conf audit;
    const struct store *store; /* gateway/store/store.h */
    struct span snapshot;      /* store.snapshot; empty: nothing survives a restart */
    uint8_t kept_key[32];      /* of keyed hashes in what survives: the same at each start */
    struct list_conf *lists;
    size_t list_count;
    struct cidr spared[SPARED_MAX]; /* trusted proxies, and what `allow` names */
    size_t spared_count;            /* SPARED_MAX + 1: there were more */
    struct geo_conf geo[GEO_DATABASES_MAX];
    size_t geo_count;
    struct key_file key_files[KEY_FILES_MAX];
    size_t key_file_count;
    struct provider providers[PROVIDERS_MAX];
    size_t provider_count;
    struct key_file user_files[USER_FILES_MAX];
    size_t user_file_count;
    struct acme_conf acme;
    const struct crowdsec_conf *crowdsec; /* NULL: none is asked */
    struct site *sites;
    size_t site_count;
    struct table hosts;     /* exact host -> struct site */
    const struct site *any; /* the "*" site, or NULL */
    struct listen_address *listen;
    size_t listen_count;
    struct tls_server *tls; /* NULL: no https */
    struct upstream *upstreams;
    size_t upstream_count;
    const struct discovery **discoveries; /* gateway/upstream/discovery.h, by index */
    size_t discovery_count;
    struct span found; /* what they stood for at load: a block; empty: nothing is known */
    struct stage_instance *instances; /* all, by `local` index */
    size_t instance_count;
    struct lent_field *lent;        /* linked: names that some stage sends to upstream */
    struct metered *limits;         /* linked: of ratelimit/, the last one first */
    bool preserve_encoded;          /* some route keeps encoded slashes */
    struct stage_instance *connect; /* PHASE_CONNECT: before a site is known */
    unsigned connect_count;
    uint8_t boot_key[32];
    struct patterns *patterns; /* regular expressions in expressions, by id */
    /*
     * Whether an address stands in list `list` as it is now. Lists lie above the chain, so
     * load.c sets this; NULL: only the inline prefixes are looked at.
     */
    bool (*list_contains)(const struct config *config, struct worker *worker, int list,
                          const struct addr *addr);
    /* The same, and why it stands there. */
    bool (*list_why)(const struct config *config, struct worker *worker, int list,
                     const struct addr *addr, struct list_hit *hit);
    /* Set by load.c when there are databases, for the same reason. Names are copied to the
     * arena; NULL: they are not asked for. */
    void (*geo_lookup)(struct worker *worker, const struct addr *addr, struct geo *geo,
                       struct arena *names);
};

/* Of the first HTTPS listener; 0: there is none. */
uint16_t config_https_port(const struct config *config);
/* Index of a list, or -1. */
int config_list(const struct config *config, struct span name);
/* At load: lists that deny must not hold these. */
void config_spare(struct config *config, const struct cidr *cidr);

#endif
