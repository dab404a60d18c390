/*
 * `sallyport explain`: one request through the gateway's own code, in this process and offline.
 */
#ifndef SALLYPORT_CLI_EXPLAIN_H
#define SALLYPORT_CLI_EXPLAIN_H

#include "gateway/base/addr.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/loaded.h"

/* Let through is EXIT_GOOD. */
enum { EXIT_REFUSED = 3 };

/* explain_run.c: the record that this request leaves; empty and a message when there is none.
 * From then on the process reaches no network. */
MUST_USE struct span explain_record(struct loaded *loaded, struct span request,
                                    const struct addr *from);

/* explain.c: the bytes that REQUEST on the command line stands for. NULL, or what is wrong. */
const char *request_named(const char *what, struct arena *arena, struct span *request);
/* What came from outside, fit for a terminal. */
void print_clean(const char *text, size_t max);

/* explain_request.c: a curl command line, a HAR document or entry, or the bytes of a request,
 * as bytes. NULL, or what is wrong. */
const char *request_from(struct span text, struct arena *arena, struct span *request);

#endif
