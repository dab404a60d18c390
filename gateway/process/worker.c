/*
 * A worker: one event loop that serves. Everything it needs it has before the sandbox closes;
 * from then on it opens no file and starts nothing. It learns from its generation when to
 * drain, and serves on without it.
 */
#include "gateway/process/worker.h"

#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/keyfile.h"
#include "auth/login.h"
#include "auth/provider.h"
#include "auth/users.h"
#include "gateway/audit/capture.h"
#include "gateway/audit/commit.h"
#include "gateway/audit/flood.h"
#include "gateway/base/addrlist.h"
#include "gateway/base/log.h"
#include "gateway/chain/chain.h"
#include "gateway/connection_log.h"
#include "gateway/flow.h"
#include "gateway/http/encode.h"
#include "gateway/http1/session.h"
#include "gateway/http2/session.h"
#include "gateway/net/certs.h"
#include "gateway/net/challenge.h"
#include "gateway/net/share.h"
#include "gateway/process/process.h"
#include "gateway/process/settings.h"
#include "gateway/store/slots.h"
#include "gateway/store/snapshot.h"
#include "gateway/store/store.h"
#include "gateway/upstream/upstream.h"
#include "geoip/database.h"
#include "geoip/geofile.h"

enum {
    HEARTBEAT_MS = 1000,
    TRIM_BEATS = 10,    /* so often encoders that nobody used are let go */
    ENCODERS_SHARE = 4, /* so much of server.limits.compress they may take */
    CUT_GRACE_MS = 500, /* for what was cut to be closed and recorded */
    SLABS_KEPT = 64,    /* free blocks held back: 1 MiB */
    SLABS_PER_CONNECTION = 4,
    STREAMS_PER_CONNECTION = 2, /* on average, over all connections of a worker */
    SLABS_SPARE = 1024,
    WIRE_BYTES = CORK_BYTES + 16 * 1024,
};

/* A listening socket of the configuration. */
struct door {
    struct listener listener;
    struct serving *serving;
};

struct serving {
    struct worker worker;
    const struct worker_start *start;
    struct session_host host;
    struct h2_host h2;
    struct peer_cap cap;
    struct ring_writer ring;
    struct commits commits;
    struct repeats flood;
    struct capturing capturing;
    struct snapshots snapshots;
    struct snapshot_listener certificates;
    uint32_t certificate_swaps[ACME_SITES_MAX]; /* that are in use */
    struct encoder_pool encoders;
    unsigned beats;
    struct arena arena; /* the worker's own */
    struct door *doors;
    struct watch retire, signals;
    struct timer heartbeat, deadline;
    bool cut;
};

/* ---- accepting ---- */

static bool refused_at_the_door(struct serving *serving, struct connection_fault *fault)
{
    const struct config *config = serving->worker.config;
    /* Behind a proxy the peer is the proxy: lists are asked again when the client is known. */
    if (cidrs_contain(&config->server.trusted_proxies, &fault->peer))
        return false;
    if (client_barred(&serving->worker, &fault->peer)) {
        fault->reason = "floods";
        return true;
    }
    struct verdict said = chain_connect(config, &serving->worker, &fault->peer, &fault->list);
    if (said.action == ACTION_DENY)
        fault->reason = reason_row(said.reason)->slug;
    return said.action == ACTION_DENY;
}

/* With RST: nothing of it stays behind, not even in the kernel. */
static void turn_away(int fd)
{
    const struct linger none = { .l_onoff = 1 };

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    (void)close(fd);
}

static void on_accepted(struct listener *listener, int fd, const struct addr *peer)
{
    struct serving *serving = CONTAINER(listener, struct door, listener)->serving;
    struct worker_counters *counters = &serving->worker.shared->counters;
    counters->connections_accepted++;
    struct connection_fault fault = { .kind = CONNECTION_REFUSED, .peer = *peer };
    if (refused_at_the_door(serving, &fault)) {
        connection_log(&serving->worker, &fault);
        turn_away(fd);
        return;
    }
    session_accept(&serving->worker, &serving->host, fd, peer,
                   listener->tls ? serving->worker.config->tls : NULL,
                   listener->proxy_protocol);
}

static enum err open_doors(struct serving *serving)
{
    const struct config *config = serving->worker.config;
    serving->doors = arena_array(&serving->arena, struct door, config->listen_count);
    if (serving->doors == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < config->listen_count; i++) {
        struct door *door = &serving->doors[i];
        door->serving = serving;
        door->listener.tls = config->listen[i].tls;
        door->listener.proxy_protocol = config->listen[i].proxy_protocol;
        door->listener.accepted = on_accepted;
        TRY(listener_open(&door->listener, &serving->worker, serving->start->listen_fds[i]));
    }
    return OK;
}

/* ---- draining ---- */

static void drain(struct serving *serving)
{
    struct worker *worker = &serving->worker;
    if (worker->draining)
        return;
    worker->draining = true;
    for (size_t i = 0; i < worker->config->listen_count; i++) {
        listener_close(&serving->doors[i].listener);
        (void)close(serving->start->listen_fds[i]);
    }
    sessions_drain(worker);
    h2_sessions_drain(&serving->h2);
    upstreams_drain(worker);
    timer_set(&worker->loop, &serving->deadline,
              (uint64_t)worker->config->server.drain_timeout.ms);
}

static void cut(struct serving *serving)
{
    drain(serving);
    serving->cut = true;
    sessions_cut(&serving->worker);
    h2_sessions_cut(&serving->h2);
    timer_set(&serving->worker.loop, &serving->deadline, CUT_GRACE_MS);
}

static void on_deadline(struct timer *timer)
{
    struct serving *serving = CONTAINER(timer, struct serving, deadline);
    if (serving->cut)
        serving->worker.loop.stopping = true;
    else
        cut(serving);
}

/* Nobody reads the byte, so that all workers see it. */
static void on_retire(struct watch *watch, uint32_t events)
{
    struct serving *serving = CONTAINER(watch, struct serving, retire);
    loop_remove(&serving->worker.loop, watch);
    if ((events & EPOLLIN) != 0)
        drain(serving);
    else
        log_warn("the generation died; serving on until the next one does");
}

static void on_signal(struct watch *watch, uint32_t events)
{
    (void)events;
    struct serving *serving = CONTAINER(watch, struct serving, signals);
    struct signalfd_siginfo info;
    if (read(watch->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if ((int)info.ssi_signo == WORKER_CUT)
        cut(serving);
    else
        drain(serving);
}

/* The parent died. The generation's death is told by other means; with the master nothing is
 * left to serve for. */
static volatile int32_t living_master;

static void on_parent_death(int signal)
{
    (void)signal;
    if (getppid() != living_master)
        _exit(0);
}

static enum err open_signals(struct serving *serving)
{
    living_master = serving->start->master_pid;
    struct sigaction action = { .sa_handler = on_parent_death, .sa_flags = SA_RESTART };
    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGUSR2, &action, NULL) != 0)
        return ERR_SYSTEM;
    if (!process_follow(serving->start->generation_pid, SIGUSR2))
        return ERR_CLOSED; /* nobody knows of us yet */

    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, WORKER_DRAIN);
    (void)sigaddset(&set, WORKER_CUT);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_SYSTEM;
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    serving->signals.on_event = on_signal;
    TRY(loop_add(&serving->worker.loop, &serving->signals, fd, EPOLLIN));
    serving->retire.on_event = on_retire;
    return loop_add(&serving->worker.loop, &serving->retire, serving->start->retire_fd,
                    EPOLLIN);
}

/* ---- set-up ---- */

/* One connection with all its streams always fits. */
static void open_shares(struct worker *worker, const struct limits_conf *limits)
{
    size_t percent = (size_t)limits->client_share;
    size_t streams = STREAMS_PER_CONNECTION * (size_t)limits->connections * percent / 100;
    size_t least = (size_t)limits->h2_streams;

    if (percent >= 100)
        return;
    worker->share_streams = streams > least ? streams : least;
    worker->share_slabs = worker->slabs.limit * percent / 100;
}

static enum err open_memory(struct serving *serving, const struct limits_conf *limits)
{
    struct worker *worker = &serving->worker;
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cipher = malloc(CIPHER_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(WIRE_BYTES);
    worker->record = malloc(RECORD_BYTES_MAX);
    if (worker->scratch == NULL || worker->cipher == NULL || worker->cork == NULL ||
        worker->wire == NULL || worker->record == NULL)
        return ERR_MEMORY;
    size_t connections = limits->connections > 0 ? (size_t)limits->connections : 0;
    slab_pool_init(&worker->slabs, SLABS_KEPT,
                   connections * SLABS_PER_CONNECTION + limits->held / SLAB_BYTES +
                       SLABS_SPARE);
    open_shares(worker, limits);
    serving->encoders.bytes_max = limits->compress / ENCODERS_SHARE;
    worker->encoders = &serving->encoders;
    uuid_source_init(&worker->uuids);
    return OK;
}

static void fill_host(struct serving *serving)
{
    const struct server_conf *server = &serving->worker.config->server;
    const struct limits_conf *limits = &server->limits;
    serving->cap = (struct peer_cap){ .counts = serving->start->peers,
                                      .row = serving->start->slot,
                                      .per_address = (unsigned)limits->conns_per_ip };
    memcpy(&serving->cap.key, serving->worker.config->boot_key, sizeof(serving->cap.key));
    peer_cap_open(&serving->cap);
    serving->host = (struct session_host){
        .events = &flow_events,
        .cap = &serving->cap,
        .trusted = &server->trusted_proxies,
        .head_bytes = limits->header,
        .uri_bytes = limits->uri,
        .fields = (unsigned)limits->headers,
        .tls_ms = (uint64_t)limits->tls_timeout.ms,
        .head_ms = (uint64_t)limits->header_timeout.ms,
        .body_ms = (uint64_t)limits->body_timeout.ms,
        .send_ms = (uint64_t)limits->send_timeout.ms,
        .idle_ms = (uint64_t)limits->idle.ms,
        .body_min_rate = limits->body_min_rate,
        .arena_ceiling = limits->request_memory,
        .preserve_encoded = serving->worker.config->preserve_encoded,
        .fault = connection_log,
        .connections = (size_t)limits->connections,
    };
}

/* What HTTP/2 shares with HTTP/1 it takes from there. */
static enum err open_http2(struct serving *serving)
{
    const struct server_conf *server = &serving->worker.config->server;
    struct worker_counters *counters = &serving->worker.shared->counters;
    const struct session_host *host = &serving->host;

    if (server->http2 != 0)
        return OK;
    serving->h2 = (struct h2_host){
        .worker = &serving->worker,
        .events = host->events,
        .cap = host->cap,
        .trusted = host->trusted,
        .sessions_begun = &counters->h2_connections,
        .floods = counters->h2_floods,
        .fault = connection_log,
        .limits = { .head_bytes = host->head_bytes,
                    .uri_bytes = host->uri_bytes,
                    .fields = host->fields,
                    .preserve_encoded = host->preserve_encoded },
        .head_ms = host->head_ms,
        .body_ms = host->body_ms,
        .send_ms = host->send_ms,
        .idle_ms = host->idle_ms,
        .body_min_rate = host->body_min_rate,
        .arena_ceiling = host->arena_ceiling,
        .streams = (unsigned)server->limits.h2_streams,
        .worker_streams = STREAMS_PER_CONNECTION * host->connections,
        .answer_bytes = server->limits.response_buffer,
    };
    serving->host.http2 = &serving->h2.handover;
    return h2_host_open(&serving->h2);
}

static bool snapshot_valid(enum snapshot_kind kind, struct span bytes)
{
    switch (kind) {
    case SNAPSHOT_ADDRESS_LIST:
        return addrlist_valid(bytes);
    case SNAPSHOT_GEO_DATABASE: {
        /* The steward has walked all of it; the library checks each step again. */
        MMDB_s db;
        return geofile_open(&db, bytes) == NULL;
    }
    case SNAPSHOT_API_KEYS:
        return keyfile_valid(bytes);
    case SNAPSHOT_PROVIDER:
        return provider_document_valid(bytes);
    case SNAPSHOT_USERS:
        return users_valid(bytes);
    case SNAPSHOT_FOUND:
        return found_valid(bytes);
    case SNAPSHOT_CERTIFICATE:
        return tls_bundle_valid(bytes);
    case SNAPSHOT_CHALLENGES:
        return challenges_valid(bytes);
    case SNAPSHOT_KINDS:
        break;
    }
    return false;
}

static struct span what_is_found(struct worker *worker, uint32_t *turn)
{
    const struct snapshot *found = &worker->snapshots->items[found_id(worker->config)];

    *turn = found->swaps + 1;
    return found->bytes;
}

static void found_initial(struct snapshots *snapshots, struct worker *worker)
{
    const struct config *config = worker->config;

    if (config->discovery_count == 0)
        return;
    snapshot_initial(snapshots, found_id(config), config->found);
    snapshots->items[found_id(config)].kind = SNAPSHOT_FOUND;
    worker->found = what_is_found;
}

/* A certificate came: it is used from the next handshake on. */
static void on_certificate(struct snapshot_listener *listener, uint32_t id)
{
    struct serving *serving = CONTAINER(listener, struct serving, certificates);
    const struct config *config = serving->worker.config;
    uint32_t first = certificate_id(config, 0);

    if (id < first || id - first >= config->acme.site_count || config->tls == NULL)
        return;
    const struct snapshot *came = &serving->snapshots.items[id];
    uint32_t *used = &serving->certificate_swaps[id - first];
    if (came->swaps == *used)
        return;
    *used = came->swaps;
    enum err err =
        tls_server_replace(config->tls, config->acme.sites[id - first].tls_site, came->bytes);
    if (err != OK)
        log_error("certificate refused; the previous one stays",
                  F_TEXT("site", config->acme.sites[id - first].site->name), F_ERR(err));
}

static void certificates_initial(struct serving *serving)
{
    const struct config *config = serving->worker.config;
    struct snapshots *snapshots = &serving->snapshots;

    if (config->acme.site_count == 0)
        return;
    for (size_t i = 0; i < config->acme.site_count; i++)
        snapshots->items[certificate_id(config, i)].kind = SNAPSHOT_CERTIFICATE;
    struct snapshot *challenges = &snapshots->items[challenges_id(config)];
    challenges->kind = SNAPSHOT_CHALLENGES;
    serving->worker.challenges = &challenges->bytes;
    if (config->tls != NULL)
        tls_server_challenges(config->tls, &challenges->bytes);
    serving->certificates.came = on_certificate;
    snapshots_tell(snapshots, &serving->certificates);
}

static enum err open_snapshots(struct serving *serving)
{
    const struct config *config = serving->worker.config;
    struct snapshots *snapshots = &serving->snapshots;
    TRY(snapshots_init(snapshots, &serving->arena, snapshot_ids(config)));
    snapshots->valid = snapshot_valid;
    for (uint32_t id = 0; id < config->list_count; id++)
        snapshot_initial(snapshots, id, serving->start->list_blocks[id]);
    uint32_t first = (uint32_t)config->list_count;
    for (uint32_t i = 0; i < config->geo_count; i++) {
        snapshot_initial(snapshots, first + i, config->geo[i].bytes);
        snapshots->items[first + i].kind = SNAPSHOT_GEO_DATABASE;
    }
    key_files_initial(snapshots, config);
    providers_initial(snapshots, config);
    user_files_initial(snapshots, config);
    found_initial(snapshots, &serving->worker);
    certificates_initial(serving);
    if (config->geo_count > 0) {
        serving->worker.geo =
            geo_reader_new(snapshots, first, config->geo_count, &serving->arena);
        if (serving->worker.geo == NULL)
            return ERR_MEMORY;
    }
    serving->worker.snapshots = snapshots;
    return snapshots_listen(snapshots, &serving->worker.loop, serving->start->control_fd);
}

static void on_heartbeat(struct timer *timer)
{
    struct serving *serving = CONTAINER(timer, struct serving, heartbeat);
    timer_set(&serving->worker.loop, timer, HEARTBEAT_MS);
    if (++serving->beats % TRIM_BEATS == 0)
        encoder_pool_trim(&serving->encoders);
}

static bool seal_capture(struct worker *worker, const struct capture_parts *parts)
{
    return capture_commit(&worker->capturing->sealer, worker->ring, parts, worker->record);
}

static void attach_shared(struct serving *serving)
{
    const struct worker_start *start = serving->start;
    struct worker *worker = &serving->worker;
    worker->index = start->slot;
    worker->config = start->config;
    worker->slots = start->slots;
    worker->meters = start->meters;
    worker->shared = &start->slots->workers[start->slot];
    if (start->rings == NULL)
        return;
    serving->ring = (struct ring_writer){ .rings = start->rings,
                                          .ring = &start->rings->ring[start->ring_slot],
                                          .wake_fd = start->recorder_fd };
    worker->ring = &serving->ring;
    const struct capture_conf *capture = &worker->config->audit.capture;
    if (capture->on) {
        serving->capturing.take = seal_capture;
        capture_sealer_open(&serving->capturing.sealer, capture->key);
        worker->capturing = &serving->capturing;
    }
    worker->flood = &serving->flood;
    struct siphash_key key;
    memcpy(&key, worker->config->boot_key, sizeof(key));
    /* Who asks for every transaction gets every transaction. */
    bool all = (worker->config->audit.record & AUDIT_ALL) != 0;
    flood_init(worker->flood, all ? 0 : (uint64_t)worker->config->audit.flood, &key);
}

static enum err open_commits(struct serving *serving)
{
    struct worker *worker = &serving->worker;
    if (worker->ring == NULL)
        return OK;
    worker->commits = &serving->commits;
    return commits_open(&serving->commits, worker, worker->ring, serving->start->written_fd);
}

static enum err set_up(struct serving *serving)
{
    struct worker *worker = &serving->worker;
    const struct config *config = serving->start->config;
    attach_shared(serving);
    random_bytes(&worker->held_key, sizeof(worker->held_key));
    TRY(loop_init(&worker->loop));
    worker_gather(worker);
    TRY(open_signals(serving));
    TRY(open_commits(serving));
    TRY(open_memory(serving, &config->server.limits));
    TRY(open_snapshots(serving));
    fill_host(serving);
    TRY(open_http2(serving));

    /* Threads that stages start inherit what is dropped here; the filter then closes over all
     * of them. */
    char user[SETTINGS_TEXT_BYTES];
    if (!settings_put(user, sizeof(user), config->server.user))
        return ERR_LIMIT; /* and not: nobody to become */
    struct sandbox sandbox = { .role = ROLE_WORKER,
                               .user = user[0] != '\0' ? user : NULL,
                               .off = config->server.sandbox != 0 };
    TRY(sandbox_drop(&sandbox));
    TRY(store_attach(worker, config->store));
    TRY(chain_attach(worker, config));
    store_start(worker);
    TRY(upstreams_attach(worker, config->upstreams, config->upstream_count));
    TRY(crash_open(worker, config->boot_key));
    TRY(open_doors(serving));
    serving->heartbeat.fire = on_heartbeat;
    serving->deadline.fire = on_deadline;
    timer_set(&worker->loop, &serving->heartbeat, HEARTBEAT_MS);
    return sandbox_filter(&sandbox);
}

/* ---- serving ---- */

static bool done(const struct serving *serving)
{
    return serving->worker.loop.stopping ||
           (serving->worker.draining && serving->worker.connections == 0);
}

static void serve(struct serving *serving)
{
    struct worker *worker = &serving->worker;
    while (!done(serving)) {
        loop_turn(&worker->loop, -1);
        __atomic_store_n(&worker->shared->heartbeat_ms, clock_ms(&worker->loop.clock),
                         __ATOMIC_RELAXED);
        worker->shared->counters.connections_open = worker->connections;
    }
    if (worker->loop.flush != NULL) /* no turn follows that would */
        worker->loop.flush(&worker->loop);
}

void worker_main(const struct worker_start *start)
{
    process_open(ROLE_WORKER);
    struct serving *serving = calloc(1, sizeof(*serving));
    if (serving == NULL)
        _exit(1);
    serving->start = start;
    arena_init(&serving->arena, NULL, 0, NULL, (size_t)64 << 20);
    enum err err = set_up(serving);
    if (err != OK) {
        log_error("worker cannot start", F_ERR(err));
        _exit(1);
    }
    uint32_t slot = start->slot;
    if (write(start->report_fd, &slot, sizeof(slot)) != (ssize_t)sizeof(slot))
        log_warn("worker could not report that it serves");
    (void)close(start->report_fd);
    sandbox_probe(ROLE_WORKER);
    serve(serving);
    connection_log_flush(&serving->worker);
    _exit(0);
}
