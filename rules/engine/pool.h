/*
 * Several threads at low priority over one list of tasks, while the caller waits. For the
 * process that loads: none of them is left when it forks workers.
 */
#ifndef SALLYPORT_RULES_POOL_H
#define SALLYPORT_RULES_POOL_H

#include "gateway/base/base.h"

enum { POOL_THREADS_MAX = 16, POOL_NICE = 10 };

struct pool_work {
    void (*task)(void *context, unsigned index);    /* in any thread */
    void (*finished)(void *context, unsigned done); /* in the caller's; may be NULL */
    void *context;
    unsigned count;
    bool urgent; /* at the caller's priority: it is done soon */
};

/* `threads` 0: one for each processor. Tasks begin in the order of their index. */
void pool_run(const struct pool_work *work, unsigned threads);

#endif
