/*
 * Rule packs: rules that come with the gateway. One row per rule, with the examples that its
 * tests run: every attack must make it match, no harmless text may.
 *
 * How the patterns are written: they see the value as it came and after each transformation, in
 * either case. Precision comes first: a word alone never blocks, a construct that no visitor
 * types does. A rule that cannot be sure has a lower score than the threshold, and blocks only
 * with another.
 */
#ifndef SALLYPORT_RULES_PACK_H
#define SALLYPORT_RULES_PACK_H

#include "gateway/base/base.h"

enum { PACK_PATTERNS = 10, PACK_EXAMPLES = 12 };

/* Scores, with the words that `severity:` has for them. */
enum severity_score {
    SCORE_NOTICE = 2,
    SCORE_WARNING = 3,
    SCORE_ERROR = 4,
    SCORE_CRITICAL = 5,
};

struct pack_rule {
    const char *name, *message;
    const char *in, *transform; /* as in the configuration, comma-separated */
    int score;
    const char *match[PACK_PATTERNS];
    /* Values of the first target in `in`. */
    const char *attacks[PACK_EXAMPLES], *harmless[PACK_EXAMPLES];
};

/* Families: each ends with a NULL name. */
extern const struct pack_rule pack_sql[], pack_script[], pack_shell[], pack_files[],
    pack_code[], pack_protocol[];

/* The pack `core`: all families. Ends with NULL. */
extern const struct pack_rule *const pack_core[];

#endif
