/*
 * Faults on demand, for tests of every stage, phase and failure; not in release builds. A
 * request's field
 *
 *     X-Sallyport-Fault: stage=basic;phase=request_head;kind=error
 *
 * makes that stage fail (error), never answer (deadline), answer when it is too late (late), or
 * end the worker (kill: by SIGKILL, abort: as a crash).
 */
#ifndef SALLYPORT_FAULT_H
#define SALLYPORT_FAULT_H

#ifdef SALLYPORT_FAULTS

#include "gateway/chain/txn.h"

/* True when the stage is not to be asked: `said` stands in its place. */
bool fault_inject(struct call *c, const struct stage_instance *stage, enum phase phase,
                  struct verdict *said);

#endif
#endif
