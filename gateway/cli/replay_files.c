/*
 * Captures, from their files to requests.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/audit/captures.h"
#include "gateway/audit/segments.h"
#include "gateway/base/file.h"
#include "gateway/base/secret.h"
#include "gateway/base/table.h"
#include "gateway/cli/replay.h"

enum { KEY_FILE_MAX = 4096, FACTS_VERSION = 1 };

/* Parts that wait for the others. */
struct pending {
    uint8_t id[CAPTURE_ID_BYTES];
    struct span parts[CAPTURE_PARTS_MAX];
    unsigned count, have;
    bool done;
};

/* ---- one capture ---- */

static void take(struct captured_list *list, struct span clear)
{
    struct captured *captured = &list->items[list->count];
    json_t *facts = NULL;
    if (capture_parts_read(clear, &captured->parts))
        facts = json_loadb(captured->parts.facts.p, captured->parts.facts.len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (facts == NULL || json_integer_value(json_object_get(facts, "v")) != FACTS_VERSION) {
        json_decref(facts);
        list->unreadable++;
        return;
    }
    captured->facts = facts;
    list->count++;
}

static void join(struct captured_list *list, struct pending *pending, struct arena *arena)
{
    size_t len = 0;
    for (unsigned i = 0; i < pending->count; i++)
        len += pending->parts[i].len;
    struct text clear = text_growing(arena, len);
    for (unsigned i = 0; i < pending->count; i++)
        text_add(&clear, pending->parts[i]);
    pending->done = true;
    if (clear.overflow)
        list->unreadable++;
    else
        take(list, text_span(&clear));
}

static struct pending *pending_for(struct table *table, const struct capture_frame *frame,
                                   struct arena *arena)
{
    char *id = arena_alloc(arena, CAPTURE_ID_BYTES);
    if (id == NULL)
        return NULL;
    memcpy(id, frame->id, CAPTURE_ID_BYTES);
    struct span key = span_of(id, CAPTURE_ID_BYTES);
    struct pending *pending = table_get(table, key);
    if (pending != NULL)
        return pending->count == frame->parts ? pending : NULL;
    pending = arena_new(arena, struct pending);
    if (pending == NULL || table_put(table, key, pending) != OK)
        return NULL;
    pending->count = frame->parts;
    return pending;
}

static void add_frame(struct captured_list *list, struct table *table,
                      struct capture_opener *opener, const struct capture_frame *frame,
                      struct arena *arena)
{
    struct pending *pending = pending_for(table, frame, arena);
    if (pending == NULL) {
        list->unreadable++;
        return;
    }
    if (pending->done || pending->parts[frame->part].p != NULL)
        return; /* once each */
    char *clear = arena_alloc(arena, frame->box_len + 1);
    if (clear == NULL || !capture_frame_open(opener, frame, clear)) {
        list->unreadable++;
        return;
    }
    pending->parts[frame->part] = span_of(clear, frame->box_len);
    list->incomplete += pending->have == 0;
    if (++pending->have < pending->count)
        return;
    list->incomplete--;
    join(list, pending, arena);
}

static size_t frames_in(struct span bytes)
{
    struct capture_frame frame;
    size_t count = 0;
    while (bytes.len > 0 && capture_frame_read(bytes, &frame)) {
        bytes = span_sub(bytes, frame.bytes.len, bytes.len);
        count++;
    }
    return count;
}

void captured_add(struct captured_list *list, struct span bytes, struct capture_opener *opener,
                  struct arena *arena)
{
    struct table table;
    struct capture_frame frame;
    size_t frames = frames_in(bytes);
    list->items = arena_array(arena, struct captured, frames + 1);
    if (list->items == NULL || table_init(&table, arena, frames + 1) != OK)
        return;
    while (bytes.len > 0 && capture_frame_read(bytes, &frame)) {
        add_frame(list, &table, opener, &frame, arena);
        bytes = span_sub(bytes, frame.bytes.len, bytes.len);
    }
    list->unreadable += bytes.len > 0;
}

/* ---- files ---- */

static const char *open_key(struct capture_opener *opener, const char *path,
                            struct arena *arena)
{
    struct file file;
    uint8_t key[CAPTURE_KEY_BYTES];
    const char *wrong = file_read(path, KEY_FILE_MAX, arena, &file);
    if (wrong != NULL)
        return wrong;
    if ((file.stat.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return "others than its owner can read the private key";
    struct span text = span_trim(file.text);
    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    bool good = capture_key_read(text, key) && capture_opener_open(opener, key);
    wipe(key, sizeof(key));
    return good ? NULL : "this is no private key of `sallyport capture key`";
}

static const char *add_file(struct text *all, const struct segment *segment)
{
    struct stat info;
    int fd = segment->fd >= 0 ? dup(segment->fd)
                              : open(segment->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    const char *wrong = NULL;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        wrong = "a file of captures cannot be read";
    } else if (text_reserve(all, (size_t)info.st_size)) {
        ssize_t got = pread(fd, all->p + all->len, (size_t)info.st_size, 0);
        all->len += got > 0 ? (size_t)got : 0;
    } else {
        wrong = "out of memory";
    }
    if (fd >= 0)
        (void)close(fd);
    return wrong;
}

const char *captured_read(struct captured_list *list, const char *audit_path,
                          const char *key_path, struct arena *arena)
{
    struct capture_opener opener;
    struct segments segments;
    char path[CAPTURES_PATH_MAX];
    *list = (struct captured_list){ .count = 0 };
    const char *wrong = open_key(&opener, key_path, arena);
    if (wrong != NULL)
        return wrong;
    (void)snprintf(path, sizeof(path), "%s.capture", audit_path);
    struct text all = text_growing(arena, 1024 * 1024);
    if (segments_list(&segments, path, arena) != OK)
        wrong = "their folder cannot be read";
    for (size_t i = 0; wrong == NULL && i < segments.count; i++)
        wrong = add_file(&all, &segments.items[i]);
    segments_close(&segments);
    if (wrong == NULL)
        captured_add(list, text_span(&all), &opener, arena);
    capture_opener_close(&opener);
    return wrong;
}
