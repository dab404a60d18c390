/*
 * The pages of `login`: what is shown, what a form may bring, and what follows.
 *
 *     GET  /.sallyport/login             the form, or who is signed in
 *     GET  /.sallyport/login?flow=...    the step that this sign-in has come to
 *     POST /.sallyport/login             name and password, or the code
 *     GET  /.sallyport/login/out         who is signed in, with a button
 *     POST /.sallyport/login/out         ends the session
 *
 * Every form brings back a token that only a page of ours can have told this browser
 * (form_token), so nobody can be signed in or out from another site. A wrong name, a wrong
 * password and a name that nobody has are one answer after one and the same work. Who has
 * passed the first step has no session yet: only the handle of a second step, which is of no
 * use anywhere else (GHSA-3q28-qjrv-qr39).
 */
#include "auth/login_stage.h"

#include "gateway/base/secret.h"
#include "gateway/http/params.h"

struct form {
    struct span flow, token, user, password, code;
};

static const struct {
    struct span name;
    size_t offset;
} form_fields[] = {
    { SPAN_INIT("flow"), offsetof(struct form, flow) },
    { SPAN_INIT("token"), offsetof(struct form, token) },
    { SPAN_INIT("user"), offsetof(struct form, user) },
    { SPAN_INIT("password"), offsetof(struct form, password) },
    { SPAN_INIT("code"), offsetof(struct form, code) },
};

static uint64_t now_of(const struct call *c)
{
    return c->txn->clock->wall_us / 1000000u;
}

static struct verdict page_or_fail(enum reason reason, const struct reply *reply)
{
    return reply != NULL ? answer(reason, reply) : fail(REASON_MEMORY);
}

/* ---- what comes ---- */

/* Each field once: of two of a name each reader could mean another one. */
static bool read_form(struct call *c, struct span text, struct form *form)
{
    struct params params;
    *form = (struct form){ .flow = SPAN("") };
    if (params_parse(&params, text, LOGIN_FIELDS_MAX, c->txn->arena) != OK)
        return false;
    for (unsigned i = 0; i < params.count; i++) {
        for (size_t f = 0; f < ARRAY_LEN(form_fields); f++) {
            struct span *to = (void *)((char *)form + form_fields[f].offset);
            if (!span_equal(params.items[i].name, form_fields[f].name))
                continue;
            if (to->p != NULL && to->len > 0)
                return false;
            *to = params.items[i].value;
        }
    }
    return true;
}

/* Browsers that tell where a form stands must tell that it stands here. */
static bool from_here(const struct request *req)
{
    const struct field *site = fields_find(&req->fields, SPAN("Sec-Fetch-Site"));
    struct span type = fields_value(&req->fields, FIELD_CONTENT_TYPE), media;
    return (site == NULL || span_equal(site->value, SPAN("same-origin")) ||
            span_equal(site->value, SPAN("none"))) &&
           span_cut(&type, ';', &media) &&
           span_equal_nocase(span_trim(media), SPAN("application/x-www-form-urlencoded"));
}

/* A form that this browser got from us, or false. */
static bool read_post(struct call *c, struct span use, struct form *form)
{
    const struct login_conf *conf = c->conf;
    if (!from_here(c->req) || !read_form(c, c->body, form))
        return false;
    return form_token_right(c, conf->sessions, use.len > 0 ? use : form->flow, form->token);
}

/* ---- what is shown ---- */

static struct verdict show_message(struct call *c, enum reason reason, int status,
                                   struct span title, struct span sentence)
{
    const struct login_conf *conf = c->conf;
    const struct page_note note = { title, sentence, SPAN(LOGIN_PAGE), SPAN("Start again") };
    return page_or_fail(reason, page_message(c, &conf->look, status, &note));
}

static struct verdict show_too_old(struct call *c)
{
    if (!signin_browser_known(c)) {
        fact_set_auth_detail(c, "login-no-cookie");
        return show_message(
            c, REASON_AUTH_FORM, 403, SPAN("No cookie came back"),
            SPAN("Signing in needs cookies, and your browser sent none for this "
                 "site. Please allow them, and see that the address begins "
                 "with https."));
    }
    fact_set_auth_detail(c, "login-form");
    return show_message(c, REASON_AUTH_FORM, 403, SPAN("Too late"),
                        SPAN("This form is too old, was used already, or was not made for this "
                             "browser."));
}

static struct verdict show_step(struct call *c, enum reason reason, int status,
                                struct span handle, bool second, struct span trouble)
{
    const struct login_conf *conf = c->conf;
    char *token = arena_alloc(c->txn->arena, FORM_TOKEN_BYTES);
    if (token == NULL || !form_token(c, conf->sessions, handle, token))
        return show_too_old(c);
    struct page_form form = { .action = SPAN(LOGIN_PAGE),
                              .handle = handle,
                              .token = span_of(token, FORM_TOKEN_BYTES) };
    return page_or_fail(
        reason, second ? page_second_factor(c, &conf->look, status, &form, trouble)
                       : page_name_and_password(c, &conf->look, status, &form, trouble));
}

static struct verdict go_to_step(struct call *c, const struct signin *signin, int status)
{
    const struct login_conf *conf = c->conf;
    struct span handle;
    struct text location = text_growing(c->txn->arena, 160);
    struct reply *reply = reply_new(c->txn, status);
    if (reply == NULL || !signin_begin(c, conf->sessions, signin, reply, &handle))
        return fail(REASON_MEMORY);
    text_lit(&location, LOGIN_FLOW);
    text_add(&location, handle);
    if (location.overflow || !reply_field(reply, SPAN("Location"), text_span(&location)))
        return fail(REASON_MEMORY);
    return answer(REASON_PAGE, reply);
}

/* The session that the request came with, if its user is still as he was. */
static const struct session *own_session(struct call *c)
{
    const struct login_conf *conf = c->conf;
    bool ready;
    const struct session *session =
        session_find(c, conf->sessions, SPAN("login"), conf->users.text);
    const struct user_entry *entry =
        session != NULL ? login_user(c, session->content.identity->user, &ready) : NULL;
    return entry != NULL && entry->epoch == session->content.epoch ? session : NULL;
}

static struct verdict show_signed_in(struct call *c, const struct session *session)
{
    const struct login_conf *conf = c->conf;
    char *token = arena_alloc(c->txn->arena, FORM_TOKEN_BYTES);
    if (token == NULL || !form_token(c, conf->sessions, SPAN(LOGIN_OUT), token))
        return fail(REASON_MEMORY);
    struct page_form form = { .action = SPAN(LOGIN_OUT),
                              .token = span_of(token, FORM_TOKEN_BYTES) };
    return page_or_fail(REASON_PAGE,
                        page_signed_in(c, &conf->look, &form, session->content.identity->user));
}

static struct verdict show_wait(struct call *c, struct span handle, bool second,
                                uint64_t wait_s)
{
    struct text sentence = text_growing(c->txn->arena, 96),
                after = text_growing(c->txn->arena, 24);
    text_format(&sentence, "Too many attempts. Please try again in %llu %s.",
                (unsigned long long)(wait_s < 120 ? wait_s : (wait_s + 59) / 60),
                wait_s == 1    ? "second"
                : wait_s < 120 ? "seconds"
                               : "minutes");
    text_uint(&after, wait_s);
    struct verdict verdict =
        show_step(c, REASON_AUTH_LOCKED, 429, handle, second, text_span(&sentence));
    if (verdict.reply == NULL || after.overflow ||
        !reply_field((struct reply *)(uintptr_t)verdict.reply, SPAN("Retry-After"),
                     text_span(&after)))
        return fail(REASON_MEMORY);
    fact_set_auth_detail(c, second ? "login-second-wait" : "login-wait");
    return verdict;
}

static struct verdict busy(struct call *c)
{
    struct reply *reply = reply_new(c->txn, 0);
    if (reply == NULL || !reply_field(reply, SPAN("Retry-After"), SPAN("1")))
        return fail(REASON_MEMORY);
    return deny_with(REASON_AUTH_BUSY, reply);
}

/* ---- in ---- */

/* All is proved: the sign-in is over, the session begins. */
static struct verdict let_in(struct call *c, const struct user_entry *entry, bool mfa,
                             struct span step, struct span handle)
{
    const struct login_conf *conf = c->conf;
    struct signin signin;
    if (!signin_take(c, conf->sessions, step, handle, &signin))
        return show_too_old(c); /* two at once with one form: one of them */
    const struct identity *identity = login_identity(c->txn->arena, entry, now_of(c), mfa);
    struct reply *reply = page_redirect(c, 303, signin.target);
    struct session_content content = { .identity = identity,
                                       .via = SPAN("login"),
                                       .realm = conf->users.text,
                                       .epoch = entry->epoch };
    if (identity == NULL || reply == NULL ||
        !session_begin(c, conf->sessions, &conf->session, &content, reply) ||
        !browser_remember(c, conf->sessions, identity->user, reply))
        return fail(REASON_MEMORY);
    fact_set_user(c, identity->user);
    fact_set_auth(c, SPAN("login"));
    fact_set_auth_detail(c, mfa ? "login-second" : "login-password");
    return answer(REASON_SIGNED_IN, reply);
}

/* ---- the first step ---- */

static struct verdict wrong_password(struct call *c)
{
    const struct login_state *state = c->state;
    fact_set_auth_detail(c, "login-wrong");
    return show_step(c, REASON_AUTH_FAILED, 401, state->handle, false,
                     SPAN("The name or password is not right."));
}

static struct attempt attempt_of(struct call *c)
{
    const struct login_state *state = c->state;
    return (struct attempt){ .user = span_text(state->user),
                             .client = &c->txn->client,
                             .known = state->known,
                             .now_s = now_of(c),
                             .ja4 = txn_ja4(c->txn) };
}

static struct verdict go_to_second(struct call *c, const struct user_entry *entry,
                                   struct span handle)
{
    const struct login_conf *conf = c->conf;
    struct signin signin;
    struct text extra = text_growing(c->txn->arena, 96);
    if (!signin_take(c, conf->sessions, SPAN(STEP_PASSWORD), handle, &signin))
        return show_too_old(c);
    text_uint(&extra, entry->epoch);
    text_char(&extra, ' ');
    text_add(&extra, span_text(entry->name));
    if (extra.overflow)
        return fail(REASON_MEMORY);
    struct signin next = { .step = SPAN(STEP_SECOND),
                           .target = signin.target,
                           .extra = text_span(&extra) };
    return go_to_step(c, &next, 303);
}

/*
 * Each node has counts of its own, and whoever guesses may come to all of them: so there is one
 * of all nodes, too. As here, it makes others wait for a minute at most, and never a browser
 * that has signed in before (CVE-2025-64102: a lock that anybody can turn).
 */
static bool count_everywhere(struct call *c, struct text *counted)
{
    const struct login_conf *conf = c->conf;
    const struct login_state *state = c->state;
    if (state->known)
        return true;
    text_lit(counted, "password ");
    text_add(counted, span_text(state->user));
    return !counted->overflow && signin_count(c, conf->sessions, text_span(counted),
                                              LOCKOUT_ACCOUNT_ALL, LOCKOUT_ACCOUNT_PAUSE_MAX_S);
}

/* The hash is computed. */
static struct verdict judge_password(struct call *c)
{
    const struct login_conf *conf = c->conf;
    const struct login_state *state = c->state;
    struct attempt attempt = attempt_of(c);
    struct text counted = text_growing(c->txn->arena, USER_NAME_MAX + 16);
    bool ready;
    if (c->error != OK || !count_everywhere(c, &counted)) {
        lockout_undone(&conf->lockout, &attempt);
        return fail(REASON_STAGE_FAILED);
    }
    /* As the store has him now: he may have gone while the hash was computed. */
    const struct user_entry *entry = login_user(c, attempt.user, &ready);
    bool right = *(const bool *)c->answer;
    if (!right || state->epoch == 0 || entry == NULL || entry->epoch != state->epoch) {
        lockout_wrong(&conf->lockout, &attempt);
        return wrong_password(c);
    }
    lockout_right(&conf->lockout, &attempt);
    if (!state->known)
        signin_counted_right(c, text_span(&counted));
    if (conf->totp != TOTP_OFF && entry->totp_len > 0)
        return go_to_second(c, entry, state->handle);
    if (conf->totp == TOTP_REQUIRED) {
        fact_set_auth_detail(c, "login-no-second");
        return show_message(c, REASON_AUTH_REFUSED, 403, SPAN("A second factor is needed"),
                            SPAN("Your account has no second factor yet, and this site asks "
                                 "for one. Please ask who runs it."));
    }
    return let_in(c, entry, false, SPAN(STEP_PASSWORD), state->handle);
}

static struct verdict on_hash(struct call *c)
{
    return sessions_told(c, judge_password(c));
}

static struct verdict take_password(struct call *c, const struct form *form)
{
    const struct login_conf *conf = c->conf;
    const struct login_local *local = c->local;
    struct login_state *state = c->state;
    bool ready, possible = user_name_fold(form->user, state->user);
    /* What nobody can be called is counted as what it is called. */
    if (!possible)
        memcpy(state->user, "?", 2);
    const struct user_entry *entry = login_user(c, span_text(state->user), &ready);
    if (!ready)
        return busy(c);
    state->handle = form->flow;
    state->epoch = entry != NULL ? entry->epoch : 0;
    state->known = browser_known(c, conf->sessions, span_text(state->user));
    struct attempt attempt = attempt_of(c);
    uint64_t wait_s = lockout_begin(&conf->lockout, &attempt);
    if (wait_s > 0)
        return show_wait(c, form->flow, false, wait_s);
    struct password_hash hash = conf->nobody;
    if (entry != NULL && password_hash_read(span_text(entry->hash), &hash) != NULL)
        hash = conf->nobody;
    /* One that is too long for any hash is as wrong as any other, after the same work. */
    struct span password = form->password;
    if (password.len > PASSWORD_BYTES_MAX) {
        password = SPAN("");
        state->epoch = 0;
    }
    struct op *op = hashpool_verify(local->pool, &hash, password, &c->txn->client);
    if (op == NULL) {
        lockout_undone(&conf->lockout, &attempt);
        return busy(c);
    }
    return wait_for(c, op, on_hash);
}

/* ---- the second step ---- */

static bool read_extra(struct span extra, struct span *user, uint64_t *epoch)
{
    struct span number;
    *user = extra;
    return span_cut(user, ' ', &number) && user->p != NULL && span_uint(number, epoch);
}

static struct span digits_of(struct span typed, char digits[TOTP_DIGITS])
{
    size_t len = 0;
    for (size_t i = 0; i < typed.len; i++) {
        if (typed.p[i] == ' ')
            continue;
        if (len == TOTP_DIGITS || typed.p[i] < '0' || typed.p[i] > '9')
            return SPAN("");
        digits[len++] = typed.p[i];
    }
    return span_of(digits, len);
}

static bool take_code(struct call *c, const struct user_entry *entry, struct span typed)
{
    const struct login_conf *conf = c->conf;
    struct span user = span_text(entry->name);
    uint8_t hash[USER_CODE_HASH_BYTES];
    const void *found = NULL;
    if (!recovery_hash(user, typed, hash))
        return false;
    for (size_t i = 0; i < entry->code_count; i++)
        if (bytes_equal_constant_time(entry->codes[i], hash, sizeof(hash)))
            found = entry->codes[i];
    return found != NULL &&
           lockout_take_code(&conf->lockout, user, entry->epoch, hash, sizeof(hash),
                             now_of(c) / TOTP_STEP_S) &&
           signin_once(c, conf->sessions, span_of((const char *)hash, sizeof(hash)),
                       SIGNIN_CODE_S);
}

/* Other nodes have counts of their own. */
static bool once_everywhere(struct call *c, struct span user, uint64_t step)
{
    const struct login_conf *conf = c->conf;
    char buffer[USER_NAME_MAX + 32];
    struct text what = text_fixed(buffer, sizeof(buffer));
    text_lit(&what, "step ");
    text_uint(&what, step);
    text_char(&what, ' ');
    text_add(&what, user);
    return !what.overflow && signin_once(c, conf->sessions, text_span(&what), SIGNIN_STEP_S);
}

/* NULL: right, and used up with that; else why not, as a slug for the record. */
static const char *check_code(struct call *c, const struct user_entry *entry, struct span typed)
{
    const struct login_conf *conf = c->conf;
    char digits[TOTP_DIGITS];
    struct span user = span_text(entry->name), code = digits_of(typed, digits),
                secret = span_of((const char *)entry->totp, entry->totp_len);
    if (code.len != TOTP_DIGITS)
        return take_code(c, entry, typed) ? NULL : "login-code-wrong";
    uint64_t step = totp_check(secret, code, now_of(c), entry->totp_step);
    if (step == 0)
        return totp_check(secret, code, now_of(c), 0) > 0 ? "login-code-replayed"
                                                          : "login-code-wrong";
    return lockout_take_step(&conf->lockout, user, entry->epoch, step) &&
                   once_everywhere(c, user, step)
               ? NULL
               : "login-code-replayed";
}

static struct verdict take_second(struct call *c, const struct form *form,
                                  const struct signin *signin)
{
    const struct login_conf *conf = c->conf;
    struct span user;
    uint64_t epoch;
    bool ready;
    if (!read_extra(signin->extra, &user, &epoch))
        return show_too_old(c);
    const struct user_entry *entry = login_user(c, user, &ready);
    if (!ready)
        return busy(c);
    if (entry == NULL || entry->epoch != epoch || entry->totp_len == 0)
        return show_too_old(c);
    uint64_t wait_s = lockout_second_begin(&conf->lockout, user, now_of(c));
    if (wait_s > 0)
        return show_wait(c, form->flow, true, wait_s);
    /* Each node has its own count, and there may be many (CVE-2024-21500). */
    struct text counted = text_growing(c->txn->arena, USER_NAME_MAX + 16);
    text_lit(&counted, "second ");
    text_add(&counted, user);
    if (counted.overflow || !signin_count(c, conf->sessions, text_span(&counted),
                                          LOCKOUT_SECOND_ALL, LOCKOUT_FORGET_S))
        return fail(REASON_MEMORY);
    const char *wrong = check_code(c, entry, form->code);
    if (wrong != NULL) {
        fact_set_auth_detail(c, wrong);
        return show_step(c, REASON_AUTH_FAILED, 401, form->flow, true,
                         SPAN("The code is not right, or was used before."));
    }
    lockout_second_right(&conf->lockout, user);
    signin_counted_right(c, text_span(&counted));
    return let_in(c, entry, true, SPAN(STEP_SECOND), form->flow);
}

/* ---- requests ---- */

static struct verdict get_login(struct call *c)
{
    const struct login_conf *conf = c->conf;
    struct form query;
    struct signin signin;
    if (!read_form(c, c->req->query, &query))
        return show_too_old(c);
    if (query.flow.len == 0) {
        const struct session *session = own_session(c);
        struct signin fresh = { .step = SPAN(STEP_PASSWORD), .target = SPAN("/") };
        return session != NULL ? show_signed_in(c, session) : go_to_step(c, &fresh, 302);
    }
    if (signin_find(c, conf->sessions, SPAN(STEP_PASSWORD), query.flow, &signin))
        return show_step(c, REASON_PAGE, 200, query.flow, false, SPAN(""));
    if (signin_find(c, conf->sessions, SPAN(STEP_SECOND), query.flow, &signin))
        return show_step(c, REASON_PAGE, 200, query.flow, true, SPAN(""));
    return show_too_old(c);
}

static struct verdict post_login(struct call *c)
{
    const struct login_conf *conf = c->conf;
    struct form form;
    struct signin signin;
    if (!read_post(c, SPAN(""), &form))
        return show_too_old(c);
    if (signin_find(c, conf->sessions, SPAN(STEP_PASSWORD), form.flow, &signin))
        return take_password(c, &form);
    if (signin_find(c, conf->sessions, SPAN(STEP_SECOND), form.flow, &signin))
        return take_second(c, &form, &signin);
    return show_too_old(c);
}

static struct verdict get_out(struct call *c)
{
    const struct session *session = own_session(c);
    return session != NULL ? show_signed_in(c, session)
                           : show_message(c, REASON_PAGE, 200, SPAN("Signed out"),
                                          SPAN("You are not signed in."));
}

static struct verdict post_out(struct call *c)
{
    const struct login_conf *conf = c->conf;
    struct form form;
    if (!read_post(c, SPAN(LOGIN_OUT), &form))
        return show_too_old(c);
    const struct session *session = own_session(c);
    const struct page_note note = { SPAN("Signed out"), SPAN("You are signed out."),
                                    SPAN(LOGIN_PAGE), SPAN("Sign in again") };
    struct reply *reply = page_message(c, &conf->look, 200, &note);
    if (reply == NULL || !session_end(c, conf->sessions, reply))
        return fail(REASON_MEMORY);
    if (session != NULL) {
        fact_set_user(c, session->content.identity->user);
        fact_set_auth(c, SPAN("login"));
    }
    return answer(REASON_SIGNED_OUT, reply);
}

static struct verdict show_page(struct call *c)
{
    static const struct {
        struct span path;
        stage_fn *get, *post;
    } pages[] = { { SPAN_INIT(LOGIN_PAGE), get_login, post_login },
                  { SPAN_INIT(LOGIN_OUT), get_out, post_out } };
    if (c->error != OK)
        return fail(REASON_AUTH_SESSIONS);
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (!span_equal(c->req->path, pages[i].path))
            continue;
        if (c->req->method_id == METHOD_GET || c->req->method_id == METHOD_HEAD)
            return sessions_told(c, pages[i].get(c));
        return c->req->method_id == METHOD_POST ? sessions_told(c, pages[i].post(c))
                                                : deny(REASON_METHOD);
    }
    return pass();
}

struct verdict login_page(struct call *c)
{
    static const char *const hidden[] = { "flow", "token", "password", "code" };
    const struct login_conf *conf = c->conf;
    struct form form;
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        txn_hide(c->txn, span_text(hidden[i]));
    bool post = c->req->method_id == METHOD_POST;
    if (!read_form(c, post ? c->body : c->req->query, &form))
        form.flow = SPAN("");
    return sessions_ready(c, conf->sessions, form.flow, show_page);
}
