/*
 * Where the recorder keeps captures (capture.h): PATH.capture beside the audit file, complete
 * segments as PATH.capture.000001 and so on, and the oldest of them deleted so that all
 * together stay within a size. They are a help and no evidence: not chained, not synced, and a
 * disk that takes none loses them and is told once. What is torn at the end is cut off.
 */
#ifndef SALLYPORT_AUDIT_CAPTURES_H
#define SALLYPORT_AUDIT_CAPTURES_H

#include "gateway/base/text.h"

enum { CAPTURES_PATH_MAX = 4096 + 32, CAPTURES_SEGMENTS = 8 };

struct captures {
    int fd; /* -1: none are kept */
    uint64_t bytes, limit;
    bool failing;
    char path[CAPTURES_PATH_MAX];
};

/* `audit_path` NULL or `limit` 0: none are kept. */
void captures_open(struct captures *captures, const char *audit_path, uint64_t limit);
/* One frame; what is none is dropped. */
void captures_add(struct captures *captures, struct span frame);
void captures_close(struct captures *captures);

#endif
