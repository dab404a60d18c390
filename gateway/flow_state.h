/*
 * What the flow keeps of one transaction, in its arena. Private to flow*.c.
 */
#ifndef SALLYPORT_FLOW_STATE_H
#define SALLYPORT_FLOW_STATE_H

#include "gateway/audit/commit.h"
#include "gateway/chain/txn.h"
#include "gateway/held.h"
#include "gateway/http/stream.h"
#include "gateway/upstream/exchange.h"

struct flow {
    struct txn txn;
    struct stream *stream;
    struct exchange exchange;
    struct held held;         /* the request's body */
    struct held answer_held;  /* upstream's */
    size_t answer_sent;       /* of that */
    struct span answer_rest;  /* came when there was no more room; behind it, and copied */
    struct edit **edits_mark; /* edits from here on are for upstream's answer */
    struct response answer;   /* a local one */
    struct span answer_body;
    enum http_error refused;        /* by the parser */
    const char *cut;                /* why the answer was cut short */
    int status;                     /* that the client got; 0: none */
    uint64_t forwarded_ns;          /* when the exchange began */
    uint64_t answered_ns;           /* when its head was there */
    struct flow_decode *decoding;   /* its content codings are, or were, taken off; or NULL */
    struct flow_compress *compress; /* its answer is put in a coding; NULL: it is not */
    struct flow_passed {            /* as it stood when the request went on */
        unsigned findings, trail;
        bool detected;
    } passed;
    bool bodyless; /* as it began: no body, or an empty one */
    bool holding;  /* the request's body is gathered */
    bool body_unseen;
    bool gathering;       /* upstream's body is held */
    bool judging;         /* stages look at it, and may wait */
    bool releasing;       /* what was held goes to the client, as fast as that takes it */
    bool upstream_ended;  /* before its answer went out whole */
    bool answer_overran;  /* there was no room to hold it */
    bool answer_coded;    /* what is held is in content codings */
    bool response_unseen; /* as body_unseen, of what stages wanted to see of the answer */
    bool local;           /* answered here */
    bool streaming;       /* the request's body is being passed on */
    bool last;            /* the connection ends with this answer */
    bool head_sent, throttled, recorded;
    struct commit_wait commit; /* for the record to be written, or to be admitted at all */
};

/*
 * flow_answer.c. The one way to every answer of our own; the exchange is given up, a phase that
 * waits is cut. When a head has been sent already, the client is made to see a cut.
 */
void flow_answer(struct flow *flow, enum reason reason, const struct reply *reply);
/* The gateway's own refusals, which no stage makes: they stand in the record as decisions, too.
 */
void flow_refuse(struct flow *flow, enum reason reason);
void flow_refuse_with_status(struct flow *flow, enum reason reason, int status);
/* True when the chain let it through; otherwise it has been answered. */
bool flow_passed(struct flow *flow, struct verdict verdict);

/* flow.c. The step behind the body. */
void flow_forward(struct flow *flow);

/* flow_body.c. The step, and its events. */
void flow_read_body(struct flow *flow);
void flow_body(struct stream *stream, struct span bytes);
void flow_body_end(struct stream *stream);
void flow_body_error(struct stream *stream, enum http_error error);

/* flow_respond.c. What becomes of upstream's answer. */
extern const struct exchange_events flow_forward_events;
void flow_drained(struct stream *stream);
/* Answers that will be inspected come whole, and in codings that can be taken off. */
MUST_USE enum err flow_ask_readable(struct flow *flow);

/* flow_decode.c. Output for each byte of a coded body, and of output in one turn. */
enum { DECODE_RATIO = 100, DECODE_SLICE = 128 * 1024 };
struct decode;
typedef void flow_decoded_fn(struct flow *flow, const struct decode *decode);
/* A held body, whole, with the fields of its message. */
struct flow_coded {
    const struct fields *fields;
    const struct held *held;
    uint64_t limit; /* bytes of output */
};
void flow_decode_body(struct flow *flow, const struct flow_coded *coded, flow_decoded_fn *done);
void flow_decode_cut(struct flow *flow);

/* flow_capture.c. The whole of it, sealed, where audit.capture asks for it; what was decided,
 * and the facts it rested on. True when it is in the ring. */
bool flow_capture(struct flow *flow);
/* flow_record.c. Whether `audit.record`, or another list of such words, means this one. */
bool flow_is_among(const struct flow *flow, uint32_t bits);
const char *flow_action(const struct flow *flow);

/* One record, at most once per transaction; before the first byte of a local answer. True when
 * it is in the ring. */
bool flow_record(struct flow *flow);

#endif
