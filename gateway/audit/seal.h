/*
 * Signed checkpoints of the chain, in a file of their own beside the audit file (PATH.seal),
 * and the state from which sealing goes on (PATH.state, and a copy in memory that the master
 * holds).
 *
 * One JSON line each:
 *
 *     {"seal":"checkpoint","time":...,"segment":S,"seq":N,"bytes":B,"head":H,
 *      "from":...,"to":...,"roster":R,"next":K,"sig":X}
 *
 * `head` is the chain's head behind record N, which ends at byte B of segment S. `roster` is
 * the root over the values of the records since the seal before (roster.h), and `from` and `to`
 * are their earliest and latest @timestamp; a recorder that took over from one that fell, and
 * has not seen all of them, leaves the three out. `sig` is the Ed25519 signature over the line
 * up to it; `next` is the key that signs the line after this one. A signing key signs one line
 * and is wiped, so who takes over the host can sign nothing that is older than the last
 * checkpoint. The first line, `genesis`, names its own key: that is what an operator writes
 * down elsewhere.
 *
 * State is kept twice and written in turns, each with a check sum: a process that is killed
 * while it writes leaves the other one.
 */
#ifndef SALLYPORT_SEAL_H
#define SALLYPORT_SEAL_H

#include "gateway/audit/chain.h"
#include "gateway/audit/ring.h"
#include "gateway/audit/roster.h"

enum { SEAL_KEY_BYTES = 32, SEAL_SECRET_BYTES = 64, SEAL_LINE_MAX = 1024, SEAL_LAYOUT = 2 };
enum { SEAL_PATH_MAX = 4096 + 32 };

enum seal_kind {
    SEAL_GENESIS, /* the chain's first line */
    SEAL_OPEN,    /* a segment begins at byte `bytes` of its file */
    SEAL_CHECKPOINT,
    SEAL_CLOSE,  /* a segment is complete; `bytes` is its size */
    SEAL_PRUNED, /* segment `segment` was deleted because of its age or size */
    SEAL_KINDS
};

struct seal_state {
    uint32_t magic;
    uint64_t turn; /* of the two copies, the higher one is the newer */
    uint64_t path; /* hash of the audit file's path: another file has another chain */
    struct chain chain;
    uint8_t secret[SEAL_SECRET_BYTES]; /* signs the next line */
    uint64_t segment, segment_first, segment_began_us;
    uint64_t bytes; /* of the segment's file: the end of record chain.seq */
    uint64_t device, inode;
    uint64_t seal_bytes;            /* of PATH.seal: the end of the last line that counts */
    uint64_t sealed_seq, sealed_us; /* the last line */
    uint8_t check[CHAIN_BYTES];
};

/* In master-held memory, mapped by the recorder alone. */
struct seal_memory {
    struct seal_state state[2];
    struct ring_acks acks[2]; /* drain.h's */
};

struct seal {
    int fd, state_fd;
    struct seal_memory *memory; /* NULL: files only */
    struct seal_state state;
    struct roster *roster; /* of the records since the last line; NULL: nobody keeps one */
    uint64_t reserved;     /* room in the seal file up to here */
    bool fresh;            /* this chain began now */
};

/*
 * Goes on from memory, else from the file, else begins a chain. Lines behind the state in the
 * seal file were not acknowledged, and are cut off.
 */
MUST_USE enum err seal_open(struct seal *seal, const char *path, struct seal_memory *memory,
                            uint64_t now_us);
void seal_close(struct seal *seal);
/* Signs and appends one line; `segment` and `bytes` are those of the state but for PRUNED. The
 * state has moved on, but is not saved. ERR_WRITE: nothing has changed. */
MUST_USE enum err seal_line(struct seal *seal, enum seal_kind kind, uint64_t segment,
                            uint64_t bytes, uint64_t now_us);
/* To memory; to the file too; and that synced. */
enum seal_depth { SEAL_TO_MEMORY, SEAL_TO_FILE, SEAL_TO_DISK };
MUST_USE enum err seal_save(struct seal *seal, enum seal_depth depth);

/* One line as it stands in a file; for verify and export. */
struct seal_entry {
    enum seal_kind kind;
    uint64_t segment, seq, bytes;
    uint8_t head[CHAIN_BYTES], next[SEAL_KEY_BYTES], key[SEAL_KEY_BYTES];
    struct span time; /* into the line */
    bool has_roster;
    uint64_t from_us, to_us;
    uint8_t roster[ROSTER_HASH];
};
/* False when it is not such a line, or `key` did not sign it; genesis is checked by its own. */
MUST_USE bool seal_parse(struct span line, const uint8_t key[SEAL_KEY_BYTES],
                         struct seal_entry *entry);
/* The state file's newer good copy; for verify. */
MUST_USE bool seal_state_read(const char *path, struct seal_state *state);

#endif
