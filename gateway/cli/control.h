/*
 * One request to the steward's control socket.
 */
#ifndef SALLYPORT_CLI_CONTROL_H
#define SALLYPORT_CLI_CONTROL_H

#include <jansson.h>

#include "gateway/cli/cli.h"

/*
 * Sends `request` to the gateway that --control or -c names, and waits for the answer:
 * EXIT_GOOD and the answer, which the caller releases; else a message was printed. The request
 * is released in any case.
 */
MUST_USE int control_ask(const struct arguments *arguments, json_t *request, json_t **answer);

/* The answer as JSON, or by `print`, or its error; its exit status. It is released. */
MUST_USE int control_tell(json_t *answer, bool json, void (*print)(const json_t *answer));

#endif
