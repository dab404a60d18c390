/*
 * Bodies in content codings: these are taken off before any stage looks, a slice in each turn
 * of the loop. Upstream gets the body as it came.
 */
#include "gateway/flow_state.h"
#include "gateway/http/decode.h"

struct flow_decode {
    struct task turn;
    struct flow *flow;
    struct decode decode;
    flow_decoded_fn *done;
};

static void decode_turn(struct task *task)
{
    struct flow_decode *d = CONTAINER(task, struct flow_decode, turn);

    if (!decode_run(&d->decode, DECODE_SLICE)) {
        loop_post(&d->flow->txn.worker->loop, task);
        return;
    }
    d->done(d->flow, &d->decode);
}

bool flow_can_decode(const struct flow *flow)
{
    struct codings codings;

    return codings_of(&codings, &flow->txn.req->fields) == DECODE_OK;
}

void flow_decode_body(struct flow *flow, flow_decoded_fn *done)
{
    struct flow_decode *d = arena_new(flow->txn.arena, struct flow_decode);
    struct worker *worker = flow->txn.worker;
    struct decode_limits limits = { .bytes = (size_t)flow->txn.route->body_limit,
                                    .ratio = DECODE_RATIO,
                                    .held = &worker->held_bytes,
                                    .held_max = flow->held.worker_max };
    struct codings codings;

    enum decode_error error = codings_of(&codings, &flow->txn.req->fields);
    if (d == NULL || error != DECODE_OK) {
        done(flow, &(struct decode){ .error = d == NULL ? DECODE_MEMORY : error });
        return;
    }
    d->turn.run = decode_turn;
    d->flow = flow;
    d->done = done;
    decode_begin(&d->decode, &codings, held_span(&flow->held), &limits, flow->txn.arena);
    flow->decoding = d;
    decode_turn(&d->turn);
}

void flow_decode_cut(struct flow *flow)
{
    if (flow->decoding != NULL)
        task_cancel(&flow->decoding->turn);
}
