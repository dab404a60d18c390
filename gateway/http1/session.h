/*
 * One client connection speaking HTTP/1: heads, bodies, keep-alive, pipelining, deadlines. The
 * first implementation of struct stream. A connection owns a slab only while a message is
 * incomplete.
 */
#ifndef SALLYPORT_SESSION_H
#define SALLYPORT_SESSION_H

#include "gateway/http/stream.h"
#include "gateway/net/handover.h"
#include "gateway/net/listener.h"

/* Limits and wiring, one per worker; lives as long as it. Times in milliseconds; rates in bytes
 * a second. */
struct session_host {
    const struct stream_events *events;
    struct peer_cap *cap;
    struct handover *http2; /* NULL: not spoken */
    /* Told of each connection that is not let in, or fails in its handshake. */
    void (*fault)(struct worker *worker, const struct connection_fault *fault);
    const struct cidrs
        *trusted; /* proxies: may send a PROXY head, and have no cap of their own */
    size_t head_bytes, uri_bytes;
    unsigned fields;
    uint64_t tls_ms, head_ms, body_ms, send_ms, idle_ms;
    uint64_t body_min_rate;
    size_t arena_ceiling;  /* of one transaction */
    bool preserve_encoded; /* some route keeps encoded slashes: see uri.h */
    size_t
        connections; /* per worker; over it the oldest idle one is closed, else the new one */
    /* What a plain connection is taken for; NULL, but where a request is explained. */
    const struct tls_info *pretended_tls;
};

/* Takes `fd` in any case. `tls` NULL: plain. */
void session_accept(struct worker *worker, const struct session_host *host, int fd,
                    const struct addr *peer, struct tls_server *tls, bool proxy_protocol);
/* Idle connections are closed, the others after their answer. */
void sessions_drain(struct worker *worker);
/* Cuts whatever is left. */
void sessions_cut(struct worker *worker);
/* The head being worked on, for the crash handler; empty when none. */
struct span session_current_head(const struct worker *worker);

#endif
