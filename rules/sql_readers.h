/*
 * What the functions that read tokens have in common. Each is given a token's first byte, and
 * answers what is behind the token.
 */
#ifndef SALLYPORT_RULES_SQL_READERS_H
#define SALLYPORT_RULES_SQL_READERS_H

#include "rules/sql_tokens.h"

typedef const char *sql_read_fn(struct sql_reader *reader, const char *p,
                                struct sql_token *token);
sql_read_fn sql_read_number;

static inline void sql_set(struct sql_token *token, enum sql_type type, const char *text,
                           const char *end)
{
    size_t len = (size_t)(end - text);
    *token = (struct sql_token){
        .text = text,
        .len = (uint8_t)(len < SQL_TOKEN_BYTES ? len : SQL_TOKEN_BYTES),
        .type = (uint8_t)type,
    };
}

/* One byte. */
static inline const char *sql_set_sign(struct sql_token *token, enum sql_type type,
                                       const char *p)
{
    sql_set(token, type, p, p + 1);
    return p + 1;
}

static inline bool sql_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool sql_is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0' || c == '\xa0';
}

#endif
