/*
 * Message bodies: where they end. The chunked decoder is incremental and strict (RFC 9112
 * section 7.1): CR LF everywhere, 1 to 16 hexadecimal digits, no white space around the size,
 * extensions only as tokens and quoted strings and bounded by CHUNK_LINE_MAX, the whole of size
 * lines bounded to a share of the data (CHUNK_OVERHEAD), trailers parsed as fields, with
 * framing and routing names refused there. The result is the same whole or byte by byte.
 */
#ifndef SALLYPORT_FRAMING_H
#define SALLYPORT_FRAMING_H

#include "gateway/http/message.h"

enum { CHUNK_LINE_MAX = 256, TRAILER_BYTES_MAX = 8 * 1024, TRAILER_FIELDS_MAX = 32 };
/* Bytes that are not data: so many for each byte of data, and a start that is free. */
enum { CHUNK_OVERHEAD = 8, CHUNK_OVERHEAD_FREE = 16 * 1024 };

/* Reads one body. Zeroed, then body_begin. */
struct body_reader {
    enum body_kind kind;
    uint64_t left;     /* LENGTH: bytes to come; CHUNKED: of this chunk */
    uint64_t total;    /* bytes of data so far */
    uint64_t overhead; /* CHUNKED: bytes that were not data */
    uint8_t state;
    uint8_t digits;
    uint16_t line; /* bytes of the current size or trailer line */
    bool ended;
    enum http_error error;
    struct text *trailer; /* where trailer bytes gather; set on the first one */
    struct arena *arena;
};

void body_begin(struct body_reader *body, enum body_kind kind, uint64_t length,
                struct arena *arena);

/*
 * Takes bytes from `*input` and cuts them off there. Answers the next run of data, a span into
 * the input; empty when input ran out, the body ended (`ended`) or an error was met (`error`).
 */
struct span body_next(struct body_reader *body, struct span *input);

/* The connection was closed: true when that ends this body well (BODY_CLOSE), else it is cut
 * short. */
bool body_at_close(struct body_reader *body);

/*
 * After `ended`: the trailer fields of a chunked body, if any. HTTP_TRAILER when they are
 * malformed or have a name that may not stand there: then the body has not ended well.
 */
MUST_USE enum http_error body_trailers(const struct body_reader *body, struct fields *trailers);

#endif
