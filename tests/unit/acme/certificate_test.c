/* Certificates that are made, and what is refused of those that come; signatures; accounts. */
#include "gateway/acme/certificate.h"

#include <openssl/x509v3.h>
#include <time.h>

#include "auth/base64url.h"
#include "auth/strictjson.h"
#include "gateway/acme/account.h"
#include "gateway/acme/jws.h"
#include "gateway/net/certs.h"
#include "gateway/net/challenge.h"
#include "tests/unit/acme/authority.h"
#include "tests/unit/check.h"

static const struct span names[] = { SPAN_INIT("a.test"), SPAN_INIT("b.test") };
static const struct acme_hosts both = { names, 2 }, first = { names, 1 };
static char room[64 * 1024], pem[64 * 1024];

static int open_all(void **state)
{
    (void)state;
    strict_json_init();
    authority_open();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    authority_close();
    return 0;
}

static struct text made(void)
{
    return text_fixed(room, sizeof(room));
}

static void test_self_signed(void **state)
{
    (void)state;
    struct text text = made();
    struct acme_dates dates;
    int64_t now = time(NULL);

    assert_true(acme_self_signed(&text, both));
    assert_null(acme_bundle_read(text_span(&text), both, &dates));
    assert_true(dates.self_signed && dates.from_s < now && dates.until_s > now);
    assert_true(tls_bundle_valid(text_span(&text)));
    struct span other = SPAN("c.test");
    assert_string_equal(
        acme_bundle_read(text_span(&text), (struct acme_hosts){ &other, 1 }, &dates),
        "the certificate lacks a name");
}

/* A chain for `key` and `hosts`, as the authority would send it. */
static struct span issued(EVP_PKEY *key, struct acme_hosts hosts)
{
    char buffer[4096];
    struct text der = text_fixed(buffer, sizeof(buffer));

    assert_true(acme_request(&der, key, hosts));
    return span_of(pem, authority_issue(text_span(&der), pem, sizeof(pem)));
}

static void test_what_came(void **state)
{
    (void)state;
    EVP_PKEY *key = acme_key_new(), *other = acme_key_new();
    struct span chain = issued(key, both);
    int64_t now = time(NULL);
    struct text text = made();

    assert_null(acme_bundle(&text, chain, key, both, now));
    assert_true(tls_bundle_valid(text_span(&text)));
    assert_true(span_starts(text_span(&text), SPAN("-----BEGIN PRIVATE KEY-----")));
    text = made();
    assert_string_equal(acme_bundle(&text, chain, other, both, now),
                        "the certificate is for another key");
    assert_string_equal(acme_bundle(&text, chain, key, both, now + 91 * 86400),
                        "the certificate has run out: is this machine's clock right?");
    assert_string_equal(acme_bundle(&text, chain, key, both, now - 3600 - 700),
                        "the certificate does not hold yet: is this machine's clock right?");
    chain = issued(key, first);
    assert_string_equal(acme_bundle(&text, chain, key, both, now),
                        "the certificate lacks a name");
    /* What stands between certificates does not come along; a broken one is refused. */
    memcpy(pem + chain.len, "junk\n", 5);
    chain.len += 5;
    text = made();
    assert_null(acme_bundle(&text, chain, key, first, now));
    assert_true(span_find(text_span(&text), SPAN("junk")) < 0);
    pem[200] = '!';
    assert_string_equal(acme_bundle(&text, chain, key, first, now),
                        "the answer is no chain of certificates");
    assert_string_equal(acme_bundle(&text, SPAN(""), key, first, now),
                        "the answer is no chain of certificates");
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* As long as may be, and one longer. */
static void test_long_chains(void **state)
{
    (void)state;
    EVP_PKEY *key = acme_key_new();
    struct span chain = issued(key, first);
    ssize_t leaf = span_find(span_sub(chain, 1, chain.len), SPAN("-----BEGIN")) + 1;
    size_t link = chain.len - (size_t)leaf;

    for (int count = 2; count < TLS_CHAIN_MAX; count++) {
        memcpy(pem + chain.len, pem + leaf, link);
        chain.len += link;
    }
    struct text text = made();
    assert_null(acme_bundle(&text, chain, key, first, time(NULL)));
    assert_true(tls_bundle_valid(text_span(&text)));
    memcpy(pem + chain.len, pem + leaf, link);
    chain.len += link;
    text = made();
    assert_string_equal(acme_bundle(&text, chain, key, first, time(NULL)),
                        "the answer is no chain of certificates");
    EVP_PKEY_free(key);
}

/* RFC 8737 section 3: the name, and the digest in a critical extension. */
static void test_proof(void **state)
{
    (void)state;
    static struct challenge challenge;
    static const uint8_t head[] = { 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01,
                                    0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20 };
    uint8_t wanted[sizeof(head) + 32];

    assert_true(acme_prove(&challenge, SPAN("a.test"), SPAN("token.thumbprint")));
    memcpy(wanted, head, sizeof(head));
    assert_int_equal(
        EVP_Digest("token.thumbprint", 16, wanted + sizeof(head), NULL, EVP_sha256(), NULL), 1);
    assert_non_null(memmem(challenge.cert, challenge.cert_len, wanted, sizeof(wanted)));
    const unsigned char *p = challenge.cert;
    X509 *cert = d2i_X509(NULL, &p, challenge.cert_len);
    assert_int_equal(X509_check_host(cert, "a.test", 6, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "b.test", 6, 0, NULL), 0);
    p = challenge.key;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, challenge.key_len);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    EVP_PKEY_free(key);
    X509_free(cert);
}

/* RFC 7515 appendix A.3 has a key over P-256; its thumbprint by other programs. */
static void test_thumbprint(void **state)
{
    (void)state;
    static const char key_text[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"
        "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"
        "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"
        "-----END PRIVATE KEY-----\n";
    char print[ACME_THUMBPRINT_BYTES];
    EVP_PKEY *key = acme_key_read(span_text(key_text));

    assert_non_null(key);
    assert_true(acme_thumbprint(key, print));
    assert_text(span_of(print, sizeof(print)), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    EVP_PKEY_free(key);
    EVP_PKEY *wrong = EVP_EC_gen("P-384");
    struct text text = made();
    assert_true(acme_key_write(&text, wrong));
    assert_null(acme_key_read(text_span(&text)));
    assert_null(acme_key_read(SPAN("no key")));
    EVP_PKEY_free(wrong);
}

static void test_binding_keys(void **state)
{
    (void)state;
    assert_true(acme_mac_valid(SPAN("AAAAAAAAAAAAAAAAAAAAAA")));
    assert_true(acme_mac_valid(SPAN("AAAAAAAAAAAAAAAAAAAAAA==")));
    assert_false(acme_mac_valid(SPAN("AAAA")));
    assert_false(acme_mac_valid(SPAN("AAAAAAAAAAAAAAAAAAAA+/")));
    assert_false(acme_mac_valid(SPAN("")));
}

static void test_accounts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "", "it is no JSON object" },
        { "{}", "it is for another directory" },
        { "{\"directory\":\"https://ca.test/dir\",\"account\":\"https://x.test/1\"}",
          "it is for another directory" },
        { "{\"directory\":\"https://ca.test/dir\",\"account\":\"https://ca.test/1\","
          "\"key\":\"x\"}",
          "its key is none" },
    };
    struct acme_account account = { .key = acme_key_new(),
                                    .url = { .text = "https://ca.test/account/1" } };
    struct acme_account read = { .key = NULL };
    struct text text = made();

    assert_true(acme_account_write(&text, SPAN(TEST_DIRECTORY), &account));
    /* It is wiped as it is read. */
    assert_null(acme_account_read(text_span(&text), SPAN(TEST_DIRECTORY), &read));
    assert_string_equal(read.url.text, account.url.text);
    assert_int_equal(EVP_PKEY_eq(read.key, account.key), 1);
    EVP_PKEY_free(read.key);
    EVP_PKEY_free(account.key);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        read = (struct acme_account){ .key = NULL };
        assert_string_equal(
            acme_account_read(span_text(rows[i].text), SPAN(TEST_DIRECTORY), &read),
            rows[i].why);
        assert_null(read.key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_self_signed), TEST(test_what_came),  TEST(test_long_chains),
        TEST(test_proof),       TEST(test_thumbprint), TEST(test_binding_keys),
        TEST(test_accounts),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
