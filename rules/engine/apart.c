/*
 * Which alternatives of a pattern stand together: those that are seldom possible do, and of the
 * others those that need the same bytes.
 */
#include "rules/engine/apart.h"

#include "rules/engine/database.h"
#include "rules/engine/facts.h"
#include "rules/engine/split.h"

struct alternative {
    struct pattern_need need;
    bool seldom;
    unsigned piece;
};

static bool is_seldom_possible(const struct pattern_ways *ways)
{
    enum { LONG = 6 }; /* less than what is enough by itself: it only sorts */
    bool all = ways->count > 0;
    for (unsigned i = 0; i < ways->count && all; i++) {
        const struct need_way *way = &ways->items[i];
        bool seldom = need_starts_tell(way->starts);
        for (unsigned j = 0; j < way->list_count; j++)
            seldom = seldom || need_list_is_rare(&way->lists[j], LONG);
        all = seldom;
    }
    return all;
}

/* False: it has no meaning by itself. */
static enum err look_at(struct plan_builder *b, struct span source, struct alternative *one,
                        bool *good)
{
    struct pattern_info info;
    struct pattern_ways ways;
    *good = facts_read(b->maker->facts, source, false, b->arena, &info, NULL);
    if (!*good)
        return OK;
    TRY(facts_need(b->maker->facts, info.text, info.flags, b->arena, &one->need));
    TRY(facts_ways(b->maker->facts, info.text, info.flags, b->arena, &ways));
    one->seldom = is_seldom_possible(&ways);
    return OK;
}

static bool go_together(const struct alternative *a, const struct alternative *b)
{
    return a->seldom == b->seldom &&
           (a->seldom || (a->need.set_count == b->need.set_count &&
                          memcmp(a->need.sets, b->need.sets,
                                 a->need.set_count * sizeof(*a->need.sets)) == 0));
}

/* How many pieces there are. */
static unsigned group(struct alternative *all, unsigned count)
{
    unsigned pieces = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned same = 0;
        while (same < i && !go_together(&all[same], &all[i]))
            same++;
        all[i].piece = same < i ? all[same].piece : pieces++;
    }
    return pieces;
}

static enum err write_piece(struct plan_builder *b, const struct split_alternatives *from,
                            const struct alternative *all, unsigned piece, struct span *out)
{
    struct text text = text_growing(b->arena, from->before.len + from->behind.len + 64);
    bool first = true;
    text_add(&text, from->before);
    for (unsigned i = 0; i < from->count; i++) {
        if (all[i].piece != piece)
            continue;
        text_add(&text, first ? SPAN("") : SPAN("|"));
        text_add(&text, from->items[i]);
        first = false;
    }
    text_add(&text, from->behind);
    *out = text_span(&text);
    return text.overflow ? ERR_MEMORY : OK;
}

/* The alternative by itself, with all that stands around them. */
static enum err look_at_all(struct plan_builder *b, const struct split_alternatives *from,
                            struct alternative *all, bool *good)
{
    *good = true;
    for (unsigned i = 0; i < from->count; i++)
        all[i].piece = i;
    for (unsigned i = 0; i < from->count && *good; i++) {
        struct span alone;
        TRY(write_piece(b, from, all, i, &alone));
        TRY(look_at(b, alone, &all[i], good));
    }
    return OK;
}

enum err plan_apart(struct plan_builder *b, struct span source, struct span *pieces,
                    unsigned *count)
{
    struct split_alternatives from;
    bool good;
    pieces[0] = source;
    *count = 1;
    if (!pattern_alternatives(source, &from))
        return OK;
    struct alternative *all = arena_array(b->arena, struct alternative, from.count);
    if (all == NULL)
        return ERR_MEMORY;
    TRY(look_at_all(b, &from, all, &good));
    unsigned found = good ? group(all, from.count) : 1;
    if (found == 1 || found > APART_MAX)
        return OK;
    for (*count = 0; *count < found; (*count)++)
        TRY(write_piece(b, &from, all, *count, &pieces[*count]));
    return OK;
}
