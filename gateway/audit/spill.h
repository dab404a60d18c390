/*
 * Room that is reserved while there is some (PATH.spill): what the audit file does not take
 * while the disk is full goes here, and from here to the file when there is space again. The
 * bytes are those that belong to the file from `base` on, so a copy that was cut short goes on
 * where the file ends.
 */
#ifndef SALLYPORT_SPILL_H
#define SALLYPORT_SPILL_H

#include "gateway/base/text.h"

enum { SPILL_HEADER_BYTES = 4096 };

struct spill {
    int fd;             /* -1: none */
    uint64_t room;      /* bytes reserved */
    uint64_t base, len; /* of what is in it; len 0: empty */
};

/* `bytes` 0: none. A file that cannot be reserved is told in the log, and is none. */
void spill_open(struct spill *spill, const char *path, uint64_t bytes);
void spill_close(struct spill *spill);
/* ERR_LIMIT: no room. The first bytes fix `base`. */
MUST_USE enum err spill_add(struct spill *spill, uint64_t base, struct span bytes);
/* Appends to the file what it does not have yet. OK: all, and the spill is empty. */
MUST_USE enum err spill_drain(struct spill *spill, int file);
/* Bytes at `at` of the file, as far as they are in the spill; the count, or -1. */
ssize_t spill_read(const struct spill *spill, uint64_t at, char *to, size_t len);

#endif
