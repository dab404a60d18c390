/*
 * Where the recorder writes: an append-only file or standard output, in batches. A torn last
 * line left by a crash is fenced by a newline and a record that says so. SIGUSR1 reopens.
 */
#ifndef SALLYPORT_SINK_H
#define SALLYPORT_SINK_H

#include "gateway/base/text.h"

enum { SINK_BATCH_BYTES = 1024 * 1024 };

struct sink {
    int fd;
    const char *path; /* NULL: standard output */
    char *buffer;
    size_t len;
    size_t partial; /* of the first line in the buffer, bytes that stand in the file already */
    bool failing;   /* the last write failed; told once, tried again each turn */
};

MUST_USE enum err sink_open(struct sink *sink, const char *path);
MUST_USE enum err sink_reopen(struct sink *sink);
/* Adds a line; the newline is ours. ERR_LIMIT: flush first. ERR_SYNTAX: it has a line end
 * inside. */
MUST_USE enum err sink_line(struct sink *sink, struct span line);
MUST_USE enum err sink_flush(struct sink *sink);
void sink_close(struct sink *sink);

#endif
