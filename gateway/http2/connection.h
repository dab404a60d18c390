/*
 * The inside of a session, shared by session.c (life, deadlines), input.c (what arrives),
 * answer.c (what the flow sends) and stream.c (memory of streams).
 */
#ifndef SALLYPORT_HTTP2_CONNECTION_H
#define SALLYPORT_HTTP2_CONNECTION_H

#include <nghttp2/nghttp2.h>

#include "gateway/http2/fields.h"
#include "gateway/http2/frames.h"
#include "gateway/http2/pile.h"
#include "gateway/http2/session.h"
#include "gateway/net/share.h"

enum {
    /* Flow control: small until a body is really read, so that streams that wait cost little.
     */
    STREAM_WINDOW = 64 * 1024 - 1,
    STREAM_WINDOW_READ = 256 * 1024,
    SESSION_WINDOW = 4 * 1024 * 1024,
    H2_UNSENT_MAX = 64 * 1024, /* in the channel, besides what is corked; above it nothing is
                                  framed or read */
    FIELDS_BOMB = 16,          /* so many times the limit of a head, unpacked: an attack */
    H2_LINGER_MS = 500,
    H2_LINGER_BYTES = 256 * 1024,
    H2_DRAIN_MS = 500, /* for requests that were sent before GOAWAY was seen */
    RESETS_REMEMBERED = 64,
    /* Of one connection in one turn, while others have work: */
    H2_READ_SHORT = 4096, /* bytes, unless they are mostly of bodies */
    H2_BEGINS_SHORT = 2,  /* requests */
    H2_ENDS_SHORT = 4,    /* streams of a connection that is over */
    TICK_MIN_MS = 20,
    TICK_MAX_MS = 1000,
};

enum h2_state {
    H2_OPEN,
    H2_CLOSING, /* GOAWAY is out; input is thrown away until the client has seen it */
};

struct h2_session {
    struct channel channel;
    struct timer timer;
    struct task task; /* settles what events and operations have caused */
    struct h2_session *prev, *next;
    struct h2_session *idle_prev, *idle_next;
    struct h2_host *host;
    struct addr peer, counted;  /* by the cap on connections; no address: nobody's */
    struct client_share *share; /* NULL: it has none */
    nghttp2_session *ng;
    struct frames frames;
    struct h2_stream *streams; /* all, linked */
    unsigned stream_count;
    struct h2_stream *work_first, *work_last;
    struct h2_stream *block; /* whose field section is arriving; NULL: nobody's */
    size_t section_bytes;    /* of that, unpacked */
    size_t pending;          /* unsent answers of all streams */
    enum h2_state state;
    enum flood flood; /* FLOOD_COUNT: none */
    bool idle;        /* in the host's idle list */
    bool ticking;     /* what the timer is set for */
    bool greeted;     /* the client's SETTINGS have come */
    bool draining, last_called;
    bool bulky;             /* what came last was mostly of bodies */
    bool broken_rules;      /* nghttp2 ended it with an error */
    bool leaving;           /* the flow wants the connection to end with its answer */
    uint64_t mark, mark_ms; /* progress of the channel; 0: not watched */
    uint64_t begun_ms, drain_ms;
    int32_t newest;                    /* the highest stream so far */
    uint64_t recent;                   /* bit i: stream `newest` - 2 i was opened */
    int32_t resets[RESETS_REMEMBERED]; /* streams that we reset: a ring */
    unsigned reset_count;
    uint32_t error; /* of the connection, found by us; 0: none */
};

struct h2_stream {
    struct stream *stream;
    struct h2_session *session;
    struct h2_stream *prev, *next, *next_work;
    int32_t id;
    struct h2_section section;
    struct pile in, out;
    uint64_t received;             /* of the body */
    enum http_error failed;        /* the body ends with it; HTTP_OK: not so far */
    const struct fields *trailers; /* of the answer */
    uint64_t in_mark, in_mark_ms;
    uint64_t out_sent, out_mark, out_mark_ms;
    uint32_t close_code;
    bool queued;     /* in the work list */
    bool head_done;  /* the head is read: to be begun */
    bool begun;      /* the flow knows it */
    bool wanted;     /* the flow wants the body */
    bool body_whole; /* END_STREAM has come */
    bool continue_due;
    bool malformed; /* RFC 9113 section 8.1.1: PROTOCOL_ERROR after the answer */
    bool connect;   /* a WebSocket is asked for */
    bool wide;      /* its window was opened */
    bool submitted, bodyless, ended, deferred;
    bool finished; /* all of the answer is framed */
    bool drained_due;
    bool ours;   /* we reset it of our own accord */
    bool slow;   /* the client took too little */
    bool closed; /* nghttp2 knows it no more */
};

extern const struct stream_ops h2_stream_ops;

static inline struct h2_stream *h2_stream_of(const struct stream *stream)
{
    return stream->connection;
}

static inline uint64_t h2_now_us(const struct h2_session *s)
{
    return s->channel.worker->loop.clock.mono_ns / 1000;
}

/* stream.c */
struct h2_stream *h2_stream_open(struct h2_session *s, int32_t id); /* NULL: no memory */
void h2_stream_release(struct h2_stream *h);
/* Something is to be told to it, outside the caller's stack. */
void h2_stream_queue(struct h2_stream *h);
/* Tells the flow of a connection that broke the rules: there is no request to answer. */
void h2_session_confess(struct h2_session *s, enum http_error error);

/* input.c */
void h2_input_callbacks(nghttp2_session_callbacks *callbacks);
/* What the stream has got and the flow wants. */
void h2_deliver(struct h2_stream *h);
/* The head is read: the flow learns of it. */
void h2_begin(struct h2_stream *h);

/* answer.c */
void h2_output_callbacks(nghttp2_session_callbacks *callbacks);
/* Frames what is there, as long as the channel takes it. */
void h2_pump(struct h2_session *s);
void h2_reset(struct h2_stream *h, uint32_t code);

/* progress.c. What is framed must be taken from the socket; false: it is not. */
MUST_USE bool h2_is_read(struct h2_session *s, uint64_t now);
bool h2_head_is_late(const struct h2_session *s);
void h2_look_at_streams(struct h2_session *s, uint64_t now);

/* session.c: a flood was met inside a callback. Answers what the callback is to answer. */
int h2_flooded(struct h2_session *s, enum flood flood);

#endif
