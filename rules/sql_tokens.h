/*
 * A value's tokens in SQL, one after the other, as libinjection has them.
 *
 * Of what it reads, the common is read here: words, numbers, strings, operators, punctuation.
 * What is rare in values of any kind (strings with a prefix or between dollars, variables with
 * quotes, comments between slashes) is not: the reader says so, and no more can be told.
 */
#ifndef SALLYPORT_RULES_SQL_TOKENS_H
#define SALLYPORT_RULES_SQL_TOKENS_H

#include "gateway/base/span.h"

/* The types, with the characters that fingerprints have for them. */
#define SQL_TYPES(TYPE)                                                                        \
    TYPE(KEYWORD, 'k')                                                                         \
    TYPE(UNION, 'U')                                                                           \
    TYPE(GROUP, 'B')                                                                           \
    TYPE(EXPRESSION, 'E')                                                                      \
    TYPE(CAST, 't')                                                                            \
    TYPE(FUNCTION, 'f')                                                                        \
    TYPE(NAME, 'n')                                                                            \
    TYPE(NUMBER, '1')                                                                          \
    TYPE(VARIABLE, 'v')                                                                        \
    TYPE(STRING, 's')                                                                          \
    TYPE(OPERATOR, 'o')                                                                        \
    TYPE(LOGIC, '&')                                                                           \
    TYPE(COMMENT, 'c')                                                                         \
    TYPE(COLLATE, 'A')                                                                         \
    TYPE(OPEN, '(')                                                                            \
    TYPE(CLOSE, ')')                                                                           \
    TYPE(BRACE, '{')                                                                           \
    TYPE(BRACE_END, '}')                                                                       \
    TYPE(DOT, '.')                                                                             \
    TYPE(COMMA, ',')                                                                           \
    TYPE(COLON, ':')                                                                           \
    TYPE(SEMICOLON, ';')                                                                       \
    TYPE(BATCH, 'T')                                                                           \
    TYPE(OTHER, '?')                                                                           \
    TYPE(BACKSLASH, '\\')

enum sql_type {
    SQL_NONE,
#define TYPE(name, letter) SQL_##name,
    SQL_TYPES(TYPE)
#undef TYPE
        SQL_TYPE_COUNT,
};
_Static_assert(SQL_TYPE_COUNT <= 32, "a set of types is a word");

extern const char sql_letters[SQL_TYPE_COUNT];

enum { SQL_TOKEN_BYTES = 31 }; /* libinjection forgets the rest of a longer one */

struct sql_token {
    const char *text; /* without quotes */
    uint8_t len;
    uint8_t type;
    bool opens, closes; /* a phrase may begin with it, and end */
    bool calls;         /* it may be a function, with a parenthesis behind it */
};

enum { SQL_LOAD_BYTES = 16 }; /* are looked at in one go */

struct sql_reader {
    const char *p, *end;
    const char *last;              /* where there are so many for the last time */
    unsigned count;                /* of the tokens, comments among them */
    bool mysql;                    /* # begins a comment, and -- before a word does not */
    bool again;                    /* there was such a thing: read as MySQL it is another */
    bool odd;                      /* there was something that is not read here */
    char room[SQL_LOAD_BYTES * 2]; /* a copy of a value that is shorter, with zeros behind it */
};

void sql_reader_init(struct sql_reader *reader, struct span value, bool mysql);

/* False: there are no more, or something is odd. */
bool sql_read(struct sql_reader *reader, struct sql_token *token);

/* A string to its closing quote, whose opening one is before the value. */
void sql_read_quoted(struct sql_reader *reader, char quote, struct sql_token *token);

/* False: libinjection begins tokens with other bytes than this reader. */
bool sql_reader_fits(void);

#endif
