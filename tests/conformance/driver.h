/*
 * What the drivers have in common. Each exchange comes on standard input as a line with two
 * lengths, then the bytes of the request and of the answer to it; each is answered with a line
 * of JSON: the status (0: the request is not complete), and what was logged, in its order.
 */
#ifndef SALLYPORT_TESTS_DRIVER_H
#define SALLYPORT_TESTS_DRIVER_H

#include "gateway/base/json.h"
#include "tests/reference/wire.h"

/* Runs rules over a request that was read, and writes an object for each match. */
typedef void driver_fn(void *ctx, const struct wire *wire, struct json *matches,
                       struct arena *arena);

/* Prints "ready", then works until the input ends. */
void driver_loop(driver_fn *fn, void *ctx);

#endif
