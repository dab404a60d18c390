/*
 * The option rows of everything that is not a stage, and the structs that they fill. Private to
 * load*.c.
 */
#ifndef SALLYPORT_LOAD_ROWS_H
#define SALLYPORT_LOAD_ROWS_H

#include "gateway/chain/config.h"
#include "gateway/store/store.h"
#include "gateway/upstream/upstream.h"

/* The top of the file. Sites, defaults and stages are walked by hand: they inherit. */
struct top_conf {
    int64_t version;
    struct server_conf server;
    struct {
        int mode; /* 0 on, 1 off */
        struct path file;
        struct texts record;
        int durability, on_full;
        int64_t flood;
        uint64_t reserve;
        struct {
            uint64_t size;
            struct duration every;
            bool compress;
        } rotate;
        struct {
            struct duration age;
            uint64_t size;
        } keep;
        struct {
            struct texts fields;
        } redact;
        struct {
            struct span key;
            struct texts of;
            int64_t sample, rate;
            uint64_t body, size;
        } capture;
    } audit;
    struct store_conf store;
    struct list lists; /* of struct list_item */
    struct {
        struct path country, city, asn;
    } geoip;
    struct {
        int mode; /* 0 on, 1 off */
        struct span directory, email;
        bool agree_terms;
        int challenge; /* enum acme_challenge */
        struct path folder, ca;
        struct {
            struct span kid;
            struct secret key;
        } eab;
        struct duration retry;
    } acme;
    struct crowdsec_conf crowdsec;
};

struct list_item {
    struct map_item map;
    struct cidrs ips;
    struct path file;
    bool watch;
    int format;
    struct span reason;
    struct cidrs without;
    int64_t max_cover, max_shrink;
    struct span url;
    struct path ca;
    struct duration refresh, max_age;
    uint64_t max_bytes;
    bool allow_private;
};

enum https_mode { HTTPS_OFF, HTTPS_REDIRECT, HTTPS_AUTO };

/* What a site has of its own. */
struct site_conf {
    struct span name;
    struct texts host;
    int https; /* enum https_mode */
    int acme;  /* 0 on, 1 off */
    struct {
        struct path cert, key, ocsp;
        int profile; /* enum tls_profile */
        bool tickets;
        struct {
            struct path ca, crl;
            int require; /* enum tls_verify */
        } client_cert;
    } tls;
};

enum compress_mode { COMPRESS_ON, COMPRESS_OFF, COMPRESS_AUTO };

/* What sites and routes inherit, beside stages and upstream. */
struct settings {
    int mode; /* enum mode */
    int body; /* enum body_policy */
    bool preserve_encoded, websocket;
    struct texts keep_fields;
    struct {
        struct span strip_prefix, add_prefix, path, query;
    } rewrite;
    struct {
        int mode; /* enum compress_mode */
        struct texts codings, types;
        uint64_t min;
        bool breach_guard;
    } compress;
};

/* What a route has of its own. */
struct route_conf {
    struct span path;
    struct texts methods;
    struct expr *when;
    int64_t share;
    struct {
        int64_t status;
        struct span body, type;
    } respond;
    struct {
        struct span to;
        int64_t status;
    } redirect;
};

extern const struct option top_rows[], site_rows[], settings_rows[], route_rows[],
    compress_rows[], acme_rows[], crowdsec_rows[], server_rows[], audit_rows[];

/* Which transactions a word of `audit.record` stands for; 0: no such word. */
uint32_t audit_record_bit(struct span name);
/* ip:port, or :port for all interfaces. */
MUST_USE bool listen_parse(struct span text, struct addr *addr);

#endif
