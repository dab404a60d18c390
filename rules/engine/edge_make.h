/*
 * Which place of a pattern is looked for by edges (edge.h), and the automaton of several: a
 * DFA by subset construction over byte classes.
 */
#ifndef SALLYPORT_RULES_EDGE_MAKE_H
#define SALLYPORT_RULES_EDGE_MAKE_H

#include "rules/engine/edge.h"
#include "rules/engine/need.h"
#include "rules/engine/nfa.h"

enum {
    EDGE_STARTS_MAX = 32, /* alternatives of one pattern */
    EDGE_PARTS_MAX = 128, /* of one alternative */
};

/* A place of one alternative: before `parts[at]`. */
struct edge_start {
    const struct rx_node *const *parts; /* one after the other */
    unsigned count, at;
    bool back; /* what is before it counts, and the first byte behind it */
    struct byte_set first;
};

/* Every match has one of them. */
struct pattern_edges {
    struct edge_start items[EDGE_STARTS_MAX];
    unsigned count;
};

/* What it takes to make them; for load only. */
struct edge_room {
    struct arena *arena; /* of trees, too: until all are made */
    struct edge_maker *maker;
    struct nfa nfa;
    struct nfa_set sets[3];
};

/* Of a pattern as Hyperscan gets it. NULL: there is none by which plain text is told, or no
 * more memory in the room: it is looked for without edges then. */
const struct pattern_edges *edges_choose(struct edge_room *room, const char *text,
                                         unsigned flags);
/* Whether plain text has it, in one case or the other. */
bool edges_plain_has(struct span text);
/* Whether a pattern that is told by its ways is asked about plain text nevertheless. */
bool edges_are_worth_it(const struct pattern_ways *ways);
/* Of all of these patterns together, in `arena`. NULL: they take too much, or there is no more
 * memory in the room. */
MUST_USE enum err edges_make(struct edge_room *room, const struct pattern_edges *const *of,
                             unsigned count, struct arena *arena, const struct edges **made);

#endif
