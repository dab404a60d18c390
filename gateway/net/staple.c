/*
 * OCSP staples (RFC 6066 section 8, RFC 6960): read at load, sent to clients that ask.
 *
 * A staple that is not one, or is for another certificate, is a load error. One that has run
 * out is a warning, and is not sent: no staple lets the client decide, a stale one makes it
 * fail.
 */
#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include "gateway/base/file.h"
#include "gateway/base/log.h"
#include "gateway/net/tls_state.h"

enum { STAPLE_MAX = 16 * 1024 };

static int64_t unix_time(const ASN1_GENERALIZEDTIME *time)
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    return timegm(&tm);
}

/* The end of the answer about this certificate; -1: there is no such answer in it. */
static int64_t answer_end(OCSP_BASICRESP *basic, X509 *leaf)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        ASN1_GENERALIZEDTIME *next = NULL;
        OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
        if (OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) != 1 ||
            ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
            continue;
        (void)OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
        return unix_time(next);
    }
    return -1;
}

static bool staple_parse(struct staple *staple, struct span file, X509 *leaf,
                         const struct problem *problem)
{
    const unsigned char *p = staple->der;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &p, (long)staple->len);
    if (response == NULL || p != staple->der + staple->len) {
        OCSP_RESPONSE_free(response);
        return problem_say(problem, file, "not an OCSP response in DER");
    }
    OCSP_BASICRESP *basic = NULL;
    if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
        basic = OCSP_response_get1_basic(response);
    staple->until_s = basic != NULL ? answer_end(basic, leaf) : -1;
    bool answered = basic != NULL;
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    if (!answered)
        return problem_say(problem, file, "the OCSP response is an error of its responder");
    if (staple->until_s < 0)
        return problem_say(problem, file, "the OCSP response is for another certificate");
    return true;
}

bool staple_load(struct staple *staple, struct span file, X509 *leaf,
                 const struct problem *problem)
{
    struct file read;
    const char *why = file_read(file.p, STAPLE_MAX, problem->arena, &read);
    if (why != NULL)
        return problem_say(problem, file, why);
    struct span der = read.text;
    if (der.len == 0)
        return problem_say(problem, file, "it is empty");
    ERR_clear_error();

    *staple = (struct staple){ .der = (const unsigned char *)der.p, .len = der.len };
    if (!staple_parse(staple, file, leaf, problem))
        return false;
    if (staple->until_s <= time(NULL))
        log_warn("OCSP staple has expired and is not sent: fetch a new one",
                 F_SPAN("file", file));
    return true;
}

static int on_status_request(SSL *ssl, void *attached)
{
    const struct staple *staple = attached;
    if (staple->until_s <= time(NULL))
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(staple->der, staple->len);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->len);
    return SSL_TLSEXT_ERR_OK;
}

void staple_attach(SSL_CTX *ctx, const struct staple *staple)
{
    SSL_CTX_set_tlsext_status_cb(ctx, on_status_request);
    SSL_CTX_set_tlsext_status_arg(ctx, (void *)(uintptr_t)staple);
}
