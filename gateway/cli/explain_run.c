/*
 * A worker of one request: the same session, flow and stages as in the service, over a socket
 * pair. Connections to anywhere are refused by the kernel's filter from before the request on,
 * so an upstream is never asked: that it would be is what is to be known.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/apikeys.h"
#include "auth/provider.h"
#include "gateway/audit/ring.h"
#include "gateway/chain/chain.h"
#include "gateway/cli/explain.h"
#include "gateway/flow.h"
#include "gateway/http1/session.h"
#include "gateway/store/slots.h"
#include "gateway/store/snapshot.h"
#include "gateway/store/store.h"
#include "gateway/upstream/upstream.h"

enum { EXPLAIN_SECONDS = 20, TURN_MS = 10, WIRE_BYTES = CORK_BYTES + 16 * 1024 };

struct stand {
    struct worker worker;
    struct worker_shared shared;
    struct session_host host;
    struct snapshots snapshots;
    struct rings *rings;
    struct ring_writer ring;
    struct peer_cap cap;
};

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
        .proxy_peers = &server->trusted_proxies,
        .head_bytes = limits->header,
        .uri_bytes = limits->uri,
        .fields = (unsigned)limits->headers,
        .head_ms = EXPLAIN_SECONDS * 1000,
        .body_ms = EXPLAIN_SECONDS * 1000,
        .send_ms = EXPLAIN_SECONDS * 1000,
        .idle_ms = EXPLAIN_SECONDS * 1000,
        .arena_ceiling = limits->request_memory,
        .preserve_encoded = stand->worker.config->preserve_encoded,
        .fault = no_fault,
        .connections = 1,
    };
}

static enum err open_stand(struct stand *stand, struct loaded *loaded)
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
    worker->snapshots = &stand->snapshots;
    fill_host(stand);
    TRY(store_attach(worker, config->store));
    TRY(chain_attach(worker, config));
    TRY(upstreams_attach(worker, config->upstreams, config->upstream_count));
    return go_offline();
}

/* The client's end: sends, and throws away what comes. */
static bool push(int fd, struct span *request)
{
    char answer[16 * 1024];
    while (request->len > 0) {
        ssize_t sent = send(fd, request->p, request->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        *request = span_sub(*request, (size_t)sent, request->len);
    }
    while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
        continue;
    return request->len > 0;
}

struct span explain_record(struct loaded *loaded, struct span request, const struct addr *from)
{
    static char scratch[RECORD_BYTES_MAX];
    static struct stand only; /* of one request: the process ends with it */
    struct ring_record record;
    uint64_t cursor = 0;
    int pair[2];
    struct stand *stand = &only;
    enum err err = open_stand(stand, loaded);
    if (err == OK && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
        err = ERR_SYSTEM;
    if (err != OK) {
        (void)usage_error("cannot set up a worker: %s", err_text(err));
        return span_of(NULL, 0);
    }
    session_accept(&stand->worker, &stand->host, pair[1], from, NULL, false);
    uint64_t end = clock_mono_ns() + (uint64_t)EXPLAIN_SECONDS * 1000000000u;
    bool found = false, ended = false;
    while (!found && clock_mono_ns() < end) {
        bool more = push(pair[0], &request);
        loop_turn(&stand->worker.loop, TURN_MS);
        found = ring_peek(stand->ring.ring, &cursor, &record, scratch);
        /* What does not come any more is not waited for. */
        if (!more && !ended && !found) {
            ended = true;
            (void)shutdown(pair[0], SHUT_WR);
        }
    }
    (void)close(pair[0]);
    if (!found) {
        (void)usage_error("the request is not complete");
        return span_of(NULL, 0);
    }
    return arena_copy(&loaded->arena, record.line);
}
