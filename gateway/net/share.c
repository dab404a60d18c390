/* Shares of clients: see share.h. Rows are made ready when they are met first. */
#include "gateway/net/share.h"

struct client_share *client_share_of(struct worker *worker, const struct addr *client)
{
    struct addr subscriber;

    if (!addr_subscriber(client, &subscriber))
        return NULL;
    uint64_t hash = siphash(&worker->held_key, subscriber.bytes, sizeof subscriber.bytes);
    struct client_share *share = &worker->shares[(hash ^ subscriber.family) % CLIENT_SHARES];
    if (share->slabs.from == NULL)
        slab_share_init(&share->slabs, &worker->slabs, worker->share_slabs);
    return share;
}

bool client_share_spent(const struct worker *worker, const struct client_share *share)
{
    return share != NULL && worker->share_slabs > 0 &&
           share->slabs.in_use >= worker->share_slabs - worker->share_slabs / 4;
}
