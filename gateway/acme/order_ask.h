/* The question of each step of an order. For order.c only. */
#ifndef SALLYPORT_ACME_ORDER_ASK_H
#define SALLYPORT_ACME_ORDER_ASK_H

#include "gateway/acme/order.h"

/* Sets `url` and `post` of the run; false: it cannot be put together. */
MUST_USE bool acme_ask(struct acme_run *run);

#endif
