/*
 * Files that a configuration names: regular ones only, read whole under a limit; and made,
 * where a command is to make them.
 */
#ifndef SALLYPORT_FILE_H
#define SALLYPORT_FILE_H

#include <sys/stat.h>

#include "gateway/base/arena.h"

struct file {
    struct span text;
    struct stat stat;
};

/* NULL, or why a regular file of at most `max` bytes could not be read; good until the next
 * call. */
const char *file_read(const char *path, size_t max, struct arena *arena, struct file *file);

/*
 * Reads until `size` bytes are there or the file ends: how many there were; -1 and errno. For
 * files that were opened, and looked at, in a way of their own.
 */
ssize_t file_fill(int fd, char *bytes, size_t size);

/*
 * A new file, to read and write; -1 and errno, EEXIST among them. What root makes belongs to
 * whom the folder belongs: the gateway, which is somebody else, is to use it.
 */
int file_create(const char *path, mode_t mode);

#endif
