/* The jobs live in one mapping: free ones in a list, the others with the crew. */
#include "auth/hashpool.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gateway/base/secret.h"
#include "gateway/chain/crew.h"
#include "gateway/net/worker.h"

struct job {
    struct errand errand;
    struct job *next; /* of the free */
    struct hashpool *pool;
    struct password_hash hash;
    bool taken;
    struct addr client;
    bool right;
    size_t password_len;
    char password[PASSWORD_BYTES_MAX];
};

struct hashpool {
    struct worker *worker;
    struct crew *crew;
    struct job *jobs, *free;
    size_t load;     /* jobs that are not free */
    unsigned shares; /* stages that have it by hashpool_share */
    struct password_scratch *scratch[HASHPOOL_THREADS];
    pthread_mutex_t mapping; /* held by the thread whose hash maps memory; never by the loop */
};

/* On a thread. */
static void run_job(struct errand *errand, unsigned hand)
{
    static const bool right = true, wrong = false;
    struct job *job = CONTAINER(errand, struct job, errand);
    bool maps = password_maps(&job->hash);
    job->right = false;
    errand->error = ERR_ABORTED;
    if (maps)
        (void)pthread_mutex_lock(&job->pool->mapping);
    if (!errand_called_off(errand))
        errand->error = password_verify(&job->hash, span_of(job->password, job->password_len),
                                        job->pool->scratch[hand], &job->right);
    if (maps)
        (void)pthread_mutex_unlock(&job->pool->mapping);
    wipe(job->password, sizeof(job->password));
    errand->value = job->right ? &right : &wrong;
}

static void release_job(struct op *op)
{
    struct job *job = CONTAINER(op, struct job, errand.op);
    struct hashpool *pool = job->pool;
    job->next = pool->free;
    job->taken = false;
    pool->free = job;
    pool->load--;
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
    job->hash = *hash;
    job->password_len = password.len;
    if (password.len > 0)
        memcpy(job->password, password.p, password.len);
    job->errand.run = run_job;
    job->errand.op.release = release_job;
    crew_send(pool->crew, &job->errand);
    return &job->errand.op;
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
    static const struct crew_kind kind = { .what = "passwords",
                                           .threads = HASHPOOL_THREADS,
                                           .capacity = HASHPOOL_JOBS,
                                           .nice = HASHPOOL_NICE,
                                           .idle = true };
    TRY(password_init());
    TRY(map_jobs(pool));
    for (unsigned i = 0; i < HASHPOOL_THREADS; i++) {
        pool->scratch[i] = password_scratch_new();
        if (pool->scratch[i] == NULL)
            return ERR_MEMORY;
    }
    return crew_open(&pool->crew, pool->worker, &kind);
}

enum err hashpool_open(struct hashpool **out, struct worker *worker)
{
    struct hashpool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return ERR_MEMORY;
    pool->worker = worker;
    INVARIANT(pthread_mutex_init(&pool->mapping, NULL) == 0);
    enum err err = open_parts(pool);
    if (err != OK) {
        hashpool_close(pool);
        return err;
    }
    *out = pool;
    return OK;
}

void hashpool_close(struct hashpool *pool)
{
    if (pool->crew != NULL)
        crew_close(pool->crew);
    for (unsigned i = 0; i < HASHPOOL_THREADS; i++)
        password_scratch_free(pool->scratch[i]);
    if (pool->jobs != NULL) {
        wipe(pool->jobs, HASHPOOL_JOBS * sizeof(struct job));
        munmap(pool->jobs, HASHPOOL_JOBS * sizeof(struct job));
    }
    (void)pthread_mutex_destroy(&pool->mapping);
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
