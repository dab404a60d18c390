/*
 * Circuit breakers: when too large a part of what an upstream is asked fails, it is not asked
 * for a while, and requests are refused at once. Then some try it; when all of these succeed,
 * all are let through again.
 *
 * Beside the ejection of single servers (pool.h), which looks at failures in a row: this is
 * about the upstream as a whole. Counted for all workers together, in memory that outlives
 * reloads; a worker that was taken over can forge it, and nothing here is a size or an index.
 */
#ifndef SALLYPORT_CIRCUIT_H
#define SALLYPORT_CIRCUIT_H

#include "conf/option.h"

enum { CIRCUITS_MAX = 256, CIRCUIT_BUCKETS = 10, CIRCUIT_LABEL_BYTES = 128 };

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_TRIAL };

/* `upstream.breaker`. */
struct circuit_conf {
    int64_t threshold; /* per cent of failures; 0: off */
    int64_t requests;  /* fewer in the window prove nothing */
    int64_t trials;
    struct duration window, open;
    struct span status;
    uint32_t bad_from, bad_to; /* of `status`; filled in by upstream_open */
};
extern const struct option circuit_options[];

struct circuit_bucket {
    uint64_t number; /* which tenth of a window since the machine began */
    uint32_t all, bad;
};

/* Shared by all workers. */
struct circuit {
    uint64_t key; /* 0: free */
    uint32_t generation;
    uint32_t state;            /* enum circuit_state */
    uint64_t since_ms;         /* monotonic: of the last change */
    uint32_t begun, succeeded; /* trials */
    uint64_t opened, refused;  /* counters */
    struct circuit_bucket buckets[CIRCUIT_BUCKETS];
    char label[CIRCUIT_LABEL_BYTES];
};

/* What one request owes the circuit. Zeroed: nothing. */
struct circuit_pass {
    const struct circuit_conf *conf;
    struct circuit *circuit;
    bool trial;
};

enum circuit_outcome { CIRCUIT_NOTHING, CIRCUIT_GOOD, CIRCUIT_BAD };

/* False: refused. `circuit` may be NULL, `*pass` is zeroed. */
MUST_USE bool circuit_enter(const struct circuit_conf *conf, struct circuit *circuit,
                            uint64_t now_ms, struct circuit_pass *pass);
/* How it ended, once; further calls do nothing. */
void circuit_leave(struct circuit_pass *pass, uint64_t now_ms, enum circuit_outcome outcome);
void circuit_answered(struct circuit_pass *pass, uint64_t now_ms, int status);
/* Who had no room or no memory has not asked: that says nothing. */
void circuit_failed(struct circuit_pass *pass, uint64_t now_ms, enum err err);
/* Until it is tried again, in seconds and at least 1. */
uint64_t circuit_wait_s(const struct circuit_conf *conf, const struct circuit *circuit,
                        uint64_t now_ms);

#endif
