/*
 * A bearer token that says who somebody is (JWT, RFC 7519 and 8725): whether one of the
 * configured issuers signed it for us and for now, and what stands in it. The issuer named in
 * the token chooses among the configured ones, and so the keys, algorithms and audiences that
 * count; nothing else in the token has a say in how it is checked.
 */
#ifndef SALLYPORT_TOKEN_H
#define SALLYPORT_TOKEN_H

#include "auth/jwks.h"
#include "conf/kinds.h"
#include "gateway/chain/identity.h"

enum {
    TOKEN_CLAIMS_MAX = 128,
    TOKEN_GROUPS_MAX = 64,
    TOKEN_USER_BYTES_MAX = 255,
    TOKEN_CLAIM_DEPTH_MAX = 4,
};

struct token_issuer {
    struct span name; /* `iss`, compared byte by byte */
    struct jwks keys;
    struct texts audience; /* one of them stands in `aud` */
    bool any_audience;
    struct texts types;                   /* what `typ` may be, when there is one */
    struct span user_claim, groups_claim; /* paths; groups may be empty */
    struct span user_prefix;
    uint64_t lifetime_s, skew_s;
};

/* What a token came to. Shared by cache and transactions: counted. */
struct verified {
    struct identity identity;
    uint64_t until_s; /* wall clock: it has expired then, skew included */
    unsigned references;
    struct arena arena;
    _Alignas(16) char room[];
};

struct json_t;

/* What an issuer has signed for us and for now, whatever it says. */
struct trusted {
    struct json_t *claims; /* the caller's to json_decref; NULL after an error */
    const struct token_issuer *issuer;
    enum jose_alg alg;
    size_t bytes; /* of the claims as text: what there is room for */
    uint64_t until_s, proved_s;
};
MUST_USE enum jose_error token_trust(const struct token_issuer *issuers, size_t count,
                                     struct span token, uint64_t now_s, struct arena *arena,
                                     struct trusted *out);
/* Who it is, by the issuer's user and groups claims. The claims may be more than were signed:
 * the caller vouches for them. `*out` is the caller's to release. */
MUST_USE enum jose_error token_identity(const struct trusted *trusted, struct verified **out);
/* Both. JOSE_OK and `*out`, which is the caller's to release; else why not. `arena` is for
 * work.
 */
MUST_USE enum jose_error token_verify(const struct token_issuer *issuers, size_t count,
                                      struct span token, uint64_t now_s, struct arena *arena,
                                      struct verified **out);
/* The issuer that a token of that form names, verified or not; `count` when it is none of them.
 */
size_t token_issuer_of(const struct token_issuer *issuers, size_t count, struct span token,
                       struct arena *arena);
void verified_release(void *verified);

/* A name that may go into records, policies and fields: 1 to 255 bytes, no control character,
 * no white space around it. */
bool token_user_valid(struct span user);

#endif
