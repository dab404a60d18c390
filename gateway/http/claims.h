/*
 * Fields by which some proxy or framework is told where a request came from, or what it really
 * asks for: on the word of whoever wrote them. From a client that word is worth nothing, and a
 * backend that takes it is misled: about the address (limits, logs), the scheme (cookies), the
 * path or the method (access rules here were asked about another one).
 *
 * The names that the gateway writes itself are known ones (FIELD_OURS); these are all others.
 */
#ifndef SALLYPORT_CLAIMS_H
#define SALLYPORT_CLAIMS_H

#include "gateway/http/fields.h"

enum claim {
    CLAIM_NONE,
    CLAIM_ORIGIN, /* address, host, scheme, certificate, path: what a proxy in front may know */
    CLAIM_METHOD, /* another method: what a client of the application may mean */
};

/* In any spelling: case folded, `_` and `.` for `-`. */
enum claim field_claims(struct span name);
/*
 * Drops every such field but those named in `keep`: claims of origin are kept only when
 * `trusted`, that is from a proxy that may make them.
 */
void fields_drop_claims(struct fields *fields, const struct span *keep, size_t keep_count,
                        bool trusted);

#endif
