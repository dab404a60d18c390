/*
 * The only loop over stages. Applies mode, on_error, deadline and unless; keeps the trail;
 * holds the rules of suspension. `detect` lets through what block would have denied, and says
 * so in the trail.
 */
#ifndef SALLYPORT_CHAIN_H
#define SALLYPORT_CHAIN_H

#include "gateway/chain/txn.h"

/*
 * Runs a phase of the transaction's route. `done` is called exactly once with PASS, DENY or
 * REPLY, from this call when no stage waits, else from the run queue; never after txn_abort.
 */
void chain_start(struct txn *txn, enum phase phase, struct span body,
                 void (*done)(struct txn *txn, struct verdict verdict));

/* Shows a refused head, which txn->req then is, to the stages of `route`. */
void chain_evidence(struct txn *txn, const struct route *route);

/* Whether the stage is asked about this request, and its refusal will stand: not in detect
 * mode, not exempt by `unless`. */
bool chain_will_ask(struct txn *txn, const struct stage_instance *stage);

/* The stages' last word, before the record is written; once. */
void chain_finish(struct txn *txn);

/*
 * PHASE_CONNECT has no transaction: PASS or DENY at once; `denied_by` (may be NULL) is told
 * which list it was. The caller counts and records.
 */
struct verdict chain_connect(const struct config *config, struct worker *worker,
                             const struct addr *peer, struct list_hit *denied_by);

/* attach and detach of all instances, in each worker. */
MUST_USE enum err chain_attach(struct worker *worker, const struct config *config);
void chain_detach(struct worker *worker, const struct config *config);

const char *phase_name(enum phase phase);

#endif
