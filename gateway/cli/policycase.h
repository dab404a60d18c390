/*
 * What a configuration says about somebody who asks for something, without a gateway that runs:
 * for `policy test`, and for what a reload would expose. The URL is read as the gateway reads
 * it; who asks is taken as if some stage had verified it.
 */
#ifndef SALLYPORT_CLI_POLICYCASE_H
#define SALLYPORT_CLI_POLICYCASE_H

#include "gateway/chain/txn.h"
#include "gateway/cli/loaded.h"
#include "gateway/http/uri.h"
#include "gateway/net/worker.h"
#include "gateway/store/snapshot.h"

struct policy_case {
    struct loaded loaded;
    struct worker *worker;
    struct snapshots snapshots;
    struct request req;
    struct txn txn;           /* `facts` and `client`: who asks */
    struct span (*fields)[2]; /* that the request has: names and values */
    size_t field_count;
    struct clock clock;
};

enum { POLICY_GATES_MAX = 8 };

struct policy_answer {
    const char *trouble;           /* not NULL: it is not decided, and this is why */
    const char *decision, *detail; /* allow, deny, sign-in */
    const struct stage_instance *gates[POLICY_GATES_MAX];
    unsigned gate_count;
};

/* An exit status; after trouble it was told, unless `quiet`. To be closed in any case. */
MUST_USE int policycase_open(struct policy_case *test, const char *path, bool quiet);
void policycase_close(struct policy_case *test);
/* Whoever txn.facts and txn.client say. What it takes stands in txn.arena. */
struct policy_answer policycase_ask(struct policy_case *test, const char *method,
                                    const char *url);

#endif
