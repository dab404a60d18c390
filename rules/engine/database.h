/*
 * Patterns to Hyperscan databases: from the cache, or compiled by several threads at once, the
 * largest first, at low priority, so that workers of the generation before serve on as if
 * nothing was the matter. At load, in a process that has no other threads yet.
 *
 * The name of a database in the cache is a digest of all it is made of: mode, patterns, flags
 * and numbers, the library's version and the processor's features.
 */
#ifndef SALLYPORT_RULES_DATABASE_H
#define SALLYPORT_RULES_DATABASE_H

#include "gateway/base/text.h"
#include "rules/engine/cache.h"

struct hs_database;
struct hs_platform_info;

enum {
    FITS_MAX = 8192, /* patterns of which it is remembered whether they can be compiled */
};

struct database_job {
    const char *const *texts;
    const unsigned *flags, *ids;
    unsigned count, mode;
    struct hs_database *db; /* made; the caller's to free */
    struct cache_name name;
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
    struct fits *fits;        /* those known, from the cache */
    unsigned found, compiled; /* databases */
    unsigned tried;           /* patterns by themselves */
};

/* Everything else zero. */
void database_maker_open(struct database_maker *maker, struct cache *cache);
/* Writes what was learnt about fits, and closes the cache. */
void database_maker_close(struct database_maker *maker);

/* All of them, or ERR_CONFIG (a job has `error`) or ERR_MEMORY, and then none. */
MUST_USE enum err databases_make(struct database_maker *maker, struct database_job *jobs,
                                 unsigned count);
void database_job_clear(struct database_job *job);

/* Fills in `fits` of each. */
MUST_USE enum err database_fits(struct database_maker *maker, struct database_fit *fits,
                                unsigned count);

/* For tests: `platform` NULL is this processor. */
void database_name(const struct database_job *job, const struct hs_platform_info *platform,
                   struct cache_name *name);

#endif
