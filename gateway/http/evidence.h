/*
 * What a refused head seems to say: for rules and the record, so that an attack in a malformed
 * request is known by its rule and not only by its syntax. As lenient as request_parse is
 * strict. It is never forwarded: the request stays refused, whatever stands here.
 */
#ifndef SALLYPORT_HTTP_EVIDENCE_H
#define SALLYPORT_HTTP_EVIDENCE_H

#include "gateway/http/head.h"

/*
 * Method, target, query, protocol and fields of `head`, as far as they can be told apart; all
 * else is empty, and there is no body. The target is everything between the first space and the
 * last one that a version follows; Transfer-Encoding takes Content-Length away. Stops silently
 * at the limits, and at the arena's ceiling.
 */
void request_evidence(struct request *req, struct span head, struct arena *arena,
                      const struct head_limits *limits);

#endif
