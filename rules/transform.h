/*
 * Transformations: the decodings and normalisations that a value goes through before patterns
 * see it, one row each.
 *
 * Each is a pure function that never grows its input and answers the very span it was given
 * when there is nothing to change. Which bytes could make it change anything stands in its row:
 * a value without them is not even walked. So a usual value stays one buffer, however many
 * rules ask for however many transformations.
 */
#ifndef SALLYPORT_RULES_TRANSFORM_H
#define SALLYPORT_RULES_TRANSFORM_H

#include "gateway/base/span.h"

/* What stands in a value. A set bit may be wrong, a clear one never is. */
enum {
    TRAIT_ESCAPE = 1,    /* % + */
    TRAIT_AMPERSAND = 2, /* & */
    TRAIT_BACKSLASH = 4,
    TRAIT_NUL = 8,
    TRAIT_STAR = 16,  /* * */
    TRAIT_UPPER = 32, /* A to Z */
    TRAIT_SPACE = 64, /* ASCII white space, and 0xa0 of a no-break space */
    TRAIT_PATH = 128, /* . / \ */
};

uint32_t traits_of(struct span s);

struct transform {
    const char *name;
    uint32_t triggers; /* without any of these traits nothing changes */
    unsigned times;    /* steps that one mention in a rule stands for; a step is one call */
    bool idempotent;
    /* `room` has in.len bytes, and does not overlap `in`. */
    struct span (*apply)(struct span in, char *room);
    const char *help;
};

extern const struct transform transforms[]; /* ends with a NULL name */

const struct transform *transform_find(struct span name); /* NULL: there is none */

enum { TEXT_RUN_MIN = 10 };

/*
 * What could be text in bytes that are partly binary (an upload): runs of at least TEXT_RUN_MIN
 * bytes of ASCII text, a byte 1 between them. Without a NUL or other binary control byte it is
 * `in` itself. The same promises as of a transformation. Random bytes come down to nothing, and
 * an attack that a server would read as text stays.
 */
struct span text_runs(struct span in, char *room);

#endif
