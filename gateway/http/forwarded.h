/*
 * Who the client is when trusted proxies stand in front: the list of hops is walked from the
 * right, as long as the hop that reported is trusted; the first one that is not is the client.
 * A malformed entry ends the walk at the last good one. Forwarded (RFC 7239) is used when
 * present, else X-Forwarded-For. Both present and different is refused: a proxy that writes one
 * passes on what clients say in the other, so either may be the client's own word, and to take
 * the proxy's address instead would hand that to whoever contradicts it.
 */
#ifndef SALLYPORT_FORWARDED_H
#define SALLYPORT_FORWARDED_H

#include "gateway/http/message.h"

enum { FORWARDED_HOPS_MAX = 32 };

/*
 * `peer` when it is not trusted or nothing usable was said. `*scheme` is "http" or "https" when
 * a trusted hop told it, else empty with a NULL pointer. HTTP_OK or HTTP_FORWARDED. To be
 * called before fields_drop_ours.
 */
MUST_USE enum http_error forwarded_client(const struct fields *fields, const struct addr *peer,
                                          const struct cidrs *trusted, struct addr *client,
                                          struct span *scheme);

#endif
