/* How the bodies of requests are read for rules: the limits, and what a strict route refuses.
 */
#ifndef SALLYPORT_RULES_BODIES_H
#define SALLYPORT_RULES_BODIES_H

#include "gateway/chain/txn.h"
#include "gateway/http/body.h"

enum {
    BODY_PARTS_MAX = 256,
    BODY_FILES_MAX = 100,
    BODY_PART_HEADERS_MAX = 16,
    BODY_PART_HEADER_BYTES_MAX = 4096,
    BODY_JSON_DEPTH_MAX = 128,
    BODY_JSON_NAME_BYTES_MAX = 4096,
    BODY_XML_DEPTH_MAX = 128,
    BODY_XML_TEXT_BYTES_MAX = 1024 * 1024,
};

/*
 * `values`: arguments of a form, values of JSON, attributes of XML. `seed`: random, for keys of
 * JSON. The content codings are off when a stage sees a body.
 */
void bodies_limits(struct body_limits *limits, unsigned values, const struct siphash_key *seed);

/* Whether the body has no reading or several, and the route is strict about that. */
bool bodies_refused(const struct txn *txn, const struct body *body);

#endif
