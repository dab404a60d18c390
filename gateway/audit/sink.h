/*
 * Where the recorder writes: an append-only file or standard output, in batches. What the lines
 * are, where the file's end may be torn, and when it is changed for another: journal.h.
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
/* What is in the buffer goes to the new file, from the start of its first line on. */
MUST_USE enum err sink_reopen(struct sink *sink);
/* Room for one line behind what is in the buffer; sink_add takes what was written there. */
struct text sink_room(struct sink *sink);
void sink_add(struct sink *sink, size_t len);
MUST_USE enum err sink_flush(struct sink *sink);
/* What is in the buffer and not in the file. */
struct span sink_rest(const struct sink *sink);
/* It went elsewhere. */
void sink_forget(struct sink *sink);
void sink_close(struct sink *sink);

#endif
