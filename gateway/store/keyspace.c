/* One server, Sentinels or a Cluster behind the same questions. */
#include "gateway/store/keyspace.h"

#include <stdlib.h>

#include "gateway/store/cluster.h"
#include "gateway/store/sentinel.h"
#include "gateway/store/store.h"
#include "gateway/store/topology.h"

struct keyspace {
    struct redis *redis;       /* without a Cluster */
    struct sentinel *sentinel; /* NULL: the server is named by the configuration */
    struct cluster *cluster;
};

/* NULL: nobody holds the slot. */
static struct redis *server_of(const struct keyspace *keys, unsigned slot)
{
    return keys->cluster != NULL ? cluster_server(keys->cluster, slot) : keys->redis;
}

void keyspace_free(struct keyspace *keys)
{
    if (keys == NULL)
        return;
    sentinel_free(keys->sentinel);
    cluster_free(keys->cluster);
    redis_free(keys->redis);
    free(keys);
}

struct keyspace *keyspace_new(struct worker *worker, const struct store *store)
{
    struct keyspace *keys = calloc(1, sizeof(*keys));
    if (keys == NULL)
        return NULL;
    bool made;
    if (store->kind == STORE_CLUSTER) {
        keys->cluster = cluster_new(worker, &store->server);
        made = keys->cluster != NULL;
    } else {
        keys->redis = redis_new(worker, &store->server);
        made = keys->redis != NULL;
    }
    if (made && store->kind == STORE_SENTINEL) {
        keys->sentinel = sentinel_new(worker, &store->sentinels, store->master, keys->redis);
        made = keys->sentinel != NULL;
    }
    if (made)
        return keys;
    keyspace_free(keys);
    return NULL;
}

void keyspace_keep_script(struct keyspace *keys, struct span script)
{
    if (keys->cluster != NULL)
        cluster_keep_script(keys->cluster, script);
    else
        redis_keep_script(keys->redis, script);
}

void keyspace_start(struct keyspace *keys)
{
    if (keys->cluster != NULL)
        cluster_start(keys->cluster);
    else
        redis_start(keys->redis);
    if (keys->sentinel != NULL)
        sentinel_start(keys->sentinel);
}

bool keyspace_spread(const struct keyspace *keys)
{
    return keys->cluster != NULL;
}

unsigned keyspace_slot(const struct keyspace *keys, struct span key)
{
    return keys->cluster != NULL ? key_slot(key) : 0;
}

bool keyspace_usable(const struct keyspace *keys, unsigned slot)
{
    const struct redis *redis = server_of(keys, slot);
    return redis != NULL && redis_usable(redis);
}

uint64_t keyspace_back_ns(const struct keyspace *keys, unsigned slot)
{
    const struct redis *redis = server_of(keys, slot);
    uint64_t back_ns = redis != NULL ? redis_back_ns(redis) : 0;
    uint64_t since_ns = keys->cluster != NULL ? cluster_since_ns(keys->cluster, slot) : 0;
    return since_ns > back_ns ? since_ns : back_ns;
}

enum err keyspace_send(struct keyspace *keys, unsigned slot, struct redis_call *call,
                       unsigned argc, const struct span *argv)
{
    struct redis *redis = server_of(keys, slot);
    return redis != NULL ? redis_send(redis, call, argc, argv) : ERR_CLOSED;
}

enum err keyspace_post(struct keyspace *keys, unsigned slot, struct redis_call *call,
                       unsigned argc, const struct span *argv)
{
    struct redis *redis = server_of(keys, slot);
    return redis != NULL ? redis_post(redis, call, argc, argv) : ERR_CLOSED;
}

const struct redis *keyspace_server(const struct keyspace *keys, unsigned slot)
{
    return server_of(keys, slot);
}

void keyspace_useless(struct keyspace *keys, unsigned slot)
{
    struct redis *redis = server_of(keys, slot);
    if (redis != NULL)
        redis_useless(redis);
    if (keys->cluster != NULL)
        cluster_doubt(keys->cluster);
}

enum detour keyspace_detour(struct keyspace *keys, unsigned slot,
                            const struct redis_value *value, struct redis **asked)
{
    struct redirect redirect;
    struct redis *redis = server_of(keys, slot);
    *asked = NULL;
    if (value->type != REDIS_ERROR)
        return DETOUR_NONE;
    if (keys->cluster == NULL || redis == NULL)
        return DETOUR_USELESS;
    if (redis_is_error(value, SPAN("TRYAGAIN")))
        return DETOUR_LATER;
    if (!redirect_read(value, redis_addr(redis), &redirect) || redirect.slot != slot)
        return DETOUR_USELESS;
    *asked = cluster_redirect(keys->cluster, &redirect);
    if (*asked == NULL)
        return DETOUR_LATER;
    return redirect.ask ? DETOUR_ASK : DETOUR_MOVED;
}
