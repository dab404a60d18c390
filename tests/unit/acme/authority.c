#include "tests/unit/acme/authority.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "auth/base64url.h"
#include "auth/strictjson.h"
#include "tests/unit/check.h"

static EVP_PKEY *ca_key;
static X509 *ca_cert;

void authority_open(void)
{
    ca_key = EVP_EC_gen("P-256");
    ca_cert = X509_new();
    assert_non_null(ca_cert);
    (void)X509_set_version(ca_cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(ca_cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(ca_cert), 0);
    (void)X509_gmtime_adj(X509_getm_notAfter(ca_cert), 86400);
    X509_NAME *name = X509_get_subject_name(ca_cert);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"Test",
                                     -1, -1, 0);
    (void)X509_set_issuer_name(ca_cert, name);
    (void)X509_set_pubkey(ca_cert, ca_key);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca_cert, ca_cert, NULL, NULL, 0);
    X509_EXTENSION *id = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_key_identifier, "hash");
    (void)X509_add_ext(ca_cert, id, -1);
    X509_EXTENSION_free(id);
    assert_true(X509_sign(ca_cert, ca_key, EVP_sha256()) > 0);
}

void authority_close(void)
{
    X509_free(ca_cert);
    EVP_PKEY_free(ca_key);
}

EVP_PKEY *authority_key(void)
{
    return ca_key;
}

static size_t add_pem(X509 *cert, char *pem, size_t size, size_t at)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    size_t len = (size_t)BIO_get_mem_data(bio, &p);
    assert_true(at + len < size);
    memcpy(pem + at, p, len);
    BIO_free(bio);
    return at + len;
}

size_t authority_issue(struct span request, char *pem, size_t size)
{
    const unsigned char *p = (const unsigned char *)request.p;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)request.len);
    X509 *cert = X509_new();
    assert_non_null(req);
    assert_int_equal(X509_REQ_verify(req, X509_REQ_get0_pubkey(req)), 1);
    (void)X509_set_version(cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 0x87654321); /* 00 before it in DER */
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 90 * 86400);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(ca_cert));
    (void)X509_set_pubkey(cert, X509_REQ_get0_pubkey(req));
    STACK_OF(X509_EXTENSION) *asked = X509_REQ_get_extensions(req);
    for (int i = 0; i < sk_X509_EXTENSION_num(asked); i++)
        (void)X509_add_ext(cert, sk_X509_EXTENSION_value(asked, i), -1);
    sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca_cert, cert, NULL, NULL, 0);
    X509_EXTENSION *id = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
    (void)X509_add_ext(cert, id, -1);
    X509_EXTENSION_free(id);
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    size_t len = add_pem(cert, pem, size, 0);
    len = add_pem(ca_cert, pem, size, len);
    X509_free(cert);
    X509_REQ_free(req);
    return len;
}

/* ---- what is asked ---- */

static size_t decode(struct span text, char *out, size_t size)
{
    size_t len = 0;
    assert_true(base64url_decode(text, out, size - 1, &len));
    out[len] = '\0';
    return len;
}

static void check_signature(struct acme_run *run, struct span input, struct span signature)
{
    char raw[64];
    assert_int_equal(decode(signature, (char[80]){ 0 }, 80), 64);
    size_t len = 0;
    assert_true(base64url_decode(signature, raw, sizeof(raw), &len));
    ECDSA_SIG *sig = ECDSA_SIG_new();
    (void)ECDSA_SIG_set0(sig, BN_bin2bn((unsigned char *)raw, 32, NULL),
                         BN_bin2bn((unsigned char *)raw + 32, 32, NULL));
    unsigned char *der = NULL;
    int der_len = i2d_ECDSA_SIG(sig, &der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    (void)EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, run->job.account->key);
    assert_int_equal(
        EVP_DigestVerify(ctx, der, (size_t)der_len, (const unsigned char *)input.p, input.len),
        1);
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
}

/* The payload, and that head and signature are right. */
static size_t open_post(struct authority *ca, struct acme_run *run, char *payload, size_t size)
{
    char head[4096], input[16384];
    json_t *post = strict_json_object(run->post, 64 * 1024);
    assert_non_null(post);
    struct span protected = strict_json_text(post, "protected");
    struct span body = strict_json_text(post, "payload");
    struct text text = text_fixed(input, sizeof(input));
    text_add(&text, protected);
    text_char(&text, '.');
    text_add(&text, body);
    assert_false(text.overflow);
    check_signature(run, text_span(&text), strict_json_text(post, "signature"));
    size_t len = decode(protected, head, sizeof(head));
    json_t *fields = strict_json_object(span_of(head, len), sizeof(head));
    assert_non_null(fields);
    assert_text(strict_json_text(fields, "alg"), "ES256");
    assert_span(strict_json_text(fields, "url"), run->url);
    assert_span(strict_json_text(fields, "nonce"), span_text(ca->nonce));
    bool account = run->step == ACME_STEP_ACCOUNT;
    assert_true((json_object_get(fields, "jwk") != NULL) == account);
    assert_true((json_object_get(fields, "kid") != NULL) == !account);
    json_decref(fields);
    len = body.len > 0 ? decode(body, payload, size) : 0;
    payload[len] = '\0';
    json_decref(post);
    return len;
}

/* ---- what is said ---- */

static void write_order(const struct authority *ca, const struct acme_run *run,
                        const char *status, char *out, size_t size)
{
    struct text text = text_fixed(out, size - 1);
    size_t count = ca->authorizations > 0 ? ca->authorizations : run->job.hosts.count;
    text_format(&text, "{\"status\":\"%s\",\"finalize\":\"https://ca.test/finalize\",", status);
    if (strcmp(status, "valid") == 0)
        text_lit(&text, "\"certificate\":\"https://ca.test/cert\",");
    text_lit(&text, "\"authorizations\":[");
    for (size_t i = 0; i < count; i++)
        text_format(&text, "%s\"https://ca.test/authz/%zu\"", i > 0 ? "," : "", i);
    text_lit(&text, "]}");
    assert_false(text.overflow);
    out[text.len] = '\0';
}

static void write_authorization(const struct authority *ca, const struct acme_run *run,
                                char *out, size_t size)
{
    bool polled = run->step == ACME_STEP_VALIDATION;
    bool valid = polled && ca->polls > ca->pending_polls;
    size_t i = (size_t)(run->url.p[run->url.len - 1] - '0');
    struct span host = run->job.hosts.items[i % run->job.hosts.count];
    (void)snprintf(out, size,
                   "{\"status\":\"%s\",\"identifier\":{\"type\":\"dns\",\"value\":\"%.*s\"},"
                   "\"challenges\":[{\"type\":\"dns-01\",\"url\":\"https://ca.test/no\","
                   "\"token\":\"none\"},{\"type\":\"%s\",\"url\":\"https://ca.test/chall/%zu\","
                   "\"token\":\"token-token-token-%zu\"}]}",
                   valid ? "valid" : "pending", (int)host.len, host.p, run->job.challenge, i,
                   i);
}

static const struct replaced *find_replaced(struct authority *ca, const struct acme_run *run,
                                            unsigned nth)
{
    for (size_t i = 0; i < ca->replaced_count; i++)
        if (span_ends(run->url, span_text(ca->replaced[i].url)) &&
            (ca->replaced[i].nth == 0 || ca->replaced[i].nth == nth))
            return &ca->replaced[i];
    return NULL;
}

static size_t usual(struct authority *ca, struct acme_run *run, struct span payload, char *out,
                    size_t size)
{
    static char issued[16384];
    static size_t issued_len;
    char der[4096];
    size_t len;
    switch (run->step) {
    case ACME_STEP_DIRECTORY:
        return (size_t)snprintf(out, size,
                                "{\"newNonce\":\"https://ca.test/nonce\",\"newAccount\":"
                                "\"https://ca.test/account\",\"newOrder\":"
                                "\"https://ca.test/order\"%s,\"meta\":{\"website\":\"x\"%s}}",
                                ca->renewal_info ? ",\"renewalInfo\":\"https://ca.test/info\""
                                                 : "",
                                ca->binding ? ",\"externalAccountRequired\":true" : "");
    case ACME_STEP_INFO:
        return (size_t)snprintf(out, size,
                                "{\"suggestedWindow\":{\"start\":\"2030-01-01T00:00:00Z\","
                                "\"end\":\"2030-01-02T00:00:00Z\"}}");
    case ACME_STEP_ORDER:
        assert_true(payload.len < sizeof(ca->last_order));
        memcpy(ca->last_order, payload.p, payload.len + 1);
        write_order(ca, run, "pending", out, size);
        return strlen(out);
    case ACME_STEP_AUTHORIZATION:
    case ACME_STEP_VALIDATION:
        ca->polls += run->step == ACME_STEP_VALIDATION;
        write_authorization(ca, run, out, size);
        return strlen(out);
    case ACME_STEP_FINALIZE: {
        json_t *object = strict_json_object(payload, 8192);
        len = decode(strict_json_text(object, "csr"), der, sizeof(der));
        issued_len = authority_issue(span_of(der, len), issued, sizeof(issued));
        json_decref(object);
        ca->polls = 0;
        write_order(ca, run, ca->processing_polls > 0 ? "processing" : "valid", out, size);
        return strlen(out);
    }
    case ACME_STEP_ISSUANCE:
        ca->polls++;
        write_order(ca, run, ca->polls > ca->processing_polls ? "valid" : "processing", out,
                    size);
        return strlen(out);
    case ACME_STEP_CERTIFICATE:
        memcpy(out, issued, issued_len);
        return issued_len;
    case ACME_STEP_ACCOUNT:
    case ACME_STEP_CHALLENGE:
        return (size_t)snprintf(out, size, "{}");
    case ACME_STEP_PUBLISH:
    case ACME_STEP_DONE:
    case ACME_STEP_FAILED:
        break;
    }
    fail_msg("step %d asks", (int)run->step);
    return 0;
}

static void answer(struct authority *ca, struct acme_run *run)
{
    static char body[64 * 1024];
    char payload[16384] = "";
    size_t payload_len = 0;
    unsigned nth = run->nonce_asked ? 0 : ++ca->count[run->step];
    struct acme_answer said = { .status = run->step == ACME_STEP_ACCOUNT ? 201 : 200 };

    ca->asked++;
    if (run->post.len > 0)
        payload_len = open_post(ca, run, payload, sizeof(payload));
    const struct replaced *other = run->nonce_asked ? NULL : find_replaced(ca, run, nth);
    if (other == NULL) {
        for (size_t i = 0; run->nonce_asked && i < ca->replaced_count; i++)
            if (strcmp(ca->replaced[i].url, "/nonce") == 0)
                other = &ca->replaced[i];
    }
    if (other != NULL && other->status == 0) {
        acme_broken(run, "nobody is there");
        return;
    }
    if (other != NULL) {
        said.status = other->status;
        said.body = span_text(other->body);
        said.location = span_text(other->location);
        said.retry_after = span_text(other->retry_after);
    } else if (!run->nonce_asked) {
        said.body =
            span_of(body, usual(ca, run, span_of(payload, payload_len), body, sizeof(body)));
        if (run->step == ACME_STEP_ACCOUNT)
            said.location = SPAN("https://ca.test/account/1");
        if (run->step == ACME_STEP_ORDER)
            said.location = SPAN("https://ca.test/order/1");
    }
    (void)snprintf(ca->nonce, sizeof(ca->nonce), "nonce-%u", ca->asked);
    if ((run->step != ACME_STEP_DIRECTORY || run->nonce_asked) &&
        (other == NULL || !other->without_nonce))
        said.nonce = span_text(ca->nonce);
    acme_answered(run, &said);
}

enum acme_need authority_serve(struct authority *ca, struct acme_run *run)
{
    for (int i = 0; i < 5000; i++) {
        enum acme_need need = acme_next(run);
        switch (need) {
        case ACME_ASK:
            answer(ca, run);
            break;
        case ACME_PUBLISH:
            ca->published++;
            ca->block = run->block;
            assert_true(challenges_valid(
                span_of((const char *)&run->block, challenges_size(run->block.count))));
            acme_published(run);
            break;
        case ACME_WAIT:
            ca->waits++;
            assert_true(run->wait_ms <= ACME_POLL_MOST_MS);
            break;
        case ACME_DONE:
        case ACME_FAILED:
            return need;
        }
    }
    fail_msg("it does not end");
    return ACME_FAILED;
}
