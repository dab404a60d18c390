/*
 * What cannot be SQL injection, decided without libinjection and exactly as it would.
 *
 * libinjection reduces a value to a fingerprint, the types of up to five tokens, and fires on
 * those of a list. Folding, which joins and drops tokens before that, makes tokens fewer, and
 * makes of words and phrases only what its table says. So two things can be said of a value
 * that has nothing but words, numbers, white space and the punctuation below:
 *
 *  - Every fingerprint has something that only a word of the table can have become. Without
 *    such a word it does not fire. (With the filter of rules/sql_words.h.)
 *  - Every fingerprint has at least two tokens that only words and numbers become (items), and
 *    some that are no numbers; those of two items are a number or a variable with UNION behind
 *    it, and a number, an operator and a variable. So one word alone, and two without a number,
 *    are soon decided, whatever they mean to SQL.
 *
 * tests/unit/rules/detect_test.c asks libinjection for all fingerprints and sees that this
 * holds.
 */
#include "rules/detect.h"
#include "rules/sql_words.h"

char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

enum byte_class {
    OTHER, /* quotes, parentheses, comments and whatever else: no short cut */
    LETTER,
    DIGIT,
    BLANK,
    PUNCTUATION, /* operators, dot, comma, colon, question mark */
    MORE,        /* for the filter alone: what may be an item, or bears on UNION */
};

static const uint8_t classes[256] = {
    ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, ['_'] = LETTER,      ['0' ... '9'] = DIGIT,
    [' '] = BLANK,          ['\t'] = BLANK,         ['\n'] = BLANK,      ['\r'] = BLANK,
    ['+'] = PUNCTUATION,    ['-'] = PUNCTUATION,    ['*'] = PUNCTUATION, ['/'] = PUNCTUATION,
    ['%'] = PUNCTUATION,    ['='] = PUNCTUATION,    ['<'] = PUNCTUATION, ['>'] = PUNCTUATION,
    ['!'] = PUNCTUATION,    ['~'] = PUNCTUATION,    ['^'] = PUNCTUATION, [':'] = PUNCTUATION,
    ['?'] = PUNCTUATION,    ['.'] = PUNCTUATION,    [','] = PUNCTUATION, ['&'] = MORE,
    ['|'] = MORE,           [';'] = MORE,           ['['] = MORE,        [']'] = MORE,
    [0x80 ... 0xff] = MORE,
};

static inline unsigned class_of(char c)
{
    return classes[(uint8_t)c];
}

static inline bool in_run(char c)
{
    return class_of(c) == LETTER || class_of(c) == DIGIT;
}

/* What a value is made of. */
struct items {
    unsigned words, numbers;
    struct span last; /* of the words */
    bool known;       /* one of the words may be in the table */
    bool dotted;      /* a dot stands right behind a word: it may be taken for a part of it */
    bool mixed;       /* a number with letters behind it, which is several tokens */
    bool more;        /* a byte of that class */
};

/*
 * Whether the run [from, at) may give a word of the table. One that begins with a digit is
 * taken apart into numbers and a last word, which may begin with each of its letters.
 */
static bool may_be_known(const char *from, const char *at, bool number)
{
    uint32_t hash = 0;
    bool known = false;
    while (at > from) {
        hash = sql_word_hash(hash, *--at);
        if (number && class_of(*at) == LETTER)
            known |= sql_word_known(hash);
    }
    return known || (!number && sql_word_known(hash));
}

/* A run of letters and digits at `p`. */
static const char *take_run(const char *p, const char *end, struct items *items)
{
    const char *at = p;
    bool number = class_of(*p) == DIGIT, letters = false;
    for (; at < end && in_run(*at); at++)
        letters |= class_of(*at) == LETTER;
    if (letters)
        items->known |= may_be_known(p, at, number);
    if (number) {
        items->numbers++;
        items->mixed |= letters;
    } else {
        items->words++;
        items->last = span_range(p, at);
        items->dotted |= at < end && *at == '.';
    }
    return at;
}

/* -- and /x are comments (x a star), && and || join conditions. */
static inline bool is_telling_pair(const char *p)
{
    return (p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*') ||
           (p[0] == '&' && p[1] == '&') || (p[0] == '|' && p[1] == '|');
}

/* Most prose has such a byte soon: its words need not be looked at. */
static bool has_other(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (class_of(value.p[i]) == OTHER)
            return true;
    }
    return false;
}

/* False: something stands there for which there is no short cut. */
static bool take_items(struct span value, struct items *items)
{
    const char *p = value.p, *end = span_end(value);
    if (has_other(value))
        return false;
    while (p < end) {
        if (in_run(*p)) {
            p = take_run(p, end, items);
            if (items->known && items->words + items->numbers > 2)
                return false;
            continue;
        }
        if (end - p > 1 && is_telling_pair(p))
            return false;
        items->more |= class_of(*p) == MORE;
        p++;
    }
    return true;
}

/* Its type in SQL: 0 where it has none. */
static char sql_type(struct span word)
{
    enum { LOOKUP_WORD = 1 };
    if (sql_words.ready)
        return sql_word_type(word);
    return libinjection_sqli_lookup_word(NULL, LOOKUP_WORD, word.p, word.len);
}

bool sqli_possible(struct span value)
{
    struct items items = { 0 };
    bool taken = take_items(value, &items);
    if (!taken)
        return true;
    if (sql_words.ready && !items.known)
        return false;
    if (items.mixed)
        return items.words + items.numbers > 1 || !in_run(value.p[0]) ||
               !in_run(value.p[value.len - 1]);
    if (items.more)
        return true;
    if (items.words == 0 || items.words + items.numbers < 2)
        return false;
    if (items.words == 1)
        return items.dotted || sql_type(items.last) != 0;
    return items.words > 2 || items.numbers > 0 || sql_type(items.last) == 'U';
}
