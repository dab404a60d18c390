/*
 * Request and response heads of HTTP/1 (RFC 9112), strict: one reading or none. Refused, though
 * the RFC lets a recipient repair: bare LF, leading blank lines, repeated spaces in the request
 * line, obs-fold, space before the colon, obs-text outside values, HTTP/0.9, a 1.1 request
 * without exactly one Host, absolute-form whose authority differs from Host, Content-Length
 * beside Transfer-Encoding, repeated Content-Length (even equal), any coding but a single
 * `chunked`, Transfer-Encoding in HTTP/1.0, and Connection nominating a field that carries
 * framing or routing. An HTTP/1.0 request without Host is refused too: what went on upstream
 * as 1.1 would lack it. Pure functions: no allocation but from the arena, no I/O.
 *
 * Both parsers leave hop-by-hop fields, and fields that Connection nominates, `dropped`; Expect
 * too, since the gateway itself answers it. What they said stands in the message.
 */
#ifndef SALLYPORT_HEAD_H
#define SALLYPORT_HEAD_H

#include "gateway/http/message.h"
#include "gateway/http/uri.h"

struct head_limits {
    size_t head_bytes;     /* request line and fields together; over it 431 */
    size_t uri_bytes;      /* over it 414 */
    unsigned fields;       /* over it 431 */
    bool preserve_encoded; /* see uri.h; decided per route, so the path may be parsed again */
};

/* Where the search for the empty line stands, so that a slow sender costs no more than a fast
 * one. */
struct head_scan {
    size_t seen;
};

enum { HEAD_MORE = -1, HEAD_BAD = -2, HEAD_LARGE = -3 };

/*
 * Length of the head at p[0..len), its empty line included; HEAD_MORE when it is not complete;
 * HEAD_BAD for a LF without CR before it, a leading CR or LF, or a NUL; HEAD_LARGE when it is
 * longer than `limit`. `p` holds the same bytes from the same start at every call with the same
 * scan.
 */
ssize_t head_scan(struct head_scan *scan, const char *p, size_t len, size_t limit);

/*
 * `head` is a whole head as measured by head_scan, in memory that outlives `req`. Fills in all
 * but `scheme`. On an error, what was understood so far stands (method, target), for the
 * record.
 */
MUST_USE enum http_error request_parse(struct request *req, struct span head,
                                       struct arena *arena, const struct head_limits *limits);

/*
 * An upstream's answer to `req`. Framing errors, garbage and heads with both framings are
 * errors (never repaired). 1xx other than 101 is returned as it is: the caller goes on reading.
 * A 101 that `req` did not ask for or that does not carry the right Sec-WebSocket-Accept is an
 * error. Responses to HEAD, 1xx, 204 and 304 have BODY_NONE whatever their fields say (RFC
 * 9112 6.3).
 */
MUST_USE enum http_error response_parse(struct response *rsp, struct span head,
                                        struct arena *arena, const struct head_limits *limits,
                                        const struct request *req);

#endif
