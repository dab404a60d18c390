/*
 * Automata of edges: each set of states that some bytes may lead to is one state of theirs.
 *
 * They are made in the order of how many bytes lead there, as many as there is room for; what
 * leads to any other counts as found.
 */
#include "rules/engine/edge_make.h"
#include "rules/engine/plan.h"

#include <stdlib.h>

enum {
    ENTRIES_MAX = 256, /* places, on and back each */
    STATES_MAX = 512,
    CLASSES_MAX = 96,
    ITEMS_MAX = 32 * 1024, /* states of the patterns, in all of ours */
    SLOTS = 1024,          /* powers of two */
    SETS = 256,
    LINKS_MAX = 16 * 1024,
    DEAD = 0,
    FOUND = 1,
};
_Static_assert(STATES_MAX *CLASSES_MAX <= UINT16_MAX, "each state's row has a number");
_Static_assert(CLASSES_MAX <= 128, "a class is a bit of struct classes");
_Static_assert(SLOTS > STATES_MAX, "a slot is free, so that a search for one ends");

struct entries {
    uint16_t items[ENTRIES_MAX];
    unsigned count;
};

struct classes {
    uint64_t words[2];
};

struct known_set {
    const struct byte_set *set;
    struct classes classes;
};

struct subset {
    unsigned from, count; /* of the items, in order */
};

struct edge_maker {
    struct edge_room *room;
    struct entries ahead, back;
    uint8_t class_of[256]; /* of bytes that lead to the same */
    unsigned class_count;
    struct classes classes[NFA_STATES_MAX]; /* by state of the patterns: of its bytes */
    struct known_set known[SETS];
    struct subset subsets[STATES_MAX];
    uint16_t items[ITEMS_MAX];
    unsigned subset_count, item_count;
    uint16_t slots[SLOTS]; /* by hash: a subset's number */
    uint16_t next[STATES_MAX][CLASSES_MAX];
    uint16_t number[STATES_MAX]; /* under which a state is known in the end */
    struct link {
        uint16_t to, next; /* of the same class, and one more */
    } links[LINKS_MAX];
    uint16_t first_link[CLASSES_MAX];
};

/* ---- entries --------------------------------------------------------------------------------
 */

static uint16_t enter_ahead(struct nfa *nfa, const struct edge_start *start)
{
    uint16_t next = NFA_END;
    for (unsigned i = start->count; i > start->at; i--)
        next = nfa_add(nfa, start->parts[i - 1], next, false);
    return next;
}

static uint16_t enter_back(struct nfa *nfa, const struct edge_start *start)
{
    uint16_t next = NFA_END;
    for (unsigned i = 0; i < start->at; i++)
        next = nfa_add(nfa, start->parts[i], next, true);
    return nfa_add_set(nfa, &start->first, next);
}

/* False: there are too many. */
static bool enter(struct edge_maker *m, const struct pattern_edges *pattern)
{
    struct nfa *nfa = &m->room->nfa;
    for (unsigned i = 0; i < pattern->count; i++) {
        const struct edge_start *start = &pattern->items[i];
        struct entries *to = start->back ? &m->back : &m->ahead;
        if (to->count == ENTRIES_MAX)
            return false;
        to->items[to->count++] = start->back ? enter_back(nfa, start) : enter_ahead(nfa, start);
    }
    return true;
}

static void put_all(struct edge_maker *m, const struct entries *entries, bool begin,
                    struct nfa_set *set)
{
    nfa_empty(&m->room->nfa, set);
    for (unsigned i = 0; i < entries->count; i++)
        nfa_put(&m->room->nfa, set, entries->items[i], begin);
}

/* ---- classes of bytes -----------------------------------------------------------------------
 */

/* Classes are cut in two where only a part of them is in the set. False: there are too many. */
static bool cut_classes(struct edge_maker *m, const struct byte_set *set)
{
    uint8_t inside[CLASSES_MAX] = { 0 };
    bool outside[CLASSES_MAX] = { false };
    for (unsigned c = 0; c < 256; c++)
        outside[m->class_of[c]] = outside[m->class_of[c]] || !byte_set_has(set, (uint8_t)c);
    for (unsigned c = 0; c < 256; c++) {
        unsigned class = m->class_of[c];
        if (!byte_set_has(set, (uint8_t)c) || !outside[class])
            continue;
        if (inside[class] == 0 && m->class_count == CLASSES_MAX)
            return false;
        if (inside[class] == 0)
            inside[class] = (uint8_t)m->class_count++;
        m->class_of[c] = inside[class];
    }
    return true;
}

/* Most sets are a letter that was met before. */
static struct known_set *slot_of(struct edge_maker *m, const struct byte_set *set)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < ARRAY_LEN(set->words); i++)
        hash = (hash ^ set->words[i]) * UINT64_C(0xff51afd7ed558ccd);
    return &m->known[hash >> 32 & (SETS - 1)];
}

static bool is_known(const struct known_set *known, const struct byte_set *set)
{
    return known->set != NULL && memcmp(known->set, set, sizeof(*set)) == 0;
}

static struct classes classes_of(const struct edge_maker *m, const struct byte_set *set)
{
    struct classes classes = { { 0 } };
    for (unsigned c = 0; c < 256; c++) {
        if (byte_set_has(set, (uint8_t)c))
            bit_add(classes.words, m->class_of[c]);
    }
    return classes;
}

/* False: there are too many. */
static bool find_classes(struct edge_maker *m)
{
    const struct nfa *nfa = &m->room->nfa;
    memset(m->class_of, 0, sizeof(m->class_of));
    memset(m->known, 0, sizeof(m->known));
    m->class_count = 1;
    for (unsigned i = 0; i < nfa->count; i++) {
        const struct byte_set *set = nfa->states[i].set;
        if (set == NULL || is_known(slot_of(m, set), set))
            continue;
        slot_of(m, set)->set = set;
        if (!cut_classes(m, set))
            return false;
    }
    memset(m->known, 0, sizeof(m->known));
    for (unsigned i = 0; i < nfa->count; i++) {
        const struct byte_set *set = nfa->states[i].set;
        struct known_set *known = set != NULL ? slot_of(m, set) : NULL;
        if (known != NULL && !is_known(known, set))
            *known = (struct known_set){ set, classes_of(m, set) };
        if (known != NULL)
            m->classes[i] = known->classes;
    }
    return true;
}

/* ---- states ---------------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void put_in_order(struct nfa_set *set)
{
    enum { FEW = 32 };
    uint16_t *items = set->items;
    if (set->count > FEW) {
        qsort(items, set->count, sizeof(*items), by_number);
        return;
    }
    for (unsigned i = 1; i < set->count; i++) {
        uint16_t item = items[i];
        unsigned at = i;
        for (; at > 0 && items[at - 1] > item; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static uint32_t hash_of(const struct nfa_set *set)
{
    uint32_t hash = 2166136261U;
    for (unsigned i = 0; i < set->count; i++)
        hash = (hash ^ set->items[i]) * 16777619U;
    return hash ^ hash >> 15;
}

static bool is_same(const struct edge_maker *m, const struct subset *subset,
                    const struct nfa_set *set)
{
    return subset->count == set->count &&
           memcmp(m->items + subset->from, set->items, set->count * sizeof(*set->items)) == 0;
}

/* The number of what is possible then. */
static uint16_t number_of(struct edge_maker *m, struct nfa_set *set)
{
    if (set->end)
        return FOUND;
    if (set->count == 0)
        return DEAD;
    put_in_order(set);
    uint32_t slot = hash_of(set) & (SLOTS - 1);
    for (; m->slots[slot] != 0; slot = (slot + 1) & (SLOTS - 1)) {
        if (is_same(m, &m->subsets[m->slots[slot]], set))
            return m->slots[slot];
    }
    if (m->subset_count == STATES_MAX || m->item_count + set->count > ITEMS_MAX)
        return FOUND;
    m->slots[slot] = (uint16_t)m->subset_count;
    m->subsets[m->subset_count] = (struct subset){ m->item_count, set->count };
    memcpy(m->items + m->item_count, set->items, set->count * sizeof(*set->items));
    m->item_count += set->count;
    return (uint16_t)m->subset_count++;
}

/* Which states each class leads to. False: there are too many. */
static bool link_classes(struct edge_maker *m, const struct subset *subset)
{
    const struct nfa *nfa = &m->room->nfa;
    unsigned count = 0;
    memset(m->first_link, 0, sizeof(m->first_link));
    for (unsigned i = 0; i < subset->count; i++) {
        uint16_t item = m->items[subset->from + i];
        const uint64_t *classes = m->classes[item].words;
        for (unsigned class = bit_next(classes, 0, m->class_count); class < m->class_count;
             class = bit_next(classes, class + 1, m->class_count)) {
            if (count == LINKS_MAX)
                return false;
            m->links[count++] = (struct link){ nfa->states[item].next, m->first_link[class] };
            m->first_link[class] = (uint16_t)count;
        }
    }
    return true;
}

static void follow(struct edge_maker *m, unsigned number)
{
    struct nfa *nfa = &m->room->nfa;
    struct nfa_set *to = &m->room->sets[0];
    bool good = link_classes(m, &m->subsets[number]);
    for (unsigned class = 0; class < m->class_count; class ++) {
        nfa_empty(nfa, to);
        for (unsigned i = m->first_link[class]; i > 0; i = m->links[i - 1].next)
            nfa_put(nfa, to, m->links[i - 1].to, false);
        m->next[number][class] = good ? number_of(m, to) : FOUND;
    }
}

/* Whether most bytes lead from a state to itself: it would be a long way to where it ends. */
static bool stays(const struct edge_maker *m, unsigned number)
{
    enum { MOST = 224 };
    unsigned same = 0;
    for (unsigned c = 0; c < 256; c++)
        same += m->next[number][m->class_of[c]] == number;
    return same >= MOST;
}

/* ---- all ------------------------------------------------------------------------------------
 */

/* The bytes beside those of a group, which lead to `state`, with which it goes on. */
static void add_beside(const struct edges *edges, unsigned state, uint8_t group,
                       struct edge_bytes *beside)
{
    for (unsigned c = 0; c < 256 && state != DEAD; c++) {
        if (edges->next[state + edges->class_of[c]] != DEAD)
            edge_bytes_add(beside, (uint8_t)c, group);
    }
}

/* Bytes of one class that have their upper half in common are a group: then no other is taken
 * for one of them. */
static void add_begins(struct edges *edges)
{
    uint8_t groups[CLASSES_MAX][16] = { { 0 } };
    unsigned count = 0;
    for (unsigned c = 0; c < 256; c++) {
        const unsigned class = edges->class_of[c];
        const unsigned on = edges->next[edges->forward + class],
                       back = edges->next[edges->backward + class];
        uint8_t *group = &groups[class][c / 16];
        if (on == DEAD && back == DEAD)
            continue;
        if (*group == 0) {
            *group = (uint8_t)(1U << count++ % 8);
            add_beside(edges, on, *group, &edges->ahead);
            add_beside(edges, back, *group, &edges->before);
        }
        edge_bytes_add(&edges->here, (uint8_t)c, *group);
    }
    edges->anywhere = count > 0;
}

static enum err write(const struct edge_maker *m, const uint16_t starts[3], struct arena *arena,
                      const struct edges **made)
{
    const unsigned classes = m->class_count;
    struct edges *edges = arena_new(arena, struct edges);
    uint16_t *next = arena_array(arena, uint16_t, m->subset_count * classes);
    if (edges == NULL || next == NULL)
        return ERR_MEMORY;
    for (unsigned j = 0; j < classes; j++)
        next[FOUND * classes + j] = (uint16_t)(FOUND * classes);
    for (unsigned i = FOUND + 1; i < m->subset_count; i++) {
        for (unsigned j = 0; j < classes; j++)
            next[i * classes + j] = (uint16_t)(m->number[m->next[i][j]] * classes);
    }
    memcpy(edges->class_of, m->class_of, sizeof(edges->class_of));
    edges->next = next;
    edges->found = (uint16_t)(FOUND * classes);
    edges->begin = (uint16_t)(m->number[starts[0]] * classes);
    edges->forward = (uint16_t)(m->number[starts[1]] * classes);
    edges->backward = (uint16_t)(m->number[starts[2]] * classes);
    add_begins(edges);
    *made = edges;
    return OK;
}

/* The states to begin in, and all that follow. */
static void determine(struct edge_maker *m, uint16_t starts[3])
{
    struct nfa_set *set = &m->room->sets[0];
    m->subset_count = FOUND + 1;
    m->number[DEAD] = DEAD;
    m->number[FOUND] = FOUND;
    m->item_count = 0;
    memset(m->slots, 0, sizeof(m->slots));
    put_all(m, &m->ahead, true, set);
    starts[0] = number_of(m, set);
    put_all(m, &m->ahead, false, set);
    starts[1] = number_of(m, set);
    put_all(m, &m->back, false, set);
    starts[2] = number_of(m, set);
    for (unsigned i = FOUND + 1; i < m->subset_count; i++)
        follow(m, i);
    for (unsigned i = FOUND + 1; i < m->subset_count; i++)
        m->number[i] = stays(m, i) ? FOUND : (uint16_t)i;
}

enum err edges_make(struct edge_room *room, const struct pattern_edges *const *of,
                    unsigned count, struct arena *arena, const struct edges **made)
{
    if (room->maker == NULL)
        room->maker = arena_new(room->arena, struct edge_maker);
    struct edge_maker *m = room->maker;
    uint16_t starts[3];
    *made = NULL;
    if (m == NULL)
        return OK;
    m->room = room;
    m->ahead.count = m->back.count = 0;
    nfa_clear(&room->nfa);
    for (unsigned i = 0; i < count; i++) {
        if (!enter(m, of[i]))
            return OK;
    }
    if (!find_classes(m))
        return OK;
    determine(m, starts);
    for (unsigned i = 0; i < ARRAY_LEN(starts); i++) {
        if (m->number[starts[i]] ==
            FOUND) /* every text passes, or there were too many states */
            return OK;
    }
    return write(m, starts, arena, made);
}
