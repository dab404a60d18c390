/* Orders from the directory to the certificate, and every way in which they end before. */
#include "gateway/acme/order.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/strictjson.h"
#include "gateway/acme/jws.h"
#include "tests/unit/acme/authority.h"
#include "tests/unit/check.h"

static const struct span hosts[] = { SPAN_INIT("a.test"), SPAN_INIT("b.test") };
static struct acme_account account;
static struct acme_run *run;

static int open_all(void **state)
{
    (void)state;
    strict_json_init();
    authority_open();
    run = malloc(sizeof(*run));
    return run == NULL;
}

static int close_all(void **state)
{
    (void)state;
    free(run);
    authority_close();
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    account = (struct acme_account){ .key = acme_key_new() };
    return account.key == NULL;
}

static int over(void **state)
{
    (void)state;
    acme_end(run);
    EVP_PKEY_free(account.key);
    return 0;
}

static struct acme_job job_of(const char *challenge)
{
    return (struct acme_job){ .directory = SPAN(TEST_DIRECTORY),
                              .email = SPAN("ops@a.test"),
                              .challenge = challenge,
                              .hosts = { hosts, ARRAY_LEN(hosts) },
                              .account = &account };
}

static enum acme_need go(struct authority *ca, struct acme_job job)
{
    acme_begin(run, &job);
    run->now_s = time(NULL);
    return authority_serve(ca, run);
}

static void test_http_01(void **state)
{
    (void)state;
    struct authority ca = { .pending_polls = 3, .processing_polls = 2 };
    struct acme_dates dates;
    char print[ACME_THUMBPRINT_BYTES];

    assert_int_equal(go(&ca, job_of("http-01")), ACME_DONE);
    assert_int_equal(ca.published, 1);
    assert_int_equal(ca.waits, 4 + 3); /* one before each question */
    assert_string_equal(account.url.text, "https://ca.test/account/1");
    assert_null(acme_bundle_read(text_span(&run->bundle), run->job.hosts, &dates));
    assert_false(dates.self_signed);
    /* What was published is the token, a point, and the account's thumbprint. */
    assert_int_equal(ca.block.count, 2);
    assert_string_equal(ca.block.items[1].name, "b.test");
    assert_string_equal(ca.block.items[1].token, "token-token-token-1");
    assert_true(acme_thumbprint(account.key, print));
    struct span said = span_text(ca.block.items[1].answer);
    assert_true(span_starts(said, SPAN("token-token-token-1.")));
    assert_span(span_sub(said, 20, said.len), span_of(print, sizeof(print)));
    assert_string_equal(ca.last_order,
                        "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"a.test\"},"
                        "{\"type\":\"dns\",\"value\":\"b.test\"}]}");
}

static void test_tls_alpn_01(void **state)
{
    (void)state;
    struct authority ca = { .pending_polls = 0 };

    assert_int_equal(go(&ca, job_of("tls-alpn-01")), ACME_DONE);
    assert_int_equal(ca.block.count, 2);
    assert_true(ca.block.items[0].cert_len > 0 && ca.block.items[0].token[0] == '\0');
}

/* The second order signs with the account, and says what it replaces. */
static void test_account_is_kept(void **state)
{
    (void)state;
    struct authority first = { .renewal_info = true }, second = { .renewal_info = true };
    struct acme_dates dates;
    struct acme_job job = job_of("http-01");

    assert_int_equal(go(&first, job), ACME_DONE);
    assert_int_equal(first.count[ACME_STEP_ACCOUNT], 1);
    assert_null(acme_bundle_read(text_span(&run->bundle), run->job.hosts, &dates));
    assert_int_equal(dates.serial_len, 5); /* 0x87654321, and a zero before it */
    acme_end(run);
    job.held = &dates;
    assert_int_equal(go(&second, job), ACME_DONE);
    assert_int_equal(second.count[ACME_STEP_ACCOUNT], 0);
    assert_non_null(strstr(second.last_order, "\"replaces\":\""));
    assert_non_null(strstr(second.last_order, ".AIdlQyE\"")); /* RFC 9773's example */
}

static void test_renewal_information(void **state)
{
    (void)state;
    struct authority ca = { .renewal_info = true }, silent = { .renewal_info = false };
    struct acme_dates dates = {
        .serial = { 1 }, .serial_len = 1, .key_id = { 2 }, .key_id_len = 1
    };
    struct acme_job job = job_of("http-01");

    job.info_only = true;
    job.held = &dates;
    assert_int_equal(go(&ca, job), ACME_DONE);
    assert_true(run->window_known);
    assert_int_equal(run->window.from_s, 1893456000);
    assert_int_equal(ca.asked, 2);
    acme_end(run);
    assert_int_equal(go(&silent, job), ACME_DONE);
    assert_false(run->window_known);
    assert_int_equal(silent.asked, 1);
}

#define PROBLEM(type) "{\"type\":\"urn:ietf:params:acme:error:" type "\",\"detail\":\"why so\"}"

static void test_nonces(void **state)
{
    (void)state;
    struct replaced bad[] = {
        { .url = "/order", .nth = 1, .status = 400, .body = PROBLEM("badNonce") },
        { .url = "/order",
          .nth = 2,
          .status = 400,
          .body = PROBLEM("badNonce"),
          .without_nonce = true }
    };
    struct replaced always[] = {
        { .url = "/order", .status = 400, .body = PROBLEM("badNonce") }
    };
    struct authority ca = { .replaced = bad, .replaced_count = 2 };
    struct authority never = { .replaced = always, .replaced_count = 1 };

    assert_int_equal(go(&ca, job_of("http-01")), ACME_DONE);
    assert_int_equal(ca.count[ACME_STEP_ORDER], 3);
    acme_end(run);
    assert_int_equal(go(&never, job_of("http-01")), ACME_FAILED);
    assert_int_equal(never.count[ACME_STEP_ORDER], ACME_NONCE_TRIES + 1);
    assert_string_equal(run->why, "order: status 400: badNonce: why so");
}

/* An account that is gone is made anew, once. */
static void test_account_is_gone(void **state)
{
    (void)state;
    struct replaced gone[] = {
        { .url = "/order", .nth = 1, .status = 400, .body = PROBLEM("accountDoesNotExist") }
    };
    struct replaced always[] = {
        { .url = "/order", .status = 400, .body = PROBLEM("accountDoesNotExist") }
    };
    struct authority ca = { .replaced = gone, .replaced_count = 1 };
    struct authority never = { .replaced = always, .replaced_count = 1 };

    (void)snprintf(account.url.text, sizeof(account.url.text), "https://ca.test/account/old");
    assert_int_equal(go(&ca, job_of("http-01")), ACME_DONE);
    assert_string_equal(account.url.text, "https://ca.test/account/1");
    acme_end(run);
    assert_int_equal(go(&never, job_of("http-01")), ACME_FAILED);
    assert_int_equal(never.count[ACME_STEP_ACCOUNT], 1);
}

/* Another directory's account is not told to this one. */
static void test_account_of_another(void **state)
{
    (void)state;
    struct authority ca = { .renewal_info = false };

    (void)snprintf(account.url.text, sizeof(account.url.text), "https://other.test/account/1");
    assert_int_equal(go(&ca, job_of("http-01")), ACME_DONE);
    assert_int_equal(ca.count[ACME_STEP_ACCOUNT], 1);
}

static void test_not_ready_at_once(void **state)
{
    (void)state;
    struct replaced early[] = {
        { .url = "/finalize", .nth = 1, .status = 403, .body = PROBLEM("orderNotReady") },
        { .url = "/order/1",
          .nth = 1,
          .status = 200,
          .body = "{\"status\":\"ready\",\"finalize\":"
                  "\"https://ca.test/finalize\",\"authorizations\":"
                  "[\"https://ca.test/authz/0\"]}" }
    };
    struct authority ca = { .replaced = early, .replaced_count = 2 };

    assert_int_equal(go(&ca, job_of("http-01")), ACME_DONE);
    assert_int_equal(ca.count[ACME_STEP_FINALIZE], 2);
}

static void test_replaced_by_others(void **state)
{
    (void)state;
    struct replaced taken[] = {
        { .url = "/order", .nth = 1, .status = 409, .body = PROBLEM("alreadyReplaced") }
    };
    struct authority ca = { .replaced = taken, .replaced_count = 1, .renewal_info = true };
    struct acme_dates dates = {
        .serial = { 1 }, .serial_len = 1, .key_id = { 2 }, .key_id_len = 1
    };
    struct acme_job job = job_of("http-01");

    job.held = &dates;
    assert_int_equal(go(&ca, job), ACME_DONE);
    assert_null(strstr(ca.last_order, "replaces"));
}

static void test_binding(void **state)
{
    (void)state;
    struct authority wants = { .binding = true };
    struct acme_job job = job_of("http-01");

    assert_int_equal(go(&wants, job), ACME_FAILED);
    assert_string_equal(run->why,
                        "directory: the authority wants a customer's key: set acme.eab");
    acme_end(run);
    job.eab_kid = SPAN("kid-1");
    job.eab_key = SPAN("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    assert_int_equal(go(&wants, job), ACME_DONE);
}

/* One row: what an answer is replaced by, and what is said of it. */
#define ORDER_OF(status, more)                                                                 \
    "{\"status\":\"" status "\",\"finalize\":\"https://ca.test/finalize\",\"authorizations\":" \
    "[\"https://ca.test/authz/0\"]" more "}"
#define AUTHZ(status, name, challenge)                                                         \
    "{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":\"" name            \
    "\"},\"challenges\":[" challenge "]}"
#define CHALLENGE(url, token)                                                                  \
    "{\"type\":\"http-01\",\"url\":\"" url "\",\"token\":\"" token "\"}"
#define GOOD_URL "https://ca.test/c"
#define GOOD_TOKEN "0123456789abcdef"
static const struct {
    struct replaced by;
    const char *why;
} refusals[] = {
    { { "/dir", 0, 0, NULL, NULL, NULL, false }, "directory: nobody is there" },
    { { "/dir", 0, 404, "no", NULL, NULL, false }, "directory: status 404" },
    { { "/dir", 0, 302, "", "https://ca.test/other", NULL, false }, "directory: status 302" },
    { { "/dir", 0, 200, "[]", NULL, NULL, false },
      "directory: the directory is no JSON object" },
    { { "/dir", 0, 200, "{}", NULL, NULL, false },
      "directory: the directory is not one of ACME" },
    { { "/dir", 0, 200,
        "{\"newNonce\":\"https://ca.test:444/n\",\"newAccount\":\"https://ca.test/a\","
        "\"newOrder\":\"https://ca.test/o\"}",
        NULL, NULL, false },
      "directory: the directory names another server" },
    { { "/nonce", 0, 200, "", NULL, NULL, true }, "account: the server gives no nonce" },
    { { "/nonce", 0, 503, "", NULL, "7", true }, "account: status 503" },
    { { "/account", 0, 201, "{}", NULL, NULL, false },
      "account: its Location is missing, or on another server" },
    { { "/account", 0, 201, "{}", "http://ca.test/1", NULL, false },
      "account: its Location is missing, or on another server" },
    { { "/account", 0, 403, PROBLEM("unauthorized"), NULL, NULL, false },
      "account: status 403: unauthorized: why so" },
    { { "/order", 0, 429, PROBLEM("rateLimited"), NULL, "60", false },
      "order: status 429: rateLimited: why so" },
    { { "/order", 0, 201, ORDER_OF("invalid", ""), "https://ca.test/order/1", NULL, false },
      "order: it is invalid at once" },
    { { "/order", 0, 201, "{\"status\":\"pending\"}", "https://ca.test/order/1", NULL, false },
      "order: the order is not whole" },
    { { "/order", 0, 201, ORDER_OF("pending", ",\"certificate\":\"https://x.test/\""),
        "https://ca.test/order/1", NULL, false },
      "order: the order names another server" },
    { { "/authz/0", 0, 200, AUTHZ("pending", "c.test", CHALLENGE(GOOD_URL, GOOD_TOKEN)), NULL,
        NULL, false },
      "authorization: it is for a name that was not asked for" },
    { { "/authz/0", 0, 200, AUTHZ("pending", "a.test", ""), NULL, NULL, false },
      "authorization: the authority does not offer this challenge (acme.challenge)" },
    { { "/authz/0", 0, 200, AUTHZ("pending", "a.test", CHALLENGE(GOOD_URL, "../../etc/passwd")),
        NULL, NULL, false },
      "authorization: the challenge's token is not one" },
    { { "/authz/0", 0, 200, AUTHZ("pending", "a.test", CHALLENGE(GOOD_URL, "short")), NULL,
        NULL, false },
      "authorization: the challenge's token is not one" },
    { { "/authz/0", 0, 200,
        AUTHZ("pending", "a.test", CHALLENGE("https://x.test/c", GOOD_TOKEN)), NULL, NULL,
        false },
      "authorization: the challenge names another server" },
    { { "/authz/0", 0, 200, AUTHZ("deactivated", "a.test", ""), NULL, NULL, false },
      "authorization: it is not open" },
    { { "/authz/0", 0, 200, "{\"status\":\"pending\"}", NULL, NULL, false },
      "authorization: the authorization is for no name" },
    { { "/chall/0", 0, 400, "x", NULL, NULL, false }, "challenge: status 400" },
    { { "/finalize", 0, 400, PROBLEM("badCSR"), NULL, NULL, false },
      "finalization: status 400: badCSR: why so" },
    { { "/finalize", 0, 200, ORDER_OF("invalid", ",\"error\":" PROBLEM("caa")), NULL, NULL,
        false },
      "finalization: the order has become invalid: caa: why so" },
    { { "/finalize", 0, 200, ORDER_OF("valid", ""), NULL, NULL, false },
      "finalization: the order is done, and has no certificate" },
    { { "/cert", 0, 200, "", NULL, NULL, false },
      "certificate: the answer is no chain of certificates" },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct authority ca = { .replaced = &refusals[i].by, .replaced_count = 1 };
        account.url.text[0] = '\0';
        if (go(&ca, job_of("http-01")) != ACME_FAILED)
            fail_msg("done, in place of: %s", refusals[i].why);
        assert_string_equal(run->why, refusals[i].why);
        uint64_t seconds = 0;
        const char *retry_after = refusals[i].by.retry_after;
        assert_true(retry_after == NULL || span_uint(span_text(retry_after), &seconds));
        assert_int_equal(run->retry_after_s, (int64_t)seconds);
        acme_end(run);
    }
    acme_begin(run, &(struct acme_job){ .directory = SPAN(TEST_DIRECTORY) });
}

static void test_validation_fails(void **state)
{
    (void)state;
    struct replaced invalid[] = {
        { .url = "/authz/0",
          .nth = 3,
          .status = 200,
          .body = AUTHZ("invalid", "a.test",
                        "{\"type\":\"http-01\",\"url\":\"https://ca.test/c\",\"token\":"
                        "\"0123456789abcdef\",\"error\":" PROBLEM("connection") "}") }
    };
    struct authority ca = { .replaced = invalid, .replaced_count = 1, .pending_polls = 50 };

    ca.count[ACME_STEP_VALIDATION] = 0;
    assert_int_equal(go(&ca, job_of("http-01")), ACME_FAILED);
    assert_string_equal(run->why, "validation: a.test was not proved: connection: why so");
}

/* Who never comes to an end is left. */
static void test_ends(void **state)
{
    (void)state;
    struct authority slow = { .pending_polls = 1000000 };
    struct authority slower = { .processing_polls = 1000000 };
    struct replaced ready[] = {
        { .url = "/finalize", .status = 200, .body = ORDER_OF("ready", "") },
        { .url = "/order/1", .status = 200, .body = ORDER_OF("ready", "") }
    };
    struct authority circle = { .replaced = ready, .replaced_count = 2 };

    assert_int_equal(go(&slow, job_of("http-01")), ACME_FAILED);
    assert_string_equal(run->why, "validation: it takes too long");
    assert_true(run->waited_ms <= ACME_WAIT_MOST_MS && slow.asked < 200);
    acme_end(run);
    assert_int_equal(go(&slower, job_of("http-01")), ACME_FAILED);
    assert_string_equal(run->why, "issuance: it takes too long");
    acme_end(run);
    assert_int_equal(go(&circle, job_of("http-01")), ACME_FAILED);
    assert_true(circle.asked <= ACME_ASKS_MAX);
}

/* As many authorizations as there may be, and one more. */
static void test_many_names(void **state)
{
    (void)state;
    static char body[16384];
    struct authority ca = { .replaced =
                                &(struct replaced){ .url = "/order",
                                                    .status = 201,
                                                    .body = body,
                                                    .location = "https://ca.test/order/1" },
                            .replaced_count = 1 };
    for (unsigned count = ACME_NAMES_MAX; count <= ACME_NAMES_MAX + 1; count++) {
        struct text text = text_fixed(body, sizeof(body) - 1);
        text_lit(&text, "{\"status\":\"pending\",\"finalize\":\"https://ca.test/finalize\","
                        "\"authorizations\":[");
        for (unsigned i = 0; i < count; i++)
            text_format(&text, "%s\"https://ca.test/authz/0\"", i > 0 ? "," : "");
        text_lit(&text, "]}");
        body[text.len] = '\0';
        enum acme_need need = go(&ca, job_of("http-01"));
        assert_int_equal(need, count == ACME_NAMES_MAX ? ACME_DONE : ACME_FAILED);
        if (need == ACME_FAILED)
            assert_string_equal(run->why, "order: the order has too many authorizations");
        acme_end(run);
    }
    acme_begin(run, &(struct acme_job){ .directory = SPAN(TEST_DIRECTORY) });
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, fresh, over)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_http_01),
        CASE(test_tls_alpn_01),
        CASE(test_account_is_kept),
        CASE(test_renewal_information),
        CASE(test_nonces),
        CASE(test_account_is_gone),
        CASE(test_account_of_another),
        CASE(test_not_ready_at_once),
        CASE(test_replaced_by_others),
        CASE(test_binding),
        CASE(test_refusals),
        CASE(test_validation_fails),
        CASE(test_ends),
        CASE(test_many_names),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
