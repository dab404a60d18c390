/*
 * What a match of a pattern needs, by each of its alternatives: a pattern that looks for many
 * different things needs little that they have in common, and each of them much.
 */
#include "rules/engine/need.h"

/* Without the groups that stand around all of it. */
static const struct rx_node *unwrap(const struct rx_node *node)
{
    for (;;) {
        const struct rx_node *child = node->child;
        if (node->kind != RX_ALT && node->kind != RX_SEQ)
            return node;
        if (child == NULL || child->next != NULL ||
            (child->kind != RX_ALT && child->kind != RX_SEQ))
            return node;
        node = child;
    }
}

/* ---- where a value begins -------------------------------------------------------------------
 */

/* Adds what the node can begin with. True: it may be empty, and so what follows counts, too. */
static bool add_first(const struct rx_node *node, struct byte_set *first)
{
    const struct rx_node *child = node->child;
    bool empty;
    switch (node->kind) {
    case RX_SET:
        byte_set_unite(first, &node->set);
        return false;
    case RX_SEQ:
        while (child != NULL && add_first(child, first))
            child = child->next;
        return child == NULL;
    case RX_ALT:
        for (empty = false; child != NULL; child = child->next)
            empty |= add_first(child, first);
        return empty;
    case RX_REPEAT:
        empty = add_first(child, first);
        return empty || node->min == 0;
    case RX_NOTHING:
        break;
    }
    return true;
}

/* Of an alternative that can match nowhere but at the start, and is not empty. */
static void find_first(const struct rx_node *node, struct byte_set *first)
{
    struct byte_set set = { { 0 } };
    const struct rx_node *child = node->kind == RX_SEQ ? node->child : NULL;
    while (child != NULL && child->kind == RX_NOTHING && !child->start)
        child = child->next;
    bool starts = child != NULL && child->kind == RX_NOTHING && child->start;
    *first = starts && !add_first(node, &set) ? set : need_every_byte;
}

/* ---- ways -----------------------------------------------------------------------------------
 */

static enum err copy_way(const struct derived *known, struct arena *arena, struct need_way *way)
{
    way->set_count = known->set_count;
    memcpy(way->sets, known->sets, known->set_count * sizeof(*known->sets));
    for (unsigned i = 0; i < NEED_LISTS; i++) {
        struct need_list *list = &way->lists[way->list_count];
        if (known->needed[i].items == NULL || known->needed[i].count > NEED_TOLD_MAX)
            continue;
        TRY(need_copy_texts(&known->needed[i], arena, &list->texts, &list->count));
        way->list_count += list->count > 0;
    }
    return OK;
}

/* Two of one alternative that needs no text: with the rare bytes by which it does without, and
 * of values that have none of them. */
static enum err add_plain_ways(const struct derived *known, const struct derived *plain,
                               struct arena *arena, struct pattern_ways *ways)
{
    struct need_way *way = &ways->items[ways->count++];
    TRY(copy_way(known, arena, way));
    if (way->list_count > 0 || (plain->needed[0].items == NULL && !plain->never))
        return OK;
    if (!plain->never) {
        struct need_way *other = &ways->items[ways->count];
        struct derived told = *known;
        memcpy(told.needed, plain->needed, sizeof(told.needed));
        *other = (struct need_way){ .first = way->first };
        TRY(copy_way(&told, arena, other));
        if (other->list_count == 0)
            return OK;
        ways->count++;
    }
    need_add_set(way->sets, &way->set_count, &plain->relied);
    return OK;
}

static bool is_alike(const struct need_way *a, const struct need_way *b)
{
    return a->list_count < 2 && b->list_count == a->list_count &&
           a->set_count == b->set_count &&
           memcmp(a->sets, b->sets, a->set_count * sizeof(*a->sets)) == 0 &&
           memcmp(&a->first, &b->first, sizeof(a->first)) == 0;
}

/* Those that differ in their texts alone are one. */
static enum err join_alike(struct arena *arena, struct pattern_ways *ways)
{
    struct need_way *last = &ways->items[ways->count - 1], *same = ways->items;
    while (same < last && !is_alike(same, last))
        same++;
    unsigned count = same->lists[0].count + last->lists[0].count;
    if (same == last || count > NEED_TOLD_MAX)
        return OK;
    ways->count--;
    if (count == 0)
        return OK;
    struct span *texts = arena_array(arena, struct span, count);
    if (texts == NULL)
        return ERR_MEMORY;
    memcpy(texts, same->lists[0].texts, same->lists[0].count * sizeof(*texts));
    memcpy(texts + same->lists[0].count, last->lists[0].texts,
           last->lists[0].count * sizeof(*texts));
    same->lists[0] = (struct need_list){ texts, count };
    return OK;
}

static enum err add_way(const struct rx_node *node, struct arena *arena, struct arena *scratch,
                        struct pattern_ways *ways)
{
    struct derived known, plain;
    if (ways->count + 2 > NEED_WAYS_MAX || !need_derive(node, false, scratch, &known) ||
        !need_derive(node, true, scratch, &plain))
        return ERR_LIMIT;
    memset(&ways->items[ways->count], 0, 2 * sizeof(*ways->items));
    find_first(node, &ways->items[ways->count].first);
    TRY(add_plain_ways(&known, &plain, arena, ways));
    return join_alike(arena, ways);
}

/* Whatever goes this way may go the other one, which needs no text. */
static bool is_covered(const struct need_way *way, const struct need_way *other)
{
    bool covered = other->list_count == 0 && byte_set_is_within(&way->first, &other->first);
    for (unsigned i = 0; i < other->set_count && covered; i++) {
        covered = false;
        for (unsigned j = 0; j < way->set_count && !covered; j++)
            covered = byte_set_is_within(&way->sets[j], &other->sets[i]);
    }
    return covered;
}

static void drop_covered(struct pattern_ways *ways)
{
    for (unsigned i = 0; i < ways->count;) {
        bool covered = false;
        for (unsigned j = 0; j < ways->count && !covered; j++)
            covered = j != i && is_covered(&ways->items[i], &ways->items[j]);
        if (covered)
            ways->items[i] = ways->items[--ways->count];
        else
            i++;
    }
}

/* ---- alternatives ---------------------------------------------------------------------------
 */

/* The sequence with one of its parts, a group of alternatives, replaced by one of these. NULL:
 * out of memory. */
static struct rx_node *with_one(const struct rx_node *sequence, const struct rx_node *group,
                                const struct rx_node *one, struct arena *scratch)
{
    struct rx_node *made = arena_new(scratch, struct rx_node);
    if (made == NULL)
        return NULL;
    made->kind = RX_SEQ;
    for (const struct rx_node *child = sequence->child; child != NULL; child = child->next) {
        struct rx_node *copy = arena_new(scratch, struct rx_node);
        if (copy == NULL)
            return NULL;
        *copy = child == group ? *one : *child;
        copy->next = NULL;
        if (made->last != NULL)
            made->last->next = copy;
        else
            made->child = copy;
        made->last = copy;
    }
    return made;
}

/* The group of a sequence that has nothing else in it, or needs no text, and so may hide that
 * most alternatives do: the last one. NULL: the sequence is best seen as it is. */
static const struct rx_node *group_of(const struct rx_node *sequence, struct arena *scratch)
{
    const struct rx_node *group = NULL;
    struct derived known;
    unsigned others = 0;
    if (sequence->kind != RX_SEQ)
        return NULL;
    for (const struct rx_node *child = sequence->child; child != NULL; child = child->next) {
        bool several = child->kind == RX_ALT && child->child->next != NULL;
        if (several)
            group = child;
        others += !several && child->kind != RX_NOTHING;
    }
    bool whole = others == 0 || (need_derive(sequence, false, scratch, &known) &&
                                 known.needed[0].items == NULL);
    return whole ? group : NULL;
}

/* Alternatives in alternatives count alike. */
static enum err add_ways(const struct rx_node *node, bool inside, struct arena *arena,
                         struct arena *scratch, struct pattern_ways *ways)
{
    node = unwrap(node);
    const struct rx_node *group = node->kind == RX_ALT ? node : NULL;
    if (group == NULL && !inside)
        group = group_of(node, scratch);
    if (group == NULL)
        return add_way(node, arena, scratch, ways);
    for (const struct rx_node *child = group->child; child != NULL; child = child->next) {
        const struct rx_node *one = child;
        if (group != node)
            one = with_one(node, group, child, scratch);
        if (one == NULL)
            return ERR_LIMIT;
        TRY(add_ways(one, inside || group != node, arena, scratch, ways));
    }
    return OK;
}

enum err pattern_ways(const char *text, unsigned flags, struct arena *arena,
                      struct pattern_ways *ways)
{
    struct arena scratch;
    enum err err = ERR_LIMIT;
    *ways = (struct pattern_ways){ .count = 0 };
    arena_init(&scratch, NULL, 0, NULL, NEED_MEMORY_MAX);
    const struct rx_node *tree = rx_parse(span_text(text), flags, &scratch);
    if (tree != NULL)
        err = add_ways(tree, false, arena, &scratch, ways);
    if (err == ERR_LIMIT && tree != NULL) { /* too many: what they have in common */
        *ways = (struct pattern_ways){ .count = 0 };
        err = add_way(unwrap(tree), arena, &scratch, ways);
    }
    arena_reset(&scratch);
    if (err == ERR_LIMIT)
        ways->count = 0;
    drop_covered(ways);
    return err == ERR_LIMIT ? OK : err;
}
