/*
 * What those who are signed in may do: one ordered list of rules a route.
 */
#ifndef SALLYPORT_POLICY_H
#define SALLYPORT_POLICY_H

#include "gateway/chain/txn.h"

enum { POLICY_RULES_MAX = 256 };

extern const struct stage_type policy_stage;

/* What the list says about a request. */
struct policy_decision {
    bool allowed;
    int rule;           /* from 0; -1: none matched */
    const char *detail; /* slug for the record: the rule's name, or why it was not enough */
    bool unproved;      /* the rule would let him in, had he proved more */
};

struct policy_conf;
struct policy_decision policy_decide(const struct policy_conf *conf, struct txn *txn);

#endif
