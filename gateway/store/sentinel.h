/*
 * The master as Sentinels name it: one of them is asked again and again, more often while the
 * master is away, and the store's connection is pointed to what it says. A Sentinel that does
 * not answer, does not know the master, or goes on naming one that is away makes room for the
 * next one.
 */
#ifndef SALLYPORT_SENTINEL_H
#define SALLYPORT_SENTINEL_H

#include "gateway/store/redis.h"

enum {
    SENTINEL_TURN_MS = 100,    /* while the master is away */
    SENTINEL_QUIET_TURNS = 10, /* of them between two questions while it is there */
    SENTINEL_DOUBT_MS = 2000,  /* so long away: another Sentinel may know better */
    SENTINEL_TIMEOUT_MS = 500,
};

struct sentinel;

/* NULL: out of memory, or no timer. `server` (of the Sentinels) and `master` outlive it. */
struct sentinel *sentinel_new(struct worker *worker, const struct redis_server *server,
                              struct span master, struct redis *store);
void sentinel_free(struct sentinel *sentinel);
void sentinel_start(struct sentinel *sentinel);

#endif
