/*
 * An HTTP/2 field section to a request (RFC 9113 section 8).
 *
 * The section is written down as the HTTP/1.1 head that says the same, and that is read by the
 * parser of HTTP/1: one validator, one reading, and nothing can be said in HTTP/2 that could
 * not be said there. Before a byte is written, each name must be a token in lower case and each
 * value free of CR, LF, NUL and spaces around it, so no piece can become two.
 *
 * Refused, too: pseudo-fields that are unknown, repeated, missing, empty or behind others
 * (8.3); fields of a connection, and TE but for `trailers` (8.2.2); a path that is no path;
 * :authority beside another Host (8.3.1). Cookie crumbs are joined (8.2.3).
 * A WebSocket (RFC 8441) becomes the opening handshake of RFC 6455, under a key of ours.
 */
#ifndef SALLYPORT_HTTP2_FIELDS_H
#define SALLYPORT_HTTP2_FIELDS_H

#include "gateway/http/head.h"

enum pseudo {
    PSEUDO_METHOD,
    PSEUDO_SCHEME,
    PSEUDO_AUTHORITY,
    PSEUDO_PATH,
    PSEUDO_PROTOCOL,
    PSEUDO_COUNT
};

/* One section while it arrives. In the transaction's arena. */
struct h2_section {
    struct arena *arena;
    const struct head_limits *limits;
    bool trailers;
    bool regular;              /* a field that is no pseudo-field has come */
    bool websocket, versioned; /* RFC 8441; Sec-WebSocket-Version has come */
    struct span pseudo[PSEUDO_COUNT];
    struct span host;     /* of the field */
    struct text lines;    /* the head */
    size_t start_bytes;   /* of that, its start line and Host */
    struct text cookies;  /* crumbs */
    struct text noted;    /* what came once it was refused */
    struct span priority; /* RFC 9218; for whoever schedules */
    size_t bytes;
    unsigned count;
    enum http_error error; /* the first one */
};

void h2_section_begin(struct h2_section *section, struct arena *arena,
                      const struct head_limits *limits, bool trailers);
void h2_section_add(struct h2_section *section, struct span name, struct span value);
/*
 * The section is complete. `*head` is the head as written; on an error one to be read
 * leniently, for evidence, and what was understood stands in `req`. `ended`: there is no body.
 * Fills in all but `scheme`.
 */
MUST_USE enum http_error h2_section_request(struct h2_section *section, struct request *req,
                                            struct span *head, bool tls, bool ended);
MUST_USE enum http_error h2_section_trailers(struct h2_section *section,
                                             struct fields *trailers);

/* `u=` and `i` (RFC 9218 section 4); what cannot be read counts as not there. */
struct priority {
    unsigned urgency;
    bool incremental;
};
struct priority priority_read(struct span value);

#endif
