/*
 * Bodies in content codings, of requests and of answers: these are taken off before any stage
 * looks, a slice in each turn of the loop. The other side gets the body as it came.
 */
#include "gateway/flow_state.h"
#include "gateway/http/decode.h"
#include "gateway/net/channel.h"

struct flow_decode {
    struct task turn;
    struct flow *flow;
    struct decode decode;
    flow_decoded_fn *done;
};

/* The flow may be gone behind this. */
static void decode_more(struct flow_decode *d)
{
    if (decode_run(&d->decode, DECODE_SLICE))
        d->done(d->flow, &d->decode);
    else
        loop_post(&d->flow->txn.worker->loop, &d->turn);
}

static void decode_turn(struct task *task)
{
    struct flow_decode *d = CONTAINER(task, struct flow_decode, turn);
    struct worker *worker = d->flow->txn.worker;

    worker->current = d->flow->stream;
    decode_more(d);
    worker_flush(worker);
}

void flow_decode_body(struct flow *flow, const struct flow_coded *coded, flow_decoded_fn *done)
{
    struct flow_decode *d = arena_new(flow->txn.arena, struct flow_decode);
    struct worker *worker = flow->txn.worker;
    struct decode_limits limits = { .bytes = (size_t)coded->limit,
                                    .ratio = DECODE_RATIO,
                                    .held = &worker->held_bytes,
                                    .held_max = coded->held->worker_max,
                                    .share = held_share_count(coded->held),
                                    /* A body as it came and as it is read, at least. */
                                    .share_max =
                                        held_share_max(coded->held) + coded->held->limit };
    struct codings codings;

    enum decode_error error = codings_of(&codings, coded->fields);
    if (d == NULL || error != DECODE_OK) {
        done(flow, &(struct decode){ .error = d == NULL ? DECODE_MEMORY : error });
        return;
    }
    d->turn.run = decode_turn;
    d->flow = flow;
    d->done = done;
    decode_begin(&d->decode, &codings, held_span(coded->held), &limits, flow->txn.arena);
    flow->decoding = d;
    decode_more(d);
}

void flow_decode_cut(struct flow *flow)
{
    if (flow->decoding != NULL)
        task_cancel(&flow->decoding->turn);
}
