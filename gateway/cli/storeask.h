/*
 * Questions of the command line to the store that nodes share, one after the other.
 */
#ifndef SALLYPORT_CLI_STOREASK_H
#define SALLYPORT_CLI_STOREASK_H

#include "gateway/cli/loaded.h"
#include "gateway/net/worker.h"
#include "gateway/store/store.h"

enum { STORE_ASK_SECONDS = 5, STORE_ASK_TRIES = 4 };

struct storeask {
    struct worker worker;
    const struct store *store;
};

/* False: the store does not answer within STORE_ASK_SECONDS, or memory. */
MUST_USE bool storeask_open(struct storeask *ask, const struct store *store);
void storeask_close(struct storeask *ask);
/* `take` is called with the answer, which may be an error; false: there is none. */
typedef void storeask_take(void *ctx, const struct redis_value *value);
MUST_USE bool storeask_put(struct storeask *ask, struct span key, unsigned argc,
                           const struct span *argv, storeask_take *take, void *ctx);

#endif
