/* What the request and the response parser share: framing and Connection. */
#ifndef SALLYPORT_HEAD_COMMON_H
#define SALLYPORT_HEAD_COMMON_H

#include "gateway/http/message.h"

/*
 * The one framing that the fields tell: `*kind` stays as it is when they tell none, and then
 * `*length` is 0.
 */
MUST_USE enum http_error framing_parse(const struct fields *fields, unsigned minor,
                                       enum body_kind *kind, uint64_t *length);

struct connection_said {
    bool keep_alive; /* with the default of the version */
    bool upgrade;
};

/* What Connection says; to be read before fields_drop_hop_by_hop. */
struct connection_said connection_read(const struct fields *fields, unsigned minor);

/* `HTTP/1.0` or `HTTP/1.1` at `p`, where 8 bytes stand. -1 when it is neither. */
int version_minor(const char *p);

#endif
