/*
 * Transformations: the decodings and normalisations that a value goes through before patterns
 * see it, one row each. There are two tables: those of `waf.rules`, and those of SecLang.
 *
 * Each is a pure function that answers the very span it was given when there is nothing to
 * change, else a part of it, or what it wrote in the room it was given. Which bytes could make
 * it change anything stands in its row: a value without them is not even walked. So a usual
 * value stays one buffer, however many rules ask for however many transformations.
 */
#ifndef SALLYPORT_RULES_TRANSFORM_H
#define SALLYPORT_RULES_TRANSFORM_H

#include "gateway/base/span.h"

/*
 * What stands in a value: bytes, and pairs of bytes. A set bit may be wrong, a clear one never
 * is. Pairs can come together where bytes between are taken away.
 */
enum {
    TRAIT_PERCENT = 1 << 0,
    TRAIT_PLUS = 1 << 1,
    TRAIT_AMPERSAND = 1 << 2,
    TRAIT_BACKSLASH = 1 << 3,
    TRAIT_NUL = 1 << 4,
    TRAIT_STAR = 1 << 5,  /* * */
    TRAIT_UPPER = 1 << 6, /* A to Z */
    TRAIT_BLANK = 1 << 7, /* the space */

    TRAIT_COMMENT = 1 << 8, /* - # */
    TRAIT_QUOTE = 1 << 9,   /* " ' , */
    TRAIT_SEMICOLON = 1 << 10,
    TRAIT_CARET = 1 << 11,
    TRAIT_X = 1 << 12,        /* x X */
    TRAIT_MARKUP = 1 << 13,   /* < = : without either there is no script (rules/detect.h) */
    TRAIT_CONTROL = 1 << 14,  /* ASCII white space but for the space */
    TRAIT_NO_BREAK = 1 << 15, /* 0xa0 */

    TRAIT_GAP = 1 << 16,           /* a space before a space, a slash or a parenthesis */
    TRAIT_BLANKS = 1 << 17,        /* two spaces */
    TRAIT_PATH = 1 << 18,          /* // ./ or a dot at the end */
    TRAIT_ENTITY_NUMBER = 1 << 19, /* &# */
    TRAIT_ENTITY_NAME = 1 << 20,   /* & with what a name that is known begins with */
    TRAIT_ESCAPE_DIGIT = 1 << 21,  /* % with a digit */
    TRAIT_ESCAPE_LETTER = 1 << 22, /* % with A to F or U, or a to f or u */

    /* What is no letter, digit or _, nor above 0x7e but for 0xa0: without it there is no
     * injection of SQL (rules/detect.h). */
    TRAIT_BREAK = 1 << 23,
    TRAIT_HIGH = 1 << 24, /* 0x80 and above */
    TRAIT_ANY = 1 << 25,  /* every value has it, the empty one too */

    /* One of several. */
    TRAIT_ESCAPE = TRAIT_PERCENT | TRAIT_PLUS,
    TRAIT_ESCAPED = TRAIT_PLUS | TRAIT_ESCAPE_DIGIT | TRAIT_ESCAPE_LETTER,
    TRAIT_ENTITY = TRAIT_ENTITY_NUMBER | TRAIT_ENTITY_NAME,
    TRAIT_SPACE = TRAIT_BLANK | TRAIT_CONTROL | TRAIT_NO_BREAK,
    TRAIT_RUN = TRAIT_BLANKS | TRAIT_CONTROL | TRAIT_NO_BREAK, /* not just single spaces */
    TRAIT_SHELL = TRAIT_SEMICOLON | TRAIT_CARET,
};

uint32_t traits_of(struct span s);

struct transform {
    const char *name;
    uint32_t triggers; /* without any of these traits nothing changes */
    unsigned times;    /* steps that one mention in a rule stands for; a step is one call */
    bool idempotent;
    /* What the output may need: the larger of `grow` times the input, and `least` bytes. */
    uint8_t grow, least;
    /* A bound of the output's bytes, found faster than the output; it may stop counting at
     * `enough`. NULL: there is none. */
    size_t (*bound)(struct span in, size_t enough);
    /* `room` has transform_room bytes, and does not overlap `in`. NULL: nothing to do. */
    struct span (*apply)(struct span in, char *room);
    const char *help;
};

/* Of `waf.rules`: none of these ever grows its input. Ends with a NULL name. */
extern const struct transform transforms[];
const struct transform *transform_find(struct span name); /* NULL: there is none */

/* Of SecLang, by mod_security2's names, without case. Ends with a NULL name. */
extern const struct transform seclang_transforms[];
const struct transform *seclang_transform_find(struct span name);

/* SecLang's cmdLine, but that letters stay as they are: what it is where case does not count.
 */
extern const struct transform seclang_cmd_line_cased;

static inline size_t transform_room(const struct transform *row, size_t len)
{
    size_t room;
    if (__builtin_mul_overflow(len, row->grow > 1 ? row->grow : 1, &room))
        return SIZE_MAX;
    return room > row->least ? room : row->least;
}

enum { TEXT_RUN_MIN = 10 };

/*
 * What could be text in bytes that are partly binary (an upload): runs of at least TEXT_RUN_MIN
 * bytes of ASCII text, a byte 1 between them. Without a NUL or other binary control byte it is
 * `in` itself. The same promises as of a transformation. Random bytes come down to nothing, and
 * an attack that a server would read as text stays.
 */
struct span text_runs(struct span in, char *room);

#endif
