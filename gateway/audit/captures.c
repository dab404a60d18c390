/*
 * Keeping captures: append, rotate, prune.
 */
#include "gateway/audit/captures.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/capture.h"
#include "gateway/base/log.h"

enum { CAPTURE_MODE = 0600 };

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

/* Of complete segments: the numbers at both ends, and their sizes in sum. */
struct kept {
    uint64_t first, last, bytes;
};

static bool number_of(struct span name, struct span base, uint64_t *number)
{
    return span_starts(name, base) && name.len > base.len && name.p[base.len] == '.' &&
           span_uint(span_sub(name, base.len + 1, name.len), number);
}

static bool look(const struct captures *captures, struct kept *kept)
{
    const char *slash = strrchr(captures->path, '/');
    char folder[CAPTURES_PATH_MAX];
    struct text text = text_fixed(folder, sizeof(folder));
    text_add(&text, slash == NULL ? SPAN(".") : span_range(captures->path, slash + 1));
    DIR *dir = text_cstring(&text) != NULL ? opendir(folder) : NULL;
    struct span base = span_text(slash == NULL ? captures->path : slash + 1);
    const struct dirent *entry;
    *kept = (struct kept){ .first = UINT64_MAX };
    /* a folder of our own: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        uint64_t number;
        struct stat info;
        if (!number_of(span_text(entry->d_name), base, &number) ||
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        kept->first = number < kept->first ? number : kept->first;
        kept->last = number > kept->last ? number : kept->last;
        kept->bytes += (uint64_t)info.st_size;
    }
    if (dir != NULL)
        (void)closedir(dir);
    return dir != NULL;
}

static void segment_path(const struct captures *captures, uint64_t number, char *to,
                         size_t size)
{
    (void)snprintf(to, size, "%s.%06llu", captures->path, (unsigned long long)number);
}

/* Room for another segment: the oldest go. */
static bool prune(struct captures *captures, struct kept *kept)
{
    char name[CAPTURES_PATH_MAX + 32];
    uint64_t max = captures->limit - captures->limit / CAPTURES_SEGMENTS;
    if (!look(captures, kept))
        return false;
    while (kept->first != UINT64_MAX && kept->bytes + captures->bytes > max) {
        segment_path(captures, kept->first, name, sizeof(name));
        uint64_t last = kept->last;
        if (unlink(name) != 0 || !look(captures, kept))
            return false;
        kept->last = last > kept->last ? last : kept->last;
    }
    return true;
}

static void rotate(struct captures *captures)
{
    struct kept kept;
    char name[CAPTURES_PATH_MAX + 32];
    if (!prune(captures, &kept)) {
        complain_once(captures, "old ones cannot be deleted");
        return;
    }
    segment_path(captures, kept.last + 1, name, sizeof(name));
    captures_close(captures);
    if (rename(captures->path, name) != 0)
        complain_once(captures, "a complete one cannot be renamed");
    else
        captures->failing = false;
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
        return;
    }
    complain_once(captures, "the disk does not take them");
    if (ftruncate(captures->fd, (off_t)captures->bytes) != 0)
        captures_close(captures);
}
