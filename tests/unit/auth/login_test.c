/* The gate and the pages of `login` under the chain: who is let through, what is shown. */
#include "auth/login.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "auth/login_stage.h"
#include "auth/userdb.h"
#include "tests/unit/auth/hashes.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static char path[64], yaml[256], session[256], signin[256];
static struct user_entry users[2];

static void publish(uint64_t epoch)
{
    struct span block;
    static const char hash[] = HASH_ARGON2ID;
    memset(users, 0, sizeof(users));
    memcpy(users[0].name, "ann", 4);
    memcpy(users[0].groups, "staff", 6);
    memcpy(users[1].name, "olga", 5);
    memcpy(users[1].groups, "staff,ops", 10);
    for (size_t i = 0; i < 2; i++) {
        users[i].epoch = epoch;
        memcpy(users[i].hash, hash, sizeof(hash));
    }
    assert_int_equal(users_build(users, 2, &kit.config_arena, &block), OK);
    snapshot_initial(&kit.snapshots, user_file_id(&kit.config, 0), block);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/sallyport-login-%d.db", (int)getpid());
    kit_open(&kit, &login_stage);
    session[0] = signin[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

static void configure(const char *more)
{
    snprintf(yaml, sizeof(yaml), "{users: %s%s}", path, more);
    assert_true(kit_configure(&kit, yaml, NULL));
    publish(7);
    kit_attach(&kit);
}

static void begin(const char *path_asked, bool page)
{
    kit_begin(&kit);
    kit.req.path = kit.req.path_wire = span_text(path_asked);
    if (page)
        kit_field(&kit, "Accept", "text/html");
    if (session[0] != '\0')
        kit_field(&kit, "Cookie", session);
    if (signin[0] != '\0')
        kit_field(&kit, "Cookie", signin);
}

static void keep(const struct verdict *verdict)
{
    for (unsigned i = 0; i < verdict->reply->field_count; i++) {
        struct span value = verdict->reply->fields[i].value, pair;
        if (!span_equal(verdict->reply->fields[i].name, SPAN("Set-Cookie")))
            continue;
        assert_true(span_cut(&value, ';', &pair));
        if (span_starts(pair, SPAN(SESSION_COOKIE "=")))
            snprintf(session, sizeof(session), "%.*s", (int)pair.len, pair.p);
        if (span_starts(pair, SPAN(SIGNIN_COOKIE "=")))
            snprintf(signin, sizeof(signin), "%.*s", (int)pair.len, pair.p);
    }
}

/* A field of the form that a reply shows. */
static struct span hidden(const struct reply *reply, const char *name)
{
    static char copies[2][TICKET_TEXT_BYTES + 1];
    static unsigned next;
    char label[64];
    snprintf(label, sizeof(label), "name=\"%s\" value=\"", name);
    ssize_t at = span_find(reply->body, span_text(label));
    assert_true(at >= 0);
    struct span rest = span_sub(reply->body, (size_t)at + strlen(label), TICKET_TEXT_BYTES),
                value;
    assert_true(span_cut(&rest, '"', &value));
    char *copy = copies[next++ % 2];
    memcpy(copy, value.p, value.len);
    copy[value.len] = '\0';
    return span_of(copy, value.len);
}

/* To the form and back with it. */
static struct verdict sign_in(const char *user, const char *password)
{
    static char form_path[256], body[512];
    begin("/boards", true);
    struct verdict verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.action, ACTION_REPLY);
    assert_int_equal(verdict.reply->status, 302);
    keep(&verdict);
    struct span where = kit_reply_field(&verdict, "Location");
    assert_true(span_starts(where, SPAN(LOGIN_FLOW)));
    snprintf(form_path, sizeof(form_path), "%.*s", (int)where.len, where.p);

    begin(LOGIN_PAGE, true);
    kit.req.has_query = true;
    kit.req.query = span_text(strchr(form_path, '?') + 1);
    verdict = kit_run(&kit, PHASE_PAGE);
    assert_int_equal(verdict.reason, REASON_PAGE);
    struct span flow = hidden(verdict.reply, "flow"), token = hidden(verdict.reply, "token");
    snprintf(body, sizeof(body), "flow=%s&token=%s&user=%s&password=%s", flow.p, token.p, user,
             password);

    begin(LOGIN_PAGE, true);
    kit.req.method = SPAN("POST");
    kit.req.method_id = METHOD_POST;
    kit_field(&kit, "Content-Type", "application/x-www-form-urlencoded");
    kit.body = span_text(body);
    return kit_run(&kit, PHASE_PAGE);
}

static void who_signs_in_is_let_through(void **state)
{
    (void)state;
    configure(", pass: X-User");
    struct verdict verdict = sign_in("ann", "open+sesame");
    assert_int_equal(verdict.reason, REASON_SIGNED_IN);
    assert_text(kit_reply_field(&verdict, "Location"), "/boards");
    keep(&verdict);
    begin("/", true);
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
    assert_text(kit.txn.facts.user, "ann");
    assert_text(kit.txn.facts.auth, "login");
    assert_true(identity_in_group(kit.txn.facts.identity, SPAN("staff")));
    assert_false(kit.txn.facts.identity->mfa);
    assert_true(kit.txn.facts.identity->proved_s + 60 > (uint64_t)time(NULL));
    publish(8); /* something of the account was changed */
    begin("/", true);
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_REPLY);
}

static void who_does_not_is_not(void **state)
{
    (void)state;
    configure("");
    struct verdict verdict = sign_in("ann", "wrong");
    assert_int_equal(verdict.reason, REASON_AUTH_FAILED);
    assert_int_equal(verdict.reply->status, 401);
    keep(&verdict);
    assert_string_equal(session, "");
    verdict = sign_in("nobody", "open+sesame");
    assert_int_equal(verdict.reason, REASON_AUTH_FAILED);
    begin("/", false); /* a program */
    verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.reply->status, 0);
    assert_int_equal(verdict.reason, REASON_AUTH_REQUIRED);
    begin("/", true);
    kit.req.method_id = METHOD_POST;
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).reply->status, 0);
}

static void users_that_are_not_known_yet_are_no_users(void **state)
{
    (void)state;
    configure("");
    struct verdict verdict = sign_in("ann", "open+sesame");
    keep(&verdict);
    snapshot_initial(&kit.snapshots, user_file_id(&kit.config, 0), span_of(NULL, 0));
    begin("/", true);
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_DENY); /* fails, 503 */
    session[0] = '\0';
    assert_int_equal(sign_in("ann", "open+sesame").reason, REASON_AUTH_BUSY);
}

static void the_refused_are_told_who_they_are(void **state)
{
    (void)state;
    configure(", groups: [ops, \"a<b\"]");
    struct verdict verdict = sign_in("ann", "open+sesame");
    keep(&verdict);
    begin("/", true);
    verdict = kit_run(&kit, PHASE_REQUEST_HEAD);
    assert_int_equal(verdict.action, ACTION_DENY);
    assert_int_equal(verdict.reason, REASON_AUTH_REFUSED);
    assert_true(span_find(verdict.reply->body,
                          SPAN("<strong>ann</strong>, but not in <strong>ops</strong> or "
                               "<strong>a&lt;b</strong>")) > 0);
    assert_true(span_find(verdict.reply->body, SPAN("action=\"" LOGIN_OUT "\"")) > 0);
    session[0] = signin[0] = '\0';
    verdict = sign_in("olga", "open+sesame");
    keep(&verdict);
    begin("/", true);
    assert_int_equal(kit_run(&kit, PHASE_REQUEST_HEAD).action, ACTION_PASS);
}

static void pages_escape_what_is_not_theirs(void **state)
{
    (void)state;
    char buffer[128];
    struct text out = text_fixed(buffer, sizeof(buffer));
    page_escape(&out, SPAN("<a href=\"x\" onclick='y'>&amp;"));
    assert_text(text_span(&out), "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;amp;");
    configure(", brand: \"<b>&\"");
    struct verdict verdict = sign_in("<script>", "x");
    assert_true(span_find(verdict.reply->body, SPAN("<script")) < 0);
    assert_true(span_find(verdict.reply->body, SPAN("&lt;b&gt;&amp;")) > 0);
}

static void the_policy_names_the_style_it_is_sent_with(void **state)
{
    (void)state;
    char style[64], more[128];
    snprintf(style, sizeof(style), "/tmp/sallyport-style-%d.css", (int)getpid());
    FILE *file = fopen(style, "w");
    assert_non_null(file);
    assert_true(fputs(":root{--accent:#8a1c4a}", file) >= 0);
    assert_int_equal(fclose(file), 0);
    snprintf(more, sizeof(more), ", style: %s", style);
    configure(more);
    assert_int_equal(unlink(style), 0);
    struct verdict verdict = sign_in("ann", "wrong");
    struct span body = verdict.reply->body;
    size_t from = (size_t)span_find(body, SPAN("<style>")) + 7,
           to = (size_t)span_find(body, SPAN("</style>"));
    uint8_t hash[32];
    char base64[64], expected[96];
    assert_true(span_ends(span_sub(body, from, to - from), SPAN(":root{--accent:#8a1c4a}")));
    crypto_hash_sha256(hash, (const uint8_t *)body.p + from, to - from);
    sodium_bin2base64(base64, sizeof(base64), hash, sizeof(hash),
                      sodium_base64_VARIANT_ORIGINAL);
    snprintf(expected, sizeof(expected), "'sha256-%s'", base64);
    assert_true(span_find(kit_reply_field(&verdict, "Content-Security-Policy"),
                          span_text(expected)) > 0);
}

static void bad_configuration_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{users: /tmp, totp: off}",
        "{users: /nowhere.db, pass: Host}",
        "{users: /nowhere.db, style: /nowhere.css}",
        "{users: /nowhere.db, session: {idle: 1s}}",
        "{users: /nowhere.db, totp: maybe}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (kit_configure(&kit, bad[i], NULL))
            fail_msg("%s", bad[i]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(who_signs_in_is_let_through),
        CASE(who_does_not_is_not),
        CASE(users_that_are_not_known_yet_are_no_users),
        CASE(the_refused_are_told_who_they_are),
        CASE(pages_escape_what_is_not_theirs),
        CASE(the_policy_names_the_style_it_is_sent_with),
        CASE(bad_configuration_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
