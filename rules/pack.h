/*
 * Packs as rules: the rows of rules/packs/ in the form that the compiler takes.
 */
#ifndef SALLYPORT_RULES_PACK_LOAD_H
#define SALLYPORT_RULES_PACK_LOAD_H

#include "rules/own/rule.h"
#include "rules/packs/pack.h"

size_t pack_count(const struct pack_rule *const *families);

/* Writes pack_count rules at `rules`. */
MUST_USE enum err pack_read(const struct pack_rule *const *families, struct rule_source *rules,
                            struct arena *arena);

#endif
