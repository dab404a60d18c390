/*
 * Where a match begins. Hyperscan tells only where it ends; for the record the same pattern is
 * run once more by PCRE2, up to that end, under match limits. Nothing is decided by it: a match
 * that cannot be located is recorded by its end.
 */
#ifndef SALLYPORT_RULES_LOCATE_H
#define SALLYPORT_RULES_LOCATE_H

#include "gateway/base/span.h"

enum { LOCATE_STEPS_MAX = 20000 };

struct locator; /* one compiled pattern: PCRE2's */

/* `text` as pattern_read made it. NULL when PCRE2 does not take it: its matches are then not
 * located. */
struct locator *locator_compile(const char *text, bool caseless);
void locator_free(struct locator *locator);

/* One per worker and plan. */
struct locate_local {
    void *match, *limits;
};
MUST_USE enum err locate_attach(struct locate_local *local);
void locate_detach(struct locate_local *local);

/* Start of the leftmost match in `text`, which ends where the match does; `otherwise` when
 * there is none. */
size_t locate(const struct locate_local *local, const struct locator *locator, struct span text,
              size_t otherwise);

#endif
