/*
 * Rules of the configuration (`waf.rules`) and of the packs that come with the gateway: as they
 * are written, and as the program holds them.
 *
 * They run in the plan, as SecLang's rules do: a rule is a link that looks at each of its
 * targets as it came and after each transformation. What SecLang has no words for stands in
 * struct own_rule: a condition in the expression language, several patterns, and what follows.
 */
#ifndef SALLYPORT_RULES_OWN_RULE_H
#define SALLYPORT_RULES_OWN_RULE_H

#include "conf/kinds.h"
#include "gateway/base/span.h"

struct expr;
struct sec_regex;

enum {
    OWN_RULES_MAX = 512,       /* of one `waf.rules` */
    OWN_NAME_MAX = 64,         /* bytes of a rule's name */
    OWN_STEPS_MAX = 16,        /* of one rule, url_decode counted three times */
    OWN_TARGET_NAME_MAX = 128, /* bytes of X in `header:X` */
};

enum rule_action {
    RULE_BLOCK, /* refuses at once */
    RULE_SCORE, /* adds its score */
    RULE_LOG,   /* is recorded */
    RULE_ALLOW, /* is recorded; no further rule is asked */
    RULE_TAG,   /* is recorded, and upstream is told its name */
};

/* A rule as it is written; everything in it outlives the plan. */
struct rule_source {
    struct span name;
    struct expr *when;
    struct texts match, in, transform;
    int action; /* enum rule_action */
    int64_t status, score;
    int severity; /* its score where none is given */
    struct span message;
};

/* The same in a program. */
struct own_rule {
    struct span name, message;
    const struct expr *when; /* NULL: always */
    const struct span *patterns;
    /* To tell where a match is, which Hyperscan does not; NULL: it is not told. */
    const struct sec_regex *const *regexes;
    unsigned pattern_count; /* 0: the condition alone decides */
    bool caseless;
    unsigned index; /* among the program's own rules */
    enum rule_action action;
    int status; /* 0: the reason's */
    int32_t score;
    bool answers;         /* it looks at answers */
    const char *severity; /* for the record, or NULL */
};

/* All of a program. They stand before its SecLang rules in each phase. */
struct own_rules {
    unsigned count;
    struct own_threshold {
        int64_t inbound, outbound; /* the sums of scores that refuse */
    } threshold;
    bool wants_body; /* some rule looks at what only a body has */
    bool wants_text; /* some rule looks at all of a body, whatever it is */
    bool tags;
    /* The first rule that looks at answers; NULL: there is none. Whether some look at bodies.
     */
    const struct own_rule *answers;
    bool answer_bodies;
};

#endif
