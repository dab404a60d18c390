/* What the harnesses of messages share: one arena, limits, and checks of whole messages. */
#ifndef SALLYPORT_HTTP_FUZZ_H
#define SALLYPORT_HTTP_FUZZ_H

#include "gateway/http/head.h"

static const struct head_limits fuzz_limits = { .head_bytes = 16384,
                                                .uri_bytes = 8192,
                                                .fields = 64 };

static inline void fuzz_arena(struct arena *arena)
{
    arena_init(arena, NULL, 0, NULL, 8 * 1024 * 1024);
}

/* Empty spans may point anywhere. */
static inline bool span_within(struct span s, struct span whole)
{
    return s.len == 0 || (s.p >= whole.p && span_end(s) <= span_end(whole));
}

static inline void check_fields(const struct fields *fields, struct span whole)
{
    INVARIANT(fields->count <= fuzz_limits.fields);
    for (unsigned i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        INVARIANT(field->name.len > 0 && span_within(field->name, whole));
        INVARIANT(span_within(field->value, whole));
        INVARIANT(span_equal(span_trim(field->value), field->value));
        INVARIANT(field->id == field_id_of(field->name));
        for (size_t k = 0; k < field->value.len; k++) {
            unsigned char c = (unsigned char)field->value.p[k];
            INVARIANT((c >= ' ' && c != 0x7f) || c == '\t');
        }
        for (size_t k = 0; k < field->name.len; k++)
            INVARIANT(field->name.p[k] > ' ' && field->name.p[k] != ':');
    }
}

/* Those that travel are the same in the same order, but for the names that the writer makes
 * itself. */
static inline bool same_fields(const struct fields *a, const struct fields *b)
{
    unsigned i = 0, k = 0;

    for (;;) {
        while (i < a->count && (a->items[i].dropped || a->items[i].id == FIELD_HOST ||
                                a->items[i].id == FIELD_CONTENT_LENGTH))
            i++;
        while (k < b->count && (b->items[k].dropped || b->items[k].id == FIELD_HOST ||
                                b->items[k].id == FIELD_CONTENT_LENGTH))
            k++;
        if (i == a->count || k == b->count)
            return i == a->count && k == b->count;
        if (!span_equal_nocase(a->items[i].name, b->items[k].name) ||
            !span_equal(a->items[i].value, b->items[k].value))
            return false;
        i++;
        k++;
    }
}

/* The same answer whole or byte by byte. */
static inline ssize_t check_scan(struct span input, size_t limit)
{
    struct head_scan whole = { 0 }, slow = { 0 };
    ssize_t result = head_scan(&whole, input.p, input.len, limit), step = HEAD_MORE;

    for (size_t len = 0; len <= input.len && step == HEAD_MORE; len++)
        step = head_scan(&slow, input.p, len, limit);
    INVARIANT(step == result);
    INVARIANT(result <= (ssize_t)input.len && result <= (ssize_t)limit && result != 0);
    return result;
}

#endif
