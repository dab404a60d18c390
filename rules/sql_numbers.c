/*
 * Numbers: decimal, with a fraction and an exponent, hexadecimal and binary; and what looks
 * like one and is a name.
 */
#include "rules/sql_readers.h"

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && sql_is_digit(*p))
        p++;
    return p;
}

/* 0x1f, 0b01; the letter alone makes a name of it. NULL: it is another number. */
static const char *read_based(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    const char *at = p + 2, *end = reader->end;
    if (end - p < 2 || p[0] != '0' || ((p[1] | 0x20) != 'x' && (p[1] | 0x20) != 'b'))
        return NULL;
    if ((p[1] | 0x20) == 'x')
        while (at < end && (hex_value(*at) >= 0 || *at == '\0'))
            at++;
    else
        while (at < end && (*at == '0' || *at == '1' || *at == '\0'))
            at++;
    sql_set(token, at - p > 2 ? SQL_NUMBER : SQL_NAME, p, at);
    return at;
}

/* The end of 1f, where f says that it is a float. */
static const char *skip_suffix(const char *p, const char *end)
{
    if (p == end || ((*p | 0x20) != 'd' && (*p | 0x20) != 'f'))
        return p;
    bool alone = p + 1 == end || sql_is_white(p[1]) || p[1] == ';' || (p[1] | 0x20) == 'u';
    return alone ? p + 1 : p;
}

/* 1, 1.5, .5, 1e-3; without digits behind the e it is a name. A dot alone is one. */
const char *sql_read_number(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    const char *end = reader->end, *at = read_based(reader, p, token);
    enum sql_type type = SQL_NUMBER;
    if (at != NULL)
        return at;
    at = skip_digits(p, end);
    if (at < end && *at == '.') {
        at = skip_digits(at + 1, end);
        if (at - p == 1)
            return sql_set_sign(token, SQL_DOT, p);
    }
    if (at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *exponent = at;
        at = skip_digits(at, end);
        type = at > exponent ? SQL_NUMBER : SQL_NAME;
    }
    at = skip_suffix(at, end);
    sql_set(token, type, p, at);
    return at;
}
