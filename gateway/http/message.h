/*
 * The parsed messages. One struct serves rules, policy, record and writer, so that nothing can
 * differ inside. Spans point into the transaction's arena and live as long as it does.
 */
#ifndef SALLYPORT_MESSAGE_H
#define SALLYPORT_MESSAGE_H

#include "gateway/base/addr.h"
#include "gateway/http/fields.h"

enum http_error {
    HTTP_OK,
#define HTTP_ERROR(name, status, slug, text) HTTP_##name,
#include "gateway/http/http_error.def"
#undef HTTP_ERROR
    HTTP_ERROR_COUNT
};

int http_error_status(enum http_error error);
struct span http_error_slug(enum http_error error);
struct span http_error_text(enum http_error error);

enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_PATCH,
    METHOD_CONNECT,
    METHOD_TRACE,
};

/* How a body ends. */
enum body_kind {
    BODY_NONE,
    BODY_LENGTH,  /* `length` bytes, may be 0 */
    BODY_CHUNKED, /* RFC 9112 section 7.1 */
    BODY_CLOSE,   /* responses only: to the end of the connection */
};

struct request {
    struct span method;
    enum method method_id;
    struct span target; /* as received, for the record only */
    /*
     * The canonical path: percent-decoded once, dot segments resolved, starting with `/`. Rules
     * and policy use it. `path_wire` is its one encoding, which upstream receives. With the
     * route's `preserve_encoded`, `path` holds the same bytes as `path_wire`. Routes are found
     * by `path_plain`: without `;` parameters, since to Tomcat and its kin `/admin;x` is
     * `/admin`, and in any case decoded and without empty segments.
     */
    struct span path, path_wire, path_plain;
    struct span query; /* as received, without `?`; `has_query` tells an empty one from none */
    bool has_query;
    struct span scheme;   /* "http" or "https": how the client reached us */
    struct span host;     /* lower case, no port, no trailing dot, IPv6 with brackets */
    uint16_t port;        /* of the Host field, 0 when it had none */
    uint8_t minor;        /* HTTP/1.minor as received: 0 or 1 */
    struct span protocol; /* as received: "HTTP/1.1"; NULL pointer: another way, see minor */
    struct fields fields;
    struct fields trailers; /* filled in when a chunked body has ended */
    enum body_kind body;
    uint64_t length;
    bool keep_alive; /* the client's wish */
    bool expect_continue;
    bool websocket; /* a well-formed RFC 6455 opening handshake */
    bool http2;     /* how it came; `minor` is 1 then, as it goes on */
};

struct response {
    int status;
    struct span reason;
    uint8_t minor;
    struct fields fields;
    struct fields trailers;
    enum body_kind body;
    uint64_t length;
    bool keep_alive;
    bool websocket; /* a 101 that completes the handshake that was asked */
};

enum method method_of(struct span name);
bool method_is_idempotent(enum method method); /* RFC 9110 section 9.2.2; METHOD_OTHER is not */

#endif
