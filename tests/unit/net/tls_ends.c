/* What the TLS tests share. */
#include "tests/unit/net/tls_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "gateway/base/text.h"

/* ---- certificates and contexts, made once ---- */

struct pki pki;
struct pki_pair ca, other_ca, site_pair;
static struct pki_pair wild_pair, user, stranger, late;
static char memory[16 << 20];
struct arena ends_arena;
struct ticket_keys ends_keys;

struct span path(const char *name)
{
    char *p = arena_alloc(&ends_arena, PKI_PATH_BYTES);
    assert_non_null(p);
    return pki_path(&pki, name, p);
}

static void make_pair(struct pki_pair *pair, const char *name, const char *alt,
                      const struct pki_pair *issuer, const char *file)
{
    char key_name[64];
    *pair = pki_make(&(struct pki_spec){ .name = name, .alt = alt, .issuer = issuer });
    struct text text = text_fixed(key_name, sizeof(key_name));
    text_add(&text, span_text(file));
    text_lit(&text, ".key");
    pki_save_certs(&pki, file, pair, 1);
    pki_save_key(&pki, text_cstring(&text), pair, NULL);
}

int ends_open(void **state)
{
    (void)state;
    arena_init(&ends_arena, memory, sizeof(memory), NULL, 0);
    pki_open(&pki);
    ca = pki_make(&(struct pki_spec){ .name = "Test CA", .ca = true });
    other_ca = pki_make(&(struct pki_spec){ .name = "Other CA", .ca = true });
    pki_save_certs(&pki, "ca", &ca, 1);
    pki_save_certs(&pki, "client-ca", &ca, 1);
    pki_save_certs(&pki, "other-ca", &other_ca, 1);
    make_pair(&site_pair, "site",
              "DNS:a.example,DNS:also.a.example,DNS:must.example,DNS:may.example,"
              "DNS:no-tickets.example,IP:127.0.0.1,IP:2001:db8::1",
              &ca, "site");
    make_pair(&wild_pair, "wild", "DNS:*.b.example", &ca, "wild");
    make_pair(&user, "Ann, of \"Sales\"", NULL, &ca, "user");
    make_pair(&stranger, "Stranger", NULL, &other_ca, "stranger");
    late = pki_make(&(struct pki_spec){
        .name = "Late", .issuer = &ca, .from_s = -2 * HOUR, .to_s = -HOUR });
    pki_save_certs(&pki, "late", &late, 1);
    pki_save_key(&pki, "late.key", &late, NULL);
    pki_save_staple(&pki, "staple", &site_pair, &ca, HOUR);
    pki_save_staple(&pki, "stale", &site_pair, &ca, -HOUR);
    return 0;
}

int ends_close(void **state)
{
    (void)state;
    struct pki_pair *pairs[] = {
        &ca, &other_ca, &site_pair, &wild_pair, &user, &stranger, &late
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        pki_free(pairs[i]);
    pki_close(&pki);
    arena_reset(&ends_arena);
    return 0;
}

static const struct span hosts[SITES][2] = {
    [SITE_A] = { SPAN_INIT("a.example"), SPAN_INIT("Also.A.example") },
    [SITE_WILD] = { SPAN_INIT("*.b.example"), SPAN_INIT("exact.c.example") },
    [SITE_MUST] = { SPAN_INIT("must.example"), SPAN_INIT("must.b.example") },
    [SITE_MAY] = { SPAN_INIT("may.example"), SPAN_INIT("may2.example") },
    [SITE_PLAIN] = { SPAN_INIT("plain.example"), SPAN_INIT("plain2.example") },
    [SITE_NO_TICKETS] = { SPAN_INIT("no-tickets.example"), SPAN_INIT("n2.example") },
    [SITE_ANY] = { SPAN_INIT("*"), SPAN_INIT("any.example") },
};

struct tls_server *server_new(bool any, const char *staple)
{
    struct tls_site sites[SITES];
    for (int i = 0; i < SITES; i++)
        sites[i] = (struct tls_site){ .hosts = hosts[i],
                                      .host_count = 2,
                                      .cert = path("site"),
                                      .key = path("site.key"),
                                      .profile = TLS_INTERMEDIATE,
                                      .tickets = i != SITE_NO_TICKETS };
    sites[SITE_WILD].cert = path("wild");
    sites[SITE_WILD].key = path("wild.key");
    sites[SITE_WILD].profile = TLS_MODERN;
    sites[SITE_PLAIN].cert = sites[SITE_PLAIN].key = SPAN("");
    sites[SITE_MUST].client_ca = sites[SITE_MAY].client_ca = path("client-ca");
    sites[SITE_MUST].verify = TLS_VERIFY_REQUIRE;
    sites[SITE_MAY].verify = TLS_VERIFY_OPTIONAL;
    if (staple != NULL)
        sites[SITE_A].staple = path(staple);
    struct span why = { NULL, 0 };
    struct tls_server *server =
        tls_server_new(sites, any ? SITES : SITE_ANY, &ends_keys, &ends_arena, &why);
    if (server == NULL)
        print_error("%.*s\n", (int)why.len, why.p);
    assert_non_null(server);
    return server;
}

struct tls_client *client_new(const char *trusted, const char *cert, const char *key)
{
    struct tls_client_conf conf = { .verify = trusted != NULL, .profile = TLS_INTERMEDIATE };
    if (trusted != NULL)
        conf.ca = path(trusted);
    if (cert != NULL) {
        conf.cert = path(cert);
        conf.key = path(key);
    }
    struct span why = { NULL, 0 };
    struct tls_client *client = tls_client_new(&conf, &ends_arena, &why);
    assert_non_null(client);
    return client;
}

/* ---- two ends ---- */

struct end client_end, server_end;

static void keep(void *owner, struct span cipher)
{
    struct end *end = owner;
    assert_true(cipher.len <= WIRE - end->wire_len);
    memcpy(end->wire + end->wire_len, cipher.p, cipher.len);
    end->wire_len += cipher.len;
    end->writes++;
}

void end_open(struct end *end, struct tls *tls)
{
    assert_non_null(tls);
    end->tls = tls;
    end->wire_len = end->writes = end->plain_len = 0;
    end->last = TLS_AGAIN;
    tls_output(tls, (struct tls_output){ keep, end });
}

void deliver(struct end *from, struct end *to, size_t chunk)
{
    static char in_flight[WIRE];
    size_t len = from->wire_len;
    memcpy(in_flight, from->wire, len);
    from->wire_len = 0;
    for (size_t at = 0; at < len;) {
        size_t n = chunk == WHOLE || chunk > len - at ? len - at : chunk;
        tls_input(to->tls, span_of(in_flight + at, n));
        at += n;
        while ((to->last =
                    tls_read(to->tls, to->plain + to->plain_len, PLAIN - to->plain_len)) > 0)
            to->plain_len += (size_t)to->last;
        if (to->last != TLS_AGAIN)
            return;
    }
}

void pump(size_t chunk)
{
    while (client_end.wire_len + server_end.wire_len > 0) {
        deliver(&client_end, &server_end, chunk);
        deliver(&server_end, &client_end, chunk);
    }
    assert_int_equal(ERR_peek_error(), 0);
}

bool meet(struct tls_server *server, struct tls_client *client, const char *name,
          const struct how *how)
{
    end_open(&server_end, tls_accept(server));
    end_open(&client_end, tls_connect(client, span_text(name)));
    SSL *ssl = client_end.tls->ssl;
    SSL_set_max_proto_version(ssl, how->version);
    if (how->session != NULL)
        assert_int_equal(SSL_set_session(ssl, how->session), 1);
    if (how->alpn != NULL)
        assert_int_equal(SSL_set_alpn_protos(ssl, (const unsigned char *)how->alpn,
                                             (unsigned)strlen(how->alpn)),
                         0);
    if (how->staple)
        SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
    assert_int_equal(tls_start(client_end.tls), OK);
    pump(how->chunk);
    return tls_info(client_end.tls)->established && tls_info(server_end.tls)->established &&
           client_end.last == TLS_AGAIN && server_end.last == TLS_AGAIN;
}

void part(void)
{
    /* Else OpenSSL calls the session broken off, and does not resume it. */
    SSL_set_shutdown(client_end.tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    tls_free(client_end.tls);
    tls_free(server_end.tls);
}
