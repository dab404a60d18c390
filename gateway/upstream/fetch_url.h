/*
 * What a client of HTTP has to read itself: where a redirect leads, and how long an answer may
 * be kept.
 */
#ifndef SALLYPORT_FETCH_URL_H
#define SALLYPORT_FETCH_URL_H

#include "conf/kinds.h"
#include "gateway/http/fields.h"

enum { FETCH_URL_BYTES_MAX = 2048 };

/* An http or https URL, copied to the arena with its host in lower case. NULL, or why not. */
const char *fetch_url(struct span text, struct arena *arena, struct url *url);
/*
 * Where an answer of `base` leads by its Location: an absolute URL, `//host/...` or `/path`; a
 * fragment is cut off. NULL, or why it is not followed: it is none of these, or it leads from
 * https to http.
 */
const char *fetch_url_join(const struct url *base, struct span location, struct arena *arena,
                           struct url *url);
/*
 * Seconds that an answer may be kept by its Cache-Control: 0 for no-store and no-cache, else
 * max-age; `otherwise` when it says neither or what cannot be read.
 */
uint64_t fetch_max_age(const struct fields *fields, uint64_t otherwise);

#endif
