/*
 * Rules to a plan. Slow and allocating: for the generation process at load, never for a worker.
 */
#ifndef SALLYPORT_RULES_COMPILE_H
#define SALLYPORT_RULES_COMPILE_H

#include "conf/kinds.h"
#include "gateway/base/text.h"
#include "rules/plan.h"

/* A rule as it is written; everything in it outlives the plan. */
struct rule_source {
    struct span name;
    struct expr *when;
    struct texts match, in, transform;
    int action; /* enum rule_action */
    int64_t status, score;
    int severity; /* its score where none is given */
    struct span message;
    bool late; /* `when` asks for arguments */
};

struct database_maker;

/*
 * `rules` in their order. On ERR_CONFIG `why` says which rule cannot be compiled, and the
 * reason. Memory is the arena's, but for the databases: plan_free.
 */
MUST_USE enum err plan_compile(struct plan **plan, const struct rule_source *rules,
                               size_t count, struct arena *arena, struct text *why);
/* The same with databases from a cache. */
MUST_USE enum err plan_compile_with(struct database_maker *maker, struct plan **plan,
                                    const struct rule_source *rules, size_t count,
                                    struct arena *arena, struct text *why);
void plan_free(struct plan *plan);

#endif
