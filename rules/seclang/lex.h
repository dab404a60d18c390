/*
 * Statements and words of SecLang, read as Apache reads its configuration, because that is
 * what rules are written for:
 *
 * - A line that ends in a backslash goes on in the next one, comments too.
 * - A line that begins with # is a comment; there is none behind a directive.
 * - Words are separated by white space. One that begins with " or ' ends at the same quote.
 * - `\\` is a backslash, and in quotes `\"` (or `\'`) is the quote. Every other backslash
 *   stands for itself: "\d" is \d, and so is "\\d".
 *
 * Stricter than Apache: a quote that is never closed is an error there and not its silent end.
 */
#ifndef SALLYPORT_RULES_SECLANG_LEX_H
#define SALLYPORT_RULES_SECLANG_LEX_H

#include "conf/source.h"

enum { SECLANG_WORDS_MAX = 1024 }; /* of one statement */

struct word {
    struct span text; /* what it means */
    struct span raw;  /* how it stands in the source, without its quotes */
    const struct source *source;
    unsigned line; /* of raw.p */
    char quote;    /* 0: none */
};

enum block { BLOCK_NONE, BLOCK_OPEN, BLOCK_CLOSE };

struct statement {
    enum block block; /* <IfModule x> has the name IfModule and the word x */
    struct word name;
    const struct word *words;
    unsigned count;
};

struct lexer {
    const struct source *source;
    struct arena *arena;
    size_t at;
    unsigned line;
    /* After LEXED_FAULT: a sentence, and where. */
    const char *fault;
    struct place place;
};

enum lexed { LEXED_END, LEXED_STATEMENT, LEXED_FAULT, LEXED_MEMORY };

struct lexer lexer_of(const struct source *source, struct arena *arena);
/* After a fault the next call goes on with the next line. */
enum lexed lex_next(struct lexer *lexer, struct statement *statement);

/* Where `len` bytes at `from` of the word's text stand in the source. */
struct place word_place(const struct word *word, size_t from, size_t len);
/* The same for a part of its text; a part that was copied out of it is the whole word. */
struct place word_place_of(const struct word *word, struct span part);
/* For many parts of one word, one behind the other: each is looked for from the last on. */
struct word_mark {
    const char *p; /* NULL: at the word's start */
    size_t at;
    unsigned line;
};
struct place word_place_next(const struct word *word, struct span part, struct word_mark *mark);

/* ASCII white space, as isspace knows it. */
bool lex_space(char c);

#endif
