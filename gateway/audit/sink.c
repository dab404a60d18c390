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
#include <unistd.h>

#include "gateway/base/log.h"

enum { SINK_FILE_MODE = 0640 };

static enum err open_file(const char *path, int *out)
{
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, SINK_FILE_MODE);
    if (fd < 0)
        return ERR_OPEN;
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

struct text sink_room(struct sink *sink)
{
    return text_fixed(sink->buffer + sink->len, SINK_BATCH_BYTES - sink->len);
}

void sink_add(struct sink *sink, size_t len)
{
    INVARIANT(len <= SINK_BATCH_BYTES - sink->len);
    sink->len += len;
}

struct span sink_rest(const struct sink *sink)
{
    return span_of(sink->buffer + sink->partial, sink->len - sink->partial);
}

void sink_forget(struct sink *sink)
{
    sink->len = sink->partial = 0;
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
