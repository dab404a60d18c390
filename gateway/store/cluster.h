/*
 * The masters of a Redis Cluster and who of them holds which slot. The map comes from any node
 * that answers, is asked for again now and then, at once when a node sends us elsewhere, and in
 * short turns while a slot has no server that answers: so a failover is followed as soon as
 * one node knows of it.
 */
#ifndef SALLYPORT_CLUSTER_H
#define SALLYPORT_CLUSTER_H

#include "gateway/store/redis.h"

enum {
    CLUSTER_TURN_MS = 100,
    CLUSTER_QUIET_MS = 10000,  /* between two maps while all is well */
    CLUSTER_HASTY_TURNS = 200, /* a map in each of them; then it seems to last */
    CLUSTER_PATIENT_MS = 1000,
};

struct cluster;
struct redirect;

/* NULL: out of memory, or no timers. `server` (its addresses are where to begin) outlives it.
 */
struct cluster *cluster_new(struct worker *worker, const struct redis_server *server);
void cluster_free(struct cluster *cluster);
void cluster_keep_script(struct cluster *cluster, struct span script);
void cluster_start(struct cluster *cluster);

/* NULL: nobody holds it, as far as is known. */
struct redis *cluster_server(const struct cluster *cluster, unsigned slot);
/* When the slot went from one server to another; 0: never. */
uint64_t cluster_since_ns(const struct cluster *cluster, unsigned slot);

/* The server that a redirect names; NULL: one too many. A move is kept, and the map renewed. */
struct redis *cluster_redirect(struct cluster *cluster, const struct redirect *redirect);
/* Something is not as the map has it. */
void cluster_doubt(struct cluster *cluster);

#endif
