/*
 * A file of fixed size: a page with where its contents belong, and the contents.
 */
#include "gateway/audit/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/log.h"

enum { SPILL_MODE = 0640, CHUNK_BYTES = 64 * 1024, SPILL_PATH_MAX = 4096 + 32 };
static const uint64_t spill_magic = 0x73616c6c79737031u;

struct spill_header {
    uint64_t magic, base, len;
};

static enum err write_header(const struct spill *spill)
{
    struct spill_header header = { .magic = spill_magic,
                                   .base = spill->base,
                                   .len = spill->len };
    ssize_t written = pwrite(spill->fd, &header, sizeof(header), 0);
    return written == (ssize_t)sizeof(header) ? OK : ERR_WRITE;
}

static enum err reserve(struct spill *spill, uint64_t bytes)
{
    struct spill_header header = { .magic = 0 };
    struct stat info;
    if (fstat(spill->fd, &info) != 0)
        return ERR_SYSTEM;
    uint64_t there = (uint64_t)info.st_size > SPILL_HEADER_BYTES
                         ? (uint64_t)info.st_size - SPILL_HEADER_BYTES
                         : 0;
    if (pread(spill->fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
        header.magic == spill_magic && header.len <= there) {
        spill->base = header.base;
        spill->len = header.len;
    }
    spill->room = bytes;
    if (spill->len > 0) { /* it is made smaller when it is empty */
        spill->room = there > bytes ? there : bytes;
        bytes = spill->room;
    } else if (there > bytes && ftruncate(spill->fd, 0) != 0) {
        return ERR_WRITE;
    }
    if (posix_fallocate(spill->fd, 0, (off_t)(SPILL_HEADER_BYTES + bytes)) != 0)
        return ERR_LIMIT;
    return OK;
}

void spill_open(struct spill *spill, const char *path, uint64_t bytes)
{
    char name[SPILL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    *spill = (struct spill){ .fd = -1 };
    text_format(&text, "%s.spill", path);
    const char *full = text_cstring(&text);
    if (bytes == 0 || bytes > INT64_MAX / 2 || full == NULL)
        return;
    spill->fd = open(full, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, SPILL_MODE);
    enum err err = spill->fd >= 0 ? reserve(spill, bytes) : ERR_OPEN;
    if (err == OK)
        return;
    log_warn("no room could be reserved for a full disk: records wait in memory then",
             F_TEXT("file", name), F_ERR(err));
    if (spill->len == 0)
        spill_close(spill);
}

void spill_close(struct spill *spill)
{
    if (spill->fd >= 0)
        (void)close(spill->fd);
    *spill = (struct spill){ .fd = -1 };
}

enum err spill_add(struct spill *spill, uint64_t base, struct span bytes)
{
    if (spill->fd < 0 || bytes.len > spill->room - spill->len)
        return ERR_LIMIT;
    off_t at = (off_t)(SPILL_HEADER_BYTES + spill->len);
    if (pwrite(spill->fd, bytes.p, bytes.len, at) != (ssize_t)bytes.len)
        return ERR_WRITE;
    struct spill before = *spill;
    if (spill->len == 0)
        spill->base = base;
    spill->len += bytes.len;
    enum err err = write_header(spill);
    if (err != OK)
        *spill = before;
    return err;
}

enum err spill_drain(struct spill *spill, int file)
{
    char chunk[CHUNK_BYTES];
    struct stat info;
    if (spill->len == 0)
        return OK;
    if (fstat(file, &info) != 0)
        return ERR_SYSTEM;
    /* A file that is shorter than it was has lost what was acknowledged: what is here is kept.
     */
    uint64_t size = (uint64_t)info.st_size;
    uint64_t done = size > spill->base ? size - spill->base : 0;
    while (done < spill->len) {
        size_t want =
            spill->len - done < sizeof(chunk) ? (size_t)(spill->len - done) : sizeof(chunk);
        ssize_t got = pread(spill->fd, chunk, want, (off_t)(SPILL_HEADER_BYTES + done));
        if (got <= 0)
            return ERR_READ;
        ssize_t written = write(file, chunk, (size_t)got);
        if (written <= 0)
            return ERR_WRITE;
        done += (uint64_t)written;
    }
    spill->len = 0;
    return write_header(spill);
}

ssize_t spill_read(const struct spill *spill, uint64_t at, char *to, size_t len)
{
    if (spill->len == 0 || at < spill->base || at - spill->base >= spill->len)
        return 0;
    uint64_t from = at - spill->base;
    if (len > spill->len - from)
        len = (size_t)(spill->len - from);
    return pread(spill->fd, to, len, (off_t)(SPILL_HEADER_BYTES + from));
}
