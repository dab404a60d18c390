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
 *
 * Places in a value, as a set of bits: the lowest is its start. Of places behind the last that
 * is looked at nothing is known.
 */

enum { ALL_PLACES = (1 << (NEED_STARTS + 1)) - 1 };

static unsigned behind(const struct rx_node *node, unsigned places, struct byte_set *starts);

static unsigned behind_set(const struct byte_set *set, unsigned places, struct byte_set *starts)
{
    for (unsigned i = 0; i < NEED_STARTS; i++) {
        if ((places >> i & 1) != 0)
            byte_set_unite(&starts[i], set);
    }
    return places << 1 & ALL_PLACES;
}

/* Behind its first round each may begin anywhere. */
static unsigned behind_repeat(const struct rx_node *node, unsigned places,
                              struct byte_set *starts)
{
    unsigned begins = places;
    if (node->max > 1)
        begins |= ALL_PLACES & ~((places & -places) - 1);
    unsigned ends = node->max > 0 ? behind(node->child, begins, starts) : places;
    return node->min == 0 ? places | ends : ends;
}

/* Notes what can stand at the places that the node may begin at or reach; returns where what is
 * behind it may begin. */
static unsigned behind(const struct rx_node *node, unsigned places, struct byte_set *starts)
{
    unsigned all = 0;
    switch (node->kind) {
    case RX_SET:
        return behind_set(&node->set, places, starts);
    case RX_SEQ:
        for (const struct rx_node *child = node->child; child != NULL; child = child->next)
            places = behind(child, places, starts);
        return places;
    case RX_ALT:
        for (const struct rx_node *child = node->child; child != NULL; child = child->next)
            all |= behind(child, places, starts);
        return all;
    case RX_REPEAT:
        return behind_repeat(node, places, starts);
    case RX_NOTHING:
        break;
    }
    return places;
}

/* Of an alternative that can match nowhere but at the start. Behind its end anything may be. */
static void find_starts(const struct rx_node *node, struct byte_set *starts)
{
    struct byte_set sets[NEED_STARTS] = { 0 };
    const struct rx_node *child = node->kind == RX_SEQ ? node->child : NULL;
    while (child != NULL && child->kind == RX_NOTHING && !child->start)
        child = child->next;
    bool any = child == NULL || child->kind != RX_NOTHING;
    unsigned ends = any ? 1 : behind(node, 1, sets);
    for (unsigned i = 0; i < NEED_STARTS; i++) {
        any = any || (ends >> i & 1) != 0;
        starts[i] = any ? need_every_byte : sets[i];
    }
}

bool need_starts_tell(const struct byte_set *starts)
{
    enum { FEW = 8, ENOUGH = 3 };
    bool few = true;
    for (unsigned i = 0; i < ENOUGH; i++)
        few = few && byte_set_size(&starts[i]) <= FEW;
    return few;
}

/* ---- how long a match is --------------------------------------------------------------------
 */

enum { LENGTH_MAX = 1 << 16 }; /* what is longer is told as so long */

static unsigned at_most(uint64_t length)
{
    return length < LENGTH_MAX ? (unsigned)length : LENGTH_MAX;
}

static unsigned shortest_of(const struct rx_node *node)
{
    uint64_t sum = 0, least = UINT64_MAX;
    for (const struct rx_node *child = node->child; child != NULL; child = child->next) {
        const unsigned length = shortest_of(child);
        sum = at_most(sum + length);
        least = length < least ? length : least;
    }
    switch (node->kind) {
    case RX_SET:
        return 1;
    case RX_SEQ:
        return at_most(sum);
    case RX_ALT:
        return least != UINT64_MAX ? at_most(least) : 0;
    case RX_REPEAT:
        return at_most(sum * node->min);
    case RX_NOTHING:
        break;
    }
    return 0;
}

/* ---- ways -----------------------------------------------------------------------------------
 */

bool need_list_is_rare(const struct need_list *list, size_t long_enough)
{
    bool all = list->count > 0;
    for (unsigned i = 0; i < list->count && all; i++) {
        const struct span text = list->texts[i];
        bool rare = text.len >= long_enough;
        for (size_t j = 0; j < text.len; j++)
            rare = rare || byte_is_rare((uint8_t)text.p[j]);
        all = rare;
    }
    return all;
}

/* What has one of these is so rare that nothing more is worth looking for. */
static bool tells_enough(const struct need_list *list)
{
    enum { LONG = 8 };
    return need_list_is_rare(list, LONG);
}

static enum err copy_way(const struct derived *known, struct arena *arena, struct need_way *way)
{
    way->set_count = known->set_count;
    memcpy(way->sets, known->sets, known->set_count * sizeof(*known->sets));
    if (need_starts_tell(way->starts))
        return OK;
    for (unsigned i = 0; i < NEED_LISTS; i++) {
        struct need_list *list = &way->lists[way->list_count];
        if (known->needed[i].items == NULL || known->needed[i].count > NEED_TOLD_MAX)
            continue;
        TRY(need_copy_texts(&known->needed[i], arena, &list->texts, &list->count));
        way->list_count += list->count > 0;
        if (list->count > 0 && tells_enough(list))
            break;
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
        memcpy(other->starts, way->starts, sizeof(other->starts));
        other->shortest = way->shortest;
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
           memcmp(a->starts, b->starts, sizeof(*a->starts)) == 0;
}

/* Whoever goes one of them is rare, whatever else he has. */
static bool both_tell_enough(const struct need_way *a, const struct need_way *b)
{
    return a->list_count > 0 && b->list_count > 0 && tells_enough(&a->lists[0]) &&
           tells_enough(&b->lists[0]);
}

/* What both have. */
static void keep_common(struct need_way *way, const struct need_way *other)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < way->set_count; i++) {
        bool common = false;
        for (unsigned j = 0; j < other->set_count && !common; j++)
            common = byte_set_is_within(&other->sets[j], &way->sets[i]);
        if (common)
            way->sets[kept++] = way->sets[i];
    }
    way->set_count = kept;
    way->shortest = other->shortest < way->shortest ? other->shortest : way->shortest;
    for (unsigned i = 0; i < NEED_STARTS; i++)
        byte_set_unite(&way->starts[i], &other->starts[i]);
}

/* Those are one that differ in their texts alone, or in what stands behind the first byte; and
 * those whose texts tell enough. */
static enum err join_alike(struct arena *arena, struct pattern_ways *ways)
{
    struct need_way *last = &ways->items[ways->count - 1], *same = ways->items;
    while (same < last && !is_alike(same, last) && !both_tell_enough(same, last))
        same++;
    unsigned count = same->lists[0].count + last->lists[0].count;
    if (same == last || count > NEED_TOLD_MAX)
        return OK;
    ways->count--;
    keep_common(same, last);
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
    find_starts(node, ways->items[ways->count].starts);
    ways->items[ways->count].shortest = shortest_of(node);
    TRY(add_plain_ways(&known, &plain, arena, ways));
    return join_alike(arena, ways);
}

/* Whatever goes this way may go the other one, which needs no text. */
static bool is_covered(const struct need_way *way, const struct need_way *other)
{
    bool covered = other->list_count == 0 && other->shortest <= way->shortest;
    for (unsigned i = 0; i < NEED_STARTS && covered; i++)
        covered = byte_set_is_within(&way->starts[i], &other->starts[i]);
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

/* False: out of memory. */
static bool append_copy(struct rx_node *made, const struct rx_node *node, struct arena *scratch)
{
    struct rx_node *copy = arena_new(scratch, struct rx_node);
    if (copy == NULL)
        return false;
    *copy = *node;
    copy->next = NULL;
    if (made->last != NULL)
        made->last->next = copy;
    else
        made->child = copy;
    made->last = copy;
    return true;
}

/* The sequence with one of its parts, a group of alternatives, replaced by the parts of one of
 * these, which is a sequence. NULL: out of memory. */
static struct rx_node *with_one(const struct rx_node *sequence, const struct rx_node *group,
                                const struct rx_node *one, struct arena *scratch)
{
    struct rx_node *made = arena_new(scratch, struct rx_node);
    bool good = made != NULL;
    if (good)
        made->kind = RX_SEQ;
    for (const struct rx_node *child = sequence->child; child != NULL; child = child->next) {
        const struct rx_node *part = one->child;
        for (; child == group && part != NULL; part = part->next)
            good = good && append_copy(made, part, scratch);
        good = good && (child == group || append_copy(made, child, scratch));
    }
    return good ? made : NULL;
}

static unsigned count_children(const struct rx_node *node)
{
    unsigned count = 0;
    for (const struct rx_node *child = node->child; child != NULL; child = child->next)
        count++;
    return count;
}

/* The group of a sequence that has nothing else in it, or few alternatives, or needs no text
 * and so may hide that most alternatives do: the last one. NULL: the sequence is best seen as
 * it is. */
static const struct rx_node *group_of(const struct rx_node *sequence, struct arena *scratch)
{
    enum { FEW = 3 };
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
    bool apart =
        others == 0 || (group != NULL && count_children(group) <= FEW) ||
        (need_derive(sequence, false, scratch, &known) && known.needed[0].items == NULL);
    return apart ? group : NULL;
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

unsigned need_way_share(const struct need_way *way)
{
    enum { EVERY_VALUE = 1000 };
    unsigned rarest = way->set_count > 0 ? byte_set_share(&way->sets[0]) : EVERY_VALUE;
    if (need_starts_tell(way->starts))
        return NEED_STARTS_SHARE;
    return rarest < EVERY_VALUE ? rarest : EVERY_VALUE;
}
