/*
 * What the TLS files share: a session, the contexts it is made from, and the steps between
 * them. For tls.c, certs.c, pem.c, sni.c, staple.c and tickets.c only; everybody else sees
 * tls.h and certs.h.
 */
#ifndef SALLYPORT_TLS_STATE_H
#define SALLYPORT_TLS_STATE_H

#include <openssl/ssl.h>

#include "gateway/base/table.h"
#include "gateway/net/certs.h"
#include "gateway/net/ja4.h"
#include "gateway/net/tls.h"

enum {
    FINGERPRINT_BYTES = 64, /* hex of SHA-256 */
    TICKET_SESSION_S = 2 * TICKET_ROTATE_S
};

/* A certificate with its chain and key, loaded once however many sites name the files. */
struct identity {
    X509 *leaf;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    struct identity *next;
};

/* A bundle of CA certificates: what is trusted, and the names that are sent to the client. */
struct authority {
    X509_STORE *store;
    STACK_OF(X509_NAME) * names;
    struct authority *next;
};

struct staple {
    const unsigned char *der; /* NULL: none */
    size_t len;
    int64_t until_s; /* wall clock; after that it is not sent */
};

/* One SSL_CTX: identity, staple and authority. What else differs by site is set per session. */
struct credential {
    SSL_CTX *ctx;
    struct staple staple;
    struct credential *next;
};

struct server_site {
    const struct credential *credential; /* NULL: no TLS here */
    int index;
    bool bundled; /* its certificate is its own, and may be replaced */
    enum tls_verify verify;
    enum tls_profile profile;
    bool tickets;
    unsigned char sid_ctx[SSL_MAX_SID_CTX_LENGTH];
};

/*
 * The one BIO of all sessions of a context, lent to the session whose call into OpenSSL is
 * running. A BIO and lock for each would be 200 bytes more for an idle connection.
 */
struct tls_window {
    BIO_METHOD *method;
    BIO *bio;
};

struct tls_server {
    struct table names; /* "name" and ".name" (of "*.name") to struct server_site */
    struct server_site *sites;
    size_t site_count;
    const struct server_site *fallback; /* of "*" */
    const struct ticket_keys *keys;
    struct credential *credentials;
    struct identity *identities;
    struct authority *authorities;
    struct tls_window window;
    bool http2;                    /* offered */
    const struct span *challenges; /* NULL: nobody proves anything here */
};

struct tls_client {
    SSL_CTX *ctx;
    struct tls_window window;
    bool verify;
};

struct tls {
    SSL *ssl;
    struct tls_output output;
    struct span input; /* ciphertext that OpenSSL has not yet taken */
    const struct tls_server *server;
    const struct server_site *site;
    const char *failure; /* NULL: none so far */
    bool established, ended, failed, shut;
    bool info_done;
    bool proving;       /* CHALLENGE_PROTOCOL: over when the handshake is */
    bool flooded;       /* more messages than anybody has use for: no more is read */
    unsigned messages;  /* of handshakes, and alerts that they were answered with */
    uint64_t received;  /* bytes of ciphertext */
    uint64_t records;   /* received */
    char *sni, *client; /* owned; `client` is fingerprint, serial, subject and issuer */
    char ja4[JA4_BYTES];
    struct tls_info info;
};

/* The session behind a callback of OpenSSL: the one that has the window. */
struct tls *tls_of(const SSL *ssl);
/* Counts records and messages: the message callback of all sessions. */
void tls_count(int sent, int version, int content, const void *bytes, size_t len, SSL *ssl,
               void *unused);
MUST_USE bool window_open(struct tls_window *window);
void window_close(struct tls_window *window);
/* OpenSSL's first reason as constant text; empties its queue. */
const char *tls_reason(void);

/* Where a load error goes. */
struct problem {
    struct arena *arena;
    struct span *why;
};

/* Answers false. */
bool problem_say(const struct problem *problem, struct span file, const char *reason);

/* pem.c. Paths are NUL-terminated. NULL after an error that was said. */
struct identity *identity_load(struct span cert, struct span key,
                               const struct problem *problem);
/* The same of one text that has both; `name` is for what is said. */
struct identity *identity_of_bundle(struct span pem, struct span name,
                                    const struct problem *problem);
void identity_free(struct identity *identity);
/* `crl` may be empty. */
struct authority *authority_load(struct span bundle, struct span crl,
                                 const struct problem *problem);
void authority_free(struct authority *authority);

/* staple.c */
MUST_USE bool staple_load(struct staple *staple, struct span file, X509 *leaf,
                          const struct problem *problem);
void staple_attach(SSL_CTX *ctx, const struct staple *staple);

/* certs.c. False: OpenSSL did not take it. */
MUST_USE bool context_identity(SSL_CTX *ctx, const struct identity *identity);

/* sni.c. The server_name extension's bytes; the name is written in lower case into `lower`. */
enum { SNI_NAME_MAX = 253 };
enum sni_reading {
    SNI_NAME,
    SNI_MALFORMED, /* not exactly one host name */
    SNI_ODD        /* a name that no host has */
};
enum sni_reading sni_read(const unsigned char *extension, size_t len,
                          char lower[static SNI_NAME_MAX], struct span *name);
void sni_attach(SSL_CTX *ctx);
const struct server_site *sni_site(const struct tls_server *server, struct span name);

/* tickets.c */
void tickets_attach(SSL_CTX *ctx);
void tickets_session(SSL *ssl, const struct tls *tls); /* once its site is known */

#endif
