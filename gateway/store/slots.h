/*
 * Shared memory that the master holds for all generations: one slot per worker, and the table
 * of requests that killed workers. Everything here may be written by a compromised worker;
 * nothing read from it is trusted as a size, an index or a pointer.
 */
#ifndef SALLYPORT_SLOTS_H
#define SALLYPORT_SLOTS_H

#include "gateway/http2/budget.h"

enum { SLOTS_MAX = 64, DEATHS_MAX = 256, DEATHS_TO_REFUSE = 2, DEATH_LIFETIME_S = 86400 };
enum { SLOTS_LAYOUT = 5, BOOT_KEY_BYTES = 32, IDS_LISTEN_BYTES = 1024 };

/* Counters of one worker; the steward adds them up. Names appear in metrics and `status`. */
struct worker_counters {
    uint64_t connections_accepted, connections_refused, connections_open;
    uint64_t tls_failures, connection_records_suppressed;
    uint64_t requests, requests_refused, requests_denied, requests_replied, requests_forwarded;
    uint64_t upstream_failures, upstream_retries, records_lost;
    uint64_t request_bytes, response_bytes;
    uint64_t status_class[6];
    uint64_t limits_evicted; /* keys forgotten although they counted: the table is too small */
    /* Collections of SecLang: given up for others before their time; changes that had no room,
     * or found them locked. */
    uint64_t collections_evicted, collections_lost;
    uint64_t h2_connections;
    /* Limits that nodes share: calls to the store, how long it took to answer them, and those
     * without an answer of use. */
    uint64_t store_calls, store_us, store_failures;
    uint64_t h2_floods[FLOOD_COUNT]; /* connections that were cut off, by why */
};

/* Counters outlive the worker: the next one in the slot goes on counting. */
struct worker_shared {
    _Alignas(64) int32_t pid; /* 0: free; until the fork the generation's own */
    uint32_t generation;
    uint64_t heartbeat_ms;      /* monotonic: the last loop turn */
    uint64_t death_fingerprint; /* written by the crash handler: the request being worked on; 0:
                                   none */
    struct worker_counters counters;
};

/* Fingerprints of requests that were being worked on when a worker crashed. Written by
 * generations. */
struct death {
    uint64_t fingerprint; /* 0: free */
    uint32_t count;
    uint32_t last_s; /* wall clock */
};

/* Who runs, for `status`; written by the master. 0: none. */
struct process_ids {
    int32_t master, generation, recorder, steward;
    uint32_t serving; /* number of the serving generation */
    uint32_t reloads_refused;
    uint64_t started_s;            /* wall clock: the master */
    uint64_t serving_s;            /* wall clock: the serving generation */
    char listen[IDS_LISTEN_BYTES]; /* as in the ready line; ends with NUL unless forged */
};

struct slots {
    uint32_t layout;
    uint8_t boot_key[BOOT_KEY_BYTES]; /* filled once by the master */
    struct process_ids ids;
    uint32_t deaths_refused; /* how many entries are at DEATHS_TO_REFUSE: 0 is the usual, cheap
                                case */
    struct death deaths[DEATHS_MAX];
    struct worker_shared workers[SLOTS_MAX];
};

/* A free slot (or one whose process is gone) for `pid`; ERR_BUSY when all are taken. */
MUST_USE enum err slot_claim(struct slots *slots, int32_t pid, uint32_t generation,
                             unsigned *slot);
void slot_release(struct slots *slots, unsigned slot);

/* Keyed by this boot; never 0. Safe in a signal handler. */
uint64_t death_fingerprint(const uint8_t boot_key[BOOT_KEY_BYTES], struct span head);
/* Adds one death; answers whether it is refused from now on. The oldest entry makes room. */
bool deaths_add(struct slots *slots, uint64_t fingerprint, uint32_t now_s);
bool deaths_refuse(const struct slots *slots, uint64_t fingerprint, uint32_t now_s);

#endif
