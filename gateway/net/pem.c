/*
 * Certificates, keys and CA bundles from PEM files, with a reason in words when one is refused.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "gateway/base/log.h"
#include "gateway/base/text.h"
#include "gateway/net/tls_state.h"

bool problem_say(const struct problem *problem, struct span file, const char *reason)
{
    struct text text = text_growing(problem->arena, file.len + 64);
    text_add(&text, file);
    if (file.len > 0)
        text_lit(&text, ": ");
    text_add(&text, span_text(reason));
    *problem->why = text.overflow ? SPAN("out of memory") : text_span(&text);
    ERR_clear_error();
    return false;
}

static BIO *open_file(struct span file, const struct problem *problem)
{
    errno = 0;
    BIO *bio = BIO_new_file(file.p, "r");
    if (bio == NULL)
        (void)problem_say(problem, file, errno != 0 ? strerrordesc_np(errno) : "cannot open");
    return bio;
}

/* All certificates of it, at least one. NULL after an error that was said. Frees `bio`. */
static STACK_OF(X509) *
    certificates_of(BIO *bio, struct span file, const struct problem *problem)
{
    if (bio == NULL)
        return NULL;
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *one = NULL;
    while (all != NULL && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(all, one) > 0)
            continue;
        X509_free(one);
        break;
    }
    BIO_free(bio);

    /* The end of the file looks like this; anything else is a broken certificate. */
    bool ended = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PEM &&
                 ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (ended && sk_X509_num(all) > 0) {
        ERR_clear_error();
        return all;
    }
    (void)problem_say(problem, file, ended ? "no certificate in it" : tls_reason());
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

static STACK_OF(X509) * read_certificates(struct span file, const struct problem *problem)
{
    return certificates_of(open_file(file, problem), file, problem);
}

/* A prompt would hang the start; the passphrase would lie beside the key anyway. */
static int refuse_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *key_of(BIO *bio, struct span file, const struct problem *problem)
{
    if (bio == NULL)
        return NULL;
    bool asked = false;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    if (key == NULL)
        (void)problem_say(problem, file,
                          asked ? "the key is encrypted, which is not supported"
                                : "no private key in it");
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static void warn_of_dates(const X509 *leaf, struct span file)
{
    if (X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0)
        log_warn("certificate has expired: clients will refuse it, renew it",
                 F_SPAN("file", file));
    else if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
        log_warn("certificate is not valid yet: check it and this machine's clock",
                 F_SPAN("file", file));
}

/* Takes over both, which may be NULL. */
static struct identity *identity_of(STACK_OF(X509) * chain, EVP_PKEY *key, struct span name,
                                    const struct problem *problem)
{
    struct identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        sk_X509_pop_free(chain, X509_free);
        EVP_PKEY_free(key);
        (void)problem_say(problem, name, "out of memory");
        return NULL;
    }
    identity->chain = chain;
    identity->key = key;
    identity->leaf = chain != NULL ? sk_X509_shift(chain) : NULL;
    if (chain == NULL || key == NULL) {
        identity_free(identity);
        return NULL;
    }
    if (X509_check_private_key(identity->leaf, identity->key) != 1) {
        (void)problem_say(problem, name, "the key does not belong to the certificate");
        identity_free(identity);
        return NULL;
    }
    return identity;
}

struct identity *identity_load(struct span cert, struct span key, const struct problem *problem)
{
    STACK_OF(X509) *chain = read_certificates(cert, problem);
    EVP_PKEY *pkey = chain != NULL ? key_of(open_file(key, problem), key, problem) : NULL;
    struct identity *identity = identity_of(chain, pkey, key, problem);
    if (identity != NULL)
        warn_of_dates(identity->leaf, cert);
    return identity;
}

static BIO *open_text(struct span pem, struct span name, const struct problem *problem)
{
    BIO *bio = pem.len <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
    if (bio == NULL)
        (void)problem_say(problem, name, "out of memory");
    return bio;
}

struct identity *identity_of_bundle(struct span pem, struct span name,
                                    const struct problem *problem)
{
    STACK_OF(X509) *chain = certificates_of(open_text(pem, name, problem), name, problem);
    EVP_PKEY *key = chain != NULL ? key_of(open_text(pem, name, problem), name, problem) : NULL;
    return identity_of(chain, key, name, problem);
}

void identity_free(struct identity *identity)
{
    if (identity == NULL)
        return;
    X509_free(identity->leaf);
    sk_X509_pop_free(identity->chain, X509_free);
    EVP_PKEY_free(identity->key);
    free(identity);
}

static bool authority_add(struct authority *authority, X509 *certificate)
{
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(certificate));
    if (name == NULL)
        return false;
    if (sk_X509_NAME_push(authority->names, name) <= 0) {
        X509_NAME_free(name);
        return false;
    }
    return X509_STORE_add_cert(authority->store, certificate) == 1;
}

static void warn_of_crl(const X509_CRL *crl, struct span file)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    if (next != NULL && X509_cmp_current_time(next) < 0)
        log_warn("revocation list has expired: no certificate of its authority is accepted, "
                 "fetch a new one",
                 F_SPAN("file", file));
}

/*
 * Every authority of a chain has to have its list, or what it signed is refused: a list that is
 * missing or old would let in just those who it is about (RFC 5280 section 6.3).
 */
static bool authority_crls(struct authority *authority, struct span file,
                           const struct problem *problem)
{
    unsigned count = 0;
    bool good = true;
    BIO *bio = open_file(file, problem);
    if (bio == NULL)
        return false;
    for (X509_CRL *crl; good && (crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL;
         count++) {
        warn_of_crl(crl, file);
        good = X509_STORE_add_crl(authority->store, crl) == 1;
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    bool ended = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_PEM &&
                 ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!good || !ended || count == 0)
        return problem_say(problem, file, ended ? "no revocation list in it" : tls_reason());
    ERR_clear_error();
    return X509_STORE_set_flags(authority->store,
                                X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1 ||
           problem_say(problem, file, tls_reason());
}

struct authority *authority_load(struct span bundle, struct span crl,
                                 const struct problem *problem)
{
    STACK_OF(X509) *certificates = read_certificates(bundle, problem);
    if (certificates == NULL)
        return NULL;
    struct authority *authority = calloc(1, sizeof(*authority));
    bool good = authority != NULL;
    if (good) {
        authority->store = X509_STORE_new();
        authority->names = sk_X509_NAME_new_null();
        good = authority->store != NULL && authority->names != NULL;
    }
    for (int i = 0; good && i < sk_X509_num(certificates); i++)
        good = authority_add(authority, sk_X509_value(certificates, i));
    sk_X509_pop_free(certificates, X509_free);
    if (!good)
        (void)problem_say(problem, bundle, tls_reason());
    if (good && (crl.len == 0 || authority_crls(authority, crl, problem)))
        return authority;
    authority_free(authority);
    return NULL;
}

void authority_free(struct authority *authority)
{
    if (authority == NULL)
        return;
    X509_STORE_free(authority->store);
    sk_X509_NAME_pop_free(authority->names, X509_NAME_free);
    free(authority);
}
