/*
 * Running a plan over one transaction: values are scanned, then the program of each phase runs
 * in file order, with SecLang's meaning (mod_security2 2.9's where its manual is silent).
 *
 * Resumable: sec_run_phase gives way after a slice of counted work and goes on where it stood
 * when it is called again. The budget is counted work too, never time, so that a decision can
 * be repeated exactly. All memory is the transaction's arena; the worker's sec_local holds what
 * libraries need and the room that transformations write to.
 */
#ifndef SALLYPORT_RULES_RUN_H
#define SALLYPORT_RULES_RUN_H

#include "conf/expr.h"
#include "rules/engine/plan.h"

enum {
    RUN_MATCHES_MAX = 256, /* kept; then the first of each rule, and others are counted */
    RUN_FIRSTS_MAX = 256,  /* of those; what blocks is kept beyond it */
    RUN_SAMPLE_BYTES = 64,
    RUN_VARIABLES_MAX = 4096, /* made by rules in one transaction */
    RUN_MACRO_BYTES_MAX = 64 * 1024,
    RUN_REMOVALS_MAX = 1024, /* by ctl, in one transaction */
    RUN_PATTERNS_MAX = 16,
    RUN_PATTERN_BYTES_MAX = 4096, /* of a pattern with macros in it, expanded */
    TRANSFORM_WORK = 8,           /* of one, besides its bytes */
    RUN_ROOMS_MAX = 8,            /* long values of a worker that are looked at in turns */
};

/* Patterns that hold macros, compiled at run time: the last few. */
struct sec_patterns {
    struct sec_regex *items[RUN_PATTERNS_MAX];
    unsigned next;
};

/* What transformations write to: it grows to what the longest value asked for. */
struct sec_room {
    char *p;
    size_t size;
    bool lent; /* to a transaction */
};

/* One per worker and plan. */
struct sec_local {
    struct hs_scratch *scratch;
    struct regex_local regex;
    struct sec_patterns patterns;
    struct sec_known_values *known;       /* scan.c */
    struct sec_batch *batch;              /* batch.c */
    struct sec_room room;                 /* for values that are looked at in one go */
    struct sec_room rooms[RUN_ROOMS_MAX]; /* for those that are looked at in turns */
};

MUST_USE enum err sec_local_attach(struct sec_local *local, const struct sec_plan *plan);
void sec_local_detach(struct sec_local *local);

struct sec_away;

/* What a rule logged. Lives in the arena. */
struct sec_match {
    struct sec_match *next;
    const struct sec_rule *rule;   /* the chain's head */
    struct span field;             /* "ARGS:q": of the last link that matched */
    struct span text;              /* the value after transformations */
    struct span original;          /* before them */
    struct span message, log_data; /* expanded */
    enum variable var;             /* that `field` begins with */
    uint32_t offset, len;          /* of what matched, in `text` */
    uint32_t base;                 /* of `original` in what it is a part of */
    const struct sec_rule *link;   /* whose operator matched last */
    unsigned transform_count;      /* of that link: how many of them made `text` */
    const struct sec_matched *met; /* what the chain matched on its way, and this */
    enum sec_phase phase;
};

/* A variable that rules made. */
struct sec_variable {
    struct sec_variable *next;
    struct span name;   /* lower case */
    struct span shown;  /* as it was spelled when it was made */
    struct span text;   /* p NULL: unset */
    struct span loaded; /* in a collection that outlives transactions: as it was kept */
    uint32_t order;     /* of creation */
    enum { VARIABLE_LOADED, VARIABLE_COUNTED, VARIABLE_SET } change; /* since then */
};

struct sec_matched { /* of MATCHED_VARS */
    struct sec_matched *next;
    struct span name, text; /* name: made when somebody asks (sec_matched_name) */
    struct span key;
    enum variable var;
    bool count;
};

struct sec_hidden { /* what records may not show: sanitiseArg and its kin */
    struct sec_hidden *next;
    struct span name; /* of a parameter or field; or a variable without keys */
};

struct sec_removal { /* of a target, by ctl */
    struct sec_removal *next;
    const struct plan_step *step;
};

struct sec_counts {
    uint64_t scans, scanned_bytes, distinct, values, regex_calls, operator_calls, entries;
};

enum sec_end {
    SEC_DONE,   /* the phase is over */
    SEC_PAUSE,  /* the slice is spent: call again */
    SEC_AWAY,   /* run->away has a long value: call again after sec_away_look */
    SEC_SPENT,  /* the budget does not suffice */
    SEC_MEMORY, /* the arena is exhausted */
};

/* How conditions of the configuration's rules reach the request. */
struct sec_ask {
    struct expr_source source;
    const bool *undecided; /* set by the source when an answer cannot be relied upon */
};

/* What the configuration's rules came to (own.c). */
struct sec_own {
    const struct sec_ask *ask; /* NULL: none of them is asked */
    uint64_t *fired;           /* set of rules; NULL: none */
    int64_t score, out_score;  /* of the request, of the answer */
    struct span tags;          /* names of `do: tag`, comma-separated */
    const struct own_rule *by; /* that refused; NULL: the sum of the scores did */
    bool refused, allowed;
    bool ended; /* decided: nothing more is asked */
    /* of the rule at work */
    bool settled, known, holds;
};

struct sec_store; /* collections that outlive a transaction: rules/engine/store.h */
struct sec_run;

/* Where an address is. False: it is not known; else GEO has its values, by sec_geo_add. */
struct sec_geo {
    void *context;
    bool (*lookup)(void *context, struct sec_run *run, struct span address);
};
/* "COUNTRY_CODE" and so on. False: out of memory. */
MUST_USE bool sec_geo_add(struct sec_run *run, const char *name, struct span text);

/* A target with macros resolved, and what it chooses among. */
struct sec_source {
    const struct sec_target *target;
    const struct sec_list *list;
};

/* How far a link is asked: with many values it gives way between two of them. */
struct sec_stand {
    const struct sec_link *link;      /* NULL: none has given way */
    const struct sec_source *sources; /* of all targets; NULL: each is fetched in its turn */
    struct sec_source source;         /* of the target at hand */
    unsigned target, value, count;    /* count: of its values */
    bool matched;
};

struct sec_run {
    const struct sec_plan *plan;
    struct sec_local *local;
    struct arena *arena;
    struct sec_values values;
    uint64_t wall_s, began_us, now_us; /* for TIME, DURATION, expiry */

    struct span *slots; /* TX by slot; p NULL: unset */
    uint32_t *slot_order;
    struct sec_variable *variables[COLLECTION_COUNT]; /* the rest, newest last */
    unsigned variable_count;
    uint32_t order;
    struct span captures[REGEX_CAPTURES_MAX];     /* TX:0 to TX:9 */
    struct span collection_key[COLLECTION_COUNT]; /* by initcol; p NULL: not begun */
    bool collection_changed[COLLECTION_COUNT];
    const struct sec_geo *geo;     /* NULL: @geoLookup knows no address */
    const struct sec_store *store; /* NULL: collections begin new in each transaction */

    uint64_t *live[SEC_PHASES];       /* sets of entries to look at */
    uint64_t *seen;                   /* set of plan->named: there are such values */
    struct sec_matched *last_matched; /* of the transaction; NULL: nothing matched yet */
    struct sec_matched *matched, **matched_tail;
    int highest_severity;

    uint64_t *removed_rules; /* set of heads; NULL: none */
    struct sec_removal *removed_targets;
    struct sec_hidden *hidden;
    unsigned removals;
    enum engine_mode engine, ceiling; /* ctl:ruleEngine may ask for less, never for more */
    bool force_body_variable, body_access_off;
    struct span body_processor; /* by ctl */
    bool allow_phase, allow_request, allow_all;
    const struct sec_rule *running; /* head of the chain at work: RULE.id and so on */
    bool deferred;                  /* plan->deferred is still to be run */

    const struct sec_rule *intercepted;     /* ENGINE_ON: the chain that interrupted */
    const struct sec_rule *would_intercept; /* ENGINE_DETECT: the first that would have */
    enum sec_phase intercept_phase;

    struct sec_match *matches, **matches_tail;
    unsigned match_count, matches_dropped;
    const struct sec_rule *beyond; /* the last rule that matched beyond the limit */

    struct sec_own own;

    struct sec_counts counts;
    uint64_t work, budget, slice_end; /* counted: see run.c */
    bool spent;

    enum sec_phase phase; /* where it stands */
    bool scanning;
    unsigned at_var;          /* scanning */
    uint32_t *passed;         /* values of plan->scanned[i] that were */
    unsigned values_seen;     /* when a phase scanned last */
    bool together;            /* short values are scanned in batches */
    struct sec_turns *turns;  /* a long value that is under way; NULL: there is none */
    struct sec_away *offered; /* by the caller: for a long value, elsewhere. NULL: none is */
    struct sec_away *away;    /* what was offered and is in use */
    unsigned at_entry;
    struct sec_stand stand; /* of a link of that entry */
    bool may_stand;         /* whoever runs the link calls again */
};

/* `plan` and `local` outlive the run. ERR_MEMORY. Values are added by the caller, to
 * run->values, before the phase that shows them. */
MUST_USE enum err sec_run_init(struct sec_run *run, const struct sec_plan *plan,
                               struct sec_local *local, struct arena *arena);
enum sec_end sec_run_phase(struct sec_run *run, enum sec_phase phase, uint64_t slice);

/*
 * For one long value at a time that is looked at by another thread, one per plan and value. It
 * has a copy of the value, and outlives the transaction if that is given up meanwhile. Where a
 * slice has no end nothing goes away. NULL: out of memory.
 */
struct sec_away *sec_away_new(const struct sec_plan *plan);
void sec_away_free(struct sec_away *away);
/* On any thread that has `local` to itself. Ends early once `*stop` is true, an atomic: then
 * nobody may go on with the run. */
void sec_away_look(struct sec_away *away, struct sec_local *local, const bool *stop);

/* The value of TX:`name`, p NULL when it is not set. For scores and tests. */
struct span sec_run_tx(const struct sec_run *run, struct span name);

/* ---- shared between the files of rules/engine ---- */

/* look.c: what is found in the value becomes bits of it. */
enum sec_end sec_look_through(struct sec_run *run, struct sec_value *value,
                              const struct scan_class *class);

/* A link's pattern was found in the value. False: out of memory. */
MUST_USE bool sec_note_find(struct sec_run *run, struct sec_value *value, unsigned bit);

/* check.c. Whether the link would match the text. An undecided one is a "yes": the rule asks
 * again, and sees it. */
bool sec_check_says_yes(struct sec_run *run, struct sec_local *local,
                        const struct plan_check *check, struct span text);
/* The operator says no of a text that has none of these traits. */
uint32_t sec_check_wants(const struct sec_operator *op);

/* look.c. The most bytes that all forms of a value can take: a form that grows multiplies. */
size_t sec_forms_bound(const struct scan_class *class, size_t len);
/* At least `size` bytes, else room for `wanted`; what stood there is gone. */
MUST_USE bool sec_room_for(struct sec_room *room, size_t size, size_t wanted);

/* batch.c: short values are looked at together. */
struct sec_known;
bool sec_batch_takes(const struct sec_run *run, const struct sec_value *value);
/* SEC_AWAY: it is not for a batch after all. `kept`: where it is noted what was found; NULL:
 * nowhere. */
enum sec_end sec_batch_add(struct sec_run *run, struct sec_value *value, unsigned class,
                           struct sec_known *kept);
/* All that were added are done with then. */
enum sec_end sec_batch_end(struct sec_run *run);
/* What is left of a transaction that is gone. */
void sec_batch_drop(struct sec_local *local);
void sec_batch_free(struct sec_batch *batch);
/* scan.c: what was found in the value, and how much work that was. */
void sec_known_note(const struct sec_run *run, struct sec_known *entry,
                    const struct sec_value *value, uint64_t work);

/* A long value that is under way, here or elsewhere, is given up. */
void sec_look_end(struct sec_run *run);

/* scan.c: everything that was not scanned yet. */
enum sec_end sec_scan(struct sec_run *run);
/* `value` after the steps of `form`; p NULL: out of memory. Kept with the value. */
struct span sec_form_text(struct sec_run *run, struct sec_value *value, unsigned form);

/* vars.c: collections. */
struct span sec_tx_get(const struct sec_run *run, struct span lower_name);
struct span sec_collection_get(const struct sec_run *run, enum sec_collection collection,
                               struct span lower_name);
/* What both spans hold has to outlive the transaction. */
MUST_USE bool sec_collection_set(struct sec_run *run, enum sec_collection collection,
                                 struct span name, struct span text);
/* One that is not there yet, without a value. NULL: out of memory. */
struct sec_variable *sec_variable_new(struct sec_run *run, enum sec_collection collection,
                                      struct span lower_name, struct span shown);
void sec_slot_set(struct sec_run *run, unsigned slot, struct span text);
/* What waits for the event is looked at from now on. */
void sec_wake(struct sec_run *run, uint32_t event);
void sec_captures_set(struct sec_run *run, const struct regex_captures *captures);
/* The values of a variable that rules make, as a list; NULL: out of memory. */
const struct sec_list *sec_made_list(struct sec_run *run, const struct sec_target *target,
                                     const struct link_target *known);
/* run.c: what was deferred is done now: before anything is asked of a collection, or set. */
void sec_run_deferred(struct sec_run *run);
static inline void sec_turn_to(struct sec_run *run, enum sec_collection collection)
{
    if (run->deferred && collection != COLLECTION_TX && collection != COLLECTION_ENV)
        sec_run_deferred(run);
}
/* The text of %{var.key}; p NULL: there is none. */
struct span sec_lookup(struct sec_run *run, enum variable var, struct span key);
/* p NULL: out of memory. */
struct span sec_expand(struct sec_run *run, const struct macro *macro);
/* Which collection a variable is; COLLECTION_COUNT: none. */
enum sec_collection sec_collection_of(enum variable var);
struct span sec_lower(struct arena *arena, struct span s);
/* "ARGS:q", "&ARGS"; p NULL: out of memory. */
struct span sec_matched_name(struct sec_run *run, struct sec_matched *matched);
struct sec_variable *sec_variable_find(const struct sec_run *run,
                                       enum sec_collection collection, struct span lower_name);
/* As C's atoi, but bounded to 32 bits. */
int64_t sec_number(struct span text);
/* The number in digits; p NULL: out of memory. */
struct span sec_number_text(struct sec_run *run, int64_t value);

/* steps.c: the actions that change state. False: out of memory. */
MUST_USE bool sec_do_steps(struct sec_run *run, const struct sec_link *link);
bool sec_target_removed(const struct sec_run *run, const struct sec_link *link,
                        enum variable var, struct span key);

/* pattern.c: the pattern with its macros expanded; NULL: it is no pattern, or too long. */
const struct sec_regex *sec_pattern(struct sec_run *run, const struct macro *macro);

/* own.c: the configuration's rules of the phase. Whether one's condition holds, and what
 * follows when it matched; false: out of memory. */
enum sec_end sec_own_run(struct sec_run *run);
bool sec_own_holds(struct sec_run *run, const struct own_rule *rule);
MUST_USE bool sec_own_fire(struct sec_run *run, const struct own_rule *rule);

/* match.c: whether values of the variable are no part of the message. */
bool sec_made_by_rules(enum variable var);
/* One link against all its values: 1 or 0; -1: out of memory. MATCH_STANDS: it has given way,
 * and is called again; only where run->may_stand. */
enum { MATCH_STANDS = 2 };
int sec_match_link(struct sec_run *run, const struct sec_link *link);

#endif
