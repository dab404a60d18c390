/*
 * The words of the expression language. Private to conf.
 */
#ifndef SALLYPORT_EXPR_LEX_H
#define SALLYPORT_EXPR_LEX_H

#include "gateway/base/span.h"

enum token_kind {
    TOKEN_END,
    TOKEN_BAD,
    TOKEN_WORD,
    TOKEN_STRING, /* `text` is what stands between the quotes, escapes and all */
    TOKEN_NUMBER,
    TOKEN_LIST, /* @name: `text` is the name */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_BRACKET_OPEN,
    TOKEN_BRACKET_CLOSE,
    TOKEN_COMMA,
    TOKEN_COMPARISON,
};

struct token {
    enum token_kind kind;
    struct span text;
    size_t from, len;       /* in the expression */
    const char *why, *hint; /* BAD */
};

struct token token_next(struct span text, size_t at);
/* The word and nothing else. */
bool token_is(const struct token *token, const char *word);

#endif
