/*
 * What scanning costs, measured here and now: of each database on samples of usual values, and
 * of each pattern by itself. For people; no decision depends on it.
 */
#ifndef SALLYPORT_RULES_COST_H
#define SALLYPORT_RULES_COST_H

#include "rules/engine/plan.h"

enum { COST_SAMPLES = 5 };

struct cost_sample {
    const char *name;
    size_t len;
};
extern const struct cost_sample cost_samples[COST_SAMPLES];

struct part_cost {
    unsigned class, part;
    size_t bytes;               /* of the database */
    unsigned patterns, openers; /* openers: texts that open other parts */
    uint64_t ns[COST_SAMPLES];  /* of one scan */
    bool asked[COST_SAMPLES];   /* whether the sample is scanned at all */
};

struct pattern_cost {
    unsigned pattern;     /* of the plan */
    uint64_t ps_per_byte; /* of text, scanned for this pattern alone: about ns per KiB */
};

struct plan_cost {
    struct part_cost *parts;
    unsigned part_count;
    struct pattern_cost *patterns; /* dearest first; plain texts are not measured one by one */
    unsigned pattern_count;
};

/* Compiles every pattern by itself: seconds. */
MUST_USE enum err plan_cost(struct plan_cost *cost, const struct sec_plan *plan,
                            struct arena *arena);

/* Rules that look for the pattern: their heads. */
unsigned cost_rules(const struct sec_plan *plan, unsigned pattern,
                    const struct sec_rule **rules, unsigned max);

#endif
