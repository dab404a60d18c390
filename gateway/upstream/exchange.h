/*
 * One HTTP exchange with an upstream: connect or take a kept connection, send head and body,
 * read the answer. Used by the flow to forward requests, and by fetch.h for what the gateway
 * itself asks of others.
 *
 * Events are told from the loop, never from inside a call. After `end` or `error` nothing more
 * is told, and the connection is kept or closed. A request that reached nobody is tried again
 * elsewhere (its connect failed, or its connection ended or spoke while all of the request was
 * still in the cork, and it is not streamed); one whose connection ended before a byte of the
 * answer is tried again only when its method is idempotent and its whole body is at hand. While
 * all servers have as many requests as they may, it waits in its upstream's queue.
 */
#ifndef SALLYPORT_EXCHANGE_H
#define SALLYPORT_EXCHANGE_H

#include "gateway/http/framing.h"
#include "gateway/http/head.h"
#include "gateway/http/write.h"
#include "gateway/net/stash.h"
#include "gateway/upstream/pool.h"

enum {
    UPSTREAM_HEAD_BYTES = 32 * 1024, /* over it: ERR_PROTOCOL */
    UPSTREAM_FIELDS = 200,
    UPSTREAM_INTERIM_MAX = 8, /* 1xx answers before the final one */
    REQUEST_HEAD_MAX = 48 * 1024,
};

struct exchange;

struct exchange_events {
    void (*head)(struct exchange *x); /* x->rsp is filled in */
    void (*body)(struct exchange *x, struct span bytes);
    void (*end)(struct exchange *x);                 /* trailers in x->rsp.trailers */
    void (*error)(struct exchange *x, enum err err); /* before or after `head` */
    void (*drained)(struct exchange *x); /* request body: all sent, more is welcome */
};

enum exchange_state {
    EXCHANGE_IDLE,
    EXCHANGE_QUEUED, /* all servers have enough to do */
    EXCHANGE_CONNECTING,
    EXCHANGE_WAITING, /* the answer's head is due; the request's body may still be on its way */
    EXCHANGE_BODY,
    EXCHANGE_TUNNEL,
    EXCHANGE_OVER,
};

struct exchange {
    const struct exchange_events *events;
    struct worker *worker;
    struct upstream_local *upstream;
    struct server_local *server; /* of the current or last try */
    struct span label;           /* its, as it was then */
    uint32_t epoch;              /* its, then */
    struct server_conn *conn;
    struct arena *arena; /* the answer's memory */
    const struct request *req;
    struct wire_framing framing; /* of the request */
    struct span body;            /* whole body at hand */
    size_t body_at;              /* sent so far */
    bool streamed;               /* the body comes by exchange_send instead */
    bool finished;               /* the request is complete */
    bool paused;
    bool reused;   /* on a kept connection */
    bool answered; /* a byte of the answer was seen */
    enum exchange_state state;
    struct response rsp;
    struct head_scan scan;
    struct body_reader reader;
    struct stash stash; /* half a head, or a body while paused */
    struct timer timer;
    struct task task;
    enum err failure;         /* told by the task */
    enum err last;            /* how the try before this one ended */
    const char *why;          /* what TLS said of the failure, constant text; NULL: nothing */
    uint64_t tried;           /* bits of servers */
    struct pick pick;         /* set before exchange_start, if at all */
    struct circuit_pass pass; /* the same */
    unsigned tries, interim;
    struct waiter waiter; /* while it is queued */
    uint64_t began_ms, mark;
    uint64_t sent_before; /* on the connection, when the request was written */
};

/* `x` is zeroed, lives in memory that outlives exchange_abort; req, body and arena as long as
 * x. */
void exchange_start(struct exchange *x, struct worker *worker, const struct upstream *upstream,
                    struct arena *arena, const struct request *req);
/* The same, with an upstream that is not one of the configuration's. */
void exchange_start_at(struct exchange *x, struct worker *worker,
                       struct upstream_local *upstream, struct arena *arena,
                       const struct request *req);
void exchange_send(struct exchange *x, struct span bytes); /* streamed bodies, and tunnels */
void exchange_finish(struct exchange *x, const struct fields *trailers);
/* No more `body` and `end` until resumed: back-pressure, or a stage that waits. */
void exchange_pause(struct exchange *x, bool paused);
/* A server of that upstream may take another request. */
void exchanges_wake(struct upstream_local *upstream);
size_t exchange_unsent(const struct exchange *x);
/* Idempotent; tells nothing. The connection is closed unless the exchange was over. */
void exchange_abort(struct exchange *x);

#endif
