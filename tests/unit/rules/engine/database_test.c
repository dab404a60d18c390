/* Databases from a cache: the same answers, another name for anything that differs. */
#include "rules/engine/database.h"

#include <hs/hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/check.h"

static char folder[64];

static int begin(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "%s", "/tmp/sallyport-database-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

enum { JOBS = 3, PATTERNS = 2 };

static const char *const texts[JOBS][PATTERNS] = { { "abc", "x[0-9]+y" },
                                                   { "abc", "zz" },
                                                   { "q{3}", "w" } };
static const unsigned flags[PATTERNS] = { HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH,
                                          HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH };
static const unsigned ids[PATTERNS] = { 0, 1 };

static void fill(struct database_job *jobs)
{
    for (unsigned i = 0; i < JOBS; i++)
        jobs[i] = (struct database_job){ .texts = texts[i],
                                         .flags = flags,
                                         .ids = ids,
                                         .count = PATTERNS,
                                         .mode = HS_MODE_BLOCK };
}

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flag,
                   void *context)
{
    (void)from, (void)to, (void)flag;
    *(unsigned *)context |= 1u << id;
    return 0;
}

static hs_scratch_t *scratch; /* for all databases of a run */

static unsigned found(const struct database_job *job, struct span text)
{
    unsigned bits = 0;
    assert_int_equal(hs_scan(job->db, text.p, (unsigned)text.len, 0, scratch, on_find, &bits),
                     HS_SUCCESS);
    return bits;
}

static void check_answers(struct database_job *jobs)
{
    assert_int_equal(found(&jobs[0], SPAN("-abc-X12Y")), 3);
    assert_int_equal(found(&jobs[0], SPAN("zz www")), 0);
    assert_int_equal(found(&jobs[1], SPAN("ABC zZ")), 2);
    assert_int_equal(found(&jobs[2], SPAN("qqq")), 1);
    for (unsigned i = 0; i < JOBS; i++)
        database_job_clear(&jobs[i]);
    hs_free_scratch(scratch);
}

static void run(unsigned want_found, unsigned want_compiled)
{
    struct database_job jobs[JOBS];
    struct database_maker maker;
    const char *why;
    struct cache *cache = cache_open(folder, 1 << 20, &why);
    assert_non_null(cache);
    database_maker_open(&maker, cache);
    fill(jobs);
    assert_int_equal(databases_make(&maker, jobs, JOBS, &scratch), OK);
    assert_int_equal(maker.found, want_found);
    assert_int_equal(maker.compiled, want_compiled);
    check_answers(jobs);
    database_maker_close(&maker);
}

static void cold_then_warm(void **state)
{
    (void)state;
    run(0, JOBS);
    run(JOBS, 0);
}

static void file_of(const struct database_job *job, char *path, size_t size)
{
    struct database_cpu cpu = database_cpu();
    struct cache_name name;
    database_name(job, &cpu, &name);
    int at = snprintf(path, size, "%s/", folder);
    for (unsigned i = 0; i < CACHE_NAME_BYTES; i++)
        at += snprintf(path + at, size - (size_t)at, "%02x", name.bytes[i]);
    (void)snprintf(path + at, size - (size_t)at, ".entry");
}

static void damaged_is_made_anew(void **state)
{
    (void)state;
    struct database_job jobs[JOBS];
    char path[192];
    fill(jobs);
    run(0, JOBS);
    file_of(&jobs[1], path, sizeof(path));
    assert_int_equal(truncate(path, 300), 0);
    run(JOBS - 1, 1);
    run(JOBS, 0);
}

/* Well kept, but nothing that Hyperscan takes. */
static void not_a_database(void **state)
{
    (void)state;
    struct database_cpu cpu = database_cpu();
    struct database_job jobs[JOBS];
    struct cache_name name;
    const char *why;
    fill(jobs);
    database_name(&jobs[2], &cpu, &name);
    struct cache *cache = cache_open(folder, 1 << 20, &why);
    assert_int_equal(cache_put(cache, &name, SPAN("no database")), 0);
    cache_close(cache);
    run(0, JOBS);
    run(JOBS, 0);
}

static void names_differ(void **state)
{
    (void)state;
    static const char *const joined[PATTERNS] = { "abcx", "[0-9]+y" };
    static const unsigned swapped[PATTERNS] = { 1, 0 };
    struct database_job jobs[JOBS];
    struct database_cpu cpu = database_cpu(), other = cpu;
    struct cache_name same, names[8];
    fill(jobs);
    database_name(&jobs[0], &cpu, &names[0]);
    database_name(&jobs[0], &other, &same);
    assert_memory_equal(&same, &names[0], sizeof(same));

    database_name(&jobs[1], &cpu, &names[1]);
    other.features ^= HS_CPU_FEATURES_AVX2; /* another processor */
    database_name(&jobs[0], &other, &names[2]);
    other = cpu;
    other.tune++;
    database_name(&jobs[0], &other, &names[3]);
    struct database_job job = jobs[0];
    job.mode = HS_MODE_STREAM;
    database_name(&job, &cpu, &names[4]);
    job = jobs[0];
    job.texts = joined;
    database_name(&job, &cpu, &names[5]);
    job = jobs[0];
    job.ids = swapped;
    database_name(&job, &cpu, &names[6]);
    job = jobs[0];
    job.flags = swapped;
    database_name(&job, &cpu, &names[7]);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(&names[i], &names[j], sizeof(names[i]));
    }
}

/* Compiled once, found once, and still two jobs. */
static void twins_share(void **state)
{
    (void)state;
    enum { MANY = 40 };
    for (unsigned round = 0; round < 2; round++) {
        struct database_job jobs[MANY];
        struct database_maker maker;
        const char *why;
        database_maker_open(&maker, cache_open(folder, 1 << 20, &why));
        for (unsigned i = 0; i < MANY; i++)
            jobs[i] = (struct database_job){ .texts = texts[i % JOBS],
                                             .flags = flags,
                                             .ids = ids,
                                             .count = PATTERNS,
                                             .mode = HS_MODE_BLOCK };
        assert_int_equal(databases_make(&maker, jobs, MANY, &scratch), OK);
        assert_int_equal(maker.found, round == 0 ? 0 : JOBS);
        assert_int_equal(maker.compiled, round == 0 ? JOBS : 0);
        for (unsigned i = 0; i < MANY; i++) {
            assert_ptr_equal(jobs[i].db, jobs[i % JOBS].db);
            assert_int_equal(jobs[i].twin == NULL, i < JOBS);
        }
        assert_int_equal(found(&jobs[JOBS], SPAN("-abc-X12Y")), 3);
        for (unsigned i = 0; i < MANY; i++)
            database_job_clear(&jobs[i]);
        hs_free_scratch(scratch);
        database_maker_close(&maker);
    }
}

/* As of a processor that this one is not, in a file with the right name. */
static void other_processor(void **state)
{
    (void)state;
    enum { PLATFORM_AT = 12 }; /* behind magic, version and length */
    struct database_cpu cpu = database_cpu();
    struct database_job jobs[JOBS];
    hs_compile_error_t *error;
    hs_database_t *db;
    struct cache_name name;
    char *bytes;
    size_t len;
    const char *why;
    fill(jobs);
    assert_int_equal(
        hs_compile_multi(texts[0], flags, ids, PATTERNS, HS_MODE_BLOCK, NULL, &db, &error),
        HS_SUCCESS);
    assert_int_equal(hs_serialize_database(db, &bytes, &len), HS_SUCCESS);
    hs_free_database(db);
    memset(bytes + PLATFORM_AT, 0x55, sizeof(uint64_t));
    assert_int_equal(hs_deserialize_database(bytes, len, &db), HS_DB_PLATFORM_ERROR);

    database_name(&jobs[0], &cpu, &name);
    struct cache *cache = cache_open(folder, 1 << 20, &why);
    assert_int_equal(cache_put(cache, &name, span_of(bytes, len)), 0);
    cache_close(cache);
    free(bytes);
    run(0, JOBS);
    run(JOBS, 0);
}

static void errors_are_told(void **state)
{
    (void)state;
    static const char *const bad[PATTERNS] = { "abc", "(unclosed" };
    struct database_job jobs[JOBS];
    struct database_maker maker;
    fill(jobs);
    jobs[1].texts = bad;
    database_maker_open(&maker, NULL);
    assert_int_equal(databases_make(&maker, jobs, JOBS, &scratch), ERR_CONFIG);
    for (unsigned i = 0; i < JOBS; i++)
        assert_null(jobs[i].db);
    assert_null(jobs[0].error);
    assert_non_null(strstr(jobs[1].error, "parenthes"));
    assert_int_equal(jobs[1].error_at, 1);
    database_job_clear(&jobs[1]);
    database_maker_close(&maker);
}

struct told {
    unsigned last, all;
};

static void on_progress(void *owner, unsigned done, unsigned all)
{
    struct told *told = owner;
    assert_int_equal(done, told->last + 1);
    *told = (struct told){ done, all };
}

static void progress_is_told(void **state)
{
    (void)state;
    struct database_job jobs[JOBS];
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct told told = { 0, 0 };
        struct database_maker maker;
        database_maker_open(&maker, NULL);
        maker.progress = on_progress;
        maker.owner = &told;
        maker.threads = threads;
        fill(jobs);
        assert_int_equal(databases_make(&maker, jobs, JOBS, &scratch), OK);
        assert_int_equal(told.last, JOBS);
        assert_int_equal(told.all, JOBS);
        check_answers(jobs);
        database_maker_close(&maker);
    }
}

static void ask_fits(unsigned learnt)
{
    struct database_fit fits[] = { { .text = "abc", .flags = HS_FLAG_DOTALL },
                                   { .text = "(a{1000}b{1000}){1000}" },
                                   { .text = "abc", .flags = HS_FLAG_CASELESS } };
    struct database_maker maker;
    const char *why;
    database_maker_open(&maker, cache_open(folder, 1 << 20, &why));
    assert_int_equal(database_fits(&maker, fits, ARRAY_LEN(fits)), OK);
    assert_true(fits[0].fits);
    assert_false(fits[1].fits);
    assert_true(fits[2].fits);
    assert_int_equal(maker.tried, learnt);
    database_maker_close(&maker);
}

static unsigned file_count(void)
{
    char command[128];
    unsigned count = 0;
    (void)snprintf(command, sizeof(command), "ls '%s' | wc -l", folder);
    FILE *list = popen(command, "r");
    assert_int_equal(fscanf(list, "%u", &count), 1);
    (void)pclose(list);
    return count;
}

static void fits_are_remembered(void **state)
{
    (void)state;
    ask_fits(3);
    assert_int_equal(file_count(), 1);
    ask_fits(0);
}

#define IN_FOLDER(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    return RUN(IN_FOLDER(cold_then_warm), IN_FOLDER(damaged_is_made_anew),
               IN_FOLDER(not_a_database), IN_FOLDER(names_differ), IN_FOLDER(twins_share),
               IN_FOLDER(other_processor), IN_FOLDER(errors_are_told),
               IN_FOLDER(progress_is_told), IN_FOLDER(fits_are_remembered));
}
