/*
 * Tricks against signing in: with cookies, with sign-ins that are carried from one browser to
 * another, with addresses to return to, with codes, by guessing. One line a trick; each is
 * preceded by what is honest, so that a refusal is not one of everything.
 */
#include "auth/selftest.h"

#include <sodium.h>
#include <sys/mman.h>

#include "auth/lockout.h"
#include "auth/session.h"
#include "auth/users.h"
#include "gateway/net/worker.h"

enum { NOW = 1800000000, STAND_ARENA = 4 << 20, BROWSERS = 2 };

/* A gateway that is just enough of one. */
struct stand {
    struct arena load, arena; /* `arena` is the request's: fresh each time */
    struct worker worker;
    struct clock clock;
    struct config config;
    struct site site;
    struct txn txn;
    struct request req;
    struct call call;
    struct sessions *sessions;
    struct lockout lockout;
    struct {
        char session[256], signin[256]; /* as pairs of a Cookie field */
    } browsers[BROWSERS];
    struct {
        void *memory;
        size_t size;
    } regions[4];
    unsigned region_count;
};

static void *shared(struct setup *setup, const char *name, uint32_t layout, size_t size)
{
    struct stand *stand = setup->shared_owner;
    (void)name;
    (void)layout;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || stand->region_count == ARRAY_LEN(stand->regions))
        return NULL;
    stand->regions[stand->region_count].memory = memory;
    stand->regions[stand->region_count++].size = size;
    return memory;
}

static void close_stand(struct stand *stand)
{
    for (unsigned i = 0; i < stand->region_count; i++)
        (void)munmap(stand->regions[i].memory, stand->regions[i].size);
    arena_reset(&stand->arena);
    arena_reset(&stand->load);
}

static bool open_stand(struct stand *stand)
{
    static const uint8_t boot_key[32] = "of no boot: for the selftest ...";
    memset(stand, 0, sizeof(*stand));
    arena_init(&stand->load, NULL, 0, NULL, STAND_ARENA);
    arena_init(&stand->arena, NULL, 0, NULL, STAND_ARENA);
    struct setup setup = { .arena = &stand->load,
                           .config = &stand->config,
                           .shared = shared,
                           .shared_owner = stand,
                           .boot_key = boot_key };
    void *counts = shared(&setup, "lockout", LOCKOUT_LAYOUT, lockout_bytes());
    if (sodium_init() < 0 || totp_init() != OK || counts == NULL)
        return false;
    lockout_over(&stand->lockout, counts, boot_key);
    stand->site.name = "shop";
    stand->clock.wall_us = UINT64_C(1000000) * NOW;
    static const struct session_conf conf = { .idle = { 600000 }, .max = { 3600000 } };
    stand->sessions = sessions_open(&setup, &conf);
    return stand->sessions != NULL;
}

/* Another request, with that Cookie field. */
static void come(struct stand *stand, const char *cookies)
{
    arena_reset(&stand->arena);
    stand->req = (struct request){ .method_id = METHOD_GET, .path = SPAN("/") };
    stand->req.path_wire = stand->req.path;
    stand->txn = (struct txn){ .arena = &stand->arena,
                               .clock = &stand->clock,
                               .config = &stand->config,
                               .site = &stand->site,
                               .req = &stand->req };
    INVARIANT(addr_parse(SPAN("192.0.2.1"), &stand->txn.client));
    stand->call = (struct call){ .txn = &stand->txn, .req = &stand->req };
    if (cookies != NULL && cookies[0] != '\0')
        INVARIANT(fields_init(&stand->req.fields, &stand->arena, 2) == OK &&
                  fields_add(&stand->req.fields, &stand->arena, SPAN("Cookie"),
                             span_text(cookies)) == OK);
}

static void keep_cookie(const struct reply *reply, const char *name, char out[256])
{
    for (unsigned i = 0; i < reply->field_count; i++) {
        struct span value = reply->fields[i].value, pair;
        struct text text = text_fixed(out, 256);
        if (!span_cut(&value, ';', &pair) || !span_starts(pair, span_text(name)) ||
            pair.p[strlen(name)] != '=')
            continue;
        text_add(&text, pair);
        INVARIANT(text_cstring(&text) != NULL);
    }
}

static void sign_in(struct stand *stand, unsigned browser)
{
    struct session_conf conf = { .idle = { 600000 }, .max = { 3600000 } };
    struct identity identity = { .user = SPAN("ann"), .proved_s = NOW };
    struct session_content content = { .identity = &identity,
                                       .via = SPAN("login"),
                                       .realm = SPAN("users.db") };
    come(stand, stand->browsers[browser].session);
    struct reply *reply = reply_new(&stand->txn, 303);
    INVARIANT(reply != NULL &&
              session_begin(&stand->call, stand->sessions, &conf, &content, reply));
    keep_cookie(reply, SESSION_COOKIE, stand->browsers[browser].session);
}

static bool is_in(struct stand *stand, const char *cookies)
{
    come(stand, cookies);
    return session_find(&stand->call, stand->sessions, SPAN("login"), SPAN("users.db")) != NULL;
}

/* ---- cookies ---- */

static const struct cookie_trick {
    const char *name, *before, *after; /* around the value, in place of "NAME=" and nothing */
    bool good;
} cookie_tricks[] = {
    { "honest session", SESSION_COOKIE "=", "", true },
    { "honest session among others", "a=1; " SESSION_COOKIE "=", "; b=2", true },
    { "session twice, the first one another", SESSION_COOKIE "=x; " SESSION_COOKIE "=", "",
      false },
    { "session twice, the last one another", SESSION_COOKIE "=", "; " SESSION_COOKIE "=x",
      false },
    { "session twice, one in quotes", "a=\"; " SESSION_COOKIE "=x; b=\"; " SESSION_COOKIE "=",
      "", false },
    { "prefix in small letters", "__host-sallyport=", "", false },
    { "prefix of another kind", "__Secure-sallyport=", "", false },
    { "no prefix", "sallyport=", "", false },
    { "prefix behind a Unicode space", "\xe2\x80\x80" SESSION_COOKIE "=", "", false },
    { "prefix behind U+FEFF", "\xef\xbb\xbf" SESSION_COOKIE "=", "", false },
    { "cookie without a name", "=" SESSION_COOKIE "=", "", false },
    { "name with a percent sign", "%5f%5fHost-sallyport=", "", false },
    { "RFC 2965's $Version", "$Version=1; " SESSION_COOKIE "=\"", "\"", false },
    { "value in quotes", SESSION_COOKIE "=\"", "\"", false },
    { "value with a tail", SESSION_COOKIE "=", "A", false },
    { "value with padding", SESSION_COOKIE "=", "==", false },
    { "comma in place of semicolon", "a=1, " SESSION_COOKIE "=", "", false },
};

static const char *try_cookie(struct stand *stand, const struct cookie_trick *trick)
{
    char line[512];
    const char *value = stand->browsers[0].session + sizeof(SESSION_COOKIE);
    struct text text = text_fixed(line, sizeof(line));
    text_add(&text, span_text(trick->before));
    text_add(&text, span_text(value));
    text_add(&text, span_text(trick->after));
    if (text_cstring(&text) == NULL)
        return "it does not fit";
    return is_in(stand, line) == trick->good ? NULL : trick->good ? "refused" : "was let in";
}

/* ---- sessions ---- */

static const char *chosen_id(struct stand *stand)
{
    char chosen[256] = SESSION_COOKIE "=", *end = chosen + sizeof(SESSION_COOKIE);
    memset(end, 'A', TICKET_TEXT_BYTES);
    struct text text = text_fixed(stand->browsers[1].session, 256);
    text_add(&text, span_text(chosen));
    (void)text_cstring(&text);
    sign_in(stand, 1);
    return is_in(stand, chosen) ? "was let in" : NULL;
}

static const char *id_from_before(struct stand *stand)
{
    char before[256];
    memcpy(before, stand->browsers[0].session, sizeof(before));
    sign_in(stand, 0);
    if (!is_in(stand, stand->browsers[0].session))
        return "the new one is refused";
    return is_in(stand, before) ? "was let in" : NULL;
}

static const char *other_site(struct stand *stand)
{
    stand->site.name = "bank";
    bool in = is_in(stand, stand->browsers[0].session);
    stand->site.name = "shop";
    return in ? "was let in" : NULL;
}

static const char *other_realm(struct stand *stand)
{
    come(stand, stand->browsers[0].session);
    return session_find(&stand->call, stand->sessions, SPAN("login"), SPAN("others.db")) ||
                   session_find(&stand->call, stand->sessions, SPAN("oidc"), SPAN("users.db"))
               ? "was let in"
               : NULL;
}

static const char *signed_out(struct stand *stand)
{
    come(stand, stand->browsers[0].session);
    struct reply *reply = reply_new(&stand->txn, 200);
    if (reply == NULL || !session_end(&stand->call, stand->sessions, reply))
        return "cannot be ended";
    return is_in(stand, stand->browsers[0].session) ? "was let in" : NULL;
}

static const char *unused_too_long(struct stand *stand)
{
    sign_in(stand, 0);
    stand->clock.wall_us += UINT64_C(1000000) * 601;
    bool in = is_in(stand, stand->browsers[0].session);
    stand->clock.wall_us = UINT64_C(1000000) * NOW;
    return in ? "was let in" : NULL;
}

static const char *used_too_long(struct stand *stand)
{
    sign_in(stand, 0);
    for (unsigned i = 0; i < 12; i++) {
        stand->clock.wall_us += UINT64_C(1000000) * 300;
        (void)is_in(stand, stand->browsers[0].session);
    }
    bool in = is_in(stand, stand->browsers[0].session);
    stand->clock.wall_us = UINT64_C(1000000) * NOW;
    return in ? "was let in" : NULL;
}

static const char *ended_by_hand(struct stand *stand)
{
    sign_in(stand, 0);
    (void)sessions_end_user(stand->sessions, SPAN("ann"), NOW);
    return is_in(stand, stand->browsers[0].session) ? "was let in" : NULL;
}

/* ---- sign-ins ---- */

static struct span begin(struct stand *stand, unsigned browser)
{
    struct span handle = SPAN("");
    struct signin signin = { .step = SPAN("login"), .target = SPAN("/a"), .extra = SPAN("x") };
    come(stand, stand->browsers[browser].signin);
    struct reply *reply = reply_new(&stand->txn, 302);
    INVARIANT(reply != NULL &&
              signin_begin(&stand->call, stand->sessions, &signin, reply, &handle));
    keep_cookie(reply, SIGNIN_COOKIE, stand->browsers[browser].signin);
    return arena_copy(&stand->load, handle);
}

static bool takes(struct stand *stand, const char *cookies, const char *step,
                  struct span handle)
{
    struct signin signin;
    come(stand, cookies);
    return signin_take(&stand->call, stand->sessions, span_text(step), handle, &signin);
}

static const char *swapped_state(struct stand *stand)
{
    (void)begin(stand, 0);
    struct span theirs = begin(stand, 1);
    if (takes(stand, stand->browsers[0].signin, "login", theirs))
        return "was taken";
    return takes(stand, stand->browsers[1].signin, "login", theirs) ? NULL
                                                                    : "honest one refused";
}

static const char *without_cookie(struct stand *stand)
{
    return takes(stand, NULL, "login", begin(stand, 0)) ? "was taken" : NULL;
}

static const char *other_step(struct stand *stand)
{
    struct span handle = begin(stand, 0);
    return takes(stand, stand->browsers[0].signin, "login second", handle) ? "was taken" : NULL;
}

static const char *used_twice(struct stand *stand)
{
    struct span handle = begin(stand, 0);
    if (!takes(stand, stand->browsers[0].signin, "login", handle))
        return "honest one refused";
    return takes(stand, stand->browsers[0].signin, "login", handle) ? "was taken" : NULL;
}

static const char *too_old(struct stand *stand)
{
    struct span handle = begin(stand, 0);
    stand->clock.wall_us += UINT64_C(1000000) * SIGNIN_S;
    bool taken = takes(stand, stand->browsers[0].signin, "login", handle);
    stand->clock.wall_us = UINT64_C(1000000) * NOW;
    return taken ? "was taken" : NULL;
}

static const char *half_way_is_no_session(struct stand *stand)
{
    char cookie[256] = SESSION_COOKIE "=";
    struct span handle = begin(stand, 0);
    memcpy(cookie + sizeof(SESSION_COOKIE), handle.p, handle.len);
    return is_in(stand, cookie) ? "was let in" : NULL;
}

/* ---- forms ---- */

static const char *other_browsers_token(struct stand *stand)
{
    char token[FORM_TOKEN_BYTES];
    sign_in(stand, 0);
    sign_in(stand, 1);
    come(stand, stand->browsers[1].session);
    if (!form_token(&stand->call, stand->sessions, SPAN("out"), token) ||
        !form_token_right(&stand->call, stand->sessions, SPAN("out"), span_of(token, 32)))
        return "honest one refused";
    come(stand, stand->browsers[0].session);
    return form_token_right(&stand->call, stand->sessions, SPAN("out"), span_of(token, 32))
               ? "was taken"
               : NULL;
}

static const char *other_forms_token(struct stand *stand)
{
    char token[FORM_TOKEN_BYTES];
    come(stand, stand->browsers[0].session);
    return form_token(&stand->call, stand->sessions, SPAN("in"), token) &&
                   form_token_right(&stand->call, stand->sessions, SPAN("out"),
                                    span_of(token, 32))
               ? "was taken"
               : NULL;
}

static const char *no_token(struct stand *stand)
{
    come(stand, stand->browsers[0].session);
    return form_token_right(&stand->call, stand->sessions, SPAN("out"), SPAN("")) ? "was taken"
                                                                                  : NULL;
}

/* ---- codes and guesses ---- */

static const char *code_again(struct stand *stand)
{
    struct span secret = SPAN("12345678901234567890");
    char code[TOTP_DIGITS];
    uint64_t now_step = NOW / TOTP_STEP_S;
    if (!totp_code(secret, now_step, code))
        return "no code could be made";
    uint64_t step = totp_check(secret, span_of(code, sizeof(code)), NOW, 0);
    if (step != now_step || !lockout_take_step(&stand->lockout, SPAN("ann"), 1, step))
        return "honest one refused";
    return lockout_take_step(&stand->lockout, SPAN("ann"), 1, step) ||
                   totp_check(secret, span_of(code, sizeof(code)), NOW, step) != 0
               ? "was taken"
               : NULL;
}

static const char *code_of_before(struct stand *stand)
{
    return lockout_take_step(&stand->lockout, SPAN("ann"), 1, NOW / TOTP_STEP_S - 1)
               ? "was taken"
               : NULL;
}

static const char *code_too_old(struct stand *stand)
{
    struct span secret = SPAN("12345678901234567890");
    char code[TOTP_DIGITS];
    (void)stand;
    return totp_code(secret, NOW / TOTP_STEP_S - 2, code) &&
                   totp_check(secret, span_of(code, sizeof(code)), NOW, 0) != 0
               ? "was taken"
               : NULL;
}

static const char *recovery_again(struct stand *stand)
{
    uint8_t mine[USER_CODE_HASH_BYTES], theirs[USER_CODE_HASH_BYTES];
    struct span code = SPAN("abcd-efgh-ijkl-mnop");
    if (!recovery_hash(SPAN("ann"), code, mine) || !recovery_hash(SPAN("bob"), code, theirs) ||
        !lockout_take_code(&stand->lockout, SPAN("ann"), 1, mine, sizeof(mine), 1))
        return "honest one refused";
    if (memcmp(mine, theirs, sizeof(mine)) == 0)
        return "is good for others, too";
    return lockout_take_code(&stand->lockout, SPAN("ann"), 1, mine, sizeof(mine), 2)
               ? "was taken"
               : NULL;
}

static const char *thousand_at_once(struct stand *stand)
{
    struct attempt attempt = { .user = SPAN("ann"),
                               .client = &stand->txn.client,
                               .now_s = NOW };
    unsigned passed = 0;
    come(stand, NULL);
    for (unsigned i = 0; i < 1000; i++)
        passed += lockout_begin(&stand->lockout, &attempt) == 0;
    return passed <= LOCKOUT_PAIR_FREE ? NULL : "too many went on";
}

static const char *starting_over(struct stand *stand)
{
    struct attempt attempt = {
        .user = SPAN("eve"), .client = &stand->txn.client, .known = true, .now_s = NOW
    };
    unsigned passed = 0;
    come(stand, NULL);
    for (unsigned i = 0; i < 100; i++) {
        if (lockout_begin(&stand->lockout, &attempt) == 0)
            lockout_right(&stand->lockout, &attempt);
        passed += lockout_second_begin(&stand->lockout, SPAN("eve"), NOW) == 0;
    }
    return passed <= LOCKOUT_SECOND_FREE ? NULL : "the count began anew";
}

static const char *two_spellings(struct stand *stand)
{
    static const char *const spellings[] = { "ANN", " ann", "Ann ", "aNN" };
    char name[USER_NAME_MAX + 1];
    (void)stand;
    for (size_t i = 0; i < ARRAY_LEN(spellings); i++)
        if (!user_name_fold(span_text(spellings[i]), name) || strcmp(name, "ann") != 0)
            return "is counted as another";
    return user_name_fold(SPAN("ann\xe2\x80\x8b"), name) ? "was taken for a name" : NULL;
}

static const struct {
    const char *name;
    const char *(*run)(struct stand *stand);
} tricks[] = {
    { "session id that somebody else chose", chosen_id },
    { "session id from before the sign-in (fixation)", id_from_before },
    { "session of another site", other_site },
    { "session of other users or another stage", other_realm },
    { "copy of a session that was signed out (CVE-2026-34454)", signed_out },
    { "session that was not used for too long", unused_too_long },
    { "session that is used for ever", used_too_long },
    { "session that was ended by an operator", ended_by_hand },
    { "state of another browser", swapped_state },
    { "state without the browser's cookie", without_cookie },
    { "state of another step", other_step },
    { "state used twice", used_twice },
    { "state that is too old", too_old },
    { "half a sign-in as a session (GHSA-3q28-qjrv-qr39)", half_way_is_no_session },
    { "form with another browser's token", other_browsers_token },
    { "form with another form's token", other_forms_token },
    { "form without a token", no_token },
    { "code used again", code_again },
    { "code of the step before one that was used", code_of_before },
    { "code that is too old", code_too_old },
    { "recovery code used again", recovery_again },
    { "a thousand guesses at once", thousand_at_once },
    { "guesses of the second factor over flows that start over (CVE-2024-21500)",
      starting_over },
    { "one account in several spellings (CVE-2025-24806)", two_spellings },
};

static const struct {
    const char *name, *target;
    bool safe;
} targets[] = {
    { "honest target", "/a?b=//c", true },
    { "target //host (CVE-2020-5233)", "//evil.example", false },
    { "target ///host", "///evil.example", false },
    { "target /\\host (CVE-2020-4037)", "/\\evil.example", false },
    { "target \\\\host", "\\\\evil.example", false },
    { "target with a scheme (CVE-2021-29651, GHSA-36f2-fcrx-fp4j)", "https://evil.example/",
      false },
    { "target with a scheme and no slashes (CVE-2019-13038)", "http:evil.example", false },
    { "target javascript: (GHSA-cf57-c578-7jvv)", "javascript:alert(1)", false },
    { "target data:", "data:text/html,x", false },
    { "target user@host", "@evil.example", false },
    { "target behind a space", " //evil.example", false },
    { "target with a tab (CVE-2020-11053)", "/\t/evil.example", false },
    { "target with a line end", "/\n/evil.example", false },
    { "target with another field", "/a\r\nSet-Cookie: a=b", false },
    { "target beyond ASCII", "/\xe3\x80\x82/evil.example", false },
    { "empty target", "", false },
};

/* ---- all of them ---- */

struct telling {
    void (*tell)(void *ctx, const char *name, const char *trouble);
    void *ctx;
    struct selftest_result result;
};

static void say(struct telling *telling, const char *name, const char *trouble)
{
    telling->tell(telling->ctx, name, trouble);
    telling->result.passed += trouble == NULL;
    telling->result.failed += trouble != NULL;
}

struct selftest_result
selftest_signin(void (*tell)(void *ctx, const char *name, const char *trouble), void *ctx)
{
    static struct stand stand;
    struct telling telling = { .tell = tell, .ctx = ctx };
    if (!open_stand(&stand)) {
        say(&telling, "memory for the test", "there is none");
        close_stand(&stand);
        return telling.result;
    }
    sign_in(&stand, 0);
    for (size_t i = 0; i < ARRAY_LEN(cookie_tricks); i++)
        say(&telling, cookie_tricks[i].name, try_cookie(&stand, &cookie_tricks[i]));
    for (size_t i = 0; i < ARRAY_LEN(tricks); i++)
        say(&telling, tricks[i].name, tricks[i].run(&stand));
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        say(&telling, targets[i].name,
            return_target_safe(span_text(targets[i].target)) == targets[i].safe ? NULL
            : targets[i].safe                                                   ? "refused"
                                                                                : "was taken");
    close_stand(&stand);
    return telling.result;
}
