/*
 * Counts the frames of a connection (RFC 9113 section 4.1) before nghttp2 sees them. Only
 * lengths, types and flags are read here: enough to hold every budget whatever the library does
 * with a frame, also with those that it ignores. The result is the same whole or byte by byte.
 */
#ifndef SALLYPORT_HTTP2_FRAMES_H
#define SALLYPORT_HTTP2_FRAMES_H

#include "gateway/http2/budget.h"

enum {
    FRAME_HEAD_BYTES = 9,
    PREFACE_BYTES = 24,
    /* A whole field section fits in one frame: more than a few pieces are an attack. */
    CONTINUATIONS_MAX = 8,
    BLOCK_BYTES_MAX = 64 * 1024, /* one field section, compressed */
    /* As for chunks in gateway/http/framing.h: heads and padding against data. */
    DATA_OVERHEAD = 8,
    DATA_OVERHEAD_FREE = 16 * 1024,
};

struct frames {
    struct budgets budgets;
    uint8_t head[FRAME_HEAD_BYTES];
    uint8_t have;    /* bytes of the head so far */
    uint8_t preface; /* bytes of the connection preface so far */
    bool pad_due;    /* the next byte is a pad length */
    uint8_t type, flags;
    uint32_t left;   /* of the payload */
    bool block_open; /* a field section is not complete */
    unsigned continuations;
    uint32_t block_bytes;
    uint64_t data_bytes, data_overhead;
    uint64_t since_us; /* when the frame or section that is not complete began */
};

/* FLOOD_COUNT: all is well. */
MUST_USE enum flood frames_count(struct frames *frames, struct span input, uint64_t now_us);

/* Something that must come in one go is half here, since `since_us`. Bodies have their own
 * deadline. */
bool frames_wait(const struct frames *frames);

extern const struct span http2_preface;

#endif
