/*
 * The place of each alternative at which matches are told from plain text in the fewest steps:
 * found out with a piece of plain text, from each place on, and from each back.
 */
#include "rules/engine/edge_make.h"

#include <limits.h>

/* What people write, with some of what patterns look for: words of SQL, quotes, brackets. None
 * of it is an attack, so a place at which it is taken for one is of no use. */
static const char plain[] =
    "Hello Tom & Eve, thanks for your letter (#2041). I've seen \"The Birds\" and 'Vertigo':\n"
    "both are good - 7.5/10 = fine! Create a list of films, or select any from ours at\n"
    "https://films.example.net/list?sort=year&from=1950#end; eve@films.example.net has the\n"
    "script (1957) of one, having read it. It takes 2-3 days [holidays excepted], costs 0% "
    "more\nthan {n} = 5+4 others, and the union of clubs will update its table of prices\n"
    "where it can. Drop in between 10:30 and 12:00 -> by the left window; 3 < 4, a_b, v3.1.4\n"
    "and ab9+Zk/0Qx== are what the user had, if you like. M\xc3\xbcnchen, \xc3\x89vreux... "
    "stay on the alert!";

enum { PLAIN_BYTES = sizeof(plain) - 1 };
#define NO_STEPS UINT_MAX

/* Places of one alternative. */
struct trial {
    struct edge_room *room;
    struct nfa_set *base;                                         /* the states to begin in */
    uint16_t ahead[EDGE_PARTS_MAX + 1], back[EDGE_PARTS_MAX + 1]; /* from each place */
    struct byte_set first[EDGE_PARTS_MAX];
    unsigned least; /* steps, of the best place so far */
};

/* ---- parts ----------------------------------------------------------------------------------
 */

struct parts {
    const struct rx_node *items[EDGE_PARTS_MAX];
    unsigned count;
    struct arena *arena;
    bool good;
};

static struct rx_node *new_node(struct parts *parts, enum rx_kind kind,
                                struct rx_node *children)
{
    struct rx_node *node = arena_new(parts->arena, struct rx_node);
    parts->good = parts->good && node != NULL;
    if (node != NULL)
        *node = (struct rx_node){ .kind = kind, .child = children, .max = UINT32_MAX };
    return node;
}

static void add_part(struct parts *parts, const struct rx_node *node)
{
    parts->good = parts->good && parts->count < EDGE_PARTS_MAX;
    if (parts->good)
        parts->items[parts->count++] = node;
}

static const struct byte_set *only_set(const struct rx_node *node)
{
    while ((node->kind == RX_SEQ || node->kind == RX_ALT) && node->child != NULL &&
           node->child->next == NULL)
        node = node->child;
    return node->kind == RX_SET ? &node->set : NULL;
}

/*
 * `(?:\s|A|B)*` as `\s*` and then, perhaps, `(?:A|B)(?:\s|A|B)*`: behind the white space stands
 * what A or B begin with, or what stands behind all of it, which are rarer than white space.
 */
static void add_loop(struct parts *parts, const struct rx_node *loop)
{
    const struct rx_node *choice = loop->child;
    struct rx_node *set = new_node(parts, RX_SET, NULL),
                   *others = new_node(parts, RX_ALT, NULL);
    bool any = false;
    if (!parts->good)
        return;
    for (const struct rx_node *child = choice->child; child != NULL; child = child->next) {
        const struct byte_set *bytes = only_set(child);
        if (bytes != NULL) {
            byte_set_unite(&set->set, bytes);
            any = true;
            continue;
        }
        struct rx_node *copy = new_node(parts, child->kind, child->child);
        if (!parts->good)
            return;
        *copy = *child;
        copy->next = others->child;
        others->child = copy;
    }
    if (!any || others->child == NULL) {
        add_part(parts, loop);
        return;
    }
    struct rx_node *again = new_node(parts, RX_REPEAT, NULL);
    struct rx_node *more = new_node(parts, RX_SEQ, others);
    struct rx_node *once = new_node(parts, RX_REPEAT, more);
    struct rx_node *sets = new_node(parts, RX_REPEAT, set);
    if (!parts->good)
        return;
    *again = *loop;
    again->next = NULL;
    others->next = again;
    once->max = 1;
    add_part(parts, sets);
    add_part(parts, once);
}

static bool is_loop_of_choices(const struct rx_node *node)
{
    return node->kind == RX_REPEAT && node->min == 0 && node->max == UINT32_MAX &&
           node->child->kind == RX_ALT && node->child->child->next != NULL;
}

static void list_parts(struct parts *parts, const struct rx_node *node)
{
    bool one = node->kind == RX_ALT && node->child->next == NULL;
    if (node->kind != RX_SEQ && !one) {
        if (is_loop_of_choices(node))
            add_loop(parts, node);
        else
            add_part(parts, node);
        return;
    }
    for (const struct rx_node *child = node->child; child != NULL; child = child->next)
        list_parts(parts, child);
}

/* ---- trials ---------------------------------------------------------------------------------
 */

/* Steps from the byte at `place`; NO_STEPS: a match. */
static unsigned steps_from(struct trial *t, size_t place, bool back)
{
    const struct nfa_set *from = t->base;
    size_t count = back ? place + 1 : PLAIN_BYTES - place;
    unsigned steps = 0;
    for (; steps < count && from->count > 0; steps++) {
        struct nfa_set *to = &t->room->sets[steps & 1];
        nfa_step(&t->room->nfa, from, (uint8_t)plain[back ? place - steps : place + steps], to);
        if (to->end)
            return NO_STEPS;
        from = to;
    }
    return steps;
}

static void begin_at(struct trial *t, uint16_t state, bool begin)
{
    nfa_empty(&t->room->nfa, t->base);
    nfa_put(&t->room->nfa, t->base, state, begin);
}

/* Bytes on which a state goes on; false: a match may end there already. */
static bool first_bytes(struct trial *t, uint16_t state, bool begin, struct byte_set *first)
{
    *first = (struct byte_set){ { 0 } };
    begin_at(t, state, begin);
    for (unsigned i = 0; i < t->base->count; i++)
        byte_set_unite(first, t->room->nfa.states[t->base->items[i]].set);
    return !t->base->end;
}

/* What it takes to begin at a byte and go on, in steps; 0: that is no byte to begin at. */
static unsigned takes_from(struct trial *t, size_t place, const struct byte_set *first,
                           bool back)
{
    enum { BEGIN = 4 };
    unsigned steps =
        byte_set_has(first, (uint8_t)plain[place]) ? steps_from(t, place, back) : 0;
    return steps == 0 || steps == NO_STEPS ? steps : steps + BEGIN;
}

/* All steps, if they are less than the least so far, and nothing is found. */
static bool is_better(struct trial *t, uint16_t state, const struct byte_set *first, bool back)
{
    unsigned sum = 0;
    begin_at(t, state, true);
    if (!back)
        sum = steps_from(t, 0, false);
    begin_at(t, state, false);
    for (size_t i = 0; i < PLAIN_BYTES && sum < t->least; i++) {
        unsigned steps = takes_from(t, i, first, back);
        sum = steps < t->least - sum ? sum + steps : t->least;
    }
    if (sum >= t->least)
        return false;
    t->least = sum;
    return true;
}

static void try_place(struct trial *t, unsigned at, struct edge_start *best)
{
    struct nfa *nfa = &t->room->nfa;
    struct edge_start start = { .at = at };
    if (first_bytes(t, t->ahead[at], false, &start.first) &&
        is_better(t, t->ahead[at], &start.first, false))
        *best = start;
    start.back = true;
    if (!first_bytes(t, t->ahead[at], true, &start.first))
        return;
    t->first[at] = start.first;
    if (is_better(t, nfa_add_set(nfa, &t->first[at], t->back[at]), &start.first, true))
        *best = start;
}

/* ---- all ------------------------------------------------------------------------------------
 */

/* `at` behind the parts: there is no good place. */
static enum err choose_place(struct edge_room *room, const struct parts *parts,
                             struct edge_start *best)
{
    enum { WORTH = PLAIN_BYTES * 2 }; /* more steps take longer than a database */
    struct trial trial = { .room = room, .base = &room->sets[2], .least = WORTH }, *t = &trial;
    const struct rx_node **kept =
        arena_array(parts->arena, const struct rx_node *, parts->count);
    unsigned count = parts->count;
    if (kept == NULL)
        return ERR_MEMORY;
    nfa_clear(&room->nfa);
    t->ahead[count] = t->back[0] = NFA_END;
    for (unsigned i = count; i > 0; i--)
        t->ahead[i - 1] = nfa_add(&room->nfa, parts->items[i - 1], t->ahead[i], false);
    for (unsigned i = 0; i < count; i++)
        t->back[i + 1] = nfa_add(&room->nfa, parts->items[i], t->back[i], true);
    *best = (struct edge_start){ .at = count };
    for (unsigned i = 0; i < count; i++)
        try_place(t, i, best);
    memcpy(kept, parts->items, count * sizeof(const struct rx_node *));
    best->parts = kept;
    best->count = count;
    return OK;
}

/* Of an alternative, or of those in it. `*good`: all of them have a place. */
static enum err choose(struct edge_room *room, const struct rx_node *node,
                       struct pattern_edges *edges, bool *good)
{
    struct parts parts = { .arena = room->arena, .good = true };
    bool inside = node->kind == RX_SEQ && node->child != NULL && node->child->next == NULL;
    if (node->kind == RX_ALT || inside) {
        for (node = node->child; node != NULL && *good; node = node->next)
            TRY(choose(room, node, edges, good));
        return OK;
    }
    list_parts(&parts, node);
    *good = parts.good && edges->count < EDGE_STARTS_MAX;
    if (*good)
        TRY(choose_place(room, &parts, &edges->items[edges->count]));
    *good = *good && edges->items[edges->count].at < parts.count;
    edges->count++;
    return OK;
}

const struct pattern_edges *edges_choose(struct edge_room *room, const char *text,
                                         unsigned flags)
{
    struct pattern_edges found = { .count = 0 };
    const struct rx_node *tree = rx_parse(span_text(text), flags, room->arena);
    bool good = tree != NULL;
    if (!good || choose(room, tree, &found, &good) != OK || !good)
        return NULL;
    struct pattern_edges *kept = arena_new(room->arena, struct pattern_edges);
    if (kept != NULL)
        *kept = found;
    return kept;
}

bool edges_plain_has(struct span text)
{
    bool found = false;
    for (size_t i = 0; i + text.len <= PLAIN_BYTES && !found; i++)
        found = span_equal_nocase(span_of(plain + i, text.len), text);
    return found;
}

/* Whether plain text has what the way needs, as far as texts go. */
static bool is_usual(const struct need_way *way)
{
    bool usual = true;
    for (unsigned i = 0; i < way->list_count && usual; i++) {
        const struct need_list *list = &way->lists[i];
        usual = false;
        for (unsigned j = 0; j < list->count && !usual; j++)
            usual = edges_plain_has(list->texts[j]);
    }
    return usual;
}

bool edges_are_worth_it(const struct pattern_ways *ways)
{
    bool worth = ways->count == 0;
    for (unsigned i = 0; i < ways->count && !worth; i++)
        worth = is_usual(&ways->items[i]);
    return worth;
}
