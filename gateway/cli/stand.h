/*
 * A worker without a service: the same session, flow and stages, in this process, for requests
 * that the command line asks about. Connections to anywhere are refused by the kernel's filter
 * from stand_open on.
 */
#ifndef SALLYPORT_CLI_STAND_H
#define SALLYPORT_CLI_STAND_H

#include "gateway/audit/ring.h"
#include "gateway/cli/loaded.h"
#include "gateway/http1/session.h"
#include "gateway/store/slots.h"
#include "gateway/store/snapshot.h"

enum { STAND_SECONDS = 20, STAND_TURN_MS = 10 };

struct stand {
    struct worker worker;
    struct worker_shared shared;
    struct session_host host;
    struct snapshots snapshots;
    struct rings *rings;
    struct ring_writer ring;
    struct peer_cap cap;
};

/* The process ends with it. Records of all transactions go to `ring`. */
MUST_USE enum err stand_open(struct stand *stand, struct loaded *loaded);
/* A part of it: the databases of countries and networks, as they were loaded. */
MUST_USE enum err stand_geo(struct worker *worker, struct snapshots *snapshots,
                            const struct config *config, struct arena *arena);

#endif
