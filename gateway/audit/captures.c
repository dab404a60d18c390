/*
 * Keeping captures: append, rotate, prune.
 */
#include "gateway/audit/captures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/capture.h"
#include "gateway/audit/segments.h"
#include "gateway/base/log.h"

enum { CAPTURE_MODE = 0600, HEAD_BYTES = 8, NAMES_BYTES = 4 * 1024 * 1024 };

static void complain_once(struct captures *captures, const char *what)
{
    if (!captures->failing)
        log_warn("captured requests cannot be kept", F_TEXT("why", what),
                 F_TEXT("file", captures->path), F_ERRNO(errno));
    captures->failing = true;
}

/* Where the last whole frame ends. */
static uint64_t whole_end(int fd, uint64_t size)
{
    char head[CAPTURE_OVERHEAD];
    uint64_t at = 0;
    while (size - at >= CAPTURE_OVERHEAD) {
        if (pread(fd, head, sizeof(head), (off_t)at) != (ssize_t)sizeof(head))
            break;
        uint64_t len = capture_frame_size(span_of(head, sizeof(head)));
        if (len == 0 || len > size - at)
            break;
        at += len;
    }
    return at;
}

static bool open_segment(struct captures *captures)
{
    struct stat info;
    captures->fd =
        open(captures->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW,
             CAPTURE_MODE);
    if (captures->fd < 0 || fstat(captures->fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        complain_once(captures, "it cannot be opened");
        captures_close(captures);
        return false;
    }
    captures->bytes = whole_end(captures->fd, (uint64_t)info.st_size);
    if (captures->bytes < (uint64_t)info.st_size &&
        ftruncate(captures->fd, (off_t)captures->bytes) != 0) {
        complain_once(captures, "its torn end cannot be cut off");
        captures_close(captures);
        return false;
    }
    return true;
}

void captures_open(struct captures *captures, const char *audit_path, uint64_t limit)
{
    *captures = (struct captures){ .fd = -1, .limit = limit };
    struct text path = text_fixed(captures->path, sizeof(captures->path));
    if (audit_path == NULL || limit == 0)
        return;
    text_format(&path, "%s.capture", audit_path);
    if (text_cstring(&path) != NULL)
        (void)open_segment(captures);
}

void captures_close(struct captures *captures)
{
    if (captures->fd >= 0)
        (void)close(captures->fd);
    captures->fd = -1;
}

/* The growing one is left out: it is complete by now, under the next number. */
static void rotate(struct captures *captures)
{
    struct arena arena;
    struct segments segments;
    char name[CAPTURES_PATH_MAX + 32];
    uint64_t next = 1, sum = captures->bytes;
    arena_init(&arena, NULL, 0, NULL, NAMES_BYTES);
    if (segments_list(&segments, captures->path, &arena) != OK) {
        complain_once(captures, "their folder cannot be read");
        arena_reset(&arena);
        return;
    }
    for (size_t i = 0; i < segments.count; i++)
        if (segments.items[i].number != UINT64_MAX) {
            next = segments.items[i].number + 1;
            sum += segments.items[i].size;
        }
    for (size_t i = 0;
         i < segments.count && sum > captures->limit - captures->limit / CAPTURES_SEGMENTS; i++)
        if (segments.items[i].number != UINT64_MAX && unlink(segments.items[i].path) == 0)
            sum -= segments.items[i].size;
    (void)snprintf(name, sizeof(name), "%s.%06llu", captures->path, (unsigned long long)next);
    arena_reset(&arena);
    captures_close(captures);
    if (rename(captures->path, name) != 0)
        complain_once(captures, "a complete one cannot be renamed");
    (void)open_segment(captures);
}

void captures_add(struct captures *captures, struct span frame)
{
    struct capture_frame read;
    if (captures->fd < 0 || !capture_frame_read(frame, &read) || read.bytes.len != frame.len)
        return;
    if (captures->bytes + frame.len > captures->limit / CAPTURES_SEGMENTS &&
        captures->bytes > 0)
        rotate(captures);
    /* Over its share all the same: the renaming failed. */
    if (captures->fd < 0 || captures->bytes + frame.len > captures->limit)
        return;
    ssize_t written = write(captures->fd, frame.p, frame.len);
    if (written == (ssize_t)frame.len) {
        captures->bytes += frame.len;
        captures->failing = false;
        return;
    }
    complain_once(captures, "the disk does not take them");
    if (ftruncate(captures->fd, (off_t)captures->bytes) != 0)
        captures_close(captures);
}
