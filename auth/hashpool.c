/*
 * The jobs live in one mapping. The loop hands them over in a ring, whose places a semaphore
 * counts, and takes them back from a stack, all of it at once. There is no lock: a thread of
 * low priority that is interrupted while it holds one would stop the loop for as long as others
 * have work.
 */
#include "auth/hashpool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
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
    bool cancelled;     /* written by the loop alone, read by a thread before it begins */
    enum err error;
    bool right;
    size_t password_len;
    char password[PASSWORD_BYTES_MAX];
};

struct hashpool {
    struct worker *worker;
    struct watch watch; /* on an eventfd: something is done */
    struct job *jobs, *free;
    size_t load;     /* jobs that are not free; the loop's alone */
    unsigned shares; /* stages that have it by hashpool_share */

    struct job *ring[HASHPOOL_JOBS]; /* no more jobs than places: none is written to too soon */
    uint64_t put, taken;             /* jobs so far: by the loop; by the threads, atomic */
    sem_t waiting;                   /* jobs that are put and not taken */
    struct job *done;                /* a stack; atomic */
    bool stopping;                   /* atomic */
    sem_t running;                   /* threads that have settled in */

    struct password_scratch *scratch[HASHPOOL_THREADS];
    pthread_t threads[HASHPOOL_THREADS];
    unsigned thread_count;
};

struct thread_start {
    struct hashpool *pool;
    struct password_scratch *scratch;
};

/* ---- the threads --------------------------------------------------------------------------
 */

static void wait_for_one(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        INVARIANT(errno == EINTR);
}

/* NULL: the pool is closed. */
static struct job *next_job(struct hashpool *pool)
{
    wait_for_one(&pool->waiting);
    if (__atomic_load_n(&pool->stopping, __ATOMIC_ACQUIRE))
        return NULL;
    uint64_t place = __atomic_fetch_add(&pool->taken, 1, __ATOMIC_ACQ_REL);
    return pool->ring[place % HASHPOOL_JOBS];
}

static void hand_back(struct hashpool *pool, struct job *job)
{
    static const uint64_t one = 1;

    job->next = __atomic_load_n(&pool->done, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&pool->done, &job->next, job, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        continue;
    /* A full counter means that the loop is told already. */
    ssize_t written = write(pool->watch.fd, &one, sizeof(one));
    INVARIANT(written == (ssize_t)sizeof(one) || errno == EAGAIN);
}

/*
 * The loop comes first: these threads take what it leaves. Being nice is not enough: since
 * Linux 6.6 whoever runs may finish its slice of some milliseconds, however low it stands; only
 * SCHED_IDLE gives way at once to everybody else. What the kernel refuses, goes on.
 */
static void step_back(void)
{
    struct sched_param none = { .sched_priority = 0 };
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), HASHPOOL_NICE);
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
}

static void *run_thread(void *start)
{
    struct hashpool *pool = ((struct thread_start *)start)->pool;
    struct password_scratch *scratch = ((struct thread_start *)start)->scratch;
    free(start);
    step_back();
    (void)sem_post(&pool->running);

    for (struct job *job; (job = next_job(pool)) != NULL;) {
        job->right = false;
        job->error = ERR_ABORTED;
        if (!__atomic_load_n(&job->cancelled, __ATOMIC_RELAXED))
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
    for (unsigned i = 0; i < pool->thread_count; i++)
        wait_for_one(&pool->running);
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
    __atomic_store_n(&job_of(op)->cancelled, true, __ATOMIC_RELAXED);
}

/* In the order in which they were done. */
static struct job *take_done(struct hashpool *pool)
{
    struct job *job = __atomic_exchange_n(&pool->done, NULL, __ATOMIC_ACQUIRE), *first = NULL;

    while (job != NULL) {
        struct job *next = job->next;
        job->next = first;
        first = job;
        job = next;
    }
    return first;
}

static void collect(struct watch *watch, uint32_t events)
{
    static const bool right = true, wrong = false;
    struct hashpool *pool = CONTAINER(watch, struct hashpool, watch);
    uint64_t count;
    (void)events;
    ssize_t got = read(watch->fd, &count, sizeof(count));
    INVARIANT(got == (ssize_t)sizeof(count) || errno == EAGAIN || errno == EINTR);
    for (struct job *job = take_done(pool), *next; job != NULL; job = next) {
        next = job->next; /* it may be released, and then is on another list */
        op_finish(&job->op, pool->worker, job->error, job->right ? &right : &wrong);
    }
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

    pool->ring[pool->put++ % HASHPOOL_JOBS] = job;
    (void)sem_post(&pool->waiting);
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
    INVARIANT(sem_init(&pool->waiting, 0, 0) == 0 && sem_init(&pool->running, 0, 0) == 0);

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
    __atomic_store_n(&pool->stopping, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < pool->thread_count; i++)
        (void)sem_post(&pool->waiting);
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
    sem_destroy(&pool->running);
    sem_destroy(&pool->waiting);
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
