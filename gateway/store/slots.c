/*
 * Worker slots and the memory of queries of death.
 *
 * Generations write here at the same time as workers read, so words are read and written whole
 * and a reader may see an entry a moment late; that costs at most one more worker. A worker
 * that is taken over may erase its past deaths: it already owns the requests that it serves.
 */
#include "gateway/store/slots.h"

#include <errno.h>
#include <signal.h>

#include "gateway/base/siphash.h"

static bool process_gone(int32_t pid)
{
    return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
}

enum err slot_claim(struct slots *slots, int32_t pid, uint32_t generation, unsigned *slot)
{
    INVARIANT(pid > 0);
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        struct worker_shared *worker = &slots->workers[i];
        int32_t owner = __atomic_load_n(&worker->pid, __ATOMIC_ACQUIRE);
        if (owner != 0 && !process_gone(owner))
            continue;
        if (!__atomic_compare_exchange_n(&worker->pid, &owner, pid, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            continue;
        worker->generation = generation;
        worker->heartbeat_ms = 0;
        worker->death_fingerprint = 0;
        worker->counters.connections_open = 0;
        *slot = i;
        return OK;
    }
    return ERR_BUSY;
}

void slot_release(struct slots *slots, unsigned slot)
{
    INVARIANT(slot < SLOTS_MAX);
    struct worker_shared *worker = &slots->workers[slot];
    worker->counters.connections_open = 0;
    __atomic_store_n(&worker->pid, 0, __ATOMIC_RELEASE);
}

uint64_t death_fingerprint(const uint8_t boot_key[BOOT_KEY_BYTES], struct span head)
{
    struct siphash_key key;
    memcpy(&key, boot_key, sizeof(key));
    uint64_t fingerprint = siphash(&key, head.p, head.len);
    return fingerprint != 0 ? fingerprint : 1;
}

/* A clock set back must not keep an entry alive for ever, so the future counts as expired too.
 */
static bool expired(const struct death *death, uint32_t now_s)
{
    return now_s - death->last_s > DEATH_LIFETIME_S;
}

static void count_refused(struct slots *slots, uint32_t now_s)
{
    uint32_t refused = 0;
    for (size_t i = 0; i < DEATHS_MAX; i++) {
        const struct death *death = &slots->deaths[i];
        if (death->fingerprint != 0 && death->count >= DEATHS_TO_REFUSE &&
            !expired(death, now_s))
            refused++;
    }
    __atomic_store_n(&slots->deaths_refused, refused, __ATOMIC_RELEASE);
}

/* Its entry, else a free or expired one, else the oldest. */
static struct death *death_entry(struct slots *slots, uint64_t fingerprint, uint32_t now_s)
{
    struct death *free = NULL, *oldest = &slots->deaths[0];
    for (size_t i = 0; i < DEATHS_MAX; i++) {
        struct death *death = &slots->deaths[i];
        bool live = death->fingerprint != 0 && !expired(death, now_s);
        if (live && death->fingerprint == fingerprint)
            return death;
        if (!live && free == NULL)
            free = death;
        if (death->last_s < oldest->last_s)
            oldest = death;
    }
    struct death *entry = free != NULL ? free : oldest;
    entry->count = 0;
    __atomic_store_n(&entry->fingerprint, fingerprint, __ATOMIC_RELEASE);
    return entry;
}

bool deaths_add(struct slots *slots, uint64_t fingerprint, uint32_t now_s)
{
    if (fingerprint == 0)
        return false;
    struct death *death = death_entry(slots, fingerprint, now_s);
    death->last_s = now_s;
    uint32_t count = death->count < UINT32_MAX ? death->count + 1 : UINT32_MAX;
    __atomic_store_n(&death->count, count, __ATOMIC_RELEASE);
    count_refused(slots, now_s);
    return count >= DEATHS_TO_REFUSE;
}

bool deaths_refuse(const struct slots *slots, uint64_t fingerprint, uint32_t now_s)
{
    if (__atomic_load_n(&slots->deaths_refused, __ATOMIC_ACQUIRE) == 0)
        return false;
    for (size_t i = 0; i < DEATHS_MAX; i++) {
        const struct death *death = &slots->deaths[i];
        if (__atomic_load_n(&death->fingerprint, __ATOMIC_ACQUIRE) == fingerprint &&
            fingerprint != 0)
            return __atomic_load_n(&death->count, __ATOMIC_ACQUIRE) >= DEATHS_TO_REFUSE &&
                   !expired(death, now_s);
    }
    return false;
}
