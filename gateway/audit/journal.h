/*
 * The audit file as a whole: sealed lines in segments, the spill for a full disk, and what a
 * crash left. Used by the recorder alone.
 *
 * PATH is the segment that grows; PATH.000001 and so on are complete ones, PATH.000001.zst when
 * they are compressed (segments.h). On opening, lines that were written but not acknowledged
 * are followed and taken over, so a record is written once, whatever was killed when; a torn
 * line is cut off, and a gap record tells of it.
 */
#ifndef SALLYPORT_JOURNAL_H
#define SALLYPORT_JOURNAL_H

#include "gateway/audit/record.h"
#include "gateway/audit/seal.h"
#include "gateway/audit/sink.h"
#include "gateway/audit/spill.h"

enum { CHECKPOINT_RECORDS = 1000, RECOVERED_MAX = 8192 };

struct journal_conf {
    const char *path; /* NULL: standard output; no seals, segments or spill then */
    bool sync;
    uint64_t spill_bytes;  /* 0: none */
    uint64_t rotate_bytes; /* 0: never */
    uint64_t rotate_us;    /* 0: never */
};

struct journal {
    struct journal_conf conf;
    struct sink sink;
    struct seal seal; /* its state is that of the last acknowledged record */
    struct spill spill;
    struct chain chain;               /* of the last record in the sink's buffer */
    uint8_t opened_head[CHAIN_BYTES]; /* before what a crash left was taken up */
    uint64_t bytes;                   /* of the file, with what is in spill and buffer */
    struct roster *roster;            /* of all up to there since the last seal */
    bool spilling;
    bool stuck;   /* neither file nor spill took the last batch */
    bool rotated; /* for the caller to look at old segments; it takes the flag down */
    uint64_t rotate_again_us, look_again_us;
    uint8_t (*recovered)[CHAIN_BYTES]; /* leaves of lines that rings may bring once more */
    unsigned recovered_count, recovered_left;
    char line[RECORD_BYTES_MAX];
};

/* ERR_BUSY: somebody else writes this log. */
MUST_USE enum err journal_open(struct journal *journal, const struct journal_conf *conf,
                               struct seal_memory *memory, uint64_t now_us);
/* ERR_LIMIT: flush first. ERR_SYNTAX: not a line of ours. */
MUST_USE enum err journal_line(struct journal *journal, struct span line);
/* OK: all lines are in the file (or the spill), and synced if so configured. */
MUST_USE enum err journal_flush(struct journal *journal);
/* Checkpoints, rotation, what the spill holds: once a turn. */
void journal_tick(struct journal *journal, uint64_t now_us);
/* After SIGUSR1: somebody moved the file away. */
MUST_USE enum err journal_reopen(struct journal *journal, uint64_t now_us);
void journal_close(struct journal *journal, uint64_t now_us);
/* A gap record of the journal's own. */
void journal_gap(struct journal *journal, uint64_t now_us, const char *reason,
                 const uint64_t lost[RECORD_CLASSES]);

/* PATH.000001 */
MUST_USE bool segment_name(struct text *out, const char *path, uint64_t segment);

#endif
