/*
 * PROXY protocol versions 1 and 2 (HAProxy's proxy-protocol.txt), read from trusted peers only.
 * Pure and strict: a head of the wrong form is refused, TLVs are passed over within the stated
 * length.
 */
#ifndef SALLYPORT_PROXYPROTO_H
#define SALLYPORT_PROXYPROTO_H

#include "gateway/base/addr.h"

enum { PROXY_MORE = -1, PROXY_BAD = -2, PROXY_HEAD_MAX = 536 };

/*
 * Length of the PROXY head at the start of `input`, PROXY_MORE or PROXY_BAD. `*client` keeps
 * its value for LOCAL and UNKNOWN.
 */
ssize_t proxy_head_parse(struct span input, struct addr *client);

#endif
