/*
 * The files of an audit log, and reading lines from them: PATH.000001 or PATH.000001.zst and so
 * on, then PATH, and what the reserve holds. For the command line; the recorder only writes.
 *
 * A compressed segment is a row of zstd frames of whole lines, so any tool reads it, and beside
 * it PATH.000001.idx says of each frame what is in it (blocks.h).
 */
#ifndef SALLYPORT_SEGMENTS_H
#define SALLYPORT_SEGMENTS_H

#include "gateway/audit/chain.h"
#include "gateway/base/arena.h"

enum { SEGMENTS_MAX = 100000, LINES_WINDOW = 1024 * 1024 + 256 * 1024 };

struct segment {
    const char *path;
    uint64_t number; /* of the name; UINT64_MAX: the one that grows */
    uint64_t size;
    uint64_t modified_us;
    int fd; /* of the one that grows, held: its name may be another file's soon; else -1 */
    bool compressed;
};

struct segments {
    struct segment *items;
    size_t count;
};

/*
 * By number, the growing one last. A number that is there twice (a compression cut short) is
 * taken once, uncompressed. While a recorder rotates, compresses and prunes, this is the log as
 * it was at one moment. ERR_BUSY: it changed all the time.
 */
MUST_USE enum err segments_list(struct segments *segments, const char *path,
                                struct arena *arena);
void segments_close(struct segments *segments);

/* Whole lines, a window at a time. */
struct lines {
    int fd;
    bool compressed;
    void *stream; /* ZSTD_DStream */
    char *input, *window;
    size_t input_len, input_at;
    size_t len, used; /* in the window */
    uint64_t offset;  /* of the window's first byte in the text */
    uint64_t until;   /* compressed bytes are read up to here; 0: all */
    bool ended, torn; /* torn: the text ended within a line */
    /* Most lines without this text are passed over; what is answered may lack it, too. */
    struct span wanted;
    enum err error;
};

MUST_USE enum err lines_open(struct lines *lines, const char *path, bool compressed);
/* The same of a segment, also of one that was rotated or compressed since it was listed.
 * ERR_MISSING: retention has deleted it. */
MUST_USE enum err segment_open(struct lines *lines, const struct segment *segment);
/* Begins at a byte of the file (of a frame, where it is compressed) and ends before `until`. */
void lines_seek(struct lines *lines, uint64_t from, uint64_t until);
/* The next line, without its end; good until the next call. False at the end or on an error. */
MUST_USE bool lines_next(struct lines *lines, struct span *line);
void lines_close(struct lines *lines);

#endif
