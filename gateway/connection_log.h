/*
 * Connections that were not let in, or whose handshake failed: counted each, and recorded at a
 * bounded rate, so that a flood of them cannot fill the log. How many records were left out
 * stands in the next one, at the latest a second later.
 */
#ifndef SALLYPORT_CONNECTION_LOG_H
#define SALLYPORT_CONNECTION_LOG_H

#include "gateway/net/listener.h"

enum { CONNECTION_RECORDS_PER_S = 10 }; /* of one worker */

void connection_log(struct worker *worker, const struct connection_fault *fault);
/* What is suppressed, now: before the worker goes. */
void connection_log_flush(struct worker *worker);

#endif
