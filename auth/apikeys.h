/*
 * API keys: who calls, on which plan, with which scopes.
 */
#ifndef SALLYPORT_APIKEYS_H
#define SALLYPORT_APIKEYS_H

#include "gateway/chain/config.h"
#include "gateway/store/snapshot.h"

extern const struct stage_type api_keys_stage;

/* Snapshot id of a file of keys: behind lists and databases. */
static inline uint32_t key_file_id(const struct config *config, size_t index)
{
    return (uint32_t)(config->list_count + config->geo_count + index);
}
/* What a worker begins with. */
void key_files_initial(struct snapshots *snapshots, const struct config *config);

#endif
