/*
 * Answers of the gateway's own: refusals, challenges, fixed answers, failures of upstream.
 */
#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "gateway/flow_compress.h"
#include "gateway/flow_state.h"

/* How long an answer waits for its record to be written, where requests are not to wait for the
 * disk. */
enum { WRITE_WAIT_MS = 2000 };

static void send_local(struct flow *flow)
{
    struct stream *stream = flow->stream;
    bool bodyless = stream->req.method_id == METHOD_HEAD;
    struct wire_framing framing = { .body = BODY_LENGTH,
                                    .length = flow->answer_body.len,
                                    .keep_alive = !flow->last };

    flow->head_sent = true;
    stream->ops->send_head(stream, &flow->answer, framing);
    if (!bodyless)
        stream->ops->send_body(stream, flow->answer_body);
    stream->ops->send_end(stream, NULL);
}

static void record_written(struct commit_wait *wait, bool written)
{
    struct flow *flow = CONTAINER(wait, struct flow, commit);
    struct worker *worker = flow->txn.worker;

    worker->current = flow->stream;
    if (!written && flow->txn.config->audit.on_full == ON_FULL_FAIL_CLOSED) {
        flow->cut = "audit";
        flow->stream->ops->cut(flow->stream);
    } else {
        send_local(flow);
    }
    worker_flush(worker);
}

/* True when the answer goes out from record_written. */
static bool wait_for_record(struct flow *flow)
{
    const struct audit_conf *audit = &flow->txn.config->audit;
    struct commits *commits = flow->txn.worker->commits;

    if (audit->durability == DURABILITY_BUFFERED || commits == NULL)
        return false;
    flow->commit.done = record_written;
    commit_wait(commits, &flow->commit, audit->on_full == ON_FULL_BLOCK ? 0 : WRITE_WAIT_MS);
    return true;
}

/* The record is committed before the first byte: what was refused is on record even if we fall
 * now. */
static void local_head_done(struct txn *txn, struct verdict verdict)
{
    struct flow *flow = txn->flow;
    struct stream *stream = flow->stream;

    (void)verdict; /* a refusal is not itself refused: only the fields that stages add count
                      here */
    if (edits_apply(txn, EDIT_RESPONSE, &flow->answer.fields) != OK) {
        stream->ops->cut(stream);
        return;
    }
    flow->status = flow->answer.status;
    if (!flow_record(flow) || !wait_for_record(flow))
        send_local(flow);
}

void flow_answer(struct flow *flow, enum reason reason, const struct reply *reply)
{
    struct txn *txn = &flow->txn;
    struct stream *stream = flow->stream;

    if (flow->local)
        return;
    flow_decode_cut(flow);
    flow_compress_cut(flow);
    exchange_abort(&flow->exchange);
    txn_cancel_phase(&flow->txn);
    flow->local = true;
    flow->holding = flow->streaming = false;
    flow->gathering = flow->judging = flow->releasing = false;
    if (flow->edits_mark != NULL) { /* what was meant for upstream's answer is not for ours */
        *flow->edits_mark = NULL;
        txn->edits_tail = flow->edits_mark;
    }
    stream->ops->read_body(stream, false);
    if (flow->head_sent) {
        flow->cut = reason_row(reason)->slug;
        stream->ops->cut(stream);
        return;
    }
    if (reply != NULL && reply->cut) {
        flow->cut = reason_row(reason)->slug;
        flow_record(flow);
        stream->ops->cut(stream);
        return;
    }
    txn->rsp = &flow->answer;
    if (reply_render(txn, reason, reply, &flow->answer, &flow->answer_body) != OK) {
        flow->cut = "memory";
        stream->ops->cut(stream);
        return;
    }
    if (txn->route != NULL)
        chain_start(txn, PHASE_RESPONSE_HEAD, span_of(NULL, 0), local_head_done);
    else
        local_head_done(txn, pass());
}

void flow_refuse(struct flow *flow, enum reason reason)
{
    flow->txn.decided = ACTION_DENY;
    flow->txn.reason = reason;
    flow_answer(flow, reason, NULL);
}

void flow_refuse_with_status(struct flow *flow, enum reason reason, int status)
{
    struct reply *reply = reply_new(&flow->txn, status);

    flow->txn.decided = ACTION_DENY;
    flow->txn.reason = reason;
    flow_answer(flow, reason, reply);
}

bool flow_passed(struct flow *flow, struct verdict verdict)
{
    if (verdict.action == ACTION_PASS)
        return true;
    flow->txn.decided = verdict.action;
    flow->txn.reason = verdict.reason;
    flow_answer(flow, verdict.reason, verdict.reply);
    return false;
}
