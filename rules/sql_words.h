/*
 * Words with a meaning in SQL, as libinjection has them, in a table that is asked in a few
 * nanoseconds: libinjection itself takes about a hundred for each word.
 *
 * The table is libinjection's own, of the very object that is linked, so it is never out of
 * date. Where it cannot be found or does not look as expected, there is none, and all is
 * decided without.
 */
#ifndef SALLYPORT_RULES_SQL_WORDS_H
#define SALLYPORT_RULES_SQL_WORDS_H

#include "gateway/base/span.h"

enum { SQL_WORD_BYTES = 32 }; /* none is longer */

/* An entry: a word, a phrase (words with a space or a dot between), an operator; or a
 * fingerprint that libinjection fires on, "0" and types in upper case, itself of type F. */
struct sql_entry {
    const char *word;
    char type;
};

/* libinjection's functions by the byte that a token begins with; they stand behind the table.
 * Weak, as the table: absent where the object was built in another way. */
extern void (*const char_parse_map[256])(void) __attribute__((weak));

/* Set once, at load; asked by all processes that are forked later. */
extern bool sql_words_ready;
void sql_words_prepare(void);

/* Only when they are ready: this, too. */
const struct sql_entry *sql_words_all(size_t *count);

struct sql_meaning {
    char type;  /* '\0': no entry */
    bool opens; /* a phrase may begin with it; without this, none does */
};

/* Of a word, phrase or operator; in either case of ASCII letters. */
struct sql_meaning sql_word_find(struct span word);

/* The type of any entry, fingerprints among them, or '\0': what libinjection's own search
 * answers. */
char sql_word_type(struct span word);

#endif
