/*
 * The row of seals: each signed by the key that the one before it named.
 */
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "gateway/audit/verify.h"

const char *verify_kind_name(enum verify_kind kind)
{
    static const char *const names[VERIFY_KINDS] = {
        [VERIFY_EDIT] = "edit",
        [VERIFY_DELETE] = "delete",
        [VERIFY_REORDER] = "reorder",
        [VERIFY_INSERT] = "insert",
        [VERIFY_TRUNCATE] = "truncate",
        [VERIFY_SWAP] = "swap",
        [VERIFY_RESEAL] = "reseal",
        [VERIFY_DUPLICATE] = "duplicate",
        [VERIFY_UNREADABLE] = "unreadable",
    };
    return names[kind];
}

void verify_add(struct verify *verify, enum verify_kind kind, const char *file, uint64_t seq,
                const char *format, ...)
{
    char buffer[256];
    if (verify->count == VERIFY_PROBLEMS_MAX) {
        verify->suppressed++;
        return;
    }
    va_list list;
    va_start(list, format);
    (void)vsnprintf(buffer, sizeof(buffer), format, list);
    va_end(list);
    const char *text = arena_cstring(verify->arena, span_text(buffer));
    verify->problems[verify->count++] = (struct verify_problem){
        .kind = kind, .file = file, .seq = seq, .text = text != NULL ? text : ""
    };
}

static void note_key(struct verify *verify, const struct seal_entry *entry, const char *file,
                     const char *pinned)
{
    (void)sodium_bin2base64(verify->key, sizeof(verify->key), entry->key, sizeof(entry->key),
                            sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    if (pinned != NULL && strcmp(pinned, verify->key) != 0)
        verify_add(verify, VERIFY_RESEAL, file, 1,
                   "the chain was begun by another key than the one given");
}

static bool grow(struct verify *verify, struct seal_list *list)
{
    if (list->count < list->room)
        return true;
    size_t room = list->room > 0 ? 2 * list->room : 256;
    struct seal_entry *items = arena_array(verify->arena, struct seal_entry, room);
    struct span *lines = arena_array(verify->arena, struct span, room);
    if (items == NULL || lines == NULL)
        return false;
    if (list->count > 0) {
        memcpy(items, list->items, list->count * sizeof(*items));
        memcpy(lines, list->lines, list->count * sizeof(*lines));
    }
    list->items = items;
    list->lines = lines;
    list->room = room;
    return true;
}

bool seals_add(struct verify *verify, struct seal_list *list, struct span line,
               const char *file, const char *pinned)
{
    if (!grow(verify, list)) {
        verify_add(verify, VERIFY_UNREADABLE, file, list->count, "out of memory");
        return false;
    }
    const struct seal_entry *before = list->count > 0 ? &list->items[list->count - 1] : NULL;
    struct seal_entry *entry = &list->items[list->count];
    struct span kept = arena_copy(verify->arena, line); /* its time is a part of it */
    if (kept.p == NULL || !seal_parse(kept, before != NULL ? before->next : NULL, entry)) {
        verify_add(verify, VERIFY_RESEAL, file, list->count + 1,
                   "this seal was not made with the key that the one before it named");
        return false;
    }
    if (before == NULL && entry->kind != SEAL_GENESIS) {
        verify_add(verify, VERIFY_DELETE, file, 1, "the first seals are missing");
        return false;
    }
    if (before != NULL && entry->kind == SEAL_GENESIS)
        verify_add(
            verify, VERIFY_RESEAL, file, list->count + 1,
            "another chain begins here: the state of the former one was lost or removed");
    else if (before != NULL && entry->seq < before->seq)
        verify_add(verify, VERIFY_RESEAL, file, list->count + 1, "numbers go back");
    if (before == NULL)
        note_key(verify, entry, file, pinned);
    list->lines[list->count++] = kept;
    verify->seals++;
    return true;
}

enum err seals_read(struct verify *verify, struct seal_list *list, struct lines *from,
                    const char *file, const char *pinned)
{
    struct span line;
    while (lines_next(from, &line))
        if (!seals_add(verify, list, line, file, pinned))
            break;
    if (from->error == OK && from->torn)
        verify_add(verify, VERIFY_TRUNCATE, file, list->count + 1, "ends within a line");
    return from->error;
}
