/*
 * What the TLS tests share: certificates, sites, and a client and a server that talk through
 * memory.
 */
#ifndef SALLYPORT_TESTS_TLS_ENDS_H
#define SALLYPORT_TESTS_TLS_ENDS_H

#include "gateway/net/tls_state.h"
#include "tests/unit/net/pki.h"

enum { WIRE = 512 * 1024, PLAIN = 256 * 1024, WHOLE = 0, HOUR = 3600 };
enum { SITE_A, SITE_WILD, SITE_MUST, SITE_MAY, SITE_PLAIN, SITE_NO_TICKETS, SITE_ANY, SITES };

extern struct pki pki;
extern struct pki_pair ca, other_ca, site_pair;
extern struct arena ends_arena;
extern struct ticket_keys ends_keys;

int ends_open(void **state); /* group set-up: makes the certificates */
int ends_close(void **state);
struct span path(const char *name); /* of a file in the folder */

/* Without `any` there is no default site. */
struct tls_server *server_new(bool any, const char *staple);
/* `trusted` NULL: no verification. `cert` and `key` may be NULL. */
struct tls_client *client_new(const char *trusted, const char *cert, const char *key);

struct end {
    struct tls *tls;
    char wire[WIRE]; /* sent, not yet delivered */
    size_t wire_len, writes;
    char plain[PLAIN]; /* received */
    size_t plain_len;
    ssize_t last; /* what tls_read said */
};

extern struct end client_end, server_end;

struct how {
    int version;          /* the newest that the client offers; 0: any */
    SSL_SESSION *session; /* to be resumed */
    size_t chunk;         /* of delivery */
    const char *alpn;     /* in wire form; NULL: as it is */
    bool staple;
};

void end_open(struct end *end, struct tls *tls);
void deliver(struct end *from, struct end *to, size_t chunk);
void pump(size_t chunk); /* until both have nothing to say */
/* A handshake; false when it fails at either end. After it, part() in any case. */
bool meet(struct tls_server *server, struct tls_client *client, const char *name,
          const struct how *how);
void part(void);

#endif
