/*
 * Listing and reading.
 */
#include "gateway/audit/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { INPUT_BYTES = 256 * 1024, DIGITS_MIN = 6, LIST_TRIES = 100, LIST_PAUSE_US = 1000 };

/* ---- listing ---- */

/* NAME.000001 or NAME.000001.zst behind `base`; false: another file. */
static bool parse_name(struct span name, struct span base, struct segment *segment)
{
    if (!span_starts(name, base) || name.len < base.len + 1 + DIGITS_MIN ||
        name.p[base.len] != '.')
        return false;
    struct span number = span_sub(name, base.len + 1, name.len);
    segment->compressed = span_ends(number, SPAN(".zst"));
    if (segment->compressed)
        number.len -= 4;
    return number.len >= DIGITS_MIN && span_uint(number, &segment->number);
}

static enum err add(struct segments *segments, const char *folder, struct span name,
                    struct segment segment, struct arena *arena)
{
    struct text path = text_growing(arena, 256);
    struct stat info;
    text_format(&path, "%s/", folder);
    text_add(&path, name);
    segment.path = text_cstring(&path);
    if (segment.path == NULL)
        return ERR_MEMORY;
    if (stat(segment.path, &info) != 0 || !S_ISREG(info.st_mode))
        return OK; /* gone meanwhile */
    segment.size = (uint64_t)info.st_size;
    segment.modified_us = (uint64_t)info.st_mtim.tv_sec * 1000000u;
    if (segments->count == SEGMENTS_MAX)
        return ERR_LIMIT;
    segments->items[segments->count++] = segment;
    return OK;
}

static int by_number(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return (int)x->compressed - (int)y->compressed;
}

static void drop_twins(struct segments *segments)
{
    size_t kept = 0;
    for (size_t i = 0; i < segments->count; i++)
        if (kept == 0 || segments->items[kept - 1].number != segments->items[i].number)
            segments->items[kept++] = segments->items[i];
    segments->count = kept;
}

static enum err list_folder(struct segments *segments, const char *folder, struct span base,
                            struct arena *arena)
{
    DIR *dir = opendir(folder);
    enum err err = OK;
    const struct dirent *entry;

    segments->count = 0;
    if (dir == NULL)
        return ERR_OPEN;
    /* a folder of our own: NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while (err == OK && (entry = readdir(dir)) != NULL) {
        struct span name = span_text(entry->d_name);
        struct segment segment = { .fd = -1 };
        if (parse_name(name, base, &segment))
            err = add(segments, folder, name, segment, arena);
    }
    (void)closedir(dir);
    qsort(segments->items, segments->count, sizeof(segments->items[0]), by_number);
    drop_twins(segments);
    return err;
}

/* Whether `path` still names the file that was opened, or still none. */
static bool is_still(const char *path, int fd)
{
    struct stat now, then;

    if (stat(path, &now) != 0)
        return fd < 0 && errno == ENOENT;
    return fd >= 0 && fstat(fd, &then) == 0 && now.st_dev == then.st_dev &&
           now.st_ino == then.st_ino;
}

static void add_growing(struct segments *segments, const char *path, int fd)
{
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    segments->items[segments->count++] = (struct segment){
        .path = path,
        .number = UINT64_MAX,
        .size = (uint64_t)info.st_size,
        .modified_us = (uint64_t)info.st_mtim.tv_sec * 1000000u,
        .fd = fd,
    };
}

enum err segments_list(struct segments *segments, const char *path, struct arena *arena)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == NULL ? "." : arena_cstring(arena, span_range(path, slash));
    struct span base = span_text(slash == NULL ? path : slash + 1);
    if (slash == path)
        folder = "/";
    *segments =
        (struct segments){ .items = arena_array(arena, struct segment, SEGMENTS_MAX + 1) };
    if (segments->items == NULL || folder == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < LIST_TRIES; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        enum err err = list_folder(segments, folder, base, arena);
        if (err == OK && is_still(path, fd)) {
            add_growing(segments, path, fd);
            return OK;
        }
        /* Rotated meanwhile: what grew is in the list now, or is not. */
        if (fd >= 0)
            (void)close(fd);
        if (err != OK)
            return err;
        (void)usleep(LIST_PAUSE_US);
    }
    segments->count = 0;
    return ERR_BUSY;
}

void segments_close(struct segments *segments)
{
    for (size_t i = 0; i < segments->count; i++)
        if (segments->items[i].fd >= 0)
            (void)close(segments->items[i].fd);
    segments->count = 0;
}

/* ---- lines ---- */

static enum err lines_begin(struct lines *lines, int fd, bool compressed)
{
    *lines = (struct lines){ .fd = fd, .compressed = compressed };
    if (fd < 0)
        return ERR_OPEN;
    lines->window = malloc(LINES_WINDOW);
    if (compressed) {
        lines->input = malloc(INPUT_BYTES);
        lines->stream = ZSTD_createDStream();
    }
    if (lines->window == NULL ||
        (compressed && (lines->input == NULL || lines->stream == NULL))) {
        lines_close(lines);
        return ERR_MEMORY;
    }
    return OK;
}

enum err lines_open(struct lines *lines, const char *path, bool compressed)
{
    return lines_begin(lines, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), compressed);
}

enum err segment_open(struct lines *lines, const struct segment *segment)
{
    char packed[PATH_MAX];
    struct text name = text_fixed(packed, sizeof(packed));

    if (segment->fd >= 0) {
        int fd = fcntl(segment->fd, F_DUPFD_CLOEXEC, 0);
        enum err err = lines_begin(lines, fd, false);
        if (err == OK)
            lines_seek(lines, 0, 0); /* the copy shares its place */
        return err;
    }
    enum err err = lines_open(lines, segment->path, segment->compressed);
    if (err != ERR_OPEN || errno != ENOENT)
        return err;
    text_format(&name, "%s.zst", segment->path);
    const char *path = text_cstring(&name);
    if (segment->compressed || path == NULL)
        return ERR_MISSING;
    err = lines_open(lines, path, true);
    return err == ERR_OPEN && errno == ENOENT ? ERR_MISSING : err;
}

void lines_close(struct lines *lines)
{
    if (lines->fd >= 0)
        (void)close(lines->fd);
    free(lines->window);
    free(lines->input);
    (void)ZSTD_freeDStream(lines->stream);
    *lines = (struct lines){ .fd = -1 };
}

void lines_seek(struct lines *lines, uint64_t from, uint64_t until)
{
    if (lseek(lines->fd, (off_t)from, SEEK_SET) < 0)
        lines->error = ERR_READ;
    if (lines->compressed)
        (void)ZSTD_DCtx_reset(lines->stream, ZSTD_reset_session_only);
    lines->len = lines->used = lines->input_len = lines->input_at = 0;
    lines->offset = from;
    lines->until = until;
    lines->ended = lines->torn = false;
}

/* Bytes of the file, not beyond `until`. */
static ssize_t read_file(struct lines *lines, char *to, size_t len)
{
    if (lines->until > 0) {
        off_t at = lseek(lines->fd, 0, SEEK_CUR);
        if (at < 0 || (uint64_t)at >= lines->until)
            return 0;
        if (len > lines->until - (uint64_t)at)
            len = (size_t)(lines->until - (uint64_t)at);
    }
    ssize_t got;
    do
        got = read(lines->fd, to, len);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Decompressed bytes into the window; false: there are no more. */
static bool fill_compressed(struct lines *lines)
{
    if (lines->input_at == lines->input_len) {
        ssize_t got = read_file(lines, lines->input, INPUT_BYTES);
        if (got <= 0) {
            lines->error = got < 0 ? ERR_READ : lines->error;
            return false;
        }
        lines->input_len = (size_t)got;
        lines->input_at = 0;
    }
    ZSTD_inBuffer in = { lines->input, lines->input_len, lines->input_at };
    ZSTD_outBuffer out = { lines->window, LINES_WINDOW, lines->len };
    size_t result = ZSTD_decompressStream(lines->stream, &out, &in);
    if (ZSTD_isError(result)) {
        lines->error = ERR_SYNTAX;
        return false;
    }
    lines->input_at = in.pos;
    lines->len = out.pos;
    return true;
}

static bool fill(struct lines *lines)
{
    if (lines->compressed)
        return fill_compressed(lines);
    ssize_t got = read_file(lines, lines->window + lines->len, LINES_WINDOW - lines->len);
    if (got < 0)
        lines->error = ERR_READ;
    if (got <= 0)
        return false;
    lines->len += (size_t)got;
    return true;
}

/* Passes over complete lines that do not have what is wanted. */
static struct span pass_over(struct lines *lines, struct span rest)
{
    ssize_t at = span_find(rest, lines->wanted);
    size_t before = at >= 0 ? (size_t)at : rest.len;
    const char *end = before > 0 ? memrchr(rest.p, '\n', before) : NULL;
    size_t passed = end != NULL ? (size_t)(end + 1 - rest.p) : 0;
    lines->used += passed;
    return span_sub(rest, passed, rest.len);
}

static bool take_line(struct lines *lines, struct span *line)
{
    struct span rest = span_of(lines->window + lines->used, lines->len - lines->used);
    if (lines->wanted.len > 0)
        rest = pass_over(lines, rest);
    ssize_t end = span_index(rest, '\n');
    if (end < 0)
        return false;
    *line = span_sub(rest, 0, (size_t)end);
    lines->used += (size_t)end + 1;
    return true;
}

bool lines_next(struct lines *lines, struct span *line)
{
    while (!take_line(lines, line)) {
        if (lines->ended)
            return false;
        lines->offset += lines->used;
        lines->len -= lines->used;
        memmove(lines->window, lines->window + lines->used, lines->len);
        lines->used = 0;
        if (lines->len == LINES_WINDOW) { /* longer than any line */
            lines->error = ERR_SYNTAX;
            lines->ended = true;
        } else if (!fill(lines)) {
            lines->ended = true;
            lines->torn = lines->len > 0;
        }
    }
    return true;
}
