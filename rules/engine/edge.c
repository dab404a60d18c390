/* Rare bytes of a text, and what stands around them. */
#include "rules/engine/edge.h"

#include "rules/engine/edge_places.h"

enum {
    /* Steps for each byte of the text, and besides; who needs more is let pass: repeated bytes
     * could make every place a long way. */
    STEPS_EACH = 2,
    STEPS_LEAST = 64,
    NEAR = 2, /* bytes behind a place, and before it, looked at in any case */
    NEAR_STEPS = 2 * (NEAR + 1)
};

struct walk {
    const struct edges *edges;
    struct span text;
    size_t steps; /* that are left */
};

static unsigned after(const struct edges *e, unsigned state, char byte)
{
    return e->next[state + e->class_of[(uint8_t)byte]];
}

/* True: no more than these are left. */
static bool spend(struct walk *walk, size_t steps)
{
    walk->steps -= steps < walk->steps ? steps : walk->steps;
    return walk->steps == 0;
}

/* Through `count` bytes behind `at`, or before it. */
static bool finds(struct walk *walk, unsigned state, const char *at, size_t count, bool back)
{
    const struct edges *e = walk->edges;
    size_t i = 0;
    for (; i < count && state > e->found; i++)
        state = after(e, state, back ? at[-1 - (ssize_t)i] : at[i]);
    return spend(walk, i) || state == e->found;
}

static bool finds_around(struct walk *walk, size_t place)
{
    const struct edges *e = walk->edges;
    const char *at = walk->text.p + place;
    unsigned on = after(e, e->forward, *at), back = after(e, e->backward, *at);
    return (on != 0 && finds(walk, on, at + 1, walk->text.len - place - 1, false)) ||
           (back != 0 && finds(walk, back, at, place, true));
}

/* Whether there is more to see behind the bytes that are near, which is seldom. Both ways are
 * gone to the end, so that nothing waits for what is found on them. */
static bool leads_on(const struct walk *walk, size_t place)
{
    const struct edges *e = walk->edges;
    const char *at = walk->text.p + place;
    unsigned on = e->forward, back = e->backward;
    if (place < NEAR || walk->text.len - place <= NEAR)
        return true;
    for (int i = 0; i <= NEAR; i++) {
        on = after(e, on, at[i]);
        back = after(e, back, at[-i]);
    }
    return on != 0 || back != 0;
}

/* Around each of the places behind `from` that have a bit. */
static bool any_finds(struct walk *walk, size_t from, uint64_t places)
{
    bool found = false;
    for (; places != 0 && !found; places &= places - 1) {
        size_t place = from + (unsigned)__builtin_ctzll(places);
        found = spend(walk, NEAR_STEPS) || (leads_on(walk, place) && finds_around(walk, place));
    }
    return found;
}

/* At those of the last places, from `from` on, that have a byte on both sides. */
static bool any_at_last(struct walk *walk, size_t from)
{
    const struct span text = walk->text;
    char bytes[1 + BLOCK + 1] = { 0 };
    if (text.len >= sizeof(bytes)) { /* the last block has some places a second time */
        const size_t last = text.len - BLOCK - 1;
        return any_finds(walk, last,
                         edge_places16(walk->edges, text.p + last) & (~0U << (from - last)));
    }
    memcpy(bytes, text.p, text.len);
    return any_finds(walk, from,
                     edge_places16(walk->edges, bytes + 1) & ((1U << (text.len - 2)) - 1));
}

bool edges_pass(const struct edges *edges, struct span text)
{
    struct walk walk = { edges, text, STEPS_EACH * text.len + STEPS_LEAST };
    size_t from = 1;
    if (finds(&walk, edges->begin, text.p, text.len, false))
        return true;
    if (!edges->anywhere || text.len == 0)
        return false;
    if (finds_around(&walk, 0) || finds_around(&walk, text.len - 1))
        return true;
    for (; from + EDGE_PLACES < text.len; from += EDGE_PLACES) {
        if (any_finds(&walk, from, edge_places(edges, text.p + from)))
            return true;
    }
    const size_t first = from;
    uint64_t places = 0;
    for (; from + BLOCK < text.len; from += BLOCK)
        places |= (uint64_t)edge_places16(edges, text.p + from) << (from - first);
    return any_finds(&walk, first, places) || (from + 1 < text.len && any_at_last(&walk, from));
}
