/*
 * Bans: addresses that keep offending are kept out for a while.
 */
#ifndef SALLYPORT_RATELIMIT_BANS_H
#define SALLYPORT_RATELIMIT_BANS_H

#include "gateway/chain/stage.h"
#include "gateway/store/bans.h"

extern const struct stage_type bans_stage;

enum {
    /* of one offence, where `after: 5/10m` bans at 50 */
    POINTS_RULE = 10,
    POINTS_LOGIN = 10,
    POINTS_LIMIT = 2,
    POINTS_NOT_FOUND = 1,
    POINTS_PER_COUNT = 10,
};

/* bans_share.c: once in a worker, bans are told to other nodes and heard of. */
struct ban_share;
/* NULL: out of memory. */
struct ban_share *ban_share_attach(struct worker *worker, const struct bans *bans);

/* For tests and fuzzing: what one entry of the shared stream says. */
struct redis_value;
MUST_USE bool ban_share_read(const struct redis_value *entry, uint64_t now_s,
                             struct ban_event *event);

#endif
