/*
 * User-Agents: whatever stands there, a version is a number of few digits and of a browser
 * only, what lies beyond the limit changes nothing, and case changes nothing of what a tool is.
 */
#include "auth/bots/agent.h"

#include "gateway/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of((const char *)data, size);
    struct agent agent = agent_read(all);
    struct agent first = agent_read(span_sub(all, 0, AGENT_BYTES_MAX));
    char buffer[AGENT_BYTES_MAX];
    struct text small = text_fixed(buffer, sizeof(buffer));
    INVARIANT(agent.kind == first.kind && agent.version == first.version);
    INVARIANT(agent.version <= 9999 && (agent.version == 0 || agent_is_browser(&agent)));
    text_lower(&small, span_sub(all, 0, AGENT_BYTES_MAX));
    enum agent_kind folded = agent_read(text_span(&small)).kind;
    INVARIANT(folded == agent.kind || (agent_is_browser(&agent) && folded == AGENT_OTHER));
    if (agent.kind == AGENT_HEADLESS)
        INVARIANT(agent_names(all, SPAN("headless")) || agent_names(all, SPAN("phantomjs")) ||
                  agent_names(all, SPAN("puppeteer")) || agent_names(all, SPAN("playwright")) ||
                  agent_names(all, SPAN("selenium")));
    return 0;
}
