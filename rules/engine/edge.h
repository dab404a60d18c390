/*
 * Whether any of some patterns can match in a text, by what stands around its rare bytes.
 *
 * Most patterns have a place where few bytes are possible: a quote, a bracket, an equals sign.
 * A match has such a byte, and behind it, or before it, what the pattern says. From each such
 * byte of a text an automaton goes on, or back, for a few bytes: until nothing of any pattern
 * is possible any more, which is soon in plain text, or until it has gone far enough. It is a
 * fraction of a database's size, and looks at few of the bytes: a prefilter.
 *
 * What it passes may have no match. What it does not pass has none.
 */
#ifndef SALLYPORT_RULES_EDGE_H
#define SALLYPORT_RULES_EDGE_H

#include "gateway/base/span.h"

/* Eight sets: a byte of one has its bit by the lower half and by the upper one. So may others.
 */
struct edge_bytes {
    uint8_t low[16], high[16];
};

static inline void edge_bytes_add(struct edge_bytes *bytes, uint8_t byte, uint8_t group)
{
    bytes->low[byte % 16] |= group;
    bytes->high[byte / 16] |= group;
}

struct edges {
    /* Bytes to begin at, in eight groups; those behind some of a group, or before them, at
     * which there is more to see. */
    struct edge_bytes here, ahead, before;
    bool anywhere; /* not only at the text's first byte */
    uint8_t class_of[256];
    /* By state and class: the next state. State 0: nothing is possible. From that one, as from
     * `found`, nothing leads away. */
    const uint16_t *next;
    uint16_t found;             /* the state in which a match is; all others are larger */
    uint16_t begin;             /* at the text's first byte, on */
    uint16_t forward, backward; /* from any byte on, or back */
};

/* True: the text may have a match; false: it has none. Takes at most 4 steps for each byte of
 * the text, and 64; who needs more is let pass. */
bool edges_pass(const struct edges *edges, struct span text);

#endif
