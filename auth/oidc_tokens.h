/*
 * What an OpenID provider says, checked: the answer of its token endpoint, ID tokens, userinfo,
 * logout tokens (OpenID Connect Core 1.0, Back-Channel Logout 1.0). Pure: no network here.
 * Slugs say why something was not believed; they stand in the record.
 */
#ifndef SALLYPORT_OIDC_TOKENS_H
#define SALLYPORT_OIDC_TOKENS_H

#include "auth/token.h"
#include "gateway/http/params.h"

enum {
    OIDC_ANSWER_BYTES_MAX = 64 * 1024,
    OIDC_ACCESS_TOKEN_MAX = 16 * 1024,
    OIDC_REFRESH_TOKEN_MAX = 1536, /* it goes into the session */
    OIDC_CODE_MAX = 2048,
    OIDC_PARAMS_MAX = 32,
    OIDC_NONCE_BYTES = 43,
    OIDC_SUBJECT_MAX = 255,
};

/* name=value for a form or a query, with `&` before it if it is not the first. */
void oidc_param(struct text *out, struct span name, struct span value);
/* 256 random bits in OIDC_NONCE_BYTES letters, digits, `-` and `_`. */
void oidc_random(char out[OIDC_NONCE_BYTES]);
/* RFC 7636 section 4.2, S256. */
void oidc_challenge(struct text *out, struct span verifier);
/* "Basic ...", each half form-encoded first (RFC 6749 section 2.3.1). */
void oidc_basic(struct text *out, struct span id, struct span secret);

/* ---- what comes back with the browser ---- */

struct oidc_return {
    struct span code, state, issuer;
    struct span error; /* not empty: the provider refused; one of the names that it may have */
};
/* Each parameter once. NULL, or a slug. */
const char *oidc_returned(struct span query, struct arena *arena, struct oidc_return *out);

/* ---- the token endpoint ---- */

struct oidc_tokens {
    struct span id_token, access_token, refresh_token; /* in the arena; may be empty */
    uint64_t lasts_s; /* of the access token; 0: it is not said */
};
/* NULL, or a slug. `*gone`: it says that the code or refresh token is no good, and always will
 * be. */
const char *oidc_answer(int status, struct span body, struct arena *arena,
                        struct oidc_tokens *out, bool *gone);

/* ---- tokens ---- */

struct oidc_expect {
    const struct token_issuer *issuer; /* user_claim and groups_claim do not count here */
    struct span client_id;
    struct span nonce;        /* empty: none is expected (after a refresh) */
    struct span access_token; /* for at_hash; may be empty */
    struct span subject;      /* not empty: it is still the same one */
};
/* NULL and trusted claims, with a valid `sub`; or a slug. */
const char *oidc_id_token(const struct oidc_expect *expect, struct span token, uint64_t now_s,
                          struct arena *arena, struct trusted *out);
/*
 * Adds to `claims` what userinfo says, if it is of the same subject. What was signed stays as
 * it is. NULL, or a slug.
 */
const char *oidc_userinfo(struct trusted *trusted, int status, struct span content_type,
                          struct span body);
/* Takes out what is about the token and not about the user. */
void oidc_forget_protocol(struct json_t *claims);

struct oidc_logout {
    struct span subject, sid; /* in the arena; one may be empty */
};
const char *oidc_logout_token(const struct token_issuer *issuer, struct span token,
                              uint64_t now_s, struct arena *arena, struct oidc_logout *out);

#endif
