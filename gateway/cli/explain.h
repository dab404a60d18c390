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

/* How it comes. */
struct explain_client {
    struct addr from;
    bool https;
};

/* explain_run.c: the record that this request leaves; empty and a message when there is none.
 * From then on the process reaches no network, and should end. */
MUST_USE struct span explain_record(struct loaded *loaded, struct span request,
                                    const struct explain_client *client);

/* explain_print.c: a record as an explanation, on standard output; the exit status that it
 * means. The configuration tells the lines behind decisions. */
int explain_show(const struct config *config, struct span line, bool json);
/* What came from outside, fit for a terminal. */
void print_clean(const char *text, size_t max);

/* explain_request.c: a curl command line, a URL, a HAR document or entry, or the bytes of a
 * request, as bytes. NULL, or what is wrong. */
enum { ASKED_MAX = 10000 };
struct asked {
    struct span bytes;
    bool https;
};
struct asked_list {
    struct asked *items;
    size_t count;
};
const char *requests_from(struct span text, struct arena *arena, struct asked_list *list);
/* explain.c: what REQUEST on the command line stands for; of several the first. */
const char *request_named(const char *what, struct arena *arena, struct asked *asked);

/* The first of them. */
const char *request_from(struct span text, struct arena *arena, struct span *request);

#endif
