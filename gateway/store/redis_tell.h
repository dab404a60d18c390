/* What administrators read in the log of servers that come and go. */
#ifndef SALLYPORT_REDIS_TELL_H
#define SALLYPORT_REDIS_TELL_H

#include "gateway/store/redis.h"

void redis_tell_lost(const struct redis_server *server, const struct addr *addr,
                     const char *why);
void redis_tell_hangs(const struct redis_server *server, const struct addr *addr);
void redis_tell_up(const struct redis_server *server, const struct addr *addr);

#endif
