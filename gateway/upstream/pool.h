/*
 * Connections to upstream servers in one worker: kept ones last in, first out (the hottest
 * first), and which servers are ejected for having failed. Nothing here is shared between
 * workers.
 */
#ifndef SALLYPORT_POOL_H
#define SALLYPORT_POOL_H

#include "gateway/upstream/balance.h"
#include "gateway/upstream/queue.h"

enum {
    SERVER_NAME_BYTES = 64,
    EJECTIONS_MAX = 10,
    SERVER_TOKEN_BYTES = 32,
    /* Each request earns one, a retry costs RETRY_COST: when a whole upstream is in trouble, it
     * gets a fifth more requests and not three times as many. */
    RETRY_COST = 5,
    RETRY_CREDIT_MAX = 500,
};

struct exchange;
struct server_local;

/* One connection. Idle ones stand in their server's stack; others belong to an exchange. */
struct server_conn {
    struct channel channel;
    struct timer timer; /* idle ones: when they are let go */
    struct server_local *server;
    uint32_t epoch;            /* of the server, when it was connected */
    struct exchange *exchange; /* NULL: idle */
    struct server_conn *prev, *next;
};

struct server_local {
    const struct upstream_server *conf;
    struct upstream_local *upstream;
    struct server_conn *idle; /* stack */
    unsigned idle_count, active, next_addr;
    int64_t current_weight; /* smooth weighted round-robin */
    unsigned fails, ejections;
    uint64_t ejected_until_ms; /* 0: never was */
    bool trial; /* was ejected, and has not answered since: one request at a time */
    char token[SERVER_TOKEN_BYTES]; /* in the sticky cookie */
    /* Servers that are found by name: */
    bool vacant;    /* nobody is in the slot */
    uint32_t epoch; /* grows with each server that comes or goes */
    struct found_server found;
    char name[SERVER_NAME_BYTES]; /* address and port */
    size_t name_len;
};

struct upstream_local {
    const struct upstream *conf;
    struct worker *worker;
    struct server_local *servers;
    struct server_conn *free_conns;
    uint64_t random;
    unsigned retry_credit;
    struct wait_queue queue; /* exchanges that wait for a server */
    struct task wake;        /* one may take another */
    uint32_t found_turn;     /* of what was found, when it was last looked at */
};

static inline bool server_is_found(const struct server_local *server)
{
    return server->conf->discovery != NULL;
}
static inline int64_t server_weight(const struct server_local *server)
{
    return server_is_found(server) ? server->found.weight : server->conf->weight;
}
static inline bool server_is_backup(const struct server_local *server)
{
    return server->conf->backup || (server_is_found(server) && server->found.backup != 0);
}
/* For records, hashes and cookies. */
static inline struct span server_label(const struct server_local *server)
{
    return server_is_found(server) ? span_of(server->name, server->name_len)
                                   : server->conf->label;
}

/* As configured; a slot is empty. */
void server_local_init(struct server_local *server, const struct upstream_server *conf,
                       struct upstream_local *upstream);

struct upstream_local *upstream_local(struct worker *worker, const struct upstream *upstream);

/* What a worker knows of an upstream; detached when nothing is under way there. */
MUST_USE enum err upstream_attach(struct upstream_local *local, struct worker *worker,
                                  const struct upstream *upstream);
void upstream_detach(struct upstream_local *local);

/* A kept connection, or NULL. It is the exchange's from here on. */
struct server_conn *pool_take(struct server_local *server, struct exchange *exchange);
/* A new one, connecting; its channel tells `drained` when it is ready. NULL: it failed at once.
 */
struct server_conn *pool_connect(struct server_local *server, struct exchange *exchange,
                                 const struct channel_events *events);
/* Gives it back after a clean exchange, or closes it. */
void pool_keep(struct server_conn *conn);
void pool_close(struct server_conn *conn);

/* Who is in the slot goes: kept connections at once, others when they are done. */
void server_leave(struct server_local *server);
/* With a head: it is no longer on trial. */
void server_answers(struct server_local *server);
void server_succeeded(struct server_local *server);
void server_failed(struct server_local *server);

#endif
