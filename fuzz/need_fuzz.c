/*
 * What matches need: where Hyperscan finds the pattern, the text has a byte and a text of those
 * that every match is said to have, also when it has none of the bytes relied on, and edges let
 * it pass; a pattern said to be blind to case finds in lower case what it finds without regard
 * to case, and one said to have none, what it finds in the text.
 *
 * Input: the pattern, a newline, the text.
 */
#include <hs/hs.h>
#include <stdlib.h>

#include "rules/engine/edge_make.h"

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

static bool has_text(const struct span *texts, unsigned count, struct span lower)
{
    for (unsigned i = 0; i < count; i++) {
        if (span_find(lower, texts[i]) >= 0)
            return true;
    }
    return count == 0;
}

/* Whether a match by one of the alternatives is possible. */
static bool is_possible(const struct pattern_ways *ways, struct span text, struct span lower)
{
    bool possible = ways->count == 0;
    for (unsigned i = 0; i < ways->count && !possible; i++) {
        const struct need_way *way = &ways->items[i];
        possible = true;
        for (size_t j = 0; j < NEED_STARTS && j < text.len; j++)
            possible = possible && byte_set_has(&way->starts[j], (uint8_t)text.p[j]);
        for (unsigned j = 0; j < way->set_count; j++)
            possible = possible && byte_set_any(&way->sets[j], text);
        for (unsigned j = 0; j < way->list_count; j++)
            possible = possible && has_text(way->lists[j].texts, way->lists[j].count, lower);
    }
    return possible;
}

static bool edges_let_pass(struct arena *arena, const char *pattern, unsigned flags,
                           struct span text)
{
    const struct edges *edges = NULL;
    struct edge_room *room = arena_new(arena, struct edge_room);
    INVARIANT(room != NULL);
    room->arena = arena;
    const struct pattern_edges *chosen = edges_choose(room, pattern, flags);
    if (chosen != NULL)
        INVARIANT(edges_make(room, &chosen, 1, arena, &edges) == OK);
    return edges == NULL || edges_pass(edges, text);
}

static void check(struct arena *arena, const char *pattern, unsigned flags, struct span text)
{
    struct pattern_need need;
    struct pattern_ways ways;
    INVARIANT(pattern_need(pattern, flags, arena, &need) == OK &&
              pattern_ways(pattern, flags, arena, &ways) == OK);
    char room[TEXT_MAX];
    for (size_t i = 0; i < text.len; i++)
        room[i] = ascii_lower(text.p[i]);
    struct span lower = span_of(room, text.len);
    bool plain = !byte_set_any(&need.relied, text);
    bool skipped = !has_text(need.texts, need.text_count, lower) ||
                   !byte_set_any(&need.bytes, text) || (plain && need.never);
    for (unsigned i = 0; i < need.set_count; i++)
        skipped = skipped || !byte_set_any(&need.sets[i], text);
    if (text.len > 0 && (skipped || !is_possible(&ways, text, lower)))
        INVARIANT(!finds(pattern, flags, text));
    if (text.len > 0 && !edges_let_pass(arena, pattern, flags, text))
        INVARIANT(!finds(pattern, flags, text));
    if (text.len > 0 && pattern_is_blind_to_case(pattern, flags))
        INVARIANT(finds(pattern, flags, lower) ==
                  finds(pattern, flags | HS_FLAG_CASELESS, text));
    if (text.len > 0 && pattern_has_no_case(pattern, flags))
        INVARIANT(finds(pattern, flags, lower) == finds(pattern, flags, text));
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
