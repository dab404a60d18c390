/*
 * How the cork (cork.c) sends on a channel (channel.c): for those two; everybody else sees
 * channel.h.
 */
#ifndef SALLYPORT_CORK_H
#define SALLYPORT_CORK_H

#include "gateway/base/span.h"

struct channel;

/* Both in order, to the kernel or behind what it has not taken yet; on TLS as plain text. */
void channel_send(struct channel *channel, struct span first, struct span second);

#endif
