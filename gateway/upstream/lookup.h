/*
 * Names of servers that are looked up when a configuration is loaded: it may block, so it is
 * for the generation alone.
 */
#ifndef SALLYPORT_LOOKUP_H
#define SALLYPORT_LOOKUP_H

#include "conf/kinds.h"

/* Addresses of `host` (a name or an address), at most `max`; 0: none, then `*why` says it. */
unsigned lookup_at_load(struct span host, struct addr *out, unsigned max, const char **why);
/* 127.0.0.0/8 and ::1, by address, or the name localhost, which is no other (RFC 6761). */
bool host_is_loopback(struct span host);

#endif
