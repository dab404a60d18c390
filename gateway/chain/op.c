/* Operations in flight: the two ends, and how they come apart. See op.h for the rules. */
#include "gateway/chain/op.h"

#include "gateway/chain/txn.h"
#include "gateway/net/worker.h"

void op_init(struct op *op)
{
    *op = (struct op){ .error = OK };
}

static void op_release(struct op *op)
{
    if (op->release != NULL)
        op->release(op);
}

struct arena *op_arena(struct op *op)
{
    if (op->waiter == NULL)
        return NULL;
    return CONTAINER(op->waiter, struct txn, await)->arena;
}

void op_finish(struct op *op, struct worker *worker, enum err error, const void *value)
{
    INVARIANT(!op->finished);
    op->finished = true;
    op->error = error;
    op->value = value;
    if (op->abandoned)
        op_release(op); /* too late: nobody is there to know */
    else if (op->waiter != NULL)
        loop_post(&worker->loop, &op->waiter->wake);
}

void await_cut(struct await *await)
{
    struct op *op = await->op;
    await->op = NULL;
    await->resume = NULL;
    task_cancel(&await->wake);
    if (op == NULL)
        return;
    op->waiter = NULL;
    if (op->finished) {
        op_release(op);
        return;
    }
    op->abandoned = true;
    if (op->abandon != NULL)
        op->abandon(op);
}
