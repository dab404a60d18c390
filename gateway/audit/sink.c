/*
 * Appending lines to a file in batches.
 *
 * What a write left out stays in the buffer from the start of its line on, so that after a full
 * disk the line is completed, and after a change of files it is written anew as a whole. The
 * buffer is mapped once.
 */
#include "gateway/audit/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/record.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

enum { SINK_FILE_MODE = 0640, GAP_BYTES = 1024 };

static bool write_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.p, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes = span_sub(bytes, (size_t)written, bytes.len);
    }
    return true;
}

/* A line without its end is what a crash leaves: nobody shall read it as one with the next. */
static enum err fence(int fd)
{
    struct stat st;
    char last = '\n';
    if (fstat(fd, &st) != 0)
        return ERR_SYSTEM;
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return OK;
    if (pread(fd, &last, 1, st.st_size - 1) != 1)
        return ERR_READ;
    if (last == '\n')
        return OK;

    static const uint64_t unknown[RECORD_CLASSES];
    char buffer[GAP_BYTES];
    struct text line = text_fixed(buffer, sizeof(buffer));
    struct clock now;
    clock_read(&now);
    text_char(&line, '\n');
    record_gap(&line, now.wall_us, "torn-line", unknown);
    text_char(&line, '\n');
    return !line.overflow && write_all(fd, text_span(&line)) ? OK : ERR_WRITE;
}

static enum err open_file(const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, SINK_FILE_MODE);
    if (fd < 0)
        return ERR_OPEN;
    enum err err = fence(fd);
    if (err != OK) {
        (void)close(fd);
        return err;
    }
    *out = fd;
    return OK;
}

enum err sink_open(struct sink *sink, const char *path)
{
    *sink = (struct sink){ .fd = STDOUT_FILENO, .path = path };
    if (path != NULL) {
        sink->fd = -1;
        TRY(open_file(path, &sink->fd));
    }
    void *buffer = mmap(NULL, SINK_BATCH_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
        sink_close(sink);
        return ERR_MEMORY;
    }
    sink->buffer = buffer;
    return OK;
}

enum err sink_line(struct sink *sink, struct span line)
{
    if (line.len >= SINK_BATCH_BYTES - sink->len)
        return ERR_LIMIT;
    /*
     * Checked in our copy: the line may stand in memory that a hostile worker writes, and a
     * line end in it would let that worker speak for others.
     */
    char *to = sink->buffer + sink->len;
    if (line.len > 0)
        memcpy(to, line.p, line.len);
    if (memchr(to, '\n', line.len) != NULL || memchr(to, '\r', line.len) != NULL)
        return ERR_SYNTAX;
    to[line.len] = '\n';
    sink->len += line.len + 1;
    return OK;
}

/* Takes the first `done` bytes off the buffer, but for the line that they end within. */
static void drop_written(struct sink *sink, size_t done)
{
    const char *end = done > 0 ? memrchr(sink->buffer, '\n', done) : NULL;
    size_t lines = end != NULL ? (size_t)(end + 1 - sink->buffer) : 0;
    sink->partial = done - lines;
    sink->len -= lines;
    memmove(sink->buffer, sink->buffer + lines, sink->len);
}

enum err sink_flush(struct sink *sink)
{
    size_t done = sink->partial;
    while (done < sink->len) {
        ssize_t written = write(sink->fd, sink->buffer + done, sink->len - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    int reason = errno;
    bool all = done == sink->len;
    drop_written(sink, done);
    if (all) {
        if (sink->failing)
            log_info("audit records are written again");
        sink->failing = false;
        return OK;
    }
    if (!sink->failing)
        log_error("audit records cannot be written: make room or correct the file's rights",
                  F_TEXT("file", sink->path != NULL ? sink->path : "standard output"),
                  F_ERRNO(reason));
    sink->failing = true;
    return ERR_WRITE;
}

enum err sink_reopen(struct sink *sink)
{
    enum err flushed = sink_flush(sink); /* what does not go here goes to the new file */
    if (sink->path == NULL)
        return flushed;
    int fd = -1;
    TRY(open_file(sink->path, &fd));
    (void)close(sink->fd);
    sink->fd = fd;
    sink->partial = 0;
    return OK;
}

void sink_close(struct sink *sink)
{
    if (sink->buffer != NULL) {
        if (sink_flush(sink) != OK)
            log_error("audit records were lost at the end", F_INT("bytes", sink->len));
        (void)munmap(sink->buffer, SINK_BATCH_BYTES);
    }
    if (sink->path != NULL && sink->fd >= 0)
        (void)close(sink->fd);
    *sink = (struct sink){ .fd = -1 };
}
