/*
 * What upstream is told of who is signed in.
 */
#ifndef SALLYPORT_IDENTITY_STAGE_H
#define SALLYPORT_IDENTITY_STAGE_H

#include "gateway/chain/stage.h"

extern const struct stage_type identity_stage;

#endif
