/* Rates to intervals. */
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
