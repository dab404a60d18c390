/* The steps of an order: see order.h. What is asked stands in order_ask.c. */
#include "gateway/acme/order.h"

#include <stdlib.h>

#include "gateway/acme/jws.h"
#include "gateway/acme/order_ask.h"
#include "gateway/acme/schedule.h"
#include "gateway/base/secret.h"
#include "gateway/net/certs.h"

enum { REQUEST_MEMORY = 256 * 1024, RESULT_MEMORY = 1024 * 1024 };

static const char *const step_names[] = {
    [ACME_STEP_DIRECTORY] = "directory",
    [ACME_STEP_INFO] = "renewal information",
    [ACME_STEP_ACCOUNT] = "account",
    [ACME_STEP_ORDER] = "order",
    [ACME_STEP_AUTHORIZATION] = "authorization",
    [ACME_STEP_PUBLISH] = "publication",
    [ACME_STEP_CHALLENGE] = "challenge",
    [ACME_STEP_VALIDATION] = "validation",
    [ACME_STEP_FINALIZE] = "finalization",
    [ACME_STEP_ISSUANCE] = "issuance",
    [ACME_STEP_CERTIFICATE] = "certificate",
    [ACME_STEP_DONE] = "end",
    [ACME_STEP_FAILED] = "end",
};

/* ---- ends ---- */

/* As much as there is room for. */
static void add_some(struct text *out, struct span part)
{
    text_add(out, span_sub(part, 0, out->size - out->len));
}

static void fail(struct acme_run *run, const char *why, const struct acme_problem *problem)
{
    struct text text = text_fixed(run->why, sizeof(run->why) - 1);

    add_some(&text, span_text(step_names[run->step]));
    add_some(&text, SPAN(": "));
    add_some(&text, span_text(why));
    if (problem != NULL && problem->type[0] != '\0') {
        add_some(&text, SPAN(": "));
        add_some(&text, span_text(problem->type));
    }
    if (problem != NULL && problem->detail[0] != '\0') {
        add_some(&text, SPAN(": "));
        add_some(&text, span_text(problem->detail));
    }
    run->why[text.len] = '\0';
    run->step = ACME_STEP_FAILED;
}

void acme_broken(struct acme_run *run, const char *why)
{
    if (run->step != ACME_STEP_DONE && run->step != ACME_STEP_FAILED)
        fail(run, why, NULL);
}

void acme_begin(struct acme_run *run, const struct acme_job *job)
{
    memset(run, 0, sizeof(*run));
    run->job = *job;
    arena_init(&run->arena, NULL, 0, NULL, REQUEST_MEMORY);
    arena_init(&run->result_arena, NULL, 0, NULL, RESULT_MEMORY);
    run->bundle = text_growing(&run->result_arena, TLS_BUNDLE_BYTES_MAX + 4096);
    run->block.magic = CHALLENGES_MAGIC;
}

void acme_end(struct acme_run *run)
{
    if (run->bundle.p != NULL)
        wipe(run->bundle.p, run->bundle.size);
    EVP_PKEY_free(run->key);
    run->key = NULL;
    wipe(&run->block, sizeof(run->block));
    run->bundle = (struct text){ .p = NULL };
    arena_reset(&run->arena);
    arena_reset(&run->result_arena);
}

/* ---- what is next ---- */

static bool by_post(enum acme_step step)
{
    return step != ACME_STEP_DIRECTORY && step != ACME_STEP_INFO;
}

/* Before a question is asked once more. */
static bool must_wait(const struct acme_run *run)
{
    return (run->step == ACME_STEP_VALIDATION || run->step == ACME_STEP_ISSUANCE) &&
           !run->waited;
}

static enum acme_need wait_a_little(struct acme_run *run)
{
    uint64_t ms = ACME_POLL_FIRST_MS * (uint64_t)(run->polls + 1);

    if (run->retry_after_s > 0)
        ms = (uint64_t)run->retry_after_s * 1000;
    ms = ms < ACME_POLL_MOST_MS ? ms : ACME_POLL_MOST_MS;
    if (run->waited_ms + ms > ACME_WAIT_MOST_MS) {
        fail(run, "it takes too long", NULL);
        return ACME_FAILED;
    }
    run->retry_after_s = 0;
    run->polls++;
    run->waited = true;
    run->waited_ms += ms;
    run->wait_ms = ms;
    return ACME_WAIT;
}

enum acme_need acme_next(struct acme_run *run)
{
    if (run->step == ACME_STEP_DONE)
        return ACME_DONE;
    if (run->step == ACME_STEP_FAILED)
        return ACME_FAILED;
    if (run->step == ACME_STEP_PUBLISH)
        return ACME_PUBLISH;
    if (must_wait(run))
        return wait_a_little(run);
    if (run->asks++ >= ACME_ASKS_MAX) {
        fail(run, "it takes too many questions", NULL);
        return ACME_FAILED;
    }
    arena_reset(&run->arena);
    run->post = span_of(NULL, 0);
    run->nonce_asked = by_post(run->step) && run->nonce[0] == '\0';
    if (run->nonce_asked) {
        run->url = span_text(run->directory.nonce.text);
        return ACME_ASK;
    }
    if (!acme_ask(run)) {
        fail(run, "the question cannot be put together", NULL);
        return ACME_FAILED;
    }
    run->nonce[0] = '\0'; /* each is good once */
    return ACME_ASK;
}

/* ---- what came ---- */

/* The next authorization that there is, or what comes behind the last. */
static void next_authorization(struct acme_run *run)
{
    run->at++;
    if (run->at < run->order.authorization_count)
        return;
    run->at = 0;
    if (run->step == ACME_STEP_VALIDATION || run->block.count == 0)
        run->step = ACME_STEP_FINALIZE;
    else
        run->step = ACME_STEP_PUBLISH;
}

static const char *on_directory(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why = acme_read_directory(answer->body, run->job.directory, &run->directory);

    if (why != NULL)
        return why;
    if (run->job.info_only) {
        bool asked = run->directory.renewal.text[0] != '\0' && run->job.held != NULL &&
                     run->job.held->key_id_len > 0 && run->job.held->serial_len > 0;
        run->step = asked ? ACME_STEP_INFO : ACME_STEP_DONE;
        return NULL;
    }
    if (run->directory.binding_required && run->job.eab_kid.len == 0 &&
        run->job.account->url.text[0] == '\0')
        return "the authority wants a customer's key: set acme.eab";
    /* Another server's account is none here. */
    struct acme_account *account = run->job.account;
    if (account->url.text[0] != '\0' &&
        !acme_url_allowed(run->job.directory, span_text(account->url.text)))
        account->url.text[0] = '\0';
    run->step = account->url.text[0] != '\0' ? ACME_STEP_ORDER : ACME_STEP_ACCOUNT;
    return NULL;
}

static const char *on_info(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why = acme_read_window(answer->body, &run->window);

    run->window_known = why == NULL;
    run->retry_after_s = acme_retry_after(answer->retry_after, run->now_s);
    if (why == NULL)
        run->step = ACME_STEP_DONE;
    return why;
}

static const char *take_location(struct acme_run *run, const struct acme_answer *answer,
                                 struct acme_url *to)
{
    if (!acme_url_allowed(run->job.directory, answer->location))
        return "its Location is missing, or on another server";
    memcpy(to->text, answer->location.p, answer->location.len);
    to->text[answer->location.len] = '\0';
    return NULL;
}

static const char *on_account(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why = take_location(run, answer, &run->job.account->url);

    if (why == NULL)
        run->step = ACME_STEP_ORDER;
    return why;
}

static const char *on_order(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why = take_location(run, answer, &run->order_url);

    if (why == NULL)
        why = acme_read_order(answer->body, run->job.directory, &run->order);
    if (why == NULL && run->order.status == ACME_INVALID)
        why = "it is invalid at once";
    if (why != NULL)
        return why;
    run->at = 0;
    run->step = ACME_STEP_AUTHORIZATION;
    return NULL;
}

static bool is_ours(const struct acme_run *run, const char *name)
{
    for (size_t i = 0; i < run->job.hosts.count; i++)
        if (span_equal(run->job.hosts.items[i], span_text(name)))
            return true;
    return false;
}

static const char *add_challenge(struct acme_run *run, const struct acme_authorization *said)
{
    INVARIANT(run->block.count < CHALLENGES_MAX); /* there are no more authorizations */
    struct challenge *to = &run->block.items[run->block.count];
    char buffer[CHALLENGE_ANSWER_MAX], print[ACME_THUMBPRINT_BYTES];
    struct text text = text_fixed(buffer, sizeof(buffer));

    if (!is_ours(run, said->name))
        return "it is for a name that was not asked for";
    if (said->challenge.text[0] == '\0')
        return "the authority does not offer this challenge (acme.challenge)";
    if (!acme_thumbprint(run->job.account->key, print))
        return "out of memory";
    memset(to, 0, sizeof(*to));
    memcpy(to->name, said->name, sizeof(to->name));
    text_add(&text, span_text(said->token));
    text_char(&text, '.');
    text_add(&text, span_of(print, sizeof(print)));
    INVARIANT(!text.overflow);
    if (strcmp(run->job.challenge, "http-01") == 0) {
        memcpy(to->token, said->token, sizeof(to->token));
        memcpy(to->answer, text.p, text.len);
    } else if (!acme_prove(to, span_text(to->name), text_span(&text))) {
        return "the proof cannot be made";
    }
    run->challenges[run->block.count++] = said->challenge;
    return NULL;
}

static const char *on_authorization(struct acme_run *run, const struct acme_answer *answer)
{
    struct acme_authorization said;
    const char *why =
        acme_read_authorization(answer->body, run->job.directory, run->job.challenge, &said);

    if (why == NULL && said.status != ACME_VALID)
        why = said.status == ACME_PENDING ? add_challenge(run, &said) : "it is not open";
    if (why == NULL)
        next_authorization(run);
    return why;
}

static const char *on_challenge(struct acme_run *run, const struct acme_answer *answer)
{
    (void)answer;
    run->at++;
    if (run->at < run->block.count)
        return NULL;
    run->at = 0;
    run->polls = 0;
    run->waited = false;
    run->step = ACME_STEP_VALIDATION;
    return NULL;
}

static const char *on_validation(struct acme_run *run, const struct acme_answer *answer)
{
    struct acme_authorization said;
    const char *why =
        acme_read_authorization(answer->body, run->job.directory, run->job.challenge, &said);

    if (why != NULL)
        return why;
    if (said.status == ACME_VALID) {
        next_authorization(run);
        return NULL; /* without waiting: the others are done too, mostly */
    }
    if (said.status == ACME_PENDING || said.status == ACME_PROCESSING) {
        run->waited = false;
        run->retry_after_s = acme_retry_after(answer->retry_after, run->now_s);
        return NULL;
    }
    char text[CHALLENGE_NAME_MAX + 32];
    struct text out = text_fixed(text, sizeof(text) - 1);
    text_add(&out, span_text(said.name));
    text_lit(&out, " was not proved");
    text[out.len] = '\0';
    fail(run, text, &said.problem);
    return NULL;
}

static const char *on_issuance(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why = acme_read_order(answer->body, run->job.directory, &run->order);

    if (why != NULL)
        return why;
    if (run->order.status == ACME_INVALID) {
        fail(run, "the order has become invalid", &run->order.problem);
        return NULL;
    }
    if (run->order.status == ACME_VALID) {
        run->step = ACME_STEP_CERTIFICATE;
        return NULL;
    }
    run->retry_after_s = acme_retry_after(answer->retry_after, run->now_s);
    run->waited = false;
    if (run->step == ACME_STEP_FINALIZE)
        run->polls = 0;
    /* It was not ready when it was to be finalized, and is now. */
    bool unasked = run->step == ACME_STEP_ISSUANCE && run->order.status == ACME_READY;
    run->step = unasked ? ACME_STEP_FINALIZE : ACME_STEP_ISSUANCE;
    return NULL;
}

static const char *on_certificate(struct acme_run *run, const struct acme_answer *answer)
{
    const char *why =
        acme_bundle(&run->bundle, answer->body, run->key, run->job.hosts, run->now_s);

    if (why == NULL)
        run->step = ACME_STEP_DONE;
    return why;
}

/* ---- refusals ---- */

static bool is(const struct acme_problem *problem, const char *type)
{
    return strcmp(problem->type, type) == 0;
}

/* True: the same is asked once more, or an earlier step. */
static bool try_again(struct acme_run *run, int status, const struct acme_problem *problem)
{
    struct acme_account *account = run->job.account;
    bool limited = status == 429 || status >= 500 || is(problem, "rateLimited");

    /* RFC 8555 section 6.5: the answer brings a nonce that is good. */
    if (is(problem, "badNonce") && run->nonce_tries < ACME_NONCE_TRIES) {
        run->nonce_tries++;
        return true;
    }
    if (run->step == ACME_STEP_ORDER && is(problem, "accountDoesNotExist") &&
        !run->renewed_account) {
        run->renewed_account = true;
        account->url.text[0] = '\0';
        run->step = ACME_STEP_ACCOUNT;
        return true;
    }
    /* RFC 9773 section 5: who renewed this one before need not have been we. */
    if (run->step == ACME_STEP_ORDER && run->job.held != NULL && !run->without_held &&
        !limited) {
        run->without_held = true;
        return true;
    }
    /* It became ready a moment later than its authorizations. */
    if (run->step == ACME_STEP_FINALIZE && is(problem, "orderNotReady")) {
        run->step = ACME_STEP_ISSUANCE;
        run->polls = 0;
        run->waited = false;
        return true;
    }
    return false;
}

static void on_refusal(struct acme_run *run, const struct acme_answer *answer)
{
    struct acme_problem problem;
    char text[32];
    struct text out = text_fixed(text, sizeof(text) - 1);

    acme_read_problem(answer->body, &problem);
    if (try_again(run, answer->status, &problem))
        return;
    run->retry_after_s = acme_retry_after(answer->retry_after, run->now_s);
    text_lit(&out, "status ");
    text_uint(&out, (uint64_t)(answer->status > 0 ? answer->status : 0));
    text[out.len] = '\0';
    fail(run, text, &problem);
}

static void take_nonce(struct acme_run *run, struct span nonce)
{
    /* RFC 8555 section 6.5.1: base64url; whatever else is none. */
    if (nonce.len == 0 || nonce.len > ACME_NONCE_MAX)
        return;
    for (size_t i = 0; i < nonce.len; i++) {
        char c = nonce.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return;
    }
    memcpy(run->nonce, nonce.p, nonce.len);
    run->nonce[nonce.len] = '\0';
}

void acme_published(struct acme_run *run)
{
    INVARIANT(run->step == ACME_STEP_PUBLISH);
    run->at = 0;
    run->step = ACME_STEP_CHALLENGE;
}

void acme_answered(struct acme_run *run, const struct acme_answer *answer)
{
    static const char *(*const rows[])(struct acme_run *, const struct acme_answer *) = {
        [ACME_STEP_DIRECTORY] = on_directory,
        [ACME_STEP_INFO] = on_info,
        [ACME_STEP_ACCOUNT] = on_account,
        [ACME_STEP_ORDER] = on_order,
        [ACME_STEP_AUTHORIZATION] = on_authorization,
        [ACME_STEP_CHALLENGE] = on_challenge,
        [ACME_STEP_VALIDATION] = on_validation,
        [ACME_STEP_FINALIZE] = on_issuance,
        [ACME_STEP_ISSUANCE] = on_issuance,
        [ACME_STEP_CERTIFICATE] = on_certificate,
    };

    INVARIANT((size_t)run->step < ARRAY_LEN(rows) && rows[run->step] != NULL);
    bool good = answer->status >= 200 && answer->status < 300;
    run->retry_after_s = 0;
    take_nonce(run, answer->nonce);
    if (!good) {
        on_refusal(run, answer);
        return;
    }
    if (run->nonce_asked) {
        if (run->nonce[0] == '\0')
            fail(run, "the server gives no nonce", NULL);
        return;
    }
    run->nonce_tries = 0;
    const char *why = rows[run->step](run, answer);
    if (why != NULL)
        fail(run, why, NULL);
}
