/*
 * When a certificate is asked for. Wall clock, in seconds. `dice` is random, so that many
 * gateways do not ask at once.
 */
#ifndef SALLYPORT_ACME_SCHEDULE_H
#define SALLYPORT_ACME_SCHEDULE_H

#include "gateway/acme/answers.h"
#include "gateway/acme/certificate.h"

enum {
    ACME_BACKOFF_MOST_S = 24 * 3600,
    ACME_RETRY_AFTER_MOST_S = 7 * 24 * 3600,
    ACME_INFO_LEAST_S = 60,       /* RFC 9773 section 4.3.1 */
    ACME_INFO_USUAL_S = 6 * 3600, /* until the authority is asked for its wish again */
    ACME_INFO_MOST_S = 24 * 3600,
    ACME_HELD_LEAST_S = 3600,
};

/* With a third of its life left, and up to a fiftieth of it earlier. */
int64_t acme_due(const struct acme_dates *dates, uint32_t dice);
/*
 * Within the window that the authority wishes; but never with less than an eighth of its life
 * left, for a window far off must not let it run out, nor sooner than ACME_HELD_LEAST_S behind
 * `got_s`, when it came, for a window in the past must not make us ask for ever.
 */
int64_t acme_due_window(const struct acme_dates *dates, const struct acme_window *window,
                        int64_t got_s, uint32_t dice);
/* After `failures` (1: the first) in a row, the first wait being `first_s`; a tenth more or
 * less. Not before `retry_after_s`, what the authority asked for. */
int64_t acme_backoff(int64_t first_s, unsigned failures, int64_t retry_after_s, uint32_t dice);
/* Seconds from now of a Retry-After field (RFC 9110 section 10.2.3: a number, or a date),
 * bounded; 0: none, or not understood. */
int64_t acme_retry_after(struct span value, int64_t now_s);
/* Until the next question for the window, by its Retry-After. */
int64_t acme_info_wait(int64_t retry_after_s);

#endif
