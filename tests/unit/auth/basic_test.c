/* Basic authentication under the chain: who gets in, one answer for all others, and at load. */
#include "auth/basic.h"

#include "auth/lockout.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/hashpool.h"
#include "gateway/base/text.h"
#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

#define CHALLENGE "Basic realm=\"Staff\", charset=\"UTF-8\""
#define USERS "users: {ann: \"" HASH_2B "\", \"\\u00e9ve\": \"" HASH_YESCRYPT "\"}"
#define DEAR "$2b$12$l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"

static struct kit kit;

static void open_with(const char *yaml)
{
    kit_open(&kit, &basic_stage);
    if (!kit_configure(&kit, yaml, NULL))
        fail_msg("%s: %s", yaml, kit_complaint(&kit));
    kit_attach(&kit);
}

static void open_usual(void)
{
    open_with("{realm: Staff, pass: X-Remote-User, " USERS "}");
}

/* The Authorization field of these credentials. */
static const char *basic(struct span credentials)
{
    static char field[2048];
    memcpy(field, "Basic ", 6);
    sodium_bin2base64(field + 6, sizeof(field) - 6, (const unsigned char *)credentials.p,
                      credentials.len, sodium_base64_VARIANT_ORIGINAL);
    return field;
}

static struct verdict ask_with(const char *authorization)
{
    kit_begin(&kit);
    if (authorization != NULL)
        kit_field(&kit, "Authorization", authorization);
    return kit_run(&kit, PHASE_REQUEST_HEAD);
}

static unsigned resumes(void)
{
    return kit.txn.trail[kit.txn.trail_count - 1].resumes;
}

static void assert_challenged(struct verdict verdict, enum reason reason)
{
    assert_int_equal(verdict.action, ACTION_REPLY);
    assert_int_equal(verdict.reason, reason);
    assert_text(kit_reply_field(&verdict, "WWW-Authenticate"), CHALLENGE);
    assert_int_equal(verdict.reply->field_count, 1);
    assert_int_equal(verdict.reply->body.len, 0);
    assert_int_equal(kit.txn.facts.user.len, 0);
    assert_int_equal(kit.txn.facts.auth.len, 0);
}

static void asks_who_brings_nothing(void **state)
{
    (void)state;
    static const char *const rows[] = { NULL, "Bearer abc", "", "Basicx YTpi" };
    open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_challenged(ask_with(rows[i]), REASON_AUTH_REQUIRED);
    kit_close(&kit);
}

static void lets_in_who_is_right(void **state)
{
    (void)state;
    open_usual();
    struct verdict verdict = ask_with(basic(SPAN("ann:open sesame")));
    assert_int_equal(verdict.action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "ann");
    assert_text(kit.txn.facts.auth, "basic");
    assert_int_equal(resumes(), 1);
    assert_int_equal(ask_with(basic(SPAN("\xc3\xa9ve:open sesame"))).action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "\xc3\xa9ve");
    kit_close(&kit);
}

/* The scheme has no case, and any number of spaces follows it (RFC 9110 section 11.4). */
static void takes_any_spelling_of_the_scheme(void **state)
{
    (void)state;
    open_usual();
    char field[128];
    static const char *const schemes[] = { "bAsIc ", "BASIC   " };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        snprintf(field, sizeof(field), "%s%s", schemes[i], basic(SPAN("ann:open sesame")) + 6);
        assert_int_equal(ask_with(field).action, ACTION_PASS);
    }
    kit_close(&kit);
}

/* Wrong, unknown and malformed get one and the same answer, after the same work. */
static void refuses_all_others_alike(void **state)
{
    (void)state;
    static const struct span rows[] = {
        SPAN_INIT("ann:wrong"),          SPAN_INIT("ann:"),
        SPAN_INIT("nobody:open sesame"), SPAN_INIT("Ann:open sesame"),
        SPAN_INIT("ann:open sesame:"),
    };
    open_usual();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_challenged(ask_with(basic(rows[i])), REASON_AUTH_FAILED);
        assert_int_equal(resumes(), 1);
    }
    kit_close(&kit);
}

/* Whoever tries names must not tell from the time which of them exist: it is that of most
 * users, wherever the others stand. */
static void unknown_users_take_the_time_of_most(void **state)
{
    static const char *const orders[] = {
        "{realm: Staff, users: {a: \"" HASH_2B "\", b: \"" DEAR "\", c: \"" DEAR "\"}}",
        "{realm: Staff, users: {b: \"" DEAR "\", c: \"" DEAR "\", a: \"" HASH_2B "\"}}",
    };
    enum { DEAR_AT_LEAST_NS = 30 * 1000 * 1000 }; /* it takes some 200 ms, the other one 1 ms */

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        open_with(orders[i]);
        uint64_t before = clock_mono_ns();
        assert_challenged(ask_with(basic(SPAN("nobody:x"))), REASON_AUTH_FAILED);
        assert_true(clock_mono_ns() - before > DEAR_AT_LEAST_NS);
        kit_close(&kit);
    }
}

static void refuses_the_malformed(void **state)
{
    (void)state;
    open_usual();
    static const char *const raw[] = {
        "Basic",
        "Basic !!!!",
        "Basic YW5uOm9wZW4gc2VzYW1l=",
        "Basic YW5uOm9wZW4gc2VzYW1",
        "Basic  ",
        "Basic YW5u OnBhc3M=",
        "Basic YW5uOnBhc3M=x",
    };
    for (size_t i = 0; i < ARRAY_LEN(raw); i++) {
        assert_challenged(ask_with(raw[i]), REASON_AUTH_FAILED);
        assert_int_equal(resumes(), 0);
    }
    static const struct span decoded[] = {
        SPAN_INIT("ann"),
        SPAN_INIT(":open sesame"),
        SPAN_INIT("ann:open\nsesame"),
        SPAN_INIT("ann:open sesame\0x"),
        SPAN_INIT("a\x7fnn:open sesame"),
    };
    for (size_t i = 0; i < ARRAY_LEN(decoded); i++) {
        assert_challenged(ask_with(basic(decoded[i])), REASON_AUTH_FAILED);
        assert_int_equal(resumes(), 0);
    }
    kit_close(&kit);
}

static void two_fields_are_no_credentials(void **state)
{
    (void)state;
    open_usual();
    kit_begin(&kit);
    const char *good = basic(SPAN("ann:open sesame"));
    kit_field(&kit, "Authorization", good);
    kit_field(&kit, "Authorization", "Basic YTpi");
    assert_challenged(kit_run(&kit, PHASE_REQUEST_HEAD), REASON_AUTH_FAILED);
    kit_close(&kit);
}

static void bounds_the_credentials(void **state)
{
    (void)state;
    open_usual();
    char bytes[1024];
    memset(bytes, 'a', sizeof(bytes));
    memcpy(bytes, "ann:", 4);
    assert_challenged(ask_with(basic(span_of(bytes, 4 + PASSWORD_BYTES_MAX))),
                      REASON_AUTH_FAILED);
    assert_int_equal(resumes(), 1);
    assert_challenged(ask_with(basic(span_of(bytes, 4 + PASSWORD_BYTES_MAX + 1))),
                      REASON_AUTH_FAILED);
    assert_int_equal(resumes(), 0);
    assert_challenged(ask_with(basic(span_of(bytes, sizeof(bytes)))), REASON_AUTH_FAILED);
    kit_close(&kit);
}

static void what_was_right_is_remembered(void **state)
{
    (void)state;
    open_usual();
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_int_equal(resumes(), 1);
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_int_equal(resumes(), 0);
    assert_text(kit.txn.facts.user, "ann");
    /* and nothing but that */
    assert_challenged(ask_with(basic(SPAN("ann:open sesamf"))), REASON_AUTH_FAILED);
    assert_challenged(ask_with(basic(SPAN("\xc3\xa9ve:wrong"))), REASON_AUTH_FAILED);
    assert_challenged(ask_with(basic(SPAN("ann:wrong"))), REASON_AUTH_FAILED);
    assert_challenged(ask_with(basic(SPAN("ann:wrong"))), REASON_AUTH_FAILED);
    assert_int_equal(resumes(), 1); /* a wrong one is hashed each time */
    kit_close(&kit);
}

/* ---- what upstream sees -------------------------------------------------------------------
 */

static struct span upstream_sees(const char *name)
{
    assert_int_equal(edits_apply(&kit.txn, EDIT_REQUEST, &kit.req.fields), OK);
    const struct field *field = fields_find(&kit.req.fields, span_text(name));
    return field != NULL ? field->value : SPAN("(none)");
}

static void upstream_sees_the_name_and_not_the_password(void **state)
{
    (void)state;
    open_usual();
    kit_begin(&kit);
    kit_field(&kit, "Authorization", basic(SPAN("ann:open sesame")));
    kit_field(&kit, "x_remote.user", "admin");
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    assert_text(upstream_sees("X-Remote-User"), "ann");
    assert_text(upstream_sees("Authorization"), "(none)");
    assert_text(upstream_sees("x_remote.user"), "(none)");
    kit_close(&kit);

    open_with("{forward_credentials: true, " USERS "}");
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_span(upstream_sees("Authorization"), span_text(basic(SPAN("ann:open sesame"))));
    kit_close(&kit);
}

/* In detect mode everybody passes; but nobody as somebody. */
static void detect_lets_nobody_pass_as_somebody(void **state)
{
    (void)state;
    open_with("{mode: detect, realm: Staff, pass: X-Remote-User, " USERS "}");
    static const char *const rows[] = { NULL, "Basic YW5uOndyb25n", "Basic !", "Bearer x" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_begin(&kit);
        if (rows[i] != NULL)
            kit_field(&kit, "Authorization", rows[i]);
        kit_field(&kit, "X-Remote-User", "admin");
        kit_field(&kit, "X_Remote_User", "admin");
        assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
        assert_true(kit.txn.detected);
        assert_int_equal(kit.txn.facts.user.len, 0);
        assert_text(upstream_sees("X-Remote-User"), "(none)");
        assert_text(upstream_sees("X_Remote_User"), "(none)");
    }
    kit_close(&kit);
}

/* ---- in a worker --------------------------------------------------------------------------
 */

static void never(struct txn *txn, struct verdict verdict)
{
    (void)txn;
    (void)verdict;
    fail_msg("an aborted transaction was answered");
}

static void sign_in_from(const char *address)
{
    kit_begin(&kit); /* aborts the one before */
    kit_client(&kit, address);
    kit_field(&kit, "Authorization", basic(SPAN("ann:wrong")));
    chain_start(&kit.txn, PHASE_REQUEST_HEAD, SPAN(""), never);
    assert_true(kit.txn.run.waiting);
}

static void assert_busy(const char *address)
{
    kit_begin(&kit);
    kit_client(&kit, address);
    kit_field(&kit, "Authorization", basic(SPAN("ann:wrong")));
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_AUTH_BUSY);
    assert_text(kit_reply_field(&verdict, "Retry-After"), "1");
}

/* The loop does not turn, so no job is given back: who has its share is told to come back, and
 * in the end everybody is. */
static void a_full_queue_is_busy(void **state)
{
    static const char *const clients[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4" };

    (void)state;
    _Static_assert(ARRAY_LEN(clients) * HASHPOOL_SHARE == HASHPOOL_JOBS, "all of it");
    open_with("{realm: Staff, users: {ann: \"" DEAR "\"}}");
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        for (unsigned n = 0; n < HASHPOOL_SHARE; n++)
            sign_in_from(clients[i]);
        assert_busy(clients[i]);
    }
    assert_busy("192.0.2.5");
    kit_close(&kit);
}

static void stages_of_a_worker_share_a_pool(void **state)
{
    (void)state;
    kit_open(&kit, &basic_stage);
    assert_true(kit_configure(&kit, "{" USERS "}", NULL));
    struct stage_instance two[3] = { kit.instance, kit.instance, kit.instance };
    assert_true(kit_configure(&kit, "{}", NULL)); /* idle: it needs none */
    two[2].conf = kit.instance.conf;
    for (unsigned i = 0; i < 3; i++)
        two[i].local = i;
    kit.config.instances = two;
    kit.config.instance_count = 3;
    kit_attach(&kit);
    void *shared[3];
    for (unsigned i = 0; i < 3; i++)
        memcpy(&shared[i], kit.worker.locals[i], sizeof(shared[i]));
    assert_non_null(shared[0]);
    assert_ptr_equal(shared[0], shared[1]);
    assert_null(shared[2]);
    kit_close(&kit); /* the sanitizer sees what is left, and what is freed twice */
}

/* ---- at load ------------------------------------------------------------------------------
 */

static const char *with_file(const char *text)
{
    static char yaml[256];
    static char path[] = "/tmp/basic-test-XXXXXX";
    memcpy(path, "/tmp/basic-test-XXXXXX", sizeof(path));
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(yaml, sizeof(yaml), "{realm: Staff, file: %s, users: {ann: \"%s\"}}", path,
             HASH_2B);
    return yaml;
}

static void remove_file(const char *yaml)
{
    char path[64];
    const char *at = strstr(yaml, "/tmp/");
    assert_non_null(at);
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
    assert_int_equal(unlink(path), 0);
}

static void reads_a_file_of_users(void **state)
{
    (void)state;
    const char *yaml = with_file("# staff\nbob:" HASH_SHA512 "\r\neve:" HASH_ARGON2ID "\n");
    open_with(yaml);
    remove_file(yaml);
    assert_int_equal(ask_with(basic(SPAN("bob:open sesame"))).action, ACTION_PASS);
    assert_int_equal(ask_with(basic(SPAN("eve:open sesame"))).action, ACTION_PASS);
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_challenged(ask_with(basic(SPAN("bob:wrong"))), REASON_AUTH_FAILED);
    kit_close(&kit);
}

/* Guesses cost a hash each; so they are refused before it, and whoever has proved it here goes
 * on, from the cache and, when that has forgotten, beside the guesses. */
static void slows_who_guesses(void **state)
{
    (void)state;
    open_usual();
    assert_true(addr_parse(SPAN("192.0.2.1"), &kit.txn.client));
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++)
        assert_challenged(ask_with(basic(SPAN("nobody:x"))), REASON_AUTH_FAILED);
    struct verdict verdict = ask_with(basic(SPAN("nobody:x")));
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_AUTH_LOCKED);
    assert_text(kit_reply_field(&verdict, "Retry-After"), "1");
    assert_int_equal(resumes(), 0);
    /* Somebody who exists is slowed alike. */
    for (unsigned i = 0; i < LOCKOUT_PAIR_FREE; i++)
        assert_challenged(ask_with(basic(SPAN("ann:x"))), REASON_AUTH_FAILED);
    assert_int_equal(ask_with(basic(SPAN("ann:x"))).reason, REASON_AUTH_LOCKED);
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).reason, REASON_AUTH_LOCKED);
    kit.worker.loop.clock.wall_us += UINT64_C(1000000) * LOCKOUT_PAUSE_MAX_S;
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_int_equal(ask_with(basic(SPAN("ann:open sesame"))).action, ACTION_PASS);
    assert_int_equal(resumes(), 0);
    kit_close(&kit);
}

static void complains_of_bad_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        { "bob:$apr1$a$b\n", ":1: this $apr1$ hash is malformed" },
        { "bob:$1$a$b\n", ":1: $1$ is MD5" },
        { "bob\n", ":1: not a line" },
        { "bob:" HASH_2B "\nbob:" HASH_2B "\n", ":2: the user stands twice" },
        { "bob:" HASH_2B "\n\nann:" HASH_2B "\n", ":3: the user stands twice" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &basic_stage);
        const char *yaml = with_file(rows[i].text);
        assert_false(kit_configure(&kit, yaml, NULL));
        remove_file(yaml);
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].text, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void complains_of_what_cannot_be(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "{users: {ann: secret}}", "no password hash" },
        { "{users: {\"a:b\": \"" HASH_2B "\"}}", "the name" },
        { "{realm: \"a\\\"b\", " USERS "}", "realm" },
        { "{pass: Host, " USERS "}", "pass" },
        { "{pass: x_forwarded_for, " USERS "}", "pass" },
        { "{pass: \"a b\", " USERS "}", "pass" },
        { "{file: /nonexistent/users}", "cannot be read" },
        { "{file: /dev/null}", "cannot be read" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        kit_open(&kit, &basic_stage);
        assert_false(kit_configure(&kit, rows[i].yaml, NULL));
        if (strstr(kit_complaint(&kit), rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].yaml, kit_complaint(&kit));
        kit_close(&kit);
    }
}

static void nothing_configured_is_idle(void **state)
{
    (void)state;
    kit_open(&kit, &basic_stage);
    assert_true(kit_configure(&kit, "{realm: Staff}", NULL));
    assert_true(basic_stage.idle(kit.instance.conf));
    assert_true(kit_configure(&kit, "{" USERS "}", NULL));
    assert_false(basic_stage.idle(kit.instance.conf));
    kit_close(&kit);
}

int main(void)
{
    if (password_init() != OK)
        return 1;
    return RUN(TEST(asks_who_brings_nothing), TEST(lets_in_who_is_right),
               TEST(takes_any_spelling_of_the_scheme), TEST(refuses_all_others_alike),
               TEST(unknown_users_take_the_time_of_most), TEST(refuses_the_malformed),
               TEST(two_fields_are_no_credentials), TEST(bounds_the_credentials),
               TEST(what_was_right_is_remembered),
               TEST(upstream_sees_the_name_and_not_the_password),
               TEST(detect_lets_nobody_pass_as_somebody), TEST(a_full_queue_is_busy),
               TEST(stages_of_a_worker_share_a_pool), TEST(reads_a_file_of_users),
               TEST(slows_who_guesses), TEST(complains_of_bad_files),
               TEST(complains_of_what_cannot_be), TEST(nothing_configured_is_idle));
}
