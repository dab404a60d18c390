/*
 * Words with a meaning in SQL, as libinjection has them, in a filter that is asked in a few
 * nanoseconds: libinjection itself takes about a hundred for each word.
 *
 * The table is libinjection's own, of the very object that is linked, so it is never out of
 * date. Where it cannot be found or does not look as expected, there is no filter, and all is
 * decided without.
 */
#ifndef SALLYPORT_RULES_SQL_WORDS_H
#define SALLYPORT_RULES_SQL_WORDS_H

#include "gateway/base/span.h"

enum { SQL_WORD_BITS = 1 << 16 };

struct sql_words {
    bool ready;
    uint64_t bits[SQL_WORD_BITS / 64];
};

/* Set once, at load; asked by all processes that are forked later. */
extern struct sql_words sql_words;
void sql_words_prepare(void);

/* Of a word, from its last byte to its first: so that the hash of each of its ends is on the
 * way. Begin with 0. */
static inline uint32_t sql_word_hash(uint32_t hash, char c)
{
    uint32_t upper = (uint8_t)c & ((uint8_t)(c - 'a') < 26 ? ~0x20u : ~0u);
    return (hash ^ upper) * 0x9e3779b1u;
}

/*
 * The type of a word, phrase, operator or fingerprint in the table, '\0' where it has none:
 * what libinjection's own search answers, from a hash table. Only when `ready`.
 */
char sql_word_type(struct span word);

/* False: the word is nothing to SQL but a name, and begins no phrase (`group by`). */
static inline bool sql_word_known(uint32_t hash)
{
    uint32_t bit = hash >> 16;
    return (sql_words.bits[bit / 64] >> bit % 64 & 1) != 0;
}

#endif
