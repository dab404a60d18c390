/*
 * Each byte begins tokens of one kind, and each kind has a function that reads one.
 *
 * Some of it looks odd and is so in libinjection: a NUL is a digit in 0x and 0b and after $,
 * and one of the bytes that end words; the last byte of a value is an operator, whatever else
 * it would be with more behind it.
 */
#include "rules/sql_tokens.h"

#include "rules/sql_words.h"

const char sql_letters[SQL_TYPE_COUNT] = {
#define TYPE(name, letter) [SQL_##name] = (letter),
    SQL_TYPES(TYPE)
#undef TYPE
};

static const uint8_t type_of[256] = {
#define TYPE(name, letter) [letter] = SQL_##name,
    SQL_TYPES(TYPE)
#undef TYPE
};

enum kind {
    WORD,
    BLANK,
    SIGN, /* an operator of one byte */
    SIGNS,
    PUNCTUATION, /* stands for itself */
    QUOTE,
    NUMBER,
    DASH,
    HASH,
    SLASH,
    BACKSLASH,
    DOLLAR,
    AT,
    TICK,
    BRACKET,
    UNKNOWN,
    LITERAL, /* letters that may stand before a string: to NATIONAL */
    ESCAPED,
    UNICODE,
    QUOTING,
    NATIONAL,
    KINDS,
    KIND = 0x1f,
    SPLITS = 0x40, /* within a word: it may be taken apart here */
    ENDS = 0x80,   /* a word */
};

static const uint8_t bytes[256] = {
    [0x00] = BLANK | ENDS,
    [0x01 ... 0x08] = BLANK,
    ['\t' ... '\r'] = BLANK | ENDS,
    [0x0e ... 0x1f] = BLANK,
    [' '] = BLANK | ENDS,
    ['!'] = SIGNS | ENDS,
    ['"'] = QUOTE | ENDS,
    ['#'] = HASH | ENDS,
    ['$'] = DOLLAR,
    ['%'] = SIGN | ENDS,
    ['&'] = SIGNS | ENDS,
    ['\''] = QUOTE | ENDS,
    ['('] = PUNCTUATION | ENDS,
    [')'] = PUNCTUATION | ENDS,
    ['*'] = SIGNS | ENDS,
    ['+'] = SIGN | ENDS,
    [','] = PUNCTUATION | ENDS,
    ['-'] = DASH | ENDS,
    ['.'] = NUMBER | SPLITS,
    ['/'] = SLASH | ENDS,
    ['0' ... '9'] = NUMBER,
    [':'] = SIGNS | ENDS,
    [';'] = PUNCTUATION | ENDS,
    ['<' ... '>'] = SIGNS | ENDS,
    ['?'] = UNKNOWN | ENDS,
    ['@'] = AT | ENDS,
    ['['] = BRACKET | ENDS,
    ['\\'] = BACKSLASH | ENDS,
    [']'] = UNKNOWN | ENDS,
    ['^'] = SIGN | ENDS,
    ['`'] = TICK | SPLITS,
    ['{'] = PUNCTUATION | ENDS,
    ['|'] = SIGNS | ENDS,
    ['}'] = PUNCTUATION | ENDS,
    ['~'] = SIGN | ENDS,
    [0x7f] = BLANK,
    [0xa0] = BLANK | ENDS,
    ['B'] = LITERAL,
    ['b'] = LITERAL,
    ['X'] = LITERAL,
    ['x'] = LITERAL,
    ['E'] = ESCAPED,
    ['e'] = ESCAPED,
    ['U'] = UNICODE,
    ['u'] = UNICODE,
    ['Q'] = QUOTING,
    ['q'] = QUOTING,
    ['N'] = NATIONAL,
    ['n'] = NATIONAL,
};

static inline unsigned byte_of(char c)
{
    return bytes[(uint8_t)c];
}

/* ---- tokens ---------------------------------------------------------------------------------
 */

static void set(struct sql_token *token, enum sql_type type, const char *text, const char *end)
{
    size_t len = (size_t)(end - text);
    *token = (struct sql_token){
        .text = text,
        .len = (uint8_t)(len < SQL_TOKEN_BYTES ? len : SQL_TOKEN_BYTES),
        .type = (uint8_t)type,
    };
}

/* One byte. */
static const char *set_sign(struct sql_token *token, enum sql_type type, const char *p)
{
    set(token, type, p, p + 1);
    return p + 1;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_letter(char c)
{
    return (unsigned)((c | 0x20) - 'a') < 26;
}

static inline bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0' || c == '\xa0';
}

/* What `p` begins is not read here. */
static const char *set_odd(struct sql_reader *reader)
{
    reader->odd = true;
    return reader->end;
}

/* ---- words ----------------------------------------------------------------------------------
 */

static const char *read_word(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    const char *at = p, *end = reader->end;
    for (; at < end; at++) {
        unsigned byte = byte_of(*at);
        if ((byte & (ENDS | SPLITS)) == 0)
            continue;
        if ((byte & ENDS) != 0)
            break;
        if (at - p >= SQL_TOKEN_BYTES)
            continue;
        struct sql_meaning part = sql_word_find(span_range(p, at));
        if (part.type == '\0' || part.type == 'n')
            continue;
        set(token, type_of[(uint8_t)part.type], p, at);
        token->opens = part.opens;
        return at;
    }
    set(token, SQL_NAME, p, at);
    if (at - p > SQL_TOKEN_BYTES)
        return at;
    struct sql_meaning word = sql_word_find(span_range(p, at));
    token->opens = word.opens;
    token->known = word.type != '\0';
    if (word.type != '\0')
        token->type = type_of[(uint8_t)word.type];
    return at;
}

static const char *read_bracket(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    const char *at = memchr(p, ']', (size_t)(reader->end - p));
    at = at != NULL ? at + 1 : reader->end;
    set(token, SQL_NAME, p, at);
    return at;
}

/* ---- strings --------------------------------------------------------------------------------
 */

/* The quote that closes the string at `from`; NULL: nothing does. Quotes behind a backslash and
 * two in a row are a part of it. */
static const char *closing_quote(const char *from, const char *end, char quote)
{
    const char *p = from;
    while (p < end && (p = memchr(p, quote, (size_t)(end - p))) != NULL) {
        const char *before = p;
        while (before > from && before[-1] == '\\')
            before--;
        if ((p - before) % 2 != 0)
            p++;
        else if (p + 1 < end && p[1] == quote)
            p += 2;
        else
            return p;
    }
    return NULL;
}

/* From behind its opening quote. */
static const char *read_to_quote(struct sql_reader *reader, const char *p, char quote,
                                 struct sql_token *token)
{
    const char *at = closing_quote(p, reader->end, quote);
    set(token, SQL_STRING, p, at != NULL ? at : reader->end);
    return at != NULL ? at + 1 : reader->end;
}

static const char *read_string(struct sql_reader *reader, const char *p,
                               struct sql_token *token)
{
    return read_to_quote(reader, p + 1, *p, token);
}

void sql_read_quoted(struct sql_reader *reader, char quote, struct sql_token *token)
{
    reader->p = read_to_quote(reader, reader->p, quote, token);
    reader->count++;
}

/* Whether a letter at `p` has something between quotes behind it. */
static bool is_prefix(const struct sql_reader *reader, const char *p)
{
    return reader->end - p > 2 && p[1] == '\'';
}

/* E'it\'s', N'it''s' */
static const char *read_escaped(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    if (is_prefix(reader, p))
        return read_to_quote(reader, p + 2, '\'', token);
    return read_word(reader, p, token);
}

/* B'01', X'1f', Q'(it's)' */
static const char *read_literal(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    if (is_prefix(reader, p))
        return set_odd(reader);
    return read_word(reader, p, token);
}

/* U&'it''s' */
static const char *read_unicode(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    if (reader->end - p > 2 && p[1] == '&' && p[2] == '\'')
        return set_odd(reader);
    return read_word(reader, p, token);
}

/* NQ'(it's)'; and as E'it\'s' */
static const char *read_national(struct sql_reader *reader, const char *p,
                                 struct sql_token *token)
{
    if (reader->end - p > 2 && (p[1] == 'q' || p[1] == 'Q') && p[2] == '\'')
        return set_odd(reader);
    return read_escaped(reader, p, token);
}

/* A name between ticks. PHP takes a tick that is the last byte for a comment. */
static const char *read_tick(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    if (p + 1 == reader->end)
        return set_odd(reader);
    const char *at = read_string(reader, p, token);
    struct sql_meaning word = sql_word_find(span_of(token->text, token->len));
    token->type = word.type == 'f' ? SQL_FUNCTION : SQL_NAME;
    token->opens = word.opens;
    token->known = true;
    return at;
}

/* ---- numbers --------------------------------------------------------------------------------
 */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
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
    set(token, at - p > 2 ? SQL_NUMBER : SQL_NAME, p, at);
    return at;
}

/* The end of 1f, where f says that it is a float. */
static const char *skip_suffix(const char *p, const char *end)
{
    if (p == end || ((*p | 0x20) != 'd' && (*p | 0x20) != 'f'))
        return p;
    bool alone = p + 1 == end || is_white(p[1]) || p[1] == ';' || (p[1] | 0x20) == 'u';
    return alone ? p + 1 : p;
}

/* 1, 1.5, .5, 1e-3; without digits behind the e it is a name. A dot alone is one. */
static const char *read_number(struct sql_reader *reader, const char *p,
                               struct sql_token *token)
{
    const char *end = reader->end, *at = read_based(reader, p, token);
    enum sql_type type = SQL_NUMBER;
    if (at != NULL)
        return at;
    at = skip_digits(p, end);
    if (at < end && *at == '.') {
        at = skip_digits(at + 1, end);
        if (at - p == 1)
            return set_sign(token, SQL_DOT, p);
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
    set(token, type, p, at);
    return at;
}

/* $1,000.00; alone it is a name. */
static const char *read_dollar(struct sql_reader *reader, const char *p,
                               struct sql_token *token)
{
    const char *end = reader->end, *at = p + 1;
    while (at < end && (is_digit(*at) || *at == '.' || *at == ',' || *at == '\0'))
        at++;
    if (at == p + 2 && p[1] == '.')
        return read_word(reader, p, token);
    if (at > p + 1) {
        set(token, SQL_NUMBER, p, at);
        return at;
    }
    while (at < end && is_letter(*at))
        at++;
    if (at < end && (*at == '$' || *at == '\0')) /* $$it's$$, $a$it's$a$ */
        return set_odd(reader);
    return set_sign(token, SQL_NAME, p);
}

/* ---- operators, comments and the rest -------------------------------------------------------
 */

static const char *read_sign(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    (void)reader;
    return set_sign(token, SQL_OPERATOR, p);
}

static const char *read_signs(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    ptrdiff_t left = reader->end - p;
    if (left > 1) {
        size_t len = left > 2 && p[0] == '<' && p[1] == '=' && p[2] == '>' ? 3 : 2;
        char type = len == 3 ? 'o' : sql_word_find(span_of(p, len)).type;
        if (type != '\0') {
            set(token, type_of[(uint8_t)type], p, p + len);
            return p + len;
        }
        if (*p == ':')
            return set_sign(token, SQL_COLON, p);
    }
    return set_sign(token, SQL_OPERATOR, p);
}

static const char *read_punctuation(struct sql_reader *reader, const char *p,
                                    struct sql_token *token)
{
    (void)reader;
    return set_sign(token, type_of[(uint8_t)*p], p);
}

static const char *read_unknown(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    (void)reader;
    return set_sign(token, SQL_OTHER, p);
}

static const char *read_comment(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    const char *at = memchr(p, '\n', (size_t)(reader->end - p));
    set(token, SQL_COMMENT, p, at != NULL ? at : reader->end);
    return at != NULL ? at + 1 : reader->end;
}

static const char *read_hash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    reader->again = true;
    if (reader->mysql)
        return read_comment(reader, p, token);
    return set_sign(token, SQL_OPERATOR, p);
}

static const char *read_dash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    ptrdiff_t left = reader->end - p;
    if (left < 2 || p[1] != '-')
        return set_sign(token, SQL_OPERATOR, p);
    if (left == 2 || is_white(p[2]))
        return read_comment(reader, p, token);
    if (reader->mysql)
        return set_sign(token, SQL_OPERATOR, p);
    reader->again = true;
    return read_comment(reader, p, token);
}

static const char *read_slash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    if (reader->end - p > 1 && p[1] == '*')
        return set_odd(reader);
    return set_sign(token, SQL_OPERATOR, p);
}

/* \N is NULL. */
static const char *read_backslash(struct sql_reader *reader, const char *p,
                                  struct sql_token *token)
{
    if (reader->end - p < 2 || p[1] != 'N')
        return set_sign(token, SQL_BACKSLASH, p);
    set(token, SQL_NUMBER, p, p + 2);
    return p + 2;
}

/* Names of variables end with fewer bytes than words. */
static bool ends_variable(char c)
{
    unsigned byte = byte_of(c);
    bool within = c == '[' || c == ']' || c == '{' || c == '}' || c == '\xa0';
    return ((byte & ENDS) != 0 && !within) || c == '`';
}

static const char *read_variable(struct sql_reader *reader, const char *p,
                                 struct sql_token *token)
{
    const char *end = reader->end;
    p++;
    if (p < end && *p == '@')
        p++;
    if (p < end && (*p == '`' || *p == '\'' || *p == '"'))
        return set_odd(reader);
    const char *at = p;
    while (at < end && !ends_variable(*at))
        at++;
    set(token, SQL_VARIABLE, p, at);
    token->known = true;
    return at;
}

/* ---- reading --------------------------------------------------------------------------------
 */

typedef const char *read_fn(struct sql_reader *reader, const char *p, struct sql_token *token);

static read_fn *const readers[KINDS] = {
    [WORD] = read_word,
    [SIGN] = read_sign,
    [SIGNS] = read_signs,
    [QUOTE] = read_string,
    [PUNCTUATION] = read_punctuation,
    [NUMBER] = read_number,
    [DASH] = read_dash,
    [HASH] = read_hash,
    [SLASH] = read_slash,
    [DOLLAR] = read_dollar,
    [BACKSLASH] = read_backslash,
    [AT] = read_variable,
    [TICK] = read_tick,
    [BRACKET] = read_bracket,
    [UNKNOWN] = read_unknown,
    [LITERAL] = read_literal,
    [ESCAPED] = read_escaped,
    [UNICODE] = read_unicode,
    [QUOTING] = read_literal,
    [NATIONAL] = read_national,
};

bool sql_read(struct sql_reader *reader, struct sql_token *token)
{
    const char *p = reader->p, *end = reader->end;
    while (p < end && (byte_of(*p) & KIND) == BLANK)
        p++;
    if (p == end)
        return false;
    unsigned kind = byte_of(*p) & KIND;
    reader->p = kind == WORD ? read_word(reader, p, token) : readers[kind](reader, p, token);
    reader->count++;
    return !reader->odd;
}

/* ---- whether libinjection does the same -----------------------------------------------------
 */

bool sql_reader_fits(void)
{
    void (*first[KINDS])(void) = { NULL };
    if (char_parse_map == NULL)
        return false;
    for (unsigned c = 0; c < 256; c++) {
        unsigned kind = bytes[c] & KIND;
        if (first[kind] == NULL)
            first[kind] = char_parse_map[c];
        if (first[kind] != char_parse_map[c] && kind != LITERAL)
            return false;
    }
    return true;
}
