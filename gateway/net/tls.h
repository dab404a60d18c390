/*
 * TLS sessions over OpenSSL, as a transformation of bytes: no descriptor here. Ciphertext goes
 * in by tls_input, plain bytes come out of tls_read; ciphertext to be sent goes to the `output`
 * callback at once (a BIO of our own over the worker's buffers), so OpenSSL never sees a
 * blocked write. The handshake runs inside tls_read (server and client) and tls_start (client).
 */
#ifndef SALLYPORT_TLS_H
#define SALLYPORT_TLS_H

#include "gateway/base/span.h"

struct tls;
struct tls_server; /* gateway/net/certs.h */
struct tls_client;

struct tls_output {
    void (*write)(void *owner, struct span cipher);
    void *owner;
};

enum { TLS_AGAIN = -1, TLS_FAILED = -2 }; /* 0: the other side closed with close_notify */

/* What is known of a session once established; spans live as long as the session. */
enum { TLS_SANS_MAX = 16, TLS_SAN_BYTES_MAX = 255 };

struct tls_info {
    bool established, resumed;
    struct span version; /* "TLSv1.3" */
    struct span cipher;
    struct span sni;            /* lower case; empty when none was sent */
    struct span alpn;           /* "h2", "http/1.1" or empty */
    struct span ja4;            /* of the client (gateway/net/ja4.h); empty when unknown */
    int site;                   /* index of the tls_site that was chosen by SNI */
    bool client_cert;           /* a verified one */
    struct span client_subject; /* RFC 2253; the same of its issuer */
    struct span client_issuer;
    struct span client_serial;      /* hex, upper case */
    struct span client_fingerprint; /* SHA-256 of the DER, lower-case hex */
    /* Alternative names, a line each: email:, uri: or dns: before it. One with a byte that is
     * no visible ASCII (a NUL, a line end) is left out; where there are too many, all are. */
    struct span client_sans;
};

/* NULL when out of memory. tls_output must be called before anything else (a channel does). */
struct tls *tls_accept(struct tls_server *server);
/* `name` is asked for by SNI and verified; an address is verified as one. No name: NULL. */
struct tls *tls_connect(struct tls_client *client, struct span name);
void tls_output(struct tls *tls, struct tls_output output);
void tls_free(struct tls *tls);

/* The client's first flight. */
MUST_USE enum err tls_start(struct tls *tls);
/* `cipher` must stay in place until tls_read has answered TLS_AGAIN or less. */
void tls_input(struct tls *tls, struct span cipher);
ssize_t tls_read(struct tls *tls, char *plain, size_t size);
/* Takes all, once established; before that and after tls_shutdown it is an error. */
MUST_USE enum err tls_write(struct tls *tls, struct span plain);
void tls_shutdown(struct tls *tls); /* close_notify */
const struct tls_info *tls_info(struct tls *tls);
/*
 * Messages that change nothing for whoever reads (KeyUpdate, attempts to renegotiate) cost us a
 * key derivation or an answer each, and OpenSSL takes any number of them: TLS_MESSAGES_FREE and
 * one more for each TLS_MESSAGE_BYTES received, then the session has failed.
 */
enum { TLS_MESSAGES_FREE = 32, TLS_MESSAGE_BYTES = 1024 * 1024 };
/* Of one handshake: a message may come in pieces, but not in as many as it has bytes. */
enum { TLS_HANDSHAKE_RECORDS = 64 };
bool tls_flooded(const struct tls *tls);
uint64_t tls_records(const struct tls *tls); /* received so far */
/* Why it failed, as constant text for the log: "no shared cipher", "hostname mismatch"; NULL:
 * it did not. */
const char *tls_failure(const struct tls *tls);

#endif
