/*
 * A list of words, looked for all at once and without case.
 *
 * What pm and pmFromFile prepare is a struct words. Answers what an Aho-Corasick automaton
 * answers, as mod_security2's does: the match that ends first, and of those that end there the
 * longest.
 */
#ifndef SALLYPORT_RULES_WORDS_H
#define SALLYPORT_RULES_WORDS_H

#include "gateway/base/arena.h"

enum {
    WORDS_MAX = 256 * 1024, /* of one list */
    WORD_BYTES_MAX = 4096,
};

struct words {
    const struct span *items; /* as written, in their order */
    const struct span *lower; /* the same in lower case, by bucket, the longest first */
    const uint32_t *origin;   /* of each of `lower`: its index in items */
    const uint32_t *buckets;  /* where each begins; one more than there are */
    const uint64_t *endings;  /* set of the last two bytes that a word has */
    const uint32_t *singles;  /* by byte: 1 + index in items of the word that is that byte */
    size_t count;
};

/* No word is empty. `items` lives as long as the list. */
MUST_USE enum err words_build(struct words *words, const struct span *items, size_t count,
                              struct arena *arena);

/* The word found, as written, and where; NULL when there is none. */
const struct span *words_find(const struct words *words, struct span value, size_t *offset);

#endif
