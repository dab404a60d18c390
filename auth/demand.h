/*
 * Several ways to sign in on one route: any of them will do. Each stage looks for its own kind
 * of credential. One that finds none leaves the question to the next stage that will ask this
 * request, and the last of them answers with all the challenges; one that finds a wrong one
 * refuses at once.
 */
#ifndef SALLYPORT_DEMAND_H
#define SALLYPORT_DEMAND_H

#include "gateway/chain/txn.h"

enum { CHALLENGES_MAX = 4 };

struct challenges {
    struct span items[CHALLENGES_MAX];
    unsigned count;
};

/* No credential of this stage's kind: `challenge` (WWW-Authenticate; may be empty) goes to the
 * client unless another stage finds one. */
struct verdict demand(struct call *c, struct span challenge);
/* Whether some stage behind this one will ask for another kind of credential. */
bool demand_follows(const struct call *c);
/* The challenges so far and this one, for a stage that answers in its own way. */
MUST_USE bool demand_add(struct call *c, struct reply *reply, struct span challenge);
/* A credential of this stage's kind that is no good; `detail` is a slug for the record. */
struct verdict demand_failed(struct call *c, enum reason reason, struct span challenge,
                             const char *detail);
/* Somebody is signed in already: nothing is left to demand. */
static inline bool demand_met(const struct call *c)
{
    return c->txn->facts.user.len > 0;
}

#endif
