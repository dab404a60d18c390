/*
 * Pages of sign-in at OpenID providers, below /.sallyport/oidc:
 *
 *   (itself)         the choice among several providers
 *   /NAME/start      to the one that was chosen
 *   /NAME/callback   back from it, with a code
 *   /NAME/backchannel  from the provider itself: a session is over there
 *   /again           to prove it once more
 *   /out             a button to sign out; and what it does
 */
#include "auth/oidc_stage.h"
#include "gateway/base/log.h"

enum { FORM_FIELDS_MAX = 8 };

static struct span param_of(struct call *c, struct span text, struct span name)
{
    struct params params = { 0 };
    if (params_parse(&params, text, FORM_FIELDS_MAX, c->txn->arena) != OK)
        return SPAN("");
    const struct param *param = params_find(&params, name);
    return param != NULL ? param->value : SPAN("");
}

static struct verdict too_late(struct call *c)
{
    if (!signin_browser_known(c))
        return oidc_message(
            c, REASON_AUTH_SIGNIN, "oidc-no-cookie", "No cookie came back",
            "Signing in needs cookies, and your browser sent none for this site. Please allow "
            "them, and see that the address begins with https.");
    return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-state", "This sign-in is over",
                        "It took too long, was completed already, or was not begun in this "
                        "browser.");
}

/* ---- back with a code ---- */

static bool read_secrets(struct oidc_state *s, struct span extra, struct span *name)
{
    struct span rest = extra;
    return span_cut(&rest, '\n', name) && span_cut(&rest, '\n', &s->nonce) &&
           span_cut(&rest, '\n', &s->verifier) && s->verifier.len == OIDC_NONCE_BYTES &&
           s->nonce.len == OIDC_NONCE_BYTES;
}

/* RFC 9207: an answer of one provider is not taken for that of another. */
static bool issuer_right(struct call *c, const struct oidc_provider *provider,
                         struct span issuer)
{
    struct provider_view view = provider_now(c->worker, provider->index);
    if (issuer.p != NULL)
        return span_equal(issuer, provider->row->issuer);
    return view.meta == NULL || !view.meta->tells_issuer;
}

static struct verdict refused_there(struct call *c, struct span error)
{
    struct oidc_state *s = c->state;
    log_info("an OpenID provider refused a sign-in", F_SPAN("provider", s->provider->row->name),
             F_SPAN("error", error));
    bool denied = span_equal(error, SPAN("access_denied"));
    return oidc_message(
        c, REASON_AUTH_SIGNIN, denied ? "oidc-denied" : "oidc-error", "You are not signed in",
        denied ? "The service that people sign in at did not let you pass, or you left it "
                 "without signing in."
               : "The service that people sign in at could not do what it was asked. If this "
                 "happens again, please tell whoever runs this site.");
}

static struct verdict callback(struct call *c, const struct oidc_provider *provider)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct oidc_return back;
    struct signin signin;
    struct span name;
    s->provider = provider;
    const char *why = oidc_returned(c->req->query, c->txn->arena, &back);
    if (why != NULL)
        return oidc_message(c, REASON_AUTH_SIGNIN, why, "You are not signed in",
                            "What came back with your browser is not understood.");
    /* Before anything else: whatever comes of it, this was its one use. */
    if (!signin_take(c, conf->sessions, SPAN(STEP_OIDC), back.state, &signin))
        return too_late(c);
    s->target = signin.target;
    if (!read_secrets(s, signin.extra, &name) || !span_equal(name, provider->row->name))
        return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-mix-up", "You are not signed in",
                            "The answer is of another service than the one that was asked.");
    if (!issuer_right(c, provider, back.issuer))
        return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-issuer", "You are not signed in",
                            "The answer is of another service than the one that was asked.");
    if (back.error.len > 0)
        return refused_there(c, back.error);
    s->code = back.code;
    return oidc_exchange_code(c);
}

/* ---- which one ---- */

/* The sign-in that the query names, begun in this browser for this step: where it leads to is
 * the state's target then. */
static bool goes_on(struct call *c, struct span step,
                    bool (*look)(struct call *c, const struct sessions *sessions,
                                 struct span step, struct span handle, struct signin *signin))
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct signin signin;
    struct span handle = param_of(c, c->req->query, SPAN("flow"));
    if (!look(c, conf->sessions, step, handle, &signin))
        return false;
    s->target = signin.target;
    return true;
}

static struct verdict choose(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct span handle = param_of(c, c->req->query, SPAN("flow"));
    if (!goes_on(c, SPAN(STEP_OIDC_CHOOSE), signin_find))
        return too_late(c);
    struct page_choice choices[OIDC_PROVIDERS_MAX];
    for (size_t i = 0; i < conf->providers.count; i++) {
        const struct oidc_row *row = conf->built[i].row;
        struct text link = text_growing(c->txn->arena, 192);
        text_lit(&link, OIDC_PAGE "/");
        text_add(&link, row->name);
        text_lit(&link, "/start?flow=");
        text_add(&link, handle);
        if (link.overflow)
            return fail(REASON_MEMORY);
        choices[i] = (struct page_choice){ text_span(&link),
                                           row->title.len > 0 ? row->title : row->name };
    }
    struct reply *reply = page_choose(c, &conf->look, choices, conf->providers.count);
    return reply != NULL ? answer(REASON_PAGE, reply) : fail(REASON_MEMORY);
}

static struct verdict start(struct call *c, const struct oidc_provider *provider)
{
    struct oidc_state *s = c->state;
    if (!goes_on(c, SPAN(STEP_OIDC_CHOOSE), signin_find))
        return too_late(c);
    s->provider = provider;
    return oidc_start(c);
}

/* Whose session the request has. */
static const struct session *own_session(struct call *c, const struct oidc_provider **provider)
{
    const struct oidc_conf *conf = c->conf;
    for (size_t i = 0; i < conf->providers.count; i++) {
        const struct session *session =
            session_find(c, conf->sessions, SPAN("oidc"), conf->built[i].row->issuer);
        *provider = &conf->built[i];
        if (session != NULL)
            return session;
    }
    return NULL;
}

static struct verdict again(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    if (!goes_on(c, SPAN(STEP_OIDC_AGAIN), signin_take))
        return too_late(c);
    s->again = own_session(c, &s->provider) != NULL;
    if (!s->again)
        s->provider = &conf->built[0];
    return oidc_start(c);
}

/* ---- out ---- */

static struct verdict show_out(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    const struct oidc_provider *provider;
    const struct session *session = own_session(c, &provider);
    char *token = arena_alloc(c->txn->arena, FORM_TOKEN_BYTES);
    struct reply *reply;
    if (session == NULL) {
        const struct page_note note = { SPAN("Signed out"), SPAN("You are not signed in here."),
                                        SPAN("/"), SPAN("Go on") };
        reply = page_message(c, &conf->look, 200, &note);
    } else {
        if (token == NULL || !form_token(c, conf->sessions, SPAN(OIDC_OUT), token))
            return fail(REASON_MEMORY);
        struct page_form form = { .action = SPAN(OIDC_OUT),
                                  .token = span_of(token, FORM_TOKEN_BYTES) };
        reply = page_signed_in(c, &conf->look, &form, session->content.identity->user);
    }
    return reply != NULL ? answer(REASON_PAGE, reply) : fail(REASON_MEMORY);
}

/* OpenID Connect RP-Initiated Logout 1.0. False: the provider has no such address. */
static bool end_url(struct call *c, const struct oidc_provider *provider,
                    const struct session *session, struct text *out)
{
    struct oidc_extra extra;
    struct provider_view view = provider_now(c->worker, provider->index);
    struct text back = text_growing(c->txn->arena, 128);
    if (view.meta == NULL || view.meta->endpoints[ENDPOINT_END_SESSION].len == 0)
        return false;
    struct span endpoint = view.meta->endpoints[ENDPOINT_END_SESSION];
    text_add(out, endpoint);
    text_char(out, span_index(endpoint, '?') >= 0 ? '&' : '?');
    oidc_param(out, SPAN("client_id"), provider->row->client_id);
    /* With it the provider knows whose session is meant, and need not ask (section 2). */
    if (oidc_extra_read(session->content.extra, &extra) && extra.hint.len > 0)
        oidc_param(out, SPAN("id_token_hint"), extra.hint);
    if (oidc_origin(c, &back))
        text_lit(&back, OIDC_OUT);
    oidc_param(out, SPAN("post_logout_redirect_uri"), text_span(&back));
    return !out->overflow && !back.overflow;
}

/* The session here is over at once. The way to the provider is a page that leads there by
 * itself: a form may not (`form-action 'self'`). */
static struct verdict sign_out(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    const struct oidc_provider *provider;
    struct span token = param_of(c, c->body, SPAN("token"));
    struct text url = text_growing(c->txn->arena, 256),
                refresh = text_growing(c->txn->arena, 256);
    if (!form_token_right(c, conf->sessions, SPAN(OIDC_OUT), token))
        return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-form", "You are still signed in",
                            "This button is too old, or is not of this site.");
    const struct session *session = own_session(c, &provider);
    bool there = session != NULL && end_url(c, provider, session, &url);
    const struct page_note note = {
        .title = SPAN("Signed out"),
        .sentence = there ? SPAN("You are signed out here, and are led to the service that you "
                                 "signed in at, to be signed out there, too.")
                          : SPAN("You are signed out here."),
        .link = there ? text_span(&url) : SPAN("/"),
        .link_text = there ? SPAN("Go there") : SPAN("Go on"),
    };
    struct reply *reply = page_message(c, &conf->look, 200, &note);
    if (reply == NULL || !session_end(c, conf->sessions, reply))
        return fail(REASON_MEMORY);
    if (there) {
        text_lit(&refresh, "0; url=");
        text_add(&refresh, text_span(&url));
        if (refresh.overflow || !reply_field(reply, SPAN("Refresh"), text_span(&refresh)))
            return fail(REASON_MEMORY);
    }
    return answer(REASON_SIGNED_OUT, reply);
}

/* ---- told by the provider ---- */

static struct verdict backchannel_answer(struct call *c, const char *detail)
{
    struct reply *reply = reply_new(c->txn, detail == NULL ? 200 : 400);
    if (reply == NULL)
        return fail(REASON_MEMORY);
    /* Back-Channel Logout section 2.8. */
    reply->type = SPAN("application/json");
    reply->body = detail == NULL ? SPAN("{}") : SPAN("{\"error\":\"invalid_request\"}");
    if (detail != NULL)
        fact_set_auth_detail(c, detail);
    return answer(detail == NULL ? REASON_PAGE : REASON_AUTH_SIGNIN, reply);
}

static struct verdict backchannel_go(struct call *c);

static struct verdict backchannel_resume(struct call *c)
{
    return sessions_told(c, backchannel_go(c));
}

static struct verdict backchannel_go(struct call *c)
{
    static struct span types[] = { SPAN_INIT("JWT"), SPAN_INIT("logout+jwt") };
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct token_issuer issuer;
    struct oidc_logout out;
    struct span token = param_of(c, c->body, SPAN("logout_token"));
    const char *why = "token-key-unknown";
    if (oidc_issuer_now(c, s->provider, &issuer)) {
        issuer.types = (struct texts){ types, ARRAY_LEN(types) };
        why = oidc_logout_token(&issuer, token, c->txn->clock->wall_us / 1000000u,
                                c->txn->arena, &out);
    }
    if (why != NULL && strcmp(why, "token-key-unknown") == 0 && s->steps++ == 0) {
        struct op *op = provider_ask(c->worker, s->provider->index);
        if (op != NULL)
            return wait_for(c, op, backchannel_resume);
    }
    if (why != NULL)
        return backchannel_answer(c, why);
    /* One session where it is named, else all of that subject. */
    struct span realm = s->provider->row->issuer;
    size_t ended = out.sid.len > 0
                       ? sessions_end_sid(c, conf->sessions, realm, out.sid)
                       : sessions_end_subject(c, conf->sessions, realm, out.subject);
    log_info("an OpenID provider has ended sessions",
             F_SPAN("provider", s->provider->row->name), F_INT("sessions", ended));
    return backchannel_answer(c, NULL);
}

static struct verdict backchannel(struct call *c, const struct oidc_provider *provider)
{
    struct oidc_state *s = c->state;
    s->provider = provider;
    return backchannel_go(c);
}

/* ---- which page ---- */

static struct verdict page_of_provider(struct call *c, struct span path)
{
    static const struct {
        struct span name;
        enum method method;
        struct verdict (*page)(struct call *c, const struct oidc_provider *provider);
    } pages[] = { { SPAN_INIT("callback"), METHOD_GET, callback },
                  { SPAN_INIT("start"), METHOD_GET, start },
                  { SPAN_INIT("backchannel"), METHOD_POST, backchannel } };
    const struct oidc_conf *conf = c->conf;
    struct span rest = path, name;
    const struct oidc_provider *provider =
        span_cut(&rest, '/', &name) ? oidc_named(conf, name) : NULL;
    for (size_t i = 0; provider != NULL && i < ARRAY_LEN(pages); i++)
        if (span_equal(rest, pages[i].name))
            return c->req->method_id == pages[i].method ? pages[i].page(c, provider)
                                                        : deny(REASON_METHOD);
    return pass();
}

static struct verdict show_page(struct call *c)
{
    struct span path = c->req->path;
    bool get = c->req->method_id == METHOD_GET, post = c->req->method_id == METHOD_POST;
    if (span_equal(path, SPAN(OIDC_PAGE)))
        return get ? choose(c) : deny(REASON_METHOD);
    if (span_equal(path, SPAN(OIDC_OUT)))
        return get ? show_out(c) : post ? sign_out(c) : deny(REASON_METHOD);
    if (span_equal(path, SPAN(OIDC_PAGE "/again")))
        return get ? again(c) : deny(REASON_METHOD);
    if (span_starts(path, SPAN(OIDC_PAGE "/")))
        return page_of_provider(c, span_sub(path, sizeof(OIDC_PAGE "/") - 1, path.len));
    return pass();
}

static struct verdict on_ready(struct call *c)
{
    return c->error == OK ? sessions_told(c, show_page(c)) : fail(REASON_AUTH_SESSIONS);
}

struct verdict oidc_page(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct span handle = param_of(c, c->req->query, SPAN("flow"));
    if (handle.len == 0)
        handle = param_of(c, c->req->query, SPAN("state"));
    return sessions_ready(c, conf->sessions, handle, on_ready);
}
