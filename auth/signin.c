/* Sign-ins that are under way, browsers that are known, and what forms bring back. */
#include <sodium.h>

#include "auth/session_parts.h"
#include "gateway/base/secret.h"

/* ---- where to return to ---- */

/*
 * Browsers take `\` for `/`, drop tabs and line ends, and read `//host` and `http:host` as
 * another site (CVE-2020-5233, CVE-2020-4037, CVE-2019-3877, GHSA-cf57-c578-7jvv). So: visible
 * ASCII without `\`, from one slash on that no second one follows.
 */
bool return_target_safe(struct span target)
{
    if (target.len == 0 || target.len > SIGNIN_TARGET_MAX || target.p[0] != '/' ||
        (target.len > 1 && target.p[1] == '/'))
        return false;
    for (size_t i = 0; i < target.len; i++)
        if (target.p[i] <= ' ' || target.p[i] >= 0x7f || target.p[i] == '\\')
            return false;
    return true;
}

struct span return_target(struct call *c)
{
    const struct request *req = c->req;
    struct text out = text_growing(c->txn->arena, 128);
    text_add(&out, req->path_wire);
    if (req->has_query) {
        text_char(&out, '?');
        text_add(&out, req->query);
    }
    if ((req->method_id != METHOD_GET && req->method_id != METHOD_HEAD) || out.overflow ||
        span_starts(req->path, SPAN(PAGE_PREFIX)) || !return_target_safe(text_span(&out)))
        return SPAN("/");
    return text_span(&out);
}

/* ---- sign-ins ---- */

static const char shared_label[] = "shared";

static bool put_signin(struct text *value, const struct ticket *browser, struct span site,
                       const struct signin *signin)
{
    uint8_t hash[32];
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)browser, sizeof(*browser),
                             NULL, 0);
    sealed_put_text(value, span_of((const char *)hash, sizeof(hash)));
    sealed_put_text(value, site);
    sealed_put_text(value, signin->step);
    sealed_put_text(value, signin->target);
    sealed_put_text(value, signin->extra);
    return !value->overflow;
}

/* One that other nodes do not hear of is good on this one only, and says so. */
static bool share_flow(struct call *c, const struct sessions *sessions,
                       const struct ticket *ticket, struct vault_facts *facts,
                       struct span value)
{
    if (share_put_flow(c->worker, &sessions->signins, ticket))
        return true;
    memset(facts->label, 0, sizeof(facts->label));
    return vault_put(&sessions->signins, ticket, facts, value, facts->began_s);
}

bool signin_begin(struct call *c, const struct sessions *sessions, const struct signin *signin,
                  struct reply *reply, struct span *handle)
{
    struct ticket browser, ticket;
    struct addr subscriber = { 0 };
    struct text value = text_growing(c->txn->arena, 512);
    char *text = arena_alloc(c->txn->arena, TICKET_TEXT_BYTES);
    uint64_t now_s = session_now_s(c);
    struct vault_facts facts = { .began_s = now_s, .until_s = now_s + SIGNIN_S };
    INVARIANT(return_target_safe(signin->target));
    if (text == NULL || signin->extra.len > SIGNIN_EXTRA_MAX)
        return false;
    /* Whose it is: who begins very many loses his own. */
    (void)addr_subscriber(&c->txn->client, &subscriber);
    facts.tags[0] =
        vault_tag(&sessions->signins, "address",
                  span_of((const char *)subscriber.bytes, sizeof(subscriber.bytes)));
    if (!session_cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser)) {
        ticket_make(&browser);
        if (!session_put_ticket(c, reply, SPAN(SIGNIN_COOKIE), &browser, false))
            return false;
    }
    ticket_make(&ticket);
    ticket_write(&ticket, text);
    *handle = span_of(text, TICKET_TEXT_BYTES);
    if (!put_signin(&value, &browser, span_text(c->txn->site->name), signin))
        return false;
    if (sessions->shared)
        memcpy(facts.label, shared_label, sizeof(shared_label));
    return vault_put(&sessions->signins, &ticket, &facts, text_span(&value), now_s) &&
           (!sessions->shared || share_flow(c, sessions, &ticket, &facts, text_span(&value)));
}

static bool read_signin(struct call *c, struct span bytes, const struct ticket *browser,
                        struct span step, struct signin *signin)
{
    uint8_t hash[32];
    struct sealed r = { .rest = bytes };
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)browser, sizeof(*browser),
                             NULL, 0);
    struct span whose = sealed_take_text(&r), site = sealed_take_text(&r);
    signin->step = sealed_take_text(&r);
    signin->target = sealed_take_text(&r);
    signin->extra = sealed_take_text(&r);
    return !r.bad && r.rest.len == 0 && whose.len == sizeof(hash) &&
           bytes_equal_constant_time(whose.p, hash, sizeof(hash)) &&
           span_equal(site, span_text(c->txn->site->name)) && span_equal(signin->step, step) &&
           return_target_safe(signin->target);
}

static bool find(struct call *c, const struct sessions *sessions, struct span step,
                 struct span handle, struct signin *signin, bool *shared)
{
    struct ticket browser, ticket;
    struct vault_value value;
    if (!ticket_read(&ticket, handle) ||
        !session_cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser) ||
        !vault_get(&sessions->signins, &ticket, session_now_s(c), false, &value))
        return false;
    struct span kept = arena_copy(c->txn->arena, span_of(value.bytes, value.len));
    vault_value_wipe(&value);
    signin->began_s = value.facts.began_s;
    *shared = strcmp(value.facts.label, shared_label) == 0;
    return kept.p != NULL && read_signin(c, kept, &browser, step, signin);
}

bool signin_find(struct call *c, const struct sessions *sessions, struct span step,
                 struct span handle, struct signin *signin)
{
    bool shared;
    return find(c, sessions, step, handle, signin, &shared);
}

bool signin_take(struct call *c, const struct sessions *sessions, struct span step,
                 struct span handle, struct signin *signin)
{
    struct ticket ticket;
    bool shared;
    /* Who may not use it, may not end it either. */
    if (!find(c, sessions, step, handle, signin, &shared) || !ticket_read(&ticket, handle) ||
        !vault_take(&sessions->signins, &ticket, session_now_s(c)))
        return false;
    if (!sessions->shared || !shared)
        return true;
    struct share_join *join = session_telling(c, sessions);
    if (join != NULL)
        share_end(c->worker, join, &sessions->signins, &ticket, SHARE_FLOW, true);
    return join != NULL;
}

bool signin_here(struct call *c, const struct sessions *sessions, const struct ticket *ticket)
{
    struct vault_value value;
    bool here = vault_get(&sessions->signins, ticket, session_now_s(c), false, &value);
    vault_value_wipe(&value);
    return here;
}

bool signin_once(struct call *c, const struct sessions *sessions, struct span what,
                 uint64_t seconds)
{
    struct share_join *join = session_telling(c, sessions);
    if (join != NULL)
        share_once(join, &sessions->signins, what, seconds);
    return join != NULL || !sessions->shared;
}

bool signin_count(struct call *c, const struct sessions *sessions, struct span what,
                  uint64_t most, uint64_t seconds)
{
    struct share_join *join = session_telling(c, sessions);
    if (join != NULL)
        share_count(join, &sessions->signins, what, most, seconds);
    return join != NULL || !sessions->shared;
}

void signin_counted_right(struct call *c, struct span what)
{
    if (c->txn->session_told != NULL)
        c->txn->session_told->counted = what;
}

bool signin_browser_known(struct call *c)
{
    struct ticket browser;
    return session_cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser);
}

/* ---- browsers that are known, and forms ---- */

static void write_known(struct call *c, const struct sessions *sessions, struct span user,
                        char hex[FORM_TOKEN_BYTES])
{
    static const char use[] = "known";
    uint8_t hash[FORM_TOKEN_BYTES / 2];
    struct span site = span_text(c->txn->site->name);
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, sessions->form_key, sizeof(sessions->form_key),
                                  sizeof(hash));
    (void)crypto_generichash_update(&state, (const uint8_t *)use, sizeof(use));
    (void)crypto_generichash_update(&state, (const uint8_t *)site.p, site.len + 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)user.p, user.len);
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    struct text out = text_fixed(hex, FORM_TOKEN_BYTES);
    text_hex(&out, hash, sizeof(hash));
}

bool browser_known(struct call *c, const struct sessions *sessions, struct span user)
{
    char right[FORM_TOKEN_BYTES];
    struct span value = session_cookie(c, SPAN(KNOWN_COOKIE));
    write_known(c, sessions, user, right);
    return value.len == sizeof(right) &&
           bytes_equal_constant_time(value.p, right, sizeof(right));
}

bool browser_remember(struct call *c, const struct sessions *sessions, struct span user,
                      struct reply *reply)
{
    char value[FORM_TOKEN_BYTES];
    write_known(c, sessions, user, value);
    return session_put_cookie(c, reply, SPAN(KNOWN_COOKIE), span_of(value, sizeof(value)),
                              KNOWN_S, false);
}

bool form_token(struct call *c, const struct sessions *sessions, struct span use,
                char token[FORM_TOKEN_BYTES])
{
    struct ticket ticket;
    uint8_t hash[FORM_TOKEN_BYTES / 2];
    char hex[FORM_TOKEN_BYTES];
    crypto_generichash_state state;
    if (!session_cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket) &&
        !session_cookie_ticket(c, SPAN(SIGNIN_COOKIE), &ticket))
        return false;
    (void)crypto_generichash_init(&state, sessions->form_key, sizeof(sessions->form_key),
                                  sizeof(hash));
    (void)crypto_generichash_update(&state, (const uint8_t *)&ticket, sizeof(ticket));
    if (use.len > 0)
        (void)crypto_generichash_update(&state, (const uint8_t *)use.p, use.len);
    (void)crypto_generichash_final(&state, hash, sizeof(hash));
    struct text out = text_fixed(hex, sizeof(hex));
    text_hex(&out, hash, sizeof(hash));
    memcpy(token, hex, sizeof(hex));
    return true;
}

bool form_token_right(struct call *c, const struct sessions *sessions, struct span use,
                      struct span token)
{
    char right[FORM_TOKEN_BYTES];
    return token.len == sizeof(right) && form_token(c, sessions, use, right) &&
           bytes_equal_constant_time(token.p, right, sizeof(right));
}
