/*
 * Content codings (RFC 9110 section 8.4.1) of a complete body: gzip, deflate (with and without
 * zlib's frame), br, zstd; up to DECODE_CODINGS_MAX on top of one another, `identity` left out.
 *
 * What comes out is bounded twice: in bytes, and as a multiple of what went in. Both hold for
 * each coding. Output is not in the arena, which is for what is small, but lives as long, and
 * is counted with the bodies that are held. Anything behind the end of a coded body is refused:
 * the backend may read it.
 */
#ifndef SALLYPORT_DECODE_H
#define SALLYPORT_DECODE_H

#include "gateway/http/fields.h"

enum {
    DECODE_CODINGS_MAX = 2,
    DECODE_RATIO_FREE = 64 * 1024 /* output below it has any ratio */
};

enum coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD };

enum decode_error {
    DECODE_OK,
    DECODE_UNKNOWN,   /* a coding that we do not have, or too many */
    DECODE_MALFORMED, /* the bytes are not of that coding */
    DECODE_TRUNCATED,
    DECODE_TRAILING,
    DECODE_OVER_BYTES,
    DECODE_OVER_RATIO,
    DECODE_MEMORY,
};

const char *decode_error_text(enum decode_error error);

struct decode_limits {
    size_t bytes;   /* of output */
    unsigned ratio; /* output for each byte of input */
    /* What all bodies of a worker hold together, and may; NULL: nobody counts. */
    size_t *held;
    size_t held_max;
    size_t *share; /* the client's part of that; NULL: not counted */
    size_t share_max;
};

struct codings {
    enum coding items[DECODE_CODINGS_MAX]; /* in the order in which they were applied */
    unsigned count;
};

/* Of all Content-Encoding lines. DECODE_OK or DECODE_UNKNOWN. */
MUST_USE enum decode_error codings_of(struct codings *codings, const struct fields *fields);

struct decode_memory;

struct decode {
    struct span output; /* when done and `error` is DECODE_OK; the input without codings */
    enum decode_error error;
    /* the decoder's */
    struct codings codings; /* those that are left, the last one next */
    struct decode_limits limits;
    struct arena *arena;
    struct span input;            /* of this coding */
    void *stream;                 /* NULL: this coding has not begun */
    struct decode_memory *memory; /* of the output; given back with the arena */
    size_t len, taken;
    bool raw; /* deflate without zlib's frame */
};

/* The input lives until all is done, without codings as long as the output. */
void decode_begin(struct decode *d, const struct codings *codings, struct span input,
                  const struct decode_limits *limits, struct arena *arena);
/* About `bytes` more of output. True when all is done. The decode stays where it is in memory.
 */
MUST_USE bool decode_run(struct decode *d, size_t bytes);

#endif
