/*
 * The generic cell rate algorithm (ITU-T I.371), which admits what a token bucket admits and
 * keeps one number: the theoretical arrival time (TAT) of the next request if all came at the
 * rate. Pure integer arithmetic in nanoseconds of one clock; the interval is rounded up, so
 * that no rounding ever admits more than burst + rate * time.
 */
#ifndef SALLYPORT_GCRA_H
#define SALLYPORT_GCRA_H

#include "gateway/base/base.h"

/* How far ahead of the clock a TAT may be set: some 73 years, so that no sum can overflow. */
#define GCRA_SPAN_MAX_NS (UINT64_C(1) << 61)

struct gcra {
    uint64_t interval_ns;  /* between two requests at the rate */
    uint64_t tolerance_ns; /* what may be taken at once: burst * interval */
    uint64_t most_ns;      /* what may be taken and owed together: at least the tolerance */
};

struct gcra_answer {
    bool allowed;
    uint64_t tat;       /* allowed: what is to be stored */
    uint64_t wait_ns;   /* refused: until the same would pass, if nothing else is taken */
    uint64_t remaining; /* refused: requests of cost 1 that would pass now */
    bool evicted;       /* allowed: another key that still counted was forgotten for it */
};

/* `count` requests in `per_ms`, `burst` at once; none may be 0. Nothing is owed. ERR_RANGE: not
 * representable. */
MUST_USE enum err gcra_make(struct gcra *limit, uint64_t count, uint64_t per_ms,
                            uint64_t burst);
/*
 * Whether `cost_ns` (cost * interval) may be taken now; `tat` is what is stored, 0 for nothing.
 * A TAT further ahead than may be owed stands there because the limit was smaller before, or
 * because somebody forged it: it counts as the most that may be.
 */
static inline struct gcra_answer gcra_ask(const struct gcra *limit, uint64_t tat,
                                          uint64_t now_ns, uint64_t cost_ns)
{
    uint64_t ahead = tat > now_ns ? tat - now_ns : 0; /* of the clock: what is taken already */
    if (ahead > limit->most_ns)
        ahead = limit->most_ns;
    uint64_t left = ahead < limit->tolerance_ns ? limit->tolerance_ns - ahead : 0;
    uint64_t owed = ahead > limit->tolerance_ns ? ahead - limit->tolerance_ns : 0;
    if (cost_ns <= left && owed == 0)
        return (struct gcra_answer){ .allowed = true, .tat = now_ns + ahead + cost_ns };
    return (struct gcra_answer){ .wait_ns = cost_ns + owed - left,
                                 .remaining = left / limit->interval_ns };
}

#endif
