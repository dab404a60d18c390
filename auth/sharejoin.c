/* When all have answered, somebody may wait for it, or the transaction may be gone. */
#include "auth/sharejoin.h"

#include <stdlib.h>

#include "gateway/chain/txn.h"

static void join_free(struct share_join *join)
{
    join->next = join->pool->free;
    join->pool->free = join;
}

static void on_gone(void *context)
{
    struct share_join *join = context;
    join->gone = true;
    if (join->left == 0)
        join_free(join);
}

struct share_join *join_new(struct call *c, struct join_pool *pool)
{
    struct share_join *join = pool->free;
    if (join != NULL)
        pool->free = join->next;
    else
        join = malloc(sizeof(*join));
    if (join == NULL)
        return NULL;
    *join = (struct share_join){ .pool = pool, .worker = c->worker };
    op_init(&join->op);
    if (arena_defer(c->txn->arena, on_gone, join))
        return join;
    join_free(join);
    return NULL;
}

/* The worst of all: that the store is silent, or that there were too many, tells more than that
 * somebody came first. */
void join_note(struct share_join *join, enum err err)
{
    if (join != NULL && err != OK && (join->worst == OK || err != ERR_MISSING))
        join->worst = err;
}

void join_answered(struct share_join *join, enum err err)
{
    if (join == NULL)
        return;
    join_note(join, err);
    if (--join->left > 0)
        return;
    if (join->gone)
        join_free(join);
    else if (join->sealed)
        op_finish(&join->op, join->worker, join->worst, NULL);
}

struct verdict share_wait(struct call *c, struct share_join *join, stage_fn *then)
{
    INVARIANT(!join->sealed);
    join->sealed = true;
    if (join->left > 0)
        return wait_for(c, &join->op, then);
    c->error = join->worst;
    return then(c);
}

void join_expect(struct share_join *join)
{
    INVARIANT(join == NULL || !join->sealed);
    if (join != NULL)
        join->left++;
}

void join_pool_free(struct join_pool *pool)
{
    for (struct share_join *join = pool->free, *next; join != NULL; join = next) {
        next = join->next;
        free(join);
    }
    pool->free = NULL;
}
