/*
 * The way of a connection from the protocol in which every connection begins to the one that
 * its client asks for: by ALPN, or by its first bytes.
 */
#ifndef SALLYPORT_HANDOVER_H
#define SALLYPORT_HANDOVER_H

#include "gateway/net/channel.h"

struct handover {
    /*
     * Moves `from` away; the connection stays counted, in the worker and in the cap of
     * `counted`, until the taker ends it. `input` is in the worker's scratch: what has come
     * already.
     */
    void (*take)(struct handover *to, struct channel *from, const struct addr *peer,
                 const struct addr *counted, struct span input);
    /* Ends the oldest connection that has nothing to do; false: there is none. */
    bool (*evict)(struct handover *to);
};

#endif
