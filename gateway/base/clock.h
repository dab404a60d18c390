/*
 * Time. Timers, limits and durations use the monotonic clock; stored times the wall clock. The
 * event loop reads both once a turn into a `struct clock`; code on the request path uses that.
 * Tests fill in the struct.
 */
#ifndef SALLYPORT_CLOCK_H
#define SALLYPORT_CLOCK_H

#include "gateway/base/span.h"
#include "gateway/base/text.h"

struct clock {
    uint64_t mono_ns;
    uint64_t wall_us; /* since 1970 UTC */
};

void clock_read(struct clock *clock);
uint64_t clock_mono_ns(void); /* one system clock read */

static inline uint64_t clock_ms(const struct clock *clock)
{
    return clock->mono_ns / 1000000u;
}

/* 2026-11-21T09:12:41.503Z */
void clock_write_iso(struct text *out, uint64_t wall_us);
/* Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110 IMF-fixdate) */
void clock_write_http(struct text *out, uint64_t wall_us);

#endif
