/*
 * A program to a plan. Slow and allocating: for the generation process at load.
 */
#ifndef SALLYPORT_RULES_BUILD_H
#define SALLYPORT_RULES_BUILD_H

#include "rules/engine/plan.h"

struct database_maker;
struct sec_run;

/* On ERR_CONFIG `why` says what does not fit. Memory is the arena's, but for the databases:
 * sec_plan_free. The program outlives the plan. All that rules set in TX is there afterwards.
 */
MUST_USE enum err sec_plan_build(struct sec_plan **plan, const struct sec_program *program,
                                 struct arena *arena, struct text *why);

/* What is asked for after a run, by sec_run_tx. */
enum plan_asked {
    ASKED_INBOUND,
    ASKED_BLOCKING_INBOUND,
    ASKED_OUTBOUND,
    ASKED_BLOCKING_OUTBOUND,
    ASKED_THRESHOLD,
    PLAN_ASKED
};
extern const struct span plan_asked[PLAN_ASKED];
/* The same with databases from a cache, and in TX may be no more than what rules look at, and
 * plan_asked. */
MUST_USE enum err sec_plan_build_with(struct database_maker *maker, struct sec_plan **plan,
                                      const struct sec_program *program, struct arena *arena,
                                      struct text *why);
void sec_plan_free(struct sec_plan *plan);

/* ---- shared between the files that build ---- */

struct plan_builder {
    struct sec_plan *plan;
    const struct sec_program *program;
    struct database_maker *maker;
    struct arena *arena;
    struct text *why;
    struct sec_link **links; /* of all phases; later those that stay */
    unsigned link_count, link_capacity;
    struct pattern_draft *drafts; /* build_patterns.c */
    unsigned draft_count, draft_capacity;
    uint64_t *negated; /* set of bits of links that say "not" */
    bool all_seen;     /* whatever rules set is asked for afterwards */
};

/* names.c */
MUST_USE enum err plan_names(struct plan_builder *b);
/* Without case; NO_SLOT: no rule spells it out. */
uint16_t plan_slot_of(const struct sec_plan *plan, struct span name);
/* build_forms.c: the form after `rule`'s transformations, and those on the way for multiMatch.
 */
MUST_USE enum err plan_link_forms(struct plan_builder *b, struct sec_link *link);
/* The form for patterns to which case means nothing: lower case is left out where nothing
 * behind it sees a difference. */
unsigned plan_form_without_case(struct sec_plan *plan, unsigned form);
/* fold.c: takes away what the configuration decides. */
MUST_USE enum err plan_fold(struct plan_builder *b);
/* Of those a phase has, `stays` says which; `index` has room for one more. */
void plan_keep_entries(struct plan_phase *list, const bool *stays, uint32_t *index);
/* Whether a step with that name may write the slot. */
bool plan_may_name(const struct macro *name, struct span slot_name);
/* seen.c: takes away what nobody could see. */
MUST_USE enum err plan_unseen(struct plan_builder *b);
/* quiet.c. 1: as things stand when a transaction begins the entry changes nothing, and anything
 * else about it hangs on slots alone; 0: it may; -1: out of memory. */
int plan_is_quiet(struct sec_run *run, const struct sec_entry *entry, unsigned at);
/* Whether its variables have slots. */
bool plan_all_slots(const struct sec_plan *plan, const struct macro *macro);
/* Whether the target may choose that variable in TX. */
bool plan_sees_slot(const struct sec_plan *plan, const struct sec_target *target,
                    const struct link_target *known, unsigned slot);
/* settle.c: what is the same in every transaction is written into the links; which of them only
 * feed the next. */
MUST_USE enum err plan_settle(struct plan_builder *b);
/* What is asked of each value for a link that feeds the next. */
void plan_feed_check(const struct plan_builder *b, const struct sec_link *link,
                     struct plan_check *check);
/* The first of the link's bits, however it came to it. */
static inline uint16_t plan_bit_of(const struct sec_link *link)
{
    return link->feeds ? link->feed_bit : link->bit;
}
/* Whether a head looks at what an earlier chain matched last. */
bool plan_looks_back(const struct plan_builder *b);
/* 1: the link matches as things stand; 0: it does not; -1: out of memory. Nothing follows. */
int plan_ask(struct sec_run *run, const struct sec_link *link);
/* build_gates.c: which entries are looked at in any case, and what wakes the others. */
MUST_USE enum err plan_gates(struct plan_builder *b);
/* build_patterns.c: which links are matched by scanning; their bits, patterns and finds. */
MUST_USE enum err plan_patterns(struct plan_builder *b);
/* build_parts.c: which of a class's patterns are in which database; all databases. */
MUST_USE enum err plan_parts(struct plan_builder *b);
/* build_batch.c: what a batch knows of a class: a pattern of a part, or a text
 * that opens others (`pattern` NULL), and of what a match needs one byte each: `condition` is
 * the number of that. The last one when all was added, and all ways. */
MUST_USE enum err plan_batch_begin(struct plan_builder *b, struct scan_class *class);
MUST_USE enum err plan_batch_add(struct plan_builder *b, struct scan_class *class,
                                 unsigned part, const struct plan_pattern *pattern,
                                 const struct byte_set *sets, unsigned set_count,
                                 unsigned *condition);
MUST_USE enum err plan_batch_end(struct plan_builder *b, struct scan_class *class);
/* build_ways.c: a way of a pattern that needs a text, under the condition of that number. */
struct need_way;
MUST_USE enum err plan_way_add(struct plan_builder *b, struct scan_class *class,
                               unsigned condition, const struct need_way *way,
                               const struct plan_pattern *pattern, unsigned *number);
/* build_few.c: texts that are looked for by hand: words in lower case, to be found without
 * regard to case (NULL: out of memory), and those of a part, where they are few or usual. */
struct few_text;
struct database_job;
const struct few_text *plan_few_words(struct plan_builder *b, const struct span *words,
                                      unsigned count);
MUST_USE enum err plan_few(struct plan_builder *b, struct scan_part *part,
                           const struct database_job *of);
/* build_batch.c: the same database for lines. `*own`: it is another one. False: there can be
 * none. */
MUST_USE enum err plan_batch_job(struct plan_builder *b, const struct scan_part *part,
                                 const struct database_job *of, struct database_job *wide,
                                 bool *possible, bool *own);
/* Whether values of `var` are ever scanned. */
bool plan_scannable(enum variable var);
/* kept.c: which values' finds may be remembered; and the fields among them, one by one: p NULL
 * behind the last. */
void plan_keep_values(struct sec_plan *plan);
struct span plan_kept_field(unsigned i);
/* build_classes.c: which values are scanned with which patterns. */
MUST_USE enum err plan_classes(struct plan_builder *b);
/* One of the variables whose values run->scan sees that stands for values of `var`, from the
 * `from`th on; VAR_COUNT: no more. */
enum variable plan_seen_as(enum variable var, unsigned *from);
/* One value is meant, by its name, of those that are all scanned for the same. */
bool plan_names_one_of_many(const struct sec_target *target);

#endif
