/*
 * What the flow keeps of one transaction, in its arena. Private to flow.c and flow_record.c.
 */
#ifndef SALLYPORT_FLOW_STATE_H
#define SALLYPORT_FLOW_STATE_H

#include "gateway/chain/txn.h"
#include "gateway/held.h"
#include "gateway/http/stream.h"
#include "gateway/upstream/exchange.h"

struct flow {
    struct txn txn;
    struct stream *stream;
    struct exchange exchange;
    struct held held;
    struct response answer; /* a local one */
    struct span answer_body;
    enum http_error refused; /* by the parser */
    const char *cut;         /* why the answer was cut short */
    int status;              /* that the client got; 0: none */
    uint64_t forwarded_ns;   /* when the exchange began */
    uint64_t answered_ns;    /* when its head was there */
    bool holding;            /* the request's body is gathered */
    bool body_unseen;
    bool local;      /* answered here */
    bool streaming;  /* the request's body is being passed on */
    bool responding; /* a head is being decided on, or has been sent */
    bool head_sent, throttled, recorded, over;
};

/* One record, at most once per transaction; before the first byte of a local answer. */
void flow_record(struct flow *flow);

#endif
