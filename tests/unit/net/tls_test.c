/* TLS sessions: handshakes, names, data, ends and hostile bytes. */
#include "gateway/net/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "gateway/base/text.h"
#include "tests/unit/net/tls_ends.h"

static const struct how usual;

static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };

static void assert_span(struct span s, const char *expected)
{
    assert_true(span_equal(s, span_text(expected)));
}

static void test_handshake(void **state)
{
    (void)state;
    static const size_t chunks[] = { WHOLE, 1, 7, 600 };
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
            struct how how = { .version = versions[v], .chunk = chunks[i] };
            assert_true(meet(server, client, "a.example", &how));
            const struct tls_info *info = tls_info(server_end.tls);
            assert_span(info->version, v == 0 ? "TLSv1.3" : "TLSv1.2");
            assert_span(info->sni, "a.example");
            assert_span(info->alpn, "http/1.1");
            assert_true(info->cipher.len > 0);
            assert_false(info->resumed);
            assert_false(info->client_cert);
            assert_int_equal(info->site, SITE_A);
            assert_span(tls_info(client_end.tls)->alpn, "http/1.1");
            assert_true(server_end.writes <= 4);
            part();
        }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_alpn(void **state)
{
    (void)state;
    static const struct {
        const char *offered, *chosen; /* NULL: refused */
    } rows[] = {
        { "\x02h2\x08http/1.1", "http/1.1" },
        { "\x08http/1.1", "http/1.1" },
        { "\x02h2", NULL },
        { "", "" },
    };
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct how how = { .alpn = rows[i].offered };
        bool met = meet(server, client, "a.example", &how);
        assert_int_equal(met, rows[i].chosen != NULL);
        if (met)
            assert_span(tls_info(server_end.tls)->alpn, rows[i].chosen);
        else
            assert_string_equal(tls_failure(server_end.tls), "no application protocol");
        part();
    }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_client_verifies_the_server(void **state)
{
    (void)state;
    static const struct {
        const char *trusted, *name, *failure; /* NULL: none */
    } rows[] = {
        { "ca", "a.example", NULL },
        { "ca", "a.example.", NULL },
        { "ca", "127.0.0.1", NULL },
        { "ca", "2001:db8::1", NULL },
        { "ca", "[2001:db8::1]", NULL },
        { "ca", "127.0.0.2", "IP address mismatch" },
        { "ca", "site", "hostname mismatch" }, /* the common name is none */
        { "ca", "unknown.example", "hostname mismatch" },
        { "other-ca", "a.example", "unable to get local issuer certificate" },
        { NULL, "unknown.example", NULL },
    };
    struct tls_server *server = server_new(true, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_client *client = client_new(rows[i].trusted, NULL, NULL);
        assert_int_equal(meet(server, client, rows[i].name, &usual), rows[i].failure == NULL);
        if (rows[i].failure != NULL) {
            assert_int_equal(client_end.last, TLS_FAILED);
            assert_string_equal(tls_failure(client_end.tls), rows[i].failure);
        }
        part();
        tls_client_free(client);
    }
    tls_server_free(server);

    struct tls_client *client = client_new("ca", NULL, NULL);
    assert_null(tls_connect(client, SPAN("")));
    assert_null(tls_connect(client, SPAN(".")));
    assert_null(tls_connect(client, SPAN("a.example\0.evil")));
    tls_client_free(client);
}

/* Issued by itself; `alt` NULL: with a common name only. */
static void meet_self_signed(const char *alt, const char *trusted, const char *failure)
{
    struct pki_pair self = pki_make(&(struct pki_spec){ .name = "s.example", .alt = alt });
    pki_save_certs(&pki, "self", &self, 1);
    pki_save_key(&pki, "self.key", &self, NULL);
    struct span host = SPAN("s.example");
    struct tls_site site = { .hosts = &host,
                             .host_count = 1,
                             .cert = path("self"),
                             .key = path("self.key"),
                             .profile = TLS_INTERMEDIATE };
    struct span why;
    struct tls_server *server = tls_server_new(&site, 1, NULL, &ends_arena, &why);
    assert_non_null(server);
    struct tls_client *client = client_new(trusted, NULL, NULL);
    assert_int_equal(meet(server, client, "s.example", &usual), failure == NULL);
    if (failure != NULL)
        assert_string_equal(tls_failure(client_end.tls), failure);
    part();
    tls_client_free(client);
    tls_server_free(server);
    pki_free(&self);
}

static void test_self_signed_server(void **state)
{
    (void)state;
    meet_self_signed("DNS:s.example", "self", NULL);
    meet_self_signed("DNS:s.example", "ca", "self-signed certificate");
    meet_self_signed("DNS:t.example", "self", "hostname mismatch");
    meet_self_signed(NULL, "self", "hostname mismatch");
}

static void test_data(void **state)
{
    (void)state;
    static const struct {
        size_t size, chunk;
    } rows[] = { { 1, 1 },      { 5000, 1 },         { 16384, WHOLE },     { 16385, 4096 },
                 { 100000, 1 }, { 200 * 1024, 997 }, { 200 * 1024, WHOLE } };
    static char sent[200 * 1024];
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 7 + i / 256);
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    struct end *const ends[] = { &client_end, &server_end };
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct how how = { .version = versions[v] };
            assert_true(meet(server, client, "a.example", &how));
            for (size_t e = 0; e < 2; e++) {
                assert_int_equal(tls_write(ends[e]->tls, span_of(sent, rows[i].size)), OK);
                assert_int_equal(tls_write(ends[e]->tls, SPAN("")), OK);
                pump(rows[i].chunk);
                assert_int_equal(ends[1 - e]->plain_len, rows[i].size);
                assert_memory_equal(ends[1 - e]->plain, sent, rows[i].size);
            }
            part();
        }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_end(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        struct how how = { .version = versions[v] };
        assert_true(meet(server, client, "a.example", &how));
        assert_int_equal(tls_write(client_end.tls, SPAN("last words")), OK);
        tls_shutdown(client_end.tls);
        tls_shutdown(client_end.tls);
        assert_int_equal(tls_write(client_end.tls, SPAN("x")), ERR_TLS);
        pump(WHOLE);
        assert_int_equal(server_end.plain_len, 10);
        assert_int_equal(server_end.last, 0);
        assert_int_equal(tls_read(server_end.tls, server_end.plain, 10), 0);
        /* Our own direction is still open. */
        assert_int_equal(tls_write(server_end.tls, SPAN("answer")), OK);
        pump(WHOLE);
        assert_int_equal(client_end.plain_len, 6);
        part();
    }
    end_open(&server_end, tls_accept(server));
    assert_int_equal(tls_write(server_end.tls, SPAN("early")), ERR_TLS);
    tls_shutdown(server_end.tls);
    assert_int_equal(server_end.wire_len, 0);
    tls_free(server_end.tls);
    tls_client_free(client);
    tls_server_free(server);
}

static void test_garbage(void **state)
{
    (void)state;
    static const struct span rows[] = {
        SPAN_INIT("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        SPAN_INIT("\x16\x03\x01\xff\xff"),
        SPAN_INIT("\x16\x03\x01\x00\x04\x01\xff\xff\xff"),
        SPAN_INIT("\x15\x03\x03\x00\x02\x02\x28"),
        SPAN_INIT("\x17\x03\x03\x00\x01x"),
    };
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    char plain[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        end_open(&server_end, tls_accept(server));
        tls_input(server_end.tls, rows[i]);
        assert_int_equal(tls_read(server_end.tls, plain, sizeof(plain)), TLS_FAILED);
        assert_non_null(tls_failure(server_end.tls));
        assert_int_equal(tls_read(server_end.tls, plain, sizeof(plain)), TLS_FAILED);
        assert_int_equal(tls_write(server_end.tls, SPAN("x")), ERR_TLS);
        assert_int_equal(ERR_peek_error(), 0);
        tls_free(server_end.tls);
    }
    /* One bit of a record changed on the way, and what came before it still arrives. */
    assert_true(meet(server, client, "a.example", &usual));
    assert_int_equal(tls_write(client_end.tls, SPAN("good")), OK);
    assert_int_equal(tls_write(client_end.tls, SPAN("bad")), OK);
    client_end.wire[client_end.wire_len - 1] ^= 1;
    deliver(&client_end, &server_end, WHOLE);
    assert_int_equal(server_end.plain_len, 4);
    assert_int_equal(server_end.last, TLS_FAILED);
    part();
    tls_client_free(client);
    tls_server_free(server);
}

static void test_staple(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        bool asked, sent;
    } rows[] = {
        { "staple", true, true },
        { "staple", false, false },
        { "stale", true, false },
        { NULL, true, false },
    };
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct tls_server *server = server_new(false, rows[i].file);
            struct how how = { .version = versions[v], .staple = rows[i].asked };
            assert_true(meet(server, client, "a.example", &how));
            const unsigned char *response = NULL;
            long len = SSL_get_tlsext_status_ocsp_resp(client_end.tls->ssl, &response);
            assert_int_equal(len > 0, rows[i].sent);
            part();
            tls_server_free(server);
        }
    tls_client_free(client);
}

/* A client that renegotiates makes the server sign again and again (CVE-2011-1473). */
static void test_no_renegotiation(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    struct how how = { .version = TLS1_2_VERSION };
    assert_true(meet(server, client, "a.example", &how));
    SSL *ssl = client_end.tls->ssl;
    SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    assert_int_equal(tls_start(client_end.tls), OK);
    size_t before = server_end.writes;
    deliver(&client_end, &server_end, WHOLE);
    assert_in_range(server_end.writes - before, 0, 1);
    assert_in_range(server_end.wire_len, 0, 64); /* an alert, and no ServerHello */
    part();
    tls_client_free(client);
    tls_server_free(server);
}

/* Messages that nobody has use for cost a derivation each, and an answer when they ask for one.
 */
static void test_key_updates_have_an_end(void **state)
{
    (void)state;
    enum { HANDSHAKE = 2 }; /* the client's hello, and that it is finished */
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    assert_true(meet(server, client, "a.example", &usual));
    for (int i = 0; i < TLS_MESSAGES_FREE - HANDSHAKE; i++) {
        assert_int_equal(SSL_key_update(client_end.tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(tls_write(client_end.tls, SPAN("x")), OK);
    }
    size_t records = tls_records(server_end.tls);
    pump(WHOLE);
    assert_int_equal(tls_records(server_end.tls) - records,
                     2 * (TLS_MESSAGES_FREE - HANDSHAKE));
    assert_int_equal(server_end.plain_len, TLS_MESSAGES_FREE - HANDSHAKE);
    assert_false(tls_flooded(server_end.tls));

    /* One more, with the records behind it in the same read. */
    assert_int_equal(SSL_key_update(client_end.tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    assert_int_equal(tls_write(client_end.tls, SPAN("y")), OK);
    deliver(&client_end, &server_end, WHOLE);
    assert_int_equal(server_end.last, TLS_FAILED);
    assert_true(tls_flooded(server_end.tls));
    assert_string_equal(tls_failure(server_end.tls), "too many messages of handshakes");
    assert_int_equal(server_end.plain_len, TLS_MESSAGES_FREE - HANDSHAKE);
    part();
    tls_client_free(client);
    tls_server_free(server);
}

/* A record of its own for each byte of a message costs us as much as a byte of it costs them.
 */
static void test_handshake_in_pieces(void **state)
{
    (void)state;
    enum { RECORD_HEAD = 5 };
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t pieces = TLS_HANDSHAKE_RECORDS; pieces <= TLS_HANDSHAKE_RECORDS + 1; pieces++) {
        end_open(&server_end, tls_accept(server));
        end_open(&client_end, tls_connect(client, SPAN("a.example")));
        assert_int_equal(tls_start(client_end.tls), OK);
        static char hello[WIRE];
        size_t len = client_end.wire_len - RECORD_HEAD;
        assert_true(len > pieces);
        memcpy(hello, client_end.wire + RECORD_HEAD, len);
        client_end.wire_len = 0;
        for (size_t i = 0; i < pieces; i++) { /* of a byte, and the last one of the rest */
            size_t n = i + 1 < pieces ? 1 : len - i;
            char *record = client_end.wire + client_end.wire_len;
            memcpy(record, "\x16\3\1", 3);
            record[3] = (char)(n >> 8);
            record[4] = (char)n;
            memcpy(record + RECORD_HEAD, hello + i, n);
            client_end.wire_len += RECORD_HEAD + n;
        }
        bool good = pieces <= TLS_HANDSHAKE_RECORDS;
        deliver(&client_end, &server_end, WHOLE);
        assert_int_equal(server_end.last, good ? TLS_AGAIN : TLS_FAILED);
        assert_int_equal(tls_flooded(server_end.tls), !good);
        assert_int_equal(server_end.wire_len > 0, good);
        part();
    }
    tls_client_free(client);
    tls_server_free(server);
}

/* The same of hostile servers, and of attempts to renegotiate, each answered with an alert. */
static void test_floods_of_both_ends(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    assert_true(meet(server, client, "a.example", &usual));
    for (int i = 0; i < TLS_MESSAGES_FREE + 1; i++) {
        assert_int_equal(SSL_key_update(server_end.tls->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(tls_write(server_end.tls, SPAN("x")), OK);
    }
    deliver(&server_end, &client_end, WHOLE);
    assert_int_equal(client_end.last, TLS_FAILED);
    assert_true(tls_flooded(client_end.tls));
    part();

    struct how how = { .version = TLS1_2_VERSION };
    assert_true(meet(server, client, "a.example", &how));
    SSL *ssl = client_end.tls->ssl;
    SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(ssl), 1);
    assert_int_equal(tls_start(client_end.tls), OK);
    /* A client that takes no for no answer: the same record again is no valid one, so what is
     * counted stands in for it. */
    server_end.tls->messages = TLS_MESSAGES_FREE;
    deliver(&client_end, &server_end, WHOLE);
    assert_true(tls_flooded(server_end.tls));
    part();
    tls_client_free(client);
    tls_server_free(server);
}

static bool has_key_material(EVP_PKEY *key)
{
    unsigned char bytes[256];
    size_t len = sizeof bytes;
    return EVP_PKEY_get_raw_private_key(key, bytes, &len) == 1 ||
           EVP_PKEY_get_octet_string_param(key, "priv", bytes, sizeof bytes, &len) == 1 ||
           EVP_PKEY_get1_encoded_public_key(key, &(unsigned char *){ NULL }) != 0;
}

/* Once keys are exchanged, what they came from is nowhere in memory, and the session goes on:
 * data, new keys (RFC 8446 section 4.6.3), the end. */
static void test_exchange_is_forgotten(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        struct how how = { .version = versions[v] };
        assert_true(meet(server, client, "a.example", &how));
        EVP_PKEY *key = NULL;
        if (SSL_get_tmp_key(server_end.tls->ssl, &key) == 1)
            assert_false(has_key_material(key));
        EVP_PKEY_free(key);
        key = NULL;
        if (SSL_get_peer_tmp_key(server_end.tls->ssl, &key) == 1)
            assert_false(has_key_material(key));
        EVP_PKEY_free(key);
        if (versions[v] == TLS1_3_VERSION)
            assert_int_equal(SSL_key_update(client_end.tls->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(tls_write(client_end.tls, SPAN("there")), OK);
        pump(WHOLE);
        assert_int_equal(server_end.plain_len, 5);
        assert_int_equal(tls_write(server_end.tls, SPAN("and back")), OK);
        pump(WHOLE);
        assert_int_equal(client_end.plain_len, 8);
        part();
    }
    tls_client_free(client);
    tls_server_free(server);
}

/* Whatever the client's order, the cheapest one; but one that wants ChaCha20 has no AES. */
static void test_cipher_order(void **state)
{
    (void)state;
    static const struct {
        const char *offered, *chosen;
    } rows[] = {
        { "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
          "TLS_AES_128_GCM_SHA256" },
        { "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
          "TLS_CHACHA20_POLY1305_SHA256" },
        { "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384" },
    };
    struct tls_server *server = server_new(false, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_client *client = client_new("ca", NULL, NULL);
        assert_int_equal(SSL_CTX_set_ciphersuites(client->ctx, rows[i].offered), 1);
        assert_true(meet(server, client, "a.example", &usual));
        assert_span(tls_info(server_end.tls)->cipher, rows[i].chosen);
        part();
        tls_client_free(client);
    }
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_client_verifies_the_server),
        cmocka_unit_test(test_self_signed_server),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_staple),
        cmocka_unit_test(test_no_renegotiation),
        cmocka_unit_test(test_key_updates_have_an_end),
        cmocka_unit_test(test_handshake_in_pieces),
        cmocka_unit_test(test_floods_of_both_ends),
        cmocka_unit_test(test_exchange_is_forgotten),
        cmocka_unit_test(test_cipher_order),
    };
    return cmocka_run_group_tests_name("tls", tests, ends_open, ends_close);
}
