/*
 * What a request's User-Agent says it is. Nothing here is believed: a claim is what the rest of
 * the request is then held against (auth/bots/signs.h).
 */
#ifndef SALLYPORT_AGENT_H
#define SALLYPORT_AGENT_H

#include "gateway/base/span.h"

enum { AGENT_BYTES_MAX = 512 }; /* of the text that are looked at */

enum agent_kind {
    AGENT_ABSENT,
    AGENT_OTHER,  /* says nothing that could be checked */
    AGENT_CHROME, /* and what is built on it, such as Edge */
    AGENT_FIREFOX,
    AGENT_SAFARI, /* and every browser of iOS */
    AGENT_TOOL,
    AGENT_HEADLESS,
    AGENT_ROBOT,
};

struct agent {
    enum agent_kind kind;
    unsigned version; /* of a browser; 0: not told */
};

struct agent agent_read(struct span user_agent);
/* Whether `needle` (small letters) stands in it, whatever the case; within AGENT_BYTES_MAX. */
bool agent_names(struct span user_agent, struct span needle);

static inline bool agent_is_browser(const struct agent *agent)
{
    return agent->kind == AGENT_CHROME || agent->kind == AGENT_FIREFOX ||
           agent->kind == AGENT_SAFARI;
}

#endif
