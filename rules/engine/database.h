/*
 * Patterns to Hyperscan databases: from the cache, or compiled by several threads at once, the
 * largest first, at low priority, so that workers of the generation before serve on as if
 * nothing was the matter. At load, in a process that has no other threads yet.
 *
 * The name of a database in the cache is a digest of all it is made of: mode, patterns, flags
 * and numbers, the library's version and the processor's features. Beside the databases stands
 * what is known of patterns by themselves (facts.h).
 */
#ifndef SALLYPORT_RULES_DATABASE_H
#define SALLYPORT_RULES_DATABASE_H

#include "gateway/base/text.h"
#include "rules/engine/cache.h"

struct facts;
struct hs_database;
struct hs_scratch;

enum {
    FITS_MAX = 8192, /* patterns of which it is remembered whether they can be compiled */
};

struct database_job {
    const char *const *texts;
    const unsigned *flags, *ids;
    unsigned count, mode;
    struct hs_database *db; /* made; the caller's to free, where `twin` is NULL */
    struct cache_name name;
    const struct database_job *twin; /* of the same patterns; its database stands for both */
    const char *distrust;            /* what is wrong with it in the cache */
    char *error; /* what Hyperscan says, to be freed, and which pattern it means (-1: none) */
    int error_at;
    int put_error;
};

/* A pattern: does Hyperscan compile it at all? It may be too large. */
struct database_fit {
    const char *text;
    unsigned flags;
    bool fits;
    struct cache_name name;
};

struct database_maker {
    struct cache *cache; /* NULL: there is none */
    unsigned threads;    /* 0: one for each processor */
    /* After each that was compiled, in the thread that called. */
    void (*progress)(void *owner, unsigned done, unsigned all);
    void *owner;
    struct fits *fits;   /* those known, from the cache */
    struct facts *facts; /* of patterns, from the cache; NULL: no memory */
    /* Asked for once: where the processor is not a real one, it takes 20 us to ask it. */
    struct database_cpu {
        uint64_t tune, features;
    } cpu;
    unsigned found, compiled; /* databases, twins but once */
    unsigned tried;           /* patterns by themselves */
};

/* Everything else zero. */
void database_maker_open(struct database_maker *maker, struct cache *cache);
/* Writes what was learnt about patterns, and closes the cache. */
void database_maker_close(struct database_maker *maker);

/* All of them, or ERR_CONFIG (a job has `error`) or ERR_MEMORY, and then none. Jobs whose
 * databases would be the same have but one. `*scratch` fits all of them, and is the caller's to
 * free. (To ask Hyperscan for it reads each database once more: that is done in the threads
 * that have just read them.) */
MUST_USE enum err databases_make(struct database_maker *maker, struct database_job *jobs,
                                 unsigned count, struct hs_scratch **scratch);
void database_job_clear(struct database_job *job);

/* Fills in `fits` of each. */
MUST_USE enum err database_fits(struct database_maker *maker, struct database_fit *fits,
                                unsigned count);

struct database_cpu database_cpu(void); /* this one */
void database_name(const struct database_job *job, const struct database_cpu *cpu,
                   struct cache_name *name);
/* The entry of what is known of patterns, for the build `build`. */
void database_facts_name(const struct database_cpu *cpu, struct span build,
                         struct cache_name *name);

#endif
