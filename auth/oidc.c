/*
 * Sign-in at OpenID providers: authorisation code flow with PKCE (OpenID Connect Core 1.0, RFC
 * 7636, RFC 9700), and a session of our own behind it.
 *
 *     oidc:
 *       providers:
 *         - {name: corp, issuer: https://id.example.org, client_id: sallyport, client_secret:
 * ...}
 *
 * Who is nobody and wants a page is sent to the provider, with a state that only this browser
 * can bring back, a nonce and a challenge; any number of tabs may do so at once. Scripts and
 * programs get a 401. Who goes round in circles is stopped and told why.
 */
#include "auth/oidc.h"

#include <sodium.h>

#include "auth/demand.h"
#include "auth/lend.h"
#include "auth/oidc_stage.h"
#include "auth/strictjson.h"
#include "conf/schema.h"
#include "gateway/chain/edit.h"

enum {
    LIFETIME_S = 30 * 86400,
    CONNECT_MS = 3000,
    TOTAL_MS = 8000,
    RENEWING_S = 15, /* while one request renews, others go on, whatever the grace */
};

static const struct choice userinfo_choices[] = {
    { "auto", OIDC_USERINFO_AUTO, "Asked where the ID token lacks user or groups." },
    { "always", OIDC_USERINFO_ALWAYS, "Asked at each sign-in." },
    { "never", OIDC_USERINFO_NEVER, "Not asked." },
    { NULL, 0, NULL },
};

static const struct option provider_options[] = {
    OPTION(struct oidc_row, name, OPT_TEXT, .flags = OPTION_REQUIRED, .example = "corp",
           .help = "Stands in the redirect URI: /.sallyport/oidc/NAME/callback."),
    OPTION(struct oidc_row, title, OPT_TEXT,
           .help = "What people choose it by, where there are several."),
    OPTION(struct oidc_row, issuer, OPT_TEXT, .flags = OPTION_REQUIRED,
           .example = "https://id.example.org", .help = "Its name, which is its address."),
    OPTION(struct oidc_row, client_id, OPT_TEXT, .flags = OPTION_REQUIRED,
           .example = "sallyport", .help = "Who we are there."),
    OPTION(struct oidc_row, client_secret, OPT_SECRET,
           .help = "Our secret there; none: a public client."),
    OPTION(struct oidc_row, scopes, OPT_TEXTS, .fallback = "openid, profile, email",
           .help = "What is asked for; offline_access for a session that is renewed."),
    OPTION(struct oidc_row, algorithms, OPT_TEXTS,
           .fallback = "RS256, PS256, ES256, ES384, EdDSA",
           .help = "Signatures that its ID tokens may have."),
    OPTION(struct oidc_row, user_claim, OPT_TEXT, .fallback = "sub",
           .help = "Claim that names the user. `email` counts only where `email_verified` is "
                   "true."),
    OPTION(struct oidc_row, user_prefix, OPT_TEXT, .example = "corp/",
           .help =
               "Stands before the user's name, so that two providers cannot mean one person."),
    OPTION(struct oidc_row, groups_claim, OPT_TEXT, .fallback = "groups",
           .help = "Claim that lists the user's groups; a path with dots for one inside of "
                   "another."),
    OPTION(struct oidc_row, claims, OPT_TEXTS,
           .help = "Claims that the session keeps, for policies; all where none is named."),
    OPTION(struct oidc_row, userinfo, OPT_ENUM, .fallback = "auto", .choices = userinfo_choices,
           .help = "When its userinfo endpoint is asked."),
    OPTION(struct oidc_row, ca, OPT_FILE,
           .help = "PEM bundle of authorities for it; without one the system's."),
    OPTION(struct oidc_row, skew, OPT_DURATION, .fallback = "1m", .max = 600 * 1000,
           .help = "How far its clock may be from ours."),
    OPTIONS_END,
};

static const struct option oidc_options[] = {
    OPTION(struct oidc_conf, providers, OPT_LIST, .options = provider_options,
           .item_size = sizeof(struct oidc_row), .max = OIDC_PROVIDERS_MAX,
           .help = "Where people may sign in."),
    { .name = "session",
      .kind = OPT_OBJECT,
      .offset = offsetof(struct oidc_conf, session),
      .options = session_options,
      .help = "How long a sign-in lasts." },
    OPTION(struct oidc_conf, grace, OPT_DURATION, .fallback = "1h", .max = 86400 * 1000,
           .help = "How long a session goes on that is due to be renewed while the provider is "
                   "down."),
    OPTION(struct oidc_conf, pass, OPT_TEXT, .example = "X-Remote-User",
           .help = "Request field that tells upstream the user's name; none when empty. A "
                   "client's own field of that name is removed."),
    OPTION(struct oidc_conf, origin, OPT_URL, .example = "https://app.example.org",
           .help = "Where browsers reach the site, for the redirect URI; without it, as the "
                   "request says."),
    OPTION(struct oidc_conf, brand, OPT_TEXT, .help = "A name above the pages."),
    OPTION(struct oidc_conf, style, OPT_FILE, .help = "CSS that is added to the pages'."),
    OPTIONS_END,
};

/* ---- at load ---- */

static bool oidc_idle(const void *base)
{
    const struct oidc_conf *conf = base;
    return conf->providers.count == 0;
}

static bool name_good(struct span name)
{
    bool good = name.len > 0 && name.len <= OIDC_NAME_MAX;
    for (size_t i = 0; i < name.len; i++)
        good = good && ((name.p[i] >= 'a' && name.p[i] <= 'z') ||
                        (name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '-');
    /* These are pages. */
    return good && !span_equal(name, SPAN("out")) && !span_equal(name, SPAN("again"));
}

static bool read_algs(const struct oidc_row *row, struct setup *setup, uint32_t *algs)
{
    bool good = row->algorithms.count > 0;
    *algs = 0;
    for (size_t i = 0; i < row->algorithms.count; i++) {
        enum jose_alg alg = jose_alg_of(row->algorithms.items[i]);
        bool asymmetric = alg != JOSE_ALGS && (1u << alg & jose_algs_of(JOSE_SECRET)) == 0;
        good = good && asymmetric;
        *algs |= asymmetric ? 1u << alg : 0;
    }
    if (!good)
        complain(
            setup->complaint, SEVERITY_ERROR,
            "algorithms are some of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA");
    return good;
}

static bool join_scopes(const struct oidc_row *row, struct setup *setup, struct span *out)
{
    struct text scope = text_growing(setup->arena, 64);
    bool openid = false;
    for (size_t i = 0; i < row->scopes.count; i++) {
        openid = openid || span_equal(row->scopes.items[i], SPAN("openid"));
        if (i > 0)
            text_char(&scope, ' ');
        text_add(&scope, row->scopes.items[i]);
    }
    *out = text_span(&scope);
    if (!openid)
        complain(setup->complaint, SEVERITY_ERROR, "scopes have openid among them");
    return openid && !scope.overflow;
}

static enum err build_provider(struct oidc_conf *conf, struct setup *setup, size_t at)
{
    static struct span id_types[] = { SPAN_INIT("JWT") };
    const struct oidc_row *row = (const struct oidc_row *)conf->providers.items + at;
    struct oidc_provider *provider = &conf->built[at];
    uint32_t algs;
    if (!name_good(row->name)) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "name has 1 to 32 small letters, digits and -, and is not out or again");
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < at; i++)
        if (span_equal(conf->built[i].row->name, row->name) ||
            span_equal(conf->built[i].row->issuer, row->issuer)) {
            complain(setup->complaint, SEVERITY_ERROR, "a name or an issuer stands twice");
            return ERR_CONFIG;
        }
    if (row->client_id.len == 0 || row->user_claim.len == 0 || !read_algs(row, setup, &algs) ||
        !join_scopes(row, setup, &provider->scope)) {
        complain(setup->complaint, SEVERITY_ERROR, "client_id and user_claim are not empty");
        return ERR_CONFIG;
    }
    provider->row = row;
    provider->audience = row->client_id;
    provider->identity = (struct token_issuer){ .name = row->issuer,
                                                .audience = { &provider->audience, 1 },
                                                .types = { id_types, ARRAY_LEN(id_types) },
                                                .user_claim = row->user_claim,
                                                .user_prefix = row->user_prefix,
                                                .groups_claim = row->groups_claim,
                                                .lifetime_s = LIFETIME_S,
                                                .skew_s = (uint64_t)row->skew.ms / 1000 };
    struct provider_want want = {
        .option = "issuer", .issuer = row->issuer, .ca = row->ca, .algs = algs
    };
    return provider_use(setup, &want, &provider->index);
}

static enum err open_oidc(void *base, struct setup *setup)
{
    struct oidc_conf *conf = base;
    if (oidc_idle(conf))
        return OK;
    strict_json_init();
    if (sodium_init() < 0)
        return ERR_SYSTEM;
    if (!lend_name_valid(setup, "pass", conf->pass))
        return ERR_CONFIG;
    conf->built = arena_array(setup->arena, struct oidc_provider, conf->providers.count);
    if (conf->built == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < conf->providers.count; i++)
        TRY(build_provider(conf, setup, i));
    /* The cookie would not come along on the way back from the provider, which is another site:
     * round and round. */
    if (conf->session.same_site != 0) {
        complain(setup->complaint, SEVERITY_ERROR,
                 "session.same_site is lax here: who signs in comes from another site");
        return ERR_CONFIG;
    }
    if (conf->origin.path.len > 1) {
        complain(setup->complaint, SEVERITY_ERROR, "origin ends with its host or port");
        return ERR_CONFIG;
    }
    TRY(page_style_open(&conf->look, setup, conf->brand, conf->style.text));
    conf->sessions = sessions_open(setup, &conf->session);
    if (conf->sessions == NULL)
        return ERR_CONFIG;
    conf->signed_in = (struct signed_in){ .sessions = conf->sessions,
                                          .style = &conf->look,
                                          .out = SPAN(OIDC_OUT),
                                          .again = SPAN(OIDC_AGAIN),
                                          .step = SPAN(STEP_OIDC_AGAIN) };
    return conf->pass.len == 0 || lend_field(setup, conf->pass) ? OK : ERR_MEMORY;
}

/* ---- in a worker ---- */

static unsigned resolve(void *names, struct span host, struct addr *out, unsigned max)
{
    const struct oidc_way *way = names;
    const struct provider *own = &way->worker->config->providers[way->provider->index];
    struct provider_view view = provider_now(way->worker, way->provider->index);
    unsigned count = view.meta != NULL ? provider_addresses(view.meta, host, out, max) : 0;
    struct url issuer;
    struct arena arena;
    _Alignas(16) char room[2 * FETCH_URL_BYTES_MAX + 64];
    if (count > 0)
        return count;
    arena_init(&arena, room, sizeof(room), NULL, 0);
    if (fetch_url(own->issuer, &arena, &issuer) != NULL || !span_equal(issuer.host, host))
        return 0;
    count = own->addr_count < max ? own->addr_count : max;
    memcpy(out, own->addrs, count * sizeof(*out));
    return count;
}

static enum err attach_oidc(void *base, const void *from, struct worker *worker)
{
    struct oidc_local *local = base;
    const struct oidc_conf *conf = from;
    if (oidc_idle(conf))
        return OK;
    local->worker = worker;
    local->asker = asker_new(worker, NULL);
    if (local->asker == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < conf->providers.count; i++) {
        struct oidc_way *way = &local->ways[i];
        *way = (struct oidc_way){ .worker = worker, .provider = &conf->built[i] };
        way->policy =
            (struct fetch_policy){ .tls = worker->config->providers[conf->built[i].index].tls,
                                   .body_bytes = OIDC_ANSWER_BYTES_MAX,
                                   .connect_ms = CONNECT_MS,
                                   .total_ms = TOTAL_MS,
                                   .resolve = resolve,
                                   .names = way };
    }
    TRY(providers_attach(worker));
    local->attached = true;
    TRY(sessions_attach(worker, conf->sessions));
    local->sessions = conf->sessions;
    return OK;
}

static void detach_oidc(void *base)
{
    struct oidc_local *local = base;
    if (local->attached)
        providers_detach(local->worker);
    if (local->sessions != NULL)
        sessions_detach(local->worker, local->sessions);
    asker_free(local->asker);
    *local = (struct oidc_local){ 0 };
}

const struct oidc_provider *oidc_named(const struct oidc_conf *conf, struct span name)
{
    for (size_t i = 0; i < conf->providers.count; i++)
        if (span_equal(conf->built[i].row->name, name))
            return &conf->built[i];
    return NULL;
}

/* ---- who is signed in ---- */

struct verdict oidc_accept(struct call *c, const struct identity *identity)
{
    const struct oidc_conf *conf = c->conf;
    if (conf->pass.len > 0 && !edit_lend_field(c->txn, conf->pass, identity->user))
        return fail(REASON_MEMORY);
    fact_set_user(c, identity->user);
    fact_set_auth(c, SPAN("oidc"));
    fact_set_identity(c, identity);
    fact_set_signed_in(c, &conf->signed_in);
    return pass();
}

/* One request renews; the others go on as they are for a while. So do all when nobody can say
 * who it is that renews. */
static struct verdict on_lock(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    const struct oidc_state *s = c->state;
    uint64_t now_s = c->txn->clock->wall_us / 1000000u;
    uint64_t grace_s = (uint64_t)conf->grace.ms / 1000;
    struct oidc_extra extra;
    if (c->error == OK)
        return oidc_exchange_refresh(c);
    if (oidc_extra_read(s->session->content.extra, &extra) &&
        now_s < extra.until_s + (grace_s > RENEWING_S ? grace_s : RENEWING_S))
        return oidc_accept(c, s->session->content.identity);
    fact_set_auth_detail(c, "oidc-grace-over");
    return fail(REASON_AUTH_PROVIDER);
}

static struct verdict use_session(struct call *c, const struct session *session)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    uint64_t now_s = c->txn->clock->wall_us / 1000000u;
    struct oidc_extra extra;
    s->session = session;
    if (span_equal(session->content.extra, SPAN(OIDC_EXTRA_OVER))) {
        s->end = true;
        fact_set_auth_detail(c, "oidc-over");
        return oidc_nobody(c);
    }
    if (!oidc_extra_read(session->content.extra, &extra) || extra.refresh_token.len == 0 ||
        now_s < extra.until_s)
        return oidc_accept(c, session->content.identity);
    s->refresh_token = extra.refresh_token;
    return session_lock(c, conf->sessions, session, on_lock);
}

static struct verdict by_session(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    if (c->error != OK)
        return fail(REASON_AUTH_SESSIONS);
    for (size_t i = 0; i < conf->providers.count; i++) {
        const struct session *session =
            session_find(c, conf->sessions, SPAN("oidc"), conf->built[i].row->issuer);
        s->provider = &conf->built[i];
        if (session != NULL)
            return sessions_told(c, use_session(c, session));
    }
    return oidc_nobody(c);
}

static struct verdict oidc_head(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    return session_user(c, conf->sessions, conf->pass, by_session);
}

static struct span oidc_page_name(const void *base, unsigned i)
{
    (void)base;
    return i == 0 ? SPAN("oidc") : SPAN("");
}

/* Inherited: routes share what the site says. */
static bool oidc_pages_alike(const void *one, const void *other)
{
    const struct oidc_conf *a = one, *b = other;
    return a->providers.items == b->providers.items &&
           a->providers.count == b->providers.count &&
           span_equal(a->origin.text, b->origin.text) &&
           a->session.idle.ms == b->session.idle.ms && a->session.max.ms == b->session.max.ms &&
           a->session.same_site == b->session.same_site && span_equal(a->brand, b->brand) &&
           span_equal(a->style.text, b->style.text);
}

static uint64_t oidc_page_body(const void *base)
{
    (void)base;
    return OIDC_BODY_MAX;
}

const struct stage_type oidc_stage = {
    .name = "oidc",
    .summary = "Lets people sign in at OpenID providers, with a session behind it.",
    .remembers = true,
    .options = oidc_options,
    .conf_size = sizeof(struct oidc_conf),
    .local_size = sizeof(struct oidc_local),
    .state_size = sizeof(struct oidc_state),
    .open = open_oidc,
    .attach = attach_oidc,
    .detach = detach_oidc,
    .idle = oidc_idle,
    .page = oidc_page_name,
    .pages_alike = oidc_pages_alike,
    .page_body = oidc_page_body,
    .gate = true,
    .authenticates = true,
    .on = { [PHASE_REQUEST_HEAD] = oidc_head, [PHASE_PAGE] = oidc_page },
};
