/*
 * Setting up a worker of the command line's own.
 */
#include "gateway/cli/stand.h"

#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/login.h"
#include "auth/provider.h"
#include "gateway/chain/chain.h"
#include "gateway/flow.h"
#include "gateway/store/store.h"
#include "gateway/upstream/upstream.h"
#include "geoip/database.h"

enum { WIRE_BYTES = CORK_BYTES + 16 * 1024 };

/* Whoever connects is told that nobody listens there. */
static enum err go_offline(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL)
        return ERR_MEMORY;
    /* Datagrams name whom they go to in the call. */
    const struct scmp_arg_cmp addressed = {
        .arg = 4, .op = SCMP_CMP_NE, .datum_a = 0, .datum_b = 0
    };
    bool good =
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(ECONNREFUSED), SCMP_SYS(connect), 0) == 0 &&
        seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(sendto), 1,
                               &addressed) == 0 &&
        seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return good ? OK : ERR_SYSTEM;
}

static enum err open_memory(struct stand *stand)
{
    struct worker *worker = &stand->worker;
    unsigned slot;
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cipher = malloc(CIPHER_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(WIRE_BYTES);
    worker->record = malloc(RECORD_BYTES_MAX);
    void *rings = mmap(NULL, sizeof(struct rings), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *counts = mmap(NULL, sizeof(struct peer_counts), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (worker->scratch == NULL || worker->cipher == NULL || worker->cork == NULL ||
        worker->wire == NULL || worker->record == NULL || rings == MAP_FAILED ||
        counts == MAP_FAILED)
        return ERR_MEMORY;
    slab_pool_init(&worker->slabs, 64, 65536);
    uuid_source_init(&worker->uuids);
    stand->rings = rings;
    stand->cap = (struct peer_cap){ .counts = counts };
    TRY(ring_claim(stand->rings, getpid(), &slot));
    stand->ring = (struct ring_writer){ .rings = rings,
                                        .ring = &stand->rings->ring[slot],
                                        .wake_fd = -1 };
    worker->ring = &stand->ring;
    return OK;
}

static void no_fault(struct worker *worker, const struct connection_fault *fault)
{
    (void)worker;
    (void)fault;
}

static void fill_host(struct stand *stand)
{
    const struct server_conf *server = &stand->worker.config->server;
    const struct limits_conf *limits = &server->limits;
    stand->host = (struct session_host){
        .events = &flow_events,
        .cap = &stand->cap,
        .trusted = &server->trusted_proxies,
        .head_bytes = limits->header,
        .uri_bytes = limits->uri,
        .fields = (unsigned)limits->headers,
        .head_ms = STAND_SECONDS * 1000,
        .body_ms = STAND_SECONDS * 1000,
        .send_ms = STAND_SECONDS * 1000,
        .idle_ms = STAND_SECONDS * 1000,
        .arena_ceiling = limits->request_memory,
        .preserve_encoded = stand->worker.config->preserve_encoded,
        .fault = no_fault,
        .connections = 1,
    };
}

enum err stand_geo(struct worker *worker, struct snapshots *snapshots,
                   const struct config *config, struct arena *arena)
{
    uint32_t first = (uint32_t)config->list_count;
    for (uint32_t i = 0; i < config->geo_count; i++) {
        snapshot_initial(snapshots, first + i, config->geo[i].bytes);
        snapshots->items[first + i].kind = SNAPSHOT_GEO_DATABASE;
    }
    if (config->geo_count == 0)
        return OK;
    worker->geo = geo_reader_new(snapshots, first, config->geo_count, arena);
    return worker->geo != NULL ? OK : ERR_MEMORY;
}

enum err stand_open(struct stand *stand, struct loaded *loaded)
{
    struct worker *worker = &stand->worker;
    struct config *config = loaded->config;
    /* Everything is of interest, whatever the configuration would have recorded. */
    config->audit.on = true;
    config->audit.record = AUDIT_ALL;
    config->audit.durability = DURABILITY_BUFFERED;
    worker->config = config;
    worker->shared = &stand->shared;
    TRY(loop_init(&worker->loop));
    TRY(open_memory(stand));
    TRY(snapshots_init(&stand->snapshots, &loaded->arena, snapshot_ids(config)));
    for (uint32_t id = 0; id < config->list_count; id++)
        snapshot_initial(&stand->snapshots, id, config->lists[id].built);
    key_files_initial(&stand->snapshots, config);
    providers_initial(&stand->snapshots, config);
    user_files_initial(&stand->snapshots, config);
    TRY(stand_geo(worker, &stand->snapshots, config, &loaded->arena));
    worker->snapshots = &stand->snapshots;
    fill_host(stand);
    TRY(store_attach(worker, config->store));
    TRY(chain_attach(worker, config));
    TRY(upstreams_attach(worker, config->upstreams, config->upstream_count));
    return go_offline();
}
