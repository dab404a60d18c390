/*
 * Which content coding a client takes (RFC 9110 section 12.5.3).
 */
#ifndef SALLYPORT_ACCEPT_H
#define SALLYPORT_ACCEPT_H

#include "gateway/http/decode.h"

/*
 * The best of `offered`, by the client's weights and among equal ones by our order.
 * CODING_IDENTITY: none of them, or the client would rather have the plain bytes. Without
 * Accept-Encoding nothing is coded, though anything would be acceptable: old programs do not
 * say what they cannot read. A weight that is malformed counts as 0.
 */
enum coding coding_accepted(const struct fields *fields, const enum coding *offered,
                            unsigned count);
/* CODING_IDENTITY: no coding that we make. */
enum coding coding_named(struct span name);
struct span coding_name(enum coding coding);

#endif
