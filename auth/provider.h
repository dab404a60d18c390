/*
 * Providers: whose keys, and perhaps endpoints, are fetched at run time. The steward fetches,
 * keeps and publishes (gateway/steward/providers.c); here is what stages ask of them.
 *
 * An unknown key id may mean that the provider changed its keys. Then whoever has met it waits
 * for the steward to fetch them again, which it does at most once in 30 seconds: who sends
 * tokens with keys that he made up costs the provider nothing more.
 */
#ifndef SALLYPORT_PROVIDER_H
#define SALLYPORT_PROVIDER_H

#include "auth/providerdoc.h"
#include "gateway/chain/op.h"
#include "gateway/store/snapshot.h"

enum {
    PROVIDER_FRESH_MS = 30 * 1000, /* between two fetches that somebody asked for */
    PROVIDER_NONE_MS = 1000,       /* the same while there are no keys at all */
    PROVIDER_WAIT_MS = 5 * 1000,   /* for an answer of the steward */
    PROVIDER_WAITERS_MAX = 64,     /* in one worker */
};

/* ---- at load ---- */

struct setup;
struct provider_want {
    const char *option; /* for complaints */
    struct span issuer; /* for discovery; empty: keys alone */
    struct span url;    /* of the keys; empty: by discovery */
    struct path ca;
    uint32_t algs;
};
/* One provider however many routes name it. ERR_CONFIG after a complaint. */
MUST_USE enum err provider_use(struct setup *setup, const struct provider_want *want,
                               unsigned *index);

/* ---- ids ---- */

static inline uint32_t provider_id(const struct config *config, size_t index)
{
    return (uint32_t)(config->list_count + config->geo_count + config->key_file_count + index);
}
/* Behind the stores of users, of what names of upstreams stand for:
 * gateway/upstream/discovery.h. */
static inline uint32_t found_id(const struct config *config)
{
    return provider_id(config, config->provider_count + config->user_file_count);
}
/* Certificates that the gateway gets by itself, and what it proves for them. */
static inline uint32_t certificate_id(const struct config *config, size_t index)
{
    return found_id(config) + (config->discovery_count > 0) + (uint32_t)index;
}
static inline uint32_t challenges_id(const struct config *config)
{
    return certificate_id(config, config->acme.site_count);
}
static inline size_t snapshot_ids(const struct config *config)
{
    return challenges_id(config) + (config->acme.site_count > 0);
}
void providers_initial(struct snapshots *snapshots, const struct config *config);

/* ---- in a worker ---- */

struct provider_view {
    const struct jwks *keys;          /* NULL: none have come yet */
    const struct provider_meta *meta; /* NULL: not discovered yet, or keys alone */
    uint32_t swaps;                   /* another number: they have changed */
};

/* By each stage that uses providers, in its attach; the first one makes them. */
MUST_USE enum err providers_attach(struct worker *worker);
void providers_detach(struct worker *worker);
/* As it is now; valid until the transaction waits or ends. */
struct provider_view provider_now(struct worker *worker, unsigned index);
/*
 * For wait_for: finished when the steward has answered, error or not; provider_now tells then.
 * NULL: it was asked so lately that an answer would be the same.
 */
struct op *provider_ask(struct worker *worker, unsigned index);

#endif
