/*
 * Client certificates: who it is that TLS has verified.
 */
#ifndef SALLYPORT_CERTIFICATE_H
#define SALLYPORT_CERTIFICATE_H

#include "gateway/chain/stage.h"

extern const struct stage_type certificate_stage;

#endif
