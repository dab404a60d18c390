/*
 * Name and password (HTTP Basic authentication, RFC 7617).
 */
#ifndef SALLYPORT_BASIC_H
#define SALLYPORT_BASIC_H

#include "gateway/chain/stage.h"

extern const struct stage_type basic_stage;

#endif
