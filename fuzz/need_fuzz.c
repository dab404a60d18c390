/*
 * What matches need: where Hyperscan finds the pattern, the text has a byte and a text of those
 * that every match is said to have.
 *
 * Input: the pattern, a newline, the text.
 */
#include <hs/hs.h>
#include <stdlib.h>

#include "rules/engine/need.h"

enum { PATTERN_MAX = 200, TEXT_MAX = 2000 };

static int on_find(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
                   void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    *(bool *)context = true;
    return 1;
}

static bool finds(const char *pattern, unsigned flags, struct span text)
{
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    hs_scratch_t *scratch = NULL;
    bool found = false;
    if (hs_compile(pattern, flags, HS_MODE_BLOCK, NULL, &db, &error) != HS_SUCCESS) {
        hs_free_compile_error(error);
        return false;
    }
    INVARIANT(hs_alloc_scratch(db, &scratch) == HS_SUCCESS);
    (void)hs_scan(db, text.p, (unsigned)text.len, 0, scratch, on_find, &found);
    hs_free_scratch(scratch);
    hs_free_database(db);
    return found;
}

static bool has_text(const struct pattern_need *need, struct span text)
{
    char lower[TEXT_MAX];
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.p[i]);
    for (unsigned i = 0; i < need->text_count; i++) {
        if (span_find(span_of(lower, text.len), need->texts[i]) >= 0)
            return true;
    }
    return need->text_count == 0;
}

static void check(struct arena *arena, const char *pattern, unsigned flags, struct span text)
{
    struct pattern_need need;
    INVARIANT(pattern_need(pattern, flags, arena, &need) == OK);
    bool skipped = !has_text(&need, text) || !byte_set_any(&need.bytes, text);
    if (skipped && text.len > 0)
        INVARIANT(!finds(pattern, flags, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span input = span_of((const char *)data, size);
    ssize_t end = span_index(input, '\n');
    struct arena arena;
    if (end <= 0 || end > PATTERN_MAX || memchr(data, '\0', (size_t)end) != NULL ||
        size - (size_t)end - 1 > TEXT_MAX)
        return 0;
    struct span text = span_sub(input, (size_t)end + 1, size);
    arena_init(&arena, NULL, 0, NULL, 64 << 20);
    const char *pattern = arena_cstring(&arena, span_sub(input, 0, (size_t)end));
    check(&arena, pattern, HS_FLAG_DOTALL | HS_FLAG_SINGLEMATCH, text);
    check(&arena, pattern, HS_FLAG_CASELESS | HS_FLAG_SINGLEMATCH, text);
    arena_reset(&arena);
    return 0;
}
