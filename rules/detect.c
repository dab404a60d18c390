/*
 * libinjection comes as members of libmodsecurity.a (Debian has no package of its own), which
 * brings no header for it.
 */
#include "rules/detect.h"

#include "rules/operator/rows.h"

int libinjection_sqli(const char *s, size_t len, char fingerprint[]);
int libinjection_xss(const char *s, size_t len);
char libinjection_sqli_lookup_word(void *state, int kind, const char *word, size_t len);

/* ---- what cannot be SQL ---------------------------------------------------------------------
 *
 * libinjection reduces a value to a fingerprint, the types of up to five tokens, and fires on
 * those of a list. Each of these has two tokens at least that only words and numbers become
 * (items), where none but the punctuation below stands between them; and
 *  - not all of its items are numbers and words without a meaning in SQL;
 *  - those of two items are a number or a variable with UNION behind it, and a number, an
 *    operator and a variable.
 * Folding, which joins and drops tokens before that, makes items fewer. So a value with few
 * words needs no tokenizer. (tests/unit/rules/detect_test.c asks libinjection for all
 * fingerprints and sees that this is so.)
 */

enum byte_class {
    OTHER, /* quotes, parentheses, comments and whatever else: no short cut */
    LETTER,
    DIGIT,
    BLANK,
    PUNCTUATION,
};

static const uint8_t classes[256] = {
    ['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, ['_'] = LETTER,      ['0' ... '9'] = DIGIT,
    [' '] = BLANK,          ['\t'] = BLANK,         ['\n'] = BLANK,      ['\r'] = BLANK,
    ['+'] = PUNCTUATION,    ['-'] = PUNCTUATION,    ['*'] = PUNCTUATION, ['/'] = PUNCTUATION,
    ['%'] = PUNCTUATION,    ['='] = PUNCTUATION,    ['<'] = PUNCTUATION, ['>'] = PUNCTUATION,
    ['!'] = PUNCTUATION,    ['~'] = PUNCTUATION,    ['^'] = PUNCTUATION, [':'] = PUNCTUATION,
    ['?'] = PUNCTUATION,    ['.'] = PUNCTUATION,    [','] = PUNCTUATION,
};

static inline unsigned class_of(char c)
{
    return classes[(uint8_t)c];
}

/* What a value is made of. */
struct items {
    unsigned words, numbers;
    struct span last; /* of the words */
    bool dotted; /* a dot stands right behind a word: libinjection may take it for a part */
};

/* A run of letters and digits. One that begins with a digit and has letters is several tokens.
 */
static bool take_run(const char **p, const char *end, struct items *items)
{
    const char *from = *p, *at = from;
    bool number = class_of(*at) == DIGIT, letters = !number;
    for (; at < end && (class_of(*at) == LETTER || class_of(*at) == DIGIT); at++)
        letters |= class_of(*at) == LETTER;
    *p = at;
    if (number) {
        items->numbers++;
        return !letters;
    }
    items->words++;
    items->last = span_range(from, at);
    items->dotted |= at < end && *at == '.';
    return true;
}

/* False: something stands there for which there is no short cut. */
static bool take_items(struct span value, struct items *items)
{
    const char *p = value.p, *end = span_end(value);
    while (p < end) {
        unsigned class = class_of(*p);
        if (class == LETTER || class == DIGIT) {
            if (!take_run(&p, end, items) || items->words > 2)
                return false;
            continue;
        }
        if (class == OTHER)
            return false;
        if (end - p > 1 && ((p[0] == '-' && p[1] == '-') || (p[0] == '/' && p[1] == '*')))
            return false;
        p++;
    }
    return true;
}

/* Its type in SQL: 0 where it has none. */
static char sql_type(struct span word)
{
    enum { LOOKUP_WORD = 1 };
    return libinjection_sqli_lookup_word(NULL, LOOKUP_WORD, word.p, word.len);
}

static bool is_one_run(struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (class_of(value.p[i]) != LETTER && class_of(value.p[i]) != DIGIT)
            return false;
    }
    return true;
}

bool sqli_possible(struct span value)
{
    struct items items = { 0 };
    if (!take_items(value, &items))
        return !is_one_run(value);
    if (items.words == 0 || items.words + items.numbers < 2)
        return false;
    if (items.words == 1)
        return items.dotted || sql_type(items.last) != 0;
    return items.numbers > 0 || sql_type(items.last) == 'U';
}

/* ---- what cannot be script ------------------------------------------------------------------
 */

/*
 * libinjection fires on tags, declarations and comments, which begin with `<`, and on the value
 * of an attribute whose name is known, which stands behind `=`.
 */
bool xss_possible(struct span value)
{
    return value.len > 0 &&
           (memchr(value.p, '<', value.len) != NULL || memchr(value.p, '=', value.len) != NULL);
}

/* ---- detection ------------------------------------------------------------------------------
 */

bool detect_sqli(struct span value, char fingerprint[FINGERPRINT_SIZE])
{
    fingerprint[0] = '\0';
    return sqli_possible(value) && libinjection_sqli(value.p, value.len, fingerprint) != 0;
}

bool detect_xss(struct span value)
{
    return xss_possible(value) && libinjection_xss(value.p, value.len) != 0;
}

bool eval_detect_sqli(const struct operator_call *call, struct operator_match *match)
{
    _Static_assert(FINGERPRINT_SIZE <= sizeof(match->room), "a fingerprint has room");
    if (!detect_sqli(call->value, match->room))
        return false;
    (void)matched_all(match, call);
    match->captured = span_text(match->room);
    return true;
}

bool eval_detect_xss(const struct operator_call *call, struct operator_match *match)
{
    if (!detect_xss(call->value))
        return false;
    (void)matched_all(match, call);
    match->captured = call->value;
    return true;
}
