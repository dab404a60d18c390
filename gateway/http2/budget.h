/*
 * What one HTTP/2 connection may do that costs us more than its client: each kind of frame that
 * carries nothing has an allowance that refills with time. Who spends more is cut off.
 *
 * Allowances are far above what browsers, gRPC and curl do, and far below what hurts: at the
 * rates here the work of a whole connection stays below a thousandth of a core.
 */
#ifndef SALLYPORT_HTTP2_BUDGET_H
#define SALLYPORT_HTTP2_BUDGET_H

#include "gateway/http/message.h"

enum flood {
    FLOOD_RESETS,        /* RST_STREAM of the client (CVE-2023-44487) */
    FLOOD_PROVOKED,      /* RST_STREAM that the client's errors make us send (CVE-2025-8671) */
    FLOOD_CONTINUATIONS, /* CVE-2024-27316; no allowance: see frames.h */
    FLOOD_FIELDS,        /* field sections that unpack to far more than is allowed */
    FLOOD_SETTINGS,      /* CVE-2019-9515 */
    FLOOD_PINGS,         /* CVE-2019-9512 */
    FLOOD_DATA,          /* empty, or mostly frame heads and padding (CVE-2019-9518) */
    FLOOD_PRIORITIES,    /* CVE-2019-9513 */
    FLOOD_WINDOWS,       /* WINDOW_UPDATE beside what the DATA that we send calls for */
    FLOOD_UNKNOWN,       /* frames of types that nobody knows */
    FLOOD_COUNT
};

/* Zeroed: full. */
struct budgets {
    uint64_t spent_us[FLOOD_COUNT]; /* the moment at which the allowance is full again */
};

/* False: spent. */
MUST_USE bool budget_spend(struct budgets *budgets, enum flood flood, uint64_t now_us);
/* Gives `count` back. */
void budget_credit(struct budgets *budgets, enum flood flood, unsigned count);
unsigned budget_burst(enum flood flood);

enum http_error flood_error(enum flood flood);
struct span flood_name(enum flood flood); /* in counters: "rapid_reset" */

#endif
