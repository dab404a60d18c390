/*
 * When a call about shared limits is held back for more to come along. A call costs as much as
 * ten or twenty decisions here, most of it to wake the server, and again as some at the server,
 * of which there is one for all workers. So
 * where many come, more are waited for: until the call is full, or for HOLD_US since the last
 * one; unless that is in vain, because all who could ask have asked, and wait for the answer.
 */
#ifndef SALLYPORT_RATELIMIT_EXACT_PACE_H
#define SALLYPORT_RATELIMIT_EXACT_PACE_H

#include "gateway/base/base.h"

enum {
    CALL_FULL = 128,    /* groups */
    MANY_PER_S = 60000, /* groups */
    PACE_MS = 4,        /* over which they are counted */
    HOLD_US = 1000,
    VAIN_GROUPS = 4, /* if fewer have come */
    VAIN_MS = 100,   /* it is not tried again so soon */
};

struct pace {
    uint64_t groups, from_ns, sent_ns, vain_ns;
    unsigned held; /* how many waited when a call was first held back; 0: it is not */
    bool many;
};

/* At the end of a turn, before it is asked whether to hold; `groups` grew with each that came.
 */
void pace_turn(struct pace *pace, uint64_t now_ns);
bool pace_holds(struct pace *pace, uint64_t now_ns, unsigned waiting);
/* A call goes out with those that wait. */
void pace_sent(struct pace *pace, uint64_t now_ns, unsigned waiting);

#endif
