/* Certificates that change while the server runs, and handshakes that prove a name. */
#include "gateway/net/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "gateway/acme/certificate.h"
#include "gateway/net/challenge.h"
#include "tests/unit/net/tls_ends.h"

#define PROVE "\x0a" CHALLENGE_PROTOCOL

static const struct span own[] = { SPAN_INIT("own.example") },
                         file[] = { SPAN_INIT("a.example") };
static char rooms[4][8192];
static struct challenges block;

static struct span bundle_of(int room, const struct span *hosts)
{
    struct text text = text_fixed(rooms[room], sizeof(rooms[room]));
    assert_true(acme_self_signed(&text, (struct acme_hosts){ hosts, 1 }));
    return text_span(&text);
}

/* Site 0 has a bundle, site 1 files and demands on its clients. */
static struct tls_server *server_of(struct span bundle)
{
    struct tls_site sites[] = { { .hosts = own,
                                  .host_count = 1,
                                  .cert = SPAN("acme:own"),
                                  .bundle = bundle,
                                  .profile = TLS_INTERMEDIATE,
                                  .tickets = true },
                                { .hosts = file,
                                  .host_count = 1,
                                  .cert = path("site"),
                                  .key = path("site.key"),
                                  .client_ca = path("client-ca"),
                                  .verify = TLS_VERIFY_REQUIRE,
                                  .profile = TLS_INTERMEDIATE } };
    struct span why = { NULL, 0 };
    struct tls_server *server = tls_server_new(sites, 2, &ends_keys, &ends_arena, &why);
    if (server == NULL)
        print_error("%.*s\n", (int)why.len, why.p);
    assert_non_null(server);
    return server;
}

/* Serial number of what the client got, of a handshake that succeeds. */
static long serial_seen(void)
{
    X509 *cert = SSL_get1_peer_certificate(client_end.tls->ssl);
    assert_non_null(cert);
    long hash = (long)X509_issuer_and_serial_hash(cert);
    X509_free(cert);
    return hash;
}

static long serial_of(struct tls_server *server, struct tls_client *client)
{
    struct how how = { .version = 0 };
    assert_true(meet(server, client, "own.example", &how));
    long serial = serial_seen();
    part();
    return serial;
}

static void test_replaced(void **state)
{
    (void)state;
    struct span first = bundle_of(0, own), second = bundle_of(1, own);
    struct tls_server *server = server_of(first);
    struct tls_client *client = client_new(NULL, NULL, NULL);
    long before = serial_of(server, client);

    /* What is no bundle changes nothing. */
    assert_int_equal(tls_server_replace(server, 0, SPAN("")), ERR_SYNTAX);
    assert_int_equal(tls_server_replace(server, 0, SPAN("junk")), ERR_SYNTAX);
    assert_int_equal(tls_server_replace(server, 1, second), ERR_UNKNOWN);
    assert_int_equal(tls_server_replace(server, 2, second), ERR_UNKNOWN);
    assert_int_equal(tls_server_replace(server, -1, second), ERR_UNKNOWN);
    /* The key of one with the certificate of the other. */
    size_t at = (size_t)span_find(first, SPAN("-----BEGIN CERTIFICATE"));
    size_t other = (size_t)span_find(second, SPAN("-----BEGIN CERTIFICATE"));
    struct text mixed = text_fixed(rooms[2], sizeof(rooms[2]));
    text_add(&mixed, span_sub(first, 0, at));
    text_add(&mixed, span_sub(second, other, second.len));
    assert_false(tls_bundle_valid(text_span(&mixed)));
    assert_int_equal(tls_server_replace(server, 0, text_span(&mixed)), ERR_SYNTAX);
    assert_int_equal(serial_of(server, client), before);

    /* A session that is open goes on; the next one gets the new certificate. */
    struct how how = { .version = 0 };
    assert_true(meet(server, client, "own.example", &how));
    assert_int_equal(tls_server_replace(server, 0, second), OK);
    assert_int_equal(tls_write(client_end.tls, SPAN("still here")), OK);
    pump(WHOLE);
    assert_int_equal(server_end.plain_len, 10);
    part();
    assert_int_not_equal(serial_of(server, client), before);
    tls_client_free(client);
    tls_server_free(server);
}

static bool prove(struct tls_server *server, struct tls_client *client, const char *name,
                  const char *alpn)
{
    struct how how = { .alpn = alpn };
    (void)meet(server, client, name, &how); /* which wants the server to listen on */
    return tls_info(client_end.tls)->established && tls_info(server_end.tls)->established;
}

static void test_proofs(void **state)
{
    (void)state;
    struct tls_server *server = server_of(bundle_of(0, own));
    struct tls_client *client = client_new(NULL, NULL, NULL);
    struct span bytes = span_of((const char *)&block, challenges_size(1));

    block.magic = CHALLENGES_MAGIC;
    block.count = 1;
    memcpy(block.items[0].name, "a.example", 10);
    assert_true(acme_prove(&block.items[0], SPAN("a.example"), SPAN("token.print")));
    /* Before somebody sets it, and for names without one: nothing. */
    assert_false(prove(server, client, "a.example", PROVE));
    part();
    tls_server_challenges(server, &bytes);
    assert_false(prove(server, client, "own.example", PROVE));
    assert_string_equal(tls_failure(server_end.tls), "nothing is to be proved for this name");
    part();
    /* Also where clients need certificates: the authority has none, and nothing is served. */
    assert_true(prove(server, client, "a.example", PROVE));
    assert_true(span_equal(tls_info(server_end.tls)->alpn, SPAN(CHALLENGE_PROTOCOL)));
    X509 *cert = SSL_get1_peer_certificate(client_end.tls->ssl);
    assert_int_equal(X509_check_host(cert, "a.example", 9, 0, NULL), 1);
    X509_free(cert);
    server_end.plain_len = 0;
    assert_int_equal(tls_write(client_end.tls, SPAN("GET / HTTP/1.1\r\n\r\n")), OK);
    pump(WHOLE);
    assert_int_equal(server_end.plain_len, 0);
    assert_int_equal(server_end.last, 0);
    part();
    /* With another protocol beside it, it is none of ours. */
    assert_false(prove(server, client, "a.example", PROVE "\x08http/1.1"));
    part();
    assert_true(prove(server, client, "own.example", PROVE "\x08http/1.1"));
    assert_true(span_equal(tls_info(server_end.tls)->alpn, SPAN("http/1.1")));
    part();
    block.count = 0;
    bytes = span_of((const char *)&block, challenges_size(0));
    assert_false(prove(server, client, "a.example", PROVE));
    part();
    tls_client_free(client);
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_proofs),
    };
    return cmocka_run_group_tests(tests, ends_open, ends_close);
}
