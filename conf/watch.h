/*
 * Which files a configuration came from, so that somebody can look whether they have changed:
 * the main one, those it includes, and what its patterns match. Looked at by their state
 * (device, inode, size, times), so that it makes no difference how a file is replaced, nor on
 * what kind of file system.
 */
#ifndef SALLYPORT_WATCH_H
#define SALLYPORT_WATCH_H

#include <sys/stat.h>

#include "gateway/base/arena.h"

enum { WATCHED_CONFIGS_MAX = 256, WATCHED_PATTERNS_MAX = 64 };

/* Zeroed, then filled by yaml_load_watched; strings live in its arena. */
struct yaml_watch {
    const char *files[WATCHED_CONFIGS_MAX];
    unsigned file_count;
    const char *patterns[WATCHED_PATTERNS_MAX];
    unsigned pattern_count;
    uint64_t loaded; /* the state in which they were read */
};

/* What they are now; equal to `loaded` as long as nothing has changed. */
uint64_t yaml_watch_now(const struct yaml_watch *watch);

/* While they are loaded. */
void yaml_watch_file(struct yaml_watch *watch, const char *path, const struct stat *seen);
void yaml_watch_pattern(struct yaml_watch *watch, const char *pattern);
void yaml_watch_match(struct yaml_watch *watch, const char *path);

#endif
