/*
 * From the rings into the journal. Records leave their ring when they are in the file, and each
 * is written once, wherever the recorder is killed: before a batch is written, how far it goes
 * in each ring is put down under the chain's head behind it (struct ring_acks). The next
 * recorder finds where the file ends, and under that head where it goes on in the rings. Only a
 * batch of which the kernel took a part has no such head: its whole lines are known again by
 * their content (recover.c), and a sum or a gap among them may be told twice.
 *
 * Used by the recorder alone.
 */
#ifndef SALLYPORT_AUDIT_DRAIN_H
#define SALLYPORT_AUDIT_DRAIN_H

#include "gateway/audit/captures.h"
#include "gateway/audit/flood.h"
#include "gateway/audit/journal.h"

enum { DRAIN_FLOODS_MAX = 256 /* told in one batch */ };

struct drain {
    struct rings *rings;
    struct journal *journal;
    struct ring_acks *acks;    /* two of them; NULL: the file is no chain's */
    struct captures *captures; /* NULL: none are kept */
    enum on_full on_full;
    int written_fd; /* eventfd of those who wait for a record, or -1 */
    uint64_t now_us;
    uint64_t cursor[RING_SLOTS]; /* behind what is in the journal's buffer */
    uint64_t told[RING_SLOTS][RECORD_CLASSES];
    uint64_t dropped[RECORD_CLASSES]; /* here, while the disk was full; not told yet */
    bool follows[RING_SLOTS];         /* cursor and told are of the ring's present life */
    uint64_t buffered;                /* records in the journal's buffer */
    struct {
        unsigned ring;
        struct flood_news news;
    } floods[DRAIN_FLOODS_MAX]; /* in the buffer, too */
    unsigned flood_count;
    char scratch[RECORD_BYTES_MAX];
};

/* The journal is open. */
void drain_open(struct drain *drain, struct rings *rings, struct journal *journal,
                struct seal_memory *memory);
struct drain_turn {
    bool any;     /* there was something to write */
    bool flushed; /* and what was there is in the file */
};
/* Once over all rings, and one batch. `look_for_dead`: their rings are emptied and freed. */
struct drain_turn drain_turn(struct drain *drain, uint64_t now_us, bool look_for_dead);
/* Behind drain_turn and journal_tick: those who wait are told, empty rings of the dead freed.
 */
void drain_settle(struct drain *drain);
/* What the workers are asked to do while the disk is full. */
void drain_pressure(struct drain *drain);
/* More has come since the last turn. */
MUST_USE bool drain_ready(const struct drain *drain);
MUST_USE bool drain_workers_left(const struct drain *drain);

#endif
