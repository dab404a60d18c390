/*
 * A request as upstream shall see it. Hop-by-hop fields were dropped by the parser; here every
 * spelling of the fields that the gateway writes itself is dropped, and those are written anew
 * from what is known for sure.
 */
#ifndef SALLYPORT_FORWARD_H
#define SALLYPORT_FORWARD_H

#include "conf/kinds.h"
#include "gateway/http/message.h"

struct forward_facts {
    struct addr client, peer;
    struct span id;           /* request id */
    struct texts keep_fields; /* claims of the client that may stay */
    bool trusted;             /* the peer is a trusted proxy */
};

MUST_USE enum err forward_prepare(struct request *req, struct arena *arena,
                                  const struct forward_facts *facts);

#endif
