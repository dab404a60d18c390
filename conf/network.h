/*
 * URLs that stand in no configuration file: of a provider's document, of an answer's Location.
 */
#ifndef SALLYPORT_NETWORK_H
#define SALLYPORT_NETWORK_H

#include "conf/kinds.h"

/*
 * An http or https URL: no user name, no fragment, nothing that is not visible ASCII, a host
 * that no resolver takes for another. NULL, or why not. Spans point into `text`, whose case
 * stays; `path` has the query.
 */
const char *url_read(struct span text, struct url *url);

#endif
