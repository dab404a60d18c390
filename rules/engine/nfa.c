/* Automata of patterns, in all their states at once. */
#include "rules/engine/nfa.h"

void nfa_clear(struct nfa *nfa)
{
    nfa->states[NFA_END] = (struct nfa_state){ .set = NULL };
    nfa->count = NFA_END + 1;
}

static uint16_t add(struct nfa *nfa, struct nfa_state state)
{
    if (nfa->count == NFA_STATES_MAX)
        return NFA_END;
    nfa->states[nfa->count] = state;
    return (uint16_t)nfa->count++;
}

uint16_t nfa_add_set(struct nfa *nfa, const struct byte_set *set, uint16_t next)
{
    return add(nfa, (struct nfa_state){ .set = set, .next = next });
}

static uint16_t add_either(struct nfa *nfa, uint16_t a, uint16_t b)
{
    return add(nfa, (struct nfa_state){ .next = a, .other = b });
}

/* Children stand in a list that goes one way. */
static uint16_t add_sequence(struct nfa *nfa, const struct rx_node *child, uint16_t next,
                             bool back)
{
    enum { CHUNK = 64 };
    const struct rx_node *nodes[CHUNK], *rest = child;
    unsigned count = 0;
    for (; back && child != NULL; child = child->next)
        next = nfa_add(nfa, child, next, true);
    for (; !back && rest != NULL && count < CHUNK; rest = rest->next)
        nodes[count++] = rest;
    if (!back && rest != NULL)
        next = add_sequence(nfa, rest, next, false);
    while (count > 0)
        next = nfa_add(nfa, nodes[--count], next, false);
    return next;
}

static uint16_t add_repeat(struct nfa *nfa, const struct rx_node *node, uint16_t next,
                           bool back)
{
    if (node->max == 0)
        return next;
    if (node->max == 1) {
        uint16_t once = nfa_add(nfa, node->child, next, back);
        return node->min > 0 ? once : add_either(nfa, once, next);
    }
    uint16_t again = add_either(nfa, next, next);
    if (again == NFA_END)
        return NFA_END;
    uint16_t one = nfa_add(nfa, node->child, again, back);
    nfa->states[again].other = one;
    return node->min > 0 ? one : again;
}

uint16_t nfa_add(struct nfa *nfa, const struct rx_node *node, uint16_t next, bool back)
{
    const struct rx_node *child = node->child;
    uint16_t all;
    switch (node->kind) {
    case RX_SET:
        return nfa_add_set(nfa, &node->set, next);
    case RX_SEQ:
        return add_sequence(nfa, child, next, back);
    case RX_ALT:
        all = nfa_add(nfa, child, next, back);
        for (child = child->next; child != NULL; child = child->next)
            all = add_either(nfa, all, nfa_add(nfa, child, next, back));
        return all;
    case RX_REPEAT:
        return add_repeat(nfa, node, next, back);
    case RX_NOTHING:
        break;
    }
    if (!node->start || back)
        return next;
    return add(nfa, (struct nfa_state){ .next = next, .other = next, .start = true });
}

/* ---- sets -----------------------------------------------------------------------------------
 */

void nfa_empty(struct nfa *nfa, struct nfa_set *set)
{
    nfa->round++;
    set->count = 0;
    set->end = false;
}

static void push(struct nfa *nfa, unsigned *height, uint16_t state)
{
    if (nfa->seen[state] == nfa->round)
        return;
    nfa->seen[state] = nfa->round;
    nfa->stack[(*height)++] = state;
}

void nfa_put(struct nfa *nfa, struct nfa_set *set, uint16_t state, bool begin)
{
    unsigned height = 0;
    push(nfa, &height, state);
    while (height > 0) {
        uint16_t top = nfa->stack[--height];
        const struct nfa_state *at = &nfa->states[top];
        if (top == NFA_END) {
            set->end = true;
        } else if (at->set != NULL) {
            set->items[set->count++] = top;
        } else if (!at->start || begin) {
            push(nfa, &height, at->next);
            push(nfa, &height, at->other);
        }
    }
}

void nfa_step(struct nfa *nfa, const struct nfa_set *from, uint8_t byte, struct nfa_set *to)
{
    nfa_empty(nfa, to);
    for (unsigned i = 0; i < from->count; i++) {
        const struct nfa_state *at = &nfa->states[from->items[i]];
        if (byte_set_has(at->set, byte))
            nfa_put(nfa, to, at->next, false);
    }
}
