/* Rates to intervals, and the one decision. */
#include "ratelimit/gcra.h"

enum { NS_PER_MS = 1000000 };

enum err gcra_make(struct gcra *limit, uint64_t count, uint64_t per_ms, uint64_t burst)
{
    uint64_t per_ns, tolerance;
    if (count == 0 || per_ms == 0 || burst == 0 ||
        __builtin_mul_overflow(per_ms, (uint64_t)NS_PER_MS, &per_ns) || count > per_ns)
        return ERR_RANGE;
    uint64_t interval = per_ns / count + (per_ns % count != 0);
    if (__builtin_mul_overflow(interval, burst, &tolerance) || tolerance > GCRA_SPAN_MAX_NS)
        return ERR_RANGE;
    *limit = (struct gcra){ .interval_ns = interval,
                            .tolerance_ns = tolerance,
                            .most_ns = tolerance };
    return OK;
}

struct gcra_answer gcra_ask(const struct gcra *limit, uint64_t tat, uint64_t now_ns,
                            uint64_t cost_ns)
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
