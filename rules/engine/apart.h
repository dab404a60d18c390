/*
 * Patterns taken apart: alternatives that many texts may match by the look of them must not
 * drag along those for which nearly every text lacks something. Where the whole pattern
 * matches, one of its pieces does, and nowhere else.
 */
#ifndef SALLYPORT_RULES_APART_H
#define SALLYPORT_RULES_APART_H

#include "rules/engine/build.h"

enum { APART_MAX = 8 }; /* pieces of one pattern */

/* As a user wrote it; one piece: it is best left whole. */
MUST_USE enum err plan_apart(struct plan_builder *b, struct span source, struct span *pieces,
                             unsigned *count);

#endif
