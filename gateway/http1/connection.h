/*
 * The inside of a session, shared by its two halves: session.c (input, deadlines, life) and
 * answer.c (what the flow sends).
 */
#ifndef SALLYPORT_HTTP1_CONNECTION_H
#define SALLYPORT_HTTP1_CONNECTION_H

#include "gateway/http/head.h"
#include "gateway/http1/session.h"
#include "gateway/net/proxyproto.h"
#include "gateway/net/share.h"
#include "gateway/net/stash.h"

enum { HALF_CLOSED_MS = 5000, DRAIN_HEAD_MS = 1000 };
enum { LINGER_MS = 2000, LINGER_BYTES = 256 * 1024, RESPONSE_HEAD_MAX = 48 * 1024 };

enum session_state {
    SESSION_PROXY,  /* a PROXY head is due */
    SESSION_HEAD,   /* between requests, or a head is incomplete */
    SESSION_BODY,   /* the request's body is not complete */
    SESSION_ANSWER, /* nothing more is read for this request */
    SESSION_TUNNEL,
    SESSION_HANDOVER, /* HTTP/2 it is */
    SESSION_LINGER,   /* answered; input is thrown away until the client has seen the answer */
};

struct session {
    struct channel channel;
    struct timer timer;
    struct task task; /* settles what operations have caused */
    struct session *prev, *next;
    struct session *idle_prev, *idle_next;
    const struct session_host *host;
    struct addr peer;
    struct addr counted; /* by the cap on connections; no address: nobody's */
    enum session_state state;
    struct head_scan scan;
    struct stash stash; /* input that nobody has taken */
    struct stream *stream;
    struct body_reader body;
    struct tls_server *tls; /* until its first byte: who only connects costs no TLS session */
    uint64_t mark, mark_ms; /* deadlines of progress: wire bytes and time at the last look */
    bool idle;              /* in the worker's idle list */
    bool greeted;           /* TLS: the handshake is over */
    bool head_begun;        /* a byte of the head has come */
    bool used;              /* a head has been read */
    bool handed_over;
    bool body_wanted;
    bool continue_due;
    bool keep_alive;
    bool half_closed; /* the client has ended its direction */
    bool chunked;     /* of the answer */
    bool ended, cut;  /* the flow has said so */
};

extern const struct stream_ops http1_stream_ops;

/* input.c. `input` is in the worker's scratch; what the state does not take is stashed. */
void session_consume(struct session *s, struct span input);
void session_consume_stash(struct session *s);
/* Whether what is stashed, or what comes next, can be used now. */
bool session_can_take(const struct session *s);
bool session_chose_http2(const struct session *s); /* by ALPN */
/* A transaction's memory; NULL when there is none. */
struct stream *session_stream_begin(struct session *s);
void session_stream_release(struct stream *stream);
/* The body cannot be completed: told once, nothing more of it comes. */
void session_body_failed(struct session *s, enum http_error error);
void session_idle_leave(struct session *s);

static inline struct session *session_of(const struct stream *stream)
{
    return stream->connection;
}

#endif
