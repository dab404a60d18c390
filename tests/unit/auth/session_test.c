/* Sessions and sign-ins as a stage uses them, and what tricks with cookies come to. */
#include "auth/session.h"

#include <stdio.h>

#include "auth/identity.h"
#include "tests/unit/check.h"
#include "tests/unit/stage_kit.h"

static struct kit kit;
static struct sessions *sessions;
static struct call call;
static struct session_conf conf = { .idle = { 60000 }, .max = { 600000 } };
static char cookie[256], browser[256];

static void begin(void)
{
    kit_begin(&kit);
    call = (struct call){ .txn = &kit.txn, .worker = &kit.worker, .req = &kit.req };
}

static int set_up(void **state)
{
    (void)state;
    kit_open(&kit, &identity_stage);
    kit.worker.loop.clock.wall_us = UINT64_C(1800000000) * 1000000;
    sessions = sessions_open(&kit.setup, &conf);
    cookie[0] = browser[0] = '\0';
    begin();
    return sessions != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    kit_close(&kit);
    return 0;
}

/* The cookie of a reply, as a browser would send it back. */
static void keep(const struct reply *reply, const char *name, char out[256])
{
    for (unsigned i = 0; i < reply->field_count; i++) {
        struct span value = reply->fields[i].value, pair;
        assert_true(span_equal(reply->fields[i].name, SPAN("Set-Cookie")));
        assert_true(span_find(value, SPAN("; Path=/; Secure; HttpOnly; SameSite=Lax")) > 0);
        assert_true(span_find(value, SPAN("Domain")) < 0);
        assert_true(span_cut(&value, ';', &pair));
        if (span_starts(pair, span_text(name)) && pair.p[strlen(name)] == '=')
            snprintf(out, 256, "%.*s", (int)pair.len, pair.p);
    }
}

static void sign_in(const char *user)
{
    struct span groups[] = { SPAN_INIT("ops"), SPAN_INIT("staff") };
    struct claim claims[] = { { SPAN_INIT("plan"), SPAN_INIT("gold") } };
    struct identity identity = { .user = span_text(user),
                                 .groups = groups,
                                 .group_count = 2,
                                 .claims = claims,
                                 .claim_count = 1,
                                 .proved_s = 1800000000,
                                 .mfa = true };
    struct session_content content = { .identity = &identity,
                                       .via = SPAN("login"),
                                       .realm = SPAN("users.db"),
                                       .subject = SPAN("s-1"),
                                       .sid = SPAN("sid-1"),
                                       .epoch = 7,
                                       .extra = SPAN("kept") };
    struct reply *reply = reply_new(&kit.txn, 303);
    assert_true(session_begin(&call, sessions, &conf, &content, reply));
    keep(reply, SESSION_COOKIE, cookie);
}

static const struct session *come(const char *cookies)
{
    begin();
    if (cookies != NULL)
        kit_field(&kit, "Cookie", cookies);
    return session_find(&call, sessions, SPAN("login"), SPAN("users.db"));
}

static void a_session_says_who_it_is(void **state)
{
    (void)state;
    sign_in("ann");
    const struct session *session = come(cookie);
    assert_non_null(session);
    const struct identity *identity = session->content.identity;
    assert_true(span_equal(identity->user, SPAN("ann")));
    assert_true(identity_in_group(identity, SPAN("ops")));
    assert_true(identity_in_group(identity, SPAN("staff")));
    assert_true(span_equal(identity_claim(identity, SPAN("plan"), NULL)->value, SPAN("gold")));
    assert_true(identity->mfa && identity->proved_s == 1800000000);
    assert_int_equal(session->content.epoch, 7);
    assert_true(span_equal(session->content.extra, SPAN("kept")));
    assert_int_equal(session->until_s, 1800000600);
}

static void it_counts_for_its_stage_realm_and_site_only(void **state)
{
    (void)state;
    sign_in("ann");
    assert_non_null(come(cookie));
    assert_null(session_find(&call, sessions, SPAN("oidc"), SPAN("users.db")));
    assert_null(session_find(&call, sessions, SPAN("login"), SPAN("other.db")));
    kit.site.name = "bank";
    assert_null(come(cookie));
    kit.site.name = "shop";
    assert_non_null(come(cookie));
}

static void it_ends_in_time(void **state)
{
    (void)state;
    sign_in("ann");
    for (unsigned i = 0; i < 11; i++) {
        kit.worker.loop.clock.wall_us += UINT64_C(50) * 1000000;
        assert_non_null(come(cookie));
    }
    kit.worker.loop.clock.wall_us += UINT64_C(50) * 1000000; /* ten minutes */
    assert_null(come(cookie));
    sign_in("ann");
    kit.worker.loop.clock.wall_us += UINT64_C(61) * 1000000; /* unused */
    assert_null(come(cookie));
}

static void an_id_does_not_survive_a_sign_in(void **state)
{
    (void)state;
    char first[256];
    sign_in("ann");
    snprintf(first, sizeof(first), "%s", cookie);
    assert_non_null(come(first));
    sign_in("bob"); /* with the first one's cookie in the request */
    assert_string_not_equal(first, cookie);
    assert_null(come(first));
    assert_true(span_equal(come(cookie)->content.identity->user, SPAN("bob")));
}

/* Fixation: an id that somebody else chose is nobody's, and does not become anybody's. */
static void a_chosen_id_is_worth_nothing(void **state)
{
    (void)state;
    char chosen[256] = SESSION_COOKIE "=";
    for (size_t i = strlen(chosen), n = 0; n < TICKET_TEXT_BYTES; n++)
        chosen[i + n] = 'A';
    assert_null(come(chosen));
    sign_in("ann");
    assert_string_not_equal(chosen, cookie);
    assert_null(come(chosen));
}

static void tricks_with_cookies_find_nothing(void **state)
{
    (void)state;
    sign_in("ann");
    char line[1024];
    const char *value = strchr(cookie, '=') + 1;
    static const char *const tricks[] = {
        "%s=%s; %s=%s",              /* two: which one? */
        "%s=x; %s=%s",               /* two, one of them no ticket */
        "a=\"; %s=x; b=\"; %s=%s",   /* two, one in quotes that some readers honour */
        "\xe2\x80\x80%s=%s",         /* a space that some readers trim */
        "$Version=1; %s=\"%s\"",     /* RFC 2965's quotes */
        "__host-sallyport=%.0s%s",   /* other letters */
        "__Secure-sallyport=%.0s%s", /* another prefix */
        "sallyport=%.0s%s",          /* none */
        "=%s=%s",                    /* no name */
        "%s%%20=%s",                 /* encoded */
        "%s =%s.",                   /* a byte too many */
        "%s=%s%%",
        "%s==%s",
    };
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(line, sizeof(line), tricks[i], SESSION_COOKIE,
                 i == 1 || i == 2 ? SESSION_COOKIE : value,
                 i == 1 || i == 2 ? value : SESSION_COOKIE, value);
#pragma GCC diagnostic pop
        if (come(line) != NULL)
            fail_msg("found by: %s", line);
    }
    /* In two lines of the field, too. */
    begin();
    kit_field(&kit, "Cookie", cookie);
    kit_field(&kit, "Cookie", cookie);
    assert_null(session_find(&call, sessions, SPAN("login"), SPAN("users.db")));
    snprintf(line, sizeof(line), "a=1; %s; b=2", cookie);
    assert_non_null(come(line));
}

static void too_many_cookies_are_none(void **state)
{
    (void)state;
    char buffer[2048];
    struct text line = text_fixed(buffer, sizeof(buffer));
    sign_in("ann");
    for (unsigned i = 0; i < SESSION_COOKIES_MAX - 1; i++)
        text_lit(&line, "a=1; ");
    text_add(&line, span_text(cookie));
    assert_non_null(come(text_cstring(&line)));
    text_lit(&line, "; a=1");
    assert_null(come(text_cstring(&line)));
}

static void ends_reach_every_session(void **state)
{
    (void)state;
    struct reply *reply = reply_new(&kit.txn, 303);
    sign_in("ann");
    assert_non_null(come(cookie));
    reply = reply_new(&kit.txn, 303);
    assert_true(session_end(&call, sessions, reply));
    assert_true(span_find(reply->fields[0].value, SPAN("Max-Age=0")) > 0);
    assert_null(come(cookie));

    begin();
    sign_in("ann");
    assert_int_equal(sessions_end_user(sessions, SPAN("bob"), 1800000000), 0);
    assert_int_equal(sessions_end_user(sessions, SPAN("ann"), 1800000000), 1);
    assert_null(come(cookie));
    sign_in("ann");
    assert_int_equal(sessions_end_sid(&call, sessions, SPAN("users.d"), SPAN("bsid-1")), 0);
    assert_int_equal(sessions_end_sid(&call, sessions, SPAN("users.db"), SPAN("sid-1")), 1);
    assert_null(come(cookie));
    sign_in("ann");
    assert_int_equal(sessions_end_subject(&call, sessions, SPAN("users.db"), SPAN("")), 0);
    assert_int_equal(sessions_end_subject(&call, sessions, SPAN("users.db"), SPAN("s-1")), 1);
    assert_null(come(cookie));
}

static enum err noted;
static struct verdict note_error(struct call *c)
{
    noted = c->error;
    return pass();
}

static void content_is_renewed_under_the_same_id(void **state)
{
    (void)state;
    sign_in("ann");
    const struct session *session = come(cookie);
    struct session_content content = session->content;
    content.extra = SPAN("newer");
    (void)session_lock(&call, sessions, session, note_error);
    assert_int_equal(noted, OK);
    (void)session_lock(&call, sessions, session, note_error);
    assert_int_equal(noted, ERR_BUSY);
    assert_true(session_renew(&call, sessions, session, &content));
    session = come(cookie);
    assert_true(span_equal(session->content.extra, SPAN("newer")));
    assert_int_equal(session->until_s, 1800000600);
    (void)sessions_end_user(sessions, SPAN("ann"), 1800000000);
    assert_false(session_renew(&call, sessions, session, &content));
    assert_null(come(cookie));
}

/* ---- sign-ins ---- */

static struct span start(const char *step, const char *target)
{
    struct span handle = SPAN("");
    struct signin signin = { .step = span_text(step),
                             .target = span_text(target),
                             .extra = SPAN("nonce") };
    struct reply *reply = reply_new(&kit.txn, 302);
    assert_true(signin_begin(&call, sessions, &signin, reply, &handle));
    if (reply->field_count > 0)
        keep(reply, SIGNIN_COOKIE, browser);
    char *copy = test_malloc(handle.len);
    memcpy(copy, handle.p, handle.len);
    return span_of(copy, handle.len);
}

static void return_to_browser(const char *cookies)
{
    begin();
    kit_field(&kit, "Cookie", cookies);
}

static void a_sign_in_is_its_browsers_and_good_once(void **state)
{
    (void)state;
    struct signin found;
    struct span handle = start("login", "/a?b=c");
    begin(); /* no cookie: the state was carried to another browser */
    assert_false(signin_find(&call, sessions, SPAN("login"), handle, &found));
    assert_false(signin_browser_known(&call));

    char mine[256];
    snprintf(mine, sizeof(mine), "%s", browser);
    begin();
    struct span theirs = start("login", "/evil"); /* another browser's */
    assert_string_not_equal(mine, browser);
    return_to_browser(mine);
    assert_true(signin_browser_known(&call));
    assert_false(signin_take(&call, sessions, SPAN("login"), theirs, &found));
    assert_false(signin_take(&call, sessions, SPAN("second"), handle, &found));
    assert_true(signin_find(&call, sessions, SPAN("login"), handle, &found));
    assert_true(span_equal(found.target, SPAN("/a?b=c")));
    assert_true(span_equal(found.extra, SPAN("nonce")));
    assert_true(signin_take(&call, sessions, SPAN("login"), handle, &found));
    assert_false(signin_take(&call, sessions, SPAN("login"), handle, &found));
    test_free((void *)(uintptr_t)handle.p);
    test_free((void *)(uintptr_t)theirs.p);
}

static void several_tabs_and_a_limit_in_time(void **state)
{
    (void)state;
    struct signin found;
    struct span one = start("login", "/one");
    return_to_browser(browser);
    struct span two = start("login", "/two"); /* the same browser: no new cookie */
    assert_true(signin_find(&call, sessions, SPAN("login"), one, &found));
    assert_true(span_equal(found.target, SPAN("/one")));
    assert_true(signin_find(&call, sessions, SPAN("login"), two, &found));
    kit.worker.loop.clock.wall_us += UINT64_C(1000000) * SIGNIN_S;
    return_to_browser(browser);
    assert_false(signin_find(&call, sessions, SPAN("login"), one, &found));
    test_free((void *)(uintptr_t)one.p);
    test_free((void *)(uintptr_t)two.p);
}

static void where_to_return_to(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        bool safe;
    } rows[] = {
        { "/", true },
        { "/a//b?next=//evil", true },
        { "/http:evil", true },
        { "", false },
        { "//evil.example", false },
        { "/\\evil.example", false },
        { "\\\\evil.example", false },
        { "/a\\b", false },
        { "http://evil.example/", false },
        { "http:evil.example", false },
        { "javascript:alert(1)", false },
        { "user@evil.example", false },
        { "/\tevil", false },
        { "/\t/evil", false },
        { "/a\r\nSet-Cookie: x=y", false },
        { "/ a", false },
        { "/\xc3\xa9", false },
        { "/\x7f", false },
        { " //evil", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (return_target_safe(span_text(rows[i].target)) != rows[i].safe)
            fail_msg("%s", rows[i].target);
    static char longest[SIGNIN_TARGET_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    assert_true(return_target_safe(span_of(longest, SIGNIN_TARGET_MAX)));
    assert_false(return_target_safe(span_of(longest, SIGNIN_TARGET_MAX + 1)));

    kit.req.path = kit.req.path_wire = SPAN("/a");
    kit.req.has_query = true;
    kit.req.query = SPAN("b=c");
    assert_true(span_equal(return_target(&call), SPAN("/a?b=c")));
    kit.req.method_id = METHOD_POST;
    assert_true(span_equal(return_target(&call), SPAN("/")));
    kit.req.method_id = METHOD_GET;
    kit.req.path = kit.req.path_wire = SPAN("//evil.example");
    assert_true(span_equal(return_target(&call), SPAN("/")));
    kit.req.path = kit.req.path_wire = SPAN("/.sallyport/logout");
    assert_true(span_equal(return_target(&call), SPAN("/")));
}

static void form_tokens_are_bound(void **state)
{
    (void)state;
    char token[FORM_TOKEN_BYTES], other[FORM_TOKEN_BYTES];
    assert_false(form_token(&call, sessions, SPAN("logout"), token)); /* no cookie */
    sign_in("ann");
    (void)come(cookie);
    assert_true(form_token(&call, sessions, SPAN("logout"), token));
    assert_true(form_token_right(&call, sessions, SPAN("logout"), span_of(token, 32)));
    assert_false(form_token_right(&call, sessions, SPAN("login"), span_of(token, 32)));
    assert_false(form_token_right(&call, sessions, SPAN("logout"), span_of(token, 31)));
    begin();
    sign_in("bob");
    (void)come(cookie);
    assert_true(form_token(&call, sessions, SPAN("logout"), other));
    assert_memory_not_equal(token, other, sizeof(token));
    assert_false(form_token_right(&call, sessions, SPAN("logout"), span_of(token, 32)));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_session_says_who_it_is),
        CASE(it_counts_for_its_stage_realm_and_site_only),
        CASE(it_ends_in_time),
        CASE(an_id_does_not_survive_a_sign_in),
        CASE(a_chosen_id_is_worth_nothing),
        CASE(tricks_with_cookies_find_nothing),
        CASE(too_many_cookies_are_none),
        CASE(ends_reach_every_session),
        CASE(content_is_renewed_under_the_same_id),
        CASE(a_sign_in_is_its_browsers_and_good_once),
        CASE(several_tabs_and_a_limit_in_time),
        CASE(where_to_return_to),
        CASE(form_tokens_are_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
