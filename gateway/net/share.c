/* Shares of clients: see share.h. Rows are made ready when they are met first. */
#include "gateway/net/share.h"

/* Of the client's subscriber; false: it is no network address. */
static bool hash_of(const struct worker *worker, const struct addr *client, uint64_t *hash)
{
    struct addr subscriber;

    if (!addr_subscriber(client, &subscriber))
        return false;
    *hash = siphash(&worker->held_key, subscriber.bytes, sizeof subscriber.bytes) ^
            subscriber.family;
    return true;
}

struct client_share *client_share_of(struct worker *worker, const struct addr *client)
{
    uint64_t hash;

    if (!hash_of(worker, client, &hash))
        return NULL;
    struct client_share *share = &worker->shares[hash % CLIENT_SHARES];
    if (share->slabs.from == NULL)
        slab_share_init(&share->slabs, &worker->slabs, worker->share_slabs);
    return share;
}

bool client_share_spent(const struct worker *worker, const struct client_share *share)
{
    return share != NULL && worker->share_slabs > 0 &&
           share->slabs.in_use >= worker->share_slabs - worker->share_slabs / 4;
}

static uint64_t now_ns(void)
{
    struct clock clock;

    clock_read(&clock);
    return clock.mono_ns;
}

bool client_turn_enter(struct worker *worker, struct client_share *share, uint64_t *began_ns)
{
    *began_ns = 0;
    if (share == NULL)
        return true;
    if (share != worker->last_share) {
        if (worker->last_share != NULL)
            worker->contended_ms = clock_ms(&worker->loop.clock);
        worker->last_share = share;
    }
    if (!worker_contended(worker))
        return true;
    if (share->turn != worker->loop.turns) {
        bool next = share->turn + 1 == worker->loop.turns;
        share->resting = next && !share->resting && share->turn_ns >= OVERRUN_NS;
        share->turn = worker->loop.turns;
        share->turn_ns = share->resting ? TURN_NS : 0;
    }
    if (share->turn_ns >= TURN_NS)
        return false;
    *began_ns = now_ns();
    return true;
}

void client_turn_leave(struct client_share *share, uint64_t began_ns)
{
    if (began_ns != 0)
        share->turn_ns += now_ns() - began_ns;
}

enum { FREE_MS = OFFENCES_FREE * OFFENCE_MS };

void client_offended(struct worker *worker, const struct addr *client)
{
    uint64_t now = clock_ms(&worker->loop.clock), hash;

    if (!hash_of(worker, client, &hash))
        return;
    struct client_share *share = &worker->shares[hash % CLIENT_SHARES];
    if (share->offender != hash) {
        share->offender = hash;
        share->calm_ms = 0;
    }
    uint64_t calm = (share->calm_ms > now ? share->calm_ms : now) + OFFENCE_MS;
    /* However many were open at once, the end is near. */
    share->calm_ms = calm - now < 2 * FREE_MS ? calm : now + 2 * FREE_MS;
    if (share->calm_ms - now >= FREE_MS && share->calm_ms - FREE_MS > worker->barred_ms)
        worker->barred_ms = share->calm_ms - FREE_MS;
}

bool client_barred(struct worker *worker, const struct addr *client)
{
    uint64_t now = clock_ms(&worker->loop.clock), hash;

    if (now >= worker->barred_ms || !hash_of(worker, client, &hash))
        return false;
    const struct client_share *share = &worker->shares[hash % CLIENT_SHARES];
    return share->offender == hash && share->calm_ms > now + FREE_MS;
}
