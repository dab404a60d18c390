/*
 * Content codings put on a body as it passes: gzip, br, zstd. An encoder holds a window and its
 * tables, and nothing else: what it may hold back is bounded by these, and `encoder_bytes` says
 * by how much.
 *
 * Levels are the ones that cost least for most of the gain; windows are small, since most
 * bodies are.
 */
#ifndef SALLYPORT_ENCODE_H
#define SALLYPORT_ENCODE_H

#include "gateway/http/decode.h"

/* With less, zlib writes the mark of a flush again and again. */
enum { ENCODE_ROOM_LEAST = 8 };

enum encode_op {
    ENCODE_MORE,  /* the rest may come later */
    ENCODE_FLUSH, /* all that went in can be read on the other side */
    ENCODE_END,
};

struct encoder {
    enum coding coding;
    void *state; /* NULL: closed */
    struct encoder_pool *pool;
};

/*
 * Encoders are large, and to make one costs more than to code a small answer: some are kept for
 * the next. What one has coded for somebody is nothing that it could repeat for another: a
 * fresh start forgets its window. A zeroed pool is an empty one that keeps nothing.
 */
enum { ENCODERS_KEPT = 4 /* of each coding */, CODING_COUNT = CODING_ZSTD + 1 };
struct encoder_pool {
    struct {
        void *states[ENCODERS_KEPT];
        unsigned count;
        unsigned least; /* that there were since the last trim: so many are too many */
    } kinds[CODING_COUNT];
    size_t bytes, bytes_max;
};
void encoder_pool_trim(struct encoder_pool *pool); /* now and then: lets go what is not used */
void encoder_pool_close(struct encoder_pool *pool);

/* What one of that coding takes at most, for its owner to count. */
size_t encoder_bytes(enum coding coding);
/* False: no memory, or none that we make. */
MUST_USE bool encoder_open(struct encoder *encoder, enum coding coding,
                           struct encoder_pool *pool); /* NULL: none is kept */
void encoder_close(struct encoder *encoder);           /* idempotent */

enum encode_result { ENCODE_DONE, ENCODE_ROOM, ENCODE_FAILED };
/*
 * Takes from `input` and writes to `room`, ENCODE_ROOM_LEAST bytes or more, of which `*made`
 * are used. ENCODE_ROOM:
 * again, with more room. ENCODE_DONE: the input is taken, and the operation complete.
 */
MUST_USE enum encode_result encoder_run(struct encoder *encoder, struct span *input,
                                        enum encode_op op, struct span room, size_t *made);

#endif
