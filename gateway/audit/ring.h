/*
 * The way from a worker to the recorder: one ring per worker in shared memory that the master
 * holds, so that neither a killed worker nor a killed recorder loses a committed record. Single
 * producer, single consumer; a record is committed by moving `head` last. A worker that dies
 * half-way through leaves nothing, since it had not moved `head`.
 *
 * A full ring never blocks the worker: the loss is counted by class, and the recorder writes a
 * gap record. The last part of a ring is kept for what matters: forwarded requests are lost
 * first, decisions last.
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

/* audit.durability: how far a decision's record has come before its answer is sent. */
enum durability {
    DURABILITY_BUFFERED, /* in the ring */
    DURABILITY_WRITE,    /* in the file */
    DURABILITY_SYNC,     /* on the disk */
};

/* audit.on_full: what gives way when records cannot be written. */
enum on_full {
    ON_FULL_DROP_LOW,    /* records of forwarded requests */
    ON_FULL_BLOCK,       /* requests wait */
    ON_FULL_FAIL_CLOSED, /* requests are refused */
};

/* What the recorder asks of the workers while it cannot write. */
enum pressure {
    PRESSURE_NONE,
    PRESSURE_DROP_LOW, /* forwarded requests are counted, not recorded */
    PRESSURE_HOLD,     /* new requests wait */
    PRESSURE_CLOSED,   /* new requests are refused */
};

/*
 * What repeats is told in sum (flood.h): the head of a line, which the worker writes once, and
 * how often it would have been written. `told` is the recorder's.
 */
enum { FLOOD_SLOTS = 64, FLOOD_LINE_BYTES = 1024 };
struct flood_slot {
    uint64_t key; /* 0: free */
    uint64_t began_us, last_us;
    uint64_t count, told;
    uint32_t len; /* of the line's head; 0: being written */
    char line[FLOOD_LINE_BYTES];
};

struct ring {
    _Alignas(64) uint64_t head; /* bytes ever committed; written by the worker only */
    uint64_t lost[RECORD_CLASSES];
    uint32_t state;             /* enum ring_state */
    int32_t pid;                /* of the worker */
    uint32_t waits;             /* the worker wants to be told when `tail` has moved */
    uint64_t life;              /* counts claims: a cursor is good for one of them */
    _Alignas(64) uint64_t tail; /* bytes ever drained; written by the recorder only */
    uint64_t lost_told[RECORD_CLASSES];
    _Alignas(64) struct flood_slot flood[FLOOD_SLOTS];
    _Alignas(64) char bytes[RING_BYTES];
};

/* The whole region, by the name "audit". */
struct rings {
    uint32_t layout;                  /* RINGS_LAYOUT */
    uint32_t recorder_sleeps;         /* a worker that commits then signals the eventfd */
    uint32_t kicked;                  /* a worker that waits has signalled it already */
    uint32_t pressure;                /* enum pressure; the recorder's */
    uint64_t sequence;                /* records written, kept across recorders; for `status` */
    uint64_t dropped[RECORD_CLASSES]; /* by the recorder, while the disk was full */
    uint64_t write_errors, flushes, file_bytes, spilled;
    struct ring ring[RING_SLOTS];
};
enum { RINGS_LAYOUT = 3 };

/*
 * How far the recorder has come with one ring, in memory that no worker maps. It is good for
 * the file as it is behind one record, which `head` of ring_acks names: file and rings can then
 * not disagree, wherever the recorder is killed.
 */
struct ring_ack {
    uint64_t life; /* 0: none */
    uint64_t cursor;
    uint64_t lost_told[RECORD_CLASSES];
    uint64_t flood_told[FLOOD_SLOTS];
};
enum { RING_ACK_HEAD_BYTES = 32 };
struct ring_acks {
    uint8_t head[RING_ACK_HEAD_BYTES]; /* of the chain, behind the last record */
    struct ring_ack ring[RING_SLOTS];
};

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
/* What stands aside from the records, captures say: it has at most half of the ring, and is
 * lost without a word. Several frames that belong together ask for room first. */
MUST_USE bool ring_has_room_aside(const struct ring_writer *writer, size_t bytes);
MUST_USE bool ring_commit_aside(struct ring_writer *writer, struct span bytes);
/* Wakes the recorder whether it sleeps or not: somebody waits for what was committed. */
void ring_kick(struct ring_writer *writer);
/* So full that requests now on their way may find no room for their records: the recorder does
 * not come along, or does not run. */
bool ring_is_filling(const struct ring_writer *writer);
/* What the recorder asks for; anything but its own words is PRESSURE_NONE. */
enum pressure ring_pressure(const struct rings *rings);

/*
 * Consumer side. Answers the next record, its line in place or in `scratch` (RECORD_BYTES_MAX)
 * when it wraps, and moves the cursor behind it; false when there is none. The cursor starts at
 * `tail`. The bytes stay until ring_release, which moves `tail`: call it only when the record
 * is written. A ring whose worker has written nonsense into it answers one gap record in place
 * of all that it holds.
 */
struct ring_record {
    struct span line;
    enum record_class class;
    bool damaged; /* the line is ours, and the rest of the ring was given up */
    bool aside;   /* no line: what ring_commit_aside was given */
};
bool ring_peek(const struct ring *ring, uint64_t *cursor, struct ring_record *record,
               char *scratch);
void ring_release(struct ring *ring, uint64_t cursor);

#endif
