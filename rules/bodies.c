/* How the bodies of requests are read for rules. */
#include "rules/bodies.h"

#include "gateway/chain/route.h"

void bodies_limits(struct body_limits *limits, unsigned values, const struct siphash_key *seed)
{
    *limits = (struct body_limits){
        .values = values,
        .decoded = true,
        .multipart = { .parts = BODY_PARTS_MAX,
                       .files = BODY_FILES_MAX,
                       .headers = BODY_PART_HEADERS_MAX,
                       .header_bytes = BODY_PART_HEADER_BYTES_MAX },
        .json = { .depth = BODY_JSON_DEPTH_MAX,
                  .values = values,
                  .name_bytes = BODY_JSON_NAME_BYTES_MAX,
                  .seed = *seed },
        .xml = { .depth = BODY_XML_DEPTH_MAX,
                 .attributes = values,
                 .text_bytes = BODY_XML_TEXT_BYTES_MAX },
    };
}

bool bodies_refused(const struct txn *txn, const struct body *body)
{
    return txn->route != NULL && txn->route->body_policy == BODY_STRICT && body_refused(body);
}
