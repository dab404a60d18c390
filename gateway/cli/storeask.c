/* A worker that serves nobody, for its loop. */
#include "gateway/cli/storeask.h"

#include <stdlib.h>

#include "gateway/net/channel.h"

struct question {
    struct redis_call call;
    struct storeask *ask;
    struct span key;
    unsigned slot;
    storeask_take *take;
    void *ctx;
    bool answered, good, again;
};

static bool open_memory(struct worker *worker)
{
    worker->scratch = malloc(SCRATCH_BYTES);
    worker->cipher = malloc(CIPHER_BYTES);
    worker->cork = malloc(CORK_BYTES);
    worker->wire = malloc(CORK_BYTES + 16 * 1024);
    slab_pool_init(&worker->slabs, 16, 4096);
    return worker->scratch != NULL && worker->cipher != NULL && worker->cork != NULL &&
           worker->wire != NULL;
}

static uint64_t deadline_ms(const struct storeask *ask)
{
    return clock_ms(&ask->worker.loop.clock) + STORE_ASK_SECONDS * 1000;
}

static void turn(struct storeask *ask)
{
    worker_flush(&ask->worker);
    loop_turn(&ask->worker.loop, 10);
}

bool storeask_open(struct storeask *ask, const struct store *store)
{
    *ask = (struct storeask){ .store = store };
    if (!open_memory(&ask->worker) || loop_init(&ask->worker.loop) != OK ||
        store_attach(&ask->worker, store) != OK)
        return false;
    store_start(&ask->worker);
    return true;
}

void storeask_close(struct storeask *ask)
{
    keyspace_free(ask->worker.keys);
    free(ask->worker.scratch);
    free(ask->worker.cipher);
    free(ask->worker.cork);
    free(ask->worker.wire);
    *ask = (struct storeask){ .store = NULL };
}

static void on_reply(struct redis_call *call, enum err err, const struct redis_value *value)
{
    struct question *question = CONTAINER(call, struct question, call);
    struct redis *asked;
    question->answered = true;
    question->good = err == OK;
    if (err != OK)
        return;
    /* A Cluster says where it is; asked again, the question goes there. */
    if (value->type == REDIS_ERROR && keyspace_spread(question->ask->worker.keys))
        question->again = keyspace_detour(question->ask->worker.keys, question->slot, value,
                                          &asked) == DETOUR_MOVED;
    if (!question->again)
        question->take(question->ctx, value);
}

bool storeask_put(struct storeask *ask, struct span key, unsigned argc, const struct span *argv,
                  storeask_take *take, void *ctx)
{
    struct question question = { .ask = ask, .key = key, .take = take, .ctx = ctx };
    uint64_t until_ms = deadline_ms(ask);
    question.slot = keyspace_slot(ask->worker.keys, key);
    for (unsigned i = 0; i < STORE_ASK_TRIES; i++) {
        question.call.done = on_reply;
        question.answered = question.again = false;
        while (!keyspace_usable(ask->worker.keys, question.slot)) {
            if (clock_ms(&ask->worker.loop.clock) > until_ms)
                return false;
            turn(ask);
        }
        if (keyspace_send(ask->worker.keys, question.slot, &question.call, argc, argv) != OK)
            continue;
        /* Each question is answered, or told that it will not be. */
        while (!question.answered)
            turn(ask);
        if (question.good && !question.again)
            return true;
    }
    return false;
}
