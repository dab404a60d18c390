/*
 * The inspection chain, in order. See stages.c.
 */
#ifndef SALLYPORT_STAGES_H
#define SALLYPORT_STAGES_H

#include "gateway/chain/stage.h"

extern const struct stage_type *const stages[]; /* ends with NULL */

#endif
