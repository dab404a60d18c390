/*
 * Words that plain text has, too: looked for by hand, all of them at once, and each until it is
 * met. Hyperscan stops at every place where it finds one, for as long as it takes to scan forty
 * bytes.
 *
 * Places are told by three bytes, 32 of them at a time with AVX2, else 16: words are in eight
 * groups, which are bits (edge.h), and where one of a group may begin its bytes are compared.
 */
#ifndef SALLYPORT_RULES_USUAL_H
#define SALLYPORT_RULES_USUAL_H

#include "rules/engine/edge.h"
#include "rules/engine/few.h"

enum {
    USUAL_GROUPS = 8,
    USUAL_MAX = 2 * USUAL_GROUPS,
    USUAL_LEAST = 4, /* fewer are as well looked for with all others */
    /* Looked at in the counted time of one byte that is scanned: most texts take less, and
     * those that begin a word again and again as much as the worst scans. */
    USUAL_BYTES = 4,
};

struct usual {
    struct edge_bytes bytes[3];      /* the first ones of the words of each group */
    uint32_t words_of[USUAL_GROUPS]; /* by number, a set of bits */
    const struct few_text *words;    /* of 2 bytes or more */
    unsigned count;                  /* no more than USUAL_MAX */
};

/* The tables of such words, which stay where they are. */
void usual_make(struct usual *usual, const struct few_text *words, unsigned count);

/* Which words are in the text, by number: a set of bits. */
uint32_t usual_in(const struct usual *usual, struct span text);
/* The same, as it is done where the processor has no AVX2. */
uint32_t usual_in_narrow(const struct usual *usual, struct span text);

#endif
