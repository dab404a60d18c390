/*
 * Upstreams as configured, and what a worker knows of their servers: kept connections, load,
 * failures.
 */
#ifndef SALLYPORT_UPSTREAM_H
#define SALLYPORT_UPSTREAM_H

#include "conf/option.h"
#include "gateway/net/channel.h"
#include "gateway/upstream/discovery.h"
#include "gateway/upstream/health.h"

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN, BALANCE_TWO_CHOICES, BALANCE_HASH };
enum hash_by { HASH_CLIENT, HASH_HOST, HASH_PATH, HASH_HEADER, HASH_COOKIE };

struct hash_key {
    enum hash_by by;
    struct span name;
};

enum { SERVERS_MAX = 64, SERVER_ADDRESSES_MAX = 8 };

struct health_conf {
    struct span path; /* empty: off */
    struct span host, status, body;
    struct duration interval, timeout;
    int64_t rise, fall;
};

struct upstream_server {
    struct url url;
    int64_t weight;
    struct addr addrs[SERVER_ADDRESSES_MAX]; /* resolved at load */
    unsigned addr_count;
    struct span label; /* as configured, for records */
    bool backup;
    const struct server_state *state; /* NULL: nobody else knows of it */
    struct discovery *discovery;      /* a slot for a server that is found; NULL: no */
    unsigned slot;
};

struct upstream {
    struct upstream_server *servers;
    size_t server_count;
    int balance;
    struct hash_key hash;
    struct span sticky_cookie, sticky_secret; /* no cookie: off */
    struct duration sticky_age, slow_start;
    struct health_conf health;
    struct duration connect, response, idle, total; /* timeouts; response: to the first byte */
    struct duration tunnel, kept;                   /* without a byte; without a request */
    int64_t keepalive;                              /* kept connections per server and worker */
    int64_t retries;
    int64_t max_active;  /* requests at a server at a time, in one worker; 0: any */
    int64_t queue_limit; /* requests that wait for one */
    struct duration queue_wait;
    uint32_t bad_from, bad_to;             /* answers that count as failures; 0: none */
    int passive_fails;                     /* failures in a row that eject a server; 0: never */
    struct duration passive_for;           /* first ejection; doubles up to 10 times */
    bool discovers;                        /* some servers are found by name */
    struct tls_client *tls;                /* NULL for http and unix */
    struct span tls_name;                  /* SNI and verified name; empty: the url's host */
    struct span tls_ca, tls_cert, tls_key; /* paths, for checks */
    bool tls_verify;
    struct circuit_conf breaker;
    struct circuit *circuit; /* NULL: there is none */
    unsigned index;          /* in config->upstreams */
};

/* The rows of `upstream:` and the struct that they fill; load.c turns it into a struct
 * upstream. */
struct server_item {
    struct url url;
    int64_t weight;
    bool backup;
    int64_t slots;
    struct duration ttl_min, ttl_max;
};
struct upstream_conf {
    struct list servers; /* of struct server_item */
    int balance;
    struct span hash;
    struct {
        struct span cookie;
        struct secret secret;
        struct duration max_age;
    } sticky;
    struct duration slow_start;
    struct health_conf health;
    struct {
        struct duration connect, response, idle, total, tunnel, kept;
    } timeout;
    int64_t keepalive, retries, max_active;
    struct {
        int64_t limit;
        struct duration timeout;
    } queue;
    struct {
        int mode; /* 0 on, 1 off */
        int64_t fails;
        struct duration window;
        struct span status;
    } passive;
    struct circuit_conf breaker;
    struct {
        struct path ca, cert, key;
        bool verify;
        struct span name;
    } tls;
};
extern const struct option upstream_options[], health_options[];
/* Resolves names (getaddrinfo) and opens the TLS side. Complains and answers an error. */
struct complaint;
MUST_USE enum err upstream_open(struct upstream *upstream, const struct upstream_conf *conf,
                                struct arena *arena, struct complaint *complaint);

/* Per worker. */
MUST_USE enum err upstreams_attach(struct worker *worker, const struct upstream *upstreams,
                                   size_t count);
void upstreams_drain(struct worker *worker); /* closes kept connections */

#endif
