/* Entries in files: checked before they are believed, replaced whole, pruned by age. */
#include "rules/engine/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/log.h"

#define MAGIC "SPCACHE1"
#define SUFFIX ".entry"

enum {
    DIGEST_BYTES = 32,
    FILE_NAME_BYTES = 2 * CACHE_NAME_BYTES + sizeof(SUFFIX),
    /* Of unfinished files: the entry's name, this process and a number of its own behind it. */
    DRAFT_NAME_BYTES = FILE_NAME_BYTES + 48,
    LISTED_MAX = 4 * CACHE_FILES_MAX,
};

struct header {
    char magic[8];
    uint64_t len;
    uint8_t name[CACHE_NAME_BYTES];
    uint8_t digest[DIGEST_BYTES]; /* of all before it, and of the content */
};

struct cache {
    int folder;
    uint64_t limit;
    unsigned drafts; /* numbered by __atomic */
    bool written;
};

/* ---- names ----------------------------------------------------------------------------------
 */

static void file_name(char out[FILE_NAME_BYTES], const struct cache_name *name)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < CACHE_NAME_BYTES; i++) {
        out[2 * i] = digits[name->bytes[i] >> 4];
        out[2 * i + 1] = digits[name->bytes[i] & 15];
    }
    memcpy(out + 2 * CACHE_NAME_BYTES, SUFFIX, sizeof(SUFFIX));
}

static bool is_entry(const char *file)
{
    for (size_t i = 0; i < 2 * CACHE_NAME_BYTES; i++) {
        if (!((file[i] >= '0' && file[i] <= '9') || (file[i] >= 'a' && file[i] <= 'f')))
            return false;
    }
    return strncmp(file + 2 * CACHE_NAME_BYTES, SUFFIX, sizeof(SUFFIX) - 1) == 0;
}

/* ---- the folder -----------------------------------------------------------------------------
 */

/* All that is missing of the path; what fails is told by the opening. */
static void make_folder(const char *folder)
{
    char part[PATH_MAX];
    for (size_t i = 1; i < sizeof(part) && folder[i - 1] != '\0'; i++) {
        part[i - 1] = folder[i - 1];
        if (folder[i] != '/' && folder[i] != '\0')
            continue;
        part[i] = '\0';
        (void)mkdir(part, 0700);
    }
}

struct cache *cache_open(const char *folder, uint64_t limit, const char **why)
{
    make_folder(folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat info;
    *why = NULL;
    if (fd < 0 || fstat(fd, &info) != 0)
        *why = strerrordesc_np(errno);
    else if (info.st_uid != geteuid())
        *why = "it belongs to another user";
    else if ((info.st_mode & 077) != 0)
        *why = "others can look into it: its mode must be 0700";
    struct cache *cache = *why == NULL ? calloc(1, sizeof(*cache)) : NULL;
    if (cache == NULL) {
        *why = *why != NULL ? *why : "out of memory";
        if (fd >= 0)
            (void)close(fd);
        return NULL;
    }
    *cache = (struct cache){ .folder = fd, .limit = limit };
    return cache;
}

/* ---- digests --------------------------------------------------------------------------------
 */

static bool digest_of(const struct header *header, struct span content,
                      uint8_t out[DIGEST_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, header, offsetof(struct header, digest)) == 1 &&
                EVP_DigestUpdate(context, content.p, content.len) == 1 &&
                EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* ---- reading --------------------------------------------------------------------------------
 */

static bool read_all(int fd, void *into, size_t len)
{
    char *p = into;
    while (len > 0) {
        ssize_t got = read(fd, p, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        len -= (size_t)got;
    }
    return true;
}

static const char *trouble_of(const struct stat *info)
{
    if (!S_ISREG(info->st_mode))
        return "it is not a regular file";
    if (info->st_uid != geteuid())
        return "it belongs to another user";
    if ((info->st_mode & 077) != 0)
        return "its mode lets others in";
    if (info->st_nlink != 1)
        return "it has another name, too";
    if (info->st_size < (off_t)sizeof(struct header) ||
        (uint64_t)info->st_size > sizeof(struct header) + CACHE_ENTRY_MAX)
        return "it is cut off, or too long";
    return NULL;
}

static bool make_room(struct cache_room *room, size_t size)
{
    if (room->p != NULL && room->size >= size)
        return true;
    free(room->p);
    room->p = malloc(size);
    room->size = room->p != NULL ? size : 0;
    return room->p != NULL;
}

/* Why not, or NULL and `*content` is good. */
static const char *read_entry(int fd, const struct cache_name *name, struct cache_room *room,
                              struct span *content)
{
    struct stat info;
    struct header header;
    uint8_t digest[DIGEST_BYTES];
    if (fstat(fd, &info) != 0)
        return strerrordesc_np(errno);
    const char *why = trouble_of(&info);
    if (why != NULL)
        return why;
    if (!read_all(fd, &header, sizeof(header)) ||
        memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0 ||
        memcmp(header.name, name->bytes, sizeof(header.name)) != 0 ||
        header.len != (uint64_t)info.st_size - sizeof(header))
        return "its head is not as it was written";
    if (!make_room(room, header.len + 1))
        return "out of memory";
    *content = span_of(room->p, header.len);
    if (read_all(fd, room->p, header.len) && digest_of(&header, *content, digest) &&
        memcmp(digest, header.digest, sizeof(digest)) == 0)
        return NULL;
    return "its content is not as it was written";
}

struct span cache_read(const struct cache *cache, const struct cache_name *name,
                       struct cache_room *room, const char **why)
{
    struct span content = { 0 };
    char file[FILE_NAME_BYTES];
    file_name(file, name);
    *why = NULL;
    /* O_NONBLOCK: nobody's pipe holds us up. */
    int fd =
        openat(cache->folder, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return content;
    *why = fd < 0 ? strerrordesc_np(errno) : read_entry(fd, name, room, &content);
    if (*why != NULL)
        content = (struct span){ 0 };
    else
        (void)futimens(fd, NULL); /* who is used stays */
    if (fd >= 0)
        (void)close(fd);
    return content;
}

void cache_distrust(const struct cache_name *name, const char *why)
{
    char file[FILE_NAME_BYTES];
    file_name(file, name);
    log_warn("file of the cache is not used; it is made anew", F_TEXT("file", file),
             F_TEXT("why", why));
}

struct span cache_get(const struct cache *cache, const struct cache_name *name)
{
    struct cache_room room = { 0 };
    const char *why;
    struct span content = cache_read(cache, name, &room, &why);
    if (why != NULL)
        cache_distrust(name, why);
    if (content.p == NULL)
        free(room.p);
    return content;
}

/* ---- writing --------------------------------------------------------------------------------
 */

static bool write_all(int fd, const void *from, size_t len)
{
    const char *p = from;
    while (len > 0) {
        ssize_t put = write(fd, p, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        p += put;
        len -= (size_t)put;
    }
    return true;
}

/*
 * Under another name first, so that who reads finds the old entry or the new one. Not synced: a
 * crash may leave it damaged, which its digest tells.
 */
static bool write_entry(const struct cache *cache, const char *draft, const char *file,
                        const struct header *header, struct span content)
{
    int fd = openat(cache->folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    if (fd < 0)
        return false;
    errno = 0; /* a short write has none of its own */
    bool good = write_all(fd, header, sizeof(*header)) && write_all(fd, content.p, content.len);
    good = close(fd) == 0 && good;
    if (good && renameat(cache->folder, draft, cache->folder, file) == 0)
        return true;
    int reason = errno;
    (void)unlinkat(cache->folder, draft, 0);
    errno = reason;
    return false;
}

int cache_put(struct cache *cache, const struct cache_name *name, struct span content)
{
    struct header header = { .magic = MAGIC, .len = content.len };
    char file[FILE_NAME_BYTES], draft[DRAFT_NAME_BYTES];
    memcpy(header.name, name->bytes, sizeof(header.name));
    if (content.len > CACHE_ENTRY_MAX || !digest_of(&header, content, header.digest))
        return EFBIG;
    file_name(file, name);
    (void)snprintf(draft, sizeof(draft), "%s.%d.%u", file, (int)getpid(),
                   __atomic_fetch_add(&cache->drafts, 1, __ATOMIC_RELAXED));
    if (!write_entry(cache, draft, file, &header, content))
        return errno != 0 ? errno : EIO;
    __atomic_store_n(&cache->written, true, __ATOMIC_RELAXED);
    return 0;
}

/* ---- pruning --------------------------------------------------------------------------------
 */

struct listed {
    char file[FILE_NAME_BYTES];
    struct timespec used;
    uint64_t size;
};

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const struct listed *)a)->used;
    const struct timespec *y = &((const struct listed *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? 1 : -1;
    return x->tv_nsec < y->tv_nsec ? 1 : x->tv_nsec > y->tv_nsec ? -1 : 0;
}

/* Names that are not ours are left alone, drafts when they may still be written. */
static void list_one(const struct cache *cache, const char *file, struct listed *items,
                     size_t *count)
{
    struct stat info;
    if (strnlen(file, FILE_NAME_BYTES - 1) < FILE_NAME_BYTES - 1 || !is_entry(file) ||
        fstatat(cache->folder, file, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (file[FILE_NAME_BYTES - 1] != '\0') {
        if (info.st_mtim.tv_sec + CACHE_STALE_S < time(NULL))
            (void)unlinkat(cache->folder, file, 0);
        return;
    }
    struct listed *item = &items[(*count)++];
    *item = (struct listed){ .used = info.st_mtim, .size = (uint64_t)info.st_size };
    memcpy(item->file, file, FILE_NAME_BYTES);
}

static size_t list(const struct cache *cache, struct listed *items)
{
    size_t count = 0;
    int fd = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    const struct dirent *entry;
    /* Its stream is this thread's alone: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (count < LISTED_MAX && (entry = readdir(folder)) != NULL)
        list_one(cache, entry->d_name, items, &count);
    (void)closedir(folder);
    return count;
}

static void prune(const struct cache *cache)
{
    struct listed *items = calloc(LISTED_MAX, sizeof(*items));
    if (items == NULL)
        return;
    size_t count = list(cache, items);
    uint64_t sum = 0;
    if (count > 0)
        qsort(items, count, sizeof(*items), by_use);
    for (size_t i = 0; i < count; i++) {
        sum += items[i].size;
        if (sum > cache->limit || i >= CACHE_FILES_MAX)
            (void)unlinkat(cache->folder, items[i].file, 0);
    }
    free(items);
}

void cache_close(struct cache *cache)
{
    if (cache == NULL)
        return;
    if (cache->written)
        prune(cache);
    (void)close(cache->folder);
    free(cache);
}
