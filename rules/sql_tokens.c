/*
 * Each byte begins tokens of one kind, and each kind has a function that reads one.
 *
 * Some of it looks odd and is so in libinjection: a NUL is a digit in 0x and 0b and after $,
 * and one of the bytes that end words; the last byte of a value is an operator, whatever else
 * it would be with more behind it.
 */
#include "rules/sql_readers.h"

#include <tmmintrin.h>

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

static const uint8_t meanings[256] = {
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
    return meanings[(uint8_t)c];
}

/* ---- bytes ----------------------------------------------------------------------------------
 */

static inline bool is_letter(char c)
{
    return (unsigned)((c | 0x20) - 'a') < 26;
}

/* What `p` begins is not read here. */
static const char *set_odd(struct sql_reader *reader)
{
    reader->odd = true;
    return reader->end;
}

/* ---- words ----------------------------------------------------------------------------------
 */

/* Of a byte's two halves: the rows in which words end, or may be taken apart. */
static inline __m128i stops_of(__m128i loaded)
{
    enum { CONTROL = 1, SIGN_ROW = 2, DIGIT_ROW = 4, FIRST = 8, BRACES = 16 };
    enum { ALL = SIGN_ROW, LATE = ALL | DIGIT_ROW | BRACES };
    const __m128i by_high = _mm_setr_epi8(CONTROL, 0, SIGN_ROW, DIGIT_ROW, FIRST, BRACES, FIRST,
                                          BRACES, 0, 0, FIRST, 0, 0, 0, 0, 0);
    const __m128i by_low =
        _mm_setr_epi8(ALL | CONTROL | FIRST, ALL, ALL, ALL, 0 /* $ */, ALL, ALL, ALL, ALL,
                      ALL | CONTROL, ALL | DIGIT_ROW | CONTROL, LATE | CONTROL, LATE | CONTROL,
                      LATE | CONTROL, LATE, ALL | DIGIT_ROW);
    const __m128i half = _mm_set1_epi8(0x0f);
    __m128i low = _mm_and_si128(loaded, half);
    __m128i high = _mm_and_si128(_mm_srli_epi16(loaded, 4), half);
    return _mm_and_si128(_mm_shuffle_epi8(by_high, high), _mm_shuffle_epi8(by_low, low));
}

/* The bytes from `p` on, with zeros behind the value. */
static inline __m128i load(const struct sql_reader *reader, const char *p)
{
    static const int8_t shifts[SQL_LOAD_BYTES * 2] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    };
    if (p <= reader->last)
        return _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)reader->last);
    const int8_t *shift = shifts + (p - reader->last);
    return _mm_shuffle_epi8(bytes, _mm_loadu_si128((const __m128i *)(const void *)shift));
}

/* The first `len` of them. */
static inline __m128i begin_of(__m128i loaded, size_t len)
{
    static const int8_t masks[SQL_LOAD_BYTES * 2] = {
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    };
    const int8_t *mask = masks + SQL_LOAD_BYTES - len;
    return _mm_and_si128(loaded, _mm_loadu_si128((const __m128i *)(const void *)mask));
}

static void set_word(struct sql_token *token, const char *p, const char *end,
                     struct sql_meaning meaning)
{
    sql_set(token, meaning.type != '\0' ? type_of[(uint8_t)meaning.type] : SQL_NAME, p, end);
    token->opens = meaning.opens;
    token->closes = meaning.closes;
    token->calls = meaning.calls;
}

/* Of the `len` bytes at `p`. */
static inline struct sql_meaning find(const struct sql_reader *reader, const char *p,
                                      size_t len)
{
    __m128i begin = load(reader, p);
    if (len <= SQL_LOAD_BYTES)
        return sql_word_find_short(begin_of(begin, len), len);
    size_t rest = len - SQL_LOAD_BYTES;
    return sql_word_find_long(begin, begin_of(load(reader, p + SQL_LOAD_BYTES), rest), len);
}

/* A word that is long, or in which something stands where it may be taken apart; before `at`
 * there is nothing of it. */
static const char *read_long(struct sql_reader *reader, const char *p, const char *at,
                             struct sql_token *token)
{
    const char *end = reader->end;
    for (; at < end; at++) {
        unsigned byte = byte_of(*at);
        if ((byte & (ENDS | SPLITS)) == 0)
            continue;
        if ((byte & ENDS) != 0)
            break;
        if (at - p >= SQL_TOKEN_BYTES)
            continue;
        struct sql_meaning part = find(reader, p, (size_t)(at - p));
        if (part.type == '\0' || part.type == 'n')
            continue;
        set_word(token, p, at, part);
        return at;
    }
    struct sql_meaning meaning = { 0 };
    if (at - p <= SQL_TOKEN_BYTES)
        meaning = find(reader, p, (size_t)(at - p));
    set_word(token, p, at, meaning);
    return at;
}

static inline const char *read_word(struct sql_reader *reader, const char *p,
                                    struct sql_token *token)
{
    __m128i bytes = load(reader, p);
    __m128i others = _mm_cmpeq_epi8(stops_of(bytes), _mm_setzero_si128());
    unsigned stops = ~(unsigned)_mm_movemask_epi8(others);
    size_t len = (size_t)__builtin_ctz(stops);
    const char *at = p + len;
    if (len == SQL_LOAD_BYTES || (at < reader->end && (byte_of(*at) & SPLITS) != 0))
        return read_long(reader, p, at, token);
    set_word(token, p, at, sql_word_find_short(begin_of(bytes, len), len));
    return at;
}

static const char *read_bracket(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    const char *at = memchr(p, ']', (size_t)(reader->end - p));
    at = at != NULL ? at + 1 : reader->end;
    sql_set(token, SQL_NAME, p, at);
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
    sql_set(token, SQL_STRING, p, at != NULL ? at : reader->end);
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
    set_word(token, token->text, token->text + token->len, word);
    token->type = word.type == 'f' ? SQL_FUNCTION : SQL_NAME;
    return at;
}

/* $1,000.00; alone it is a name. */
static const char *read_dollar(struct sql_reader *reader, const char *p,
                               struct sql_token *token)
{
    const char *end = reader->end, *at = p + 1;
    while (at < end && (sql_is_digit(*at) || *at == '.' || *at == ',' || *at == '\0'))
        at++;
    if (at == p + 2 && p[1] == '.')
        return read_word(reader, p, token);
    if (at > p + 1) {
        sql_set(token, SQL_NUMBER, p, at);
        return at;
    }
    while (at < end && is_letter(*at))
        at++;
    if (at < end && (*at == '$' || *at == '\0')) /* $$it's$$, $a$it's$a$ */
        return set_odd(reader);
    return sql_set_sign(token, SQL_NAME, p);
}

/* ---- operators, comments and the rest -------------------------------------------------------
 */

static const char *read_sign(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    (void)reader;
    return sql_set_sign(token, SQL_OPERATOR, p);
}

static const char *read_signs(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    ptrdiff_t left = reader->end - p;
    if (left > 1) {
        size_t len = left > 2 && p[0] == '<' && p[1] == '=' && p[2] == '>' ? 3 : 2;
        char type = len == 3 ? 'o' : find(reader, p, len).type;
        if (type != '\0') {
            sql_set(token, type_of[(uint8_t)type], p, p + len);
            return p + len;
        }
        if (*p == ':')
            return sql_set_sign(token, SQL_COLON, p);
    }
    return sql_set_sign(token, SQL_OPERATOR, p);
}

static const char *read_punctuation(struct sql_reader *reader, const char *p,
                                    struct sql_token *token)
{
    (void)reader;
    return sql_set_sign(token, type_of[(uint8_t)*p], p);
}

static const char *read_unknown(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    (void)reader;
    return sql_set_sign(token, SQL_OTHER, p);
}

static const char *read_comment(struct sql_reader *reader, const char *p,
                                struct sql_token *token)
{
    const char *at = memchr(p, '\n', (size_t)(reader->end - p));
    sql_set(token, SQL_COMMENT, p, at != NULL ? at : reader->end);
    return at != NULL ? at + 1 : reader->end;
}

static const char *read_hash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    reader->again = true;
    if (reader->mysql)
        return read_comment(reader, p, token);
    return sql_set_sign(token, SQL_OPERATOR, p);
}

static const char *read_dash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    ptrdiff_t left = reader->end - p;
    if (left < 2 || p[1] != '-')
        return sql_set_sign(token, SQL_OPERATOR, p);
    if (left == 2 || sql_is_white(p[2]))
        return read_comment(reader, p, token);
    if (reader->mysql)
        return sql_set_sign(token, SQL_OPERATOR, p);
    reader->again = true;
    return read_comment(reader, p, token);
}

static const char *read_slash(struct sql_reader *reader, const char *p, struct sql_token *token)
{
    if (reader->end - p > 1 && p[1] == '*')
        return set_odd(reader);
    return sql_set_sign(token, SQL_OPERATOR, p);
}

/* \N is NULL. */
static const char *read_backslash(struct sql_reader *reader, const char *p,
                                  struct sql_token *token)
{
    if (reader->end - p < 2 || p[1] != 'N')
        return sql_set_sign(token, SQL_BACKSLASH, p);
    sql_set(token, SQL_NUMBER, p, p + 2);
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
    sql_set(token, SQL_VARIABLE, p, at);
    token->calls = true;
    return at;
}

/* ---- reading --------------------------------------------------------------------------------
 */

static sql_read_fn *const readers[KINDS] = {
    [WORD] = read_word,
    [SIGN] = read_sign,
    [SIGNS] = read_signs,
    [QUOTE] = read_string,
    [PUNCTUATION] = read_punctuation,
    [NUMBER] = sql_read_number,
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

void sql_reader_init(struct sql_reader *reader, struct span value, bool mysql)
{
    reader->p = value.p;
    reader->count = 0;
    reader->mysql = mysql;
    reader->again = reader->odd = false;
    if (value.len < SQL_LOAD_BYTES) {
        memset(reader->room, 0, sizeof(reader->room));
        memcpy(reader->room, value.p, value.len);
        reader->p = reader->room;
    }
    reader->end = reader->p + value.len;
    reader->last = value.len < SQL_LOAD_BYTES ? reader->end : reader->end - SQL_LOAD_BYTES;
}

/* Whether a letter at `p` may stand before a string: it does not in most words. */
static inline bool may_be_prefix(const struct sql_reader *reader, const char *p)
{
    if (reader->end - p < 3)
        return false;
    return p[1] == '\'' || p[2] == '\'';
}

bool sql_read(struct sql_reader *reader, struct sql_token *token)
{
    const char *p = reader->p, *end = reader->end;
    while (p < end && (byte_of(*p) & KIND) == BLANK)
        p++;
    if (p == end)
        return false;
    unsigned kind = byte_of(*p) & KIND;
    bool word = kind == WORD || (kind >= LITERAL && !may_be_prefix(reader, p));
    reader->p = word ? read_word(reader, p, token) : readers[kind](reader, p, token);
    reader->count++;
    return !reader->odd;
}

/* ---- whether libinjection does the same -----------------------------------------------------
 */

bool sql_reader_fits(void)
{
    unsigned first[KINDS] = { 0 }; /* byte of each kind, and one more */
    if (char_parse_map == NULL)
        return false;
    for (unsigned c = 0; c < 256; c++) {
        unsigned kind = meanings[c] & KIND;
        if (first[kind] == 0)
            first[kind] = c + 1;
        if (char_parse_map[first[kind] - 1] != char_parse_map[c] && kind != LITERAL)
            return false;
    }
    return true;
}
