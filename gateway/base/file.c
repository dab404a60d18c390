/* Regular files, read whole, and new ones. */
#include "gateway/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

ssize_t file_fill(int fd, char *bytes, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, bytes + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

const char *file_read(const char *path, size_t max, struct arena *arena, struct file *file)
{
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return strerrordesc_np(errno);

    const char *why = NULL;
    char *buffer = NULL;
    size_t len = 0, size = 0;
    if (fstat(fd, &file->stat) != 0)
        why = strerrordesc_np(errno);
    else if (!S_ISREG(file->stat.st_mode))
        why = "it is not a regular file";
    else if ((uint64_t)file->stat.st_size > max)
        why = "it is too large";
    else if ((buffer = arena_alloc(arena, size = (size_t)file->stat.st_size + 1)) == NULL)
        why = "out of memory";

    ssize_t got = why == NULL ? file_fill(fd, buffer, size) : 0;
    if (got < 0)
        why = strerrordesc_np(errno);
    else
        len = (size_t)got;
    if (why == NULL && len == size)
        why = "it grew while it was read";
    close(fd);
    file->text = span_of(buffer, len);
    return why;
}

/* Of the folder that `path` is in. */
static bool folder_info(const char *path, struct stat *info)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (len >= sizeof(folder))
        return false;
    memcpy(folder, path, len);
    folder[len] = '\0';
    return stat(len > 0 ? folder : ".", info) == 0;
}

int file_create(const char *path, mode_t mode)
{
    struct stat folder;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    /* Who may not give it away still has it. */
    if (geteuid() == 0 && folder_info(path, &folder))
        (void)!fchown(fd, folder.st_uid, folder.st_gid);
    if (fchmod(fd, mode) == 0)
        return fd;
    int error = errno;
    (void)close(fd);
    (void)unlink(path);
    errno = error;
    return -1;
}
