/* What an ACME server is asked: payloads, and their signatures. */
#include "gateway/acme/order_ask.h"

#include "auth/base64url.h"
#include "gateway/acme/jws.h"
#include "gateway/base/json.h"

static struct span bytes_of(const void *p, size_t len)
{
    return span_of(p, len);
}

/* RFC 9773 section 4.1. */
static void add_certificate_id(struct text *out, const struct acme_dates *held)
{
    base64url_encode(out, bytes_of(held->key_id, held->key_id_len));
    text_char(out, '.');
    base64url_encode(out, bytes_of(held->serial, held->serial_len));
}

static bool info_url(struct acme_run *run)
{
    struct text url = text_growing(&run->arena, ACME_URL_MAX + 256);

    text_add(&url, span_text(run->directory.renewal.text));
    if (url.len > 0 && url.p[url.len - 1] != '/')
        text_char(&url, '/');
    add_certificate_id(&url, run->job.held);
    run->url = text_span(&url);
    return !url.overflow;
}

/* ---- payloads ---- */

static bool write_account(struct text *out, const struct acme_run *run)
{
    const struct acme_job *job = &run->job;
    struct json j = json_writer(out);
    struct text contact = text_growing(out->arena, job->email.len + 16);

    json_begin_object(&j, NULL);
    json_bool(&j, "termsOfServiceAgreed", true);
    if (job->email.len > 0) {
        text_lit(&contact, "mailto:");
        text_add(&contact, job->email);
        json_begin_array(&j, "contact");
        json_text(&j, NULL, text_span(&contact));
        json_end_array(&j);
    }
    if (job->eab_kid.len > 0) {
        text_lit(out, ",\"externalAccountBinding\":");
        if (!acme_bind(out, job->account->key, span_text(run->directory.account.text),
                       job->eab_kid, job->eab_key))
            return false;
    }
    json_end_object(&j);
    return !contact.overflow;
}

static bool write_order(struct text *out, const struct acme_run *run)
{
    const struct acme_dates *held = run->without_held ? NULL : run->job.held;
    struct text id = text_growing(out->arena, 256);
    struct json j = json_writer(out);

    json_begin_object(&j, NULL);
    json_begin_array(&j, "identifiers");
    for (size_t i = 0; i < run->job.hosts.count; i++) {
        json_begin_object(&j, NULL);
        json_text(&j, "type", SPAN("dns"));
        json_text(&j, "value", run->job.hosts.items[i]);
        json_end_object(&j);
    }
    json_end_array(&j);
    if (held != NULL && held->key_id_len > 0 && held->serial_len > 0 &&
        run->directory.renewal.text[0] != '\0') {
        add_certificate_id(&id, held);
        json_text(&j, "replaces", text_span(&id));
    }
    json_end_object(&j);
    return !id.overflow;
}

static bool write_finalize(struct text *out, struct acme_run *run)
{
    struct text der = text_growing(out->arena, 4096);

    if (run->key == NULL)
        run->key = acme_key_new(); /* a new one for each certificate */
    if (run->key == NULL || !acme_request(&der, run->key, run->job.hosts))
        return false;
    text_lit(out, "{\"csr\":\"");
    base64url_encode(out, text_span(&der));
    text_lit(out, "\"}");
    return true;
}

/* ---- steps ---- */

static bool sign(struct acme_run *run, struct span payload)
{
    struct text post = text_growing(&run->arena, 4096 + 2 * payload.len);
    bool known = run->step != ACME_STEP_ACCOUNT;
    struct acme_signed what = { .key = run->job.account->key,
                                .kid = known ? span_text(run->job.account->url.text)
                                             : span_of(NULL, 0),
                                .nonce = span_text(run->nonce),
                                .url = run->url,
                                .payload = payload };
    bool good = acme_sign(&post, &what);

    run->post = text_span(&post);
    return good;
}

static const char *url_of(const struct acme_run *run)
{
    switch (run->step) {
    case ACME_STEP_ACCOUNT:
        return run->directory.account.text;
    case ACME_STEP_ORDER:
        return run->directory.order.text;
    case ACME_STEP_AUTHORIZATION:
    case ACME_STEP_VALIDATION:
        return run->order.authorizations[run->at].text;
    case ACME_STEP_CHALLENGE:
        return run->challenges[run->at].text;
    case ACME_STEP_FINALIZE:
        return run->order.finalize.text;
    case ACME_STEP_ISSUANCE:
        return run->order_url.text;
    case ACME_STEP_CERTIFICATE:
        return run->order.certificate.text;
    case ACME_STEP_DIRECTORY:
    case ACME_STEP_INFO:
    case ACME_STEP_PUBLISH:
    case ACME_STEP_DONE:
    case ACME_STEP_FAILED:
        break;
    }
    return NULL;
}

bool acme_ask(struct acme_run *run)
{
    struct text payload = text_growing(&run->arena, 4096);
    bool good = true;

    if (run->step == ACME_STEP_DIRECTORY) {
        run->url = run->job.directory;
        return true;
    }
    if (run->step == ACME_STEP_INFO)
        return info_url(run);
    const char *url = url_of(run);
    INVARIANT(url != NULL);
    run->url = span_text(url);
    if (run->step == ACME_STEP_ACCOUNT)
        good = write_account(&payload, run);
    else if (run->step == ACME_STEP_ORDER)
        good = write_order(&payload, run);
    else if (run->step == ACME_STEP_CHALLENGE)
        text_lit(&payload, "{}");
    else if (run->step == ACME_STEP_FINALIZE)
        good = write_finalize(&payload, run);
    return good && !payload.overflow && sign(run, text_span(&payload));
}
