/*
 * One connection of a worker to a Redis server: commands in, replies out, in order, on the
 * worker's loop. A command has a deadline of its own; a connection that misses several in a row
 * is not asked any more until it answers a PING again (a stopped server still accepts
 * connections, and its old ones hang). A lost connection is made anew, ever more slowly.
 *
 * Whoever asks gets exactly one answer: a reply, or the reason why there is none. What a late
 * reply says is dropped.
 */
#ifndef SALLYPORT_REDIS_H
#define SALLYPORT_REDIS_H

#include "gateway/base/addr.h"
#include "gateway/base/secret.h"
#include "gateway/net/worker.h"
#include "gateway/store/redis_reply.h"

struct tls_client;

enum {
    REDIS_PIPELINE_MAX = 1024, /* commands without an answer */
    REDIS_MISSES_MAX = 3,      /* deadlines in a row after which it counts as down */
    REDIS_PROBE_MS = 100,
    REDIS_CONNECT_MS = 1000, /* for connection, TLS and greeting together */
    REDIS_SILENCE_MS = 1000, /* down and no word: connect anew */
    REDIS_BACKOFF_MIN_MS = 20,
    REDIS_BACKOFF_MAX_MS = 250,
    REDIS_BEAT_MS = 1000, /* idle connections are probed, too */
    REDIS_ADDRESSES_MAX = 8,
};

/* At load; lives as long as the configuration. */
struct redis_server {
    struct addr addrs[REDIS_ADDRESSES_MAX];
    struct span names[REDIS_ADDRESSES_MAX]; /* that certificates are to have, with TLS */
    unsigned addr_count;                    /* 0: none is known before redis_point */
    bool sentinel;                          /* it is not the store, but knows where that is */
    bool check_role;                        /* only one that says it is a master is of use */
    struct span path;                       /* of a unix socket; empty: TCP */
    struct tls_client *tls;
    struct span tls_name; /* in place of all others */
    struct span user;
    const struct secret *password;
    int64_t database;
    uint64_t timeout_ms;
};

struct redis_call;
typedef void redis_done(struct redis_call *call, enum err err, const struct redis_value *value);

/* Embedded in what the caller waits with. */
struct redis_call {
    redis_done *done;
    uint64_t sent_ns; /* of the loop's clock */
};

struct redis;

/* NULL: out of memory, or no timer. Before the sandbox closes. `server` outlives it. */
struct redis *redis_new(struct worker *worker, const struct redis_server *server);
void redis_free(struct redis *redis);
/* Sent on every fresh connection before it counts as usable: a text as SCRIPT LOAD. */
void redis_keep_script(struct redis *redis, struct span script);
/* Starts to connect; from now on it stays connected as well as it can. */
void redis_start(struct redis *redis);

/* To this server from now on, and at once if it is another one than before. */
void redis_point(struct redis *redis, const struct addr *addr);
/* To none, until it is pointed again. */
void redis_rest(struct redis *redis);
/* Where it is, or would be, connected to. */
const struct addr *redis_addr(const struct redis *redis);

/* Connected, greeted, and not known to hang. */
bool redis_usable(const struct redis *redis);
/* How long it has not been usable, in ms; 0: it is. */
uint64_t redis_down_ms(const struct redis *redis);
/* When it was last usable again after it had not been; 0: it has been all the time. */
uint64_t redis_back_ns(const struct redis *redis);

/*
 * `done` is called from the loop, never from inside. ERR_CLOSED: not usable; ERR_BUSY: too many
 * commands wait; then `done` is not called.
 */
MUST_USE enum err redis_send(struct redis *redis, struct redis_call *call, unsigned argc,
                             const struct span *argv);
/* The same, but for that it may stay here until worker_flush, with what else goes there, and in
 * a worker until the loop sends what is gathered (channel.h). */
MUST_USE enum err redis_post(struct redis *redis, struct redis_call *call, unsigned argc,
                             const struct span *argv);
/* The server answered what makes it useless for now (LOADING, READONLY, BUSY, OOM). */
void redis_useless(struct redis *redis);

#endif
