/*
 * Large patterns in two: Hyperscan refuses what becomes too large an automaton, and an
 * alternation is the usual cause. `P(?:a|b|c|d)S` matches where `P(?:a|b)S` or `P(?:c|d)S`
 * does.
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

#endif
