/*
 * Captured requests, sealed: what a request was, byte for byte, and the facts that its decision
 * rested on, for whoever holds the private key and for nobody else. The gateway has the public
 * key alone.
 *
 * A capture is, in the clear,
 *
 *     facts_len head_len body_len (4 bytes each, low first) | facts (JSON) | head | body
 *
 * cut into parts, each in a frame of its own:
 *
 *     magic, len | id (16) | part, parts (2 each) | seal (80) | nonce (24) | box
 *
 * `len` counts what follows it. `seal` is a key for one epoch of one worker, sealed to the
 * public key (X25519 with an ephemeral key, crypto_box_seal); `box` is the part under that key
 * (XChaCha20-Poly1305), with all that stands before the nonce authenticated. A worker forgets
 * an epoch's key after CAPTURE_EPOCH frames. Frames of one capture may stand apart, and twice.
 */
#ifndef SALLYPORT_AUDIT_CAPTURE_H
#define SALLYPORT_AUDIT_CAPTURE_H

#include "gateway/audit/ring.h"
#include "gateway/base/text.h"

enum {
    CAPTURE_KEY_BYTES = 32,
    CAPTURE_ID_BYTES = 16,
    CAPTURE_SEAL_BYTES = 80,
    CAPTURE_NONCE_BYTES = 24,
    CAPTURE_TAG_BYTES = 16,
    CAPTURE_FRAME_HEAD = 4 + 4 + CAPTURE_ID_BYTES + 4 + CAPTURE_SEAL_BYTES,
    CAPTURE_OVERHEAD = CAPTURE_FRAME_HEAD + CAPTURE_NONCE_BYTES + CAPTURE_TAG_BYTES,
    CAPTURE_PART_BYTES = 48 * 1024,
    CAPTURE_PARTS_MAX = 16,
    CAPTURE_BODY_MAX = 512 * 1024,
    CAPTURE_BYTES_MAX = CAPTURE_PART_BYTES * CAPTURE_PARTS_MAX,
    CAPTURE_EPOCH = 256, /* frames under one key */
    CAPTURE_KEY_TEXT = 43,
};
_Static_assert(CAPTURE_PART_BYTES + CAPTURE_OVERHEAD <= RECORD_BYTES_MAX,
               "a frame is a record");

struct capture_parts {
    struct span facts, head, body;
};

/* ---- sealing: a worker's ---- */

struct capture_sealer {
    uint8_t public[CAPTURE_KEY_BYTES];
    uint8_t key[CAPTURE_KEY_BYTES];
    uint8_t seal[CAPTURE_SEAL_BYTES];
    unsigned left; /* frames under this key */
};

/* The 43 characters of a public or private key (base64 without padding). */
MUST_USE bool capture_key_read(struct span text, uint8_t key[CAPTURE_KEY_BYTES]);
void capture_key_write(struct text *out, const uint8_t key[CAPTURE_KEY_BYTES]);
MUST_USE bool capture_key_pair(uint8_t public[CAPTURE_KEY_BYTES],
                               uint8_t secret[CAPTURE_KEY_BYTES]);

void capture_sealer_open(struct capture_sealer *sealer,
                         const uint8_t public[CAPTURE_KEY_BYTES]);
/* All frames into the ring, by way of `buffer` (RECORD_BYTES_MAX), or none: false. */
MUST_USE bool capture_commit(struct capture_sealer *sealer, struct ring_writer *writer,
                             const struct capture_parts *parts, char *buffer);

/* A worker's captures: which, and what becomes of them. */
struct worker;
struct capturing {
    uint64_t seen;          /* requests, for the sample */
    uint64_t second, taken; /* in that second */
    uint64_t lost;          /* the ring had no room */
    struct capture_sealer sealer;
    /* False: it was not kept. */
    bool (*take)(struct worker *worker, const struct capture_parts *parts);
};

/* ---- reading ---- */

struct capture_frame {
    uint8_t id[CAPTURE_ID_BYTES];
    unsigned part, parts;
    struct span bytes; /* the whole frame */
    size_t box_len;    /* of the part, in the clear */
};
/* The frame at the beginning. False: what stands there is no whole frame. */
MUST_USE bool capture_frame_read(struct span bytes, struct capture_frame *frame);

/* How long the frame is that begins so (CAPTURE_OVERHEAD bytes of it); 0: none does. */
uint64_t capture_frame_size(struct span head);

struct capture_opener {
    uint8_t public[CAPTURE_KEY_BYTES], secret[CAPTURE_KEY_BYTES];
    uint8_t seal[CAPTURE_SEAL_BYTES], key[CAPTURE_KEY_BYTES]; /* of the last frame */
    bool known;
};
MUST_USE bool capture_opener_open(struct capture_opener *opener,
                                  const uint8_t secret[CAPTURE_KEY_BYTES]);
void capture_opener_close(struct capture_opener *opener);
/* The part in the clear, into `out` (frame->box_len bytes). False: not for this key, or not as
 * it was written. */
MUST_USE bool capture_frame_open(struct capture_opener *opener,
                                 const struct capture_frame *frame, char *out);
/* What the parts together say. */
MUST_USE bool capture_parts_read(struct span clear, struct capture_parts *parts);

#endif
