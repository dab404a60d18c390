/* How fast questions come, and whether to wait for more of them. */
#include "ratelimit/exact_pace.h"

enum { NS_PER_US = 1000, NS_PER_MS = 1000000 };

void pace_turn(struct pace *pace, uint64_t now_ns)
{
    uint64_t took_us = (now_ns - pace->from_ns) / NS_PER_US;
    if (took_us < (uint64_t)PACE_MS * 1000)
        return;
    pace->many = pace->groups * 1000000 / took_us >= MANY_PER_S;
    pace->groups = 0;
    pace->from_ns = now_ns;
}

bool pace_holds(struct pace *pace, uint64_t now_ns, unsigned waiting)
{
    if (!pace->many || now_ns < pace->vain_ns || waiting >= CALL_FULL ||
        now_ns - pace->sent_ns >= (uint64_t)HOLD_US * NS_PER_US)
        return false;
    if (pace->held == 0)
        pace->held = waiting;
    return true;
}

void pace_sent(struct pace *pace, uint64_t now_ns, unsigned waiting)
{
    if (pace->held > 0 && waiting < CALL_FULL && waiting < pace->held + VAIN_GROUPS)
        pace->vain_ns = now_ns + (uint64_t)VAIN_MS * NS_PER_MS;
    pace->held = 0;
    pace->sent_ns = now_ns;
}
