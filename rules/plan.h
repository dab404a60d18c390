/*
 * The plan: all rules of one configuration, compiled so that work goes by value and not by
 * rule.
 *
 * Every transformation chain of every rule is merged into one tree of steps. A node of that
 * tree is a form: what the value is after those steps; form 0 is the value as it came. For one
 * value most forms are the same bytes, and each distinct one is scanned once, with one database
 * that holds the patterns of all rules for that class of values. A match counts for a pattern
 * when it was found in one of the pattern's forms of a value that one of its selectors selects,
 * and sets the bit of its rule. Then the rules are gone through in order, over those bits.
 *
 * Made by compile.c in the generation process, read-only ever after.
 */
#ifndef SALLYPORT_RULES_PLAN_H
#define SALLYPORT_RULES_PLAN_H

#include "rules/target.h"
#include "rules/transform.h"

struct expr;
struct hs_database;
struct locator; /* rules/locate.h */

enum {
    RULES_MAX = 1024,    /* of a plan, with those of its pack */
    PATTERNS_MAX = 8192, /* of a plan */
    PATTERN_BYTES_MAX = 15 * 1024,
    FORMS_MAX = 32,
    STEPS_MAX = 16, /* of one rule, url_decode counted three times */
};

enum rule_action {
    RULE_BLOCK, /* refuses at once */
    RULE_SCORE, /* adds its score */
    RULE_LOG,   /* is recorded */
    RULE_ALLOW, /* is recorded; no further rule is asked */
    RULE_TAG,   /* is recorded, and upstream is told its name */
};

struct rule {
    struct span name, message;
    const struct expr *when; /* NULL: always */
    bool when_args;          /* `when` asks for arguments: another answer once a form is read */
    bool patterned;          /* one of its patterns has to match */
    enum rule_action action;
    int status; /* 0: the reason's */
    int32_t score;
    const char *severity; /* for the record, or NULL */
    uint64_t selects;
};

struct form {
    const struct transform *step; /* NULL for form 0 */
    unsigned parent;              /* less than its own index */
};

struct pattern {
    uint64_t selects;
    uint32_t forms;
    uint16_t rule;
    bool at_start; /* can match nowhere but at the start of a value */
    bool at_end;   /* nor but at its end */
};

struct plan_class {
    struct hs_database *db; /* NULL: no pattern */
    bool borrowed;          /* of an earlier class with the same patterns */
    uint32_t forms;         /* in which one of its patterns is looked for */
    size_t shortest;        /* no pattern matches less */
};

struct plan {
    const struct rule *rules;
    const struct pattern *patterns;
    struct locator **locators; /* by pattern; NULL: its matches are not located */
    unsigned rule_count, pattern_count, form_count;
    unsigned words; /* of a set of rules: 64 a word */
    struct form forms[FORMS_MAX];
    uint32_t triggers; /* a value without these traits is the same in all forms */
    struct selectors selectors;
    uint64_t selects; /* of all patterns */
    struct plan_class classes[CLASS_COUNT];
    const uint64_t *unpatterned; /* rules that `when` alone decides */
    const uint64_t *late;        /* rules that ask for arguments in `when` */
    bool wants_body, tags;
    unsigned users; /* stage instances that share it */
};

static inline bool set_has(const uint64_t *set, unsigned i)
{
    return (set[i / 64] >> i % 64 & 1) != 0;
}

static inline void set_add(uint64_t *set, unsigned i)
{
    set[i / 64] |= UINT64_C(1) << i % 64;
}

#endif
