/*
 * Kept connections and passive ejection: see pool.h.
 */
#include "gateway/upstream/pool.h"

#include <stdlib.h>

#include "gateway/chain/config.h"
#include "gateway/upstream/exchange.h"

struct upstream_local *upstream_local(struct worker *worker, const struct upstream *upstream)
{
    return &worker->upstreams[upstream->index];
}

static uint64_t now_ms(const struct server_local *server)
{
    return clock_ms(&server->upstream->worker->loop.clock);
}

/* ---- how servers fare ---- */

void server_succeeded(struct server_local *server)
{
    server->fails = 0;
    server->ejections = 0;
    server->trial = false;
}

void server_answers(struct server_local *server)
{
    server->trial = false;
}

void server_failed(struct server_local *server)
{
    const struct upstream *conf = server->upstream->conf;

    if (conf->passive_fails == 0)
        return;
    /* One that comes back from being ejected has one try. */
    if (++server->fails < (unsigned)conf->passive_fails && !server->trial)
        return;
    server->fails = 0;
    server->trial = true;
    server->ejected_until_ms =
        now_ms(server) + ((uint64_t)conf->passive_for.ms << server->ejections);
    if (server->ejections < EJECTIONS_MAX)
        server->ejections++;
}

/* ---- connections ---- */

static struct server_conn *conn_new(struct server_local *server)
{
    struct upstream_local *upstream = server->upstream;
    struct server_conn *conn = upstream->free_conns;

    if (conn != NULL)
        upstream->free_conns = conn->next;
    else if ((conn = malloc(sizeof *conn)) == NULL)
        return NULL;
    memset(conn, 0, sizeof *conn);
    conn->server = server;
    conn->epoch = server->epoch;
    conn->channel.watch.fd = -1;
    return conn;
}

static void conn_free(struct server_conn *conn)
{
    struct upstream_local *upstream = conn->server->upstream;

    timer_remove(&upstream->worker->loop, &conn->timer);
    channel_close(&conn->channel);
    conn->next = upstream->free_conns;
    upstream->free_conns = conn;
}

static void unlink_idle(struct server_conn *conn)
{
    struct server_local *server = conn->server;

    *(conn->prev != NULL ? &conn->prev->next : &server->idle) = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    conn->prev = conn->next = NULL;
    server->idle_count--;
}

static void drop_idle(struct server_conn *conn)
{
    unlink_idle(conn);
    conn_free(conn);
}

/* Whatever an idle connection says (an end, or bytes that nobody asked for), it is not used
 * again. */
static void idle_event(struct channel *channel)
{
    drop_idle(CONTAINER(channel, struct server_conn, channel));
}

static void idle_late(struct timer *timer)
{
    drop_idle(CONTAINER(timer, struct server_conn, timer));
}

static const struct channel_events idle_events = {
    .readable = idle_event,
    .drained = idle_event,
    .broken = idle_event,
};

struct server_conn *pool_take(struct server_local *server, struct exchange *exchange)
{
    struct loop *loop = &server->upstream->worker->loop;

    /* One that has something to say says what nobody asked for: it would be taken for the
     * answer. */
    while (server->idle != NULL && loop_pending(loop, &server->idle->channel.watch))
        drop_idle(server->idle);
    struct server_conn *conn = server->idle;
    if (conn == NULL)
        return NULL;
    unlink_idle(conn);
    timer_clear(&conn->timer);
    conn->exchange = exchange;
    server->active++;
    return conn;
}

struct server_conn *pool_connect(struct server_local *server, struct exchange *exchange,
                                 const struct channel_events *events)
{
    const struct upstream *upstream = server->upstream->conf;
    const struct upstream_server *conf = server->conf;
    struct server_conn *conn = conn_new(server);

    if (conn == NULL)
        return NULL;
    struct tls *tls = NULL;
    if (upstream->tls != NULL) {
        struct span name = upstream->tls_name.len > 0 ? upstream->tls_name : conf->url.host;
        tls = tls_connect(upstream->tls, name);
        if (tls == NULL) {
            conn_free(conn);
            return NULL;
        }
    }
    const struct addr *addr = conf->discovery != NULL
                                  ? &server->found.addr
                                  : &conf->addrs[server->next_addr++ % conf->addr_count];
    if (channel_connect(&conn->channel, server->upstream->worker, addr, conf->url.path, tls,
                        events) != OK) {
        conn_free(conn);
        return NULL;
    }
    conn->exchange = exchange;
    server->active++;
    return conn;
}

void pool_keep(struct server_conn *conn)
{
    struct server_local *server = conn->server;
    struct worker *worker = server->upstream->worker;

    channel_flush(&conn->channel); /* its answer may have come before the request's end went */
    if (worker->draining || conn->channel.failed || conn->channel.eof ||
        conn->channel.unsent > 0 || conn->epoch != server->epoch ||
        server->idle_count >= (size_t)server->upstream->conf->keepalive) {
        pool_close(conn);
        return;
    }
    server->active--;
    exchanges_wake(server->upstream);
    conn->exchange = NULL;
    conn->channel.slabs = &worker->slabs;
    conn->channel.events = &idle_events;
    conn->timer.fire = idle_late;
    timer_set(&worker->loop, &conn->timer, (uint64_t)conn->server->upstream->conf->kept.ms);
    channel_reading(&conn->channel, true);
    conn->prev = NULL;
    conn->next = server->idle;
    if (conn->next != NULL)
        conn->next->prev = conn;
    server->idle = conn;
    server->idle_count++;
}

void pool_close(struct server_conn *conn)
{
    conn->server->active--;
    exchanges_wake(conn->server->upstream);
    conn_free(conn);
}

void server_local_init(struct server_local *server, const struct upstream_server *conf,
                       struct upstream_local *upstream)
{
    *server = (struct server_local){ .conf = conf,
                                     .upstream = upstream,
                                     .vacant = conf->discovery != NULL };
}

void server_leave(struct server_local *server)
{
    while (server->idle != NULL)
        drop_idle(server->idle);
    server->epoch++;
    server->vacant = true;
    server->fails = server->ejections = 0;
    server->ejected_until_ms = 0;
    server->trial = false;
    server->current_weight = 0;
}

enum err upstream_attach(struct upstream_local *local, struct worker *worker,
                         const struct upstream *upstream)
{
    *local = (struct upstream_local){ .conf = upstream,
                                      .worker = worker,
                                      .retry_credit = RETRY_CREDIT_MAX };
    local->servers = calloc(upstream->server_count + 1, sizeof *local->servers);
    if (local->servers == NULL)
        return ERR_MEMORY;
    for (size_t n = 0; n < upstream->server_count; n++)
        server_local_init(&local->servers[n], &upstream->servers[n], local);
    balance_attach(local);
    return OK;
}

static void drop_kept(struct upstream_local *local)
{
    for (size_t n = 0; n < local->conf->server_count; n++) {
        while (local->servers[n].idle != NULL)
            drop_idle(local->servers[n].idle);
    }
}

void upstream_detach(struct upstream_local *local)
{
    task_cancel(&local->wake);
    drop_kept(local);
    while (local->free_conns != NULL) {
        struct server_conn *conn = local->free_conns;
        local->free_conns = conn->next;
        free(conn);
    }
    free(local->servers);
    local->servers = NULL;
}

enum err upstreams_attach(struct worker *worker, const struct upstream *upstreams, size_t count)
{
    worker->upstreams = calloc(count + 1, sizeof *worker->upstreams);
    if (worker->upstreams == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        TRY(upstream_attach(&worker->upstreams[i], worker, &upstreams[i]));
    return OK;
}

void upstreams_drain(struct worker *worker)
{
    for (size_t i = 0; i < worker->config->upstream_count; i++)
        drop_kept(&worker->upstreams[i]);
}
