/*
 * Who a request is from, as the stage found that verified it: what policies and conditions ask,
 * and what upstream may be told. All texts are UTF-8 without control characters.
 */
#ifndef SALLYPORT_IDENTITY_H
#define SALLYPORT_IDENTITY_H

#include "gateway/base/span.h"

/* A claim by its path: "email", "realm_access.roles". One that is a list stands there once for
 * each of its members. */
struct claim {
    struct span name, value;
};

struct identity {
    struct span user;
    struct span issuer; /* of a token; or empty */
    const struct span *groups;
    size_t group_count;
    const struct claim *claims;
    size_t claim_count;
    uint64_t proved_s; /* wall clock: when the person proved it last; 0: unknown */
    bool mfa;          /* by more than one factor */
};

static inline bool identity_in_group(const struct identity *identity, struct span group)
{
    for (size_t i = 0; i < identity->group_count; i++)
        if (span_equal(identity->groups[i], group))
            return true;
    return false;
}

/* The next claim of that name behind `after` (NULL: the first), or NULL. */
static inline const struct claim *identity_claim(const struct identity *identity,
                                                 struct span name, const struct claim *after)
{
    const struct claim *end = identity->claims + identity->claim_count;
    const struct claim *at = after != NULL ? after + 1 : identity->claims;
    for (; identity->claim_count > 0 && at < end; at++)
        if (span_equal(at->name, name))
            return at;
    return NULL;
}

#endif
