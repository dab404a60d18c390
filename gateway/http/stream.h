/*
 * One request and its answer as the flow sees them, whatever the protocol: HTTP/1 is the first
 * implementation, HTTP/2 will be the second. The flow calls the operations; the protocol calls
 * the events. Events never nest inside an operation: what an operation causes is told from the
 * run queue.
 *
 * A stream owns the transaction's memory: the arena, the parsed request and the answer that is
 * sent.
 */
#ifndef SALLYPORT_STREAM_H
#define SALLYPORT_STREAM_H

#include "gateway/http/framing.h"
#include "gateway/http/write.h"

struct stream;
struct tls_info;

enum { STREAM_ARENA_BYTES = 8 * 1024 };

/* What became of the client. */
enum stream_end { STREAM_DONE, STREAM_GONE, STREAM_SLOW };

struct stream_ops {
    /* Body bytes are wanted (again), or not for now. It starts paused. Sends 100 Continue when
     * due. */
    void (*read_body)(struct stream *stream, bool on);
    /* Status and fields; framing says what body follows. At most once. */
    void (*send_head)(struct stream *stream, const struct response *rsp,
                      struct wire_framing framing);
    void (*send_body)(struct stream *stream, struct span bytes);
    /* The answer is complete. The stream ends itself once it is out: `ended` is called. */
    void (*send_end)(struct stream *stream, const struct fields *trailers);
    /* The answer cannot be completed: the client is made to see that (RST, or no last chunk).
     */
    void (*cut)(struct stream *stream);
    /* Bytes of the answer that the client has not taken yet. */
    size_t (*unsent)(const struct stream *stream);
    /* After a 101: from here on body events and send_body carry the tunnel's bytes. */
    void (*tunnel)(struct stream *stream);
};

/* What the flow answers to. */
struct stream_events {
    /* A head was read: stream->req is filled in. */
    void (*begin)(struct stream *stream);
    /* A head was refused: stream->req holds what was understood. */
    void (*refused)(struct stream *stream, enum http_error error);
    /* A head did not arrive in time. */
    void (*slow_head)(struct stream *stream);
    void (*body)(struct stream *stream, struct span bytes); /* the bytes are taken, whole */
    void (*body_end)(struct stream *stream);                /* req->trailers are filled in */
    void (*body_error)(struct stream *stream,
                       enum http_error error); /* malformed; nothing more comes */
    void (*drained)(struct stream *stream);    /* unsent fell to 0 */
    /* Over, however: the last event. The memory goes when it returns. */
    void (*ended)(struct stream *stream, enum stream_end end);
};

struct worker;

struct stream {
    const struct stream_ops *ops;
    const struct stream_events *events;
    struct worker *worker;
    struct stream *next_free;
    void *owner;      /* the flow's */
    void *connection; /* the protocol's */
    struct arena arena;
    struct span head; /* as received; in the arena */
    struct request req;
    struct addr peer;                /* of the socket, or told by PROXY */
    const struct tls_info *tls;      /* NULL: plain */
    bool body_ended;                 /* the request's body has been delivered whole */
    uint64_t body_bytes, sent_bytes; /* bodies */
    _Alignas(16) char first[STREAM_ARENA_BYTES];
};

#endif
