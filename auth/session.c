/* Sessions, as they are sealed and found. Sign-ins that are under way: signin.c. */
#include "auth/session.h"

#include <sodium.h>

#include "auth/demand.h"
#include "auth/session_parts.h"
#include "conf/schema.h"
#include "gateway/base/secret.h"
#include "gateway/chain/edit.h"
#include "gateway/net/worker.h"
#include "gateway/store/store.h"

enum {
    SESSION_VERSION = 1,
    CONTENT_GROUPS_MAX = 256,
    CONTENT_CLAIMS_MAX = 256,
};
enum { SAME_SITE_LAX, SAME_SITE_STRICT };
enum {
    TAG_USER = SESSION_TAG_USER,
    TAG_SUBJECT = SESSION_TAG_SUBJECT,
    TAG_SID = SESSION_TAG_SID
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
    OPTION(struct session_conf, seal, OPT_SECRET, .example = "$(file:/etc/sallyport/seal)",
           .help = "With it the browser carries a sealed copy of its session, good behind a "
                   "restart and at nodes with the same secret: at least 32 random bytes."),
    OPTION(struct session_conf, seal_before, OPT_SECRET,
           .help = "The secret that was `seal` before: what it has sealed is opened still, and "
                   "sealed anew."),
    OPTIONS_END,
};

/* Copies in cookies are for nodes that share nothing else. */
static bool open_carry(struct sessions *sessions, struct setup *setup,
                       const struct session_conf *conf)
{
    const struct secret *secrets[CARRY_KEYS] = { &conf->seal, &conf->seal_before };
    for (size_t i = 0; i < CARRY_KEYS && secrets[i]->len > 0; i++) {
        if (secrets[i]->len < CARRY_SECRET_MIN) {
            complain(setup->complaint, SEVERITY_ERROR,
                     "session.seal and seal_before have at least %d bytes", CARRY_SECRET_MIN);
            return false;
        }
        carry_add(&sessions->carry, secrets[i]);
    }
    bool good = conf->seal.len > 0 || conf->seal_before.len == 0;
    if (!good || (sessions->shared && sessions->carry.count > 0))
        complain(setup->complaint, SEVERITY_ERROR,
                 good
                     ? "session.seal is for nodes without a store: this one shares its sessions"
                     : "session.seal_before opens what an earlier session.seal has sealed: "
                       "there is none");
    return good && !(sessions->shared && sessions->carry.count > 0);
}

struct sessions *sessions_open(struct setup *setup, const struct session_conf *conf)
{
    static const char use[] = "sallyport forms";
    struct sessions *sessions = arena_new(setup->arena, struct sessions);
    struct session_table table;
    uint8_t key[32];
    if (sodium_init() < 0 || sessions == NULL) {
        complain(setup->complaint, SEVERITY_ERROR, "sessions: out of memory");
        return NULL;
    }
    void *live = setup->shared(setup, "sessions", VAULT_LAYOUT, session_table_bytes());
    void *signins = setup->shared(setup, "signins", VAULT_LAYOUT,
                                  vault_bytes(SIGNINS_MAX, SIGNIN_VALUE_MAX));
    if (live == NULL || signins == NULL)
        return NULL;
    if (conf != NULL) {
        sessions->max_s = (uint64_t)conf->max.ms / 1000;
        sessions->idle_s = (uint64_t)conf->idle.ms / 1000;
    }
    sessions->shared = sessions_key(setup->config, setup->boot_key, key);
    if (sessions->shared)
        sessions->grace_ms = setup->config->store->grace_ms;
    else if (setup->config != NULL && setup->config->store != NULL &&
             setup->config->store->sessions)
        complain(setup->complaint, SEVERITY_WARNING,
                 "sessions stay on this node: without store.secret or store.password they are "
                 "not put into the store");
    if (conf != NULL && !open_carry(sessions, setup, conf))
        return NULL;
    session_table_over(&table, live, key);
    sessions->live = table.vault;
    sessions->ended = table.ended;
    vault_over(&sessions->signins, signins, SIGNINS_MAX, SIGNIN_VALUE_MAX, "sallyport signins",
               key);
    (void)crypto_generichash(sessions->form_key, sizeof(sessions->form_key),
                             (const uint8_t *)use, sizeof(use), key, sizeof(key));
    wipe(key, sizeof(key));
    return sessions;
}

bool sessions_key(const struct config *config, const uint8_t boot_key[32], uint8_t key[32])
{
    const struct store *store = config != NULL ? config->store : NULL;
    bool shared = store != NULL && store->sessions && store->keyed;
    if (shared)
        share_key(store, key);
    else
        memcpy(key, boot_key, 32);
    return shared;
}

enum err sessions_attach(struct worker *worker, const struct sessions *sessions)
{
    return sessions->shared ? session_share_attach(worker) : OK;
}

void sessions_detach(struct worker *worker, const struct sessions *sessions)
{
    if (sessions->shared)
        session_share_detach(worker);
}

/* ---- the memory ---- */

static size_t ends_at(void)
{
    return (vault_bytes(SESSIONS_MAX, SESSION_VALUE_MAX) + 127) & ~(size_t)127;
}

size_t session_table_bytes(void)
{
    return ends_at() + cells_bytes(ENDED_CELLS);
}

void session_table_over(struct session_table *table, void *memory, const uint8_t key[32])
{
    *table = (struct session_table){ .ended = { .head = NULL } };
    vault_over(&table->vault, memory, SESSIONS_MAX, SESSION_VALUE_MAX, "sallyport sessions",
               key);
    if (memory != NULL)
        cells_over(&table->ended, (char *)memory + ends_at(), ENDED_CELLS);
}

size_t session_table_end_user(const struct session_table *table, struct span user,
                              uint64_t now_s)
{
    uint64_t tag = sessions_user_tag(&table->vault, user);
    ended_mark(&table->ended, &table->vault, TAG_USER, tag, now_s);
    return vault_end_tagged(&table->vault, TAG_USER, tag);
}

bool session_table_end(const struct session_table *table,
                       const uint8_t handle[VAULT_HANDLE_BYTES], uint64_t now_s)
{
    uint64_t what = 0;
    for (size_t i = 0; i < VAULT_HANDLE_BYTES; i++)
        what = what << 8 | handle[i];
    bool ended = vault_end_handle(&table->vault, handle);
    if (ended)
        ended_mark(&table->ended, &table->vault, ENDED_HANDLE, what, now_s);
    return ended;
}

bool session_content_write(struct text *out, struct span site,
                           const struct session_content *content)
{
    const struct identity *identity = content->identity;
    if (identity->group_count > CONTENT_GROUPS_MAX ||
        identity->claim_count > CONTENT_CLAIMS_MAX)
        return false;
    sealed_put_number(out, SESSION_VERSION);
    sealed_put_text(out, site);
    sealed_put_text(out, content->via);
    sealed_put_text(out, content->realm);
    sealed_put_text(out, content->subject);
    sealed_put_text(out, content->sid);
    sealed_put_number(out, content->epoch);
    sealed_put_text(out, content->extra);
    sealed_put_text(out, identity->user);
    sealed_put_text(out, identity->issuer);
    sealed_put_number(out, identity->proved_s);
    sealed_put_number(out, identity->mfa);
    sealed_put_number(out, identity->group_count);
    for (size_t i = 0; i < identity->group_count; i++)
        sealed_put_text(out, identity->groups[i]);
    sealed_put_number(out, identity->claim_count);
    for (size_t i = 0; i < identity->claim_count; i++) {
        sealed_put_text(out, identity->claims[i].name);
        sealed_put_text(out, identity->claims[i].value);
    }
    return !out->overflow;
}

static bool take_lists(struct sealed *r, struct arena *arena, struct identity *identity)
{
    uint64_t groups = sealed_take_number(r);
    struct span *group = groups <= CONTENT_GROUPS_MAX
                             ? arena_array(arena, struct span, (size_t)groups + 1)
                             : NULL;
    if (group == NULL)
        return false;
    for (uint64_t i = 0; i < groups; i++)
        group[i] = sealed_take_text(r);
    uint64_t claims = sealed_take_number(r);
    struct claim *claim = claims <= CONTENT_CLAIMS_MAX
                              ? arena_array(arena, struct claim, (size_t)claims + 1)
                              : NULL;
    if (claim == NULL)
        return false;
    for (uint64_t i = 0; i < claims; i++) {
        claim[i].name = sealed_take_text(r);
        claim[i].value = sealed_take_text(r);
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
    struct sealed r = { .rest = bytes };
    struct identity *identity = arena_new(arena, struct identity);
    if (identity == NULL || sealed_take_number(&r) != SESSION_VERSION)
        return false;
    *site = sealed_take_text(&r);
    *content = (struct session_content){ .identity = identity };
    content->via = sealed_take_text(&r);
    content->realm = sealed_take_text(&r);
    content->subject = sealed_take_text(&r);
    content->sid = sealed_take_text(&r);
    content->epoch = sealed_take_number(&r);
    content->extra = sealed_take_text(&r);
    identity->user = sealed_take_text(&r);
    identity->issuer = sealed_take_text(&r);
    identity->proved_s = sealed_take_number(&r);
    uint64_t mfa = sealed_take_number(&r);
    identity->mfa = mfa == 1;
    return take_lists(&r, arena, identity) && !r.bad && r.rest.len == 0 && mfa <= 1 &&
           identity->user.len > 0;
}

/* ---- other nodes ---- */

static uint64_t now_ms(const struct call *c)
{
    return c->txn->clock->wall_us / 1000u;
}

/* Whether what the vault has under this ticket has to be asked for. */
static bool is_stale(struct call *c, const struct vault *vault, const struct ticket *ticket)
{
    struct vault_value value;
    uint64_t now = now_ms(c);
    bool known = vault_get(vault, ticket, now / 1000, false, &value), stale = true;
    if (known)
        stale =
            now > value.facts.confirmed_ms && now - value.facts.confirmed_ms > SHARE_FRESH_MS;
    vault_value_wipe(&value);
    return stale;
}

struct verdict sessions_ready(struct call *c, const struct sessions *sessions,
                              struct span handle, stage_fn *then)
{
    struct ticket ticket, flow;
    bool session = sessions->shared &&
                   session_cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket) &&
                   is_stale(c, &sessions->live, &ticket);
    bool signin =
        sessions->shared && ticket_read(&flow, handle) && !signin_here(c, sessions, &flow);
    if (!session && !signin)
        return then(c);
    struct share_join *join = share_join(c);
    if (join == NULL)
        return fail(REASON_MEMORY);
    if (session)
        share_fetch(join, &sessions->live, &ticket, SHARE_SESSION, sessions->grace_ms);
    if (signin)
        share_fetch(join, &sessions->signins, &flow, SHARE_FLOW, 0);
    wipe(&ticket, sizeof(ticket));
    return share_wait(c, join, then);
}

struct verdict session_user(struct call *c, const struct sessions *sessions, struct span field,
                            stage_fn *then)
{
    if (demand_met(c))
        return pass();
    /* Before anything can end this: no client may lend a field to itself. */
    if (field.len > 0 && !edit_field(c->txn, EDIT_REQUEST, EDIT_DROP, field, SPAN("")))
        return fail(REASON_MEMORY);
    return sessions_ready(c, sessions, SPAN(""), then);
}

static struct session_told *told_of(struct call *c, const struct sessions *sessions)
{
    struct session_told *told = c->txn->session_told;
    if (!sessions->shared || told != NULL)
        return told;
    told = arena_new(c->txn->arena, struct session_told);
    struct share_join *join = told != NULL ? share_join(c) : NULL;
    if (join == NULL)
        return NULL;
    *told = (struct session_told){ .sessions = sessions, .join = join };
    c->txn->session_told = told;
    return told;
}

struct share_join *session_telling(struct call *c, const struct sessions *sessions)
{
    struct session_told *told = told_of(c, sessions);
    return told != NULL ? told->join : NULL;
}

/* The session that was to begin is none, here and there; its cookie has not gone out. */
static void unbegin(struct call *c, struct session_told *told)
{
    if (!told->has_begun)
        return;
    (void)vault_take(&told->sessions->live, &told->begun, session_now_s(c));
    share_end(c->worker, NULL, &told->sessions->live, &told->begun, SHARE_SESSION, false);
}

static struct verdict on_told(struct call *c)
{
    struct session_told *told = c->txn->session_told;
    c->txn->session_told = NULL;
    if (c->error != OK)
        unbegin(c, told);
    else if (told->counted.len > 0)
        share_uncount(c->worker, &told->sessions->signins, told->counted);
    wipe(&told->begun, sizeof(told->begun));
    if (c->error == ERR_MISSING)
        return deny(REASON_AUTH_FORM);
    if (c->error == ERR_LIMIT)
        return deny(REASON_AUTH_LOCKED);
    return c->error == OK ? told->verdict : fail(REASON_AUTH_SESSIONS);
}

struct verdict sessions_told(struct call *c, struct verdict verdict)
{
    struct session_told *told = c->txn->session_told;
    if (told == NULL || verdict.action == ACTION_WAIT)
        return verdict;
    told->verdict = verdict;
    return share_wait(c, told->join, on_told);
}

struct verdict session_lock(struct call *c, const struct sessions *sessions,
                            const struct session *session, stage_fn *then)
{
    c->error = vault_lock(&sessions->live, &session->ticket, session_now_s(c)) ? OK : ERR_BUSY;
    if (c->error != OK || !sessions->shared)
        return then(c);
    struct share_join *join = share_join(c);
    if (join == NULL)
        return fail(REASON_MEMORY);
    share_lock(join, &sessions->live, &session->ticket);
    return share_wait(c, join, then);
}

/* ---- sessions ---- */

uint64_t session_tag(const struct sessions *sessions, struct arena *arena, const char *kind,
                     struct span realm, struct span what)
{
    struct text both = text_growing(arena, realm.len + what.len + 16);
    if (what.len == 0)
        return 0;
    sealed_put_text(&both, realm);
    sealed_put_text(&both, what);
    return both.overflow ? 0 : vault_tag(&sessions->live, kind, text_span(&both));
}

bool session_put(struct call *c, const struct sessions *sessions, const struct ticket *ticket,
                 struct vault_facts *facts, const struct session_content *content)
{
    struct arena *arena = c->txn->arena;
    struct text value = text_growing(arena, 1024);
    struct span user = content->identity->user;
    size_t shown = user.len < sizeof(facts->label) - 1 ? user.len : sizeof(facts->label) - 1;
    if (content->extra.len > SESSION_EXTRA_MAX || user.len == 0)
        return false;
    facts->tags[TAG_USER] = sessions_user_tag(&sessions->live, user);
    facts->tags[TAG_SUBJECT] =
        session_tag(sessions, arena, "subject", content->realm, content->subject);
    facts->tags[TAG_SID] = session_tag(sessions, arena, "sid", content->realm, content->sid);
    memset(facts->label, 0, sizeof(facts->label));
    memcpy(facts->label, user.p, shown);
    bool put = session_content_write(&value, span_text(c->txn->site->name), content) &&
               vault_put(&sessions->live, ticket, facts, text_span(&value), session_now_s(c));
    if (value.p != NULL)
        wipe(value.p, value.len);
    return put;
}

/* Here at once; wherever else it is known, before this request is answered. */
static void end_ticket(struct call *c, const struct sessions *sessions,
                       const struct ticket *ticket)
{
    (void)vault_take(&sessions->live, ticket, session_now_s(c));
    if (sessions->carry.count > 0)
        ended_mark(&sessions->ended, &sessions->live, ENDED_HANDLE,
                   ended_handle(&sessions->live, ticket), session_now_s(c));
    if (sessions->shared)
        share_end(c->worker, session_telling(c, sessions), &sessions->live, ticket,
                  SHARE_SESSION, false);
}

bool session_begin(struct call *c, const struct sessions *sessions,
                   const struct session_conf *conf, const struct session_content *content,
                   struct reply *reply)
{
    struct session_told *told = told_of(c, sessions);
    struct ticket ticket, old;
    uint64_t now_s = session_now_s(c);
    struct vault_facts facts = { .began_s = now_s,
                                 .until_s = now_s + (uint64_t)conf->max.ms / 1000,
                                 .idle_s = (uint64_t)conf->idle.ms / 1000 };
    if (sessions->shared && told == NULL)
        return false;
    if (session_cookie_ticket(c, SPAN(SESSION_COOKIE), &old))
        end_ticket(c, sessions, &old);
    ticket_make(&ticket);
    bool good = session_put(c, sessions, &ticket, &facts, content) &&
                session_put_ticket(c, reply, SPAN(SESSION_COOKIE), &ticket,
                                   conf->same_site == SAME_SITE_STRICT);
    struct span carried = SPAN("");
    if (good && sessions->carry.count > 0)
        good = session_carried_write(c, sessions, &ticket, &facts, content, &carried) &&
               session_put_cookie(c, reply, SPAN(CARRIED_COOKIE), carried,
                                  carried.len > 0 ? SESSION_AGE_BROWSER : 0, false);
    if (good && told != NULL) {
        told->begun = ticket;
        told->has_begun = true;
        share_put(told->join, &sessions->live, &ticket, true);
    }
    wipe(&ticket, sizeof(ticket));
    return good;
}

static struct session *find_any(struct call *c, const struct sessions *sessions)
{
    struct ticket ticket;
    struct vault_value value;
    struct span site;
    uint64_t now = now_ms(c);
    if (!session_cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket) ||
        (!vault_get(&sessions->live, &ticket, session_now_s(c), true, &value) &&
         (!session_carried_take(c, sessions, &ticket) ||
          !vault_get(&sessions->live, &ticket, session_now_s(c), true, &value))))
        return NULL;
    struct arena *arena = c->txn->arena;
    struct session *session = arena_new(arena, struct session);
    struct span kept = arena_copy(arena, span_of(value.bytes, value.len));
    vault_value_wipe(&value);
    /* Whoever asks without sessions_ready gets nothing that others may have ended. */
    if (sessions->shared && now > value.facts.confirmed_ms &&
        now - value.facts.confirmed_ms > sessions->grace_ms + SHARE_FRESH_MS)
        return NULL;
    if (session == NULL || kept.p == NULL ||
        !session_content_read(kept, arena, &site, &session->content) ||
        !span_equal(site, span_text(c->txn->site->name)))
        return NULL;
    session_carried_renew(c, sessions, &ticket, &value.facts, &session->content);
    session->ticket = ticket;
    session->began_s = value.facts.began_s;
    session->until_s = value.facts.until_s;
    session->seen_s = value.facts.seen_s;
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

bool session_here(struct call *c, const struct sessions *sessions)
{
    return find_any(c, sessions) != NULL;
}

bool session_renew(struct call *c, const struct sessions *sessions,
                   const struct session *session, const struct session_content *content)
{
    struct vault_value value;
    struct share_join *join = session_telling(c, sessions);
    if (sessions->shared && join == NULL)
        return false;
    bool there = vault_get(&sessions->live, &session->ticket, session_now_s(c), false, &value);
    vault_value_wipe(&value);
    if (!there)
        return false; /* it was ended meanwhile, and stays so */
    if (!session_put(c, sessions, &session->ticket, &value.facts, content))
        return false;
    if (sessions->shared)
        share_put(join, &sessions->live, &session->ticket, false);
    session_carry_on(c, sessions, &session->ticket, &value.facts, content);
    return true;
}

bool session_end(struct call *c, const struct sessions *sessions, struct reply *reply)
{
    struct ticket ticket;
    if (session_cookie_ticket(c, SPAN(SESSION_COOKIE), &ticket))
        end_ticket(c, sessions, &ticket);
    if (sessions->carry.count > 0 &&
        !session_put_cookie(c, reply, SPAN(CARRIED_COOKIE), SPAN(""), 0, false))
        return false;
    return session_put_cookie(c, reply, SPAN(SESSION_COOKIE), SPAN(""), 0, false);
}

uint64_t sessions_user_tag(const struct vault *vault, struct span user)
{
    return vault_tag(vault, "user", user);
}

size_t sessions_end_user(const struct sessions *sessions, struct span user, uint64_t now_s)
{
    struct session_table table = { .vault = sessions->live, .ended = sessions->ended };
    return session_table_end_user(&table, user, now_s);
}

/* As session_tag has it. */
static size_t end_at_provider(struct call *c, const struct sessions *sessions, unsigned place,
                              struct span realm, struct span what)
{
    const char *kind = place == TAG_SID ? "sid" : "subject";
    uint64_t tag = session_tag(sessions, c->txn->arena, kind, realm, what);
    struct share_join *join = tag != 0 ? session_telling(c, sessions) : NULL;
    if (join != NULL)
        share_end_tagged(join, place, tag);
    ended_mark(&sessions->ended, &sessions->live, place, tag, session_now_s(c));
    return vault_end_tagged(&sessions->live, place, tag);
}

size_t sessions_end_subject(struct call *c, const struct sessions *sessions, struct span realm,
                            struct span subject)
{
    return end_at_provider(c, sessions, TAG_SUBJECT, realm, subject);
}

size_t sessions_end_sid(struct call *c, const struct sessions *sessions, struct span realm,
                        struct span sid)
{
    return end_at_provider(c, sessions, TAG_SID, realm, sid);
}
