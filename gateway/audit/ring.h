/*
 * The way from a worker to the recorder: one ring per worker in shared memory that the master
 * holds, so that neither a killed worker nor a killed recorder loses a committed record. Single
 * producer, single consumer; a record is committed by moving `head` last. A worker that dies
 * half-way through leaves nothing, since it had not moved `head`.
 *
 * A full ring never blocks the worker: the loss is counted by class, and the recorder writes a
 * gap record.
 */
#ifndef SALLYPORT_RING_H
#define SALLYPORT_RING_H

#include "gateway/base/span.h"

enum {
    RING_BYTES = 2 * 1024 * 1024, /* power of two */
    RING_SLOTS = 64,
    RECORD_BYTES_MAX = 64 * 1024,
};

/* CLEARING: being claimed. ORPHAN: its worker is gone; drained, then freed. */
enum ring_state { RING_FREE, RING_CLEARING, RING_LIVE, RING_ORPHAN };
enum record_class { RECORD_FORWARDED, RECORD_DETECTED, RECORD_DECIDED, RECORD_CLASSES };

struct ring {
    _Alignas(64) uint64_t head; /* bytes ever committed; written by the worker only */
    uint64_t lost[RECORD_CLASSES];
    uint32_t state;             /* enum ring_state */
    int32_t pid;                /* of the worker */
    _Alignas(64) uint64_t tail; /* bytes ever drained; written by the recorder only */
    uint64_t lost_told[RECORD_CLASSES];
    _Alignas(64) char bytes[RING_BYTES];
};

/* The whole region, by the name "audit". */
struct rings {
    uint32_t layout;          /* RINGS_LAYOUT */
    uint32_t recorder_sleeps; /* a worker that commits then signals the eventfd */
    uint64_t sequence;        /* last sequence number written, kept across recorders */
    struct ring ring[RING_SLOTS];
};
enum { RINGS_LAYOUT = 1 };

struct ring_writer {
    struct rings *rings;
    struct ring *ring;
    int wake_fd; /* eventfd of the recorder, or -1 */
};

/* Takes a free ring for `pid` and clears it; ERR_BUSY when all are taken. */
MUST_USE enum err ring_claim(struct rings *rings, int32_t pid, unsigned *slot);
void ring_orphan(struct rings *rings, unsigned slot);
/* The recorder's: an orphan whose records and losses have all been told is free again. */
bool ring_free(struct ring *ring);

/* Commits one record (a JSON line without its newline); false: lost and counted. */
bool ring_commit(struct ring_writer *writer, enum record_class class, struct span record);

/*
 * Consumer side. Answers the next record, in place or in `scratch` (RECORD_BYTES_MAX) when it
 * wraps, and moves the cursor behind it; false when there is none. The cursor starts at `tail`.
 * The bytes stay until ring_release, which moves `tail`: call it only when the record is
 * written. A ring whose worker has written nonsense into it answers one gap record in place of
 * all that it holds.
 */
bool ring_peek(const struct ring *ring, uint64_t *cursor, struct span *record, char *scratch);
void ring_release(struct ring *ring, uint64_t cursor);

#endif
