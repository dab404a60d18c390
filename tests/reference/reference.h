/*
 * The reference evaluator: a SecLang program run rule by rule, in file order, each pattern with
 * PCRE2 on each value, each transformation step by step. Nothing is folded, remembered or
 * shared. It is what the plan is compared with, so it shares with the plan only the program and
 * the single operators and transformations.
 *
 * Semantics are mod_security2's. Where it is silent, or odd:
 *   - Names (MATCHED_VAR_NAME, TX:...) are raw bytes; mod_security2 escapes some for its log.
 *   - MATCHED_VAR_NAME of a count is `&ARGS:x` and that of XML has its path; there `ARGS`,
 * `XML`.
 *   - `multiMatch` on a rule without transformations looks at the value once; there it never
 *     does.
 *   - A negated operator captures nothing; there it does when it did not match.
 *   - `setvar:env.x` sets what ENV:x shows.
 *   - Numbers in setvar are cut to 32 bits at both ends instead of overflowing.
 */
#ifndef SALLYPORT_TESTS_REFERENCE_H
#define SALLYPORT_TESTS_REFERENCE_H

#include "rules/regex.h"
#include "tests/reference/transaction.h"

/* ---- collections ----------------------------------------------------------------------------
 */

struct vars {
    struct pairs list; /* names without case; in the order in which they were first set */
};

const struct pair *vars_find(const struct vars *table, struct span name); /* or NULL */
void vars_set(struct vars *table, struct arena *arena, struct span name, struct span value);
void vars_unset(struct vars *table, struct span name);

/* Collections between transactions: IP and its kin. */
struct store;
struct store *store_new(void);
void store_free(struct store *store);

/* ---- a run ----------------------------------------------------------------------------------
 */

enum { REFERENCE_REMOVALS_MAX = 4096 };

/* A match that was logged. */
struct logged {
    const struct sec_rule *rule; /* the chain's head */
    enum sec_phase phase;
    struct span variable, value; /* that matched last */
    struct span message, log_data;
    bool disruptive; /* it ended the phase */
};

struct verdict_at {
    enum sec_disruptive action; /* DISRUPT_NONE: none */
    int status;
    struct span redirect;
    uint64_t rule;
    enum sec_phase phase;
};

/* What one rule's target list came to. */
struct item {
    struct span name;  /* "ARGS:x", what exclusions go by; a count and XML have no key in it */
    struct span shown; /* "&ARGS:x", XML with its path: MATCHED_VAR_NAME */
    struct span value;
};

struct items {
    struct item *items;
    unsigned count, capacity;
};

struct reference {
    /* given */
    const struct sec_program *program;
    enum engine_mode mode; /* ctl:ruleEngine changes it */
    struct transaction *txn;
    struct regex_local *regex;
    struct store *store; /* NULL: collections begin empty in each transaction */
    /* Fills `geo` for an address; NULL: there is no database. */
    bool (*geo)(struct vars *geo, struct arena *arena, struct span address);

    /* what came of it */
    struct logged *log;
    unsigned log_count, log_capacity;
    struct verdict_at verdict;
    struct vars tx;
    bool undecided; /* a pattern ran into PCRE2's limit: the result is not to be relied upon */
    int highest_severity;

    /* what the reading of the body depends on */
    struct span processor;
    bool force_variable, request_body, response_body;

    /* the evaluator's */
    struct arena *arena;
    enum sec_phase phase;
    bool intercepted;
    bool allow_request, allow_all;
    struct vars collections[COLLECTION_COUNT]; /* TX is above */
    bool begun[COLLECTION_COUNT], dirty[COLLECTION_COUNT];
    struct span keys[COLLECTION_COUNT];
    struct vars geo_vars;
    struct span matched_name, matched_value; /* p NULL: nothing yet */
    struct items matched;                    /* in this chain so far */
    struct span user_id, session_id;
    const struct sec_step *removals[REFERENCE_REMOVALS_MAX]; /* ctl:ruleRemove*, as it ran */
    unsigned removal_count;
};

/* The fields under "given" are set, all others zero. */
void reference_begin(struct reference *ref);
void reference_phase(struct reference *ref, enum sec_phase phase);
/* Stores collections that changed. */
void reference_end(struct reference *ref);

/* ---- between its files ----------------------------------------------------------------------
 */

/* Everything that the targets of `rule` name, exclusions taken away. */
void reference_targets(struct reference *ref, const struct sec_rule *rule, struct items *out);
struct span reference_expand(struct reference *ref, const struct sec_rule *rule,
                             const struct macro *macro);
/* Runs what changes state when `rule` matched once. */
void reference_steps(struct reference *ref, const struct sec_rule *rule);
/* Whether ctl took the rule away, or for it the target of that full name. */
bool reference_removed(const struct reference *ref, const struct sec_rule *rule);
bool reference_target_removed(const struct reference *ref, const struct sec_rule *rule,
                              struct span name);
void items_add(struct items *items, struct arena *arena, struct item item);
bool regex_says(const struct reference *ref, const struct sec_regex *regex, struct span text);
/* As C's atoi: white space, a sign, digits; cut to 32 bits. */
int64_t leading_number(struct span text);

/* Loads what is kept under the key, or begins the collection. */
void store_load(struct reference *ref, enum sec_collection collection, struct span key);
void store_save(struct reference *ref, enum sec_collection collection);

#endif
