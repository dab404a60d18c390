/*
 * What one master leaves to the next version of itself (master_upgrade.c), in a sealed memfd;
 * both must know it alike, byte by byte.
 */
#ifndef SALLYPORT_PROCESS_HANDOVER_H
#define SALLYPORT_PROCESS_HANDOVER_H

#include "gateway/process/master.h"

enum { HANDOVER_LAYOUT = 1, HANDOVER_DRAIN_MAX_MS = 24 * 3600 * 1000 };

struct handover_state {
    uint32_t layout;
    uint64_t size;
    uint32_t layouts[3]; /* of the core's memory: slots, seal, kept */
    uint64_t sizes[3];
    int32_t master;
    uint32_t last_number, cookie;
    uint64_t last_drain_ms;
    bool announced;
    int32_t slots_fd, seal_fd, kept_fd, wake_fd, written_fd;
    struct saved_generation generations[GENERATIONS_MAX];
    struct saved_service recorder, steward;
    struct member members[SLOTS_MAX];
    struct listening listening[LISTENING_MAX];
    struct inherited inherited[INHERITED_MAX];
    uint32_t inherited_count;
    struct region regions[REGIONS_MAX];
};

/* Which layout it has, for who reads it. */
void handover_describe(struct handover_state *state);
/*
 * Whether this version knows it, and every value is one that may stand there: counts, states,
 * names that end, flags. Whether a descriptor is open, shows when it is used.
 */
bool handover_valid(const struct handover_state *state);

#endif
