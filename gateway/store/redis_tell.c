/* Words about servers; no byte of what they say is among them. */
#include "gateway/store/redis_tell.h"

#include "gateway/base/log.h"

enum { PLACE_BYTES = 64 };

static struct span place_of(const struct redis_server *server, const struct addr *addr,
                            char buffer[PLACE_BYTES])
{
    struct text text = text_fixed(buffer, PLACE_BYTES);
    if (addr->family == ADDR_UNIX)
        return server->path;
    addr_write(&text, addr);
    text_char(&text, ' ');
    text_uint(&text, addr->port);
    return text_span(&text);
}

void redis_tell_lost(const struct redis_server *server, const struct addr *addr,
                     const char *why)
{
    char buffer[PLACE_BYTES];
    struct span place = place_of(server, addr, buffer);
    if (server->sentinel)
        log_warn("a Sentinel is not reachable", F_SPAN("server", place), F_TEXT("why", why));
    else
        log_warn("the store is not reachable; deciding locally", F_SPAN("server", place),
                 F_TEXT("why", why));
}

void redis_tell_hangs(const struct redis_server *server, const struct addr *addr)
{
    char buffer[PLACE_BYTES];
    struct span place = place_of(server, addr, buffer);
    if (server->sentinel)
        log_warn("a Sentinel does not answer in time", F_SPAN("server", place));
    else
        log_warn("the store does not answer in time; deciding locally",
                 F_SPAN("server", place));
}

void redis_tell_up(const struct redis_server *server, const struct addr *addr)
{
    char buffer[PLACE_BYTES];
    struct span place = place_of(server, addr, buffer);
    if (server->sentinel)
        log_info("a Sentinel answers", F_SPAN("server", place));
    else
        log_info("the store answers", F_SPAN("server", place));
}
