/*
 * Forward authentication: another server says whether a request may pass.
 */
#ifndef SALLYPORT_FORWARD_H
#define SALLYPORT_FORWARD_H

#include "gateway/chain/stage.h"

extern const struct stage_type forward_auth_stage;

#endif
