/*
 * TLS contexts: certificates by SNI, profiles, tickets, staples, client CAs; and the client
 * side for https upstreams. Made at load, read-only in the workers.
 *
 * Session tickets are sealed under keys in shared memory that all workers and generations use:
 * three keys (next, current, previous), rotated every TICKET_ROTATE_S, so a ticket lives at
 * most two rotations. A ticket binds the site (session id context): a session resumed for
 * another site, or for a site with client certificates whose CA no longer accepts the
 * certificate, is refused and a full handshake runs.
 */
#ifndef SALLYPORT_CERTS_H
#define SALLYPORT_CERTS_H

#include "gateway/base/arena.h"

/* Mozilla's names: 1.3 only; 1.2 too, with AEAD and ECDHE. */
enum tls_profile { TLS_MODERN, TLS_INTERMEDIATE };
enum tls_verify { TLS_VERIFY_OFF, TLS_VERIFY_OPTIONAL, TLS_VERIFY_REQUIRE };

enum { TICKET_ROTATE_S = 3600, TLS_BUNDLE_BYTES_MAX = 128 * 1024, TLS_CHAIN_MAX = 10 };

struct tls_site {
    const struct span *hosts; /* exact names, "*.name" for one label, "*" for the default */
    size_t host_count;
    /* PEM files, NUL-terminated; the chain in `cert`. Empty: no TLS for this site's hosts. */
    struct span cert, key;
    /* In place of the files: chain and key in one text, as PEM. `cert` is then a name that no
     * other site has. */
    struct span bundle;
    struct span staple;     /* DER OCSP response, NUL-terminated path, or empty */
    struct span client_ca;  /* PEM bundle, or empty */
    struct span client_crl; /* PEM revocation lists, or empty: none is looked at */
    enum tls_verify verify;
    enum tls_profile profile;
    bool tickets;
};

struct ticket_key {
    uint8_t name[16], aes[32], hmac[32];
    uint64_t made_s; /* wall clock; 0: none */
};

/* In shared memory; written by one process at a time under the sequence word. */
struct ticket_keys {
    uint32_t sequence; /* odd while being written */
    struct ticket_key next, current, previous;
};

/* Only when due; makes them when empty. By one process at a time; wall clock. */
void ticket_keys_rotate(struct ticket_keys *keys, uint64_t now_s);

/*
 * NULL after an error; `*why` then names file and reason (in the arena). `keys` may be NULL: no
 * tickets. The arena and `keys` outlive the server, and the server its sessions.
 */
struct tls_server *tls_server_new(const struct tls_site *sites, size_t count,
                                  const struct ticket_keys *keys, struct arena *arena,
                                  struct span *why);
/* Offers HTTP/2 by ALPN, before HTTP/1.1. */
void tls_server_offer_http2(struct tls_server *server);
/* Whether a connection made for one site may carry requests for the other: same certificate,
 * same demands on the client. */
bool tls_server_sites_alike(const struct tls_server *server, int a, int b);
/*
 * Another certificate for that site, chain and key as PEM, from the next handshake on; those
 * under way keep theirs. The site was loaded with a bundle. Otherwise, or when it is malformed
 * or its key does not fit: an error, and the old one stays.
 */
MUST_USE enum err tls_server_replace(struct tls_server *server, int index, struct span bundle);
/* Whether it is one that tls_server_replace takes. */
MUST_USE bool tls_bundle_valid(struct span bundle);
/* Where the block of gateway/net/challenge.h stands, at each handshake anew. */
void tls_server_challenges(struct tls_server *server, const struct span *block);
void tls_server_free(struct tls_server *server);

struct tls_client_conf {
    struct span ca;        /* PEM bundle; empty: the system's */
    struct span cert, key; /* client certificate, or empty */
    bool verify;           /* on by default */
    enum tls_profile profile;
};

struct tls_client *tls_client_new(const struct tls_client_conf *conf, struct arena *arena,
                                  struct span *why);
void tls_client_free(struct tls_client *client);

#endif
