/*
 * Security fields on the answer.
 */
#ifndef SALLYPORT_HEADERS_H
#define SALLYPORT_HEADERS_H

#include "gateway/chain/stage.h"

extern const struct stage_type headers_stage;

#endif
