/*
 * What everything in one worker shares: the loop, the scratch buffers that are always hot, the
 * pools. One per process, single-threaded. Layers above hang their own state on the pointers at
 * the end.
 */
#ifndef SALLYPORT_WORKER_H
#define SALLYPORT_WORKER_H

#include "gateway/base/siphash.h"
#include "gateway/base/slab.h"
#include "gateway/base/uuid.h"
#include "gateway/net/loop.h"

enum {
    SCRATCH_BYTES = 128 * 1024, /* one read */
    CORK_BYTES = 128 * 1024,    /* what is gathered to be sent */
    CORKED_MAX = 64,            /* ... in so many pieces */
    CIPHER_BYTES = 64 * 1024,   /* one read of TLS records */
    CLIENT_SHARES = 4096,       /* rows; clients that meet in one share it */
};

struct channel;
struct encoder_pool;

/* What one channel is to send, in the cork. */
struct corked {
    struct channel *channel; /* NULL: it has gone */
    uint32_t from, to;
};

/* What one client has (gateway/net/share.h). */
struct client_share {
    struct slab_pool slabs;
    size_t held;          /* of held_bytes */
    size_t encoder_bytes; /* of encoder_bytes */
    size_t streams;       /* of HTTP/2 */
    uint64_t turn;        /* of the loop in which ... */
    uint64_t turn_ns;     /* ... so much time went to it */
    bool resting;         /* in that turn, for it took too much in the one before */
    uint64_t offender;    /* hash of the client whose offences ... */
    uint64_t calm_ms;     /* ... will be forgotten then */
};

/* What was not let in, in this second: its records have a rate. */
struct refusals {
    uint64_t began_ms;
    unsigned written;
    uint64_t suppressed;
    struct timer timer; /* tells of what was suppressed, when nothing else does */
};

struct worker {
    struct loop loop;
    struct slab_pool slabs; /* connections' incomplete input, unsent output, arenas */
    struct uuid_source uuids;
    unsigned index; /* of the shared slot: 0 to WORKERS_MAX - 1 */
    bool draining; /* accepts nothing more, closes idle connections, answers `Connection: close`
                    */

    char *scratch; /* SCRATCH_BYTES: valid within one event */
    char *cipher;  /* CIPHER_BYTES: records as received */
    char *cork;    /* CORK_BYTES */
    char *wire;    /* CORK_BYTES + room for record heads: records to send */
    char *record;  /* RECORD_BYTES_MAX (gateway/audit/ring.h): the record being written */
    size_t cork_len, wire_len;
    struct corked corked[CORKED_MAX]; /* in the order in which it was written */
    unsigned corked_count;
    uint64_t gathered_ns; /* when the turn began in which the first of these was written */
    uint64_t flushed_ns;  /* when all was sent last because it had waited for long */

    struct refusals refusals;      /* gateway/connection_log.h */
    size_t connections, streams;   /* alive now */
    size_t held_bytes;             /* request and response bodies held for inspection */
    size_t encoder_bytes;          /* of answers being compressed */
    struct encoder_pool *encoders; /* gateway/http/encode.h; NULL: none are kept */
    struct siphash_key held_key;   /* random: nobody can choose whom to share a counter with */
    size_t share_slabs;            /* of one client; 0: no share */
    size_t share_streams;          /* of one client, over HTTP/2; 0: no share */
    const struct client_share *last_share; /* whose work was done last */
    uint64_t contended_ms;                 /* when work of another one was done after it */
    uint64_t barred_ms;                    /* until then somebody is */

    const struct config *config; /* gateway/chain/config.h */
    struct slots *slots;         /* gateway/store/slots.h: the whole, for queries of death */
    struct worker_shared
        *shared;              /* gateway/store/slots.h: this worker's slot in shared memory */
    struct ring_writer *ring; /* gateway/audit/ring.h; NULL when audit is off */
    struct commits *commits;  /* gateway/audit/commit.h; NULL: answers do not wait */
    struct repeats *flood;    /* gateway/audit/flood.h; NULL: every refusal is recorded */
    struct capturing *capturing;     /* gateway/audit/capture.h; NULL: nothing is captured */
    const struct replayed *replayed; /* gateway/chain/replayed.h; NULL: requests are live */
    struct worker_meters *meters;    /* gateway/chain/meter.h; NULL: nobody counts */
    struct snapshots *snapshots;     /* gateway/store/snapshot.h */
    const struct span *challenges;   /* gateway/net/challenge.h; NULL: nothing is ever proved */
    struct geo_reader *geo;          /* geoip/database.h; NULL: no databases */
    struct providers *providers;     /* auth/provider.h; NULL: nobody asks them */
    struct keyspace *keys;           /* gateway/store/keyspace.h; NULL: nothing is shared */
    struct ban_share *ban_share;     /* ratelimit/bans.h */
    struct exact *exact;             /* ratelimit/exact.h */
    bool limits_here;                /* ratelimit/limits.c: what they count in is in memory */
    struct hashpool *hashpool;       /* auth/hashpool.h */
    struct rules_crew *rules_crew;   /* rules/waf.c */
    struct session_share *session_share; /* auth/sessionshare.h; NULL: sessions stay here */
    void **locals;                       /* gateway/chain: per stage instance */
    /* What names stand for (gateway/upstream/discovery.h); another `*turn`: it is another
     * block. NULL: nothing is asked. */
    struct span (*found)(struct worker *worker, uint32_t *turn);
    struct upstream_local *upstreams; /* gateway/upstream: per upstream of the configuration */
    struct stream *current;           /* being worked on now: what a crash is blamed on */
    struct stream *free_streams;      /* pool */
    struct session *free_sessions;
    struct session *sessions;                  /* all alive, linked */
    struct session *idle_first, *idle_last;    /* those between requests, oldest first */
    struct client_share shares[CLIENT_SHARES]; /* last: it is large */
};

#endif
