/*
 * Compression by blocks, and retention.
 *
 * A segment is compressed into NAME.zst.part and indexed into NAME.idx.part; both get their
 * names when they are complete, the index last, and the text goes after that. Whatever is cut
 * short begins anew.
 */
#include "gateway/audit/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "gateway/base/log.h"

enum { LEVEL = 3, FILE_MODE = 0640, LOOK_US = 60 * 1000 * 1000 };
enum { TEXT_BYTES = BLOCK_TEXT_BYTES + 128 * 1024, ARENA_BYTES = 64 * 1024 * 1024 };

enum err archive_open(struct archive *archive, const struct archive_conf *conf)
{
    *archive = (struct archive){ .conf = *conf, .out_fd = -1, .index_fd = -1 };
    archive->lines.fd = -1;
    arena_init(&archive->arena, NULL, 0, NULL, ARENA_BYTES);
    if (!conf->compress)
        return OK;
    archive->packed_size = ZSTD_compressBound(TEXT_BYTES);
    archive->text = malloc(TEXT_BYTES);
    archive->packed = malloc(archive->packed_size);
    archive->context = ZSTD_createCCtx();
    if (archive->text == NULL || archive->packed == NULL || archive->context == NULL) {
        archive_close(archive);
        return ERR_MEMORY;
    }
    return OK;
}

static void stop(struct archive *archive)
{
    lines_close(&archive->lines);
    if (archive->out_fd >= 0)
        (void)close(archive->out_fd);
    if (archive->index_fd >= 0)
        (void)close(archive->index_fd);
    archive->out_fd = archive->index_fd = -1;
    archive->busy = false;
}

void archive_close(struct archive *archive)
{
    if (archive->busy) {
        (void)unlink(archive->part);
        (void)unlink(archive->index_part);
    }
    stop(archive);
    free(archive->text);
    free(archive->packed);
    (void)ZSTD_freeCCtx(archive->context);
    archive->text = archive->packed = NULL;
    archive->context = NULL;
    arena_reset(&archive->arena);
}

void archive_look(struct archive *archive)
{
    archive->look_again_us = 0;
}

/* ---- compression ---- */

static int make(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, FILE_MODE);
}

static enum err begin(struct archive *archive, const struct segment *segment)
{
    struct text from = text_fixed(archive->from, sizeof(archive->from));
    struct text part = text_fixed(archive->part, sizeof(archive->part));
    struct text index = text_fixed(archive->index_part, sizeof(archive->index_part));
    text_format(&from, "%s", segment->path);
    text_format(&part, "%s.zst.part", segment->path);
    text_format(&index, "%s.idx.part", segment->path);
    if (text_cstring(&from) == NULL || text_cstring(&part) == NULL ||
        text_cstring(&index) == NULL)
        return ERR_LIMIT;
    TRY(lines_open(&archive->lines, archive->from, false));
    archive->out_fd = make(archive->part);
    archive->index_fd = make(archive->index_part);
    archive->busy = true;
    archive->number = segment->number;
    archive->written = 0;
    if (archive->out_fd < 0 || archive->index_fd < 0)
        return ERR_OPEN;
    TRY(block_header_write(archive->index_fd, 0));
    return lseek(archive->index_fd, sizeof(struct block_header), SEEK_SET) >= 0 ? OK
                                                                                : ERR_SYSTEM;
}

/* Lines for one block; false when there are none. */
static bool gather(struct archive *archive)
{
    struct span line;
    archive->text_len = 0;
    block_begin(&archive->block, archive->written);
    while (archive->text_len < BLOCK_TEXT_BYTES && lines_next(&archive->lines, &line)) {
        if (line.len + 1 > TEXT_BYTES - archive->text_len) {
            archive->lines.error = ERR_LIMIT; /* no line of ours: it stays as it is */
            return false;
        }
        memcpy(archive->text + archive->text_len, line.p, line.len);
        archive->text[archive->text_len + line.len] = '\n';
        archive->text_len += line.len + 1;
        block_line(&archive->block, line);
    }
    return archive->text_len > 0;
}

static enum err pack(struct archive *archive)
{
    size_t size = ZSTD_compressCCtx(archive->context, archive->packed, archive->packed_size,
                                    archive->text, archive->text_len, LEVEL);
    if (ZSTD_isError(size))
        return ERR_SYSTEM;
    if (write(archive->out_fd, archive->packed, size) != (ssize_t)size)
        return ERR_WRITE;
    archive->block.len = size;
    archive->written += size;
    return block_append(archive->index_fd, &archive->block);
}

static enum err rename_without(const char *part)
{
    char name[SEAL_PATH_MAX];
    struct text text = text_fixed(name, sizeof(name));
    text_add(&text, span_sub(span_text(part), 0, strlen(part) - (sizeof(".part") - 1)));
    const char *full = text_cstring(&text);
    return full != NULL && rename(part, full) == 0 ? OK : ERR_WRITE;
}

static enum err complete(struct archive *archive)
{
    if (archive->lines.error != OK || archive->lines.torn)
        return archive->lines.error != OK ? archive->lines.error : ERR_SYNTAX;
    TRY(block_header_write(archive->index_fd, archive->written));
    if (fdatasync(archive->out_fd) != 0)
        return ERR_WRITE;
    TRY(rename_without(archive->part));
    TRY(rename_without(archive->index_part));
    if (unlink(archive->from) != 0)
        return ERR_WRITE;
    archive->busy = false;
    stop(archive);
    archive_look(archive); /* perhaps for another one */
    return OK;
}

static void give_up(struct archive *archive, enum err err, uint64_t now_us)
{
    if (!archive->trouble)
        log_warn("a complete audit file stays uncompressed", F_TEXT("file", archive->from),
                 F_ERR(err), F_ERRNO(errno));
    archive->trouble = true;
    if (archive->busy) {
        (void)unlink(archive->part);
        (void)unlink(archive->index_part);
    }
    stop(archive);
    archive->look_again_us = now_us + LOOK_US;
}

/* ---- retention ---- */

static void remove_one(const struct segment *segment, struct seal *seal, uint64_t now_us)
{
    char index[SEAL_PATH_MAX];
    struct text text = text_fixed(index, sizeof(index));
    struct span base = span_text(segment->path);
    if (segment->compressed)
        base.len -= 4;
    text_add(&text, base);
    text_lit(&text, ".idx");
    /* Told first: a file that goes without a word would look like somebody's deed. */
    if (seal_line(seal, SEAL_PRUNED, segment->number, segment->size, now_us) != OK ||
        seal_save(seal, SEAL_TO_FILE) != OK || unlink(segment->path) != 0) {
        log_warn("an old audit file could not be deleted", F_TEXT("file", segment->path),
                 F_ERRNO(errno));
        return;
    }
    if (text_cstring(&text) != NULL)
        (void)unlink(index);
    log_info("an old audit file was deleted, as audit.keep says",
             F_TEXT("file", segment->path));
}

static void prune(struct archive *archive, struct segments *segments, struct seal *seal,
                  uint64_t now_us)
{
    const struct archive_conf *conf = &archive->conf;
    uint64_t sum = 0;
    for (size_t i = 0; i < segments->count; i++)
        sum += segments->items[i].size;
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = &segments->items[i];
        bool old = conf->keep_us > 0 && segment->modified_us + conf->keep_us < now_us;
        bool much = conf->keep_bytes > 0 && sum > conf->keep_bytes;
        if (segment->number >= seal->state.segment || (!old && !much))
            return; /* oldest first: what follows is younger */
        remove_one(segment, seal, now_us);
        sum -= segment->size;
    }
}

/* ---- turns ---- */

static void compress_next(struct archive *archive, const struct segments *segments,
                          const struct seal *seal, uint64_t now_us)
{
    for (size_t i = 0; i < segments->count; i++) {
        const struct segment *segment = &segments->items[i];
        if (segment->compressed || segment->number >= seal->state.segment ||
            access(segment->path, F_OK) != 0)
            continue;
        enum err err = begin(archive, segment);
        if (err != OK)
            give_up(archive, err, now_us);
        return;
    }
}

static void look(struct archive *archive, struct seal *seal, uint64_t now_us)
{
    struct segments segments;
    archive->look_again_us = now_us + LOOK_US;
    arena_reset(&archive->arena);
    if (segments_list(&segments, archive->conf.path, &archive->arena) != OK)
        return;
    prune(archive, &segments, seal, now_us);
    if (archive->conf.compress)
        compress_next(archive, &segments, seal, now_us);
    segments_close(&segments);
}

bool archive_turn(struct archive *archive, struct seal *seal, uint64_t now_us)
{
    if (!archive->busy) {
        if (now_us < archive->look_again_us)
            return false;
        look(archive, seal, now_us);
        return archive->busy;
    }
    enum err err = gather(archive) ? pack(archive) : complete(archive);
    if (err != OK)
        give_up(archive, err, now_us);
    return archive->busy;
}
