/*
 * Local users who sign in by a form: name and password, then a second factor, then a session.
 */
#ifndef SALLYPORT_LOGIN_H
#define SALLYPORT_LOGIN_H

#include "auth/provider.h"

extern const struct stage_type login_stage;

/* Snapshot id of a store of users: behind the providers. */
static inline uint32_t user_file_id(const struct config *config, size_t index)
{
    return provider_id(config, config->provider_count) + (uint32_t)index;
}
/* What a worker begins with. */
void user_files_initial(struct snapshots *snapshots, const struct config *config);

#endif
