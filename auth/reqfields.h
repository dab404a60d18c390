/* The stage that changes what upstream gets: `request_headers:`. */
#ifndef SALLYPORT_REQFIELDS_H
#define SALLYPORT_REQFIELDS_H

#include "gateway/chain/stage.h"

extern const struct stage_type request_headers_stage;

#endif
