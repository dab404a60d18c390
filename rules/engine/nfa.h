/*
 * Trees of patterns (need.h) as automata that are in many states at once. They take at least
 * what the patterns match: an edge of a word may stand anywhere, counts are none.
 */
#ifndef SALLYPORT_RULES_NFA_H
#define SALLYPORT_RULES_NFA_H

#include "rules/engine/need.h"

enum {
    NFA_STATES_MAX = 16 * 1024, /* beyond them a match ends, which takes more */
    NFA_END = 0,                /* the state behind a match */
};

struct nfa_state {
    const struct byte_set *set; /* a byte of it leads to `next`; NULL: none is needed */
    uint16_t next, other;       /* without a byte: both are as good */
    bool start;                 /* but only at the text's start */
};

/* States in which a byte is waited for, each once. */
struct nfa_set {
    uint16_t items[NFA_STATES_MAX];
    unsigned count;
    bool end; /* a match ends here */
};

struct nfa {
    struct nfa_state states[NFA_STATES_MAX];
    unsigned count;
    uint32_t seen[NFA_STATES_MAX], round;
    uint16_t stack[NFA_STATES_MAX];
};

/* Without states. */
void nfa_clear(struct nfa *nfa);
/* What takes the node, and then what `next` takes; `back`: from its end to its start. */
uint16_t nfa_add(struct nfa *nfa, const struct rx_node *node, uint16_t next, bool back);
/* A byte of the set, which outlives the automaton. */
uint16_t nfa_add_set(struct nfa *nfa, const struct byte_set *set, uint16_t next);

void nfa_empty(struct nfa *nfa, struct nfa_set *set);
/* A state, and all that are as good (its epsilon closure); `begin`: at the text's start. Of one
 * set after the other.
 */
void nfa_put(struct nfa *nfa, struct nfa_set *set, uint16_t state, bool begin);
/* Where the byte leads. */
void nfa_step(struct nfa *nfa, const struct nfa_set *from, uint8_t byte, struct nfa_set *to);

#endif
