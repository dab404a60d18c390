/*
 * Values that only rules of the configuration look at: the canonical path, the text of bodies,
 * and what a body says when it is read as what it looks like.
 *
 * Long texts stand as windows that overlap: in a text longer than OWN_WINDOW_BYTES a match is
 * found for sure if it spans at most OWN_WINDOW_OVERLAP bytes. So no single scan is long.
 */
#ifndef SALLYPORT_RULES_OWN_VALUES_H
#define SALLYPORT_RULES_OWN_VALUES_H

#include "gateway/http/body.h"
#include "rules/engine/plan.h"

enum { OWN_WINDOW_BYTES = 64 * 1024, OWN_WINDOW_OVERLAP = 8 * 1024 };

/* Of a head, as far as the plan looks at it. ERR_LIMIT: more than `limit` cookies. */
MUST_USE enum err own_values_head(struct sec_values *values, const struct sec_plan *plan,
                                  const struct request *req, unsigned limit);

/* The trailer fields of a body that has been read. */
MUST_USE enum err own_values_trailers(struct sec_values *values, const struct request *req);

/*
 * A body that has been read. `alone`: its arguments stand nowhere else; so it is with what
 * PROCESSOR_AUTO found beside another reading. ERR_LIMIT, ERR_MEMORY.
 */
MUST_USE enum err own_values_body(struct sec_values *values, const struct request *req,
                                  const struct body *body, bool alone);

#endif
