/*
 * Two engines over one exchange: the plan, fed with what the reference evaluator's transaction
 * holds of the body and with its own reading of the head, and the reference evaluator.
 */
#ifndef SALLYPORT_TESTS_DIFFER_H
#define SALLYPORT_TESTS_DIFFER_H

#include "rules/engine/run.h"
#include "tests/reference/wire.h"

/* Runs the plan. False: it came to no end, or could not begin. */
bool plan_run(struct sec_run *run, const struct sec_plan *plan, struct sec_local *local,
              const struct wire *wire, const struct transaction_peer *peer,
              enum engine_mode mode, struct arena *arena);

/* Writes what differs; nothing when the two agree. */
void differ_compare(struct text *out, const struct reference *ref, const struct sec_run *run);

#endif
