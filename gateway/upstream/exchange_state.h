/*
 * The inside of an exchange, shared by exchange.c (tries, requests, answers) and
 * exchange_queue.c (waiting for a server).
 */
#ifndef SALLYPORT_EXCHANGE_STATE_H
#define SALLYPORT_EXCHANGE_STATE_H

#include "gateway/upstream/exchange.h"

/* exchange.c */
void exchange_try(struct exchange *x);
/* From inside a call of the owner: told by the task. */
void exchange_fail_later(struct exchange *x, enum err err);
/* The next deadline, never later than the total one. */
void exchange_deadline(struct exchange *x, int64_t ms);

/* exchange_queue.c. False: there is no room, or no use in waiting. */
MUST_USE bool exchange_wait(struct exchange *x);
void exchange_unqueue(struct exchange *x);
enum err exchange_why_refused(const struct exchange *x);

#endif
