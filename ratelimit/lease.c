/* What one worker holds of the keys that come often. */
#include "ratelimit/lease.h"

enum { NS_PER_MS = 1000000 };

struct lease *lease_of(struct leases *leases, struct cell_key key, uint64_t now_ns)
{
    _Static_assert((LEASES_MAX & (LEASES_MAX - 1)) == 0, "places are found by a mask");
    struct lease *lease = &leases->items[key.place & (LEASES_MAX - 1)];
    if (lease->key.place != key.place || lease->key.fingerprint != key.fingerprint)
        *lease = (struct lease){ .key = key };
    uint64_t window = now_ns / ((uint64_t)LEASE_HEAT_MS * NS_PER_MS);
    if (window != lease->window) {
        lease->before = window == lease->window + 1 ? lease->uses : 0;
        lease->uses = 0;
        lease->window = window;
    }
    return lease;
}

void lease_use(struct lease *lease)
{
    if (lease->uses < LEASE_TOKENS_MAX)
        lease->uses++;
}

unsigned lease_wants(const struct lease *lease)
{
    uint32_t most = lease->uses > lease->before ? lease->uses : lease->before;
    return most >= LEASE_HOT ? most : 0;
}

bool lease_take(struct lease *lease, uint64_t units, uint64_t now_ns)
{
    if (lease->units < units || lease->until_ns <= now_ns)
        return false;
    lease->units -= units;
    return true;
}

void lease_return(struct lease *lease, uint64_t units)
{
    lease->units += units;
}

/* What stands there has not become younger, so all end with it. */
void lease_put(struct lease *lease, uint64_t units, uint64_t now_ns)
{
    if (lease->units == 0 || lease->until_ns <= now_ns) {
        lease->units = 0;
        lease->until_ns = now_ns + (uint64_t)LEASE_MS * NS_PER_MS;
    }
    lease->units += units;
}

void lease_refused(struct lease *lease, uint64_t tolerance_ns, uint64_t now_ns)
{
    uint64_t pause = (uint64_t)LEASE_PAUSE_MS * NS_PER_MS;
    if (pause > tolerance_ns / LEASE_PART)
        pause = tolerance_ns / LEASE_PART;
    lease->pause_ns = now_ns + pause;
}

uint64_t lease_pause_ns(const struct lease *lease, uint64_t now_ns)
{
    return lease->pause_ns > now_ns ? lease->pause_ns - now_ns : 0;
}
