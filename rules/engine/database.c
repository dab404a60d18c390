/* Databases by name: found, or compiled and kept. */
#include "rules/engine/database.h"

#include <hs/hs.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "gateway/base/build.h"
#include "gateway/base/log.h"
#include "rules/engine/facts.h"
#include "rules/engine/pool.h"

enum { FIT_BYTES = CACHE_NAME_BYTES + 1 };

/* What is known of patterns by themselves: a name and 0 or 1 behind it, one after the other. */
struct fits {
    uint8_t (*items)[FIT_BYTES];
    size_t count;
    bool learnt;
};

/* ---- names ----------------------------------------------------------------------------------
 */

struct naming {
    EVP_MD_CTX *context;
};

static void name_bytes(struct naming *naming, const void *p, size_t len)
{
    INVARIANT(EVP_DigestUpdate(naming->context, p, len) == 1);
}

/* With its length before it: no two lists of texts are one. */
static void name_text(struct naming *naming, const char *text)
{
    uint64_t len = strlen(text);
    name_bytes(naming, &len, sizeof(len));
    name_bytes(naming, text, len);
}

struct database_cpu database_cpu(void)
{
    struct hs_platform_info here = { 0 };
    (void)hs_populate_platform(&here);
    return (struct database_cpu){ .tune = here.tune, .features = here.cpu_features };
}

/* Version of what the file means, of the library, and the processor. */
static void name_begin(struct naming *naming, const char *what, const struct database_cpu *cpu)
{
    naming->context = EVP_MD_CTX_new();
    INVARIANT(naming->context != NULL &&
              EVP_DigestInit_ex(naming->context, EVP_sha256(), NULL) == 1);
    name_text(naming, what);
    name_text(naming, hs_version());
    name_bytes(naming, cpu, sizeof(*cpu));
}

static void name_end(struct naming *naming, struct cache_name *name)
{
    INVARIANT(EVP_DigestFinal_ex(naming->context, name->bytes, NULL) == 1);
    EVP_MD_CTX_free(naming->context);
}

void database_name(const struct database_job *job, const struct database_cpu *cpu,
                   struct cache_name *name)
{
    struct naming naming;
    uint32_t head[] = { job->mode, job->count };
    name_begin(&naming, "database 1", cpu);
    name_bytes(&naming, head, sizeof(head));
    for (unsigned i = 0; i < job->count; i++) {
        uint32_t numbers[] = { job->flags[i], job->ids[i] };
        name_bytes(&naming, numbers, sizeof(numbers));
        name_text(&naming, job->texts[i]);
    }
    name_end(&naming, name);
}

/* ---- one database ---------------------------------------------------------------------------
 */

/* What threads do together. */
struct batch {
    struct database_maker *maker;
    struct database_job **jobs;
    unsigned count;
    unsigned next; /* by __atomic */
    pthread_mutex_t mutex;
    struct hs_scratch *scratch; /* under it; */
    bool memory;                /* there was none for it */
};

/* While the processor still has the database at hand. */
static void make_scratch(struct batch *batch, const struct database_job *job)
{
    INVARIANT(pthread_mutex_lock(&batch->mutex) == 0);
    if (hs_alloc_scratch(job->db, &batch->scratch) != HS_SUCCESS)
        batch->memory = true;
    INVARIANT(pthread_mutex_unlock(&batch->mutex) == 0);
}

/* In any thread. */
static void find(struct batch *batch, struct database_job *job, struct cache_room *room)
{
    struct span content = cache_read(batch->maker->cache, &job->name, room, &job->distrust);
    if (content.p == NULL)
        return;
    if (hs_deserialize_database(content.p, content.len, &job->db) == HS_SUCCESS) {
        make_scratch(batch, job);
        return;
    }
    job->db = NULL;
    job->distrust = "Hyperscan does not take it";
}

static void keep(struct database_maker *maker, struct database_job *job)
{
    char *bytes = NULL;
    size_t len = 0;
    if (hs_serialize_database(job->db, &bytes, &len) == HS_SUCCESS)
        job->put_error = cache_put(maker->cache, &job->name, span_of(bytes, len));
    free(bytes);
}

/* In any thread: nothing of the maker is changed. */
static void compile(struct batch *batch, struct database_job *job)
{
    struct database_maker *maker = batch->maker;
    hs_compile_error_t *error = NULL;
    if (hs_compile_multi(job->texts, job->flags, job->ids, job->count, job->mode, NULL,
                         &job->db, &error) == HS_SUCCESS) {
        if (maker->cache != NULL)
            keep(maker, job);
        make_scratch(batch, job);
        return;
    }
    job->db = NULL;
    job->error = strdup(error != NULL ? error->message : "out of memory");
    job->error_at = error != NULL ? error->expression : -1;
    if (error != NULL)
        hs_free_compile_error(error);
}

void database_job_clear(struct database_job *job)
{
    if (job->twin == NULL)
        hs_free_database(job->db);
    free(job->error);
    job->db = NULL;
    job->error = NULL;
}

/* ---- many -----------------------------------------------------------------------------------
 */

static void compile_one(void *context, unsigned index)
{
    struct batch *batch = context;
    compile(batch, batch->jobs[index]);
}

static void tell(void *context, unsigned done)
{
    struct batch *batch = context;
    if (batch->maker->progress != NULL)
        batch->maker->progress(batch->maker->owner, done, batch->count);
}

static size_t weight(const struct database_job *job)
{
    size_t sum = 0;
    for (unsigned i = 0; i < job->count; i++)
        sum += strlen(job->texts[i]);
    return sum;
}

static int heavier(const void *a, const void *b)
{
    size_t x = weight(*(struct database_job *const *)a);
    size_t y = weight(*(struct database_job *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static void finish(struct database_maker *maker, const struct batch *batch)
{
    int put_error = 0;
    for (unsigned i = 0; i < batch->count && put_error == 0; i++)
        put_error = batch->jobs[i]->put_error;
    if (put_error != 0)
        log_warn("compiled rules cannot be kept; each start compiles anew", F_ERRNO(put_error));
    maker->compiled += batch->count;
}

/* By name; of the same name by place. */
static int by_name(const void *a, const void *b)
{
    const struct database_job *x = *(struct database_job *const *)a;
    const struct database_job *y = *(struct database_job *const *)b;
    int order = memcmp(x->name.bytes, y->name.bytes, sizeof(x->name.bytes));
    return order != 0 ? order : x < y ? -1 : x > y;
}

/* Names all of them, and of those with the same name lists but the first. */
static void name_all(const struct database_maker *maker, struct database_job *jobs,
                     unsigned count, struct batch *batch)
{
    for (unsigned i = 0; i < count; i++) {
        jobs[i].error_at = -1;
        jobs[i].twin = NULL;
        database_name(&jobs[i], &maker->cpu, &jobs[i].name);
        batch->jobs[i] = &jobs[i];
    }
    if (count > 0)
        qsort(batch->jobs, count, sizeof(struct database_job *), by_name);
    for (unsigned i = 0; i < count; i++) {
        struct database_job *job = batch->jobs[i];
        const struct database_job *last =
            batch->count > 0 ? batch->jobs[batch->count - 1] : NULL;
        if (last != NULL &&
            memcmp(last->name.bytes, job->name.bytes, sizeof(job->name.bytes)) == 0)
            job->twin = last;
        else
            batch->jobs[batch->count++] = job;
    }
}

static void find_some(void *context, unsigned index)
{
    struct batch *batch = context;
    struct cache_room room = { 0 };
    (void)index;
    for (;;) {
        unsigned next = __atomic_fetch_add(&batch->next, 1, __ATOMIC_RELAXED);
        if (next >= batch->count)
            break;
        find(batch, batch->jobs[next], &room);
    }
    free(room.p);
}

/* What the cache has not is left in the batch. */
static void find_all(struct batch *batch)
{
    struct database_maker *maker = batch->maker;
    unsigned left = 0;
    pool_run(
        &(struct pool_work){
            .task = find_some, .context = batch, .count = POOL_THREADS_MAX, .urgent = true },
        maker->threads);
    for (unsigned i = 0; i < batch->count; i++) {
        struct database_job *job = batch->jobs[i];
        if (job->distrust != NULL)
            cache_distrust(&job->name, job->distrust);
        if (job->db == NULL)
            batch->jobs[left++] = job;
    }
    maker->found += batch->count - left;
    batch->count = left;
}

static bool all_made(struct database_job *jobs, unsigned count)
{
    bool all = true;
    for (unsigned i = 0; i < count; i++) {
        if (jobs[i].twin != NULL)
            jobs[i].db = jobs[i].twin->db;
        all = all && jobs[i].db != NULL;
    }
    return all;
}

static void run(struct batch *batch)
{
    struct database_maker *maker = batch->maker;
    if (maker->cache != NULL)
        find_all(batch);
    if (batch->count > 0)
        qsort(batch->jobs, batch->count, sizeof(struct database_job *), heavier);
    pool_run(
        &(struct pool_work){
            .task = compile_one, .finished = tell, .context = batch, .count = batch->count },
        maker->threads);
    finish(maker, batch);
}

enum err databases_make(struct database_maker *maker, struct database_job *jobs, unsigned count,
                        struct hs_scratch **scratch)
{
    struct batch batch = { .maker = maker, .mutex = PTHREAD_MUTEX_INITIALIZER };
    batch.jobs = calloc(count + 1, sizeof(struct database_job *));
    if (batch.jobs == NULL)
        return ERR_MEMORY;
    name_all(maker, jobs, count, &batch);
    run(&batch);
    free(batch.jobs);
    if (all_made(jobs, count) && !batch.memory) {
        *scratch = batch.scratch;
        return OK;
    }
    for (unsigned i = 0; i < count; i++) {
        if (jobs[i].twin == NULL)
            hs_free_database(jobs[i].db);
        jobs[i].db = NULL;
    }
    hs_free_scratch(batch.scratch);
    return batch.memory ? ERR_MEMORY : ERR_CONFIG;
}

/* ---- what fits ------------------------------------------------------------------------------
 */

static void fits_name(const struct database_maker *maker, struct cache_name *name)
{
    struct naming naming;
    name_begin(&naming, "fits 1", &maker->cpu);
    name_end(&naming, name);
}

static void fit_name(const struct database_maker *maker, const struct database_fit *fit,
                     struct cache_name *name)
{
    struct naming naming;
    name_begin(&naming, "fit 1", &maker->cpu);
    name_bytes(&naming, &fit->flags, sizeof(fit->flags));
    name_text(&naming, fit->text);
    name_end(&naming, name);
}

static bool known(const struct fits *fits, struct database_fit *fit)
{
    for (size_t i = 0; i < fits->count; i++) {
        if (memcmp(fits->items[i], fit->name.bytes, CACHE_NAME_BYTES) == 0) {
            fit->fits = fits->items[i][CACHE_NAME_BYTES] == 1;
            return true;
        }
    }
    return false;
}

/* At the limit the oldest goes. */
static void learn(struct fits *fits, const struct database_fit *fit)
{
    if (fits->count == FITS_MAX)
        memmove(fits->items[0], fits->items[1], --fits->count * sizeof(*fits->items));
    memcpy(fits->items[fits->count], fit->name.bytes, CACHE_NAME_BYTES);
    fits->items[fits->count++][CACHE_NAME_BYTES] = fit->fits;
    fits->learnt = true;
}

struct fit_batch {
    struct database_fit **fits;
    bool memory;
};

/* Whatever the library cannot do with a pattern alone, but for want of memory. */
static void try_one(void *context, unsigned index)
{
    struct fit_batch *batch = context;
    struct database_fit *fit = batch->fits[index];
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    fit->fits =
        hs_compile(fit->text, fit->flags, HS_MODE_BLOCK, NULL, &db, &error) == HS_SUCCESS;
    if (error != NULL && strstr(error->message, "allocate") != NULL)
        __atomic_store_n(&batch->memory, true, __ATOMIC_RELAXED);
    if (error != NULL)
        hs_free_compile_error(error);
    hs_free_database(db);
}

static int longer(const void *a, const void *b)
{
    size_t x = strlen((*(struct database_fit *const *)a)->text);
    size_t y = strlen((*(struct database_fit *const *)b)->text);
    return x < y ? 1 : x > y ? -1 : 0;
}

enum err database_fits(struct database_maker *maker, struct database_fit *fits, unsigned count)
{
    struct fit_batch batch = { 0 };
    unsigned open = 0;
    batch.fits = calloc(count + 1, sizeof(struct database_fit *));
    if (batch.fits == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < count; i++) {
        fit_name(maker, &fits[i], &fits[i].name);
        if (maker->fits == NULL || !known(maker->fits, &fits[i]))
            batch.fits[open++] = &fits[i];
    }
    if (open > 0)
        qsort(batch.fits, open, sizeof(struct database_fit *), longer);
    pool_run(&(struct pool_work){ .task = try_one, .context = &batch, .count = open },
             maker->threads);
    for (unsigned i = 0; i < open && maker->fits != NULL && !batch.memory; i++) {
        if (!known(maker->fits, batch.fits[i]))
            learn(maker->fits, batch.fits[i]);
    }
    maker->tried += open;
    free(batch.fits);
    return batch.memory ? ERR_MEMORY : OK;
}

/* ---- the maker ------------------------------------------------------------------------------
 */

static void recall_fits(const struct database_maker *maker, struct fits *fits)
{
    struct cache_name name;
    fits_name(maker, &name);
    struct span content =
        maker->cache != NULL ? cache_get(maker->cache, &name) : (struct span){ 0 };
    size_t count = content.len / FIT_BYTES;
    if (content.p != NULL && content.len % FIT_BYTES == 0 && count <= FITS_MAX) {
        memcpy(fits->items, content.p, content.len);
        fits->count = count;
    }
    free((char *)content.p);
}

static void open_fits(struct database_maker *maker)
{
    maker->fits = calloc(1, sizeof(struct fits));
    if (maker->fits == NULL)
        return; /* nothing is remembered then */
    maker->fits->items = calloc(FITS_MAX, FIT_BYTES);
    if (maker->fits->items == NULL) {
        free(maker->fits);
        maker->fits = NULL;
        return;
    }
    recall_fits(maker, maker->fits);
}

static void close_fits(const struct database_maker *maker)
{
    struct fits *fits = maker->fits;
    if (fits == NULL)
        return;
    if (fits->learnt && maker->cache != NULL) {
        struct cache_name name;
        fits_name(maker, &name);
        (void)cache_put(maker->cache, &name,
                        span_of((const char *)fits->items, fits->count * FIT_BYTES));
    }
    free(fits->items);
    free(fits);
}

void database_facts_name(const struct database_cpu *cpu, struct span build,
                         struct cache_name *name)
{
    struct naming naming;
    uint64_t len = build.len;
    name_begin(&naming, "facts 1", cpu);
    name_bytes(&naming, &len, sizeof(len));
    name_bytes(&naming, build.p, build.len);
    name_end(&naming, name);
}

/* Without a name for this build nothing is kept: it could be taken for another's. */
static void open_facts(struct database_maker *maker)
{
    struct cache_name name;
    struct span build = build_id(), content = { 0 };
    if (maker->cache != NULL && build.len > 0) {
        database_facts_name(&maker->cpu, build, &name);
        content = cache_get(maker->cache, &name);
    }
    maker->facts = facts_open(content);
    free((char *)content.p);
}

static void close_facts(const struct database_maker *maker)
{
    struct cache_name name;
    struct span build = build_id(), content = { 0 };
    if (maker->facts != NULL && maker->cache != NULL && build.len > 0)
        content = facts_content(maker->facts);
    if (content.p != NULL) {
        database_facts_name(&maker->cpu, build, &name);
        (void)cache_put(maker->cache, &name, content);
    }
    facts_close(maker->facts);
}

void database_maker_open(struct database_maker *maker, struct cache *cache)
{
    *maker = (struct database_maker){ .cache = cache, .cpu = database_cpu() };
    open_fits(maker);
    open_facts(maker);
}

void database_maker_close(struct database_maker *maker)
{
    close_fits(maker);
    close_facts(maker);
    cache_close(maker->cache);
    *maker = (struct database_maker){ 0 };
}
