/* The stage that tells browsers which other origins may use this one: `cors:`. */
#ifndef SALLYPORT_CORS_H
#define SALLYPORT_CORS_H

#include "gateway/chain/stage.h"

extern const struct stage_type cors_stage;

#endif
