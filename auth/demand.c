/* The challenges of earlier stages are a fact, so that each of them stays ignorant of the rest.
 */
#include "auth/demand.h"

#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"

/* Only one that surely asks: what is exempt from it, is not exempt from us. */
bool demand_follows(const struct call *c)
{
    const struct txn *txn = c->txn;
    const struct stage_instance *stages = txn->route->chain[txn->run.phase];
    for (unsigned i = txn->run.index + 1; i < txn->route->chain_count[txn->run.phase]; i++)
        if (stages[i].type->authenticates && chain_will_ask(c->txn, &stages[i]))
            return true;
    return false;
}

bool demand_add(struct call *c, struct reply *reply, struct span challenge)
{
    const struct challenges *before = c->txn->facts.challenges;
    for (unsigned i = 0; before != NULL && i < before->count; i++)
        if (!reply_field(reply, SPAN("WWW-Authenticate"), before->items[i]))
            return false;
    return challenge.len == 0 || reply_field(reply, SPAN("WWW-Authenticate"), challenge);
}

static struct verdict leave_to_next(struct call *c, struct span challenge)
{
    const struct challenges *before = c->txn->facts.challenges;
    struct challenges *now = arena_new(c->txn->arena, struct challenges);
    if (now == NULL)
        return fail(REASON_MEMORY);
    if (before != NULL)
        *now = *before;
    if (challenge.len > 0 && now->count < CHALLENGES_MAX)
        now->items[now->count++] = challenge;
    fact_set_challenges(c, now);
    return pass();
}

struct verdict demand(struct call *c, struct span challenge)
{
    if (demand_follows(c))
        return leave_to_next(c, challenge);
    struct reply *reply = reply_new(c->txn, 0);
    if (reply == NULL || !demand_add(c, reply, challenge))
        return fail(REASON_MEMORY);
    return answer(REASON_AUTH_REQUIRED, reply);
}

struct verdict demand_failed(struct call *c, enum reason reason, struct span challenge,
                             const char *detail)
{
    struct reply *reply = reply_new(c->txn, 0);
    if (reply == NULL || !demand_add(c, reply, challenge))
        return fail(REASON_MEMORY);
    if (detail != NULL)
        fact_set_auth_detail(c, detail);
    return answer(reason, reply);
}
