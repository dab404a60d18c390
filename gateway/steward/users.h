/*
 * Stores of local users, in the steward: see users.c.
 */
#ifndef SALLYPORT_STEWARD_USERS_H
#define SALLYPORT_STEWARD_USERS_H

#include "gateway/steward/steward.h"

/* Before the sandbox closes; then, when all else is open. */
MUST_USE enum err users_open(struct steward *steward);
void users_start(struct steward *steward);
/* At the end: what was accepted in the last second is written down, too. */
void users_save(struct steward *steward);
/* The block to publish; an empty one: it is as it was. Else the trouble. */
const char *users_read(struct steward *steward, const struct watched_list *settings,
                       struct arena *arena, struct span *block);

#endif
