/* Rules to a plan: names are resolved, chains merged, patterns grouped by class and compiled.
 */
#include "rules/compile.h"

#include <hs/hs_compile.h>
#include <stdlib.h>

#include "rules/engine/database.h"
#include "rules/locate.h"
#include "rules/packs/pack.h"
#include "rules/pattern.h"

struct compiler {
    struct database_maker *maker;
    struct plan *plan;
    struct arena *arena;
    struct text *why;
    struct rule *rules;
    struct pattern *patterns;
    struct pattern_info *infos; /* of each pattern */
};

static enum err wrong(struct compiler *c, struct span rule, struct span what,
                      const char *reason)
{
    text_lit(c->why, "rule \"");
    text_add(c->why, rule);
    text_lit(c->why, "\": ");
    if (what.len != 0) {
        text_lit(c->why, "\"");
        text_add(c->why, what);
        text_lit(c->why, "\": ");
    }
    text_add(c->why, span_text(reason));
    return ERR_CONFIG;
}

/* ---- forms ----------------------------------------------------------------------------------
 */

/* The form that is `step` after `parent`; FORMS_MAX when there is no room for it. */
static unsigned form_after(struct plan *plan, unsigned parent, const struct transform *step)
{
    for (unsigned i = 1; i < plan->form_count; i++) {
        if (plan->forms[i].parent == parent && plan->forms[i].step == step)
            return i;
    }
    if (plan->form_count == FORMS_MAX)
        return FORMS_MAX;
    plan->forms[plan->form_count] = (struct form){ .step = step, .parent = parent };
    plan->triggers |= step->triggers;
    return plan->form_count++;
}

/*
 * The forms in which the rule's patterns are looked for: the value as it came, and after each
 * step. Lower case at the end of a chain is left to the patterns: the bytes of the value need
 * not change for it, so that more rules share a form.
 */
static enum err read_chain(struct compiler *c, const struct rule_source *source,
                           uint32_t *forms, bool *caseless)
{
    unsigned at = 0, steps = 0;
    *forms = 1;
    *caseless = false;
    for (size_t i = 0; i < source->transform.count; i++) {
        struct span name = source->transform.items[i];
        const struct transform *row = transform_find(name);
        if (row == NULL)
            return wrong(c, source->name, name, "there is no such transformation");
        *caseless = i + 1 == source->transform.count && span_equal(name, SPAN("lowercase"));
        if (*caseless)
            break;
        steps += row->times;
        if (steps > STEPS_MAX)
            return wrong(c, source->name, name, "too many transformations in one rule");
        for (unsigned t = 0; t < row->times; t++) {
            at = form_after(c->plan, at, row);
            if (at == FORMS_MAX)
                return wrong(c, source->name, name,
                             "too many different transformation chains in all rules");
            *forms |= UINT32_C(1) << at;
        }
    }
    return OK;
}

/* ---- rules ----------------------------------------------------------------------------------
 */

static enum err read_targets(struct compiler *c, const struct rule_source *source,
                             uint64_t *selects)
{
    for (size_t i = 0; i < source->in.count; i++) {
        struct span target = source->in.items[i];
        enum err err = selectors_add(&c->plan->selectors, target, selects);
        if (err != OK)
            return wrong(c, source->name, target,
                         err == ERR_UNKNOWN ? "there is no such target"
                         : err == ERR_SYNTAX
                             ? "a name is missing behind the colon, or too long"
                             : "too many targets are given by name in all rules");
    }
    return OK;
}

static enum err add_pattern(struct compiler *c, const struct rule_source *source,
                            struct span match, struct pattern pattern, bool caseless)
{
    char reason[512];
    struct text why = text_fixed(reason, sizeof(reason) - 1);
    struct pattern_info *info = &c->infos[c->plan->pattern_count];
    if (!pattern_read(match, caseless, c->arena, info, &why)) {
        reason[why.len] = '\0';
        return wrong(c, source->name, match, reason);
    }
    pattern.at_start = info->at_start;
    pattern.at_end = info->at_end;
    c->patterns[c->plan->pattern_count++] = pattern;
    return OK;
}

/* Packs tell it by the score. */
static const char *severity_of(const struct rule_source *source)
{
    static const struct {
        int64_t score;
        const char *name;
    } rows[] = { { SCORE_CRITICAL, "critical" },
                 { SCORE_ERROR, "error" },
                 { SCORE_WARNING, "warning" },
                 { SCORE_NOTICE, "notice" } };
    int64_t score = source->severity != 0 ? source->severity : source->score;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].score == score)
            return rows[i].name;
    return NULL;
}

static enum err add_rule(struct compiler *c, const struct rule_source *source)
{
    struct plan *plan = c->plan;
    struct rule *rule = &c->rules[plan->rule_count];
    *rule = (struct rule){
        .name = source->name,
        .message = source->message,
        .when = source->when,
        .when_args = source->late,
        .patterned = source->match.count != 0,
        .action = (enum rule_action)source->action,
        .status = (int)source->status,
        .score = (int32_t)(source->score != 0 ? source->score : source->severity),
        .severity = severity_of(source),
    };
    if (!rule->patterned && rule->when == NULL)
        return wrong(c, source->name, SPAN(""), "it needs `when` or `match`");

    struct pattern pattern = { .rule = (uint16_t)plan->rule_count };
    bool caseless;
    TRY(read_targets(c, source, &rule->selects));
    TRY(read_chain(c, source, &pattern.forms, &caseless));
    if (rule->patterned && rule->selects == 0)
        return wrong(c, source->name, SPAN(""), "it has no target");
    pattern.selects = rule->selects;
    for (size_t i = 0; i < source->match.count; i++)
        TRY(add_pattern(c, source, source->match.items[i], pattern, caseless));

    if (rule->patterned) {
        plan->selects |= rule->selects;
        plan->wants_body |= selectors_reach_body(&plan->selectors, rule->selects);
    }
    plan->wants_body |= rule->when_args;
    plan->tags |= rule->action == RULE_TAG;
    plan->rule_count++;
    return OK;
}

static enum err make_sets(struct compiler *c)
{
    struct plan *plan = c->plan;
    plan->words = (plan->rule_count + 63) / 64;
    uint64_t *unpatterned = arena_array(c->arena, uint64_t, plan->words);
    uint64_t *late = arena_array(c->arena, uint64_t, plan->words);
    if (unpatterned == NULL || late == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < plan->rule_count; i++) {
        if (!plan->rules[i].patterned)
            set_add(unpatterned, i);
        if (plan->rules[i].when_args)
            set_add(late, i);
    }
    plan->unpatterned = unpatterned;
    plan->late = late;
    return OK;
}

/* ---- databases ------------------------------------------------------------------------------
 */

static enum err describe(struct compiler *c, struct database_job *job, enum value_class class)
{
    struct plan *plan = c->plan;
    const char **texts = arena_array(c->arena, const char *, plan->pattern_count);
    unsigned *flags = arena_array(c->arena, unsigned, plan->pattern_count);
    unsigned *ids = arena_array(c->arena, unsigned, plan->pattern_count);
    if (texts == NULL || flags == NULL || ids == NULL)
        return ERR_MEMORY;
    struct plan_class *made = &plan->classes[class];
    unsigned count = 0;
    made->shortest = SIZE_MAX;
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        if (!selectors_reach(&plan->selectors, plan->patterns[i].selects, class))
            continue;
        texts[count] = c->infos[i].text;
        flags[count] = c->infos[i].flags;
        ids[count++] = i;
        made->forms |= plan->patterns[i].forms;
        if (made->shortest > c->infos[i].shortest)
            made->shortest = c->infos[i].shortest;
    }
    *job = (struct database_job){
        .texts = texts, .flags = flags, .ids = ids, .count = count, .mode = HS_MODE_BLOCK
    };
    return OK;
}

static enum err explain(struct compiler *c, const struct database_job *jobs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct database_job *job = &jobs[i];
        if (job->error == NULL)
            continue;
        struct span rule = SPAN("of all together"), text = SPAN("");
        if (job->error_at >= 0 && (unsigned)job->error_at < job->count) {
            rule = c->rules[c->patterns[job->ids[job->error_at]].rule].name;
            text = span_text(job->texts[job->error_at]);
        }
        return wrong(c, rule, text, job->error);
    }
    return ERR_CONFIG;
}

static bool same(const struct database_job *a, const struct database_job *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof(*a->ids)) == 0;
}

/* Classes that look for the same have one database. */
static enum err compile_classes(struct compiler *c)
{
    struct database_job jobs[CLASS_COUNT];
    unsigned job_of[CLASS_COUNT], count = 0;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        TRY(describe(c, &jobs[count], (enum value_class)i));
        job_of[i] = 0;
        while (job_of[i] < count && !same(&jobs[job_of[i]], &jobs[count]))
            job_of[i]++;
        if (jobs[count].count == 0)
            job_of[i] = CLASS_COUNT; /* nothing is looked for */
        else
            count += job_of[i] == count;
    }
    enum err err = databases_make(c->maker, jobs, count);
    if (err == ERR_CONFIG)
        err = explain(c, jobs, count);
    bool given[CLASS_COUNT] = { false };
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        if (job_of[i] == CLASS_COUNT)
            continue;
        c->plan->classes[i].db = jobs[job_of[i]].db;
        c->plan->classes[i].borrowed = given[job_of[i]];
        given[job_of[i]] = true;
    }
    for (unsigned i = 0; i < count; i++)
        free(jobs[i].error);
    return err;
}

/* ---- entry ----------------------------------------------------------------------------------
 */

static enum err make_locators(struct compiler *c)
{
    struct plan *plan = c->plan;
    plan->locators = arena_array(c->arena, struct locator *, plan->pattern_count + 1);
    if (plan->locators == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < plan->pattern_count; i++) {
        bool caseless = (c->infos[i].flags & HS_FLAG_CASELESS) != 0;
        plan->locators[i] = locator_compile(c->infos[i].text, caseless);
    }
    return OK;
}

static enum err compile(struct compiler *c, const struct rule_source *rules, size_t count)
{
    size_t patterns = 0;
    for (size_t i = 0; i < count; i++)
        patterns += rules[i].match.count;
    if (count > RULES_MAX || patterns > PATTERNS_MAX)
        return wrong(c, SPAN("of all together"), SPAN(""), "too many rules or patterns");

    c->rules = arena_array(c->arena, struct rule, count);
    c->patterns = arena_array(c->arena, struct pattern, patterns);
    c->infos = arena_array(c->arena, struct pattern_info, patterns);
    if (c->rules == NULL || c->patterns == NULL || c->infos == NULL)
        return ERR_MEMORY;
    c->plan->rules = c->rules;
    c->plan->patterns = c->patterns;
    c->plan->form_count = 1;
    for (size_t i = 0; i < count; i++)
        TRY(add_rule(c, &rules[i]));
    TRY(make_sets(c));
    TRY(compile_classes(c));
    return make_locators(c);
}

enum err plan_compile_with(struct database_maker *maker, struct plan **plan,
                           const struct rule_source *rules, size_t count, struct arena *arena,
                           struct text *why)
{
    if (hs_valid_platform() != HS_SUCCESS) {
        text_lit(why, "Hyperscan needs a processor with SSSE3");
        return ERR_CONFIG;
    }
    struct compiler c = { .maker = maker, .arena = arena, .why = why };
    c.plan = arena_new(arena, struct plan);
    if (c.plan == NULL)
        return ERR_MEMORY;
    enum err err = compile(&c, rules, count);
    if (err != OK)
        plan_free(c.plan);
    *plan = err == OK ? c.plan : NULL;
    return err;
}

enum err plan_compile(struct plan **plan, const struct rule_source *rules, size_t count,
                      struct arena *arena, struct text *why)
{
    struct database_maker maker;
    database_maker_open(&maker, NULL);
    enum err err = plan_compile_with(&maker, plan, rules, count, arena, why);
    database_maker_close(&maker);
    return err;
}

void plan_free(struct plan *plan)
{
    for (unsigned i = 0; plan->locators != NULL && i < plan->pattern_count; i++)
        locator_free(plan->locators[i]);
    plan->locators = NULL;
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        if (!plan->classes[i].borrowed)
            hs_free_database(plan->classes[i].db);
        plan->classes[i].db = NULL;
    }
}
