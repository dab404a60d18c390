/* The jobs live in one mapping; they wander between four lists, each with one owner at a time.
 */
#include "auth/hashpool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/secret.h"
#include "gateway/net/worker.h"

enum { STACK_BYTES = 512 * 1024 };

struct job {
    struct op op; /* the loop's alone */
    struct job *next;
    struct hashpool *pool;
    struct password_hash hash;
    bool taken;         /* the loop's alone */
    struct addr client; /* the same */
    bool cancelled;     /* under the lock */
    enum err error;
    bool right;
    size_t password_len;
    char password[PASSWORD_BYTES_MAX];
};

struct queue {
    struct job *first, **tail;
};

struct hashpool {
    struct worker *worker;
    struct watch watch; /* on an eventfd: something is done */
    struct job *jobs, *free;
    size_t load;     /* jobs that are not free; the loop's alone */
    unsigned shares; /* stages that have it by hashpool_share */

    pthread_mutex_t lock;
    pthread_cond_t work, started;
    struct queue waiting, done; /* under the lock */
    bool stopping;              /* under the lock */
    unsigned running;           /* threads that have settled in; under the lock */

    struct password_scratch *scratch[HASHPOOL_THREADS];
    pthread_t threads[HASHPOOL_THREADS];
    unsigned thread_count;
};

struct thread_start {
    struct hashpool *pool;
    struct password_scratch *scratch;
};

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){ .tail = &queue->first };
}

static void queue_put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
}

static struct job *queue_take(struct queue *queue)
{
    struct job *job = queue->first;
    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->tail = &queue->first;
    return job;
}

/* ---- the threads --------------------------------------------------------------------------
 */

static struct job *next_job(struct hashpool *pool, bool *cancelled)
{
    struct job *job = NULL;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && (job = queue_take(&pool->waiting)) == NULL)
        pthread_cond_wait(&pool->work, &pool->lock);
    *cancelled = job != NULL && job->cancelled;
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void hand_back(struct hashpool *pool, struct job *job)
{
    static const uint64_t one = 1;
    pthread_mutex_lock(&pool->lock);
    queue_put(&pool->done, job);
    pthread_mutex_unlock(&pool->lock);
    /* A full counter means that the loop is told already. */
    ssize_t written = write(pool->watch.fd, &one, sizeof(one));
    INVARIANT(written == (ssize_t)sizeof(one) || errno == EAGAIN);
}

/* The loop comes first: these threads take what it leaves. What the kernel refuses, goes on. */
static void step_back(void)
{
    struct sched_param none = { .sched_priority = 0 };
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), HASHPOOL_NICE);
}

static void *run_thread(void *start)
{
    struct hashpool *pool = ((struct thread_start *)start)->pool;
    struct password_scratch *scratch = ((struct thread_start *)start)->scratch;
    free(start);
    step_back();
    pthread_mutex_lock(&pool->lock);
    pool->running++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->started);

    bool cancelled;
    for (struct job *job; (job = next_job(pool, &cancelled)) != NULL;) {
        job->right = false;
        job->error = ERR_ABORTED;
        if (!cancelled)
            job->error = password_verify(&job->hash, span_of(job->password, job->password_len),
                                         scratch, &job->right);
        wipe(job->password, sizeof(job->password));
        hand_back(pool, job);
    }
    return NULL;
}

static enum err start_thread(struct hashpool *pool, const pthread_attr_t *attributes)
{
    struct thread_start *start = malloc(sizeof(*start));
    struct password_scratch *scratch = password_scratch_new();
    if (start == NULL || scratch == NULL) {
        free(start);
        password_scratch_free(scratch);
        return ERR_MEMORY;
    }
    *start = (struct thread_start){ pool, scratch };
    if (pthread_create(&pool->threads[pool->thread_count], attributes, run_thread, start) !=
        0) {
        free(start);
        password_scratch_free(scratch);
        return ERR_SYSTEM;
    }
    pool->scratch[pool->thread_count++] = scratch;
    return OK;
}

/* What a thread does when it starts would be forbidden behind the sandbox, which closes next.
 */
static void wait_until_running(struct hashpool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->running < pool->thread_count)
        pthread_cond_wait(&pool->started, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

/* Signals are the loop's business. */
static enum err start_threads(struct hashpool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    enum err err = OK;
    if (pthread_attr_init(&attributes) != 0)
        return ERR_SYSTEM;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < HASHPOOL_THREADS && err == OK; i++)
        err = start_thread(pool, &attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    wait_until_running(pool);
    return err;
}

/* ---- the loop's side ----------------------------------------------------------------------
 */

static struct job *job_of(struct op *op)
{
    return CONTAINER(op, struct job, op);
}

static void release_job(struct op *op)
{
    struct job *job = job_of(op);
    struct hashpool *pool = job->pool;
    job->next = pool->free;
    job->taken = false;
    pool->free = job;
    pool->load--;
}

/* Nobody waits any more: if its turn has not come, it is passed over. */
static void abandon_job(struct op *op)
{
    struct job *job = job_of(op);
    pthread_mutex_lock(&job->pool->lock);
    job->cancelled = true;
    pthread_mutex_unlock(&job->pool->lock);
}

static struct job *take_done(struct hashpool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct job *job = queue_take(&pool->done);
    pthread_mutex_unlock(&pool->lock);
    return job;
}

static void collect(struct watch *watch, uint32_t events)
{
    static const bool right = true, wrong = false;
    struct hashpool *pool = CONTAINER(watch, struct hashpool, watch);
    uint64_t count;
    (void)events;
    ssize_t got = read(watch->fd, &count, sizeof(count));
    INVARIANT(got == (ssize_t)sizeof(count) || errno == EAGAIN || errno == EINTR);
    for (struct job *job; (job = take_done(pool)) != NULL;)
        op_finish(&job->op, pool->worker, job->error, job->right ? &right : &wrong);
}

/* Whether this client has all the jobs that one client may have. */
static bool has_share(const struct hashpool *pool, const struct addr *client)
{
    unsigned count = 0;
    for (size_t i = 0; i < HASHPOOL_JOBS; i++)
        count += pool->jobs[i].taken && addr_equal(&pool->jobs[i].client, client);
    return count >= HASHPOOL_SHARE;
}

struct op *hashpool_verify(struct hashpool *pool, const struct password_hash *hash,
                           struct span password, const struct addr *client)
{
    struct job *job = pool->free;
    struct addr subscriber;
    if (job == NULL || password.len > sizeof(job->password))
        return NULL;
    if (addr_subscriber(client, &subscriber) && has_share(pool, &subscriber))
        return NULL;
    pool->free = job->next;
    pool->load++;
    job->taken = true;
    job->client = subscriber;
    op_init(&job->op);
    job->op.abandon = abandon_job;
    job->op.release = release_job;
    job->hash = *hash;
    job->cancelled = false;
    job->password_len = password.len;
    if (password.len > 0)
        memcpy(job->password, password.p, password.len);

    pthread_mutex_lock(&pool->lock);
    queue_put(&pool->waiting, job);
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->work);
    return &job->op;
}

size_t hashpool_load(const struct hashpool *pool)
{
    return pool->load;
}

/* ---- beginning and end --------------------------------------------------------------------
 */

static enum err map_jobs(struct hashpool *pool)
{
    size_t bytes = HASHPOOL_JOBS * sizeof(struct job);
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return ERR_MEMORY;
    /* Where the kernel or RLIMIT_MEMLOCK refuses, logins still work. */
    (void)madvise(memory, bytes, MADV_DONTDUMP);
    (void)mlock(memory, bytes);
    pool->jobs = memory;
    for (size_t i = 0; i < HASHPOOL_JOBS; i++) {
        pool->jobs[i].pool = pool;
        pool->jobs[i].next = pool->free;
        pool->free = &pool->jobs[i];
    }
    return OK;
}

static enum err open_parts(struct hashpool *pool)
{
    TRY(password_init());
    TRY(map_jobs(pool));
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    pool->watch.on_event = collect;
    enum err err = loop_add(&pool->worker->loop, &pool->watch, fd, EPOLLIN);
    if (err != OK) {
        close(fd);
        return err;
    }
    return start_threads(pool);
}

enum err hashpool_open(struct hashpool **out, struct worker *worker)
{
    struct hashpool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return ERR_MEMORY;
    pool->worker = worker;
    pool->watch.fd = -1;
    queue_init(&pool->waiting);
    queue_init(&pool->done);
    INVARIANT(pthread_mutex_init(&pool->lock, NULL) == 0);
    INVARIANT(pthread_cond_init(&pool->work, NULL) == 0);
    INVARIANT(pthread_cond_init(&pool->started, NULL) == 0);

    enum err err = open_parts(pool);
    if (err != OK) {
        log_error("cannot start the threads that check passwords; raise the limit of processes "
                  "or memory",
                  F_ERR(err));
        hashpool_close(pool);
        return err;
    }
    *out = pool;
    return OK;
}

void hashpool_close(struct hashpool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_broadcast(&pool->work);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i], NULL);
        password_scratch_free(pool->scratch[i]);
    }

    if (pool->watch.fd >= 0) {
        int fd = pool->watch.fd;
        loop_remove(&pool->worker->loop, &pool->watch);
        close(fd);
    }
    if (pool->jobs != NULL) {
        wipe(pool->jobs, HASHPOOL_JOBS * sizeof(struct job));
        munmap(pool->jobs, HASHPOOL_JOBS * sizeof(struct job));
    }
    pthread_cond_destroy(&pool->started);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum err hashpool_share(struct hashpool **out, struct worker *worker)
{
    if (worker->hashpool == NULL)
        TRY(hashpool_open(&worker->hashpool, worker));
    worker->hashpool->shares++;
    *out = worker->hashpool;
    return OK;
}

void hashpool_let_go(struct hashpool *pool)
{
    struct worker *worker = pool->worker;
    if (--pool->shares > 0)
        return;
    worker->hashpool = NULL;
    hashpool_close(pool);
}
