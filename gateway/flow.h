/*
 * A transaction's life. See flow.c.
 */
#ifndef SALLYPORT_FLOW_H
#define SALLYPORT_FLOW_H

#include "gateway/http/stream.h"

extern const struct stream_events flow_events;

#endif
