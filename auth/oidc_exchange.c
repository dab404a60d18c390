/*
 * The exchange with a provider: the code (or a refresh token) for tokens, the ID token checked,
 * userinfo where something lacks, then a session. Each step is a question to another server, so
 * each ends in wait_for, and what is known so far stands in the transaction's state.
 */
#include <jansson.h>

#include "auth/demand.h"
#include "auth/oidc_stage.h"
#include "auth/strictjson.h"
#include "gateway/base/log.h"

static struct verdict on_tokens(struct call *c);
static struct verdict on_userinfo(struct call *c);
static struct verdict on_keys(struct call *c);

static uint64_t now_of(const struct call *c)
{
    return c->txn->clock->wall_us / 1000000u;
}

/* ---- the session's own ---- */

bool oidc_extra_read(struct span extra, struct oidc_extra *out)
{
    struct span number;
    *out = (struct oidc_extra){ .refresh_token = extra };
    /* The refresh token comes last: it alone may have any byte in it. */
    return span_cut(&out->refresh_token, '\n', &number) && span_uint(number, &out->until_s) &&
           span_cut(&out->refresh_token, '\n', &out->hint) && out->refresh_token.p != NULL;
}

/* Shortly before the access token ends; five minutes from now where its end is not said. */
static bool write_extra(struct text *out, struct call *c)
{
    const struct oidc_state *s = c->state;
    struct oidc_extra before = { .hint = SPAN("") };
    uint64_t lasts_s = s->tokens.lasts_s;
    uint64_t lasts = lasts_s == 0 ? 300 : lasts_s > 60 ? lasts_s - 30 : (lasts_s + 1) / 2;
    if (s->session != NULL)
        (void)oidc_extra_read(s->session->content.extra, &before);
    struct span hint = s->tokens.id_token.len > 0 ? s->tokens.id_token : before.hint;
    text_uint(out, now_of(c) + (lasts < 86400 ? lasts : 86400));
    text_char(out, '\n');
    if (hint.len <= OIDC_HINT_MAX)
        text_add(out, hint);
    text_char(out, '\n');
    text_add(out, s->tokens.refresh_token.len > 0 ? s->tokens.refresh_token : s->refresh_token);
    return !out->overflow;
}

/* ---- how it ends when it does not end well ---- */

/* The provider cannot be reached, or is not itself. */
static struct verdict provider_down(struct call *c, const char *detail)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_local *local = c->local;
    struct oidc_state *s = c->state;
    struct oidc_extra extra;
    log_warn("an OpenID provider does not answer as it should",
             F_SPAN("provider", s->provider->row->name), F_TEXT("detail", detail),
             F_TEXT("why", asker_why(local->asker)));
    if (s->session == NULL)
        return oidc_message(c, REASON_AUTH_PROVIDER, detail, "Sign-in is not possible",
                            "The service that people sign in at does not answer as it should. "
                            "Please try again in a moment.");
    /* Who is signed in is not thrown out by somebody else's trouble, for a while. */
    if (oidc_extra_read(s->session->content.extra, &extra) &&
        now_of(c) < extra.until_s + (uint64_t)conf->grace.ms / 1000)
        return oidc_accept(c, s->session->content.identity);
    fact_set_auth_detail(c, "oidc-grace-over");
    return fail(REASON_AUTH_PROVIDER);
}

/* Marked before anything is answered: whatever this request gets, the next one is nobody's. */
static struct verdict taken_back(struct call *c, const char *detail)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct session_content content = s->session->content;
    content.extra = SPAN(OIDC_EXTRA_OVER);
    fact_set_auth_detail(c, detail);
    if (!session_renew(c, conf->sessions, s->session, &content))
        return fail(REASON_AUTH_PROVIDER);
    s->end = true;
    return oidc_nobody(c);
}

/* It was ended while the provider was asked, or says more now than there is room for. */
static struct verdict not_renewed(struct call *c)
{
    struct oidc_state *s = c->state;
    s->end = true;
    fact_set_auth_detail(c, "oidc-not-renewed");
    return oidc_nobody(c);
}

/* What came is no good: nobody is signed in by it. */
static struct verdict not_believed(struct call *c, const char *detail)
{
    struct oidc_state *s = c->state;
    if (s->session != NULL)
        return taken_back(c, detail);
    return oidc_message(c, REASON_AUTH_SIGNIN, detail, "You are not signed in",
                        "The answer of the service that people sign in at was not accepted. If "
                        "this happens again, please tell whoever runs this site.");
}

static struct verdict no_identity(struct call *c, enum jose_error error)
{
    if (error == JOSE_MEMORY)
        return fail(REASON_MEMORY);
    if (error == JOSE_GROUPS)
        return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-groups", "You are not signed in",
                            "The service that people sign in at left out your groups, for they "
                            "are too many, or named them in a way that is not understood. "
                            "Whoever runs this site can have it send fewer.");
    if (error == JOSE_SUBJECT)
        return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-no-user", "You are not signed in",
                            "The service that people sign in at does not say who you are in "
                            "the way that this site asks for: the name is missing, or the "
                            "address is not verified.");
    return not_believed(c, jose_slug(error));
}

/* ---- asking ---- */

static struct oidc_way *way_of(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_local *local = c->local;
    const struct oidc_state *s = c->state;
    return &local->ways[s->provider - conf->built];
}

static struct verdict ask(struct call *c, const struct fetch_ask *question, stage_fn *then)
{
    struct oidc_local *local = c->local;
    struct op *op = asker_ask(local->asker, &way_of(c)->policy, question);
    return op != NULL ? wait_for(c, op, then) : fail(REASON_AUTH_BUSY);
}

/* Our name, and our secret in the way that the provider takes it. */
static bool put_client(struct call *c, const struct provider_meta *meta, struct text *form,
                       struct text *authorization)
{
    const struct oidc_state *s = c->state;
    const struct oidc_row *row = s->provider->row;
    struct span secret = span_of(row->client_secret.p, row->client_secret.len);
    if (secret.len > 0 && !meta->basic_refused) {
        oidc_basic(authorization, row->client_id, secret);
        return !authorization->overflow;
    }
    oidc_param(form, SPAN("client_id"), row->client_id);
    if (secret.len > 0)
        oidc_param(form, SPAN("client_secret"), secret);
    return !form->overflow;
}

static struct verdict ask_tokens(struct call *c, struct text *form)
{
    const struct oidc_state *s = c->state;
    struct provider_view view = provider_now(c->worker, s->provider->index);
    struct text authorization = text_growing(c->txn->arena, 128);
    if (view.meta == NULL)
        return provider_down(c, "oidc-provider-down");
    if (!put_client(c, view.meta, form, &authorization) || form->overflow)
        return fail(REASON_MEMORY);
    struct fetch_field field = { SPAN("Authorization"), text_span(&authorization) };
    struct fetch_ask question = { .url = view.meta->endpoints[ENDPOINT_TOKEN],
                                  .post = text_span(form),
                                  .post_type = SPAN("application/x-www-form-urlencoded"),
                                  .accept = SPAN("application/json"),
                                  .fields = &field,
                                  .field_count = 1 };
    return ask(c, &question, on_tokens);
}

struct verdict oidc_exchange_code(struct call *c)
{
    struct oidc_state *s = c->state;
    struct text form = text_growing(c->txn->arena, 512), uri = text_growing(c->txn->arena, 128);
    if (!oidc_redirect_uri(c, s->provider, &uri))
        return fail(REASON_MEMORY);
    oidc_param(&form, SPAN("grant_type"), SPAN("authorization_code"));
    oidc_param(&form, SPAN("code"), s->code);
    oidc_param(&form, SPAN("redirect_uri"), text_span(&uri));
    oidc_param(&form, SPAN("code_verifier"), s->verifier);
    return ask_tokens(c, &form);
}

struct verdict oidc_exchange_refresh(struct call *c)
{
    struct oidc_state *s = c->state;
    struct text form = text_growing(c->txn->arena, 512);
    oidc_param(&form, SPAN("grant_type"), SPAN("refresh_token"));
    oidc_param(&form, SPAN("refresh_token"), s->refresh_token);
    return ask_tokens(c, &form);
}

/* ---- the tokens ---- */

static void drop_claims(void *state)
{
    struct oidc_state *s = state;
    json_decref(s->trusted.claims);
    s->trusted.claims = NULL;
}

bool oidc_issuer_now(struct call *c, const struct oidc_provider *provider,
                     struct token_issuer *issuer)
{
    struct provider_view view = provider_now(c->worker, provider->index);
    *issuer = provider->identity;
    issuer->user_claim = SPAN("sub");
    issuer->user_prefix = issuer->groups_claim = SPAN("");
    if (view.keys != NULL)
        issuer->keys = *view.keys;
    return view.keys != NULL;
}

static bool has_claim(const json_t *claims, struct span path)
{
    struct span first = path, rest = path;
    return json_object_getn(claims, path.p, path.len) != NULL ||
           (span_cut(&rest, '.', &first) && rest.p != NULL &&
            json_object_getn(claims, first.p, first.len) != NULL);
}

static bool wants_userinfo(struct call *c, const struct provider_meta *meta)
{
    const struct oidc_state *s = c->state;
    const struct oidc_row *row = s->provider->row;
    if (meta == NULL || meta->endpoints[ENDPOINT_USERINFO].len == 0 ||
        row->userinfo == OIDC_USERINFO_NEVER)
        return false;
    return row->userinfo == OIDC_USERINFO_ALWAYS ||
           !has_claim(s->trusted.claims, row->user_claim) ||
           (row->groups_claim.len > 0 && !has_claim(s->trusted.claims, row->groups_claim));
}

/* ---- the end: who it is ---- */

/* Of the claims those that the session is to keep. */
static bool keep_claims(const struct oidc_row *row, struct arena *arena,
                        struct identity *identity)
{
    struct claim *kept = arena_array(arena, struct claim, identity->claim_count + 1);
    size_t count = 0;
    if (kept == NULL)
        return false;
    for (size_t i = 0; i < identity->claim_count; i++)
        for (size_t k = 0; k < row->claims.count; k++)
            if (span_equal(identity->claims[i].name, row->claims.items[k])) {
                kept[count++] = identity->claims[i];
                break;
            }
    identity->claims = kept;
    identity->claim_count = count;
    return true;
}

static struct verdict begin_session(struct call *c, const struct session_content *content)
{
    const struct oidc_conf *conf = c->conf;
    const struct oidc_state *s = c->state;
    struct reply *reply = page_redirect(c, 303, s->target);
    if (reply == NULL || !oidc_count_round(c, reply))
        return fail(REASON_MEMORY);
    if (session_begin(c, conf->sessions, &conf->session, content, reply))
        return answer(REASON_SIGNED_IN, reply);
    return oidc_message(c, REASON_AUTH_SIGNIN, "oidc-too-much", "You are not signed in",
                        "The service that people sign in at says more of you than a session "
                        "has room for. Whoever runs this site can name the claims that are "
                        "kept.");
}

static struct verdict take_identity(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct verified *verified = NULL;
    struct text extra = text_growing(c->txn->arena, 256);
    struct span subject = arena_copy(c->txn->arena, strict_json_text(s->trusted.claims, "sub"));
    s->sid = arena_copy(c->txn->arena, strict_json_text(s->trusted.claims, "sid"));
    oidc_forget_protocol(s->trusted.claims);
    s->trusted.issuer = &s->provider->identity;
    enum jose_error error = token_identity(&s->trusted, &verified);
    if (error != JOSE_OK)
        return no_identity(c, error);
    if (!arena_defer(c->txn->arena, verified_release, verified)) {
        verified_release(verified);
        return fail(REASON_MEMORY);
    }
    struct identity *identity = &verified->identity;
    if (s->session != NULL) {
        /* A renewal proves nothing anew. */
        identity->proved_s = s->session->content.identity->proved_s;
        identity->mfa = s->session->content.identity->mfa;
    }
    if ((s->provider->row->claims.count > 0 &&
         !keep_claims(s->provider->row, c->txn->arena, identity)) ||
        !write_extra(&extra, c) || subject.p == NULL || s->sid.p == NULL)
        return fail(REASON_MEMORY);
    struct session_content content = { .identity = identity,
                                       .via = SPAN("oidc"),
                                       .realm = s->provider->row->issuer,
                                       .subject = subject,
                                       .sid = s->session != NULL && s->sid.len == 0
                                                  ? s->session->content.sid
                                                  : s->sid,
                                       .extra = text_span(&extra) };
    if (s->session == NULL)
        return begin_session(c, &content);
    if (!session_renew(c, conf->sessions, s->session, &content))
        return not_renewed(c);
    return oidc_accept(c, identity);
}

/* Renewed, and nothing was said of the user: he is who he was. */
static struct verdict keep_identity(struct call *c)
{
    const struct oidc_conf *conf = c->conf;
    struct oidc_state *s = c->state;
    struct text extra = text_growing(c->txn->arena, 256);
    struct session_content content = s->session->content;
    if (!write_extra(&extra, c))
        return fail(REASON_MEMORY);
    content.extra = text_span(&extra);
    if (!session_renew(c, conf->sessions, s->session, &content))
        return not_renewed(c);
    return oidc_accept(c, content.identity);
}

/* ---- userinfo ---- */

static struct verdict take_userinfo(struct call *c)
{
    struct oidc_state *s = c->state;
    const struct fetch_answer *said = c->answer;
    if (c->error != OK || said->status >= 500)
        return provider_down(c, "oidc-userinfo-down");
    const char *why = oidc_userinfo(
        &s->trusted, said->status, fields_value(&said->fields, FIELD_CONTENT_TYPE), said->body);
    return why != NULL ? not_believed(c, why) : take_identity(c);
}

static struct verdict on_userinfo(struct call *c)
{
    return sessions_told(c, take_userinfo(c));
}

static struct verdict ask_userinfo(struct call *c, const struct provider_meta *meta)
{
    const struct oidc_state *s = c->state;
    struct text bearer = text_growing(c->txn->arena, 64);
    text_lit(&bearer, "Bearer ");
    text_add(&bearer, s->tokens.access_token);
    if (bearer.overflow)
        return fail(REASON_MEMORY);
    struct fetch_field field = { SPAN("Authorization"), text_span(&bearer) };
    struct fetch_ask question = { .url = meta->endpoints[ENDPOINT_USERINFO],
                                  .accept = SPAN("application/json"),
                                  .fields = &field,
                                  .field_count = 1 };
    return ask(c, &question, on_userinfo);
}

static struct verdict go_on(struct call *c)
{
    const struct oidc_state *s = c->state;
    struct provider_view view = provider_now(c->worker, s->provider->index);
    return wants_userinfo(c, view.meta) ? ask_userinfo(c, view.meta) : take_identity(c);
}

/* ---- the ID token ---- */

/* After a refresh there may be none (Core section 12.2): the subject is the session's. */
static struct verdict without_id_token(struct call *c)
{
    struct oidc_state *s = c->state;
    struct provider_view view = provider_now(c->worker, s->provider->index);
    struct span subject = s->session->content.subject;
    s->trusted = (struct trusted){ .issuer = &s->provider->identity,
                                   .claims = json_object(),
                                   .bytes = 512,
                                   .until_s = now_of(c) };
    json_t *sub = json_stringn(subject.p, subject.len);
    if (s->trusted.claims == NULL || json_object_set_new(s->trusted.claims, "sub", sub) != 0)
        return fail(REASON_MEMORY);
    return wants_userinfo(c, view.meta) ? ask_userinfo(c, view.meta) : keep_identity(c);
}

static struct verdict check_id_token(struct call *c)
{
    struct oidc_state *s = c->state;
    struct token_issuer issuer;
    struct oidc_expect expect = { .issuer = &issuer,
                                  .client_id = s->provider->row->client_id,
                                  .nonce = s->nonce,
                                  .access_token = s->tokens.access_token };
    if (s->session != NULL)
        expect.subject = s->session->content.subject;
    const char *why = "token-key-unknown";
    if (oidc_issuer_now(c, s->provider, &issuer))
        why = oidc_id_token(&expect, s->tokens.id_token, now_of(c), c->txn->arena, &s->trusted);
    if (why == NULL)
        return go_on(c);
    /* It may have changed its keys since. */
    struct op *op = strcmp(why, "token-key-unknown") == 0 && s->steps++ == 0
                        ? provider_ask(c->worker, s->provider->index)
                        : NULL;
    return op != NULL ? wait_for(c, op, on_keys) : not_believed(c, why);
}

static struct verdict on_keys(struct call *c)
{
    return sessions_told(c, check_id_token(c));
}

static struct verdict take_tokens(struct call *c)
{
    struct oidc_state *s = c->state;
    const struct fetch_answer *said = c->answer;
    bool gone;
    if (c->error != OK)
        return provider_down(c, "oidc-token-down");
    const char *why = oidc_answer(said->status, said->body, c->txn->arena, &s->tokens, &gone);
    if (gone)
        return not_believed(c, why);
    if (why != NULL)
        return said->status == 200 ? not_believed(c, why) : provider_down(c, why);
    if (!arena_defer(c->txn->arena, drop_claims, s))
        return fail(REASON_MEMORY);
    if (s->tokens.id_token.len > 0)
        return check_id_token(c);
    return s->session != NULL ? without_id_token(c) : not_believed(c, "oidc-no-id-token");
}

static struct verdict on_tokens(struct call *c)
{
    return sessions_told(c, take_tokens(c));
}
