/*
 * Ways by which texts may have matches of patterns that need a text (plan.h): numbers for them,
 * how texts that have them begin, and which texts open them.
 */
#include "rules/engine/build.h"
#include "rules/engine/few.h"
#include "rules/engine/need.h"

#include <limits.h>

enum {
    CLOSER_MAX = 4,        /* texts that are looked for by hand, for one way */
    CLOSER_ALIKE_MAX = 16, /* the same, if all of them end alike */
};

_Static_assert((int)WAY_LISTS == (int)NEED_LISTS, "each list has a place");
_Static_assert((int)WAY_STARTS == (int)NEED_STARTS, "each start has a place");

/* The last number stands for all that are left: it is open in any case. */
static unsigned number_of(struct scan_class *class)
{
    return class->way_count < WAYS_MAX - 1 ? class->way_count++ : WAYS_MAX - 1;
}

static enum err note_start(struct plan_builder *b, struct scan_class *class, unsigned number,
                           unsigned place, const struct byte_set *start)
{
    if (memcmp(start, &need_every_byte, sizeof(*start)) == 0)
        return OK;
    if (class->starts == NULL) {
        class->starts = arena_zero(b->arena, WAY_STARTS, sizeof(*class->starts));
        if (class->starts == NULL)
            return ERR_MEMORY;
        memset(class->starts, 0xff, WAY_STARTS * sizeof(*class->starts));
    }
    for (unsigned c = 0; c < 256; c++) {
        if (!byte_set_has(start, (uint8_t)c))
            bit_remove(class->starts[place][c].words, number);
    }
    return OK;
}

/* Texts that are shorter than all matches. */
static void note_shortest(struct scan_class *class, unsigned number, uint32_t shortest)
{
    for (unsigned len = 0; len < FITTING_LENGTHS - 1 && len < shortest; len++)
        bit_remove(class->fitting[len].ways.words, number);
}

/* The forms that a pattern of this way looks at. */
static void note_forms(struct scan_class *class, unsigned number,
                       const struct plan_pattern *pattern)
{
    for (unsigned i = 0; i < pattern->find_count; i++) {
        unsigned place = class->place_of[pattern->finds[i].form];
        if (place < class->place_count)
            bit_add(class->steps[place].ways.words, number);
    }
}

/* What all of its texts end with, if they are several; empty: that tells little. */
static struct span shared_end(const struct need_list *list)
{
    enum { TELLS = 3 };
    struct span shared = list->texts[0];
    for (unsigned i = 1; i < list->count; i++) {
        while (!span_ends(list->texts[i], shared))
            shared = span_sub(shared, 1, shared.len);
    }
    return list->count > 1 && shared.len >= TELLS ? shared : SPAN("");
}

/* How many texts are to be looked for in a text that has none of them; UINT_MAX: too many. */
static unsigned looks(const struct need_list *list)
{
    if (list->count <= CLOSER_ALIKE_MAX && shared_end(list).len > 0)
        return 1;
    return list->count <= CLOSER_MAX ? list->count : UINT_MAX;
}

/* The list of the way's that takes the fewest, if there is one. */
static enum err note_closer(struct plan_builder *b, struct scan_class *class, unsigned number,
                            const struct need_way *way)
{
    const struct need_list *best = NULL;
    for (unsigned i = 0; i < way->list_count; i++) {
        unsigned now = looks(&way->lists[i]);
        if (now < (best == NULL ? UINT_MAX : looks(best)))
            best = &way->lists[i];
    }
    if (best == NULL)
        return OK;
    if (class->closers == NULL)
        class->closers = arena_array(b->arena, struct few_list, WAYS_MAX);
    if (class->closers == NULL)
        return ERR_MEMORY;
    struct few_list *closer = (struct few_list *)&class->closers[number];
    struct span end = shared_end(best);
    closer->count = best->count;
    closer->texts = plan_few_words(b, best->texts, best->count);
    if (end.len > 0)
        closer->end = plan_few_words(b, &end, 1);
    return closer->texts != NULL && (end.len == 0 || closer->end != NULL) ? OK : ERR_MEMORY;
}

enum err plan_way_add(struct plan_builder *b, struct scan_class *class, unsigned condition,
                      const struct need_way *way, const struct plan_pattern *pattern,
                      unsigned *number)
{
    unsigned lists = way->list_count;
    *number = number_of(class);
    note_forms(class, *number, pattern);
    bit_add(class->wants[condition].ways.words, *number);
    if (*number == WAYS_MAX - 1)
        lists = 0;
    for (unsigned i = lists; i < WAY_LISTS; i++)
        bit_add(class->unlisted[i].words, *number);
    if (*number == WAYS_MAX - 1)
        return OK;
    note_shortest(class, *number,
                  way->shortest > pattern->shortest ? way->shortest : pattern->shortest);
    TRY(note_closer(b, class, *number, way));
    for (unsigned i = 0; i < WAY_STARTS; i++)
        TRY(note_start(b, class, *number, i, &way->starts[i]));
    return OK;
}
