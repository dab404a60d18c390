/* Faults on demand; see fault.h. */
#include "gateway/chain/fault.h"

#ifdef SALLYPORT_FAULTS

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/chain/chain.h"
#include "gateway/net/worker.h"

enum { LATE_BY_MS = 100 };

/* An operation of nobody's: it takes a slab, so that it may outlive the transaction. */
struct fault_op {
    struct op op;
    struct worker *worker;
    struct timer timer;
};

static void give_back(struct op *op)
{
    struct fault_op *fault = CONTAINER(op, struct fault_op, op);
    slab_put(&fault->worker->slabs, fault);
}

static void answer_late(struct timer *timer)
{
    struct fault_op *fault = CONTAINER(timer, struct fault_op, timer);
    op_finish(&fault->op, fault->worker, OK, NULL);
}

static struct verdict never(struct call *c)
{
    (void)c;
    return fail(REASON_STAGE_FAILED); /* an answer that came is a failure of the test */
}

static struct verdict wait_in_vain(struct call *c, const struct stage_instance *stage,
                                   bool late)
{
    struct worker *worker = c->txn->worker;
    struct fault_op *fault = slab_get(&worker->slabs);
    if (fault == NULL)
        return fail(REASON_MEMORY);
    *fault = (struct fault_op){ .worker = worker, .timer.fire = answer_late };
    op_init(&fault->op);
    fault->op.release = give_back;
    if (late)
        timer_set(&worker->loop, &fault->timer,
                  (uint64_t)stage->common->deadline.ms + LATE_BY_MS);
    else
        fault->op.abandon = give_back;
    return wait_for(c, &fault->op, never);
}

/* The value of `key` in "key=value;key=value". */
static struct span part(struct span text, struct span key)
{
    struct span item, name;
    while (span_cut(&text, ';', &item))
        if (span_cut(&item, '=', &name) && span_equal(span_trim(name), key))
            return span_trim(item);
    return span_of(NULL, 0);
}

bool fault_inject(struct call *c, const struct stage_instance *stage, enum phase phase,
                  struct verdict *said)
{
    const struct field *field = fields_find(&c->req->fields, SPAN("x-sallyport-fault"));
    if (field == NULL ||
        !span_equal(part(field->value, SPAN("stage")), span_text(stage->type->name)) ||
        !span_equal(part(field->value, SPAN("phase")), span_text(phase_name(phase))))
        return false;

    struct span kind = part(field->value, SPAN("kind"));
    bool late = span_equal(kind, SPAN("late"));
    if (span_equal(kind, SPAN("kill"))) {
        (void)kill(getpid(), SIGKILL);
        _exit(128 + SIGKILL); /* where the sandbox forbids signals */
    }
    if (span_equal(kind, SPAN("abort")))
        abort();
    if (late || span_equal(kind, SPAN("deadline")))
        *said = wait_in_vain(c, stage, late);
    else
        *said = fail(REASON_STAGE_FAILED);
    return true;
}

#endif
