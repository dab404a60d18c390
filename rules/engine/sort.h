/*
 * What a plan's patterns need, and of which kind each of them is by that: which of them may
 * share a database.
 */
#ifndef SALLYPORT_RULES_SORT_H
#define SALLYPORT_RULES_SORT_H

#include "rules/engine/build.h"
#include "rules/engine/clusters.h"
#include "rules/engine/edge_make.h"
#include "rules/engine/need.h"

/* What is known of a pattern of the plan. */
struct sorted {
    struct pattern_need need;
    struct pattern_ways ways;
    struct byte_set gate;
    enum cluster_kind kind;
    /* Where it is told: a match has one of these texts, or one of these bytes. */
    struct span *texts;
    unsigned text_count;
    struct byte_set unless;
    unsigned others;                   /* values in a thousand that may match without a text */
    bool started;                      /* some of its ways are told by how a value begins */
    const struct pattern_edges *edges; /* NULL: none are known */
};

/* One for each pattern of the plan. */
MUST_USE enum err plan_sort(struct plan_builder *b, struct edge_room *edges,
                            struct sorted **patterns);

#endif
