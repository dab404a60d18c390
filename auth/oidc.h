/*
 * Sign-in at OpenID providers.
 */
#ifndef SALLYPORT_OIDC_H
#define SALLYPORT_OIDC_H

#include "gateway/chain/stage.h"

extern const struct stage_type oidc_stage;

#endif
