/*
 * What the tests of the data plane share: a worker with its loop, real sockets on both sides.
 * Clients reach sessions over loopback (a socket pair for the fuzzer); upstream is a listener
 * on a Unix socket that the test itself answers on. Nothing here needs cmocka: what cannot be
 * set up ends the process.
 */
#ifndef SALLYPORT_TESTS_PLANE_H
#define SALLYPORT_TESTS_PLANE_H

#include "gateway/chain/config.h"
#include "gateway/http1/session.h"
#include "gateway/net/listener.h"
#include "gateway/net/worker.h"
#include "gateway/store/slots.h"
#include "gateway/upstream/pool.h"

enum { PLANE_SERVERS = 3, PLANE_HEARD = 16 << 20, PLANE_IDLE_TURNS = 6 };

struct plane {
    struct worker worker;
    struct worker_shared shared;
    struct config config;
    struct site site;
    struct route route;
    struct upstream upstream;
    struct upstream_server servers[PLANE_SERVERS];
    struct session_host host;
    struct cidrs trusted;
    char folder[32];
    char paths[PLANE_SERVERS][64];
    int listeners[PLANE_SERVERS]; /* -1: nobody listens there */
    uint64_t refused;
    struct connection_fault fault; /* the last one */
    unsigned faults;
    const char *peer; /* whom the next client seems to be; NULL: 192.0.2.7 */
};

/* One site, one route to one server, generous limits. Change them before the first client. */
void plane_open(struct plane *plane, const struct stream_events *events);
/* Cuts whatever is left, and checks that nothing was lost: streams, slabs, timers, tasks. */
void plane_close(struct plane *plane);
/* Servers 0 to `count` - 1 are configured; those whose bit is in `deaf` refuse connections. */
void plane_servers(struct plane *plane, unsigned count, unsigned deaf);

void plane_turns(struct plane *plane, unsigned turns);
/* Real time: the loop turns for so long. */
void plane_sleep(struct plane *plane, unsigned ms);
/* The same; answers how often the loop woke up: a loop that spins does so without end. */
unsigned plane_busy(struct plane *plane, unsigned ms);

/* The far ends: non-blocking descriptors. */
int plane_client(struct plane *plane); /* TCP, its session accepted */
int plane_client_pair(struct plane *plane);
int plane_client_with(struct plane *plane, struct tls_server *tls, bool proxy_protocol);
int plane_accept(struct plane *plane, unsigned server); /* -1: nobody has connected */
/* Connected TCP sockets, both non-blocking. */
void plane_tcp(int ends[2]);

/* Writes all, turning the loop while the socket is full. False: it broke. */
bool plane_say(struct plane *plane, int fd, struct span bytes);
/*
 * All that arrives until nothing more does, in a buffer of the plane's that the next call
 * overwrites; `*over` (may be NULL) tells how the stream stands.
 */
enum plane_over { PLANE_OPEN, PLANE_ENDED, PLANE_RESET };
struct span plane_hear(struct plane *plane, int fd, enum plane_over *over);
/* The same, until `bytes` are there, the stream is over or `ms` have passed. */
struct span plane_hear_for(struct plane *plane, int fd, size_t bytes, unsigned ms,
                           enum plane_over *over);
void plane_hang_up(int *fd);      /* in order */
void plane_reset(int *fd);        /* with RST */
void plane_small_buffers(int fd); /* so that back-pressure comes soon */

bool span_has(struct span s, const char *text);
/* How often it stands there. */
unsigned span_count(struct span s, const char *text);

#endif
