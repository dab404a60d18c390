/* Threads that share a counter. */
#include "rules/engine/pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Hyperscan's parser goes as deep as a pattern's parentheses. */
#define STACK_BYTES ((size_t)16 << 20)

struct pool {
    const struct pool_work *work;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned next, done; /* under `mutex` */
};

static void run_tasks(struct pool *pool)
{
    INVARIANT(pthread_mutex_lock(&pool->mutex) == 0);
    while (pool->next < pool->work->count) {
        unsigned index = pool->next++;
        INVARIANT(pthread_mutex_unlock(&pool->mutex) == 0);
        pool->work->task(pool->work->context, index);
        INVARIANT(pthread_mutex_lock(&pool->mutex) == 0);
        pool->done++;
        INVARIANT(pthread_cond_signal(&pool->changed) == 0);
    }
    INVARIANT(pthread_mutex_unlock(&pool->mutex) == 0);
}

static void *thread(void *context)
{
    struct pool *pool = context;
    /* Of this thread alone, as Linux has it. One that cannot be nice works all the same. */
    if (!pool->work->urgent)
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), POOL_NICE);
    run_tasks(pool);
    return NULL;
}

static unsigned start(struct pool *pool, pthread_t *threads, unsigned wanted)
{
    pthread_attr_t attributes;
    unsigned count = 0;
    if (pthread_attr_init(&attributes) != 0)
        return 0;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    while (count < wanted && pthread_create(&threads[count], &attributes, thread, pool) == 0)
        count++;
    (void)pthread_attr_destroy(&attributes);
    return count;
}

/* Tells of each task once, in order, until all are done. */
static void watch(struct pool *pool)
{
    const struct pool_work *work = pool->work;
    unsigned told = 0;
    INVARIANT(pthread_mutex_lock(&pool->mutex) == 0);
    while (told < work->count) {
        while (pool->done == told)
            INVARIANT(pthread_cond_wait(&pool->changed, &pool->mutex) == 0);
        told++;
        INVARIANT(pthread_mutex_unlock(&pool->mutex) == 0);
        if (work->finished != NULL)
            work->finished(work->context, told);
        INVARIANT(pthread_mutex_lock(&pool->mutex) == 0);
    }
    INVARIANT(pthread_mutex_unlock(&pool->mutex) == 0);
}

void pool_run(const struct pool_work *work, unsigned threads)
{
    struct pool pool = { .work = work,
                         .mutex = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER };
    pthread_t started[POOL_THREADS_MAX];
    if (work->count == 0)
        return;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (threads == 0)
        threads = processors > 0 ? (unsigned)processors : 1;
    if (threads > POOL_THREADS_MAX)
        threads = POOL_THREADS_MAX;
    if (threads > work->count)
        threads = work->count;
    unsigned count = start(&pool, started, threads);
    if (count == 0) /* none to be had: the work is done here */
        run_tasks(&pool);
    watch(&pool);
    for (unsigned i = 0; i < count; i++)
        INVARIANT(pthread_join(started[i], NULL) == 0);
}
