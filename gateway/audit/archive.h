/*
 * What becomes of complete segments: they are compressed and indexed, a block at a time so that
 * the rings do not wait, and deleted when they are too old or too many.
 */
#ifndef SALLYPORT_ARCHIVE_H
#define SALLYPORT_ARCHIVE_H

#include "gateway/audit/blocks.h"
#include "gateway/audit/seal.h"
#include "gateway/audit/segments.h"

struct archive_conf {
    const char *path;
    bool compress;
    uint64_t keep_us, keep_bytes; /* 0: for ever, any */
};

struct archive {
    struct archive_conf conf;
    struct arena arena;
    uint64_t look_again_us;
    bool trouble; /* told in the log */
    /* The one at work. */
    bool busy;
    uint64_t number;
    char from[SEAL_PATH_MAX], part[SEAL_PATH_MAX], index_part[SEAL_PATH_MAX];
    struct lines lines;
    int out_fd, index_fd;
    void *context; /* ZSTD_CCtx */
    struct block block;
    char *text, *packed;
    size_t text_len, packed_size;
    uint64_t written;
};

MUST_USE enum err archive_open(struct archive *archive, const struct archive_conf *conf);
/* One block of work, or a look at what there is to do. True: there is more. `seal`: where a
 * deletion is told. */
bool archive_turn(struct archive *archive, struct seal *seal, uint64_t now_us);
/* There may be a new segment. */
void archive_look(struct archive *archive);
void archive_close(struct archive *archive);

#endif
