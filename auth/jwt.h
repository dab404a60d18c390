/*
 * Bearer tokens (RFC 6750) that are JWTs.
 */
#ifndef SALLYPORT_JWT_H
#define SALLYPORT_JWT_H

#include "gateway/chain/stage.h"

extern const struct stage_type jwt_stage;

#endif
