/*
 * What the gate (oidc.c), the way to a provider (oidc_start.c), the exchange with it
 * (oidc_exchange.c) and the pages (oidc_pages.c) share, and nobody else.
 */
#ifndef SALLYPORT_OIDC_STAGE_H
#define SALLYPORT_OIDC_STAGE_H

#include "auth/oidc_tokens.h"
#include "auth/pages.h"
#include "auth/provider.h"
#include "gateway/upstream/asker.h"

#define OIDC_PAGE "/.sallyport/oidc"
#define OIDC_CHOOSE OIDC_PAGE "?flow="
#define OIDC_OUT OIDC_PAGE "/out"
#define OIDC_AGAIN OIDC_PAGE "/again?flow="
#define OIDC_ROUNDS OWN_COOKIES "-rounds"
#define STEP_OIDC "oidc"
#define STEP_OIDC_CHOOSE "oidc choose"
#define STEP_OIDC_AGAIN "oidc again"

enum {
    OIDC_PROVIDERS_MAX = 8,
    OIDC_NAME_MAX = 32,
    OIDC_BODY_MAX = 16 * 1024, /* of a logout token, or a form */
    OIDC_ROUNDS_MAX = 3,       /* sign-ins of one browser ... */
    OIDC_ROUNDS_S = 60,        /* ... within that time: more go round in circles */
    OIDC_HINT_MAX = 3072,      /* of an ID token that is kept */
    OIDC_RETRY_S = 30, /* a provider that is down is asked no more often, by a session */
};
enum oidc_userinfo { OIDC_USERINFO_AUTO, OIDC_USERINFO_ALWAYS, OIDC_USERINFO_NEVER };

/* One of `providers:`. */
struct oidc_row {
    struct span name, title, issuer, client_id;
    struct secret client_secret;
    struct texts scopes, algorithms, claims;
    struct span user_claim, user_prefix, groups_claim;
    struct path ca;
    int userinfo;
    struct duration skew;
};

struct oidc_provider {
    const struct oidc_row *row;
    unsigned index;               /* in config->providers */
    struct token_issuer identity; /* user and groups as configured; keys are those of now */
    struct span audience, scope;
};

struct oidc_conf {
    struct list providers;
    struct session_conf session;
    struct span pass, brand;
    struct path style;
    struct url origin;
    struct duration grace;

    struct oidc_provider *built;
    struct sessions *sessions;
    struct page_style look;
    struct signed_in signed_in;
};

struct oidc_way { /* to one provider, in one worker */
    struct worker *worker;
    const struct oidc_provider *provider;
    struct fetch_policy policy;
};

struct oidc_local {
    struct worker *worker;
    struct asker *asker;
    struct oidc_way ways[OIDC_PROVIDERS_MAX];
    bool attached;
    const struct sessions *sessions; /* NULL: not attached */
};

/* Of a request that waits. */
struct oidc_state {
    const struct oidc_provider *provider;
    struct span target;
    bool again;     /* sign-in though there is a session: prove it once more */
    bool asked;     /* the provider's document was asked for once */
    bool end;       /* the session that came is over: the reply takes its cookie away */
    unsigned steps; /* of the exchange */
    struct span verifier, nonce, code;
    const struct session *session; /* a refresh of this one; NULL: a sign-in */
    struct span refresh_token;
    struct oidc_tokens tokens;
    struct trusted trusted;
    struct span sid;
};

const struct oidc_provider *oidc_named(const struct oidc_conf *conf, struct span name);

/* oidc_start.c: a redirect to the provider of the state, which has its target. May wait. */
struct verdict oidc_start(struct call *c);
/* Whoever is nobody: to a provider, to the choice, or a challenge. */
struct verdict oidc_nobody(struct call *c);
/* oidc.c: lets the request pass as this user. */
struct verdict oidc_accept(struct call *c, const struct identity *identity);
/* A message of ours; `detail` for the record. */
struct verdict oidc_message(struct call *c, enum reason reason, const char *detail,
                            const char *title, const char *sentence);
/* "https://host", where browsers reach us. False: memory. */
MUST_USE bool oidc_origin(struct call *c, struct text *out);
MUST_USE bool oidc_redirect_uri(struct call *c, const struct oidc_provider *provider,
                                struct text *out);

/* One more sign-in of this browser is complete. */
MUST_USE bool oidc_count_round(struct call *c, struct reply *reply);

/* oidc_exchange.c: by the code of the state, then a session; or by its refresh token. */
struct verdict oidc_exchange_code(struct call *c);
struct verdict oidc_exchange_refresh(struct call *c);
/* The issuer with the keys of now; of ID tokens, whose user is `sub`. False: none yet. */
MUST_USE bool oidc_issuer_now(struct call *c, const struct oidc_provider *provider,
                              struct token_issuer *issuer);
/* `extra` of a session: when the access token ends, what renews it, and the ID token that the
 * sign-in ended with, for the provider's own end (empty: it was too long to be kept). */
struct oidc_extra {
    uint64_t until_s;
    struct span hint, refresh_token;
};
bool oidc_extra_read(struct span extra, struct oidc_extra *out);
/* The provider has taken the session back: nobody is let in by it again. */
#define OIDC_EXTRA_OVER "over"

/* oidc_pages.c */
struct verdict oidc_page(struct call *c);

#endif
