/* A worker between real sockets. */
#include "tests/unit/plane/plane.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/audit/ring.h"
#include "gateway/http1/connection.h"
#include "gateway/upstream/upstream.h"

static char heard[PLANE_HEARD];

/* ---- life ---- */

static void open_worker(struct plane *plane)
{
    struct worker *worker = &plane->worker;

    INVARIANT(loop_init(&worker->loop) == OK);
    worker_gather(worker);
    slab_pool_init(&worker->slabs, 16, 4096);
    uuid_source_init(&worker->uuids);
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cipher = malloc(CIPHER_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(CORK_BYTES + 4096);
    worker->record = malloc(RECORD_BYTES_MAX);
    INVARIANT(worker->scratch != NULL && worker->cipher != NULL && worker->cork != NULL &&
              worker->wire != NULL && worker->record != NULL);
    worker->config = &plane->config;
    worker->shared = &plane->shared;
}

static void open_config(struct plane *plane)
{
    struct limits_conf *limits = &plane->config.server.limits;

    plane->upstream = (struct upstream){ .servers = plane->servers,
                                         .connect = { .ms = 2000 },
                                         .response = { .ms = 2000 },
                                         .idle = { .ms = 2000 },
                                         .tunnel = { .ms = 2000 },
                                         .kept = { .ms = 60000 },
                                         .keepalive = 8,
                                         .retries = 2 };
    plane->route = (struct route){ .name = "default",
                                   .site = &plane->site,
                                   .handler = HANDLER_UPSTREAM,
                                   .upstream = &plane->upstream,
                                   .websocket = true,
                                   .body_max = 64 << 20,
                                   .body_limit = 64 << 20 };
    plane->site = (struct site){
        .name = "any", .routes = &plane->route, .route_count = 1, .tls_site = -1
    };
    plane->config.sites = &plane->site;
    plane->config.site_count = 1;
    plane->config.any = &plane->site;
    plane->config.upstreams = &plane->upstream;
    plane->config.upstream_count = 1;
    limits->held = 64 << 20;
    limits->response_buffer = 64 * 1024;
}

static void on_fault(struct worker *worker, const struct connection_fault *fault)
{
    struct plane *plane = CONTAINER(worker, struct plane, worker);

    plane->refused += fault->kind == CONNECTION_REFUSED;
    plane->fault = *fault;
    plane->faults++;
}

void plane_open(struct plane *plane, const struct stream_events *events)
{
    memset(plane, 0, sizeof *plane);
    for (unsigned i = 0; i < PLANE_SERVERS; i++)
        plane->listeners[i] = -1;
    (void)snprintf(plane->folder, sizeof plane->folder, "/tmp/plane-XXXXXX");
    INVARIANT(mkdtemp(plane->folder) != NULL);
    open_worker(plane);
    open_config(plane);
    plane->host = (struct session_host){
        .events = events,
        .fault = on_fault,
        .trusted = &plane->trusted,
        .head_bytes = 15 * 1024,
        .uri_bytes = 8 * 1024,
        .fields = 100,
        .tls_ms = 5000,
        .head_ms = 5000,
        .body_ms = 5000,
        .send_ms = 5000,
        .idle_ms = 5000,
        .arena_ceiling = 1 << 20,
        .connections = 100,
    };
    plane_servers(plane, 1, 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    INVARIANT(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
    INVARIANT(listen(fd, 64) == 0);
    return fd;
}

static void drop_servers(struct plane *plane)
{
    struct worker *worker = &plane->worker;

    if (worker->upstreams == NULL)
        return;
    upstreams_drain(worker);
    struct upstream_local *local = worker->upstreams;
    while (local->free_conns != NULL) {
        struct server_conn *conn = local->free_conns;
        local->free_conns = conn->next;
        free(conn);
    }
    for (size_t i = 0; i < local->conf->server_count; i++) {
        INVARIANT(local->servers[i].active == 0);
        if (plane->listeners[i] >= 0)
            (void)close(plane->listeners[i]);
        plane->listeners[i] = -1;
        (void)unlink(plane->paths[i]);
    }
    free(local->servers);
    free(local);
    worker->upstreams = NULL;
}

void plane_servers(struct plane *plane, unsigned count, unsigned deaf)
{
    drop_servers(plane);
    for (unsigned i = 0; i < count; i++) {
        struct upstream_server *server = &plane->servers[i];
        (void)snprintf(plane->paths[i], sizeof plane->paths[i], "%s/%u", plane->folder, i);
        *server = (struct upstream_server){ .weight = 1, .addr_count = 1 };
        server->url.scheme = SPAN("unix");
        server->url.path = span_text(plane->paths[i]);
        server->addrs[0].family = ADDR_UNIX;
        if ((deaf >> i & 1) == 0)
            plane->listeners[i] = listen_at(plane->paths[i]);
    }
    plane->upstream.server_count = count;
    INVARIANT(upstreams_attach(&plane->worker, &plane->upstream, 1) == OK);
}

/* Far ends that are still open get their goodbye; then whatever is left is a leak. */
void plane_close(struct plane *plane)
{
    struct worker *worker = &plane->worker;

    sessions_cut(worker);
    INVARIANT(worker->sessions == NULL && worker->idle_first == NULL);
    INVARIANT(worker->connections == 0 && worker->streams == 0 && worker->held_bytes == 0);
    INVARIANT(worker->cork_len == 0 && worker->corked_count == 0);
    drop_servers(plane);
    INVARIANT(worker->loop.timers == 0);
    INVARIANT(worker->loop.queue.next == &worker->loop.queue);
    while (worker->free_streams != NULL) {
        struct stream *stream = worker->free_streams;
        worker->free_streams = stream->next_free;
        free(stream);
    }
    while (worker->free_sessions != NULL) {
        struct session *s = worker->free_sessions;
        worker->free_sessions = s->next;
        free(s);
    }
    loop_close(&worker->loop);
    slab_pool_close(&worker->slabs);
    free(worker->scratch);
    free(worker->cipher);
    free(worker->cork);
    free(worker->wire);
    free(worker->record);
    (void)rmdir(plane->folder);
}

/* ---- time ---- */

void plane_turns(struct plane *plane, unsigned turns)
{
    while (turns-- > 0)
        loop_turn(&plane->worker.loop, 0);
}

void plane_sleep(struct plane *plane, unsigned ms)
{
    uint64_t until = clock_mono_ns() / 1000000 + ms;

    while (clock_mono_ns() / 1000000 < until)
        loop_turn(&plane->worker.loop, 4);
}

unsigned plane_busy(struct plane *plane, unsigned ms)
{
    uint64_t until = clock_mono_ns() / 1000000 + ms, now;
    unsigned turns = 0;

    while ((now = clock_mono_ns() / 1000000) < until) {
        loop_turn(&plane->worker.loop, (int)(until - now));
        turns++;
    }
    return turns;
}

/* ---- far ends ---- */

static void unblock(int fd)
{
    INVARIANT(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

void plane_tcp(int ends[2])
{
    struct sockaddr_in name = { .sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    INVARIANT(listener >= 0 && bind(listener, (struct sockaddr *)&name, len) == 0);
    INVARIANT(getsockname(listener, (struct sockaddr *)&name, &len) == 0);
    INVARIANT(listen(listener, 1) == 0);
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    INVARIANT(ends[0] >= 0 && connect(ends[0], (struct sockaddr *)&name, len) == 0);
    ends[1] = accept(listener, NULL, NULL);
    INVARIANT(ends[1] >= 0);
    (void)close(listener);
    for (int i = 0; i < 2; i++) {
        int one = 1; /* as the listener sets it */
        INVARIANT(setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
        unblock(ends[i]);
    }
}

static void take(struct plane *plane, int fd, struct tls_server *tls, bool proxy_protocol)
{
    struct addr peer;

    INVARIANT(addr_parse(span_text(plane->peer != NULL ? plane->peer : "192.0.2.7"), &peer));
    session_accept(&plane->worker, &plane->host, fd, &peer, tls, proxy_protocol);
}

int plane_client_with(struct plane *plane, struct tls_server *tls, bool proxy_protocol)
{
    int ends[2];

    plane_tcp(ends);
    take(plane, ends[1], tls, proxy_protocol);
    return ends[0];
}

int plane_client(struct plane *plane)
{
    return plane_client_with(plane, NULL, false);
}

int plane_client_pair(struct plane *plane)
{
    int ends[2];

    INVARIANT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    take(plane, ends[1], NULL, false);
    return ends[0];
}

int plane_accept(struct plane *plane, unsigned server)
{
    for (unsigned i = 0; i < PLANE_IDLE_TURNS; i++) {
        int fd = accept4(plane->listeners[server], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        plane_turns(plane, 1);
    }
    return -1;
}

void plane_hang_up(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void plane_reset(int *fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (*fd >= 0)
        (void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    plane_hang_up(fd);
}

void plane_small_buffers(int fd)
{
    int bytes = 4096;

    INVARIANT(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    INVARIANT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
}

/* ---- talking ---- */

bool plane_say(struct plane *plane, int fd, struct span bytes)
{
    unsigned full = 0;

    while (bytes.len > 0 && full < 2000) {
        ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        full = n < 0 ? full + 1 : 0;
        if (n > 0)
            bytes = span_of(bytes.p + n, bytes.len - (size_t)n);
        plane_turns(plane, 1);
    }
    plane_turns(plane, PLANE_IDLE_TURNS);
    return bytes.len == 0;
}

/* Bytes added, 0 when none is there now; `*over` when the stream is. */
static size_t hear_some(int fd, size_t had, enum plane_over *over)
{
    INVARIANT(had < PLANE_HEARD);
    ssize_t n = recv(fd, heard + had, PLANE_HEARD - had, 0);
    if (n < 0 && errno != EAGAIN)
        *over = PLANE_RESET;
    else if (n == 0)
        *over = PLANE_ENDED;
    return n > 0 ? (size_t)n : 0;
}

struct span plane_hear(struct plane *plane, int fd, enum plane_over *over)
{
    enum plane_over how = PLANE_OPEN;
    size_t len = 0;

    for (unsigned idle = 0; idle < PLANE_IDLE_TURNS && how == PLANE_OPEN; idle++) {
        size_t n = hear_some(fd, len, &how);
        len += n;
        idle = n > 0 ? 0 : idle;
        plane_turns(plane, 1);
    }
    if (over != NULL)
        *over = how;
    return span_of(heard, len);
}

struct span plane_hear_for(struct plane *plane, int fd, size_t bytes, unsigned ms,
                           enum plane_over *over)
{
    uint64_t until = clock_mono_ns() / 1000000 + ms;
    enum plane_over how = PLANE_OPEN;
    size_t len = 0;

    while (how == PLANE_OPEN && len < bytes && clock_mono_ns() / 1000000 < until) {
        len += hear_some(fd, len, &how);
        loop_turn(&plane->worker.loop, 1);
    }
    if (over != NULL)
        *over = how;
    return span_of(heard, len);
}

unsigned span_count(struct span s, const char *text)
{
    size_t len = strlen(text);
    unsigned count = 0;

    for (size_t i = 0; i + len <= s.len; i++)
        count += memcmp(s.p + i, text, len) == 0;
    return count;
}

bool span_has(struct span s, const char *text)
{
    return span_count(s, text) > 0;
}
