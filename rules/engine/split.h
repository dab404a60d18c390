/*
 * Patterns in pieces.
 *
 * Hyperscan refuses what becomes too large an automaton, and an alternation is the usual cause:
 * `P(?:a|b|c|d)S` matches where `P(?:a|b)S` or `P(?:c|d)S` does. And alternatives of which some
 * are seldom possible are better asked about apart from the others.
 */
#ifndef SALLYPORT_RULES_SPLIT_H
#define SALLYPORT_RULES_SPLIT_H

#include "gateway/base/arena.h"

/*
 * Cuts the pattern's longest alternation that no quantifier, look-around or condition is tied
 * to. False: there is none, the pattern has back references (whose numbers would change their
 * meaning), flags in its middle, comments or quotations, or memory is out. Groups keep their
 * numbers in both halves only where no group is in the other; so the halves are for finding,
 * never for captures.
 */
MUST_USE bool pattern_split(struct span source, struct arena *arena, struct span halves[2]);

enum { SPLIT_ALTERNATIVES_MAX = 32 };

/* A pattern that is one of some alternatives, in what stands around all of them: groups, flags.
 */
struct split_alternatives {
    struct span before, behind, items[SPLIT_ALTERNATIVES_MAX];
    unsigned count;
};

/* False: it is no such pattern, or has too many, or what it has in it is better left whole. Of
 * alternatives with the same around them, each matches where the whole does by it. */
bool pattern_alternatives(struct span source, struct split_alternatives *out);

#endif
