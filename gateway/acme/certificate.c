/* Keys and certificates of sites, over OpenSSL: see certificate.h. */
#include "gateway/acme/certificate.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "gateway/base/secret.h"
#include "gateway/net/certs.h"
#include "gateway/net/challenge.h"

enum {
    SELF_SIGNED_DAYS = 7,
    PROOF_DAYS = 1,
    BACKDATED_S = 3600, /* for clients whose clock is behind */
    CLOCK_OFF_S = 600,  /* an authority's may be ahead of ours */
    DAY_S = 24 * 3600,
    SERIAL_BYTES = 16,
};

/* ---- keys ---- */

EVP_PKEY *acme_key_new(void)
{
    return EVP_EC_gen("P-256");
}

static bool add_bio(struct text *out, BIO *bio)
{
    char *p = NULL;
    long len = BIO_get_mem_data(bio, &p);

    if (len > 0)
        text_add(out, span_of(p, (size_t)len));
    return len > 0 && !out->overflow;
}

bool acme_key_write(struct text *out, const EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    bool written = bio != NULL &&
                   PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                   add_bio(out, bio);

    BIO_free(bio);
    ERR_clear_error();
    return written;
}

/* No prompt on a terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *unused)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)unused;
    return -1;
}

static BIO *bio_over(struct span text)
{
    return text.len > 0 && text.len <= INT_MAX ? BIO_new_mem_buf(text.p, (int)text.len) : NULL;
}

EVP_PKEY *acme_key_read(struct span pem)
{
    BIO *bio = bio_over(pem);
    EVP_PKEY *key =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    uint8_t x[32], y[32];

    BIO_free(bio);
    if (key != NULL && !acme_key_point(key, x, y)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

static bool coordinate(const EVP_PKEY *key, const char *name, uint8_t out[static 32])
{
    BIGNUM *number = NULL;
    bool good =
        EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_bn2binpad(number, out, 32) == 32;

    BN_free(number);
    return good;
}

bool acme_key_point(const EVP_PKEY *key, uint8_t x[static 32], uint8_t y[static 32])
{
    char group[32];
    size_t len = 0;
    bool p256 = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
                EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
                span_equal(span_of(group, len), SPAN("prime256v1"));
    bool good = p256 && coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, x) &&
                coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, y);

    ERR_clear_error();
    return good;
}

/* ---- making ---- */

static GENERAL_NAMES *names_of(struct acme_hosts hosts)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

    for (size_t i = 0; names != NULL && i < hosts.count; i++) {
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        if (name != NULL && text != NULL && hosts.items[i].len <= INT_MAX &&
            ASN1_STRING_set(text, hosts.items[i].p, (int)hosts.items[i].len) == 1) {
            GENERAL_NAME_set0_value(name, GEN_DNS, text);
            if (sk_GENERAL_NAME_push(names, name) > 0)
                continue;
            text = NULL; /* it is the name's */
        }
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(text);
        GENERAL_NAMES_free(names);
        return NULL;
    }
    return names;
}

static bool fill(X509 *cert, EVP_PKEY *key, struct acme_hosts hosts, long days)
{
    GENERAL_NAMES *names = names_of(hosts);
    uint8_t serial[SERIAL_BYTES] = { 0 };
    BIGNUM *number = NULL;
    bool good = names != NULL && RAND_bytes(serial, sizeof(serial)) == 1;

    serial[0] &= 0x7f;
    number = good ? BN_bin2bn(serial, sizeof(serial), NULL) : NULL;
    good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL &&
           X509_set_version(cert, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATED_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), days * DAY_S) != NULL &&
           X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                      (const unsigned char *)"sallyport", -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    BN_free(number);
    GENERAL_NAMES_free(names);
    return good;
}

static bool write_certificate(struct text *out, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    bool written = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 && add_bio(out, bio);

    BIO_free(bio);
    return written;
}

bool acme_self_signed(struct text *bundle, struct acme_hosts hosts)
{
    EVP_PKEY *key = acme_key_new();
    X509 *cert = X509_new();
    bool made = key != NULL && cert != NULL && fill(cert, key, hosts, SELF_SIGNED_DAYS) &&
                X509_sign(cert, key, EVP_sha256()) > 0 && acme_key_write(bundle, key) &&
                write_certificate(bundle, cert);

    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return made;
}

bool acme_request(struct text *der, EVP_PKEY *key, struct acme_hosts hosts)
{
    X509_REQ *request = X509_REQ_new();
    GENERAL_NAMES *names = names_of(hosts);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    unsigned char *bytes = NULL;
    int len = -1;

    if (request != NULL && names != NULL &&
        X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, 0) == 1 &&
        X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 &&
        X509_REQ_add_extensions(request, extensions) == 1 &&
        X509_REQ_sign(request, key, EVP_sha256()) > 0)
        len = i2d_X509_REQ(request, &bytes);
    if (len > 0)
        text_add(der, span_of((const char *)bytes, (size_t)len));
    OPENSSL_free(bytes);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    X509_REQ_free(request);
    ERR_clear_error();
    return len > 0 && !der->overflow;
}

/* ---- proofs ---- */

/* id-pe-acmeIdentifier, RFC 8737 section 6.1. */
#define PROOF_OID "1.3.6.1.5.5.7.1.31"
enum { DIGEST_BYTES = 32 };

/* Critical, and the digest as an OCTET STRING inside. */
static bool add_proof(X509 *cert, const uint8_t digest[static DIGEST_BYTES])
{
    uint8_t inner[2 + DIGEST_BYTES] = { V_ASN1_OCTET_STRING, DIGEST_BYTES };
    ASN1_OBJECT *oid = OBJ_txt2obj(PROOF_OID, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;

    memcpy(inner + 2, digest, DIGEST_BYTES);
    bool good = oid != NULL && value != NULL &&
                ASN1_OCTET_STRING_set(value, inner, sizeof(inner)) == 1 &&
                (extension = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value)) != NULL &&
                X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
    return good;
}

static bool put_proof(struct challenge *to, X509 *cert, EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    bool fits = len > 0 && len <= CHALLENGE_CERT_MAX;

    if (fits) {
        memcpy(to->cert, der, (size_t)len);
        to->cert_len = (uint16_t)len;
    }
    OPENSSL_free(der);
    der = NULL;
    len = i2d_PrivateKey(key, &der);
    fits = fits && len > 0 && len <= CHALLENGE_KEY_MAX;
    if (fits) {
        memcpy(to->key, der, (size_t)len);
        to->key_len = (uint16_t)len;
    }
    if (len > 0)
        OPENSSL_cleanse(der, (size_t)len);
    OPENSSL_free(der);
    return fits;
}

bool acme_prove(struct challenge *to, struct span name, struct span authorization)
{
    uint8_t digest[DIGEST_BYTES];
    struct acme_hosts hosts = { &name, 1 };
    EVP_PKEY *key = acme_key_new();
    X509 *cert = X509_new();
    bool made =
        key != NULL && cert != NULL &&
        EVP_Digest(authorization.p, authorization.len, digest, NULL, EVP_sha256(), NULL) == 1 &&
        fill(cert, key, hosts, PROOF_DAYS) && add_proof(cert, digest) &&
        X509_sign(cert, key, EVP_sha256()) > 0 && put_proof(to, cert, key);

    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return made;
}

/* ---- what came ---- */

/* All certificates of the text; NULL: there is none, there are too many, or one is broken. */
static STACK_OF(X509) * read_chain(struct span pem)
{
    BIO *bio = pem.len <= TLS_BUNDLE_BYTES_MAX ? bio_over(pem) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *one = NULL;

    ERR_clear_error();
    while (bio != NULL && chain != NULL && sk_X509_num(chain) <= TLS_CHAIN_MAX &&
           (one = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        if (sk_X509_push(chain, one) <= 0) {
            X509_free(one);
            break;
        }
    bool ended = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PEM &&
                 ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    BIO_free(bio);
    ERR_clear_error();
    if (ended && sk_X509_num(chain) > 0 && sk_X509_num(chain) <= TLS_CHAIN_MAX)
        return chain;
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

static size_t names_had(X509 *leaf, struct acme_hosts hosts)
{
    size_t count = 0;

    for (size_t i = 0; i < hosts.count; i++)
        count += X509_check_host(leaf, hosts.items[i].p, hosts.items[i].len,
                                 X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                     X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                                 NULL) == 1;
    return count;
}

static bool seconds_of(const ASN1_TIME *time, int64_t *out)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *out = timegm(&tm);
    return true;
}

static const char *check_leaf(X509 *leaf, const EVP_PKEY *key, struct acme_hosts hosts,
                              struct acme_dates *dates)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    const ASN1_OCTET_STRING *key_id = X509_get0_authority_key_id(leaf);
    int len = serial != NULL ? ASN1_STRING_length(serial) : 0;

    if (X509_check_private_key(leaf, key) != 1)
        return "the certificate is for another key";
    if (names_had(leaf, hosts) < hosts.count)
        return "the certificate lacks a name";
    if (!seconds_of(X509_get0_notBefore(leaf), &dates->from_s) ||
        !seconds_of(X509_get0_notAfter(leaf), &dates->until_s) ||
        dates->until_s - dates->from_s < ACME_LIFE_LEAST_S)
        return "the certificate's dates are not understood";
    dates->self_signed =
        X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_issuer_name(leaf)) == 0;
    if (len > 0 && len <= ACME_SERIAL_MAX) {
        const unsigned char *bytes = ASN1_STRING_get0_data(serial);
        size_t pad = bytes[0] >= 0x80; /* as in DER, where it would be negative */
        dates->serial[0] = 0;
        memcpy(dates->serial + pad, bytes, (size_t)len);
        dates->serial_len = (size_t)len + pad;
    }
    int id_len = key_id != NULL ? ASN1_STRING_length(key_id) : 0;
    if (id_len > 0 && id_len <= ACME_KEYID_MAX) {
        memcpy(dates->key_id, ASN1_STRING_get0_data(key_id), (size_t)id_len);
        dates->key_id_len = (size_t)id_len;
    }
    return NULL;
}

const char *acme_bundle(struct text *bundle, struct span chain, const EVP_PKEY *key,
                        struct acme_hosts hosts, int64_t now_s)
{
    STACK_OF(X509) *certs = read_chain(chain);
    struct acme_dates dates = { 0 };

    if (certs == NULL)
        return "the answer is no chain of certificates";
    const char *why = check_leaf(sk_X509_value(certs, 0), key, hosts, &dates);
    if (why == NULL && dates.from_s > now_s + CLOCK_OFF_S)
        why = "the certificate does not hold yet: is this machine's clock right?";
    if (why == NULL && dates.until_s <= now_s)
        why = "the certificate has run out: is this machine's clock right?";
    /* Written anew: what stood between the certificates does not go to the disk. */
    bool written = why == NULL && acme_key_write(bundle, key);
    for (int i = 0; written && i < sk_X509_num(certs); i++)
        written = write_certificate(bundle, sk_X509_value(certs, i));
    if (why == NULL && (!written || bundle->len > TLS_BUNDLE_BYTES_MAX))
        why = "the chain of certificates is too long";
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return why;
}

const char *acme_bundle_read(struct span bundle, struct acme_hosts hosts,
                             struct acme_dates *dates)
{
    STACK_OF(X509) *certs = read_chain(bundle);
    EVP_PKEY *key = certs != NULL ? acme_key_read(bundle) : NULL;
    const char *why =
        key != NULL ? NULL : "it is no private key with its chain of certificates";

    memset(dates, 0, sizeof(*dates));
    if (why == NULL)
        why = check_leaf(sk_X509_value(certs, 0), key, hosts, dates);
    EVP_PKEY_free(key);
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return why;
}

size_t acme_bundle_covers(struct span bundle, struct acme_hosts hosts, int64_t now_s)
{
    static const struct acme_hosts none = { NULL, 0 };
    STACK_OF(X509) *certs = read_chain(bundle);
    EVP_PKEY *key = certs != NULL ? acme_key_read(bundle) : NULL;
    struct acme_dates dates = { 0 };
    size_t count = 0;

    if (key != NULL && check_leaf(sk_X509_value(certs, 0), key, none, &dates) == NULL &&
        dates.from_s <= now_s && now_s < dates.until_s)
        count = names_had(sk_X509_value(certs, 0), hosts);
    EVP_PKEY_free(key);
    sk_X509_pop_free(certs, X509_free);
    ERR_clear_error();
    return count;
}
