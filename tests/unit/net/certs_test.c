/* Sites, tickets, client certificates, and what is refused at load. */
#include "gateway/net/certs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "gateway/base/text.h"
#include "tests/unit/net/tls_ends.h"

static const int versions[] = { TLS1_3_VERSION, TLS1_2_VERSION };

static void assert_span(struct span s, const char *expected)
{
    assert_true(span_equal(s, span_text(expected)));
}

static void test_site_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool any;
        int site;    /* -1: refused */
        int version; /* 0: any */
    } rows[] = {
        { "a.example", false, SITE_A, 0 },
        { "A.EXAMPLE", false, SITE_A, 0 },
        { "also.a.example", false, SITE_A, 0 },
        { "x.b.example", false, SITE_WILD, 0 },
        { "exact.c.example", false, SITE_WILD, 0 },
        { "must.b.example", false, SITE_MUST, TLS1_2_VERSION }, /* exact beats wildcard */
        { "x.b.example", false, -1, TLS1_2_VERSION },           /* modern is 1.3 only */
        { "x.y.b.example", false, -1, 0 },                      /* one label */
        { "b.example", false, -1, 0 },
        { "unknown.example", false, -1, 0 },
        { "unknown.example", true, SITE_ANY, 0 },
        { "x.y.b.example", true, SITE_ANY, TLS1_2_VERSION },
        { "plain.example", false, -1, 0 },
        { "plain.example", true, -1, 0 }, /* known and without TLS: no other's certificate */
        { "127.0.0.1", false, -1, 0 },    /* no SNI at all */
        { "127.0.0.1", true, SITE_ANY, 0 },
        { "bad name", true, -1, 0 },
        { "bad..name", true, -1, 0 },
    };
    struct tls_server *servers[] = { server_new(false, NULL), server_new(true, NULL) };
    struct tls_client *client = client_new(NULL, "user", "user.key");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct how how = { .version = rows[i].version };
        bool met = meet(servers[rows[i].any], client, rows[i].name, &how);
        if (met != (rows[i].site >= 0))
            print_error("row %zu: %s\n", i, tls_failure(server_end.tls));
        assert_int_equal(met, rows[i].site >= 0);
        if (met)
            assert_int_equal(tls_info(server_end.tls)->site, rows[i].site);
        else
            assert_int_equal(server_end.last, TLS_FAILED);
        part();
    }
    tls_client_free(client);
    tls_server_free(servers[0]);
    tls_server_free(servers[1]);
}

/* A session for `name`, as a browser would keep it. */
static SSL_SESSION *session_for(struct tls_server *server, struct tls_client *client,
                                const char *name, int version)
{
    struct how how = { .version = version };
    assert_true(meet(server, client, name, &how));
    SSL_SESSION *session = SSL_get1_session(client_end.tls->ssl);
    part();
    return session;
}

static bool resumes(struct tls_server *server, struct tls_client *client, const char *name,
                    SSL_SESSION *session, int version)
{
    struct how how = { .version = version, .session = session };
    assert_true(meet(server, client, name, &how));
    return tls_info(server_end.tls)->resumed;
}

static void test_tickets_live_two_rotations(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (int rotations = 0; rotations <= 2; rotations++) {
            memset(&ends_keys, 0, sizeof(ends_keys));
            ticket_keys_rotate(&ends_keys, 1000);
            SSL_SESSION *session = session_for(server, client, "a.example", versions[v]);
            for (int i = 1; i <= rotations; i++)
                ticket_keys_rotate(&ends_keys, 1000 + (uint64_t)i * TICKET_ROTATE_S);
            assert_int_equal(resumes(server, client, "a.example", session, versions[v]),
                             rotations < 2);
            /* The old key's ticket was renewed under the current one. */
            SSL_SESSION *renewed = SSL_get1_session(client_end.tls->ssl);
            part();
            if (rotations == 1) {
                ticket_keys_rotate(&ends_keys, 1000 + 2 * TICKET_ROTATE_S);
                assert_true(resumes(server, client, "a.example", renewed, versions[v]));
                part();
            }
            SSL_SESSION_free(renewed);
            SSL_SESSION_free(session);
        }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_sessions_stay_in_their_site(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        bool resumed;
    } rows[] = {
        { "a.example", "also.a.example", true },  { "a.example", "may.example", false },
        { "may.example", "a.example", false },    { "may.example", "must.example", false },
        { "a.example", "must.example", false },   { "a.example", "no-tickets.example", false },
        { "must.example", "must.example", true }, { "may.example", "may.example", true },
    };
    memset(&ends_keys, 0, sizeof(ends_keys));
    ticket_keys_rotate(&ends_keys, 1000);
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", "user", "user.key");
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            SSL_SESSION *session = session_for(server, client, rows[i].from, versions[v]);
            assert_int_equal(resumes(server, client, rows[i].to, session, versions[v]),
                             rows[i].resumed);
            bool asks = strcmp(rows[i].to, "must.example") == 0 ||
                        strcmp(rows[i].to, "may.example") == 0;
            assert_int_equal(tls_info(server_end.tls)->client_cert, asks);
            part();
            SSL_SESSION_free(session);
        }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_no_tickets(void **state)
{
    (void)state;
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (int empty = 0; empty < 2; empty++) {
            memset(&ends_keys, 0, sizeof(ends_keys));
            if (!empty)
                ticket_keys_rotate(&ends_keys, 1000);
            const char *name = empty ? "a.example" : "no-tickets.example";
            SSL_SESSION *session = session_for(server, client, name, versions[v]);
            assert_false(SSL_SESSION_has_ticket(session));
            assert_false(resumes(server, client, name, session, versions[v]));
            part();
            SSL_SESSION_free(session);
        }
    tls_client_free(client);
    tls_server_free(server);
}

static void test_client_certificates(void **state)
{
    (void)state;
    static const struct {
        const char *site, *cert, *key;
        bool met;
        const char *failure;
    } rows[] = {
        { "must.example", "user", "user.key", true, NULL },
        { "must.example", NULL, NULL, false, "peer did not return a certificate" },
        { "must.example", "stranger", "stranger.key", false,
          "unable to get local issuer certificate" },
        { "must.example", "late", "late.key", false, "certificate has expired" },
        { "may.example", "user", "user.key", true, NULL },
        { "may.example", NULL, NULL, true, NULL },
        { "may.example", "stranger", "stranger.key", false,
          "unable to get local issuer certificate" },
        { "a.example", "user", "user.key", true, NULL }, /* not asked for, so not sent */
    };
    struct tls_server *server = server_new(false, NULL);
    for (size_t v = 0; v < ARRAY_LEN(versions); v++)
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            struct tls_client *client = client_new("ca", rows[i].cert, rows[i].key);
            struct how how = { .version = versions[v] };
            assert_int_equal(meet(server, client, rows[i].site, &how), rows[i].met);
            const struct tls_info *info = tls_info(server_end.tls);
            bool known = rows[i].met && rows[i].cert != NULL && rows[i].site[0] == 'm';
            assert_int_equal(info->client_cert, known);
            if (known) {
                assert_span(info->client_subject, "CN=Ann\\, of \\\"Sales\\\"");
                assert_int_equal(info->client_fingerprint.len, FINGERPRINT_BYTES);
            }
            if (!rows[i].met)
                assert_string_equal(tls_failure(server_end.tls), rows[i].failure);
            part();
            tls_client_free(client);
        }
    tls_server_free(server);
}

/* The same site after a reload, in which its CA has changed: the old session opens nothing. */
static void test_session_of_a_certificate_no_longer_trusted(void **state)
{
    (void)state;
    memset(&ends_keys, 0, sizeof(ends_keys));
    ticket_keys_rotate(&ends_keys, 1000);
    struct tls_client *client = client_new("ca", "user", "user.key");
    for (size_t v = 0; v < ARRAY_LEN(versions); v++) {
        pki_save_certs(&pki, "client-ca", &ca, 1);
        struct tls_server *server = server_new(false, NULL);
        SSL_SESSION *session = session_for(server, client, "must.example", versions[v]);
        tls_server_free(server);

        server = server_new(false, NULL);
        assert_true(resumes(server, client, "must.example", session, versions[v]));
        assert_true(tls_info(server_end.tls)->client_cert);
        part();
        tls_server_free(server);

        pki_save_certs(&pki, "client-ca", &other_ca, 1);
        server = server_new(false, NULL);
        struct how how = { .version = versions[v], .session = session };
        assert_false(meet(server, client, "must.example", &how));
        assert_false(tls_info(server_end.tls)->client_cert);
        part();
        SSL_SESSION_free(session);
        tls_server_free(server);
    }
    pki_save_certs(&pki, "client-ca", &ca, 1);
    tls_client_free(client);
}

static void test_rotation(void **state)
{
    (void)state;
    struct ticket_keys k = { .sequence = 0 };
    ticket_keys_rotate(&k, 5000);
    struct ticket_keys first = k;
    assert_int_equal(k.sequence, 2);
    assert_int_equal(k.current.made_s, 5000);
    assert_int_equal(k.previous.made_s, 0);
    assert_memory_not_equal(k.current.name, k.next.name, sizeof(k.next.name));

    ticket_keys_rotate(&k, 5000 + TICKET_ROTATE_S - 1); /* not due */
    assert_memory_equal(&k, &first, sizeof(k));
    ticket_keys_rotate(&k, 5000 + TICKET_ROTATE_S);
    assert_memory_equal(k.previous.name, first.current.name, sizeof(k.next.name));
    assert_memory_equal(k.current.aes, first.next.aes, sizeof(k.next.aes));
    assert_int_equal(k.current.made_s, 5000 + TICKET_ROTATE_S);

    ticket_keys_rotate(&k, 5000 + 4 * TICKET_ROTATE_S); /* nobody did for long */
    assert_int_equal(k.previous.made_s, 0);
    ticket_keys_rotate(&k, 5000); /* the wall clock was set back */
    assert_int_equal(k.current.made_s, 5000);

    k.sequence = 7; /* a writer died */
    ticket_keys_rotate(&k, 5000 + TICKET_ROTATE_S);
    assert_int_equal(k.sequence, 8);
}

/* Half-written keys are not used and nobody waits for them. */
static void test_dead_writer(void **state)
{
    (void)state;
    memset(&ends_keys, 0, sizeof(ends_keys));
    ticket_keys_rotate(&ends_keys, 1000);
    struct tls_server *server = server_new(false, NULL);
    struct tls_client *client = client_new("ca", NULL, NULL);
    SSL_SESSION *session = session_for(server, client, "a.example", 0);
    ends_keys.sequence |= 1;
    assert_false(resumes(server, client, "a.example", session, 0));
    part();
    SSL_SESSION_free(session);
    tls_client_free(client);
    tls_server_free(server);
}

struct refusal {
    const char *cert, *key, *staple, *client_ca, *client_crl;
    enum tls_verify verify;
    const char *hosts[2];
    const char *why; /* its end; NULL: accepted */
};

static const struct refusal refusals[] = {
    { .cert = "site", .key = "site.key" },
    { .cert = "bundle", .key = "site.key" },
    { .cert = "none", .key = "site.key", .why = "none: No such file or directory" },
    { .cert = "site", .key = "none", .why = "none: No such file or directory" },
    { .cert = "empty", .key = "site.key", .why = "empty: no certificate in it" },
    { .cert = "site.key", .key = "site.key", .why = "site.key: no certificate in it" },
    { .cert = "broken", .key = "site.key", .why = "broken: bad base64 decode" },
    { .cert = "site", .key = "site", .why = "site: no private key in it" },
    { .cert = "site", .key = "user.key", .why = "the key does not belong to the certificate" },
    { .cert = "site",
      .key = "locked.key",
      .why = "locked.key: the key is encrypted, which is not supported" },
    { .cert = "site", .key = "site.key", .staple = "staple" },
    { .cert = "site",
      .key = "site.key",
      .staple = "none",
      .why = "none: No such file or directory" },
    { .cert = "site", .key = "site.key", .staple = "empty", .why = "empty: it is empty" },
    { .cert = "site",
      .key = "site.key",
      .staple = "long-staple",
      .why = "long-staple: not an OCSP response in DER" },
    { .cert = "wild",
      .key = "wild.key",
      .staple = "staple",
      .why = "staple: the OCSP response is for another certificate" },
    { .cert = "site",
      .key = "site.key",
      .verify = TLS_VERIFY_OPTIONAL,
      .why = "client certificates are asked for, but no CA is given for them" },
    { .cert = "site",
      .key = "site.key",
      .verify = TLS_VERIFY_REQUIRE,
      .client_ca = "empty",
      .why = "empty: no certificate in it" },
    { .cert = "site",
      .key = "site.key",
      .client_crl = "site",
      .why = "site: a revocation list, but no CA whose it could be" },
    { .cert = "site",
      .key = "site.key",
      .verify = TLS_VERIFY_REQUIRE,
      .client_ca = "ca",
      .client_crl = "site",
      .why = "site: no revocation list in it" },
    { .cert = "site",
      .key = "site.key",
      .verify = TLS_VERIFY_REQUIRE,
      .client_ca = "ca",
      .client_crl = "none",
      .why = "none: No such file or directory" },
    { .cert = "site",
      .key = "site.key",
      .hosts = { "x.example", "X.example" },
      .why = "X.example: two sites have this host" },
    { .cert = "site",
      .key = "site.key",
      .hosts = { "*", "*" },
      .why = "two sites are the default" },
    { .why = "no site has a certificate" },
};

static struct span optional(const char *name)
{
    return name != NULL ? path(name) : SPAN("");
}

static void make_bad_files(void)
{
    char bytes[8192];
    pki_save_certs(&pki, "bundle", (struct pki_pair[]){ site_pair, ca }, 2);
    pki_save(&pki, "empty", "", 0);
    static const char broken[] = "-----BEGIN CERTIFICATE-----\n!!!!\n"
                                 "-----END CERTIFICATE-----\n";
    pki_save(&pki, "broken", broken, sizeof(broken) - 1);
    pki_save_key(&pki, "locked.key", &site_pair, "secret");
    FILE *staple = fopen(path("staple").p, "rb");
    assert_non_null(staple);
    size_t len = fread(bytes, 1, sizeof(bytes) - 1, staple);
    (void)fclose(staple);
    bytes[len] = 'x';
    pki_save(&pki, "long-staple", bytes, len + 1);
}

static void test_refused_at_load(void **state)
{
    (void)state;
    make_bad_files();
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const struct refusal *row = &refusals[i];
        struct span names[2] = { SPAN("x.example"), SPAN("y.example") };
        if (row->hosts[0] != NULL) {
            names[0] = span_text(row->hosts[0]);
            names[1] = span_text(row->hosts[1]);
        }
        struct tls_site sites[2];
        for (size_t k = 0; k < 2; k++)
            sites[k] = (struct tls_site){ .hosts = &names[k],
                                          .host_count = 1,
                                          .cert = optional(row->cert),
                                          .key = optional(row->key),
                                          .staple = optional(row->staple),
                                          .client_ca = optional(row->client_ca),
                                          .client_crl = optional(row->client_crl),
                                          .verify = row->verify };
        struct span why = SPAN("");
        struct tls_server *server = tls_server_new(sites, 2, NULL, &ends_arena, &why);
        bool right = (server == NULL) == (row->why != NULL) &&
                     (row->why == NULL || span_ends(why, span_text(row->why)));
        if (!right)
            print_error("row %zu: %.*s\n", i, (int)why.len, why.p);
        assert_true(right);
        assert_int_equal(ERR_peek_error(), 0);
        tls_server_free(server);
    }
}

static void test_client_refused_at_load(void **state)
{
    (void)state;
    make_bad_files();
    static const struct {
        const char *trusted, *cert, *key, *why;
    } rows[] = {
        { "none", NULL, NULL, "none: No such file or directory" },
        { "empty", NULL, NULL, "empty: no certificate in it" },
        { "ca", "user", "site.key", "site.key: the key does not belong to the certificate" },
        { "ca", "user", "none", "none: No such file or directory" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_client_conf conf = { .ca = path(rows[i].trusted),
                                        .cert = optional(rows[i].cert),
                                        .key = optional(rows[i].key),
                                        .verify = true };
        struct span why = SPAN("");
        assert_null(tls_client_new(&conf, &ends_arena, &why));
        assert_true(span_ends(why, span_text(rows[i].why)));
    }
}

/* A thousand sites with one certificate: it is there once. */
static void test_one_copy_of_a_file(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static struct span names[COUNT];
    static struct tls_site sites[COUNT];
    struct span cert = path("site");
    struct span key = path("site.key");
    for (size_t i = 0; i < COUNT; i++) {
        struct text text = text_growing(&ends_arena, 32);
        text_uint(&text, i);
        text_lit(&text, ".example");
        names[i] = text_span(&text);
        sites[i] =
            (struct tls_site){ .hosts = &names[i], .host_count = 1, .cert = cert, .key = key };
        if (i % 2 == 1)
            sites[i].client_ca = path("ca");
    }
    struct span why;
    struct tls_server *server = tls_server_new(sites, COUNT, NULL, &ends_arena, &why);
    assert_non_null(server);
    assert_non_null(server->identities);
    assert_null(server->identities->next);
    assert_null(server->authorities->next);
    assert_non_null(server->credentials->next);
    assert_null(server->credentials->next->next);
    assert_int_equal(sni_site(server, SPAN("999.example"))->index, 999);
    assert_null(sni_site(server, SPAN("1000.example")));
    tls_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_site_by_name),
        cmocka_unit_test(test_tickets_live_two_rotations),
        cmocka_unit_test(test_sessions_stay_in_their_site),
        cmocka_unit_test(test_no_tickets),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_session_of_a_certificate_no_longer_trusted),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_dead_writer),
        cmocka_unit_test(test_refused_at_load),
        cmocka_unit_test(test_client_refused_at_load),
        cmocka_unit_test(test_one_copy_of_a_file),
    };
    return cmocka_run_group_tests_name("certs", tests, ends_open, ends_close);
}
