/*
 * Rate limits, decided in shared memory.
 */
#ifndef SALLYPORT_LIMITS_H
#define SALLYPORT_LIMITS_H

#include "gateway/chain/stage.h"

extern const struct stage_type limits_stage, subject_limits_stage, limit_costs_stage;

#endif
