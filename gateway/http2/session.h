/*
 * Client connections speaking HTTP/2 (RFC 9113), by nghttp2 over our channels: the second
 * implementation of struct stream. nghttp2 does framing, HPACK, flow control and the states of
 * streams; what a message says is read by fields.h, and what a connection may cost is counted
 * by frames.h.
 */
#ifndef SALLYPORT_HTTP2_SESSION_H
#define SALLYPORT_HTTP2_SESSION_H

#include "gateway/http/head.h"
#include "gateway/http/stream.h"
#include "gateway/http2/budget.h"
#include "gateway/net/handover.h"
#include "gateway/net/listener.h"

struct h2_session;

/* Limits and wiring, one per worker; lives as long as it. Times in milliseconds. */
struct h2_host {
    struct handover handover; /* set by h2_host_open */
    struct worker *worker;
    const struct stream_events *events;
    struct peer_cap *cap;
    const struct cidrs *trusted; /* these have no share; NULL: nobody */
    uint64_t *sessions_begun;    /* counters; the second one FLOOD_COUNT long */
    uint64_t *floods;
    /* Told of sessions of TLS that had to be ended. */
    void (*fault)(struct worker *worker, const struct connection_fault *fault);
    struct head_limits limits;
    uint64_t head_ms, body_ms, send_ms, idle_ms;
    uint64_t body_min_rate;
    size_t arena_ceiling;  /* of one transaction */
    unsigned streams;      /* of one connection at a time */
    size_t worker_streams; /* of the whole worker; over it REFUSED_STREAM */
    size_t answer_bytes;   /* unsent answers of one connection before upstreams are paused */

    struct nghttp2_session_callbacks *callbacks;
    struct nghttp2_option *option;
    struct h2_session *sessions;               /* all alive, linked */
    struct h2_session *idle_first, *idle_last; /* those without streams, oldest first */
};

MUST_USE enum err h2_host_open(struct h2_host *host);
void h2_host_close(struct h2_host *host); /* no session is left */
/* GOAWAY to all; streams in flight are finished. */
void h2_sessions_drain(struct h2_host *host);
/* Cuts whatever is left. */
void h2_sessions_cut(struct h2_host *host);

#endif
