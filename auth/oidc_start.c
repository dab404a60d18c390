/*
 * The way to a provider: who is sent there, with what, and when no more; and what is said where
 * it leads nowhere. The state, the nonce and the verifier of PKCE are made here, and kept on
 * this side; the browser gets a handle.
 */
#include "auth/demand.h"
#include "auth/oidc_stage.h"

/* ---- answers ---- */

struct verdict oidc_message(struct call *c, enum reason reason, const char *detail,
                            const char *title, const char *sentence)
{
    const struct oidc_conf *conf = c->conf;
    const struct oidc_state *s = c->state;
    struct span target = s->target.len > 0 ? s->target : SPAN("/");
    const struct page_note note = { span_text(title), span_text(sentence), target,
                                    SPAN("Try again") };
    struct reply *reply = page_message(c, &conf->look, reason_row(reason)->status, &note);
    if (detail != NULL)
        fact_set_auth_detail(c, detail);
    return reply != NULL ? answer(reason, reply) : fail(REASON_MEMORY);
}

bool oidc_origin(struct call *c, struct text *out)
{
    const struct oidc_conf *conf = c->conf;
    const struct request *req = c->req;
    if (conf->origin.text.len > 0) {
        struct span origin = conf->origin.text;
        while (origin.len > 0 && origin.p[origin.len - 1] == '/')
            origin.len--;
        text_add(out, origin);
        return !out->overflow;
    }
    uint16_t usual = span_equal(req->scheme, SPAN("https")) ? 443 : 80;
    text_add(out, req->scheme);
    text_lit(out, "://");
    text_add(out, req->host);
    if (req->port != 0 && req->port != usual) {
        text_char(out, ':');
        text_uint(out, req->port);
    }
    return !out->overflow;
}

bool oidc_redirect_uri(struct call *c, const struct oidc_provider *provider, struct text *out)
{
    bool good = oidc_origin(c, out);
    text_lit(out, OIDC_PAGE "/");
    text_add(out, provider->row->name);
    text_lit(out, "/callback");
    return good && !out->overflow;
}

/* ---- round and round ---- */

/* "COUNT.SECONDS": of sign-ins that were completed, for any number of tabs may begin one. The
 * browser's own count: who changes it stops nobody but himself. */
static unsigned rounds_so_far(struct call *c, uint64_t *since_s)
{
    uint64_t now_s = c->txn->clock->wall_us / 1000000u;
    struct params cookies = { 0 };
    struct span count;
    uint64_t number;
    const struct field *field = fields_get(&c->req->fields, FIELD_COOKIE);
    *since_s = now_s;
    for (; field != NULL; field = fields_next(&c->req->fields, field))
        if (cookies_parse(&cookies, field->value, SESSION_COOKIES_MAX, c->txn->arena) != OK)
            return 0;
    const struct param *cookie = params_find(&cookies, SPAN(OIDC_ROUNDS));
    struct span rest = cookie != NULL ? cookie->value : SPAN("");
    if (rest.len == 0 || !span_cut(&rest, '.', &count) || !span_uint(count, &number) ||
        rest.p == NULL || !span_uint(rest, since_s) || *since_s > now_s ||
        now_s - *since_s >= OIDC_ROUNDS_S) {
        *since_s = now_s;
        return 0;
    }
    return number < OIDC_ROUNDS_MAX ? (unsigned)number : OIDC_ROUNDS_MAX;
}

bool oidc_count_round(struct call *c, struct reply *reply)
{
    struct text cookie = text_growing(c->txn->arena, 128);
    uint64_t since_s;
    unsigned rounds = rounds_so_far(c, &since_s) + 1;
    text_format(&cookie,
                OIDC_ROUNDS "=%u.%llu; Max-Age=%d; Path=/; Secure; HttpOnly; SameSite=Lax",
                rounds, (unsigned long long)since_s, OIDC_ROUNDS_S);
    return !cookie.overflow && reply_field(reply, SPAN("Set-Cookie"), text_span(&cookie));
}

static struct verdict in_circles(struct call *c)
{
    return oidc_message(
        c, REASON_AUTH_LOOP, "oidc-loop", "Sign-in goes round in circles",
        "You were sent to sign in three times within a minute, and came back without a session "
        "each time. The session's cookie is not kept or does not reach this site: cookies may "
        "be blocked, the site may not be reached by https, or it may be served under another "
        "name. Please wait a minute before you try again.");
}

/* ---- to the provider ---- */

static bool authorization_url(struct call *c, const struct provider_meta *meta,
                              struct span handle, struct text *out)
{
    const struct oidc_state *s = c->state;
    struct span endpoint = meta->endpoints[ENDPOINT_AUTHORIZATION];
    struct text uri = text_growing(c->txn->arena, 128), proof = text_growing(c->txn->arena, 48);
    text_add(out, endpoint);
    text_char(out, span_index(endpoint, '?') >= 0 ? '&' : '?');
    oidc_challenge(&proof, s->verifier);
    if (!oidc_redirect_uri(c, s->provider, &uri) || proof.overflow)
        return false;
    oidc_param(out, SPAN("response_type"), SPAN("code"));
    oidc_param(out, SPAN("client_id"), s->provider->row->client_id);
    oidc_param(out, SPAN("redirect_uri"), text_span(&uri));
    oidc_param(out, SPAN("scope"), s->provider->scope);
    oidc_param(out, SPAN("state"), handle);
    oidc_param(out, SPAN("nonce"), s->nonce);
    oidc_param(out, SPAN("code_challenge"), text_span(&proof));
    oidc_param(out, SPAN("code_challenge_method"), SPAN("S256"));
    if (s->again) {
        oidc_param(out, SPAN("prompt"), SPAN("login"));
        oidc_param(out, SPAN("max_age"), SPAN("0"));
    }
    return !out->overflow;
}

/* What only this browser can bring back: name, nonce and verifier, on our side. */
static bool make_secrets(struct call *c, struct span *extra)
{
    struct oidc_state *s = c->state;
    char *nonce = arena_alloc(c->txn->arena, OIDC_NONCE_BYTES);
    char *verifier = arena_alloc(c->txn->arena, OIDC_NONCE_BYTES);
    struct text text = text_growing(c->txn->arena, 160);
    if (nonce == NULL || verifier == NULL)
        return false;
    oidc_random(nonce);
    oidc_random(verifier);
    s->nonce = span_of(nonce, OIDC_NONCE_BYTES);
    s->verifier = span_of(verifier, OIDC_NONCE_BYTES);
    text_add(&text, s->provider->row->name);
    text_char(&text, '\n');
    text_add(&text, s->nonce);
    text_char(&text, '\n');
    text_add(&text, s->verifier);
    *extra = text_span(&text);
    return !text.overflow;
}

static struct verdict send_there(struct call *c, const struct provider_meta *meta)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct signin signin = { .step = SPAN(STEP_OIDC), .target = s->target };
    struct text url = text_growing(c->txn->arena, 1024);
    struct span handle;
    uint64_t since_s;
    struct reply *reply = reply_new(c->txn, 302);
    if (rounds_so_far(c, &since_s) >= OIDC_ROUNDS_MAX)
        return in_circles(c);
    if (reply == NULL || !make_secrets(c, &signin.extra) ||
        !signin_begin(c, conf->sessions, &signin, reply, &handle) ||
        !authorization_url(c, meta, handle, &url) ||
        !reply_field(reply, SPAN("Location"), text_span(&url)))
        return fail(REASON_MEMORY);
    if (s->end && !session_end(c, conf->sessions, reply))
        return fail(REASON_MEMORY);
    return answer(REASON_AUTH_REDIRECT, reply);
}

static struct verdict start_again(struct call *c)
{
    return sessions_told(c, oidc_start(c));
}

struct verdict oidc_start(struct call *c)
{
    struct oidc_state *s = c->state;
    struct provider_view view = provider_now(c->worker, s->provider->index);
    if (view.meta != NULL)
        return send_there(c, view.meta);
    struct op *op = s->asked ? NULL : provider_ask(c->worker, s->provider->index);
    s->asked = true;
    if (op != NULL)
        return wait_for(c, op, start_again);
    return oidc_message(
        c, REASON_AUTH_PROVIDER, "oidc-provider-down", "Sign-in is not possible",
        "The service that people sign in at cannot be reached at the moment. "
        "Who is signed in already stays so. Please try again in a few minutes.");
}

static struct verdict let_choose(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct signin signin = { .step = SPAN(STEP_OIDC_CHOOSE), .target = s->target };
    struct text location = text_growing(c->txn->arena, 160);
    struct reply *reply = reply_new(c->txn, 302);
    struct span handle;
    if (reply == NULL || !signin_begin(c, conf->sessions, &signin, reply, &handle))
        return fail(REASON_MEMORY);
    text_lit(&location, OIDC_CHOOSE);
    text_add(&location, handle);
    if (location.overflow || !reply_field(reply, SPAN("Location"), text_span(&location)) ||
        (s->end && !session_end(c, conf->sessions, reply)))
        return fail(REASON_MEMORY);
    return answer(REASON_AUTH_REDIRECT, reply);
}

/* Somebody who sees a page, and not a script, a picture or a program. */
static bool is_navigation(const struct request *req)
{
    const struct field *mode = fields_find(&req->fields, SPAN("Sec-Fetch-Mode"));
    return (req->method_id == METHOD_GET || req->method_id == METHOD_HEAD) &&
           reply_wants_page(req) && (mode == NULL || span_equal(mode->value, SPAN("navigate")));
}

struct verdict oidc_nobody(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    if (demand_follows(c) || !is_navigation(c->req))
        return demand(c, SPAN("Session"));
    s->target = return_target(c);
    if (conf->providers.count > 1)
        return let_choose(c);
    s->provider = &conf->built[0];
    return oidc_start(c);
}
