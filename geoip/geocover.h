/*
 * How many addresses each network (AS) has, by a database: what somebody keeps out who names
 * one. Asked by whoever takes decisions about networks from another server.
 *
 * Where IPv4 hangs in the tree of IPv6 it is counted as IPv4, and what maps or tunnels it is
 * not counted again.
 */
#ifndef SALLYPORT_GEOCOVER_H
#define SALLYPORT_GEOCOVER_H

#include "gateway/base/span.h"

enum { GEOCOVER_VALUES_MAX = 1 << 20 /* different ones in a database */ };

struct geocover;

/* Of a database that geofile_verify has passed. NULL: it knows of no networks, has too many
 * values, is built so that walking it takes too long, or there is no memory. */
struct geocover *geocover_new(struct span bytes);
void geocover_free(struct geocover *cover);
size_t geocover_count(const struct geocover *cover); /* of networks */
/* Adds what the network has: addresses of IPv4, and /64s of IPv6. */
void geocover_add(const struct geocover *cover, uint32_t asn, uint64_t *v4, uint64_t *v6);

#endif
