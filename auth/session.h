/*
 * Sessions of people who signed in by a browser, and sign-ins that are under way: for every
 * stage that has a page to sign in at.
 *
 * A session lives in shared memory (auth/vault.h), so it counts in all workers and outlives a
 * reload, and can be ended from here at once. The browser has a cookie that only this host can
 * set and read (`__Host-`), out of reach of scripts, and upstream never sees it. A session
 * counts on the site where it began, for the stage and realm that began it, and nowhere else.
 *
 * A sign-in remembers where the browser wanted to go, and what its stage has to know: on our
 * side, under a handle that goes into a form or a `state`. It is good for the browser that
 * began it only, by a cookie of its own, and any number may be under way in one browser.
 */
#ifndef SALLYPORT_SESSION_H
#define SALLYPORT_SESSION_H

#include "auth/sessioncarry.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"

enum {
    SESSIONS_MAX = 16384, /* on a node */
    SESSION_VALUE_MAX = 6784,
    SESSION_EXTRA_MAX = 5120,
    SIGNINS_MAX = 8192,
    SIGNIN_VALUE_MAX = 1792,
    SIGNIN_TARGET_MAX = 1024,
    SIGNIN_EXTRA_MAX = 512,
    SIGNIN_S = 15 * 60,          /* to get through with it */
    SIGNIN_STEP_S = 180,         /* a code by time is over by then ... */
    SIGNIN_CODE_S = 366 * 86400, /* ... and a recovery code is taken out of its store */
    SESSION_COOKIES_MAX = 100,   /* pairs in a request: with more, nobody is signed in */
    FORM_TOKEN_BYTES = 32,
    KNOWN_S = 180 * 86400,
};

#define SESSION_COOKIE "__Host-sallyport"
#define CARRIED_COOKIE "__Host-sallyport-sealed"
#define SIGNIN_COOKIE "__Host-sallyport-signin"
#define KNOWN_COOKIE "__Host-sallyport-known"

/* `session:` of such a stage: .offset of the member, .options = session_options. */
struct session_conf {
    struct duration idle, max;
    int same_site;
    struct secret seal, seal_before; /* empty: the browser carries no copy */
};
extern const struct option session_options[];

struct sessions;
/* At load; NULL after a complaint. `conf` NULL: for who only looks at them. */
struct sessions *sessions_open(struct setup *setup, const struct session_conf *conf);
/* In each worker, for each stage that has them. */
MUST_USE enum err sessions_attach(struct worker *worker, const struct sessions *sessions);
void sessions_detach(struct worker *worker, const struct sessions *sessions);
/* The key that all that is kept of them hangs on: of this boot, or, true, the shared store's.
 */
bool sessions_key(const struct config *config, const uint8_t boot_key[32], uint8_t key[32]);

/* ---- other nodes ---- */

/*
 * Sessions may be shared by several nodes (auth/sessionshare.h). So in each phase, before
 * anything here is asked of a request: waits until what other nodes have done to its session,
 * and to the sign-in under `handle` (may be empty), is known, and goes on with `then`. That has
 * to fail with REASON_AUTH_SESSIONS when c->error is set: nobody can say who this is.
 */
struct verdict sessions_ready(struct call *c, const struct sessions *sessions,
                              struct span handle, stage_fn *then);
/*
 * The beginning of a request at a stage that signs people in: whoever is signed in passes;
 * else `then`, without what the client itself says in `field` (empty: there is none).
 */
struct verdict session_user(struct call *c, const struct sessions *sessions, struct span field,
                            stage_fn *then);
/* And last of all: the verdict, as soon as other nodes know what has changed here. */
struct verdict sessions_told(struct call *c, struct verdict verdict);

/* ---- sessions ---- */

struct session_content {
    const struct identity *identity; /* its `proved_s` and `mfa` are what policies ask */
    struct span via;                 /* the stage's name */
    struct span realm;        /* whose users they are, to the stage: a file, a provider */
    struct span subject, sid; /* at a provider, for logouts that it orders; or empty */
    uint64_t epoch;           /* the stage's: of the account as it was */
    struct span extra;        /* the stage's: kept as closed as all the rest */
};

struct session {
    struct session_content content; /* in the transaction's arena */
    struct ticket ticket;
    uint64_t began_s, until_s, seen_s;
};

/*
 * Begins a session and gives the reply its cookie. The one that the request came with, whoever
 * began it, ends: an id never survives a sign-in. False when memory ran out or the content is
 * too long.
 */
MUST_USE bool session_begin(struct call *c, const struct sessions *sessions,
                            const struct session_conf *conf,
                            const struct session_content *content, struct reply *reply);
/* The session that the request came with, if it is of this site, stage and realm; or NULL. */
const struct session *session_find(struct call *c, const struct sessions *sessions,
                                   struct span via, struct span realm);
/* Whether it came with a session of this site at all, whoever began it. */
bool session_here(struct call *c, const struct sessions *sessions);
/* Other content under the same id, for a token that was renewed. */
MUST_USE bool session_renew(struct call *c, const struct sessions *sessions,
                            const struct session *session,
                            const struct session_content *content);
/* Goes on with `then`; c->error is OK for one request at a time: who then renews, or lets ten
 * seconds pass. */
struct verdict session_lock(struct call *c, const struct sessions *sessions,
                            const struct session *session, stage_fn *then);
/* Ends the session that the request came with, whoever began it; takes the cookie away. */
MUST_USE bool session_end(struct call *c, const struct sessions *sessions, struct reply *reply);

/* Ends all that are of this user (any stage's; on this node), of this subject or session of a
 * provider. */
size_t sessions_end_user(const struct sessions *sessions, struct span user, uint64_t now_s);
size_t sessions_end_subject(struct call *c, const struct sessions *sessions, struct span realm,
                            struct span subject);
size_t sessions_end_sid(struct call *c, const struct sessions *sessions, struct span realm,
                        struct span sid);
/*
 * For lists in another process: what stands in that memory ("stage.sessions"). `memory` may be
 * NULL for who needs no more than names and tags.
 */
struct session_table {
    struct vault vault;
    struct cells ended;
};
size_t session_table_bytes(void);
void session_table_over(struct session_table *table, void *memory, const uint8_t key[32]);
size_t session_table_end_user(const struct session_table *table, struct span user,
                              uint64_t now_s);
bool session_table_end(const struct session_table *table,
                       const uint8_t handle[VAULT_HANDLE_BYTES], uint64_t now_s);
/* The place of the tag of a user, and it. */
enum { SESSION_TAG_USER, SESSION_TAG_SUBJECT, SESSION_TAG_SID };
uint64_t sessions_user_tag(const struct vault *vault, struct span user);

/* ---- sign-ins under way ---- */

struct signin {
    struct span step;   /* the stage's name and step: one that was made for another is none */
    struct span target; /* where to go then: return_target, and nothing else */
    struct span extra;  /* the stage's; closed */
    uint64_t began_s;   /* filled in */
};

/*
 * The request's own address, to come back to: a path of this site, or "/" when it is too long,
 * not one to come back to, or could be read as another site by somebody.
 */
struct span return_target(struct call *c);
/* Whether a browser that is sent there stays on this site, however it reads addresses. */
bool return_target_safe(struct span target);

/* Begins one; the reply gets the browser's cookie if it has none yet. The handle lives in the
 * arena; TICKET_TEXT_BYTES letters, digits, `-` and `_`. */
MUST_USE bool signin_begin(struct call *c, const struct sessions *sessions,
                           const struct signin *signin, struct reply *reply,
                           struct span *handle);
/* The one under this handle, if this browser began it for this step. */
MUST_USE bool signin_find(struct call *c, const struct sessions *sessions, struct span step,
                          struct span handle, struct signin *signin);
/* The same, and it is over: true for one request, whoever else has the handle. */
MUST_USE bool signin_take(struct call *c, const struct sessions *sessions, struct span step,
                          struct span handle, struct signin *signin);
/* What may be used once, on whatever node: whoever does it again is refused in sessions_told.
 */
MUST_USE bool signin_once(struct call *c, const struct sessions *sessions, struct span what,
                          uint64_t seconds);
/*
 * An attempt at `what` (of the arena), counted on all nodes together: beyond `most` in
 * `seconds` whoever makes one is refused in sessions_told, right or wrong; one that is right
 * and is not refused ends the count.
 */
MUST_USE bool signin_count(struct call *c, const struct sessions *sessions, struct span what,
                           uint64_t most, uint64_t seconds);
void signin_counted_right(struct call *c, struct span what);
/* Whether this node has it. */
bool signin_here(struct call *c, const struct sessions *sessions, const struct ticket *ticket);
/* Whether the browser sent the cookie of sign-ins at all: if not, it keeps none. */
bool signin_browser_known(struct call *c);

/* ---- browsers that are known ---- */

/* Whether this browser has signed in as that user on this site; and that it has, from now on.
 */
bool browser_known(struct call *c, const struct sessions *sessions, struct span user);
MUST_USE bool browser_remember(struct call *c, const struct sessions *sessions,
                               struct span user, struct reply *reply);

/* ---- forms ---- */

/*
 * What a form has to bring back, so that no other site can send it: bound to the browser's
 * cookie (of its session, else of its sign-ins) and to `use`. False when it has neither.
 */
MUST_USE bool form_token(struct call *c, const struct sessions *sessions, struct span use,
                         char token[FORM_TOKEN_BYTES]);
bool form_token_right(struct call *c, const struct sessions *sessions, struct span use,
                      struct span token);

/* Codec of what is sealed; here for its fuzzer. False: not whole. */
MUST_USE bool session_content_write(struct text *out, struct span site,
                                    const struct session_content *content);
MUST_USE bool session_content_read(struct span bytes, struct arena *arena, struct span *site,
                                   struct session_content *content);

#endif
