/*
 * Sign-in by a form, for local users.
 *
 *     login: {users: users.db, groups: [staff], totp: optional}
 *
 * A request with a session of ours is its user's, as long as the store has that user unchanged:
 * who is removed, or whose password is set anew, is out at his next request. Others who come
 * by a browser are led to the page; programs are told 401.
 */
#include "auth/login.h"

#include <sodium.h>

#include "auth/apikeys.h"
#include "auth/demand.h"
#include "auth/lend.h"
#include "auth/login_stage.h"
#include "auth/userdb.h"
#include "conf/schema.h"
#include "gateway/chain/edit.h"
#include "gateway/net/worker.h"

static const struct choice totp_choices[] = {
    { "off", TOTP_OFF, "Nobody is asked for a second factor." },
    { "optional", TOTP_OPTIONAL, "Who has one is asked for it." },
    { "required", TOTP_REQUIRED, "Who has none cannot sign in." },
    { NULL, 0, NULL },
};

static const struct option login_options[] = {
    OPTION(struct login_conf, users, OPT_FILE, .flags = OPTION_SHORTHAND,
           .help =
               "The store of users, which `sallyport users` makes and changes. What changes "
               "counts at once."),
    OPTION(struct login_conf, groups, OPT_TEXTS, .max = USER_GROUP_COUNT_MAX,
           .help = "Who may come in: members of one of these. Empty: every user.",
           .example = "[staff]"),
    OPTION(struct login_conf, totp, OPT_ENUM, .fallback = "optional", .choices = totp_choices,
           .help = "Codes by time (RFC 6238) as a second factor."),
    { .name = "session",
      .kind = OPT_OBJECT,
      .offset = offsetof(struct login_conf, session),
      .options = session_options,
      .help = "How long a sign-in lasts." },
    OPTION(struct login_conf, pass, OPT_TEXT, .example = "X-Remote-User",
           .help = "Request field that tells upstream the user's name; none when empty."),
    OPTION(struct login_conf, brand, OPT_TEXT, .example = "Dashboards",
           .help = "Stands above the form."),
    OPTION(struct login_conf, style, OPT_FILE, .example = "sign-in.css",
           .help = "A style sheet that is added to the pages' own: 16 KiB at most. Colours are "
                   "in variables: --accent, --on-accent, --ground, --card, --ink."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool login_idle(const void *base)
{
    const struct login_conf *conf = base;
    return conf->users.text.len == 0;
}

/* The block that workers begin with. A store that is not there yet has nobody in it. */
static const char *read_users(struct login_conf *conf, struct setup *setup, struct span *block)
{
    struct userdb *db = NULL;
    const char *trouble = userdb_open(&db, conf->users.text.p, false);
    if (trouble == userdb_missing) {
        complain(setup->complaint, SEVERITY_WARNING,
                 "there is no %s yet, so nobody can sign in: sallyport users add NAME",
                 conf->users.text.p);
        return users_build(NULL, 0, setup->arena, block) == OK ? NULL : "out of memory";
    }
    if (trouble != NULL)
        return trouble;
    enum err err = userdb_build(db, setup->arena, block);
    userdb_close(db);
    return err == OK           ? NULL
           : err == ERR_SYNTAX ? "a row is not one that sallyport users writes"
                               : err_text(err);
}

/* One snapshot a store, however many routes name it. */
static enum err find_store(struct login_conf *conf, struct setup *setup)
{
    struct config *config = setup->config;
    for (size_t i = 0; i < config->user_file_count; i++) {
        conf->index = i;
        if (span_equal(config->user_files[i].path, conf->users.text))
            return OK;
    }
    if (config->user_file_count == USER_FILES_MAX) {
        complain(setup->complaint, SEVERITY_ERROR, "there are more than %d stores of users",
                 USER_FILES_MAX);
        return ERR_CONFIG;
    }
    struct key_file *file = &config->user_files[config->user_file_count];
    const char *trouble = read_users(conf, setup, &file->built);
    if (trouble != NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "%s cannot be used: %s", conf->users.text.p,
                 trouble);
        return ERR_CONFIG;
    }
    file->path = conf->users.text;
    conf->index = config->user_file_count++;
    return OK;
}

static bool only_here(struct span address)
{
    return span_starts(address, SPAN("127.")) || span_starts(address, SPAN("[::1]")) ||
           span_starts(address, SPAN("localhost"));
}

/* Browsers drop a cookie that is `Secure` when it does not come by HTTPS, but from this host
 * itself: signing in would lead back to the form for ever. */
static void warn_of_plain(struct setup *setup)
{
    const struct server_conf *server = &setup->config->server;
    bool plain = false;
    for (size_t i = 0; i < server->http.count; i++)
        plain |= !only_here(server->http.items[i]);
    if (plain && server->https.count == 0 && server->trusted_proxies.count == 0)
        complain(setup->complaint, SEVERITY_WARNING,
                 "browsers keep no session on plain HTTP: add server.listen.https, or name the "
                 "proxy that has TLS in server.trusted_proxies");
}

static bool join_groups(struct login_conf *conf, struct setup *setup)
{
    struct text out = text_growing(setup->arena, 64);
    for (size_t i = 0; i < conf->groups.count; i++) {
        if (i > 0)
            text_char(&out, ',');
        text_add(&out, conf->groups.items[i]);
    }
    conf->wanted = text_span(&out);
    return !out.overflow;
}

/* Nobody's password is checked against this one; it takes as long as anybody's. */
static enum err make_nobody(struct login_conf *conf)
{
    uint8_t password[32];
    random_bytes(password, sizeof(password));
    for (size_t i = 0; i < sizeof(password); i++)
        password[i] |= 1; /* no NUL */
    enum err err =
        password_make(span_of((const char *)password, sizeof(password)), &conf->nobody);
    wipe(password, sizeof(password));
    return err;
}

static enum err open_login(void *base, struct setup *setup)
{
    struct login_conf *conf = base;
    if (login_idle(conf))
        return OK;
    if (password_init() != OK || totp_init() != OK)
        return ERR_SYSTEM;
    if (!lend_name_valid(setup, "pass", conf->pass))
        return ERR_CONFIG;
    TRY(find_store(conf, setup));
    TRY(page_style_open(&conf->look, setup, conf->brand, conf->style.text));
    conf->sessions = sessions_open(setup, &conf->session);
    void *counts = setup->shared(setup, "lockout", LOCKOUT_LAYOUT, lockout_bytes());
    if (conf->sessions == NULL || counts == NULL)
        return ERR_CONFIG;
    lockout_over(&conf->lockout, counts, setup->boot_key);
    warn_of_plain(setup);
    TRY(make_nobody(conf));
    conf->signed_in = (struct signed_in){ .sessions = conf->sessions,
                                          .style = &conf->look,
                                          .out = SPAN(LOGIN_OUT),
                                          .again = SPAN(LOGIN_FLOW),
                                          .step = SPAN(STEP_PASSWORD) };
    bool good =
        join_groups(conf, setup) && (conf->pass.len == 0 || lend_field(setup, conf->pass));
    return good ? OK : ERR_MEMORY;
}

void user_files_initial(struct snapshots *snapshots, const struct config *config)
{
    for (size_t i = 0; i < config->user_file_count; i++) {
        uint32_t id = user_file_id(config, i);
        snapshot_initial(snapshots, id, config->user_files[i].built);
        snapshots->items[id].kind = SNAPSHOT_USERS;
    }
}

/* ---- in a worker ---- */

static enum err attach_login(void *base, const void *conf, struct worker *worker)
{
    struct login_local *local = base;
    const struct login_conf *login = conf;
    if (login_idle(conf))
        return OK;
    TRY(hashpool_share(&local->pool, worker));
    TRY(sessions_attach(worker, login->sessions));
    local->worker = worker;
    local->sessions = login->sessions;
    return OK;
}

static void detach_login(void *base)
{
    struct login_local *local = base;
    if (local->pool != NULL)
        hashpool_let_go(local->pool);
    if (local->worker != NULL)
        sessions_detach(local->worker, local->sessions);
    *local = (struct login_local){ 0 };
}

const struct user_entry *login_user(struct call *c, struct span name, bool *ready)
{
    const struct login_conf *conf = c->conf;
    uint32_t id = user_file_id(c->worker->config, conf->index);
    INVARIANT(id < c->worker->snapshots->count);
    struct span block = snapshot_get(c->worker->snapshots, id);
    *ready = block.len > 0;
    return users_find(block, name);
}

/* The entry may go with the next snapshot: what is kept of it is copied. */
const struct identity *login_identity(struct arena *arena, const struct user_entry *entry,
                                      uint64_t proved_s, bool mfa)
{
    struct identity *identity = arena_new(arena, struct identity);
    struct span *groups = arena_array(arena, struct span, USER_GROUP_COUNT_MAX);
    struct span user = arena_copy(arena, span_text(entry->name));
    struct span rest = arena_copy(arena, span_text(entry->groups)), one;
    if (identity == NULL || groups == NULL || user.p == NULL || rest.p == NULL)
        return NULL;
    *identity =
        (struct identity){ .user = user, .groups = groups, .proved_s = proved_s, .mfa = mfa };
    while (rest.len > 0 && identity->group_count < USER_GROUP_COUNT_MAX &&
           span_cut(&rest, ',', &one))
        groups[identity->group_count++] = one;
    return identity;
}

/* ---- on the request path ---- */

/* Somebody who sees a page, and not a script, a picture or a program. */
static bool is_navigation(const struct request *req)
{
    const struct field *mode = fields_find(&req->fields, SPAN("Sec-Fetch-Mode"));
    return (req->method_id == METHOD_GET || req->method_id == METHOD_HEAD) &&
           reply_wants_page(req) && (mode == NULL || span_equal(mode->value, SPAN("navigate")));
}

static struct verdict lead_to_page(struct call *c)
{
    const struct login_conf *conf = c->conf;
    struct span handle, location;
    struct reply *reply = reply_new(c->txn, 302);
    struct signin signin = { .step = SPAN(STEP_PASSWORD), .target = return_target(c) };
    struct text text = text_growing(c->txn->arena, 160);
    if (reply == NULL || !signin_begin(c, conf->sessions, &signin, reply, &handle))
        return fail(REASON_MEMORY);
    text_lit(&text, LOGIN_FLOW);
    text_add(&text, handle);
    location = text_span(&text);
    if (text.overflow || !reply_field(reply, SPAN("Location"), location))
        return fail(REASON_MEMORY);
    return answer(REASON_AUTH_REQUIRED, reply);
}

static struct verdict ask(struct call *c)
{
    if (!demand_follows(c) && is_navigation(c->req))
        return lead_to_page(c);
    return demand(c, SPAN("Session"));
}

static const char *login_lacks(const void *base, const struct identity *identity)
{
    const struct login_conf *conf = base;
    for (size_t i = 0; i < conf->groups.count; i++)
        if (identity_in_group(identity, conf->groups.items[i]))
            return NULL;
    return conf->groups.count == 0 ? NULL : "login-group";
}

static struct verdict accept_user(struct call *c, const struct identity *identity)
{
    const struct login_conf *conf = c->conf;
    if (identity == NULL ||
        (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, identity->user)))
        return fail(REASON_MEMORY);
    fact_set_user(c, identity->user);
    fact_set_auth(c, SPAN("login"));
    fact_set_identity(c, identity);
    fact_set_signed_in(c, &conf->signed_in);
    const char *lacks = login_lacks(conf, identity);
    if (lacks == NULL)
        return pass();
    fact_set_auth_detail(c, lacks);
    return deny_with(REASON_AUTH_REFUSED, page_refused(c, conf->wanted, false));
}

static struct verdict by_session(struct call *c)
{
    const struct login_conf *conf = c->conf;
    bool ready;
    if (c->error != OK)
        return fail(REASON_AUTH_SESSIONS);
    const struct session *session =
        session_find(c, conf->sessions, SPAN("login"), conf->users.text);
    if (session == NULL)
        return ask(c);
    const struct identity *kept = session->content.identity;
    const struct user_entry *entry = login_user(c, kept->user, &ready);
    if (!ready)
        return fail(REASON_STAGE_FAILED);
    if (entry == NULL || entry->epoch != session->content.epoch) {
        fact_set_auth_detail(c, "login-revoked");
        return ask(c);
    }
    return accept_user(c, login_identity(c->txn->arena, entry, kept->proved_s, kept->mfa));
}

static struct verdict login_head(struct call *c)
{
    const struct login_conf *conf = c->conf;
    return session_user(c, conf->sessions, conf->pass, by_session);
}

static struct span login_page_name(const void *base, unsigned i)
{
    (void)base;
    return i == 0 ? SPAN("login") : SPAN("");
}

/* Routes may ask for other groups; who somebody is, is found out in one way on a site. */
static bool login_pages_alike(const void *one, const void *other)
{
    const struct login_conf *a = one, *b = other;
    return span_equal(a->users.text, b->users.text) && a->totp == b->totp &&
           a->session.idle.ms == b->session.idle.ms && a->session.max.ms == b->session.max.ms &&
           a->session.same_site == b->session.same_site && span_equal(a->brand, b->brand) &&
           span_equal(a->style.text, b->style.text);
}

static uint64_t login_page_body(const void *base)
{
    (void)base;
    return LOGIN_BODY_MAX;
}

const struct stage_type login_stage = {
    .name = "login",
    .summary = "Lets local users sign in by a form, with a session behind it.",
    .remembers = true,
    .options = login_options,
    .conf_size = sizeof(struct login_conf),
    .local_size = sizeof(struct login_local),
    .state_size = sizeof(struct login_state),
    .open = open_login,
    .attach = attach_login,
    .detach = detach_login,
    .idle = login_idle,
    .page = login_page_name,
    .pages_alike = login_pages_alike,
    .page_body = login_page_body,
    .gate = true,
    .authenticates = true,
    .lacks = login_lacks,
    .on = { [PHASE_REQUEST_HEAD] = login_head, [PHASE_PAGE] = login_page },
};
