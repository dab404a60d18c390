/*
 * Where keys are, as servers tell it: the master's address from a Sentinel, the slots of a
 * Redis Cluster, and the errors by which a node sends a client on to another one. Who tells
 * counts as hostile: what is not an address, a port and slots in their range is refused whole.
 */
#ifndef SALLYPORT_TOPOLOGY_H
#define SALLYPORT_TOPOLOGY_H

#include "gateway/base/addr.h"
#include "gateway/store/redis_reply.h"

enum {
    CLUSTER_SLOTS = 16384,
    CLUSTER_NODES_MAX = 64, /* masters that are followed */
    SLOT_NOBODY = 255,
};

/* CRC16 of the key, or of what stands between its first { and the next }, if anything does. */
unsigned key_slot(struct span key);

/* "MOVED 3999 127.0.0.1:6381" and "ASK 3999 127.0.0.1:6381". */
struct redirect {
    bool ask; /* for this question only */
    unsigned slot;
    struct addr addr;
};
/* `self` answered; where no host is named, it is its own. */
MUST_USE bool redirect_read(const struct redis_value *value, const struct addr *self,
                            struct redirect *redirect);

struct slot_map {
    unsigned node_count;
    struct addr nodes[CLUSTER_NODES_MAX];
    uint8_t owner[CLUSTER_SLOTS]; /* SLOT_NOBODY, or whose */
};
/* The reply to CLUSTER SLOTS. */
MUST_USE bool slot_map_read(const struct redis_value *value, const struct addr *self,
                            struct slot_map *map);

/* The reply to SENTINEL GET-MASTER-ADDR-BY-NAME. */
MUST_USE bool sentinel_read(const struct redis_value *value, struct addr *addr);

/* The reply to ROLE, of a server that may be written to. */
MUST_USE bool role_is_master(const struct redis_value *value);

#endif
