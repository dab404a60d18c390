/*
 * Writes heads from the structures, never from received bytes. Fields that are `dropped` or hop
 * by hop are left out; framing and Connection are written from the arguments. Property held by
 * the fuzzer: parse(write(parse(x))) = parse(x).
 */
#ifndef SALLYPORT_WRITE_H
#define SALLYPORT_WRITE_H

#include "gateway/http/message.h"

struct wire_framing {
    enum body_kind body; /* NONE: no framing field at all */
    uint64_t length;
    bool keep_alive; /* false: `Connection: close` */
    bool keep_told;  /* `Connection: keep-alive`: HTTP/1.0 takes silence for close */
    bool websocket;  /* `Connection: Upgrade` and `Upgrade: websocket` */
};

/* Request line with path_wire and query, Host first (from req->host and port), then the fields.
 */
void write_request_head(struct text *out, const struct request *req,
                        struct wire_framing framing);
/*
 * Always HTTP/1.1. A status without body (1xx, 204) carries no framing field; an answer to HEAD
 * or a 304 may carry the length it would have had. The reason is the standard one of the
 * status.
 */
void write_response_head(struct text *out, const struct response *rsp,
                         struct wire_framing framing);
/* Hexadecimal size and CR LF; the caller writes data and CR LF. */
void write_chunk_head(struct text *out, uint64_t size);
/* The last chunk, with trailer fields that are allowed to travel. `trailers` may be NULL. */
void write_last_chunk(struct text *out, const struct fields *trailers);

struct span status_reason(int status); /* "Not Found"; "Unknown" for what has none */

#endif
