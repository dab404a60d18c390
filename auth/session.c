/* Cookies, and what is sealed behind them. */
#include "auth/session.h"

#include <sodium.h>

#include "conf/schema.h"
#include "gateway/base/secret.h"
#include "gateway/http/params.h"
#include "gateway/net/worker.h"

enum {
    SESSION_VERSION = 1,
    CONTENT_GROUPS_MAX = 256,
    CONTENT_CLAIMS_MAX = 256,
    COOKIE_TEXT_MAX = 256,
};
enum { SAME_SITE_LAX, SAME_SITE_STRICT };
#define AGE_BROWSER UINT64_MAX
enum { TAG_USER, TAG_SUBJECT, TAG_SID };

struct sessions {
    struct vault live, signins;
    uint8_t form_key[32];
};

static const struct choice same_site_choices[] = {
    { "lax", SAME_SITE_LAX, "Who follows a link from elsewhere is signed in." },
    { "strict", SAME_SITE_STRICT, "Who comes from another site has to ask twice." },
    { NULL, 0, NULL },
};

const struct option session_options[] = {
    OPTION(struct session_conf, idle, OPT_DURATION, .fallback = "30m", .min = 60 * 1000,
           .max = INT64_C(30) * 86400 * 1000,
           .help = "A session ends when it has not been used for so long."),
    OPTION(struct session_conf, max, OPT_DURATION, .fallback = "12h", .min = 60 * 1000,
           .max = INT64_C(366) * 86400 * 1000,
           .help = "And in any case so long after the sign-in."),
    OPTION(struct session_conf, same_site, OPT_ENUM, .fallback = "lax",
           .choices = same_site_choices,
           .help = "Whether the cookie comes along when another site leads here."),
    OPTIONS_END,
};

struct sessions *sessions_open(struct setup *setup)
{
    struct sessions *sessions = arena_new(setup->arena, struct sessions);
    if (sodium_init() < 0 || sessions == NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "sessions: out of memory");
        return NULL;
    }
    void *live = setup->shared(setup, "sessions", VAULT_LAYOUT,
                               vault_bytes(SESSIONS_MAX, SESSION_VALUE_MAX));
    void *signins = setup->shared(setup, "signins", VAULT_LAYOUT,
                                  vault_bytes(SIGNINS_MAX, SIGNIN_VALUE_MAX));
    if (live == NULL || signins == NULL)
        return NULL;
    static const char use[] = "sallyport forms";
    sessions_vault_over(&sessions->live, live, setup->boot_key);
    vault_over(&sessions->signins, signins, SIGNINS_MAX, SIGNIN_VALUE_MAX, "sallyport signins",
               setup->boot_key);
    (void)crypto_generichash(sessions->form_key, sizeof(sessions->form_key),
                             (const uint8_t *)use, sizeof(use), setup->boot_key, 32);
    return sessions;
}

void sessions_vault_over(struct vault *vault, void *memory, const uint8_t boot_key[32])
{
    vault_over(vault, memory, SESSIONS_MAX, SESSION_VALUE_MAX, "sallyport sessions", boot_key);
}

static uint64_t now_of(const struct call *c)
{
    return c->txn->clock->wall_us / 1000000u;
}

/* ---- what is sealed: numbers of eight bytes, texts with their length in front ---- */

static void put_number(struct text *out, uint64_t number)
{
    text_add(out, span_of((const char *)&number, sizeof(number)));
}

static void put_text(struct text *out, struct span s)
{
    uint16_t len = (uint16_t)s.len;
    if (s.len > UINT16_MAX)
        out->overflow = true;
    text_add(out, span_of((const char *)&len, sizeof(len)));
    text_add(out, s);
}

bool session_content_write(struct text *out, struct span site,
                           const struct session_content *content)
{
    const struct identity *identity = content->identity;
    if (identity->group_count > CONTENT_GROUPS_MAX ||
        identity->claim_count > CONTENT_CLAIMS_MAX)
        return false;
    put_number(out, SESSION_VERSION);
    put_text(out, site);
    put_text(out, content->via);
    put_text(out, content->realm);
    put_text(out, content->subject);
    put_text(out, content->sid);
    put_number(out, content->epoch);
    put_text(out, content->extra);
    put_text(out, identity->user);
    put_text(out, identity->issuer);
    put_number(out, identity->proved_s);
    put_number(out, identity->mfa);
    put_number(out, identity->group_count);
    for (size_t i = 0; i < identity->group_count; i++)
        put_text(out, identity->groups[i]);
    put_number(out, identity->claim_count);
    for (size_t i = 0; i < identity->claim_count; i++) {
        put_text(out, identity->claims[i].name);
        put_text(out, identity->claims[i].value);
    }
    return !out->overflow;
}

struct reading {
    struct span rest;
    bool bad;
};

static uint64_t take_number(struct reading *r)
{
    uint64_t number = 0;
    if (r->bad || r->rest.len < sizeof(number)) {
        r->bad = true;
        return 0;
    }
    memcpy(&number, r->rest.p, sizeof(number));
    r->rest = span_sub(r->rest, sizeof(number), r->rest.len);
    return number;
}

static struct span take_text(struct reading *r)
{
    uint16_t len = 0;
    if (!r->bad && r->rest.len >= sizeof(len))
        memcpy(&len, r->rest.p, sizeof(len));
    if (r->bad || r->rest.len < sizeof(len) + len) {
        r->bad = true;
        return SPAN("");
    }
    struct span text = span_sub(r->rest, sizeof(len), len);
    r->rest = span_sub(r->rest, sizeof(len) + len, r->rest.len);
    return text;
}

static bool take_lists(struct reading *r, struct arena *arena, struct identity *identity)
{
    uint64_t groups = take_number(r);
    struct span *group = groups <= CONTENT_GROUPS_MAX
                             ? arena_array(arena, struct span, (size_t)groups + 1)
                             : NULL;
    if (group == NULL)
        return false;
    for (uint64_t i = 0; i < groups; i++)
        group[i] = take_text(r);
    uint64_t claims = take_number(r);
    struct claim *claim = claims <= CONTENT_CLAIMS_MAX
                              ? arena_array(arena, struct claim, (size_t)claims + 1)
                              : NULL;
    if (claim == NULL)
        return false;
    for (uint64_t i = 0; i < claims; i++) {
        claim[i].name = take_text(r);
        claim[i].value = take_text(r);
    }
    identity->groups = group;
    identity->group_count = (size_t)groups;
    identity->claims = claim;
    identity->claim_count = (size_t)claims;
    return true;
}

bool session_content_read(struct span bytes, struct arena *arena, struct span *site,
                          struct session_content *content)
{
    struct reading r = { .rest = bytes };
    struct identity *identity = arena_new(arena, struct identity);
    if (identity == NULL || take_number(&r) != SESSION_VERSION)
        return false;
    *site = take_text(&r);
    *content = (struct session_content){ .identity = identity };
    content->via = take_text(&r);
    content->realm = take_text(&r);
    content->subject = take_text(&r);
    content->sid = take_text(&r);
    content->epoch = take_number(&r);
    content->extra = take_text(&r);
    identity->user = take_text(&r);
    identity->issuer = take_text(&r);
    identity->proved_s = take_number(&r);
    uint64_t mfa = take_number(&r);
    identity->mfa = mfa == 1;
    return take_lists(&r, arena, identity) && !r.bad && r.rest.len == 0 && mfa <= 1 &&
           identity->user.len > 0;
}

/* ---- cookies ---- */

/*
 * The cookie of exactly that name. None when there are two: a neighbour's host,
 * or another reader of ours, could have meant either (and `__Host-` keeps neighbours from
 * setting one). Names are compared byte by byte: what some reader would fold, trim or unquote
 * into our name is another name here.
 */
static struct span cookie_value(struct call *c, struct span name)
{
    struct params cookies = { 0 };
    const struct param *found = NULL;
    const struct field *field = fields_get(&c->req->fields, FIELD_COOKIE);
    for (; field != NULL; field = fields_next(&c->req->fields, field))
        if (cookies_parse(&cookies, field->value, SESSION_COOKIES_MAX, c->txn->arena) != OK)
            return SPAN("");
    for (unsigned i = 0; i < cookies.count; i++) {
        if (!span_equal(cookies.items[i].name, name))
            continue;
        if (found != NULL)
            return SPAN("");
        found = &cookies.items[i];
    }
    return found != NULL ? found->value : SPAN("");
}

static bool cookie_ticket(struct call *c, struct span name, struct ticket *ticket)
{
    return ticket_read(ticket, cookie_value(c, name));
}

/* An age of 0 takes it away; AGE_BROWSER: as long as the browser runs. */
static bool put_cookie(struct call *c, struct reply *reply, struct span name, struct span value,
                       uint64_t max_age_s, bool strict)
{
    struct text out = text_growing(c->txn->arena, COOKIE_TEXT_MAX);
    text_add(&out, name);
    text_char(&out, '=');
    text_add(&out, value);
    text_lit(&out, "; Path=/; Secure; HttpOnly; SameSite=");
    text_add(&out, strict ? SPAN("Strict") : SPAN("Lax"));
    if (max_age_s != AGE_BROWSER)
        text_format(&out, "; Max-Age=%llu", (unsigned long long)max_age_s);
    return !out.overflow && reply_field(reply, SPAN("Set-Cookie"), text_span(&out));
}

static bool put_ticket(struct call *c, struct reply *reply, struct span name,
                       const struct ticket *ticket, bool strict)
{
    char text[TICKET_TEXT_BYTES];
    ticket_write(ticket, text);
    bool good = put_cookie(c, reply, name, span_of(text, sizeof(text)), AGE_BROWSER, strict);
    wipe(text, sizeof(text));
    return good;
}

/* ---- sessions ---- */

static uint64_t tag_of(const struct sessions *sessions, struct arena *arena, const char *kind,
                       struct span realm, struct span what)
{
    struct text both = text_growing(arena, realm.len + what.len + 16);
    if (what.len == 0)
        return 0;
    put_text(&both, realm);
    put_text(&both, what);
    return both.overflow ? 0 : vault_tag(&sessions->live, kind, text_span(&both));
}

static bool put_session(struct call *c, const struct sessions *sessions,
                        const struct ticket *ticket, struct vault_facts *facts,
                        const struct session_content *content)
{
    struct arena *arena = c->txn->arena;
    struct text value = text_growing(arena, 1024);
    struct span user = content->identity->user;
    size_t shown = user.len < sizeof(facts->label) - 1 ? user.len : sizeof(facts->label) - 1;
    if (content->extra.len > SESSION_EXTRA_MAX || user.len == 0)
        return false;
    facts->tags[TAG_USER] = vault_tag(&sessions->live, "user", user);
    facts->tags[TAG_SUBJECT] =
        tag_of(sessions, arena, "subject", content->realm, content->subject);
    facts->tags[TAG_SID] = tag_of(sessions, arena, "sid", content->realm, content->sid);
    memset(facts->label, 0, sizeof(facts->label));
    memcpy(facts->label, user.p, shown);
    bool put = session_content_write(&value, span_text(c->txn->site->name), content) &&
               vault_put(&sessions->live, ticket, facts, text_span(&value), now_of(c));
    if (value.p != NULL)
        wipe(value.p, value.len);
    return put;
}

bool session_begin(struct call *c, const struct sessions *sessions,
                   const struct session_conf *conf, const struct session_content *content,
                   struct reply *reply)
{
    struct ticket ticket, old;
    uint64_t now_s = now_of(c);
    struct vault_facts facts = { .began_s = now_s,
                                 .until_s = now_s + (uint64_t)conf->max.ms / 1000,
                                 .idle_s = (uint64_t)conf->idle.ms / 1000 };
    if (cookie_ticket(c, SPAN(SESSION_COOKIE), &old))
        (void)vault_take(&sessions->live, &old, now_s);
    ticket_make(&ticket);
    bool good = put_session(c, sessions, &ticket, &facts, content) &&
                put_ticket(c, reply, SPAN(SESSION_COOKIE), &ticket,
                           conf->same_site == SAME_SITE_STRICT);
    wipe(&ticket, sizeof(ticket));
    return good;
}

static struct session *find_any(struct call *c, const struct sessions *sessions)
{
    struct ticket ticket;
    struct vault_facts facts;
    struct span site;
    size_t len;
    if (!cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket))
        return NULL;
    struct arena *arena = c->txn->arena;
    char value[SESSION_VALUE_MAX];
    if (!vault_get(&sessions->live, &ticket, now_of(c), true, &facts, value, &len))
        return NULL;
    struct session *session = arena_new(arena, struct session);
    struct span kept = arena_copy(arena, span_of(value, len));
    wipe(value, len);
    if (session == NULL || kept.p == NULL ||
        !session_content_read(kept, arena, &site, &session->content) ||
        !span_equal(site, span_text(c->txn->site->name)))
        return NULL;
    session->ticket = ticket;
    session->began_s = facts.began_s;
    session->until_s = facts.until_s;
    session->seen_s = facts.seen_s;
    return session;
}

const struct session *session_find(struct call *c, const struct sessions *sessions,
                                   struct span via, struct span realm)
{
    struct session *session = find_any(c, sessions);
    return session != NULL && span_equal(session->content.via, via) &&
                   span_equal(session->content.realm, realm)
               ? session
               : NULL;
}

bool session_renew(struct call *c, const struct sessions *sessions,
                   const struct session *session, const struct session_content *content)
{
    char value[SESSION_VALUE_MAX];
    struct vault_facts facts;
    size_t len;
    if (!vault_get(&sessions->live, &session->ticket, now_of(c), false, &facts, value, &len))
        return false; /* it was ended meanwhile, and stays so */
    wipe(value, len);
    return put_session(c, sessions, &session->ticket, &facts, content);
}

bool session_lock(struct call *c, const struct sessions *sessions,
                  const struct session *session)
{
    return vault_lock(&sessions->live, &session->ticket, now_of(c));
}

bool session_end(struct call *c, const struct sessions *sessions, struct reply *reply)
{
    struct ticket ticket;
    if (cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket))
        (void)vault_take(&sessions->live, &ticket, now_of(c));
    return put_cookie(c, reply, SPAN(SESSION_COOKIE), SPAN(""), 0, false);
}

size_t sessions_vault_end_user(const struct vault *vault, struct span user)
{
    return vault_end_tagged(vault, TAG_USER, vault_tag(vault, "user", user));
}

size_t sessions_end_user(const struct sessions *sessions, struct span user)
{
    return sessions_vault_end_user(&sessions->live, user);
}

static size_t end_at_provider(const struct sessions *sessions, unsigned place, const char *kind,
                              struct span realm, struct span what)
{
    char buffer[4096];
    struct text both = text_fixed(buffer, sizeof(buffer));
    put_text(&both, realm);
    put_text(&both, what);
    if (both.overflow || what.len == 0)
        return 0;
    return vault_end_tagged(&sessions->live, place,
                            vault_tag(&sessions->live, kind, text_span(&both)));
}

size_t sessions_end_subject(const struct sessions *sessions, struct span realm,
                            struct span subject)
{
    return end_at_provider(sessions, TAG_SUBJECT, "subject", realm, subject);
}

size_t sessions_end_sid(const struct sessions *sessions, struct span realm, struct span sid)
{
    return end_at_provider(sessions, TAG_SID, "sid", realm, sid);
}

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

static bool put_signin(struct text *value, const struct ticket *browser, struct span site,
                       const struct signin *signin)
{
    uint8_t hash[32];
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)browser, sizeof(*browser),
                             NULL, 0);
    put_text(value, span_of((const char *)hash, sizeof(hash)));
    put_text(value, site);
    put_text(value, signin->step);
    put_text(value, signin->target);
    put_text(value, signin->extra);
    return !value->overflow;
}

bool signin_begin(struct call *c, const struct sessions *sessions, const struct signin *signin,
                  struct reply *reply, struct span *handle)
{
    struct ticket browser, ticket;
    struct addr subscriber = { 0 };
    struct text value = text_growing(c->txn->arena, 512);
    char *text = arena_alloc(c->txn->arena, TICKET_TEXT_BYTES);
    uint64_t now_s = now_of(c);
    struct vault_facts facts = { .began_s = now_s, .until_s = now_s + SIGNIN_S };
    INVARIANT(return_target_safe(signin->target));
    if (text == NULL || signin->extra.len > SIGNIN_EXTRA_MAX)
        return false;
    (void)addr_subscriber(&c->txn->client, &subscriber);
    facts.tags[TAG_USER] =
        vault_tag(&sessions->signins, "address",
                  span_of((const char *)subscriber.bytes, sizeof(subscriber.bytes)));
    if (!cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser)) {
        ticket_make(&browser);
        if (!put_ticket(c, reply, SPAN(SIGNIN_COOKIE), &browser, false))
            return false;
    }
    ticket_make(&ticket);
    ticket_write(&ticket, text);
    *handle = span_of(text, TICKET_TEXT_BYTES);
    return put_signin(&value, &browser, span_text(c->txn->site->name), signin) &&
           vault_put(&sessions->signins, &ticket, &facts, text_span(&value), now_s);
}

static bool read_signin(struct call *c, struct span bytes, const struct ticket *browser,
                        struct span step, struct signin *signin)
{
    uint8_t hash[32];
    struct reading r = { .rest = bytes };
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)browser, sizeof(*browser),
                             NULL, 0);
    struct span whose = take_text(&r), site = take_text(&r);
    signin->step = take_text(&r);
    signin->target = take_text(&r);
    signin->extra = take_text(&r);
    return !r.bad && r.rest.len == 0 && whose.len == sizeof(hash) &&
           bytes_equal_constant_time(whose.p, hash, sizeof(hash)) &&
           span_equal(site, span_text(c->txn->site->name)) && span_equal(signin->step, step) &&
           return_target_safe(signin->target);
}

bool signin_find(struct call *c, const struct sessions *sessions, struct span step,
                 struct span handle, struct signin *signin)
{
    struct ticket browser, ticket;
    struct vault_facts facts;
    char value[SIGNIN_VALUE_MAX];
    size_t len;
    if (!ticket_read(&ticket, handle) || !cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser) ||
        !vault_get(&sessions->signins, &ticket, now_of(c), false, &facts, value, &len))
        return false;
    struct span kept = arena_copy(c->txn->arena, span_of(value, len));
    wipe(value, len);
    signin->began_s = facts.began_s;
    return kept.p != NULL && read_signin(c, kept, &browser, step, signin);
}

bool signin_take(struct call *c, const struct sessions *sessions, struct span step,
                 struct span handle, struct signin *signin)
{
    struct ticket ticket;
    /* Who may not use it, may not end it either. */
    return signin_find(c, sessions, step, handle, signin) && ticket_read(&ticket, handle) &&
           vault_take(&sessions->signins, &ticket, now_of(c));
}

bool signin_browser_known(struct call *c)
{
    struct ticket browser;
    return cookie_ticket(c, SPAN(SIGNIN_COOKIE), &browser);
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
    struct span value = cookie_value(c, SPAN(KNOWN_COOKIE));
    write_known(c, sessions, user, right);
    return value.len == sizeof(right) &&
           bytes_equal_constant_time(value.p, right, sizeof(right));
}

bool browser_remember(struct call *c, const struct sessions *sessions, struct span user,
                      struct reply *reply)
{
    char value[FORM_TOKEN_BYTES];
    write_known(c, sessions, user, value);
    return put_cookie(c, reply, SPAN(KNOWN_COOKIE), span_of(value, sizeof(value)), KNOWN_S,
                      false);
}

bool form_token(struct call *c, const struct sessions *sessions, struct span use,
                char token[FORM_TOKEN_BYTES])
{
    struct ticket ticket;
    uint8_t hash[FORM_TOKEN_BYTES / 2];
    char hex[FORM_TOKEN_BYTES];
    crypto_generichash_state state;
    if (!cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket) &&
        !cookie_ticket(c, SPAN(SIGNIN_COOKIE), &ticket))
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
