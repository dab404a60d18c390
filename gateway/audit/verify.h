/*
 * Whether an audit log is whole: its seals in order, each signed by the key that the one before
 * it named, and between them the records that they speak of. Needs no secret.
 */
#ifndef SALLYPORT_VERIFY_H
#define SALLYPORT_VERIFY_H

#include "gateway/audit/seal.h"
#include "gateway/audit/segments.h"

enum { VERIFY_PROBLEMS_MAX = 200 };

enum verify_kind {
    VERIFY_EDIT,
    VERIFY_DELETE,
    VERIFY_REORDER,
    VERIFY_INSERT,
    VERIFY_TRUNCATE,
    VERIFY_SWAP,
    VERIFY_RESEAL,
    VERIFY_DUPLICATE,
    VERIFY_UNREADABLE,
    VERIFY_KINDS
};
const char *verify_kind_name(enum verify_kind kind);

struct verify_problem {
    enum verify_kind kind;
    const char *file; /* NULL: the log as a whole */
    uint64_t seq;     /* record, or line of the seal file; 0: none in particular */
    const char *text;
};

struct verify {
    struct arena *arena;
    struct verify_problem problems[VERIFY_PROBLEMS_MAX];
    unsigned count;
    uint64_t suppressed;               /* problems beyond that */
    uint64_t records, seals, unsealed; /* unsealed: records behind the last checkpoint */
    uint64_t older_lines, older_bytes; /* from before the chain began */
    uint64_t hidden;                   /* of evidence: records of which there is but the leaf */
    uint64_t pruned;                   /* segments that retention deleted */
    uint64_t reserved_bytes;           /* that wait in the reserve */
    uint64_t segments;
    /* Of evidence: */
    struct span query;       /* its terms */
    uint64_t beside;         /* records that are shown although their time is not asked for */
    uint64_t unproven;       /* that have the values asked for, and are not shown */
    uint64_t unknown;        /* records that no roster tells of */
    uint64_t pruned_records; /* that retention had deleted before */
    bool proves;             /* the query is one that rosters, or times alone, answer */
    bool complete;           /* nothing that answers was left out of what seals tell of */
    char key[64];            /* that signed the first line, in base64 */
    struct span from, to;    /* times of the first and last seal */
};

/* `pinned`: the key that must have begun the chain, in base64, or NULL. */
MUST_USE enum err verify_log(struct verify *verify, const char *path, const char *pinned,
                             struct arena *arena);
/* The file that `audit export` made. */
MUST_USE enum err verify_evidence(struct verify *verify, const char *path, const char *pinned,
                                  struct arena *arena);
void verify_add(struct verify *verify, enum verify_kind kind, const char *file, uint64_t seq,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* All seals of a file up to the first one that is not good; problems are added. */
struct seal_list {
    struct seal_entry *items;
    struct span *lines; /* as they stand in the file */
    size_t count, room;
};
MUST_USE enum err seals_read(struct verify *verify, struct seal_list *list, struct lines *from,
                             const char *file, const char *pinned);
/* One more line; false: it is not good, and was told. */
bool seals_add(struct verify *verify, struct seal_list *list, struct span line,
               const char *file, const char *pinned);

#endif
